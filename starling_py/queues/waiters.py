"""Those who wait, for an item or for room: first come, first served.

A waiter waits for one or more queues by name, whether they exist or not, until something
arrives, its time is over, or it goes away; it gets one item at the most. It is taken out before
it is served, so an item is never handed to one that has gone. Who wants to put an item into a
full queue waits for room in the same way.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from starling_py.journal.format.record import Item
from starling_py.keys import Request
from starling_py.queues.deadlines import Deadline, Deadlines
from starling_py.queues.open_reads import ReadHolder
from starling_py.queues.persistent_queue import PersistentQueue

Hit = tuple[Request, Item, PersistentQueue]
"""An item that a read found, and the queue whose commit the reply depends on."""


@dataclass(eq=False)
class Waiter:
    """One client's wait."""

    requests: tuple[Request, ...]
    """What it waits for, at most one request a queue."""
    holder: ReadHolder | None
    """Who gets the open read, if one is asked for."""
    serve: Callable[[Hit], None]
    """Called with what was found, unless the wait ended before."""
    over: Callable[[], None]
    """Called when the time is over."""
    deadline: Deadline | None = None

    def request_for(self, name: bytes) -> Request:
        """Return the request that names this queue."""
        return next(request for request in self.requests if request.name == name)


class Waiters:
    """All waiters, by queue in the order of their coming."""

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._by_name: dict[bytes, deque[Waiter]] = {}
        self.waiting: dict[Waiter, None] = {}
        """Everybody who waits, in the order of their coming."""

    def count(self, name: bytes) -> int:
        """Return how many wait for this queue."""
        return len(self._by_name.get(name, ()))

    def add(self, waiter: Waiter, deadline: float) -> None:
        """Put a waiter at the end of each of its lines until a time on the monotonic clock."""
        for request in waiter.requests:
            self._by_name.setdefault(request.name, deque()).append(waiter)
        self.waiting[waiter] = None
        waiter.deadline = self._deadlines.add(deadline, lambda: self.end(waiter))

    def remove(self, waiter: Waiter) -> None:
        """Take a waiter out of all of its lines; it is not an error when it has left already."""
        if waiter not in self.waiting:
            return
        del self.waiting[waiter]
        if waiter.deadline is not None:
            self._deadlines.cancel(waiter.deadline)
        for request in waiter.requests:
            line = self._by_name[request.name]
            line.remove(waiter)
            if not line:
                del self._by_name[request.name]

    def first(self, name: bytes) -> Waiter | None:
        """Return the one who has waited longest for this queue."""
        line = self._by_name.get(name)
        return line[0] if line else None

    def end(self, waiter: Waiter) -> None:
        """Take a waiter out whose time is over, and tell it."""
        self.remove(waiter)
        waiter.over()

    def end_all(self) -> None:
        """End everybody's wait."""
        for waiter in list(self.waiting):
            self.end(waiter)


@dataclass(eq=False)
class RoomWaiter:
    """One client's wait for room in a queue."""

    name: bytes
    size: int
    """Bytes of the item that is to be put."""
    ask_again: Callable[[], None]
    """Called when there may be room; the put is to be tried again."""
    over: Callable[[], None]
    """Called when the time is over."""
    deadline: Deadline | None = None


class Room:
    """All who wait for room, by queue in the order of their coming."""

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self.waiting: dict[bytes, deque[RoomWaiter]] = {}
        """Those who wait, by queue; no queue without any."""

    def names(self) -> list[bytes]:
        """Return the queues that are waited for."""
        return list(self.waiting)

    def first(self, name: bytes) -> int | None:
        """Return the size of the item that has waited longest; ``None`` if none waits."""
        line = self.waiting.get(name)
        return line[0].size if line else None

    def add(self, waiter: RoomWaiter, deadline: float, *, first: bool = False) -> None:
        """Let somebody wait until a time on the monotonic clock; ``first``: before all others."""
        line = self.waiting.setdefault(waiter.name, deque())
        if first:
            line.appendleft(waiter)
        else:
            line.append(waiter)
        waiter.deadline = self._deadlines.add(deadline, lambda: self._end(waiter))

    def remove(self, waiter: RoomWaiter) -> None:
        """Take a waiter out; it is no error when it has left already."""
        line = self.waiting.get(waiter.name)
        if line is None or waiter not in line:
            return
        line.remove(waiter)
        if waiter.deadline is not None:
            self._deadlines.cancel(waiter.deadline)
        if not line:
            del self.waiting[waiter.name]

    def offer(self, name: bytes) -> None:
        """Let the one who has waited longest try again."""
        waiter = self.waiting[name][0]
        self.remove(waiter)
        waiter.ask_again()

    def end_all(self) -> None:
        """End everybody's wait."""
        for waiter in [each for line in self.waiting.values() for each in line]:
            self._end(waiter)

    def _end(self, waiter: RoomWaiter) -> None:
        self.remove(waiter)
        waiter.over()
