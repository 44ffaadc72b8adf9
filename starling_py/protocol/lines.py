"""What the lines of classic text and of meta commands have in common.

What was read from a line is remembered and given again for the same line, so it must not be
changed.
"""

from collections.abc import Callable
from dataclasses import dataclass

from starling_py.protocol.commands import Command, Refusal, Store, Verb

MAX_LENGTH = 2**31 - 3
"""The largest length of a body that is understood."""
MAX_FLAGS = 2**32 - 1

ERROR = b"ERROR\r\n"
BAD_FORMAT = b"CLIENT_ERROR bad command line format\r\n"
BAD_EXPTIME = b"CLIENT_ERROR invalid exptime argument\r\n"


@dataclass(frozen=True)
class StoreLine:
    """A storage line, which a body follows."""

    verb: Verb
    key: bytes
    flags: int
    exptime: int
    length: int
    """Bytes of the body, without the CRLF behind it."""
    quiet: bool
    refusal: Refusal | None
    """What to answer in place of storing, once the body has come; ``None`` to store."""
    make: Callable[[Verb, bytes, int, int, bytes, bool], Command] = Store
    """Makes the command: it takes these fields, with the data in place of its length."""

    def command(self, data: bytes) -> Command:
        """Return the command once its data is there."""
        return self.make(self.verb, self.key, self.flags, self.exptime, data, self.quiet)


Parser = Callable[[list[bytes]], Command | StoreLine]
"""Reads the words of a line, of which there is at least one."""


def out_of_range(what: bytes, least: int, most: int, *, quiet: bool = False) -> Refusal:
    """Return what refuses a number that a command cannot take."""
    return Refusal(b"" if quiet else b"CLIENT_ERROR %b from %d to %d\r\n" % (what, least, most))


def whole_number(word: bytes, least: int, most: int) -> int | None:
    """Return a whole number from ``least`` to ``most``; ``None`` if the word is no such number."""
    if not word.isdigit() or len(word) > 20 or not least <= int(word) <= most:
        return None
    return int(word)


def readable_length(word: bytes) -> int | None:
    """Return the length of a body; ``None`` if the word does not tell where the body ends."""
    if not word.isdigit() or len(word) > 10 or (length := int(word)) > MAX_LENGTH:
        return None
    return length


def is_number(word: bytes) -> bool:
    """Tell whether a word is a whole number of up to 20 characters, perhaps negative."""
    return len(word) <= 20 and (word.isdigit() or (word[:1] == b"-" and word[1:].isdigit()))


def is_flags(word: bytes) -> bool:
    """Tell whether a word is a number of 32 bits."""
    return word.isdigit() and len(word) <= 10 and int(word) <= MAX_FLAGS
