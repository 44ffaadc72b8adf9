"""The ledger: which items of a journal are live, and how many of them each segment holds.

It has ids and sizes, but no item's data: its memory grows with the segments and with the gaps among
the live items, never with the items. (The few items with ``Facts`` take a little each.) Writing a
journal and reading it back both go through it, so what a running server counts is what a start
would find. It never touches a file.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Container, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from starling_py.journal.format import record
from starling_py.journal.format.record import Item
from starling_py.journal.format.segment import Segment
from starling_py.journal.id_ranges import IdRanges
from starling_py.journal.tokens import Digest, Tokens


@dataclass(init=False, unsafe_hash=True)
class Facts:
    """What happened to a live item, beyond the record of its put. Treat it as immutable."""

    deliveries: int
    """How often it was handed out for a reliable read."""
    due_ms: int
    """When it may be handed out, in ms since the Unix epoch, if it came back with a delay; else 0.
    """
    front: bool
    """Whether it was put in front of all others."""

    def __init__(self, deliveries: int = 0, due_ms: int = 0, front: bool = False) -> None:
        self.deliveries = deliveries
        self.due_ms = due_ms
        self.front = front


_NO_FACTS: Final = Facts()
FOR_EVER: Final = -1
"""The end of a pause that has none."""


@dataclass
class Ledger:
    """What is live in one journal: ids from ``head`` on, except ``removed_ids``."""

    segments: list[Segment] = field(default_factory=list)
    """The segments with live items, and the one that is written to, in the order of writing."""
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
    """Whether the queue was deleted and nothing was put since; so too before its first put."""
    facts: dict[int, Facts] = field(default_factory=dict)
    """The facts of the few live items that have any, by their ids."""
    first_id: int = 1
    """The id of the first item since the queue was made."""
    paused_ms: int = 0
    """Until when nothing is to be taken, in milliseconds since the Unix epoch: 0 if the queue was
    not paused, ``FOR_EVER`` if for no certain time."""
    tokens: Tokens | None = None
    """The tokens of puts, of those too whose items are gone; ``None`` if there was none."""
    has_dead: bool = False
    """Whether some segment but the last may have no live item left."""
    _older_size: int | None = field(default=None, compare=False)
    """Bytes of all segments but the last; ``None`` if they have to be added up anew."""

    @classmethod
    def of_new_queue(cls, first_id: int = 1) -> "Ledger":
        """Return the ledger of a queue that is yet to be made; its first item gets ``first_id``."""
        return cls(head=first_id, next_id=first_id, deleted=True, first_id=first_id)

    def copy(self) -> "Ledger":
        """Return an equal ledger that shares nothing with this one."""
        return replace(
            self,
            segments=[replace(each) for each in self.segments],
            removed_ids=self.removed_ids.copy(),
            facts=self.facts.copy(),
            tokens=None if self.tokens is None else self.tokens.copy(),
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
        """Count ``items`` more items, ``size`` bytes of data altogether, in the last segment.

        ``next_id`` is the id behind the highest of them.
        """
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
            facts = self.facts.get(item_id, _NO_FACTS)
            self.facts[item_id] = Facts(facts.deliveries + 1, facts.due_ms, facts.front)

    def delayed(self, item_id: int, due_ms: int) -> None:
        """Keep an item back until ``due_ms``, in ms since the Unix epoch, if it is live."""
        if self.is_live(item_id):
            facts = self.facts.get(item_id, _NO_FACTS)
            self.facts[item_id] = Facts(facts.deliveries, due_ms, facts.front)

    def removed_all(self, items: Sequence[Item]) -> None:
        """Remove items; those that are not live count for nothing."""
        # Most items are taken in the order of their ids, from one segment and with no gaps: those
        # are counted in one go. As soon as that does not hold, ``removed`` does the rest.
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
        """Remove an item with ``size`` bytes of data, if it is live."""
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
        """Count ``items`` fewer items, ``size`` bytes of data altogether, in a segment."""
        segment.items -= items
        segment.bytes -= size
        self.items -= items
        self.bytes -= size
        if not segment.items and segment is not self.segments[-1]:
            self.has_dead = True  # the last one stays; ``begin_segment`` looks at it again

    def given_up(self, first_id: int, last_id: int, items: int, size: int) -> None:
        """Remove the live items from ``first_id`` to ``last_id``, which one segment holds.

        They are ``items`` items with ``size`` bytes of data altogether.
        """
        self._count_out(self.segment_of(first_id), items, size)
        self.removed_ids.add(max(first_id, self.head), last_id + 1)
        self.head = self.removed_ids.skip(self.head)
        self.removed_ids.drop_below(self.head)
        for item_id in [each for each in self.facts if first_id <= each <= last_id]:
            del self.facts[item_id]
        self.has_dead = True

    def flushed(self, last_id: int, kept: Sequence[tuple[int, int]] = ()) -> None:
        """Remove all items but those in ``kept``; ``last_id`` is the highest id given out.

        ``kept`` has ids and sizes, in order. Those of them that are not live count for nothing.
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

    def was_deleted(self, first_id: int) -> None:
        """Be the ledger of no queue; one that is made anew begins with ``first_id``."""
        self.deleted = True
        self.first_id = first_id
        self.paused_ms = 0
        self.tokens = None

    def saw(self, digest: Digest, put_ms: int, item_id: int) -> None:
        """Remember the token of an item that was put."""
        if self.tokens is None:
            self.tokens = Tokens()
        self.tokens.add(digest, put_ms, item_id)

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
        """Add a new last segment."""
        if self.segments and not self.segments[-1].items:
            self.has_dead = True
        self.segments.append(segment)
        self._older_size = None

    def replace(self, numbers: Container[int], replacement: Segment) -> bool:
        """Put ``replacement`` in the place of segments, with their items.

        Returns ``False``, and changes nothing, if none of them is in the ledger any more.
        """
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
        """Bytes of all segments but the last that are not records of live items."""
        if self._older_size is None:
            self._older_size = sum(each.size for each in self.segments[:-1])
        last = self.segments[-1]
        return self._older_size - self.live_size + last.size - last.waste

    def take_dead(self, but: Container[int] = ()) -> list[Segment]:
        """Drop the segments without live items from the ledger, except the last, and return them.

        Those whose numbers are in ``but`` stay for now.
        """
        if not self.has_dead:
            return []
        dead = [each for each in self.segments[:-1] if not each.items and each.number not in but]
        if dead:
            numbers = {each.number for each in dead}
            self.segments = [each for each in self.segments if each.number not in numbers]
            self._older_size = None
        self.has_dead = any(not each.items for each in self.segments[:-1])
        return dead
