"""What a queue's directory in the spool is called.

Any bytes that memcached accepts as a key can name a queue, so a name never reaches the file system
as it stands. Different queues have different directories, also where the file system folds case.
"""

import hashlib
import re

POSITION = ".replica"
"""A file in the spool of a server that is one of a group: how far its files have come."""
_STANDS_AS_IT_IS = re.compile(rb"[a-z0-9_-][a-z0-9_.-]{,199}")
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_-.")
_LONGEST_DIRECTORY_NAME = 200
_DIRECTORY_NAME = re.compile(
    r"(?:[a-z0-9_-]|%[0-9a-f]{2})(?:[a-z0-9_.-]|%[0-9a-f]{2})*%?[0-9a-f]?(?:=[0-9a-f]{64})?"
)

_ENCODED_BYTE = re.compile(r"%([0-9a-f]{2})|([a-z0-9_.-])")


def directory_name(name: bytes) -> str:
    """Return a file-safe name for a queue's directory, different for different queues.

    Bytes other than lower-case letters, digits and ``_ - .`` are percent-encoded, so two names
    that differ in case stay apart on a file system that folds it; so is a leading dot. An
    encoding that is too long for a file system is cut and completed with a digest: it cannot be
    decoded, which is why every segment carries the queue's true name.
    """
    if _STANDS_AS_IT_IS.fullmatch(name) is not None:
        return name.decode()
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


def queue_name(directory: str) -> bytes | None:
    """Return the name of the queue whose directory is called so.

    ``None`` if that cannot be told, as the name was too long, or if no queue's is.
    """
    name = bytes(
        int(code, 16) if code else ord(plain)
        for code, plain in _ENCODED_BYTE.findall(directory.partition("=")[0])
    )
    return name if directory_name(name) == directory else None
