"""Those who wait for an item: first come, first served, each of them one item at the most.

A waiter waits for one or more queues by name, whether they exist or not, until something
arrives, its time is over, or it goes away. It is taken out before it is served, so an item is
never handed to one that has gone. Deadlines are on the monotonic clock.
"""

import heapq
from collections import deque
from collections.abc import Callable

import attrs

from starling_py.journal.record import Item
from starling_py.names import Request
from starling_py.queues.persistent_queue import PersistentQueue

Hit = tuple[Request, Item, PersistentQueue]
"""An item that a read found, and the queue whose commit the reply depends on."""


@attrs.define(eq=False)
class Waiter:
    """One client's wait."""

    requests: tuple[Request, ...]
    """What it waits for, at most one request a queue."""
    deadline: float
    """When the wait is over, in seconds of the monotonic clock."""
    serve: Callable[[Hit], None]
    """Called with what was found, unless the wait ended before."""
    over: Callable[[], None]
    """Called when the deadline has passed."""
    waiting: bool = True

    def request_for(self, name: bytes) -> Request:
        """Return the request that names this queue."""
        return next(request for request in self.requests if request.name == name)


class Waiters:
    """All waiters, by queue in the order of their coming, and by deadline."""

    def __init__(self) -> None:
        self._by_name: dict[bytes, deque[Waiter]] = {}
        self._deadlines: list[tuple[float, int, Waiter]] = []
        self._serial = 0
        self.waiting = 0
        """How many wait."""

    def count(self, name: bytes) -> int:
        """Return how many wait for this queue."""
        return len(self._by_name.get(name, ()))

    def add(self, waiter: Waiter) -> None:
        """Put a waiter at the end of each of its lines."""
        for request in waiter.requests:
            self._by_name.setdefault(request.name, deque()).append(waiter)
        self._serial += 1
        self.waiting += 1
        heapq.heappush(self._deadlines, (waiter.deadline, self._serial, waiter))

    def remove(self, waiter: Waiter) -> None:
        """Take a waiter out of all of its lines; it is not an error when it has left already."""
        if not waiter.waiting:
            return
        waiter.waiting = False
        self.waiting -= 1
        for request in waiter.requests:
            line = self._by_name[request.name]
            line.remove(waiter)
            if not line:
                del self._by_name[request.name]
        if len(self._deadlines) > 64 and len(self._deadlines) > 2 * self.waiting:
            self._deadlines = [entry for entry in self._deadlines if entry[2].waiting]
            heapq.heapify(self._deadlines)

    def first(self, name: bytes) -> Waiter | None:
        """Return the one who has waited longest for this queue."""
        line = self._by_name.get(name)
        return line[0] if line else None

    @property
    def next_deadline(self) -> float | None:
        """The earliest deadline, or ``None`` when nobody waits."""
        while self._deadlines and not self._deadlines[0][2].waiting:
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def end_overdue(self, now: float) -> None:
        """Take out everybody whose deadline has passed, and tell them."""
        while (deadline := self.next_deadline) is not None and deadline <= now:
            waiter = self._deadlines[0][2]
            self.remove(waiter)
            waiter.over()
