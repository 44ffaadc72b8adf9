"""Items in memory that are not in the window: delayed, come back, or put in front.

Those that can be taken are *ready*, in the order of the queue: first what was put in front, the
latest of it before the others, then by id. ``waiting_items`` compares the first of them with the
head of the window. Nothing here knows the journal or clients.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from starling_py.journal.format.record import Item, MarkedItem
from starling_py.queues.deadlines import NEVER, Deadline, Deadlines


def place(item: Item) -> int:
    """Return a number that sorts an item among all items of its queue."""
    return -item.id if type(item) is MarkedItem and item.front else item.id


def _id(item: Item) -> int:
    return item.id


@dataclass(eq=False)
class _Delay:
    """One delay of an item, which may be delayed again later."""

    item: Item
    until: float
    """The time on the monotonic clock."""
    due_ms: int
    """The moment of the wall clock that this was reckoned from."""


def _nothing() -> None:
    """Tell nobody: the queue is gone."""


class SetAside:
    """The items of one queue that are set aside."""

    def __init__(self, deadlines: Deadlines, due: Callable[[], None]) -> None:
        """``due`` is called when a delay is over and an item has become ready."""
        self._deadlines = deadlines
        self._due = due
        self._delayed: dict[int, _Delay] = {}
        self._until: list[tuple[float, int, _Delay]] = []
        """A heap of the delayed ones by their times; some have become ready by the other heap."""
        self._until_by_wall: list[tuple[int, int, _Delay]] = []
        """The same by the moments of the wall clock that the times were reckoned from."""
        self._deadline: Deadline | None = None
        """Of the first time: one for each item would take as much memory as the item."""
        self._deadline_by_wall: Deadline | None = None
        self._serial = 0
        self.delayed_bytes = 0
        """Bytes of the data of those that are delayed."""
        self.ready: list[tuple[int, Item]] = []
        """Those that can be taken: a heap of their places and themselves; always the same list."""
        self._oldest: Item | None = None
        """The one of those that was put first; ``None`` if it must be looked for."""

    def __len__(self) -> int:
        return len(self._delayed) + len(self.ready)

    @property
    def delayed(self) -> int:
        """How many are delayed."""
        return len(self._delayed)

    def add(self, item: Item) -> None:
        """Add an item that can be taken at once."""
        heapq.heappush(self.ready, (place(item), item))
        if self._oldest is not None and item.id < self._oldest.id:
            self._oldest = item

    def delay(self, item: Item, until: float, due_ms: int) -> None:
        """Add an item that can be taken from a monotonic time on.

        ``due_ms`` is the moment of the wall clock that this was reckoned from. When that comes
        first, as after a jump, the item can be taken then.
        """
        self._delayed[item.id] = delay = _Delay(item, until, due_ms)
        self.delayed_bytes += len(item.data)
        self._serial += 1
        heapq.heappush(self._until, (until, self._serial, delay))
        heapq.heappush(self._until_by_wall, (due_ms, self._serial, delay))
        if self._until[0][2] is delay:
            self._wait()
        if self._until_by_wall[0][2] is delay:
            self._wait_by_wall()

    def let_go(self) -> None:
        """Refer to the queue no more: it is gone, and nothing is set aside."""
        self._due = _nothing

    def pop(self) -> Item:
        """Take out the first of those that are ready."""
        item = heapq.heappop(self.ready)[1]
        if item is self._oldest:
            self._oldest = None
        return item

    def oldest(self) -> Item | None:
        """Return the item that was put first of those that are ready; ``None`` without any.

        That is not the first one to be taken, if there are others in front.
        """
        ready = self.ready
        if not ready or ready[0][0] > 0:
            return ready[0][1] if ready else None
        if self._oldest is None:
            self._oldest = min((item for _, item in ready), key=_id)
        return self._oldest

    def in_order(self) -> Iterator[tuple[int, Item]]:
        """Return those that are ready one by one, with their places; none may change meanwhile."""
        ready = self.ready
        # In a heap no entry is larger than its children: so it is walked as far as it is needed,
        # with a small heap of those that may be next.
        ahead = [(ready[0][0], 0)] if ready else []
        while ahead:
            at = heapq.heappop(ahead)[1]
            yield ready[at]
            for child in (2 * at + 1, 2 * at + 2):
                if child < len(ready):
                    heapq.heappush(ahead, (ready[child][0], child))

    def due_ms(self, item_id: int) -> int:
        """Return the moment of the wall clock until which an item is delayed; 0 if it is not."""
        delay = self._delayed.get(item_id)
        return 0 if delay is None else delay.due_ms

    def remove(self, item_id: int) -> bool:
        """Take out an item, wherever it stands; return whether it was here."""
        delay = self._delayed.pop(item_id, None)
        if delay is not None:
            self.delayed_bytes -= len(delay.item.data)
            self._wait()
            self._wait_by_wall()
            return True
        for at, (_, item) in enumerate(self.ready):
            if item.id == item_id:
                del self.ready[at]
                heapq.heapify(self.ready)
                self._oldest = None
                return True
        return False

    def clear(self) -> tuple[list[tuple[int, Item]], list[_Delay]]:
        """Forget all of them; return lists that hold the last references to them."""
        ready, delayed = self.ready[:], list(self._delayed.values())
        self.ready.clear()
        self._oldest = None
        self._delayed, self._until, self._until_by_wall = {}, [], []
        self.delayed_bytes = 0
        self._wait()
        self._wait_by_wall()
        return ready, delayed

    def retain(self, is_live: Callable[[int], bool]) -> None:
        """Keep only the items whose ids ``is_live`` confirms."""
        self.ready[:] = [entry for entry in self.ready if is_live(entry[1].id)]
        heapq.heapify(self.ready)
        self._oldest = None
        self._delayed = {key: delay for key, delay in self._delayed.items() if is_live(key)}
        self.delayed_bytes = sum(len(delay.item.data) for delay in self._delayed.values())
        delays = list(enumerate(self._delayed.values(), self._serial + 1))
        self._serial += len(delays)
        self._until = [(each.until, number, each) for number, each in delays]
        self._until_by_wall = [(each.due_ms, number, each) for number, each in delays]
        heapq.heapify(self._until)
        heapq.heapify(self._until_by_wall)
        self._wait()
        self._wait_by_wall()

    def ids(self) -> set[int]:
        """Return the ids of all."""
        return {item.id for _, item in self.ready} | self._delayed.keys()

    def items(self) -> list[Item]:
        """Return all of them, in no order."""
        return [*(item for _, item in self.ready), *(each.item for each in self._delayed.values())]

    def _is_over(self, delay: _Delay) -> bool:
        return self._delayed.get(delay.item.id) is not delay

    def _wait(self) -> None:
        """Wait for the first time to come, whatever was waited for before."""
        heap = self._until
        while heap and self._is_over(heap[0][2]):
            heapq.heappop(heap)
        if self._deadline is not None:
            if heap and self._deadline.when == heap[0][0]:
                return
            self._deadlines.cancel(self._deadline)
            self._deadline = None
        if heap:
            self._deadline = self._deadlines.add(heap[0][0], self._is_due)

    def _wait_by_wall(self) -> None:
        """Wait for the first moment of the wall clock to come."""
        heap = self._until_by_wall
        while heap and self._is_over(heap[0][2]):
            heapq.heappop(heap)
        if self._deadline_by_wall is not None:
            if heap and self._deadline_by_wall.wall_ms == heap[0][0]:
                return
            self._deadlines.cancel(self._deadline_by_wall)
            self._deadline_by_wall = None
        if heap:
            self._deadline_by_wall = self._deadlines.add(NEVER, self._is_due_by_wall, heap[0][0])

    def _is_due(self) -> None:
        """Let one item become ready: its time has come."""
        self._deadline = None
        self._end(heapq.heappop(self._until)[2])

    def _is_due_by_wall(self) -> None:
        """Let one item become ready: its moment of the wall clock has come."""
        self._deadline_by_wall = None
        self._end(heapq.heappop(self._until_by_wall)[2])

    def _end(self, delay: _Delay) -> None:
        item = delay.item
        del self._delayed[item.id]
        self.delayed_bytes -= len(item.data)
        # The other heap may begin with it as well.
        self._wait()
        self._wait_by_wall()
        self.add(item)
        self._due()
