"""Deadlines: waits that end, leases that run out, delays that are over.

Times are in seconds of the monotonic clock, so no jump of the wall clock hurries or delays
anything. Some were reckoned from a moment of the wall clock, though, and that may have been wrong
then, or a machine has slept since, which the monotonic clock does not count. Such a deadline has
both times, and runs when the first of the two has come. A cancelled deadline never runs; its place
in a heap is freed when its time comes, or when more than half of the places are such, but what it
would have done is let go of at once. One that fails is logged and counted, keeps no other from
running, and is tried again a few times.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starling_py.guard import Guard

NEVER: Final = float("inf")
_NEVER_BY_WALL: Final = 1 << 62
PASSED: Final = 64
"""The most that are run in one turn because the wall clock has jumped past their moments."""
_FEW: Final = 64
"""Places for which it is not worth looking for cancelled deadlines."""
TRIES: Final = 5
"""How often something is tried that fails each time."""
TRY_AGAIN: Final = 1.0
"""Seconds until it is tried for the second time; twice as long each time after that."""


def _nothing() -> None:
    """Do nothing: the deadline has run, or was cancelled."""


@dataclass(eq=False, init=False)
class Deadline:
    """One action, and when to run it."""

    when: float
    """The time, in seconds of the monotonic clock."""
    action: Callable[[], None]
    wall_ms: int
    """The moment of the wall clock that it was reckoned from, in milliseconds since the Unix epoch;
    0 if from none."""
    pending: bool
    """Whether it has neither run nor been cancelled."""
    failures: int

    def __init__(self, when: float, action: Callable[[], None], wall_ms: int = 0) -> None:
        self.when = when
        self.action = action
        self.wall_ms = wall_ms
        self.pending = True
        self.failures = 0
        """How often the action has failed."""


class Deadlines:
    """All deadlines, in the order of their times."""

    def __init__(self, guard: Guard | None = None) -> None:
        """``guard`` is told of what fails."""
        self._guard = Guard() if guard is None else guard
        self._heap: list[tuple[float, int, Deadline]] = []
        self._by_wall: list[tuple[int, int, Deadline]] = []
        self._serial = 0
        self._pending = 0
        self._pending_by_wall = 0
        self.soonest = NEVER
        """Nothing is due before this time; the turn looks only here, so it may be too early."""
        self.soonest_by_wall = _NEVER_BY_WALL
        """Nothing is due before this moment of the wall clock; it may be too early, too."""

    def add(self, when: float, action: Callable[[], None], wall_ms: int = 0) -> Deadline:
        """Run ``action`` at a time; what is returned can be cancelled.

        ``wall_ms`` is the moment of the wall clock that the time was reckoned from, if it was.
        """
        deadline = Deadline(when, action, wall_ms)
        self._push(deadline)
        return deadline

    def cancel(self, deadline: Deadline) -> None:
        """Do not run a deadline; it is no error when it has run already."""
        if deadline.pending:
            self._end(deadline)
            self._tidy()

    @property
    def next(self) -> float | None:
        """When the next deadline is due; ``None`` when there is none.

        It does not know when the wall clock jumps: there has to be a turn now and then.
        """
        heap = self._heap
        while heap and not heap[0][2].pending:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def run_due(self, now: float, is_enough: Callable[[], bool] = lambda: False) -> None:
        """Run what is due, in order of time; there is nothing before ``soonest``.

        After each, ``is_enough`` tells whether to leave the others for the next time.
        """
        while (when := self.next) is not None and when <= now:
            self._run(heapq.heappop(self._heap)[2], now)
            if is_enough():
                when = self.next
                break
        self.soonest = NEVER if when is None else when

    def run_passed(self, wall_ms: int, now: float, limit: int = PASSED) -> None:
        """Run those whose moment of the wall clock has passed, at most ``limit``, in its order.

        Mostly there are none, as their other time comes first, unless the wall clock was set or the
        machine slept. Only those that a jump has ended are looked at. ``now`` is the time on the
        monotonic clock.
        """
        while (soonest := self._soonest_by_wall()) <= wall_ms and limit:
            self._run(heapq.heappop(self._by_wall)[2], now)
            limit -= 1
        self.soonest_by_wall = soonest
        self._tidy()

    def _soonest_by_wall(self) -> int:
        heap = self._by_wall
        while heap and not (heap[0][2].pending and heap[0][2].wall_ms):
            heapq.heappop(heap)
        return heap[0][0] if heap else _NEVER_BY_WALL

    def _push(self, deadline: Deadline) -> None:
        self._serial += 1
        self._pending += 1
        heapq.heappush(self._heap, (deadline.when, self._serial, deadline))
        if deadline.wall_ms:
            self._pending_by_wall += 1
            heapq.heappush(self._by_wall, (deadline.wall_ms, self._serial, deadline))
            self.soonest_by_wall = min(self.soonest_by_wall, deadline.wall_ms)
        self.soonest = min(self.soonest, deadline.when)

    def _run(self, deadline: Deadline, now: float) -> None:
        action = self._end(deadline)
        try:
            action()
        except Exception:
            self._guard.caught("what was due")
            self._try_again(deadline, action, now)

    def _end(self, deadline: Deadline) -> Callable[[], None]:
        """Take a deadline out of the count; return what it was to do, and let go of that.

        It may hold on to a client that is gone, and with a long wait stay in the heap for days.
        """
        action, deadline.action = deadline.action, _nothing
        deadline.pending = False
        self._pending -= 1
        if deadline.wall_ms:
            self._pending_by_wall -= 1
        return action

    def _tidy(self) -> None:
        """Free the places of deadlines that will not run, where they are more than the others."""
        if len(self._heap) > _FEW and len(self._heap) > 2 * self._pending:
            self._heap = [entry for entry in self._heap if entry[2].pending]
            heapq.heapify(self._heap)
        if len(self._by_wall) > _FEW and len(self._by_wall) > 2 * self._pending_by_wall:
            by_wall = self._by_wall
            self._by_wall = [each for each in by_wall if each[2].pending and each[2].wall_ms]
            heapq.heapify(self._by_wall)

    def _try_again(self, deadline: Deadline, action: Callable[[], None], now: float) -> None:
        """Run what failed once more, a while later, unless it has failed too often."""
        deadline.failures += 1
        if deadline.failures < TRIES:
            deadline.when = now + TRY_AGAIN * (1 << (deadline.failures - 1))
            # Only that time counts now: the moment of the wall clock has come already.
            deadline.wall_ms = 0
            deadline.action = action
            deadline.pending = True
            self._push(deadline)
