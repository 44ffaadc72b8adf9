"""The records of a journal: how each is written, and how a stretch of bytes is read back.

A record is a checksum, a length, a type, an id, and what its type adds (``docs/journal.md``
has the layout). The checksum covers everything after itself, so no damaged record is ever taken
for a sound one, whichever of its fields was hit. It is computed from the journal's salt on, which
clients do not know, so no item's data is ever taken for a record either. This module never
decides what damage means: ``walk`` stops in front of it, and the caller knows which file it reads.
A ``salt`` below is the 32 bits from the header of the segment.

To change the format: add a type or a field under a new ``segment.VERSION``, keep reading every
older version, write down the difference in ``docs/journal.md``, and add a golden file of the old
one to the tests.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from mypy_extensions import mypyc_attr

from starling_py.journal.format import origin, quick_crc
from starling_py.journal.format.origin import Origin

PUSH: Final = 1
"""An item was put at the end of the queue; the id is the item's."""
REMOVE: Final = 2
"""The item with this id left the queue. Since version 2, the record has its size as well."""
FLUSH: Final = 3
"""Every item with this id or a lower one left the queue, except those listed in the record: the
open ones, with their sizes. Before version 3 there was no such list."""
DELETE: Final = 4
"""The queue was deleted; the id is the highest one it had given out."""
RECLAIM: Final = 5
"""Version 1 only: segments numbered below this id hold nothing that is still needed."""
CHECKPOINT: Final = 6
"""Where the journal stood when this segment was begun; the id is the next item's."""
DISCARD: Final = 7
"""The items from this id to another one were given up because they cannot be read."""
OPEN: Final = 8
"""The item with this id was handed out and stays in the queue until it is confirmed: one more
delivery."""
DELAY: Final = 9
"""The item with this id is not to be handed out before a time."""
PUSH_MARKED: Final = 10
"""Like ``PUSH``, for an item that is due later, was put in front, or was delivered before."""
PAUSE: Final = 11
"""Nothing is to be taken from the queue before a time, or ever again; or no pause any more."""
PUSH_MOVED: Final = 12
"""Like ``PUSH_MARKED``, for an item that came from another queue: it tells from where."""
PUSH_ONCE: Final = 13
"""Like ``PUSH_MARKED``, for an item that was put with a token: it has the token's digest."""
PUTS: Final = frozenset({PUSH, PUSH_MARKED, PUSH_MOVED, PUSH_ONCE})
"""The records that hold an item."""

CHECKSUM_SIZE: Final = 4
_AFTER_CHECKSUM: Final = struct.Struct("<IBQ")
_PUSH_AFTER_CHECKSUM: Final = struct.Struct("<IBQqqI")
_REMOVE_AFTER_CHECKSUM: Final = struct.Struct("<IBQI")
_DISCARD_AFTER_CHECKSUM: Final = struct.Struct("<IBQQQQ")
_DELAY_AFTER_CHECKSUM: Final = struct.Struct("<IBQq")
_HEADER: Final = struct.Struct("<IIBQ")
_PUSH_HEADER: Final = struct.Struct("<IIBQqqI")
_SIZE: Final = struct.Struct("<I")
# Each put and get calls these: looked up here, once, they are not looked up in a module each time.
_crc32: Final = quick_crc.crc32
_pack_checksum: Final = struct.Struct("<I").pack
_pack_push: Final = _PUSH_AFTER_CHECKSUM.pack
_pack_remove: Final = _REMOVE_AFTER_CHECKSUM.pack
_unpack_push: Final = _PUSH_HEADER.unpack_from
_DISCARDED: Final = struct.Struct("<QQQ")
_KEPT: Final = struct.Struct("<QI")
_DUE: Final = struct.Struct("<q")
# due, deliveries, in front
_FACTS: Final = struct.Struct("<qIB")

LENGTH_OFFSET: Final = CHECKSUM_SIZE + 4
"""A record's length counts the bytes from here on."""
HEADER_SIZE: Final[int] = _HEADER.size
PUSH_HEADER_SIZE: Final[int] = _PUSH_HEADER.size
MARKED_HEADER_SIZE: Final = PUSH_HEADER_SIZE + _FACTS.size
REMOVE_SIZE: Final = HEADER_SIZE + _SIZE.size
"""Bytes of the record of a removal."""
DELAY_SIZE: Final = HEADER_SIZE + _DUE.size
"""Bytes of the longest record about one item that is neither a put nor a removal."""
MAX_DATA: Final = 1 << 30
"""Bytes of the largest item's data that a record may hold."""

TOKEN_SIZE: Final = 16
"""Bytes of the digest of a put's token."""

_BARE_LENGTH: Final = HEADER_SIZE - LENGTH_OFFSET
_PUSH_LENGTH: Final = PUSH_HEADER_SIZE - LENGTH_OFFSET
_MARKED_LENGTH: Final = MARKED_HEADER_SIZE - LENGTH_OFFSET
LENGTHS: Final = {
    PUSH: range(_PUSH_LENGTH, _PUSH_LENGTH + MAX_DATA + 1),
    REMOVE: (_BARE_LENGTH, _BARE_LENGTH + _SIZE.size),
    FLUSH: range(_BARE_LENGTH, _BARE_LENGTH + MAX_DATA, _KEPT.size),
    DELETE: (_BARE_LENGTH,),
    RECLAIM: (_BARE_LENGTH,),
    CHECKPOINT: range(_BARE_LENGTH, _BARE_LENGTH + MAX_DATA + 1),
    DISCARD: (_BARE_LENGTH + _DISCARDED.size,),
    OPEN: (_BARE_LENGTH,),
    DELAY: (_BARE_LENGTH + _DUE.size,),
    PUSH_MARKED: range(_MARKED_LENGTH, _MARKED_LENGTH + MAX_DATA + 1),
    PAUSE: (_BARE_LENGTH + _DUE.size,),
    PUSH_MOVED: range(
        _MARKED_LENGTH + origin.MIN_SIZE, _MARKED_LENGTH + origin.MAX_SIZE + MAX_DATA + 1
    ),
    PUSH_ONCE: range(_MARKED_LENGTH + TOKEN_SIZE, _MARKED_LENGTH + TOKEN_SIZE + MAX_DATA + 1),
}
"""For each type of record, the lengths that it can have."""
NO_LENGTHS: tuple[int, ...] = ()
"""The lengths of a type that does not exist."""

Found = tuple[int, int, int, int]
"""A sound record: its type, its id, where it starts and where it ends in the bytes given."""


@mypyc_attr(acyclic=True)
@dataclass(init=False)
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

    # Written by hand, as in other classes of which every put makes one: the ``__init__`` that
    # ``dataclass`` generates is not compiled, and calling it would go through the interpreter.
    def __init__(
        self,
        id: int,  # noqa: A002 - as the attribute
        added_ms: int,
        expiry_ms: int,
        flags: int,
        data: bytes,
    ) -> None:
        self.id = id
        self.added_ms = added_ms
        self.expiry_ms = expiry_ms
        self.flags = flags
        self.data = data


@mypyc_attr(acyclic=True)
@dataclass(init=False)
class MarkedItem(Item):
    """An item that is due later, stands in front, was delivered before or moved; few items are."""

    due_ms: int
    """When it may be handed out, in milliseconds since the Unix epoch; 0 for at once."""
    deliveries: int
    """How often it had been handed out before it came to this queue."""
    front: bool
    """Whether it was put in front of all others."""
    origin: Origin | None
    """Where it came from; ``None`` if it was put into this queue first."""
    token: bytes
    """The digest of the token that it was put with; empty if there was none."""

    def __init__(
        self,
        id: int,  # noqa: A002 - as the attribute
        added_ms: int,
        expiry_ms: int,
        flags: int,
        data: bytes,
        due_ms: int = 0,
        deliveries: int = 0,
        front: bool = False,
        origin: Origin | None = None,
        token: bytes = b"",
    ) -> None:
        super().__init__(id, added_ms, expiry_ms, flags, data)
        self.due_ms = due_ms
        self.deliveries = deliveries
        self.front = front
        self.origin = origin
        self.token = token


def push(item: Item, salt: int = 0) -> tuple[bytes, bytes]:
    """Return the record of a put in two pieces, head and data, so that the data is not copied."""
    data = item.data
    head = _pack_push(
        _PUSH_LENGTH + len(data), PUSH, item.id, item.added_ms, item.expiry_ms, item.flags
    )
    checksum = _crc32(data, _crc32(head, salt))
    return _pack_checksum(checksum) + head, data


def push_marked(item: MarkedItem, salt: int = 0) -> tuple[bytes, bytes]:
    """Return the record of a put of a marked item in two pieces, as ``push`` does."""
    data = item.data
    kind, more = PUSH_MARKED, b""
    if item.origin is not None:
        kind, more = PUSH_MOVED, origin.encode(item.origin)
    elif item.token:
        kind, more = PUSH_ONCE, item.token
    head = _PUSH_AFTER_CHECKSUM.pack(
        _MARKED_LENGTH + len(more) + len(data),
        kind,
        item.id,
        item.added_ms,
        item.expiry_ms,
        item.flags,
    ) + _FACTS.pack(item.due_ms, item.deliveries, item.front)
    head += more
    checksum = _crc32(data, _crc32(head, salt))
    return _pack_checksum(checksum) + head, data


def remove(item_id: int, size: int, salt: int = 0) -> bytes:
    """Return the record of a removal; ``size`` is that of the item's data in bytes."""
    head = _pack_remove(_BARE_LENGTH + _SIZE.size, REMOVE, item_id, size)
    return _pack_checksum(_crc32(head, salt)) + head


def discard(first_id: int, last_id: int, items: int, size: int, salt: int = 0) -> bytes:
    """Return the record that gives up the live items from ``first_id`` to ``last_id``.

    They are ``items`` items with ``size`` bytes of data altogether.
    """
    head = _DISCARD_AFTER_CHECKSUM.pack(
        _BARE_LENGTH + _DISCARDED.size, DISCARD, first_id, last_id, items, size
    )
    return _pack_checksum(_crc32(head, salt)) + head


def flush(last_id: int, kept: Iterable[tuple[int, int]], salt: int = 0) -> bytes:
    """Return the record of a flush; ``kept`` are ids and sizes of the items that stay, in order."""
    return bare(FLUSH, last_id, salt, b"".join(_KEPT.pack(*each) for each in kept))


def flush_size(kept: int) -> int:
    """Return the size in bytes of the record of a flush that leaves ``kept`` items."""
    return HEADER_SIZE + kept * _KEPT.size


def delay(item_id: int, due_ms: int, salt: int = 0) -> bytes:
    """Return the record that keeps an item back until ``due_ms``, in ms since the Unix epoch."""
    head = _DELAY_AFTER_CHECKSUM.pack(_BARE_LENGTH + _DUE.size, DELAY, item_id, due_ms)
    return _pack_checksum(_crc32(head, salt)) + head


def pause(last_id: int, until_ms: int, salt: int = 0) -> bytes:
    """Return the record of a pause, ``until_ms`` as in ``Ledger.paused_ms``; 0 ends it."""
    return bare(PAUSE, last_id, salt, _DUE.pack(until_ms))


def bare(record_type: int, record_id: int, salt: int = 0, payload: bytes = b"") -> bytes:
    """Return a record of any other type; most of them have no ``payload``."""
    head = _AFTER_CHECKSUM.pack(_BARE_LENGTH + len(payload), record_type, record_id) + payload
    return _pack_checksum(_crc32(head, salt)) + head


def walk(data: memoryview, offset: int, salt: int = 0) -> Iterator[Found]:
    """Yield the sound records from ``offset`` on; stop in front of bytes that are none."""
    limit = len(data) - HEADER_SIZE
    while offset <= limit:
        checksum, length, record_type, record_id = _HEADER.unpack_from(data, offset)
        end = offset + LENGTH_OFFSET + length
        if end > len(data) or length not in LENGTHS.get(record_type, NO_LENGTHS):
            return
        if _crc32(data[offset + CHECKSUM_SIZE : end], salt) != checksum:
            return
        yield record_type, record_id, offset, end
        offset = end


def needed(data: memoryview, offset: int) -> int:
    """Return how many bytes the record at ``offset`` claims to have; 0 if it cannot be a record.

    Where not even a whole header is left in ``data``, that is ``HEADER_SIZE``.
    """
    if offset + HEADER_SIZE > len(data):
        return HEADER_SIZE
    _, length, record_type, _ = _HEADER.unpack_from(data, offset)
    if length not in LENGTHS.get(record_type, NO_LENGTHS):
        return 0
    return int(LENGTH_OFFSET + length)


def push_at(data: bytes, offset: int, salt: int = 0) -> Item | None:
    """Return the item of the ``PUSH`` record at ``offset``; ``None`` if there is no sound one.

    It is ``walk`` and ``item_at`` in one step: reading a queue back is mostly this.
    """
    start = offset + PUSH_HEADER_SIZE
    if start > len(data):
        return None
    checksum, length, record_type, item_id, added_ms, expiry_ms, flags = _unpack_push(data, offset)
    end = offset + LENGTH_OFFSET + length
    if record_type != PUSH or end > len(data) or not start <= end <= start + MAX_DATA:
        return None
    body = data[start:end]
    if _crc32(body, _crc32(data[offset + CHECKSUM_SIZE : start], salt)) != checksum:
        return None
    return Item(item_id, added_ms, expiry_ms, flags, body)


def item_at(data: memoryview, start: int, end: int) -> Item:
    """Return the item of a sound record of a put."""
    _, _, _, item_id, added_ms, expiry_ms, flags = _PUSH_HEADER.unpack_from(data, start)
    return Item(item_id, added_ms, expiry_ms, flags, bytes(data[start + PUSH_HEADER_SIZE : end]))


def marked_item_at(data: memoryview, start: int, end: int) -> MarkedItem:
    """Return the item of a sound record of a put, other than ``PUSH``."""
    _, _, kind, item_id, added_ms, expiry_ms, flags = _PUSH_HEADER.unpack_from(data, start)
    due_ms, deliveries, front = _FACTS.unpack_from(data, start + PUSH_HEADER_SIZE)
    behind, came, token = start + MARKED_HEADER_SIZE, None, b""
    if kind == PUSH_MOVED:
        came = origin.decode(data, behind)
    elif kind == PUSH_ONCE:
        token = bytes(data[behind : behind + TOKEN_SIZE])
    body = bytes(data[behind + _size_of_more(kind, data, behind) : end])
    in_front = bool(front)
    return MarkedItem(
        item_id, added_ms, expiry_ms, flags, body, due_ms, deliveries, in_front, came, token
    )


def _size_of_more(kind: int, data: memoryview, behind: int) -> int:
    """Return how many bytes a put that is not ``PUSH`` has between its marks and the data."""
    if kind == PUSH_MOVED:
        return origin.size_at(data, behind)
    return TOKEN_SIZE if kind == PUSH_ONCE else 0


def any_item_at(record_type: int, data: memoryview, start: int, end: int) -> Item:
    """Return the item of a sound record of one of the types in ``PUTS``."""
    if record_type == PUSH:
        return item_at(data, start, end)
    return marked_item_at(data, start, end)


def data_size(record_type: int, data: memoryview, start: int, end: int) -> int:
    """Return the size of the item's data in a record of one of the types in ``PUTS``."""
    if record_type == PUSH:
        return end - start - PUSH_HEADER_SIZE
    behind = start + MARKED_HEADER_SIZE
    return end - behind - _size_of_more(record_type, data, behind)


def kept_items(data: memoryview, start: int, end: int) -> list[tuple[int, int]]:
    """Return the ids and sizes of the items that a sound ``FLUSH`` record leaves in the queue."""
    return list(_KEPT.iter_unpack(data[start + HEADER_SIZE : end]))


def due(data: memoryview, start: int) -> int:
    """Return the time in a sound ``DELAY`` or ``PAUSE`` record, in ms since the Unix epoch."""
    due_ms: int = _DUE.unpack_from(data, start + HEADER_SIZE)[0]
    return due_ms


def removed_size(data: memoryview, start: int, end: int) -> int | None:
    """Return the size of the item's data in a sound ``REMOVE`` record; version 1 has ``None``."""
    if end - start == HEADER_SIZE:
        return None
    size: int = _SIZE.unpack_from(data, start + HEADER_SIZE)[0]
    return size


def discarded(data: memoryview, start: int) -> tuple[int, int, int]:
    """Return the last id, the number of items and their bytes in a sound ``DISCARD`` record."""
    last_id, items, size = _DISCARDED.unpack_from(data, start + HEADER_SIZE)
    return int(last_id), int(items), int(size)
