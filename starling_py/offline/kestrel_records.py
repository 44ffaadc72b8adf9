"""The records of a Kestrel journal, and what they do to a queue.

The layouts and their meaning are taken from ``Journal.readJournalEntry`` and
``PersistentQueue.replayJournal`` of twitter-archive/kestrel at cc280ec, also where the document
that came with it says otherwise. All numbers are little-endian and signed.
"""

import struct
from collections.abc import Iterator

import attrs

from starling_py.offline import old_spool
from starling_py.offline.errors import NoRecordError
from starling_py.offline.old_spool import OldFile, Unmatched

ADD_WITH_SECONDS = 0
"""As in Starling: size, expiry in seconds, data."""
REMOVE = 1
"""The item at the head left the queue."""
ADD = 2
"""Size; the times of the put and of the expiry in milliseconds, 0 for never; data."""
OPEN_NEXT = 3
"""The item at the head was opened, under its own number or the next free one."""
SAVE_COUNTER = 4
"""The number that was given last."""
ABORT = 5
"""The item that is open under this number came back to the head."""
CONFIRM = 6
"""The item that is open under this number left the queue."""
ADD_OPEN = 7
"""A number, then as ``ADD``: an item was put that will be opened under this number."""
CONTINUE = 8
"""A number, then as ``ADD``: the item open under this number left the queue, another was put."""
OPEN = 9
"""The item at the head was opened under this number."""

_NUMBERED = frozenset([SAVE_COUNTER, ABORT, CONFIRM, ADD_OPEN, CONTINUE, OPEN])
_TIMES_SIZE = {ADD_WITH_SECONDS: 4, ADD: 16, ADD_OPEN: 16, CONTINUE: 16}
_LONGEST_HEAD = 1 + 4 + 4 + 16
_NUMBER = struct.Struct("<i")
_TIMES = struct.Struct("<qq")


@attrs.define
class Record:
    """One record as it was read. Treat it as immutable."""

    type: int
    offset: int
    """Where it starts in its file."""
    end: int
    """Where the next one starts."""
    number: int = 0
    """The number of an open read, which Kestrel calls xid; 0 where the type has none."""
    data_offset: int | None = None
    """Where the data of a put starts, up to the end of the record; ``None`` if nothing is put."""
    added_ms: int | None = None
    """When the item was put, in milliseconds since the Unix epoch; ``None`` if not recorded."""
    expiry_ms: int = 0
    """When the item expires, in milliseconds since the Unix epoch; 0 for never."""


def read_all(file: OldFile) -> Iterator[Record]:
    """Yield the records of a file. Raises ``UnreadableError`` at bytes that are no record."""
    offset = 0
    while offset < file.end:
        record = _read(file, offset)
        yield record
        offset = record.end


def has_put(file: OldFile) -> bool:
    """Tell whether a file has a sound record of a put. Raises ``UnreadableError`` of the disk."""
    try:
        return any(record.data_offset is not None for record in read_all(file))
    except NoRecordError:
        return False


def _read(file: OldFile, offset: int) -> Record:
    head = file.read(offset, _LONGEST_HEAD)
    if not head:
        raise file.cut_short(offset)
    kind = head[0]
    if kind > OPEN:
        raise file.no_record(offset, f"byte {kind:#04x} begins no record")
    size_at = 5 if kind in _NUMBERED else 1
    times_size = _TIMES_SIZE.get(kind)
    data_at = size_at if times_size is None else size_at + 4 + times_size
    if len(head) < size_at:
        raise file.cut_short(offset)
    number = _NUMBER.unpack_from(head, 1)[0] if kind in _NUMBERED else 0
    if times_size is None:
        return Record(kind, offset, offset + data_at, number)
    if len(head) < size_at + 4:
        raise file.cut_short(offset)
    (size,) = _NUMBER.unpack_from(head, size_at)
    if not times_size <= size <= times_size + old_spool.MAX_DATA:
        raise file.no_record(offset, f"this record has a size that cannot be: {size}")
    end = offset + size_at + 4 + size
    if len(head) < data_at or end > file.end:
        raise file.cut_short(offset)
    if kind == ADD_WITH_SECONDS:
        seconds = _NUMBER.unpack_from(head, size_at + 4)[0]
        return Record(kind, offset, end, number, offset + data_at, None, seconds * 1000)
    added_ms, expiry_ms = _TIMES.unpack_from(head, size_at + 4)
    return Record(kind, offset, end, number, offset + data_at, added_ms, expiry_ms)


@attrs.define
class Replay:
    """What is left in a queue after the records so far.

    An item is named by its place among all that were put; the first is 0. Items leave in this order
    unless they were opened, so only those that are open or came back have to be remembered.
    """

    head: int = 0
    """The first item that was never taken or opened."""
    put: int = 0
    """How many items were put."""
    came_back: list[int] = attrs.field(factory=list)
    """Items in front of ``head``; the last of the list is the next to leave."""
    open: dict[int, int] = attrs.field(factory=dict)
    """The item that is open under each number."""
    overtaken: list[tuple[int, int]] = attrs.field(factory=list)
    """Numbers that were used again while an item was open under them, and that item."""
    counter: int = 0
    """The number that was given last."""
    own_number: dict[int, int] = attrs.field(factory=dict)
    """For items put by ``ADD_OPEN``: the number to open them under."""
    unmatched: Unmatched = attrs.field(factory=Unmatched)

    @property
    def count(self) -> int:
        """How many items are left."""
        return len(self.in_front()) + self.put - self.head

    def in_front(self) -> list[int]:
        """Return the items that stand in front of ``head`` after a start of Kestrel, in order.

        Items that are still open come first, by their numbers: the lowest is the oldest, as numbers
        only grow while a server runs.
        """
        still_open = sorted([*self.open.items(), *self.overtaken])
        return [item for _, item in still_open] + self.came_back[::-1]

    def apply(self, record: Record, file: OldFile) -> None:
        """Replay one record of ``file``."""
        found = True
        if record.type == REMOVE:
            found = self._take() is not None
        elif record.type == OPEN_NEXT:
            found = self._open(None)
        elif record.type == OPEN:
            found = self._open(record.number)
        elif record.type == SAVE_COUNTER:
            self.counter = record.number
        elif record.type == ABORT:
            item = self.open.pop(record.number, None)
            found = item is not None
            if item is not None:
                self.came_back.append(item)
        elif record.type in (CONFIRM, CONTINUE):
            found = self.open.pop(record.number, None) is not None
        if record.data_offset is not None:
            if record.type == ADD_OPEN:
                self.own_number[self.put] = record.number
            self.put += 1
        if not found:
            self.unmatched.note(file.path, record.offset)

    def _take(self) -> int | None:
        """Take the item at the head, if there is one."""
        if self.came_back:
            item = self.came_back.pop()
        elif self.head < self.put:
            item = self.head
            self.head += 1
        else:
            return None
        return item

    def _open(self, number: int | None) -> bool:
        """Open the item at the head; without a number, under its own or the next free one."""
        item = self._take()
        if item is None:
            return False
        own = self.own_number.pop(item, None)
        if number is not None:
            self.counter = number
        elif own is not None:
            number = own
        else:
            number = self._next_number()
        if number in self.open:
            self.overtaken.append((number, self.open[number]))
        self.open[number] = item
        return True

    def _next_number(self) -> int:
        """Return the next free number: 32 bits, signed, never 0."""
        while True:
            self.counter = (self.counter + 1 + (1 << 31)) % (1 << 32) - (1 << 31)
            if self.counter and self.counter not in self.open:
                return self.counter
