"""What is said to the server in its own protocol for the page, and the replies to it.

The page has no other way in: whatever it does, a client could do, and the same checks apply.
"""

from collections.abc import Sequence
from typing import Final

import attrs

from starling_py.keys import MAX_KEY

MOST_BYTES: Final = 4 << 20
"""Bytes of all replies of one conversation."""
_GOES_ON: Final = (b"STAT ", b"ITEM ")
"""Words that lines begin with which are not the last of a reply."""


class TalkError(Exception):
    """The server does not go on with a conversation as it should."""


class NameRefused(Exception):
    """A queue cannot be named in a command; the text says why."""


@attrs.define
class Reply:
    """The reply to one command."""

    lines: list[bytes] = attrs.field(factory=list)
    """Its lines but for the last."""
    data: list[bytes] = attrs.field(factory=list)
    """What items of it hold."""
    end: str = ""
    """Its last line."""


class Replies:
    """Reads the replies to some commands, as they come."""

    def __init__(self, count: int) -> None:
        """``count`` is of the commands."""
        self._count = count
        self._buffer = b""
        self._size = 0
        self._reply = Reply()
        self._missing = 0
        """Bytes of the data that comes next, with the end of its line; 0 for a line."""
        self.found: list[Reply] = []

    @property
    def are_whole(self) -> bool:
        """Whether all replies have come."""
        return len(self.found) >= self._count

    def feed(self, data: bytes) -> None:
        """Take what came. Raises ``TalkError`` when it is too much, or no reply."""
        self._size += len(data)
        if self._size > MOST_BYTES or not data:
            raise TalkError("the answer is too long" if data else "the server ended it")
        self._buffer += data
        while not self.are_whole and self._take_one():
            pass

    def _take_one(self) -> bool:
        """Take one line, or the data of one item; return whether it was there."""
        if self._missing:
            if len(self._buffer) < self._missing:
                return False
            self._reply.data.append(self._buffer[: self._missing - 2])
            self._buffer, self._missing = self._buffer[self._missing :], 0
            return True
        line, end, rest = self._buffer.partition(b"\r\n")
        if not end:
            return False
        self._buffer = rest
        if line.startswith(b"VALUE "):
            self._reply.lines.append(line)
            self._missing = int(line.split(b" ")[3]) + 2
        elif line.startswith(_GOES_ON):
            self._reply.lines.append(line)
        else:
            self._reply.end = line.decode("utf-8", "backslashreplace")
            self.found.append(self._reply)
            self._reply = Reply()
        return True


def line(*words: bytes) -> bytes:
    """Return a command of the text protocol."""
    return b" ".join(words) + b"\r\n"


def named(name: bytes) -> bytes:
    """Return a queue's name if it can stand in a command. Raises ``NameRefused``."""
    if not name:
        raise NameRefused("no queue is named")
    if len(name) > MAX_KEY:
        raise NameRefused(f"a name has at most {MAX_KEY} bytes")
    if any(byte <= 0x20 or byte == 0x7F for byte in name) or b"/" in name:
        raise NameRefused("a name with blanks, slashes or control characters cannot be used here")
    return name


def numbers(lines: Sequence[bytes], prefix: bytes = b"") -> dict[str, str]:
    """Return the statistics of a reply whose names begin with a prefix, which is left out."""
    found = {}
    for each in lines:
        words = each.split(b" ", 2)
        if len(words) == 3 and words[0] == b"STAT" and words[1].startswith(prefix):
            name = words[1].removeprefix(prefix).decode("utf-8", "backslashreplace")
            found[name] = words[2].decode("utf-8", "backslashreplace")
    return found
