"""The grammar of keys: which queue a key names, and what its options ask for.

A key is the name of a queue, then options, each after a slash: ``jobs``, ``jobs/peek``,
``jobs/t=500``. Any name that memcached accepts as a key can be a queue, so a name never becomes
a file name as it stands: ``directory_name`` encodes it. This module knows nothing of what the
options do, and an option that it does not know is always an error: a typo in ``/peek`` must
never become a pop.
"""

import hashlib
import re
from functools import lru_cache

import attrs

MAX_KEY = 250
"""Bytes of a key, options included (memcached's protocol.txt)."""

MAX_WAIT_MS = 2**31 - 1
"""The longest wait that ``t=`` accepts, in milliseconds: about 24 days."""

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_-.")
_LONGEST_DIRECTORY_NAME = 200
_DIRECTORY_NAME = re.compile(
    r"(?:[a-z0-9_-]|%[0-9a-f]{2})(?:[a-z0-9_.-]|%[0-9a-f]{2})*%?[0-9a-f]?(?:=[0-9a-f]{64})?"
)


class KeyProblem(Exception):
    """A key that does not follow the grammar; its text is fit for the client."""


@attrs.frozen
class Request:
    """What one key asks for."""

    key: bytes
    """The key as the client sent it: replies repeat exactly these bytes."""
    name: bytes
    """The queue's name."""
    peek: bool = False
    """Look at the head without taking it."""
    wait_ms: int = 0
    """Milliseconds to wait for an item when there is none."""

    @property
    def plain(self) -> bool:
        """Whether the key is a queue's name and nothing more."""
        return self.key == self.name


@lru_cache(maxsize=4096)
def parse(key: bytes) -> Request:
    """Read a key.

    Raises ``KeyProblem`` for an empty name, an unknown, repeated or malformed option.
    """
    name, *options = key.split(b"/")
    if not name:
        raise KeyProblem("the key names no queue")
    peek = False
    wait_ms: int | None = None
    for option in options:
        word, equals, value = option.partition(b"=")
        if option == b"peek" and not peek:
            peek = True
        elif word == b"t" and equals and wait_ms is None:
            if not value.isdigit() or len(value) > 10 or int(value) > MAX_WAIT_MS:
                raise KeyProblem(f"t= takes milliseconds from 0 to {MAX_WAIT_MS}")
            wait_ms = int(value)
        elif word in (b"peek", b"t") and option != word + b"=":
            raise KeyProblem(f"option /{printable(option)} is repeated or malformed")
        else:
            raise KeyProblem(f"unknown option /{printable(option)}")
    return Request(key, name, peek, wait_ms or 0)


@lru_cache(maxsize=4096)
def parse_plain(key: bytes) -> bytes:
    """Read a key that must be a queue's name alone, for commands that take no option.

    Raises ``KeyProblem``.
    """
    request = parse(key)
    if not request.plain:
        raise KeyProblem("this command takes no option in its key")
    return request.name


def directory_name(name: bytes) -> str:
    """Return a file-safe name for a queue's directory, different for different queues.

    Bytes other than lower-case letters, digits and ``_ - .`` are percent-encoded, so two names
    that differ in case stay apart on a file system that folds it; so is a leading dot. An
    encoding that is too long for a file system is cut and completed with a digest: it cannot be
    decoded, which is why every segment carries the queue's true name.
    """
    encoded = "".join(
        chr(byte) if byte in _PLAIN and not (position == 0 and byte == 0x2E) else f"%{byte:02x}"
        for position, byte in enumerate(name)
    )
    if len(encoded) <= _LONGEST_DIRECTORY_NAME:
        return encoded
    return f"{encoded[:120]}={hashlib.sha256(name).hexdigest()}"


def is_directory_name(text: str) -> bool:
    """Tell whether ``directory_name`` could have given this name."""
    return _DIRECTORY_NAME.fullmatch(text) is not None


def printable(name: bytes) -> str:
    """Return bytes that a client sent in a form that is fit for a log or a message: one word."""
    return name.decode("latin-1").encode("unicode_escape").decode("ascii").replace(" ", "\\x20")
