"""Segments: the files that a journal is cut into, and the header that each opens with.

A segment is named by its number, so the names sort in the order of writing. Its header carries
the magic, the format's version, the queue's true name, the journal's salt, and the id of the next
item when the segment was begun. A segment keeps ``UNFINISHED_SUFFIX`` behind its name until it and
the one before it are safe; where nothing is synced, until its beginning is written. So a process
that dies never leaves a segment under its final name without a header.
"""

import re
import struct
import zlib
from dataclasses import dataclass
from typing import Final

from starling_py.journal.errors import HeaderCutShortError, SegmentError
from starling_py.journal.format.record import PUSH_HEADER_SIZE

MAGIC: Final = b"STARLING"
VERSION: Final = 5
CHECKSUM_CRC32: Final = 1
"""The only checksum algorithm so far; a header names it so that it can change."""

# magic, version, checksum algorithm, compacted, length of the name, salt, number, first id, oldest
_FIXED = struct.Struct("<8sHBBIIQQQ")
_CHECKSUM = struct.Struct("<I")

SUFFIX: Final = ".segment"
UNFINISHED_SUFFIX: Final = ".new"
"""A segment that was begun, while it or the one before it is not known to be safe."""
COMPACTED_SUFFIX: Final = ".compacting"
"""A copy that takes the place of segments once it is whole; the next start removes a leftover."""
TORN_SUFFIX: Final = ".torn"
"""What a crash left at the end of a segment: kept aside, and cut off."""
DAMAGED_SUFFIX: Final = ".damaged"
"""A second name for a segment whose items were given up because it cannot be read."""
DISTRUSTED_SUFFIX: Final = ".distrusted"
"""The note file of a segment whose sync failed; it is empty."""
MAX_HEADER = _FIXED.size + 250 + _CHECKSUM.size
"""Bytes of the longest header."""
_NAME = re.compile(r"([0-9]{16})\.segment\Z")
_UNFINISHED_NAME = re.compile(r"([0-9]{16})\.segment\.new\Z")
_DISTRUSTED_NAME = re.compile(r"[0-9]{16}\.segment\.distrusted\Z")


@dataclass(frozen=True)
class Header:
    """The header of a segment."""

    queue: bytes
    """The queue's true name."""
    number: int
    """Counts the journal's segments from 1. A copy takes the highest of those that it replaces."""
    first_id: int
    """No item put in this segment has a lower id."""
    oldest: int
    """Version 1: the lowest number of a segment that was still needed when this one was begun.
    Since version 2: the lowest number of the segments that this one stands for; its own, unless it
    is a copy."""
    salt: int = 0
    """Where the checksums of the journal's records begin: 32 random bits, the same in every segment
    of a journal."""
    compacted: bool = False
    """Whether this is a copy of the items that were live in other segments."""
    version: int = VERSION


@dataclass
class Segment:
    """One file of a journal that is in use."""

    number: int
    path: str
    first_id: int
    size: int
    """Bytes, the header included. What the file has behind them does not count."""
    items: int = 0
    """Live items in it."""
    bytes: int = 0
    """Bytes of the live items' data."""
    compacted: bool = False
    """Whether it took the place of others."""

    @property
    def waste(self) -> int:
        """Bytes that are not records of live items."""
        return self.size - self.bytes - self.items * PUSH_HEADER_SIZE


def file_name(number: int) -> str:
    """Return the file name of a segment."""
    return f"{number:016d}{SUFFIX}"


def number_of(name: str) -> int | None:
    """Return the number in a segment's file name, or ``None`` for any other name."""
    match = _NAME.match(name)
    return int(match[1]) if match else None


def unfinished_number_of(name: str) -> int | None:
    """Return the number in an unfinished segment's file name, or ``None`` for any other name."""
    match = _UNFINISHED_NAME.match(name)
    return int(match[1]) if match else None


def is_note_file(name: str) -> bool:
    """Tell whether a file's name is that of the note file of a segment whose sync failed."""
    return _DISTRUSTED_NAME.match(name) is not None


def encode(header: Header) -> bytes:
    """Return a header's bytes."""
    body = (
        _FIXED.pack(
            MAGIC,
            header.version,
            CHECKSUM_CRC32,
            header.compacted,
            len(header.queue),
            header.salt,
            header.number,
            header.first_id,
            header.oldest,
        )
        + header.queue
    )
    return body + _CHECKSUM.pack(zlib.crc32(body))


def expected_size(beginning: bytes) -> tuple[int, int]:
    """Return the size in bytes and the salt that ``beginning``, a part of a header, tells.

    What is cut off counts as zeros.
    """
    length, salt = _FIXED.unpack_from(beginning.ljust(_FIXED.size, b"\0"))[4:6]
    return _FIXED.size + length + _CHECKSUM.size, salt


def is_present_version(beginning: bytes) -> bool:
    """Tell whether a segment that begins so is of the version that is written."""
    return beginning.startswith(MAGIC + VERSION.to_bytes(2, "little"))


def decode(data: memoryview) -> tuple[Header, int]:
    """Read the header at the start of a segment; return it and its size in bytes.

    Raises ``HeaderCutShortError`` when ``data`` ends before the header does, and ``SegmentError``
    when it is no header that this version can read.
    """
    if len(data) < _FIXED.size and MAGIC.startswith(bytes(data[: len(MAGIC)])):
        raise HeaderCutShortError
    if len(data) < _FIXED.size:
        raise SegmentError("not a segment of a starling-py journal")
    magic, version, algorithm, compacted, length, salt, number, first_id, oldest = (
        _FIXED.unpack_from(data)
    )
    if magic != MAGIC:
        raise SegmentError("not a segment of a starling-py journal")
    if version > VERSION:
        raise SegmentError(
            f"format version {version} is newer than this server's {VERSION}; use a newer server"
        )
    if version < 1 or algorithm != CHECKSUM_CRC32:
        raise SegmentError("the header is damaged")
    end = _FIXED.size + length
    size = end + _CHECKSUM.size
    if size > len(data):
        raise HeaderCutShortError(salt)
    if _CHECKSUM.unpack_from(data, end)[0] != zlib.crc32(data[:end]):
        raise SegmentError("the header is damaged")
    name = bytes(data[_FIXED.size : end])
    return Header(name, number, first_id, oldest, salt, bool(compacted), version), size
