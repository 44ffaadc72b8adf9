"""Items on their way from one queue to another: expired ones, and those that came back too often.

A move is a put into the other queue: it goes on to whatever that reaches, children and routes. The
item is put there first, and removed from its own queue only when it is safe in all of them:
whatever happens in between, none of them has to do without it. Until then it waits in neither its
old place nor for a client. What cannot be moved now is tried again, as long as the queue is there.
"""

import logging
from collections import deque
from collections.abc import Callable

from mypy_extensions import mypyc_attr

from starling_py.journal.errors import JournalError
from starling_py.keys import printable
from starling_py.queues.deadlines import Deadlines
from starling_py.queues.errors import NotLoaded, QueueRefused
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.queues.traffic import Copy, Move

log = logging.getLogger(__name__)

TRY_AGAIN = 1.0
"""Seconds after which something that failed is tried again."""
AT_ONCE = 10_000
"""Copies that are put at once, about, at the most."""
PAUSE = 0.001
"""Seconds after which more of them are put, at the least."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Moves:
    """How items are moved: put there, and later removed here."""

    def __init__(
        self,
        put: Callable[[Move], list[PersistentQueue]],
        deadlines: Deadlines,
        monotonic: Callable[[], float],
    ) -> None:
        """``put`` puts an item into all queues that miss it; it raises as ``delivery.put`` does."""
        self._put = put
        self._deadlines = deadlines
        self._monotonic = monotonic
        self._stuck: set[tuple[bytes, bytes]] = set()
        self._held: deque[Move] = deque()
        self._putting = False
        self._put_at = 0.0
        self._put_then = 0

    def begin_move(self, move: Move) -> None:
        """Move an item that has been taken out of its line."""
        move.source.traffic.leaving[move.item.id] = move
        self._go_on(move)

    def copy_is_safe(self, copy: Copy) -> None:
        """Take notice that an item is safe in one of its new queues."""
        copy.move.unsafe -= 1
        if copy.move.arrived:
            self.finish(copy.move)

    def copy_is_undone(self, copy: Copy) -> None:
        """Put an item again into one of its new queues."""
        move = copy.move
        move.unsafe -= 1
        move.reached -= {copy.queue}
        # If it is in none of them any more, it goes to all that it reaches by then.
        move.missing = move.missing | {copy.queue} if move.reached else frozenset()
        self._later(lambda: self._go_on(move))

    def finish(self, move: Move) -> None:
        """Remove an item that is safe in its new queues."""
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

    def _go_on(self, move: Move) -> None:
        """Put an item into its new queues, behind those that have to wait for that."""
        self._held.append(move)
        if not self._putting:
            self._put_held()

    def _put_held(self) -> None:
        """Put what is held; what is too much at once, later."""
        held = self._held
        self._putting = True
        try:
            while held and not self._is_too_much():
                self._try_to_put(held.popleft())
        finally:
            self._putting = bool(held)
            if held:
                self._deadlines.add(self._monotonic() + PAUSE, self._put_held)

    def _is_too_much(self) -> bool:
        """Tell whether no more copies are to be put at this time."""
        now = self._monotonic()
        if now != self._put_at:
            self._put_at, self._put_then = now, 0
        return self._put_then >= AT_ONCE

    def _try_to_put(self, move: Move) -> None:
        gone = move.source.traffic.leaving.get(move.item.id) is not move
        if gone or (move.reached and not move.missing):
            return
        try:
            queues = self._put(move)
        except (JournalError, QueueRefused, NotLoaded) as problem:
            self._tell_stuck(move, problem)
            self._later(lambda: self._go_on(move))
            return
        self._stuck.discard((move.source.name, move.target))
        self._put_then += len(queues)
        move.missing = frozenset()
        move.reached = move.reached.union([queue.name for queue in queues])
        move.unsafe += len(queues)
        for queue in queues:
            copy = Copy(move, queue.name, queue.next_id - 1, queue.journal.written + 1)
            queue.traffic.arriving.append(copy)
        for queue in queues:
            queue.available()
        if move.arrived:
            self.finish(move)  # what was missing is not to have it any more

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
