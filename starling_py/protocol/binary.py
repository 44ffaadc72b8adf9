"""memcached's binary protocol: where a request ends, and what belongs to it.

The header of 24 bytes tells the length of everything behind it, so a request that is wrong, too
large or unknown takes its whole body with it, which is not kept, and gets one reply; what follows
is a request again. Only after a header that does not begin as one, nobody knows where the next
request begins, and the connection is closed. How the bytes are cut into pieces on their way never
changes the commands. No input raises anything: what is wrong becomes a ``Refusal``.
"""

import struct
from dataclasses import dataclass, field
from typing import Final

from starling_py.protocol.binary_replies import REQUEST_MAGIC, BinaryReplies, Opcode, Status
from starling_py.protocol.binary_requests import FORMS, Request
from starling_py.protocol.commands import Command, Quit, Refusal
from starling_py.protocol.dialect import Dialect
from starling_py.protocol.pieces import Pieces

_HEADER: Final = struct.Struct(">xBHBxxxIIQ")
"""Opcode, the lengths of key and extras, the length of the body (extras, key and value), opaque,
cas. Magic is checked before; data type and virtual bucket mean nothing to memcached either."""
_HEADER_SIZE: Final = 24
assert _HEADER.size == _HEADER_SIZE
_LONGEST_HEAD: Final = _HEADER_SIZE + 0xFF + 0xFFFF
"""Bytes of a header, with the longest extras and the longest key that it can tell of."""
KEPT: Final = 4096
"""Bytes of a buffer that may stay when all in it was used: it spares letting go of small ones."""


@dataclass
class _Body:
    """The rest of a request, of which not all has come yet."""

    left: int
    """Bytes that are still to come."""
    request: Request | None
    """The request that waits for its value; ``None`` when the rest is only swallowed."""
    refusal: Refusal | None
    """What to answer when the rest is only swallowed."""
    kept: Pieces = field(default_factory=Pieces)
    """What has come of the value."""

    def take(self, data: bytes) -> int:
        """Take as much of ``data`` as belongs to the body; return how much that was."""
        taken = min(len(data), self.left)
        if self.request is not None:
            # Compiled, a slice of all of it would be a copy.
            self.kept.add(data if taken == len(data) else data[:taken])
        self.left -= taken
        return taken

    def result(self) -> Command | None:
        """Return the command once it is whole."""
        if self.left:
            return None
        if self.request is None:
            return self.refusal
        self.request.value = self.kept.take()
        return self.request.command()


class BinaryDialect(BinaryReplies, Dialect):
    """One connection's binary protocol; replies are written by their requests' own writers."""

    def __init__(self, item_size_max: int) -> None:
        """``item_size_max`` is the largest length of an item's data, in bytes."""
        super().__init__(Opcode.NOOP, 0)
        self.item_size_max = item_size_max
        """May be changed between two requests: what is larger is not kept."""
        self._buffer = b""
        self._position = 0
        self._behind = bytearray()
        """What came behind a buffer that is large and not used up: to join them each time would
        take time by the square of the bytes. Empty as soon as the buffer is used up."""
        self._body: _Body | None = None
        self.more = False
        self._quits = False
        """Whether the client has asked to quit: that is answered, then the connection ends."""

    def feed(self, data: bytes) -> None:
        """Take what the client sent."""
        if self._body is not None and self._position == len(self._buffer):
            data = data[self._body.take(data) :]
        self.more = True
        left = len(self._buffer) - self._position
        if not left:
            self._buffer = data
            self._position = 0
        else:
            self._behind += data
            if left <= KEPT and len(self._behind) == len(data):
                self._join()

    @property
    def buffered(self) -> int:
        """Bytes taken and not yet used for a command."""
        return len(self._buffer) - self._position + len(self._behind)

    @property
    def weight(self) -> int:
        """Bytes kept of what came."""
        kept = 0 if self._body is None else self._body.kept.size
        return self.buffered + kept

    @property
    def missing(self) -> int:
        """The most bytes that must come until the command that has begun is whole."""
        body = self._body
        if body is None:
            return _LONGEST_HEAD
        return 0 if body.request is None else body.left

    @property
    def midway(self) -> bool:
        """Whether part of a command has been taken, and its rest is missing."""
        return self._body is not None or self._quits or self._position < len(self._buffer)

    def next_command(self) -> Command | None:
        """Return the next whole command; ``None`` when more bytes are needed."""
        if self._body is not None:
            return self._finish_body()
        if self._quits:
            return Quit()
        buffer = self._buffer
        start = self._position
        if start == len(buffer):
            return None
        if buffer[start] != REQUEST_MAGIC:
            return Refusal(b"", close=True)
        if len(buffer) < start + _HEADER_SIZE:
            return self._with_more(start + _HEADER_SIZE)
        opcode, key_size, extras_size, size, opaque, cas = _HEADER.unpack_from(buffer, start)
        form = FORMS.get(opcode)
        value_size = size - extras_size - key_size
        if form is None or not form.fits(extras_size, key_size, value_size):
            status = Status.UNKNOWN_COMMAND if form is None else Status.INVALID
            self._position = start + _HEADER_SIZE
            return self._swallow(size, Refusal(BinaryReplies(opcode, opaque).error(status)))
        key_start = start + _HEADER_SIZE + extras_size
        position = key_start + key_size
        if len(buffer) < position:
            return self._with_more(position)
        if self._behind and len(buffer) < position + value_size:
            self._join()
            return self.next_command()
        self._position = position
        key = buffer[key_start:position]
        writer = BinaryReplies(opcode, opaque, key, form.quiet, form.names_key)
        if value_size > self.item_size_max:
            refusal = Refusal(writer.error(Status.TOO_LARGE), too_large=True)
            return self._swallow(value_size, refusal)
        self._quits = opcode in _QUITS
        request = Request(form, cas, buffer[start + _HEADER_SIZE : key_start], key, writer)
        return self._read_value(request, value_size)

    def _read_value(self, request: Request, size: int) -> Command | None:
        """Read a request's value of ``size`` bytes, which has often come as a whole."""
        behind = self._position + size
        if len(self._buffer) < behind:
            self._body = _Body(size, request, None)
            return self._finish_body()
        request.value = self._buffer[self._position : behind]
        self._position = behind
        self.more = behind < len(self._buffer) or self._quits
        if behind > KEPT and behind == len(self._buffer):
            self._let_go()
        return request.command()

    def _with_more(self, end: int) -> Command | None:
        """Return the next command if what came behind the buffer reaches to ``end``."""
        if not self._behind or len(self._buffer) + len(self._behind) < end:
            return None
        self._join()
        return self.next_command()

    def _join(self) -> None:
        self._buffer = self._buffer[self._position :] + self._behind
        self._position = 0
        self._behind = bytearray()

    def _let_go(self) -> None:
        """Keep a large buffer no longer than it is used: its client may be idle for days.

        What has come behind it is next; only a large one has anything behind it.
        """
        self._buffer = bytes(self._behind) if self._behind else b""
        self._position = 0
        self._behind = bytearray()
        self.more = len(self._buffer) > 0 or self._quits

    def _swallow(self, size: int, refusal: Refusal) -> Command | None:
        if self._behind:
            self._join()
        self._body = _Body(size, None, refusal)
        return self._finish_body()

    def _finish_body(self) -> Command | None:
        body = self._body
        assert body is not None
        if self._position < len(self._buffer):
            self._position += body.take(self._buffer[self._position :])
            if self._position == len(self._buffer):
                self._let_go()
        command = body.result()
        if command is not None:
            self._body = None
            self.more = self._position < len(self._buffer) or self._quits
        return command


_QUITS = frozenset({Opcode.QUIT, Opcode.QUITQ})
