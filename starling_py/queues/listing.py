"""The items of one queue listed by their ids, from memory and from disk, without taking any.

Waiting, delayed, open and moving ones alike. Clients may do anything to the queue between two
steps, so what is listed was there at some moment from the first step to the last. Invariant: an
item that is there all the time, and in the range, is listed, and each one once. The queue's own
reading is left alone: what is read from disk here goes into no window.
"""

import contextlib
import heapq
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Final

from starling_py.journal.blocks import Position, Reading
from starling_py.journal.errors import JournalError
from starling_py.journal.format.record import Item
from starling_py.queues.errors import NotLoaded
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.queues.slices import LATER, Steps
from starling_py.queues.window import READING

_AT_ONCE: Final = 100
"""Items that are listed in one step."""
_LOOKED_AT: Final = 2000
"""Items beside the window that are looked at in one step."""


@dataclass(frozen=True)
class Listed:
    """What is told of an item, beside itself."""

    item: Item
    state: str
    """``waiting``, ``delayed``, ``open``, ``moving`` or ``expired``."""
    due_ms: int
    """When it may be handed out, in milliseconds since the Unix epoch; 0 if at once."""
    deliveries: int
    """How often it was handed out."""


def listed(queue: PersistentQueue, item: Item) -> Listed:
    """Return what there is to be told of a live item."""
    now_ms = queue.now_ms
    due_ms = queue.waiting.due_ms(item)
    if item.id in queue.open_reads:
        state = "open"
    elif item.id in queue.traffic.leaving:
        state = "moving"
    elif 0 < item.expiry_ms <= now_ms:
        state = "expired"
    else:
        state = "delayed" if due_ms > now_ms else "waiting"
    return Listed(item, state, due_ms if state == "delayed" else 0, queue.deliveries(item))


class Listing:
    """The listing of up to ``count`` items whose ids are above ``after``."""

    def __init__(
        self, queue: PersistentQueue, after: int, count: int, give: Callable[[Item], None]
    ) -> None:
        """``give`` is called with each item, in the order of their ids."""
        self._queue = queue
        self._give = give
        self._after = max(after, queue.journal.ledger.head - 1)
        self._last = queue.next_id - 1
        self._left = count
        self._read_on = _ReadOn(queue)
        # What is in memory now may be anywhere a step later: opened, delayed, dropped from the
        # window. So all of it is noted at once; what is on disk stays there as long as it is live.
        window, waiting = queue.waiting.window, queue.waiting
        self._in_memory = window.last_id if window.behind else self._last
        self._first = window.behind_id(self._after, count)
        """The first ones of those that were in memory, by their ids."""
        self._beside = [
            *waiting.set_aside.items(),
            *(read.item for read in queue.open_reads),
            *(move.item for move in queue.traffic.leaving.values()),
        ]
        """Those that were in memory, but not in the window, in no order."""

    def steps(self) -> Steps:
        """Find the items. Raises ``JournalError`` where they cannot be read."""
        yield from self._sort_in()
        for start in range(0, len(self._first), _AT_ONCE):
            self._add(self._first[start : start + _AT_ONCE])
            yield None
        self._after = max(self._after, self._in_memory)
        if self._left > 0 and self._after < self._last:
            yield LATER  # what was just put can be read when it is written
            if self._waits_for_commit():
                with contextlib.suppress(JournalError):  # what failed is not there any more
                    yield NotLoaded(self._queue.sync_waits.add)
        while self._left > 0 and self._after < self._last and not self._queue.deleted:
            yield from self._list_disk()

    def _waits_for_commit(self) -> bool:
        """Tell whether anything that was there in the beginning is not written yet.

        Under ``always``, a commit may wait until a batch is done that began before it.
        """
        queue = self._queue
        return not queue.deleted and queue.journal.next_id <= self._last < queue.next_id

    def _sort_in(self) -> Steps:
        """Find those beside the window that are among the first."""
        end = self._in_memory
        for start in range(0, len(self._beside), _LOOKED_AT):
            piece = self._beside[start : start + _LOOKED_AT]
            wanted = [*self._first, *(item for item in piece if self._after < item.id <= end)]
            self._first = heapq.nsmallest(self._left, wanted, key=_id)
            yield None

    def _list_disk(self) -> Steps:
        """List items of the next piece that is read from disk."""
        read_on = self._read_on
        yield from read_on.steps(self._after)
        items = read_on.items
        self._add([item for item in items if item.id <= self._last])
        if items:
            self._after = items[-1].id
        elif read_on.at_end:
            self._after = self._last

    def _add(self, items: Sequence[Item]) -> None:
        """List those of some items that are still there."""
        removed = _being_removed(self._queue)
        for item in items:
            if self._left > 0 and _is_there(self._queue, item.id, removed):
                self._left -= 1
                self._give(item)


def _is_there(queue: PersistentQueue, item_id: int, removed: Container[int]) -> bool:
    """Tell whether an item is in a queue, ``removed`` being the ids whose removal is not written.

    What was just put is not in the ledger yet.
    """
    journal = queue.journal
    live = journal.ledger.is_live(item_id) or journal.next_id <= item_id < queue.next_id
    return live and item_id not in removed and journal.recorder.pending.spares(item_id)


def _being_removed(queue: PersistentQueue) -> set[int]:
    return {item.id for item in queue.journal.recorder.pending.removed}


def waits(queue: PersistentQueue, item_id: int) -> bool:
    """Tell whether an item that was found is still there, and waits or is delayed."""
    there = not queue.deleted and _is_there(queue, item_id, _being_removed(queue))
    return there and not queue.is_elsewhere(item_id)


def find(queue: PersistentQueue, item_id: int, found: list[Item]) -> Steps:
    """Find the item with an id and put it into ``found``, if it is there.

    Raises ``JournalError`` where it cannot be read.
    """
    if item_id >= queue.next_id:
        return
    nearest: list[Item] = []
    yield from Listing(queue, item_id - 1, 1, nearest.append).steps()
    found += [item for item in nearest if item.id == item_id]


class _ReadOn:
    """Reads one queue's journal, a piece at a time, for nobody but a listing."""

    def __init__(self, queue: PersistentQueue) -> None:
        self._journal = queue.journal
        self._bookmarks = queue.bookmarks
        self._after = 0
        self._position: Position | None = None
        self._compactions = 0
        self._waiting: list[Callable[[JournalError | None], None]] = []
        self._readings: list[Reading] = []
        self.items: list[Item] = []
        """What the last piece has brought."""
        self.at_end = False
        """Whether that was the end of what is written."""

    def steps(self, after: int) -> Steps:
        """Read the next piece behind an id. Raises ``JournalError``."""
        self._after = after
        self._journal.read(self._where, self._done)
        while not self._readings:
            yield NotLoaded(self._waiting.append)
        reading = self._readings.pop()
        if reading.error is not None:
            raise JournalError(f"the queue cannot be read on: {reading.error}")
        self.items, self.at_end = reading.items, reading.at_end
        self._position, self._compactions = reading.position, self._journal.compactions
        if self.items:
            self._bookmarks.add(self.items[-1].id, self._position, self._compactions)
        yield None

    def _where(self) -> tuple[int, Position | None, int, int]:
        # Segments that were replaced meanwhile have others under their numbers.
        compactions = self._journal.compactions
        if self._position is None or compactions != self._compactions:
            self._position = self._bookmarks.before(self._after, compactions)
        return 0, self._position, self._after, READING

    def _done(self, _: int, reading: Reading) -> None:
        self._readings.append(reading)
        waiting, self._waiting = self._waiting, []
        for ask_again in waiting:
            ask_again(None)


def _id(item: Item) -> int:
    return item.id
