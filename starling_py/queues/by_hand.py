"""Moving items because somebody asks for it: the oldest ones first, in steps.

Each item is moved as every other: put into its new queue, and removed from its own when it is safe
there. Counted are those whose removal is safe, too: a crash brings none of them back. One that is
refused stays in its place, and ends the work. Only what waits is moved; what is open or delayed
stays.
"""

from collections.abc import Callable
from typing import Final

from starling_py.journal.errors import JournalError
from starling_py.journal.format.origin import MOVED
from starling_py.journal.format.record import Item, MarkedItem
from starling_py.queues.errors import NotLoaded, NotSwept
from starling_py.queues.listing import Listing, listed, waits
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.queues.slices import LATER, Steps
from starling_py.queues.traffic import Move, Mover

_AT_ONCE: Final = 200
"""Items that are on their way at the same time."""


class HandMove:
    """The move of up to some number of items that wait in one queue."""

    def __init__(self, queue: PersistentQueue, mover: Mover, most: int) -> None:
        self._queue = queue
        self._mover = mover
        self._left = most
        self._under_way: list[Move] = []
        self.moved = 0
        """Items that are safe in their new queues, and removed here."""
        self.refused = ""
        """Why one was refused; empty while none was."""

    def to(self, target: bytes) -> Steps:
        """Move items to another queue. Raises ``JournalError`` where they cannot be read."""
        queue = self._queue
        while self._goes_on():
            if self._is_full():
                yield from self._wait(_AT_ONCE // 2)
                continue
            try:
                item = queue.peek(queue.now_ms)
            except NotSwept:
                yield LATER
                continue
            except NotLoaded as missing:
                yield missing
                continue
            if item is None:
                break
            queue.waiting.take(item)
            self._begin(item, target)
            yield None
        yield from self._wait(0)

    def back(self, may_put: Callable[[bytes], bool] | None = None) -> Steps:
        """Move each item to the queue that it came from; others stay.

        So do those whose queue ``may_put`` says no to; ``None`` says yes to all. Raises
        ``JournalError`` where they cannot be read.
        """
        after, last = 0, self._queue.next_id - 1
        while self._goes_on() and after < last:
            found: list[Item] = []
            yield from Listing(self._queue, after, _AT_ONCE, found.append).steps()
            after = found[-1].id if found else last
            for item in found:
                if self._is_full():
                    yield from self._wait(_AT_ONCE // 2)
                if not self._goes_on():
                    break
                self._begin_back(item, may_put)
                yield None
        yield from self._wait(0)

    def _goes_on(self) -> bool:
        return self._left > 0 and not self.refused and not self._queue.deleted

    def _is_full(self) -> bool:
        return len(self._under_way) >= _AT_ONCE or self._mover.crowded

    def _begin_back(self, item: Item, may_put: Callable[[bytes], bool] | None) -> None:
        queue = self._queue
        origin = item.origin if type(item) is MarkedItem else None
        if origin is None or origin.source == queue.name or not waits(queue, item.id):
            return
        if may_put is not None and not may_put(origin.source):
            return
        if listed(queue, item).state == "waiting":
            queue.waiting.take_out(item.id)
            self._begin(item, origin.source)

    def _begin(self, item: Item, target: bytes) -> None:
        queue = self._queue
        move = Move(queue, item, target, queue.deliveries(item), MOVED)
        self._left -= 1
        self._under_way.append(move)
        self._mover.begin_move(move)
        self._look(move)

    def _look(self, move: Move) -> None:
        self.refused = self.refused or move.refused

    def _wait(self, most: int) -> Steps:
        """Wait until at most so many items are under way."""
        while True:
            self._count()
            if len(self._under_way) <= most and not self._mover.crowded:
                return
            if self._under_way:
                yield NotLoaded(self._when_told)
            else:
                yield LATER

    def _when_told(self, ask_again: Callable[[JournalError | None], None]) -> None:
        self._queue.traffic.watchers.append(ask_again)

    def _count(self) -> None:
        """Count those that have left for good; forget those that returned, or are gone."""
        traffic = self._queue.traffic
        left = set(traffic.left)
        still = []
        for move in self._under_way:
            self._look(move)
            if move.settled:
                self.moved += 1
            elif move in left or traffic.leaving.get(move.item.id) is move:
                still.append(move)
        self._under_way = still
