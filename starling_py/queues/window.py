"""The part of a queue that is in memory: its head, and as much behind it as there is room for.

While the window holds the whole queue, what is put goes into it at once. When it is full, the
queue is *behind*: what is put is only in the journal, and is read back, a block at a time, when
the window has room again. The window holds the items in the order of the queue and leaves none
of them out.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from starling_py.journal.blocks import OVERHEAD, Position
from starling_py.journal.format.record import Item

READING: Final = 1 << 18
"""Bytes for which there is room when items are read back, as far as the window has it."""
LARGE_READING: Final = 1 << 23
"""The same where items are large."""
SEVERAL: Final = 32
"""Items for which there is room then, of the queue's average: reading anew for each would take
longer than the reading."""


@dataclass
class WindowSizes:
    """How much memory the windows may take."""

    each: int
    """Bytes for one queue at the most."""
    total: int
    """Bytes for all queues together, about."""
    limit: int = 0
    """Bytes for one queue, as many queues as there are."""

    def __post_init__(self) -> None:
        self.share(1)

    def share(self, queues: int) -> None:
        """Take notice of how many queues there are."""
        self.limit = min(self.each, self.total // max(queues, 1))


@dataclass
class Window:
    """The items in memory, and where to read on."""

    items: deque[Item] = field(default_factory=deque)
    behind: bool = False
    """Whether there are items that are not in the window."""
    last_id: int = 0
    """While behind: the items up to this id are, or were, in the window."""
    position: Position | None = None
    """While behind: where to read on; ``None`` when that must be looked for."""
    low: int = 0
    """While behind: below so many items, more are read."""
    bytes: int = 0
    """While behind: bytes of the data in the window."""

    @property
    def size(self) -> int:
        """While behind: bytes that the window takes."""
        return self.bytes + OVERHEAD * len(self.items)

    def room(self, limit: int, average: int) -> int:
        """Return for how many bytes there is room in what is read next, given an item's average.

        ``limit`` is what the whole window may take. Room for one byte is room for one item.
        """
        wanted = max(READING, min(SEVERAL * average, LARGE_READING))
        return min(wanted, max(limit - self.size, 1))

    def fall_behind(self, last_id: int, position: Position) -> None:
        """Leave what comes after ``last_id`` to the journal, which holds it from there on."""
        self.behind = True
        self.last_id = last_id
        self.position = position
        self.low = max(1, len(self.items) // 2)
        self.bytes = sum(len(item.data) for item in self.items)

    def clear(self) -> None:
        """Forget everything; there is nothing to be read."""
        self.items.clear()
        self.behind = False
        self.position = None

    def reread(self, last_id: int) -> None:
        """Forget everything, and read what the journal holds behind ``last_id``."""
        self.items.clear()
        self.behind = True
        self.last_id = last_id
        self.position = None
        self.low = 1
        self.bytes = 0

    def add(self, items: list[Item]) -> None:
        """Take what was read on."""
        self.items += items
        self.bytes += sum(len(item.data) for item in items)
        self.low = max(1, len(self.items) * 3 // 4)

    def cut(self, limit: int) -> None:
        """Leave what is beyond so many bytes to the journal, all but the head."""
        self.bytes = sum(len(item.data) for item in self.items)
        while self.size > limit and len(self.items) > 1:
            self.bytes -= len(self.items.pop().data)
        self.behind = True
        self.last_id = self.items[-1].id
        self.position = None
        self.low = max(1, len(self.items) // 2)
