"""What is to happen at a time: waits that end, leases that run out, delays that are over.

Times are on the monotonic clock, in seconds, so no jump of the wall clock hurries or holds up
anything. What is cancelled never happens, and costs nothing but its place until then.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

NEVER: Final = float("inf")
_FEW: Final = 64
"""Entries that may be dead without being worth a cleaning."""


@dataclass(eq=False, init=False)
class Deadline:
    """One thing that is to happen."""

    when: float
    """The time, in seconds of the monotonic clock."""
    action: Callable[[], None]
    pending: bool
    """Whether it is still to happen."""

    def __init__(self, when: float, action: Callable[[], None]) -> None:
        self.when = when
        self.action = action
        self.pending = True


class Deadlines:
    """All that is to happen, in the order of the times."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Deadline]] = []
        self._serial = 0
        self._pending = 0
        self.soonest = NEVER
        """No earlier time has anything that is to happen, on the monotonic clock."""

    def add(self, when: float, action: Callable[[], None]) -> Deadline:
        """Have something happen at a time."""
        deadline = Deadline(when, action)
        self._serial += 1
        self._pending += 1
        heapq.heappush(self._heap, (when, self._serial, deadline))
        self.soonest = min(self.soonest, when)
        return deadline

    def cancel(self, deadline: Deadline) -> None:
        """Let it not happen; it is no error when it has happened already."""
        if not deadline.pending:
            return
        deadline.pending = False
        self._pending -= 1
        if len(self._heap) > _FEW and len(self._heap) > 2 * self._pending:
            self._heap = [entry for entry in self._heap if entry[2].pending]
            heapq.heapify(self._heap)

    @property
    def next(self) -> float | None:
        """When the next thing is to happen; ``None`` when there is none."""
        heap = self._heap
        while heap and not heap[0][2].pending:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def run_due(self, now: float) -> None:
        """Let happen whose time has come, in order; nothing before ``soonest``."""
        while (when := self.next) is not None and when <= now:
            deadline = heapq.heappop(self._heap)[2]
            deadline.pending = False
            self._pending -= 1
            deadline.action()
        self.soonest = NEVER if when is None else when
