"""Items read back from the segments of a journal, in order, a block at a time.

Reading goes from a position, a segment and an offset in it, and holds no file open between two
blocks. Every record that is passed is checked, also those that are not wanted. Nothing is changed
on the disk, so it may run in any thread.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from starling_py.journal.disk.files import Files
from starling_py.journal.errors import JournalDamagedError, SegmentError, unforeseen
from starling_py.journal.format import record, segment
from starling_py.journal.format.record import Item
from starling_py.journal.format.segment import UNFINISHED_SUFFIX, Segment
from starling_py.journal.id_ranges import IdRanges

BLOCK: Final = 1 << 17
"""Bytes read at once while ``room`` is small. Not more: decoding the items of a block keeps the
interpreter from the tick."""
LARGE_BLOCK: Final = 1 << 18
"""Bytes read at once, at least, where a record is larger than a block."""

_MARKED: Final = record.PUTS - {record.PUSH}
OVERHEAD: Final = 256
"""Bytes that an item takes in memory beside its data, about."""

Position = tuple[int, int]
"""The number of a segment and an offset in it; offset 0 stands for its first record."""


@dataclass
class Reading:
    """One piece of reading: the items in the next block from a position on, as far as they fit.

    What is left of the block, and of the segments, is for the next piece.
    """

    files: Files
    salt: int
    segments: Sequence[Segment]
    """Where to read, oldest first: copies, as they were when the reading was built."""
    position: Position
    """Where to begin; after ``run``, where to go on."""
    after_id: int
    """Items with this id or a lower one are passed over."""
    removed_ids: IdRanges
    """Items with these ids are passed over."""
    room: int
    """Bytes of memory that the items may take; the last one may exceed it. Up to half as many are
    read from the disk at once, or a block."""
    complete: bool = True
    """Whether ``segments`` are all that the journal has from the position on."""
    items: list[Item] = field(default_factory=list)
    """What was found."""
    marked: bool = False
    """Whether there are marked items among them."""
    at_end: bool = False
    """Whether everything up to the end of the journal was read."""
    error: OSError | JournalDamagedError | None = None
    """What stopped the reading; ``None`` if nothing did."""

    def run(self) -> None:
        """Read, and keep what is found in ``items``, what goes wrong in ``error``."""
        try:
            for each in self.segments:
                if each.number < self.position[0]:
                    continue
                if each.number > self.position[0]:
                    self.position = (each.number, 0)
                try:
                    more = not self._read(each)
                except FileNotFoundError:
                    if not each.path.endswith(UNFINISHED_SUFFIX):
                        raise
                    # A sync has given it its final name since this was built.
                    each.path = each.path.removesuffix(UNFINISHED_SUFFIX)
                    more = not self._read(each)
                if more:
                    return
            self.at_end = self.complete
        except (OSError, JournalDamagedError) as error:
            self.error = error
        except Exception as defect:
            self.error = unforeseen(defect)

    def _read(self, each: Segment) -> bool:
        """Read the next block of a segment; return whether there was none left."""
        number, offset = self.position
        end = self.files.size(each.path) if each.compacted else each.size
        size = min(max(BLOCK, self.room // 2), end - offset)
        if offset == 0 and end > 0:
            # One call reads the header and the first records.
            data = read_at(self.files, each.path, 0, max(size, min(segment.MAX_HEADER, end)))
            offset = _first_record(each.path, data)
            self.position = (number, offset)
            data = data[offset:]
        else:
            data = read_at(self.files, each.path, offset, size) if size > 0 else b""
        if offset >= end:
            return True
        last = self._take(data)
        if last == 0:
            needed = record.needed(memoryview(data), 0)
            if needed <= len(data) or offset + needed > end:
                raise JournalDamagedError(each.path, offset, "this record is not sound")
            size = min(max(needed, LARGE_BLOCK), end - offset)
            data = read_at(self.files, each.path, offset, size)
            last = self._take(data)
            if last == 0:
                raise JournalDamagedError(each.path, offset, "this record is not sound")
        self.position = (number, offset + last)
        return False

    def _take(self, data: bytes) -> int:
        """Add the wanted items of a block, as far as they fit; return where to go on in it.

        0 means that it begins with no whole record. Ordinary puts are decoded here, with one call
        each; everything else is left to ``_take_others``.
        """
        items, salt, after_id = self.items, self.salt, self.after_id
        removed_ids = self.removed_ids or None
        end = 0
        while True:
            item = record.push_at(data, end, salt)
            if item is None:
                behind = self._take_others(memoryview(data), end)
                if behind == end:
                    return end
                end = behind
                continue
            # As ``_wants`` does, but for two calls: every item of a deep queue comes here.
            item_id, size = item.id, len(item.data)
            if item_id > after_id and (removed_ids is None or item_id not in removed_ids):
                if self.room <= 0:
                    return end
                items.append(item)
                self.room -= size + OVERHEAD
            end += record.PUSH_HEADER_SIZE + size

    def _take_others(self, data: memoryview, offset: int) -> int:
        """Add the marked items up to the next ordinary put; return where that, or the end, is."""
        for record_type, record_id, start, end in record.walk(data, offset, self.salt):
            if record_type == record.PUSH:
                return offset
            if record_type in _MARKED and self._wants(record_id):
                if self.room <= 0:
                    return offset
                item = record.marked_item_at(data, start, end)
                self.items.append(item)
                self.marked = True
                self.room -= len(item.data) + OVERHEAD
            offset = end
        return offset

    def _wants(self, item_id: int) -> bool:
        return item_id > self.after_id and not (self.removed_ids and item_id in self.removed_ids)


def read_at(files: Files, path: str, offset: int, size: int) -> bytes:
    """Return ``size`` bytes from ``offset`` on.

    Raises ``JournalDamagedError`` if the file ends before, and ``OSError``.
    """
    data = files.read_at(path, offset, size)
    if len(data) < size:
        end = offset + len(data)
        raise JournalDamagedError(path, end, f"the file ends here, not at byte {offset + size}")
    return data


def first_record(files: Files, path: str) -> int:
    """Return where the first record of a segment starts.

    Raises ``OSError`` and ``JournalDamagedError``.
    """
    return _first_record(path, files.read_at(path, 0, segment.MAX_HEADER))


def _first_record(path: str, data: bytes) -> int:
    """Return where the first record starts of a segment that begins with ``data``."""
    try:
        return segment.decode(memoryview(data))[1]
    except SegmentError as problem:
        raise JournalDamagedError(path, 0, str(problem)) from problem


def pushes(files: Files, salt: int, each: Segment) -> Iterator[list[tuple[int, bytes]]]:
    """Yield, block by block, the id and the whole record of each item put in a segment.

    Raises ``OSError`` and ``JournalDamagedError``.
    """
    offset = first_record(files, each.path)
    end = files.size(each.path) if each.compacted else each.size
    size = BLOCK
    while offset < end:
        data = memoryview(read_at(files, each.path, offset, min(size, end - offset)))
        found = list(record.walk(data, 0, salt))
        if not found:
            needed = record.needed(data, 0)
            if needed <= len(data) or offset + needed > end:
                raise JournalDamagedError(each.path, offset, "this record is not sound")
            size = needed
            continue
        size = BLOCK
        yield [
            (record_id, bytes(data[start:stop]))
            for record_type, record_id, start, stop in found
            if record_type in record.PUTS
        ]
        offset += found[-1][3]
