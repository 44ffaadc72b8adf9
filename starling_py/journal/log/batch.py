"""The log's bytes: a header, then batches of operations on the files of journals.

A batch holds what was written to segments since they were synced last: which file, where in it, and
the bytes. A file is told by its directory, its number and its journal's salt: a segment is only
appended to and no number comes twice, so at one place in it there is never anything else, and to
write a batch into its files once more does no harm. Batches are numbered without gaps, and each has
a checksum, so that what an earlier use of the file left behind the last one is not taken for more.
Nothing here touches a file.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from starling_py.journal.errors import JournalDamagedError

MAGIC: Final = b"STARLOG\n"
VERSION: Final = 1
MARK: Final = b"\xb5LOG"
"""Stands in each batch, so that one is found quickly."""
WRITTEN: Final = 1
"""The type of an operation: bytes were written to a segment."""

# magic, version, two bytes of zeros, salt, checksum of the bytes before it
_HEADER = struct.Struct("<8sH2xI")
_CHECKSUM = struct.Struct("<I")
HEADER_SIZE: Final = 20
# checksum, mark, bytes that follow, number of the batch
_BATCH = struct.Struct("<I4sIQ")
BATCH_SIZE: Final = 20
# type, length of the directory's name, salt, number of the segment, offset, bytes of data
_WRITTEN = struct.Struct("<BHIQQI")


@dataclass(frozen=True)
class Written:
    """Bytes that were written to a segment."""

    directory: str
    """The name of the journal's directory in the spool."""
    salt: int
    """The journal's; no other journal in a directory of this name has it."""
    number: int
    """That of the segment."""
    offset: int
    """Where in the segment the bytes stand."""
    pieces: Sequence[bytes | memoryview]
    """The bytes, back to back."""
    length: int
    """How many bytes they are."""

    def is_of(self, other: "Written") -> bool:
        """Tell whether both are of the same segment."""
        mine = self.number, self.salt, self.directory
        return mine == (other.number, other.salt, other.directory)

    @property
    def size(self) -> int:
        """How many bytes it takes in a batch."""
        return _WRITTEN.size + len(self.directory) + self.length


def header(salt: int) -> bytes:
    """Return the header of a file of the log: 32 random bits begin all checksums in it."""
    told = _HEADER.pack(MAGIC, VERSION, salt)
    return told + _CHECKSUM.pack(zlib.crc32(told))


def read_header(path: str, data: bytes) -> int | None:
    """Return the salt in the header of a file of the log; ``None`` if nothing was ever told in it.

    Raises ``JournalDamagedError``.
    """
    told = data[: _HEADER.size]
    if data.startswith(MAGIC) and len(data) >= HEADER_SIZE:
        _, version, salt = _HEADER.unpack(told)
        if version > VERSION:
            reason = f"version {version} of the log is newer than this server's {VERSION}"
            raise JournalDamagedError(path, 0, f"{reason}; use a newer server")
        if _CHECKSUM.unpack_from(data, _HEADER.size)[0] == zlib.crc32(told):
            return int(salt)
    if MARK in data:
        raise JournalDamagedError(path, 0, "the header of the log is not sound")
    return None  # a crash came while it was made


def size_of(writes: Sequence[Written]) -> int:
    """Return how many bytes a batch of these operations has."""
    return BATCH_SIZE + sum(each.size for each in writes)


def encode(number: int, salt: int, writes: Sequence[Written]) -> bytes:
    """Return a batch of operations."""
    pieces: list[bytes | memoryview] = []
    for each in writes:
        name = each.directory.encode("ascii")
        pieces.append(
            _WRITTEN.pack(WRITTEN, len(name), each.salt, each.number, each.offset, each.length)
        )
        pieces.append(name)
        pieces.extend(each.pieces)
    return sealed(number, salt, b"".join(pieces))


def sealed(number: int, salt: int, body: bytes) -> bytes:
    """Return a batch whose operations are encoded already."""
    told = _BATCH.pack(0, MARK, len(body), number)[_CHECKSUM.size :]
    return b"".join((_CHECKSUM.pack(zlib.crc32(body, zlib.crc32(told, salt))), told, body))


def number_at(data: bytes, offset: int, salt: int) -> tuple[int, int] | None:
    """Return the number of the batch at ``offset`` and where it ends; ``None`` if none is there."""
    if offset + BATCH_SIZE > len(data):
        return None
    checksum, mark, length, number = _BATCH.unpack_from(data, offset)
    end = offset + BATCH_SIZE + length
    if mark != MARK or end > len(data):
        return None
    view = memoryview(data)
    if zlib.crc32(view[offset + _CHECKSUM.size : end], salt) != checksum:
        return None
    return number, end


def walk(data: bytes, salt: int) -> Iterator[tuple[int, int, int]]:
    """Yield the number of each batch of a file, from the first one on, where it begins and ends."""
    offset, expected = HEADER_SIZE, None
    while (found := number_at(data, offset, salt)) is not None:
        number, end = found
        if expected is not None and number != expected:
            return
        yield number, offset, end
        offset, expected = end, number + 1


def later_than(data: bytes, salt: int, number: int) -> int | None:
    """Return where in a file there is a sound batch with a higher ``number``, ``None`` if nowhere.

    This is for what stands behind the last batch that ``walk`` has found.
    """
    at = data.find(MARK)
    while at >= 0:
        offset = at - _CHECKSUM.size
        found = number_at(data, offset, salt) if offset >= HEADER_SIZE else None
        if found is not None and found[0] > number:
            return offset
        at = data.find(MARK, at + 1)
    return None


def decode(path: str, data: bytes, begin: int, end: int) -> Iterator[Written]:
    """Yield the operations of a sound batch. Raises ``JournalDamagedError`` for unknown ones."""
    offset, view = begin + BATCH_SIZE, memoryview(data)
    while offset < end:
        kind, name_size, salt, number, place, length = _WRITTEN.unpack_from(data, offset)
        name_at = offset + _WRITTEN.size
        data_at = name_at + name_size
        if kind != WRITTEN or data_at + length > end:
            raise JournalDamagedError(path, offset, "this is no operation that this server knows")
        directory = data[name_at:data_at].decode("ascii")
        offset = data_at + length
        yield Written(directory, salt, number, place, (view[data_at:offset],), length)
