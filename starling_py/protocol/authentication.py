"""memcached's authentication in text: what a client may say before it has said who it is.

The first ``set`` has ``USER PASSWORD`` as its data; its key, its flags and its expiry mean nothing,
and are not read. Before that, nothing but ``version`` and ``quit`` is done, and everything else is
told so. Invariant: little is kept of what comes, a body is never executed as a command, and what
follows the authentication is left for the dialect that comes after it. No input raises anything.
"""

from typing import Final

from starling_py.protocol import commands
from starling_py.protocol.commands import Command, Refusal, Verb
from starling_py.protocol.dialect import Dialect
from starling_py.protocol.lines import readable_length
from starling_py.protocol.text import TextDialect
from starling_py.protocol.text_replies import TextReplies
from starling_py.protocol.writer import Outcome

MAX_TOKEN: Final = 2048
"""Bytes of the longest ``USER PASSWORD``."""
MAX_LINE: Final = 2048
"""Bytes of the longest line; those of commands that need more room are for who is known."""
BAD_TOKEN: Final = b"CLIENT_ERROR bad authentication token format\r\n"
_BAD_CHUNK: Final = b"CLIENT_ERROR bad data chunk\r\n"
_LONG_LINE: Final = b"CLIENT_ERROR line too long\r\n"
_LENGTHS: Final = {**{verb.value.encode(): 4 for verb in Verb}, b"ms": 2}
"""Where the length of a body stands in the line of each storage command."""


class TextAuthentication(TextReplies, Dialect):
    """One connection's text until the client has authenticated, and then what it says."""

    def __init__(self) -> None:
        self.more = False
        self.asked = False
        """Whether the client has said who it is, and was not answered: nothing more is read."""
        self.inner: TextDialect | None = None
        """Reads what the client says once it is known; ``None`` until then."""
        self._buffer = b""
        self._position = 0
        self._left = 0
        """Bytes that are still to come of a body and its line end."""
        self._token: bytearray | None = None
        """What has come of a body with an authentication; ``None`` for one that is swallowed."""
        self._answer: Refusal | None = None
        """What a body that is swallowed is answered."""

    def feed(self, data: bytes) -> None:
        """Take what the client sent."""
        inner = self.inner
        if inner is not None:
            inner.feed(data)
        else:
            self._buffer = self._buffer[self._position :] + data
            self._position = 0
        self.more = True

    def admit(self, inner: TextDialect) -> None:
        """Let the client in: the rest of what it has sent is for ``inner``, and all that comes."""
        rest, self._buffer, self._position = self._buffer[self._position :], b"", 0
        self.inner = inner
        if rest:
            inner.feed(rest)

    def next_command(self) -> Command | None:
        """Return the next whole command; ``None`` when more bytes are needed, or an answer."""
        inner = self.inner
        if inner is not None:
            command = inner.next_command()
            self.more = inner.more
            return command
        if self.asked:
            return None
        if self._left:
            return self._read_body()
        end = self._buffer.find(b"\n", self._position)
        is_long = (len(self._buffer) if end < 0 else end) - self._position > MAX_LINE
        if is_long:
            return Refusal(_LONG_LINE, close=True)
        if end < 0:
            self._need_more()
            return None
        line = self._buffer[self._position : end]
        self._position = end + 1
        return self._read_line(line)

    @property
    def buffered(self) -> int:
        """Bytes that came and do not belong to a command that was returned, but for a body's."""
        return len(self._buffer) - self._position if self.inner is None else self.inner.buffered

    @property
    def weight(self) -> int:
        """Bytes kept of what came."""
        if self.inner is not None:
            return self.inner.weight
        return self.buffered + (0 if self._token is None else len(self._token))

    @property
    def missing(self) -> int:
        """The most bytes that must come until the command that has begun is whole."""
        return MAX_LINE + MAX_TOKEN if self.inner is None else self.inner.missing

    @property
    def midway(self) -> bool:
        """Whether a part of a command has come and the rest has not."""
        if self.inner is not None:
            return self.inner.midway
        return self._left > 0 or self._position < len(self._buffer)

    def _read_line(self, line: bytes) -> Command | None:
        words = [word for word in line.removesuffix(b"\r").split(b" ") if word]
        verb = words[0].lower() if words else b""
        if len(words) == 1 and verb == b"version":
            return commands.Version()
        if len(words) == 1 and verb == b"quit":
            return commands.Quit()
        if words and words[-1].startswith(b"HTTP/"):
            return Refusal(b"", close=True)
        refusal = Refusal(self.outcome(Outcome.UNAUTHENTICATED))
        place = _LENGTHS.get(verb)
        if place is None:
            return refusal
        length = readable_length(words[place]) if len(words) > place else None
        if length is None:
            refusal.close = True  # nobody knows where the body ends
            return refusal
        self._left = length + 2
        self._token = bytearray() if verb == b"set" and length <= MAX_TOKEN else None
        self._answer = Refusal(BAD_TOKEN) if verb == b"set" else refusal
        return self._read_body()

    def _need_more(self) -> None:
        """Keep of what came only what still counts, until more comes."""
        self._buffer, self._position = self._buffer[self._position :], 0
        self.more = False

    def _read_body(self) -> Command | None:
        taken = self._buffer[self._position : self._position + self._left]
        self._position += len(taken)
        self._left -= len(taken)
        token = self._token
        if token is not None:
            token += taken
        if self._left:
            self._need_more()
            return None
        self._token = None
        if token is None:
            return self._answer
        if not token.endswith(b"\r\n"):
            return Refusal(_BAD_CHUNK, close=True)
        user, blank, password = bytes(token[:-2]).partition(b" ")
        if not blank:
            return self._answer
        self.asked = True
        return commands.Authenticate(user, password)
