"""Items on their way from one queue to another: expired ones, and those that came back too often.

An item is put into the other queue first, and removed from its own only when it is safe there:
whatever happens in between, it is in one of the two at least. Until then it waits in neither its
old place nor for a client. What cannot be moved now is tried again, as long as the queue is there.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from starling_py.journal.record import Item
from starling_py.journal.trouble import JournalError
from starling_py.names import printable
from starling_py.queues.deadlines import Deadlines
from starling_py.queues.refusal import Refused
from starling_py.queues.window import NotLoaded

if TYPE_CHECKING:
    from starling_py.queues.persistent_queue import PersistentQueue

log = logging.getLogger(__name__)

TRY_AGAIN = 1.0
"""Seconds after which something that failed is tried again."""


@attrs.define(eq=False)
class Move:
    """One item on its way."""

    source: "PersistentQueue"
    item: Item
    target: bytes
    """The name of the queue that it goes to."""
    deliveries: int
    """How often it was handed out."""
    arrived_in: "PersistentQueue | None" = None
    """The queue that it was put into."""
    arrived_id: int = 0
    """Its id there."""
    write: int = 0
    """The write of that queue's journal, then of its own, that must become safe."""


class Moves:
    """How items are moved: put there, and later removed here."""

    def __init__(
        self,
        put: Callable[[Move], "PersistentQueue"],
        deadlines: Deadlines,
        monotonic: Callable[[], float],
    ) -> None:
        """``put`` puts an item into its new queue; it raises as ``putting.put`` does."""
        self._put = put
        self._deadlines = deadlines
        self._monotonic = monotonic
        self._stuck: set[tuple[bytes, bytes]] = set()

    def begin(self, move: Move) -> None:
        """Move an item that has been taken out of its line."""
        move.source.traffic.leaving[move.item.id] = move
        self._try_to_put(move)

    def finish(self, move: Move) -> None:
        """Remove an item that is safe in its new queue."""
        source = move.source
        if source.traffic.leaving.get(move.item.id) is not move:
            return  # its queue was deleted
        try:
            source.remove(move.item)
        except JournalError:
            self.finish_later(move)
            return
        del source.traffic.leaving[move.item.id]
        move.write = source.journal.written + 1
        source.traffic.left.append(move)

    def finish_later(self, move: Move) -> None:
        """Remove an item whose removal was undone; not at once, as that would fail again."""
        self._later(lambda: self.finish(move))

    def again(self, move: Move) -> None:
        """Begin anew with an item whose putting was undone."""
        self._later(lambda: self._try_to_put(move))

    def _try_to_put(self, move: Move) -> None:
        if move.source.traffic.leaving.get(move.item.id) is not move:
            return
        try:
            queue = self._put(move)
        except (JournalError, Refused, NotLoaded) as problem:
            self._tell_stuck(move, problem)
            self.again(move)
            return
        self._stuck.discard((move.source.name, move.target))
        move.arrived_in = queue
        move.arrived_id = queue.next_id - 1
        move.write = queue.journal.written + 1
        queue.traffic.arriving.append(move)

    def _tell_stuck(self, move: Move, problem: Exception) -> None:
        """Log that items cannot be moved, once for all of them."""
        way = (move.source.name, move.target)
        if way not in self._stuck:
            self._stuck.add(way)
            source, target = map(printable, way)
            log.warning(
                "queue %s: items cannot be moved to %s for now: %s", source, target, problem
            )

    def _later(self, action: Callable[[], None]) -> None:
        self._deadlines.add(self._monotonic() + TRY_AGAIN, action)


class Traffic:
    """What is on its way from and to one queue."""

    def __init__(self, moves: Moves) -> None:
        self._moves = moves
        self.leaving: dict[int, Move] = {}
        """What is still counted here, by id."""
        self.left: deque[Move] = deque()
        """What was removed here, while that is not safe."""
        self.arriving: deque[Move] = deque()
        """What was put here, while that is not safe."""

    def made_safe(self, writes: int) -> None:
        """Take notice that so many writes of the queue's journal are safe."""
        while self.left and self.left[0].write <= writes:
            self.left.popleft()
        while self.arriving and self.arriving[0].write <= writes:
            self._moves.finish(self.arriving.popleft())

    def rolled_back(self, is_live: Callable[[int], bool], next_id: int) -> None:
        """Begin anew with what was undone."""
        left, self.left = self.left, deque()
        for move in left:
            if is_live(move.item.id):
                self.leaving[move.item.id] = move
                self._moves.finish_later(move)
            elif move.item.id < next_id:
                self.left.append(move)  # its removal is written, and may be undone yet
        for item_id in [each for each in self.leaving if not is_live(each)]:
            del self.leaving[item_id]
        undone = [move for move in self.arriving if move.arrived_id >= next_id]
        self.arriving = deque(move for move in self.arriving if move.arrived_id < next_id)
        for move in undone:
            self._moves.again(move)
