"""Items in memory that are not in the window: delayed, come back, or put in front.

Those that can be taken are *ready*, in the order of the queue: first what was put in front, the
latest of it before the others, then by id. ``waiting_items`` compares the first of them with the
head of the window. Nothing here knows the journal or clients.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass

from starling_py.journal.format.record import Item, MarkedItem
from starling_py.queues.deadlines import Deadline, Deadlines


def place(item: Item) -> int:
    """Return a number that sorts an item among all items of its queue."""
    return -item.id if type(item) is MarkedItem and item.front else item.id


def _nothing() -> None:
    """Tell nobody: the queue is gone."""


@dataclass(eq=False)
class _Delayed:
    item: Item
    deadline: Deadline


class SetAside:
    """The items of one queue that are set aside."""

    def __init__(self, deadlines: Deadlines, due: Callable[[], None]) -> None:
        """``due`` is called when a delay is over and an item has become ready."""
        self._deadlines = deadlines
        self._due = due
        self._delayed: dict[int, _Delayed] = {}
        self.ready: list[tuple[int, Item]] = []
        """Those that can be taken: a heap of their places and themselves; always the same list."""

    def __len__(self) -> int:
        return len(self._delayed) + len(self.ready)

    @property
    def delayed(self) -> int:
        """How many are delayed."""
        return len(self._delayed)

    @property
    def delayed_bytes(self) -> int:
        """Bytes of the data of those that are delayed."""
        return sum(len(each.item.data) for each in self._delayed.values())

    def add(self, item: Item) -> None:
        """Add an item that can be taken at once."""
        heapq.heappush(self.ready, (place(item), item))

    def delay(self, item: Item, until: float, due_ms: int) -> None:
        """Add an item that can be taken from a monotonic time on.

        ``due_ms`` is the moment of the wall clock that this was reckoned from.
        """
        deadline = self._deadlines.add(until, lambda: self._is_due(item), due_ms)
        self._delayed[item.id] = _Delayed(item, deadline)

    def let_go(self) -> None:
        """Refer to the queue no more: it is gone, and nothing is set aside."""
        self._due = _nothing

    def pop(self) -> Item:
        """Take out the first of those that are ready."""
        return heapq.heappop(self.ready)[1]

    def retain(self, is_live: Callable[[int], bool]) -> None:
        """Keep only the items whose ids ``is_live`` confirms."""
        self.ready[:] = [entry for entry in self.ready if is_live(entry[1].id)]
        heapq.heapify(self.ready)
        for item_id in [each for each in self._delayed if not is_live(each)]:
            self._deadlines.cancel(self._delayed.pop(item_id).deadline)

    def ids(self) -> set[int]:
        """Return the ids of all."""
        return {item.id for _, item in self.ready} | self._delayed.keys()

    def items(self) -> list[Item]:
        """Return all of them, in no order."""
        return [item for _, item in self.ready] + [each.item for each in self._delayed.values()]

    def _is_due(self, item: Item) -> None:
        del self._delayed[item.id]
        self.add(item)
        self._due()
