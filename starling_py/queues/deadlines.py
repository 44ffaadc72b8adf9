"""Deadlines: waits that end, leases that run out, delays that are over.

Times are in seconds of the monotonic clock, so no jump of the wall clock hurries or delays
anything. A cancelled deadline never runs; its place in the heap is freed when its time comes, or
when more than half of the places are such.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

NEVER: Final = float("inf")
_FEW: Final = 64
"""Places for which it is not worth looking for cancelled deadlines."""


@dataclass(eq=False, init=False)
class Deadline:
    """One action, and when to run it."""

    when: float
    """The time, in seconds of the monotonic clock."""
    action: Callable[[], None]
    pending: bool
    """Whether it has neither run nor been cancelled."""

    def __init__(self, when: float, action: Callable[[], None]) -> None:
        self.when = when
        self.action = action
        self.pending = True


class Deadlines:
    """All deadlines, in the order of their times."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Deadline]] = []
        self._serial = 0
        self._pending = 0
        self.soonest = NEVER
        """Nothing is due before this time; the turn looks only here, so it may be too early."""

    def add(self, when: float, action: Callable[[], None]) -> Deadline:
        """Run ``action`` at a time; what is returned can be cancelled."""
        deadline = Deadline(when, action)
        self._serial += 1
        self._pending += 1
        heapq.heappush(self._heap, (when, self._serial, deadline))
        self.soonest = min(self.soonest, when)
        return deadline

    def cancel(self, deadline: Deadline) -> None:
        """Do not run a deadline; it is no error when it has run already."""
        if not deadline.pending:
            return
        deadline.pending = False
        self._pending -= 1
        if len(self._heap) > _FEW and len(self._heap) > 2 * self._pending:
            self._heap = [entry for entry in self._heap if entry[2].pending]
            heapq.heapify(self._heap)

    @property
    def next(self) -> float | None:
        """When the next deadline is due; ``None`` when there is none."""
        heap = self._heap
        while heap and not heap[0][2].pending:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def run_due(self, now: float) -> None:
        """Run what is due, in order of time; there is nothing before ``soonest``."""
        while (when := self.next) is not None and when <= now:
            deadline = heapq.heappop(self._heap)[2]
            deadline.pending = False
            self._pending -= 1
            deadline.action()
        self.soonest = NEVER if when is None else when
