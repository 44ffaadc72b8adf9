"""The records of a journal: how each is written, and how a stretch of bytes is read back.

A record is a checksum, a length, a type, an id, and what its type adds (``docs/journal.md``
has the layout). The checksum covers everything after itself, so no damaged record is ever taken
for a sound one, whichever of its fields was hit; and it begins with the journal's salt, which
clients do not know, so no item's data is ever taken for a record either. This module never
decides what damage means: ``walk`` stops in front of it, and the caller knows which file that is.

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
"""The item with this id left the queue; since version 2, the record tells its size as well."""
FLUSH = 3
"""Every item with this id or a lower one left the queue."""
DELETE = 4
"""The queue was deleted; the id is the highest one it had given out."""
RECLAIM = 5
"""Version 1 only: segments numbered below this id hold nothing that is still needed."""
CHECKPOINT = 6
"""Where the journal stood when this segment was begun; the id is the next item's."""
DISCARD = 7
"""The items from this id on, up to another one, were given up because they cannot be read."""

CHECKSUM_SIZE = 4
_AFTER_CHECKSUM = struct.Struct("<IBQ")
_PUSH_AFTER_CHECKSUM = struct.Struct("<IBQqqI")
_REMOVE_AFTER_CHECKSUM = struct.Struct("<IBQI")
_DISCARD_AFTER_CHECKSUM = struct.Struct("<IBQQQQ")
_HEADER = struct.Struct("<IIBQ")
_PUSH_HEADER = struct.Struct("<IIBQqqI")
_SIZE = struct.Struct("<I")
_DISCARDED = struct.Struct("<QQQ")

LENGTH_OFFSET = CHECKSUM_SIZE + 4
"""A record's length counts the bytes from here on."""
HEADER_SIZE = _HEADER.size
PUSH_HEADER_SIZE = _PUSH_HEADER.size
REMOVE_SIZE = HEADER_SIZE + _SIZE.size
"""Bytes of the record of a removal."""
MAX_DATA = 1 << 30
"""Bytes of the largest item's data that a record may hold."""

_BARE_LENGTH = HEADER_SIZE - LENGTH_OFFSET
_PUSH_LENGTH = PUSH_HEADER_SIZE - LENGTH_OFFSET
_LENGTHS = {
    PUSH: range(_PUSH_LENGTH, _PUSH_LENGTH + MAX_DATA + 1),
    REMOVE: (_BARE_LENGTH, _BARE_LENGTH + _SIZE.size),
    FLUSH: (_BARE_LENGTH,),
    DELETE: (_BARE_LENGTH,),
    RECLAIM: (_BARE_LENGTH,),
    CHECKPOINT: range(_BARE_LENGTH, _BARE_LENGTH + MAX_DATA + 1),
    DISCARD: (_BARE_LENGTH + _DISCARDED.size,),
}
_NO_LENGTHS: tuple[int, ...] = ()

Found = tuple[int, int, int, int]
"""A sound record: its type, its id, where it starts and where it ends in the bytes given."""


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


def push(item: Item, salt: int = 0) -> tuple[bytes, bytes]:
    """Return the record of a put in two pieces, so that the data is not copied."""
    data = item.data
    head = _PUSH_AFTER_CHECKSUM.pack(
        _PUSH_LENGTH + len(data), PUSH, item.id, item.added_ms, item.expiry_ms, item.flags
    )
    checksum = zlib.crc32(data, zlib.crc32(head, salt))
    return checksum.to_bytes(CHECKSUM_SIZE, "little") + head, data


def remove(item_id: int, size: int, salt: int = 0) -> bytes:
    """Return the record of a removal; ``size`` is that of the item's data in bytes."""
    head = _REMOVE_AFTER_CHECKSUM.pack(_BARE_LENGTH + _SIZE.size, REMOVE, item_id, size)
    return zlib.crc32(head, salt).to_bytes(CHECKSUM_SIZE, "little") + head


def discard(first_id: int, last_id: int, items: int, size: int, salt: int = 0) -> bytes:
    """Return the record that gives up ``items`` items of ``size`` bytes of data altogether."""
    head = _DISCARD_AFTER_CHECKSUM.pack(
        _BARE_LENGTH + _DISCARDED.size, DISCARD, first_id, last_id, items, size
    )
    return zlib.crc32(head, salt).to_bytes(CHECKSUM_SIZE, "little") + head


def bare(record_type: int, record_id: int, salt: int = 0, payload: bytes = b"") -> bytes:
    """Return a record of any other type."""
    head = _AFTER_CHECKSUM.pack(_BARE_LENGTH + len(payload), record_type, record_id) + payload
    return zlib.crc32(head, salt).to_bytes(CHECKSUM_SIZE, "little") + head


def walk(data: memoryview, offset: int, salt: int = 0) -> Iterator[Found]:
    """Yield the sound records from ``offset`` on, up to the first bytes that are none."""
    limit = len(data) - HEADER_SIZE
    while offset <= limit:
        checksum, length, record_type, record_id = _HEADER.unpack_from(data, offset)
        end = offset + LENGTH_OFFSET + length
        if end > len(data) or length not in _LENGTHS.get(record_type, _NO_LENGTHS):
            return
        if zlib.crc32(data[offset + CHECKSUM_SIZE : end], salt) != checksum:
            return
        yield record_type, record_id, offset, end
        offset = end


def needed(data: memoryview, offset: int) -> int:
    """Return how many bytes the record at ``offset`` says it has, if it can be one; else 0."""
    if offset + HEADER_SIZE > len(data):
        return HEADER_SIZE
    _, length, record_type, _ = _HEADER.unpack_from(data, offset)
    if length not in _LENGTHS.get(record_type, _NO_LENGTHS):
        return 0
    return int(LENGTH_OFFSET + length)


def item_at(data: memoryview, start: int, end: int) -> Item:
    """Return the item of a sound record of a put."""
    _, _, _, item_id, added_ms, expiry_ms, flags = _PUSH_HEADER.unpack_from(data, start)
    return Item(item_id, added_ms, expiry_ms, flags, bytes(data[start + PUSH_HEADER_SIZE : end]))


def removed_size(data: memoryview, start: int, end: int) -> int | None:
    """Return the data's size that a sound record of a removal tells; ``None`` in version 1."""
    if end - start == HEADER_SIZE:
        return None
    size: int = _SIZE.unpack_from(data, start + HEADER_SIZE)[0]
    return size


def discarded(data: memoryview, start: int) -> tuple[int, int, int]:
    """Return the last id, the items and their bytes that a sound ``DISCARD`` record tells."""
    last_id, items, size = _DISCARDED.unpack_from(data, start + HEADER_SIZE)
    return int(last_id), int(items), int(size)


def find_sound_record(
    data: memoryview, offset: int, salt: int = 0, highest_id: int = 2**64 - 1
) -> int | None:
    """Look for a sound record anywhere at or behind ``offset`` and return where it starts.

    This tells a torn tail (nothing sound follows) from damage in the middle of a file. No record
    can have an id above ``highest_id``, which saves the checksums of most of what is none.
    """
    for candidate in range(offset, len(data) - HEADER_SIZE + 1):
        _, _, record_type, record_id = _HEADER.unpack_from(data, candidate)
        if not PUSH <= record_type <= DISCARD or record_id > highest_id:
            continue
        if next(walk(data, candidate, salt), None) is not None:
            return candidate
    return None
