"""The replies of memcached's binary protocol, which belong to one request each.

A reply repeats its request's opcode and opaque, by which clients find what it answers. A quiet
request is told of neither a success nor a miss, but of everything that went wrong.
"""

import struct
from collections.abc import Sequence
from enum import IntEnum

import attrs

from starling_py.protocol.commands import Outcome, Shown

REQUEST_MAGIC = 0x80
"""The first byte of every request."""
RESPONSE_MAGIC = 0x81

_HEADER = struct.Struct(">BBHBBHIIQ")
"""Magic, opcode, the lengths of key and extras, data type, status, the length of the body (extras,
key and value), opaque, cas."""
_HIT = struct.Struct(">BBHBBHIIQI")
"""The same, with the extras of a hit: its flags."""
_NUMBER = struct.Struct(">Q")


class Opcode(IntEnum):
    """What a request asks for; a ``Q`` at the end is the quiet form, a ``K`` repeats the key."""

    GET = 0x00
    SET = 0x01
    ADD = 0x02
    REPLACE = 0x03
    DELETE = 0x04
    INCREMENT = 0x05
    DECREMENT = 0x06
    QUIT = 0x07
    FLUSH = 0x08
    GETQ = 0x09
    NOOP = 0x0A
    VERSION = 0x0B
    GETK = 0x0C
    GETKQ = 0x0D
    APPEND = 0x0E
    PREPEND = 0x0F
    STAT = 0x10
    SETQ = 0x11
    ADDQ = 0x12
    REPLACEQ = 0x13
    DELETEQ = 0x14
    INCREMENTQ = 0x15
    DECREMENTQ = 0x16
    QUITQ = 0x17
    FLUSHQ = 0x18
    APPENDQ = 0x19
    PREPENDQ = 0x1A
    VERBOSITY = 0x1B
    TOUCH = 0x1C
    GAT = 0x1D
    GATQ = 0x1E
    GATK = 0x23
    GATKQ = 0x24


class Status(IntEnum):
    """How a request went."""

    SUCCESS = 0x00
    NOT_FOUND = 0x01
    EXISTS = 0x02
    TOO_LARGE = 0x03
    INVALID = 0x04
    NOT_STORED = 0x05
    UNKNOWN_COMMAND = 0x81
    NOT_SUPPORTED = 0x83
    TEMPORARY_FAILURE = 0x86


_TEXTS = {
    Status.NOT_FOUND: b"Not found",
    Status.EXISTS: b"Data exists for key.",
    Status.TOO_LARGE: b"Too large.",
    Status.INVALID: b"Invalid arguments",
    Status.NOT_STORED: b"Not stored.",
    Status.UNKNOWN_COMMAND: b"Unknown command",
}
"""memcached's words."""

_FAILURES = {
    Outcome.NOT_STORED: Status.NOT_STORED,
    Outcome.EXISTS: Status.EXISTS,
    Outcome.NOT_FOUND: Status.NOT_FOUND,
    Outcome.UNKNOWN: Status.NOT_FOUND,
    Outcome.ERROR: Status.NOT_FOUND,
}
"""The outcomes that are no success; statistics that are not known count as not found."""

_NOT_STORED: dict[int, Status] = {
    Opcode.ADD: Status.EXISTS,
    Opcode.ADDQ: Status.EXISTS,
    Opcode.REPLACE: Status.NOT_FOUND,
    Opcode.REPLACEQ: Status.NOT_FOUND,
}
"""How memcached tells these that nothing was stored."""


@attrs.define
class BinaryReplies:
    """The replies to one request."""

    opcode: int
    opaque: int
    """The request's own, which means nothing here."""
    key: bytes = b""
    """The key as the client sent it."""
    quiet: bool = False
    """Whether neither a success nor a miss is told."""
    names_key: bool = False
    """Whether the reply to a get repeats the key."""
    _item_id: int = 0
    _found: bool = False

    detailed = False
    tells_id = True

    def hit_in_detail(
        self, key: bytes, item: Shown, deliveries: int, now_ms: int
    ) -> tuple[bytes, ...]:
        """Return an item in pieces; this protocol tells nothing of the details."""
        del deliveries, now_ms
        return self.hit(key, item.flags, item.data, item.id)

    def stored_as(self, item_id: int) -> None:
        """Take notice of the id of the item that was put: it is the reply's cas number."""
        self._item_id = item_id

    def outcome(self, outcome: Outcome) -> bytes:
        """Return a plain reply."""
        failure = _FAILURES.get(outcome)
        if failure is None:
            return b"" if self.quiet else self._packet(cas=self._item_id)
        if outcome is Outcome.NOT_STORED:
            failure = _NOT_STORED.get(self.opcode, failure)
        return self.error(failure)

    def hit(self, key: bytes, flags: int, data: bytes, cas: int | None) -> tuple[bytes, ...]:
        """Return an item in pieces, so that its data is not copied; ``cas`` is the item's id."""
        self._found = True
        shown = key if self.names_key else b""
        length = len(shown)
        head = _HIT.pack(
            RESPONSE_MAGIC,
            self.opcode,
            length,
            4,
            0,
            Status.SUCCESS,
            4 + length + len(data),
            self.opaque,
            cas or 0,
            flags,
        )
        return head + shown, data

    def end_of_hits(self) -> bytes:
        """Return the reply to a get that found nothing; behind an item, nothing more."""
        if self._found or self.quiet:
            return b""
        if self.names_key:
            return self._packet(Status.NOT_FOUND, key=self.key)
        return self.error(Status.NOT_FOUND)

    def error(self, status: Status) -> bytes:
        """Return the reply to a request that failed, in memcached's words."""
        return self._packet(status, value=_TEXTS[status])

    def client_error(self, text: str) -> bytes:
        """Return the reply to a command that was wrong."""
        return self._packet(Status.INVALID, value=_ascii(text))

    def server_error(self, text: str) -> bytes:
        """Return the reply to a command that the server failed at."""
        return self._packet(Status.TEMPORARY_FAILURE, value=_ascii(text))

    def disabled(self, what: str) -> bytes:
        """Return the reply to a command that the settings do not allow."""
        return self._packet(Status.NOT_SUPPORTED, value=_ascii(f"{what} not enabled"))

    def number(self, number: int) -> bytes:
        """Return a reply that is a bare number."""
        return self._packet(value=_NUMBER.pack(number))

    def word(self, word: str) -> bytes:
        """Return a reply that is a bare word."""
        return self._packet(value=_ascii(word))

    version = word

    def stats(self, pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
        """Return statistics: a packet each, and an empty one at the end."""
        packets = [self._packet(key=name, value=value) for name, value in pairs]
        return b"".join(packets) + self._packet()

    def dump(self, blocks: Sequence[tuple[bytes, Sequence[tuple[bytes, bytes]]]]) -> bytes:
        """Return values of queues; no request asks for them, so they come as statistics."""
        return self.stats([pair for _, pairs in blocks for pair in pairs])

    def _packet(
        self,
        status: Status = Status.SUCCESS,
        key: bytes = b"",
        value: bytes = b"",
        cas: int = 0,
    ) -> bytes:
        body = key + value
        head = _HEADER.pack(
            RESPONSE_MAGIC, self.opcode, len(key), 0, 0, status, len(body), self.opaque, cas
        )
        return head + body


def _ascii(text: str) -> bytes:
    return text.encode("ascii", "backslashreplace")
