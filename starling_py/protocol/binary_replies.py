"""The replies of memcached's binary protocol, each to one request.

A reply repeats its request's opcode and opaque number, by which clients find what it answers. A
quiet request is told of neither a success nor a miss, but of everything that went wrong.
"""

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from starling_py.protocol.writer import Outcome, Shown, Writer, in_ascii

REQUEST_MAGIC: Final = 0x80
"""The first byte of every request."""
RESPONSE_MAGIC: Final = 0x81

_HEADER: Final = struct.Struct(">BBHBBHIIQ")
"""Magic, opcode, the lengths of key and extras, data type, status, the length of the body (extras,
key and value), opaque, cas."""
_HIT: Final = struct.Struct(">BBHBBHIIQI")
"""The same, with the extras of a hit: its flags."""
_NUMBER: Final = struct.Struct(">Q")


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
    SASL_LIST_MECHS = 0x20
    SASL_AUTH = 0x21
    SASL_STEP = 0x22


class Status(IntEnum):
    """How a request went."""

    SUCCESS = 0x00
    NOT_FOUND = 0x01
    EXISTS = 0x02
    TOO_LARGE = 0x03
    INVALID = 0x04
    NOT_STORED = 0x05
    NON_NUMERIC = 0x06
    AUTH_ERROR = 0x20
    UNKNOWN_COMMAND = 0x81
    NOT_SUPPORTED = 0x83
    TEMPORARY_FAILURE = 0x86


_TEXTS: Final = {
    Status.NOT_FOUND: b"Not found",
    Status.EXISTS: b"Data exists for key.",
    Status.TOO_LARGE: b"Too large.",
    Status.INVALID: b"Invalid arguments",
    Status.NOT_STORED: b"Not stored.",
    Status.NON_NUMERIC: b"Non-numeric server-side value for incr or decr",
    Status.AUTH_ERROR: b"Auth failure.",
    Status.UNKNOWN_COMMAND: b"Unknown command",
}
"""memcached's words for each status."""

_FAILURES: Final = {
    Outcome.NOT_STORED: Status.NOT_STORED,
    Outcome.EXISTS: Status.EXISTS,
    Outcome.NOT_FOUND: Status.NOT_FOUND,
    Outcome.NON_NUMERIC: Status.NON_NUMERIC,
    Outcome.UNKNOWN: Status.NOT_FOUND,
    Outcome.ERROR: Status.NOT_FOUND,
    Outcome.NOT_AUTHENTICATED: Status.AUTH_ERROR,
    Outcome.UNAUTHENTICATED: Status.AUTH_ERROR,
}
"""The status of each outcome that is no success; unknown statistics count as not found."""

_NOT_STORED: Final[dict[int, Status]] = {
    Opcode.ADD: Status.EXISTS,
    Opcode.ADDQ: Status.EXISTS,
    Opcode.REPLACE: Status.NOT_FOUND,
    Opcode.REPLACEQ: Status.NOT_FOUND,
}
"""The status by which memcached tells these requests that nothing was stored."""


class BinaryReplies(Writer):
    """Writes the replies to one request."""

    detailed = False
    tells_origin = False
    tells_id = True

    def __init__(
        self,
        opcode: int,
        opaque: int,
        key: bytes = b"",
        quiet: bool = False,
        names_key: bool = False,
    ) -> None:
        self.opcode = opcode
        self.opaque = opaque
        """The request's own number, which means nothing to the server."""
        self.key = key
        """The key as the client sent it."""
        self.quiet = quiet
        """Whether neither a success nor a miss is told."""
        self.names_key = names_key
        """Whether the reply to a get repeats the key."""
        self._item_id = 0
        self._found = False

    def hit_in_detail(
        self, key: bytes, item: Shown, deliveries: int, now_ms: int, origin: bytes
    ) -> tuple[bytes, ...]:
        """Return an item in pieces; this protocol tells nothing of the details."""
        del deliveries, now_ms, origin
        return self.hit(key, item.flags, item.data, item.id)

    def stored_as(self, item_id: int) -> None:
        """Note the id of the item that was put: it is the reply's cas number."""
        self._item_id = item_id

    def outcome(self, outcome: Outcome) -> bytes:
        """Return a plain reply."""
        failure = _FAILURES.get(outcome)
        if outcome is Outcome.AUTHENTICATED:
            return self._packet(value=b"Authenticated")
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

    def unknown(self) -> bytes:
        """Return the reply to a request that is not known."""
        return self.error(Status.UNKNOWN_COMMAND)

    def not_permitted(self, what: str) -> bytes:
        """Return the reply to a command that its user may not give."""
        return self._packet(Status.AUTH_ERROR, value=_ascii(f"not permitted: {what}"))

    def number(self, number: int) -> bytes:
        """Return a reply that is only a number."""
        return self._packet(value=_NUMBER.pack(number))

    def word(self, word: str) -> bytes:
        """Return a reply that is only a word."""
        return self._packet(value=_ascii(word))

    def version(self, version: str) -> bytes:
        """Return the server's version."""
        return self.word(version)

    def stats_part(self, pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
        """Return some statistics, a packet each."""
        return b"".join([self._packet(key=name, value=value) for name, value in pairs])

    def end_of_stats(self) -> bytes:
        """Return what closes the reply with all statistics: an empty packet."""
        return self._packet()

    def dump_part(self, name: bytes, pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
        """Return values of a queue; no request asks for them, so they come as statistics."""
        del name
        return self.stats_part(pairs)

    def end_of_dump(self) -> bytes:
        """Return what closes such a reply, as it closes statistics."""
        return self._packet()

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
    return in_ascii(text)
