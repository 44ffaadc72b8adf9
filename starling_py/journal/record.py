"""The records of a journal: how each is written, and how a stretch of bytes is read back.

A record is a checksum, a length, a type, an id, and for a push the item (``docs/journal.md``
has the layout). The checksum covers everything after itself, so no damaged record is ever taken
for a sound one, whichever of its fields was hit; and it begins with the journal's salt, which
clients do not know, so no item's data is ever taken for a record either. This module never
decides what damage means: ``scan`` stops in front of it and says where, and the caller knows
which file that is.

To change the format: add a type or a field under a new ``segment.VERSION``, keep reading every
older version, write down the difference in ``docs/journal.md``, and add a golden file of the old
one to the tests.
"""

import struct
import zlib
from collections.abc import Iterator

import attrs

PUSH = 1
"""An item was put at the end of the queue; the id is the item's."""
REMOVE = 2
"""The item with this id left the queue."""
FLUSH = 3
"""Every item with this id or a lower one left the queue."""
DELETE = 4
"""The queue was deleted; the id is the highest one it had given out."""
RECLAIM = 5
"""Segments numbered below this id hold nothing that is still needed."""

CHECKSUM_SIZE = 4
_AFTER_CHECKSUM = struct.Struct("<IBQ")
_PUSH_AFTER_CHECKSUM = struct.Struct("<IBQqqI")
_HEADER = struct.Struct("<IIBQ")
_PUSH_HEADER = struct.Struct("<IIBQqqI")

LENGTH_OFFSET = CHECKSUM_SIZE + 4
"""A record's length counts the bytes from here on."""
HEADER_SIZE = _HEADER.size
PUSH_HEADER_SIZE = _PUSH_HEADER.size
MAX_DATA = 1 << 30
"""Bytes of the largest item's data that a record may hold."""

_BARE_LENGTH = HEADER_SIZE - LENGTH_OFFSET
_PUSH_LENGTH = PUSH_HEADER_SIZE - LENGTH_OFFSET


@attrs.define
class Item:
    """What a queue holds. Treat it as immutable: it is not frozen because that triples its cost."""

    id: int
    """Grows by one with every put of the queue, for ever; 1 or more."""
    added_ms: int
    """When it was put, in milliseconds since the Unix epoch."""
    expiry_ms: int
    """When it dies, in milliseconds since the Unix epoch; 0 for never."""
    flags: int
    """The client's 32 bits, given back untouched."""
    data: bytes


@attrs.frozen
class Record:
    """One record as it was read."""

    type: int
    id: int
    item: Item | None
    """The pushed item; ``None`` for the other types."""
    offset: int
    """Where the record starts, in bytes from the start of the file."""


def push(item: Item, salt: int = 0) -> tuple[bytes, bytes]:
    """Return the record of a put in two pieces, so that the data is not copied."""
    data = item.data
    head = _PUSH_AFTER_CHECKSUM.pack(
        _PUSH_LENGTH + len(data), PUSH, item.id, item.added_ms, item.expiry_ms, item.flags
    )
    checksum = zlib.crc32(data, zlib.crc32(head, salt))
    return checksum.to_bytes(CHECKSUM_SIZE, "little") + head, data


def bare(record_type: int, record_id: int, salt: int = 0) -> bytes:
    """Return a record of any other type."""
    head = _AFTER_CHECKSUM.pack(_BARE_LENGTH, record_type, record_id)
    return zlib.crc32(head, salt).to_bytes(CHECKSUM_SIZE, "little") + head


def read(data: memoryview, offset: int, salt: int = 0) -> tuple[Record, int] | None:
    """Read the record at ``offset``.

    Returns it with the offset behind it, or ``None`` when there is no sound record.
    """
    if offset + HEADER_SIZE > len(data):
        return None
    checksum, length, record_type, record_id = _HEADER.unpack_from(data, offset)
    end = offset + LENGTH_OFFSET + length
    expected = _PUSH_LENGTH if record_type == PUSH else _BARE_LENGTH
    if length < expected or end > len(data) or not PUSH <= record_type <= RECLAIM:
        return None
    if (record_type != PUSH and length != expected) or length > _PUSH_LENGTH + MAX_DATA:
        return None
    if zlib.crc32(data[offset + CHECKSUM_SIZE : end], salt) != checksum:
        return None
    item = None
    if record_type == PUSH:
        *_, added_ms, expiry_ms, flags = _PUSH_HEADER.unpack_from(data, offset)
        item = Item(
            record_id, added_ms, expiry_ms, flags, bytes(data[offset + PUSH_HEADER_SIZE : end])
        )
    return Record(record_type, record_id, item, offset), end


def scan(data: memoryview, offset: int, salt: int = 0) -> Iterator[Record | int]:
    """Yield the sound records from ``offset`` on, then, as the last value, where they end.

    When that number is the length of ``data``, every byte belonged to a sound record.
    """
    while (found := read(data, offset, salt)) is not None:
        record, offset = found
        yield record
    yield offset


def find_sound_record(
    data: memoryview, offset: int, salt: int = 0, highest_id: int = 2**64 - 1
) -> int | None:
    """Look for a sound record anywhere at or behind ``offset`` and return where it starts.

    This tells a torn tail (nothing sound follows) from damage in the middle of a file. No record
    can have an id above ``highest_id``, which saves the checksums of most of what is none.
    """
    for candidate in range(offset, len(data) - HEADER_SIZE + 1):
        _, _, record_type, record_id = _HEADER.unpack_from(data, candidate)
        if not PUSH <= record_type <= RECLAIM or record_id > highest_id:
            continue
        if read(data, candidate, salt) is not None:
            return candidate
    return None
