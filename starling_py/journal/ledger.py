"""The ledger: which items of a journal are live, and how many of them each segment holds.

It knows ids and sizes and no item's data, so what it costs grows with the segments and with the
gaps among the live items, never with the items. Writing a journal and reading it back both go
through it, so what a running server counts is what a start would find. It never touches a file.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Container, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from starling_py.journal.format import record
from starling_py.journal.format.record import Item
from starling_py.journal.format.segment import Segment
from starling_py.journal.id_ranges import IdRanges


@dataclass(init=False, unsafe_hash=True)
class Facts:
    """What is to be known of a live item beside its record. As an item, it is never changed."""

    deliveries: int
    """How often it was handed out for a reliable read."""
    due_ms: int
    """Not to be handed out before this time, if it came back with a delay; else 0."""
    front: bool
    """Whether it was put in front of all others."""

    def __init__(self, deliveries: int = 0, due_ms: int = 0, front: bool = False) -> None:
        self.deliveries = deliveries
        self.due_ms = due_ms
        self.front = front


_UNMARKED: Final = Facts()


@dataclass
class Ledger:
    """What is live in one journal. Ids below ``head`` and those among ``gone`` are not."""

    segments: list[Segment] = field(default_factory=list)
    """Those with live items, and the one that is written to, in the order of writing."""
    head: int = 1
    """No live item has a lower id."""
    removed_ids: IdRanges = field(default_factory=IdRanges)
    """Ids from ``head`` on that are not live any more."""
    next_id: int = 1
    """The id that the next item gets."""
    items: int = 0
    """Live items."""
    bytes: int = 0
    """Bytes of the live items' data."""
    deleted: bool = False
    """Whether the queue was deleted, and nothing was put since."""
    facts: dict[int, Facts] = field(default_factory=dict)
    """What is to be known of a few live items, by their ids."""
    first_id: int = 1
    """The id of the first item since the queue was made."""
    has_dead: bool = False
    """Whether a segment may have no live item left."""
    _older_size: int | None = field(default=None, compare=False)

    @classmethod
    def of_new_queue(cls, first_id: int = 1) -> "Ledger":
        """Return the ledger of a queue that does not exist yet, and gets its first id then."""
        return cls(head=first_id, next_id=first_id, deleted=True, first_id=first_id)

    def copy(self) -> "Ledger":
        """Return a ledger of its own that tells the same."""
        return replace(
            self,
            segments=[replace(each) for each in self.segments],
            removed_ids=self.removed_ids.copy(),
            facts=self.facts.copy(),
        )

    @property
    def size(self) -> int:
        """Bytes of all segments on disk."""
        return sum(each.size for each in self.segments)

    @property
    def live_size(self) -> int:
        """Bytes that the records of the live items take."""
        return self.bytes + self.items * record.PUSH_HEADER_SIZE

    def is_live(self, item_id: int) -> bool:
        """Tell whether an item is in the queue."""
        return self.head <= item_id < self.next_id and not (
            self.removed_ids and item_id in self.removed_ids
        )

    def pushed(self, items: int, size: int, next_id: int) -> None:
        """Take items of ``size`` bytes of data altogether into the last segment."""
        last = self.segments[-1]
        last.items += items
        last.bytes += size
        self.items += items
        self.bytes += size
        self.next_id = next_id
        self.deleted = False

    def opened(self, item_id: int) -> None:
        """Count one more delivery of an item, if it is live."""
        if self.is_live(item_id):
            mark = self.facts.get(item_id, _UNMARKED)
            self.facts[item_id] = Facts(mark.deliveries + 1, mark.due_ms, mark.front)

    def delayed(self, item_id: int, due_ms: int) -> None:
        """Keep an item back until a time, if it is live."""
        if self.is_live(item_id):
            mark = self.facts.get(item_id, _UNMARKED)
            self.facts[item_id] = Facts(mark.deliveries, due_ms, mark.front)

    def removed_all(self, items: Sequence[Item]) -> None:
        """Let items go: at once those that are taken in turn, as most are."""
        taken = 0
        if not self.removed_ids and not self.facts:
            segments, head, size = self.segments, self.head, 0
            end = segments[1].first_id if len(segments) > 1 else self.next_id
            for item in items:
                if item.id != head or head >= end:
                    break
                head += 1
                size += len(item.data)
            taken = head - self.head
            if taken:
                self.head = head
                self._count_out(segments[0], taken, size)
        for item in items[taken:]:
            self.removed(item.id, len(item.data))

    def removed(self, item_id: int, size: int) -> None:
        """Let an item go, if it is live."""
        if item_id == self.head and item_id < self.next_id:
            self.head = item_id + 1
            if self.removed_ids:
                self.head = self.removed_ids.skip(item_id + 1)
                self.removed_ids.drop_below(self.head)
        elif self.is_live(item_id):
            self.removed_ids.add(item_id, item_id + 1)
        else:
            return
        if self.facts:
            self.facts.pop(item_id, None)
        segments = self.segments
        segment = segments[0]
        if len(segments) > 1 and item_id >= segments[1].first_id:
            segment = self.segment_of(item_id)
        self._count_out(segment, 1, size)

    def _count_out(self, segment: Segment, items: int, size: int) -> None:
        """Count items as gone that a segment held, and the bytes of their data."""
        segment.items -= items
        segment.bytes -= size
        self.items -= items
        self.bytes -= size
        if not segment.items and segment is not self.segments[-1]:
            self.has_dead = True  # the last one cannot go; ``begin_segment`` looks at it once more

    def given_up(self, first_id: int, last_id: int, items: int, size: int) -> None:
        """Let go of what one segment holds from an id on, up to and with another."""
        self._count_out(self.segment_of(first_id), items, size)
        self.removed_ids.add(max(first_id, self.head), last_id + 1)
        self.head = self.removed_ids.skip(self.head)
        self.removed_ids.drop_below(self.head)
        for item_id in [each for each in self.facts if first_id <= each <= last_id]:
            del self.facts[item_id]
        self.has_dead = True

    def flushed(self, last_id: int, kept: Sequence[tuple[int, int]] = ()) -> None:
        """Let go of everything; ``last_id`` is the highest id given out.

        Of live items, those in ``kept``, by id and size and in order, stay.
        """
        kept = [each for each in kept if self.is_live(each[0])]
        self.next_id = max(self.next_id, last_id + 1)
        for each in self.segments:
            each.items = each.bytes = 0
        self.items = self.bytes = 0
        self.removed_ids = IdRanges()
        self.head = behind = kept[0][0] if kept else self.next_id
        facts, self.facts = self.facts, {}
        for item_id, size in kept:
            if item_id > behind:
                self.removed_ids.add(behind, item_id)
            behind = item_id + 1
            segment = self.segment_of(item_id)
            segment.items += 1
            segment.bytes += size
            self.items += 1
            self.bytes += size
            if item_id in facts:
                self.facts[item_id] = facts[item_id]
        if behind < self.next_id and kept:
            self.removed_ids.add(behind, self.next_id)
        self.has_dead = True

    def segment_of(self, item_id: int) -> Segment:
        """Return the segment that holds a live item."""
        index = bisect_right(self.segments, item_id, key=lambda each: each.first_id)
        return self.segments[max(index - 1, 0)]

    def segment(self, number: int) -> Segment | None:
        """Return the segment with this number, if it is still needed."""
        index = self.index(number)
        found = self.segments[index] if index < len(self.segments) else None
        return found if found is not None and found.number == number else None

    def index(self, number: int) -> int:
        """Return the place of the first segment with this number or a higher one."""
        return bisect_left(self.segments, number, key=lambda each: each.number)

    def begin_segment(self, segment: Segment) -> None:
        """Go on with a new last segment."""
        if self.segments and not self.segments[-1].items:
            self.has_dead = True
        self.segments.append(segment)
        self._older_size = None

    def replace(self, numbers: Container[int], replacement: Segment) -> bool:
        """Let one segment take the place, and the items, of others; return whether any is left."""
        older = [each for each in self.segments if each.number in numbers]
        if older:
            replacement.items = sum(each.items for each in older)
            replacement.bytes = sum(each.bytes for each in older)
            self.segments = [each for each in self.segments if each.number not in numbers]
            self.segments.insert(self.index(replacement.number), replacement)
            self.has_dead = True
            self._older_size = None
        return bool(older)

    @property
    def waste(self) -> int:
        """Bytes of all segments but the last that are not of live items."""
        if self._older_size is None:
            self._older_size = sum(each.size for each in self.segments[:-1])
        last = self.segments[-1]
        return self._older_size - self.live_size + last.size - last.waste

    def take_dead(self, but: Container[int] = ()) -> list[Segment]:
        """Forget the segments without live items, all but the last, and return them.

        Those whose numbers are in ``but`` stay for now.
        """
        if not self.has_dead:
            return []
        dead = [each for each in self.segments[:-1] if not each.items and each.number not in but]
        if dead:
            gone = {each.number for each in dead}
            self.segments = [each for each in self.segments if each.number not in gone]
            self._older_size = None
        self.has_dead = any(not each.items for each in self.segments[:-1])
        return dead
