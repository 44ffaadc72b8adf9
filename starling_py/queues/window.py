"""The window: the items of a queue that are in memory, from its head on, as far as there is room.

While the window holds the whole queue, a put goes into it at once. When it is full, the queue is
*behind*: what is put is only in the journal, and is read back, a block at a time, when the window
has room again. Invariant: the items are in the order of the queue, and none in between is left
out, unless it is set aside, open or being moved.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from starling_py.journal.blocks import OVERHEAD, Position
from starling_py.journal.format.record import Item

READING: Final = 1 << 18
"""Bytes to read back at a time, if the window has so much room."""
LARGE_READING: Final = 1 << 23
"""The most bytes to read back at a time, where items are large."""
SEVERAL: Final = 32
"""Items of average size to read back at a time: to begin a reading for each takes longer than to
read it."""


@dataclass
class WindowSizes:
    """How much memory the windows may take."""

    each: int
    """Bytes for one queue at the most."""
    total: int
    """Bytes for all queues together, about."""
    limit: int = 0
    """Bytes for one queue, given how many queues there are."""

    def __post_init__(self) -> None:
        self.share(1)

    def share(self, queues: int) -> None:
        """Divide the memory among this many queues."""
        self.limit = min(self.each, self.total // max(queues, 1))


@dataclass
class Window:
    """The items in memory, and where to read on."""

    items: deque[Item] = field(default_factory=deque)
    behind: bool = False
    """Whether items after the window's end are only in the journal."""
    last_id: int = 0
    """While behind: the items up to this id are, or were, in the window."""
    position: Position | None = None
    """While behind: where to read on; ``None`` when that must be looked for."""
    low: int = 0
    """While behind: with fewer items than this, more are read."""
    bytes: int = 0
    """While behind: bytes of the data in the window."""

    @property
    def size(self) -> int:
        """While behind: bytes of memory that the window takes."""
        return self.bytes + OVERHEAD * len(self.items)

    def room(self, limit: int, average: int) -> int:
        """Return how many bytes to read back next, at least 1: that brings one item.

        ``limit`` is what the whole window may take, ``average`` the size of an item, in bytes.
        """
        wanted = max(READING, min(SEVERAL * average, LARGE_READING))
        return min(wanted, max(limit - self.size, 1))

    def remove(self, item_id: int) -> bool:
        """Take out an item, wherever it stands; return whether it was here."""
        items = self.items
        at = bisect_left(items, item_id, key=lambda item: item.id)
        if at == len(items) or items[at].id != item_id:
            return False
        self.bytes -= len(items[at].data) if self.behind else 0
        del items[at]
        return True

    def behind_id(self, item_id: int, count: int) -> list[Item]:
        """Return the first ``count`` items whose ids are above one, from anywhere in the window.

        By their numbers, each would be looked for from the nearer end.
        """
        items = self.items
        start = bisect_right(items, item_id, key=lambda item: item.id)
        end = min(start + count, len(items))
        if start <= len(items) - end:
            return list(islice(items, start, end))
        found = list(islice(reversed(items), len(items) - end, len(items) - start))
        found.reverse()
        return found

    def fall_behind(self, last_id: int, position: Position) -> None:
        """Leave what comes after ``last_id`` to the journal, where it begins at ``position``."""
        self.behind = True
        self.last_id = last_id
        self.position = position
        self.low = max(1, len(self.items) // 2)
        self.bytes = sum(len(item.data) for item in self.items)

    def clear(self) -> deque[Item]:
        """Forget everything; there is nothing to read back. Returns what was in it."""
        gone, self.items = self.items, deque()
        self.behind = False
        self.position = None
        return gone

    def reread(self, last_id: int) -> None:
        """Begin, empty, to read back what the journal holds after ``last_id``."""
        self.behind = True
        self.last_id = last_id
        self.position = None
        self.low = 1
        self.bytes = 0

    def add(self, items: list[Item]) -> None:
        """Add items that were read back."""
        self.items += items
        self.bytes += sum(len(item.data) for item in items)
        self.low = max(1, len(self.items) * 3 // 4)

    def cut(self, limit: int) -> None:
        """Drop items from the end until the window takes ``limit`` bytes, but not the head."""
        self.bytes = sum(len(item.data) for item in self.items)
        while self.size > limit and len(self.items) > 1:
            self.bytes -= len(self.items.pop().data)
        self.behind = True
        self.last_id = self.items[-1].id
        self.position = None
        self.low = max(1, len(self.items) // 2)
