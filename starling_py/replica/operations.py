"""Operations on the files of a spool, as the stream has them: one batch of the log a message.

The frame of a message is that of the log's batches: checksum, mark, length, number. Numbers go up
by one from message to message, whoever is the owner, so a gap is noticed. Inside are operations on
files by their paths below the spool. A write tells its offset, so each of them does no harm when it
is applied once more right after itself. Nothing here touches a file.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from starling_py.journal.log import batch

FORMAT: Final = 1
"""The version of what is in the stream."""
SALT: Final = 0x57A31146
"""Begins the checksums of all messages."""

MADE_DIRECTORY: Final = 16
CREATED: Final = 17
"""A file was made, or emptied."""
WROTE: Final = 18
"""Bytes were written at an offset."""
CUT: Final = 19
"""A file was cut to a size."""
RENAMED: Final = 20
LINKED: Final = 21
REMOVED: Final = 22
REMOVED_DIRECTORY: Final = 23
RESTATING: Final = 24
"""Bytes that a file has anyway, told again so that older messages can go; more follow."""
RESTATED: Final = 25
"""The last of these bytes: all that the file has was told again."""
_TWO_PATHS: Final = frozenset({RENAMED, LINKED})
STRUCTURAL: Final = frozenset({CREATED, RENAMED, LINKED, REMOVED, REMOVED_DIRECTORY, CUT})
"""What is to be done once: a later state of the files does not bear it again."""
_KINDS: Final = frozenset(range(MADE_DIRECTORY, RESTATED + 1))

# kind, length of the path, offset or size, bytes of data or of the second path
_OPERATION = struct.Struct("<BHQI")
HEADER_SIZE: Final = _OPERATION.size


class OperationsError(Exception):
    """A message is no batch of operations that this server knows."""


@dataclass(frozen=True)
class Operation:
    """One change of one file."""

    kind: int
    path: str
    """Below the spool, without a slash in front."""
    offset: int = 0
    """Where the bytes go; of ``CUT``, the size that is left."""
    data: bytes = b""
    """The bytes; of ``RENAMED`` and ``LINKED``, the new path."""

    @property
    def new_path(self) -> str:
        """The second path."""
        return self.data.decode("utf-8", "surrogateescape")

    @property
    def size(self) -> int:
        """About how many bytes it takes in a message."""
        return _OPERATION.size + len(self.path) + len(self.data)


def with_two_paths(kind: int, old: str, new: str) -> Operation:
    """Return an operation that gives a file a name."""
    return Operation(kind, old, 0, new.encode("utf-8", "surrogateescape"))


def encode(number: int, operations: Iterable[Operation]) -> bytes:
    """Return a message."""
    pieces: list[bytes] = []
    for each in operations:
        path = each.path.encode("utf-8", "surrogateescape")
        pieces += (_OPERATION.pack(each.kind, len(path), each.offset, len(each.data)), path)
        pieces.append(each.data)
    return batch.sealed(number, SALT, b"".join(pieces))


def decode(message: bytes) -> tuple[int, Sequence[Operation]]:
    """Return a message's number and its operations. Raises ``OperationsError``."""
    found = batch.number_at(message, 0, SALT)
    if found is None or found[1] != len(message):
        raise OperationsError("the message is not sound")
    operations, place = [], batch.BATCH_SIZE
    while place < len(message):
        if place + _OPERATION.size > len(message):
            raise OperationsError("the message ends within an operation")
        kind, path_size, offset, size = _OPERATION.unpack_from(message, place)
        begin = place + _OPERATION.size + path_size
        place = begin + size
        if kind not in _KINDS or place > len(message):
            raise OperationsError(f"operation {kind} is none that this server knows")
        path = message[begin - path_size : begin].decode("utf-8", "surrogateescape")
        each = Operation(kind, path, offset, message[begin:place])
        if not _is_below(path) or (kind in _TWO_PATHS and not _is_below(each.new_path)):
            raise OperationsError(f"path {path!r} leads out of the spool")
        operations.append(each)
    return found[0], operations


def _is_below(path: str) -> bool:
    """Tell whether a path stays below the spool, and is that of a file which is shared."""
    parts = path.split("/")
    return "\0" not in path and len(parts) <= 2 and not {"", ".", ".."} & set(parts)
