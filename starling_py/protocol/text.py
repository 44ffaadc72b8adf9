"""memcached's classic text protocol: where a command ends, and what belongs to it.

Invariant: a body is never executed as a command. A storage line with a readable length always
takes its body with it, whatever else is wrong with the line, and gets one reply. After a storage
line without one, a body that does not end where it should, or a line that is too long, nobody
knows where the next command begins, so the connection is closed. How the bytes are cut into pieces
on their way never changes the commands. No input raises anything: what is wrong becomes a
``Refusal``.
"""

from dataclasses import dataclass
from typing import Final

from starling_py.protocol.commands import Command, Refusal
from starling_py.protocol.dialect import Dialect
from starling_py.protocol.lines import StoreLine
from starling_py.protocol.pieces import Pieces
from starling_py.protocol.text_lines import (
    KNOWN_LINES,
    MAX_KNOWN_LINE,
    may_be_long,
    read_line,
    read_long,
)
from starling_py.protocol.text_replies import TextReplies

MAX_LINE: Final = 2048
"""Bytes of a command line (memcached's limit)."""
MAX_GET_LINE: Final = 1 << 20
"""Bytes of the line of a get, which may name many keys."""
KEPT: Final = 4096
"""Bytes of a buffer that may stay when all in it was used: it spares letting go of small ones."""

_KNOWN: Final = KNOWN_LINES.found
_BAD_CHUNK: Final = b"CLIENT_ERROR bad data chunk\r\n"
_TOO_LARGE: Final = b"SERVER_ERROR object too large for cache\r\n"
_LONG_LINE: Final = b"CLIENT_ERROR line too long\r\n"


@dataclass
class _Body:
    """A body of which not all has come yet."""

    line: StoreLine
    refusal: Refusal | None
    """What to answer to a body that is only swallowed; ``None`` for one that is wanted."""
    kept: Pieces
    """What has come, but for the terminator; nothing of a body that is swallowed."""
    end: bytes = b""
    """What has come of the terminator."""
    came: int = 0
    """Bytes that have come, those of the CRLF behind the body included."""

    @property
    def weight(self) -> int:
        """Bytes kept of what came."""
        return self.kept.size + len(self.end)

    def take(self, data: bytes) -> int:
        """Take as much of ``data`` as belongs to the body; return how much that was."""
        left = self.line.length - self.came
        taken = min(len(data), left + 2)
        if left > 0 and self.refusal is None:
            # Compiled, a slice of all of it would be a copy.
            self.kept.add(data if len(data) <= left else data[:left])
        if taken > left:
            self.end += data[max(0, left) : taken]
        self.came += taken
        return taken

    def result(self) -> Command | None:
        """Return the command once it is whole, or sooner if it can no longer be right."""
        if not b"\r\n".startswith(self.end):
            return Refusal(_BAD_CHUNK, close=True)
        if len(self.end) < 2:
            return None
        if self.refusal is not None:
            return self.refusal
        return self.line.command(self.kept.take())


class TextDialect(TextReplies, Dialect):
    """One connection's classic text, both ways."""

    def __init__(self, item_size_max: int) -> None:
        """``item_size_max`` is the largest length of an item's data, in bytes."""
        self._item_size_max = item_size_max
        self._buffer = b""
        self._position = 0
        self._searched = 0
        self._behind = bytearray()
        """What came behind a buffer that is large and not used up: to join them each time would
        take time by the square of the bytes, if they come in small pieces. Empty as soon as the
        buffer is used up."""
        self._searched_behind = 0
        self._body: _Body | None = None
        self.more = False

    def feed(self, data: bytes) -> None:
        """Take what the client sent."""
        if self._body is not None and self._position == len(self._buffer):
            taken = self._body.take(data)
            data = data[taken:]
        self.more = True
        left = len(self._buffer) - self._position
        if not left:
            self._buffer = data
            self._position = self._searched = 0
        elif left > KEPT or self._behind:
            self._behind += data
        else:
            self._behind += data
            self._join_all()

    @property
    def buffered(self) -> int:
        """Bytes taken and not yet used for a command."""
        return len(self._buffer) - self._position + len(self._behind)

    @property
    def weight(self) -> int:
        """Bytes kept of what came."""
        return self.buffered + (0 if self._body is None else self._body.weight)

    @property
    def missing(self) -> int:
        """The most bytes that must come until the command that has begun is whole."""
        body = self._body
        if body is None:
            longest = MAX_GET_LINE if self._may_be_long(self._position) else MAX_LINE
            return max(0, longest - self.buffered)
        return body.line.length + 2 - body.came if body.refusal is None else 0

    @property
    def midway(self) -> bool:
        """Whether part of a command has been taken, and its rest is missing."""
        return self._body is not None or self._position < len(self._buffer)

    def next_command(self) -> Command | None:
        """Return the next whole command; ``None`` when more bytes are needed."""
        if self._body is not None:
            return self._finish_body()
        buffer = self._buffer
        start = self._position
        end = buffer.find(b"\n", self._searched)
        if end < 0:
            return self.next_command() if self._join() else self._unfinished_line(start)
        line = buffer[start:end]
        position = end + 1
        command = _KNOWN.get(line)
        if command is None:
            command = self._read_line(line)
        if not isinstance(command, StoreLine):
            self._position = self._searched = position
            self.more = position < len(buffer)
            if position > KEPT and not self.more:
                self._let_go()
            return command
        behind = position + command.length
        left = len(buffer) - behind - 2
        if left < 0 and self._behind:
            self._join_all()
            return self.next_command()
        if left < 0 or command.length > self._item_size_max or command.refusal is not None:
            self._position = self._searched = position
            return self._begin_body(command)
        self._position = self._searched = behind + 2
        self.more = left > 0
        if behind > KEPT and not left:
            self._let_go()
        if not buffer.startswith(b"\r\n", behind):
            return Refusal(_BAD_CHUNK, close=True)
        return command.make(
            command.verb,
            command.key,
            command.flags,
            command.exptime,
            buffer[position:behind],
            command.quiet,
        )

    def _let_go(self) -> None:
        """Keep a large buffer no longer than it is used: its client may be idle for days.

        What has come behind it is next; only a large one has anything behind it.
        """
        self._buffer = bytes(self._behind) if self._behind else b""
        self._position = self._searched = self._searched_behind = 0
        self._behind = bytearray()
        self.more = len(self._buffer) > 0

    def _read_line(self, line: bytes) -> Command | StoreLine:
        """Read a line that is not remembered."""
        if len(line) <= MAX_KNOWN_LINE:
            return KNOWN_LINES.get(line)
        if len(line) <= MAX_LINE:
            return read_line(line)
        if len(line) <= MAX_GET_LINE and may_be_long(line[:MAX_LINE]):
            return read_long(line)
        return Refusal(_LONG_LINE, close=True)

    def _may_be_long(self, start: int) -> bool:
        return may_be_long(self._buffer[start : start + MAX_LINE])

    def _join(self) -> bool:
        """Join what came behind the buffer to it, if a line ends there; tell whether one does."""
        if self._behind.find(b"\n", self._searched_behind) < 0:
            self._searched_behind = len(self._behind)
            return False
        self._join_all()
        return True

    def _join_all(self) -> None:
        self._buffer = self._buffer[self._position :] + self._behind
        self._searched = max(0, self._searched - self._position)
        self._position = 0
        self._behind = bytearray()
        self._searched_behind = 0

    def _unfinished_line(self, start: int) -> Refusal | None:
        self.more = False
        self._searched = len(self._buffer)
        length = self._searched - start + len(self._behind)
        if length <= MAX_LINE:
            return None
        if length <= MAX_GET_LINE and self._may_be_long(start):
            return None
        return Refusal(_LONG_LINE, close=True)

    def _begin_body(self, line: StoreLine) -> Command | None:
        """Begin with a body that has not come as a whole, or that will not be stored."""
        refusal = line.refusal
        if refusal is None and line.length > self._item_size_max:
            refusal = Refusal(b"" if line.quiet else _TOO_LARGE, too_large=True)
        self._body = _Body(line, refusal, Pieces())
        return self._finish_body()

    def _finish_body(self) -> Command | None:
        body = self._body
        assert body is not None
        if self._position < len(self._buffer):
            self._position += body.take(self._buffer[self._position :])
            self._searched = self._position
            if self._position == len(self._buffer):
                self._let_go()
        command = body.result()
        if command is not None:
            self._body = None
            self.more = self._position < len(self._buffer)
        return command
