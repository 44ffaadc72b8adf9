"""Moving items from one queue to another: dead, exhausted or buried ones, and those by hand.

A move is a put into the target, so children and routes of the target get copies. The item is put
there first, and removed from its own queue only when all copies are safe: a crash in between may
leave it in both, but never in neither. Until then it is still counted in its own queue, but does
not wait there. A move that fails is tried again as long as its queue exists; one by hand that is
refused returns instead.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol

from mypy_extensions import mypyc_attr

from starling_py.journal.errors import JournalError
from starling_py.journal.format.origin import MOVED
from starling_py.keys import printable
from starling_py.queues.deadlines import Deadlines
from starling_py.queues.errors import NotLoaded, QueueRefused
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.queues.slices import Slices, Steps
from starling_py.queues.traffic import Copy, Move

log = logging.getLogger(__name__)

TRY_AGAIN = 1.0
"""Seconds after which something that failed is tried again."""
CROWD = 256
"""Moves that may wait until others are put: their sources begin no more of them then."""


class MovePut(Protocol):
    """The put of a moved item into its new queues, as ``delivery`` does it."""

    reached: list[PersistentQueue]
    """The queues that have it by now."""

    def steps(self) -> Steps:
        """Put it. Raises ``JournalError``, ``QueueRefused`` and ``NotLoaded``."""

    def missed(self) -> frozenset[bytes]:
        """Return the names of the queues that were to get it and have not."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Moves:
    """The work of moving: put the item into its new queues, later remove it from its own."""

    def __init__(
        self,
        put: Callable[[Move], MovePut],
        deadlines: Deadlines,
        slices: Slices,
        monotonic: Callable[[], float],
    ) -> None:
        """``put`` returns the put of a moved item into its new queues.

        ``monotonic`` returns the time of the turn, in seconds.
        """
        self._put = put
        self._deadlines = deadlines
        self._slices = slices
        self._monotonic = monotonic
        self._stuck: set[tuple[bytes, bytes]] = set()
        self._waiting: deque[Move] = deque()
        self._putting = False

    @property
    def crowded(self) -> bool:
        """Whether so many moves wait that no more should begin for now."""
        return len(self._waiting) >= CROWD

    def begin_move(self, move: Move) -> None:
        """Move an item that was taken out of what waits."""
        move.source.traffic.leaving[move.item.id] = move
        move.source.note_change()
        self._go_on(move)

    def copy_is_safe(self, copy: Copy) -> None:
        """Remove an item from its own queue if this was the last of its copies to become safe."""
        copy.move.unsafe -= 1
        if copy.move.arrived:
            self.finish(copy.move)

    def copy_is_undone(self, copy: Copy) -> None:
        """Put an item again, a little later, into a queue where its copy was taken back."""
        move = copy.move
        move.unsafe -= 1
        move.reached -= {copy.queue}
        # If it is in none of them any more, it goes wherever a move would go by then.
        still = move.reached or move.delivering
        move.missing = move.missing | {copy.queue} if still else frozenset()
        self._later(lambda: self._go_on(move))

    def finish(self, move: Move) -> None:
        """Remove an item from its own queue: it is safe in its new ones."""
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
        source.traffic.add_left(move)
        if move.reason == MOVED:
            source.journal.hurry()  # somebody waits for it

    def finish_later(self, move: Move) -> None:
        """Remove an item again, as its removal was undone; at once it would only fail again."""
        self._later(lambda: self.finish(move))

    def _go_on(self, move: Move) -> None:
        """Put an item into its new queues, after the moves that wait for that already.

        A put serves clients, which finds more dead items to move. These join the moves that wait;
        a call within the call would nest as deep as there are items.
        """
        self._waiting.append(move)
        if not self._putting:
            self._putting = True
            self._slices.start(self._put_waiting())

    def _put_waiting(self) -> Steps:
        """Put the moves that wait, one after the other."""
        try:
            while self._waiting:
                yield from self._try_to_put(self._waiting.popleft())
                yield None
        finally:
            self._putting = False

    def _try_to_put(self, move: Move) -> Steps:
        if _is_gone(move) or (move.reached and not move.missing):
            return
        delivery = self._put(move)
        told = 0
        move.delivering, move.missing = True, frozenset()
        try:
            steps = delivery.steps()
            for step in steps:
                if len(delivery.reached) > told:
                    told = len(delivery.reached)
                    self._has_reached(move, delivery.reached[-1])
                yield step
                if not told and _is_gone(move):
                    steps.close()
                    break
        except (JournalError, QueueRefused, NotLoaded) as problem:
            if move.reason == MOVED and not move.reached and not isinstance(problem, NotLoaded):
                self._return(move, str(problem))
                return
            self._tell_stuck(move, problem)
            move.missing = move.missing | delivery.missed() if move.reached else frozenset()
            self._later(lambda: self._go_on(move))
        else:
            self._stuck.discard((move.source.name, move.target))
        move.delivering = False
        if not move.reached:
            move.missing = frozenset()  # all that it reached was undone meanwhile
        if move.arrived:
            self.finish(move)  # the queues that missed it are not to get a copy any more

    def _return(self, move: Move, reason: str) -> None:
        """Let an item wait where it was: it was refused where somebody wanted it to be."""
        source = move.source
        move.refused = reason
        move.delivering = False
        if not _is_gone(move):
            del source.traffic.leaving[move.item.id]
            source.come_back(move.item)
        source.traffic.tell()

    def _has_reached(self, move: Move, queue: PersistentQueue) -> None:
        """Wait for a copy to become safe, and serve those who wait for it."""
        move.reached |= {queue.name}
        move.unsafe += 1
        copy = Copy(move, queue.name, queue.next_id - 1, queue.journal.written + 1)
        queue.traffic.add_arriving(copy)
        if move.reason == MOVED:
            queue.journal.hurry()
        queue.available()

    def _tell_stuck(self, move: Move, problem: Exception) -> None:
        """Log that items cannot be moved this way, once until one can."""
        way = (move.source.name, move.target)
        if way not in self._stuck:
            self._stuck.add(way)
            source, target = map(printable, way)
            log.warning(
                "queue %s: items cannot be moved to %s for now: %s", source, target, problem
            )

    def _later(self, action: Callable[[], None]) -> None:
        self._deadlines.add(self._monotonic() + TRY_AGAIN, action)


def _is_gone(move: Move) -> bool:
    """Tell whether an item is not there to be moved any more: its queue was deleted."""
    return move.source.traffic.leaving.get(move.item.id) is not move
