"""Clients that wait for an item, or for room in a full queue: first come, first served.

A waiter waits for one or more queues by name, whether they exist or not, until an item arrives,
its time is over, or the client hangs up. It gets one item at most, and is taken out before it is
served, so no item is handed to a client that is gone. A put to a full queue waits for room in the
same way.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

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
    """The client's, for the open read that a request may ask for."""
    serve: Callable[[Hit], None]
    """Called with the item, unless the wait ended before."""
    over: Callable[[], None]
    """Called when the time is over."""
    deadline: Deadline | None = None
    is_read_for: bool = False
    """Whether one of its queues is being read for it right now."""
    was_passed_over: bool = False
    """Whether it was not served meanwhile though another of its queues had items to take."""

    def request_for(self, name: bytes) -> Request:
        """Return the request that names this queue."""
        return next(request for request in self.requests if request.name == name)


class Waiters:
    """The clients that wait for an item: a queue of waiters for each name."""

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        # Ordered dictionaries: whoever leaves, from whichever place, takes no time to be found.
        self._by_name: dict[bytes, OrderedDict[Waiter, None]] = {}
        self.waiting: dict[Waiter, None] = {}
        """All of them, in the order in which they came."""

    def count(self, name: bytes) -> int:
        """Return how many clients wait for this queue."""
        return len(self._by_name.get(name, ()))

    def add(self, waiter: Waiter, deadline: float) -> None:
        """Let a client wait for each of its queues until a time on the monotonic clock."""
        for request in waiter.requests:
            self._by_name.setdefault(request.name, OrderedDict())[waiter] = None
        self.waiting[waiter] = None
        waiter.deadline = self._deadlines.add(deadline, lambda: self.end(waiter))

    def remove(self, waiter: Waiter) -> None:
        """Let a client wait no more, for any queue; it is no error when it has left already."""
        if waiter not in self.waiting:
            return
        del self.waiting[waiter]
        if waiter.deadline is not None:
            self._deadlines.cancel(waiter.deadline)
        for request in waiter.requests:
            waiters = self._by_name[request.name]
            del waiters[waiter]
            if not waiters:
                del self._by_name[request.name]

    def names(self) -> list[bytes]:
        """Return the names of the queues that clients wait for."""
        return list(self._by_name)

    def first(self, name: bytes) -> Waiter | None:
        """Return the client that has waited longest for this queue; ``None`` if none waits."""
        waiters = self._by_name.get(name)
        return next(iter(waiters)) if waiters else None

    def end(self, waiter: Waiter) -> None:
        """End a client's wait: its time is over, or the server stops."""
        self.remove(waiter)
        waiter.over()

    def end_all(self) -> None:
        """End all waits as if their time were over."""
        for waiter in list(self.waiting):
            self.end(waiter)


@dataclass(eq=False)
class RoomWaiter:
    """One put's wait for room in a full queue."""

    name: bytes
    size: int
    """Bytes of the item."""
    ask_again: Callable[[], None]
    """Called when there may be room, to try the put again."""
    over: Callable[[], None]
    """Called when the time is over."""
    deadline: Deadline | None = None


class Room:
    """The puts that wait for room: a queue of them for each name."""

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self.waiting: OrderedDict[bytes, OrderedDict[RoomWaiter, None]] = OrderedDict()
        """All of them, by queue in the order in which they came; no queue without any."""

    def next_names(self, count: int) -> list[bytes]:
        """Return the names of up to ``count`` queues that puts wait for; the queues take turns."""
        names = list(islice(self.waiting, count))
        for name in names:
            self.waiting.move_to_end(name)
        return names

    def first(self, name: bytes) -> int | None:
        """Return the bytes of the item that has waited longest; ``None`` if none waits."""
        waiters = self.waiting.get(name)
        return next(iter(waiters)).size if waiters else None

    def add(self, waiter: RoomWaiter, deadline: float, *, first: bool = False) -> None:
        """Let a put wait until a time on the monotonic clock; ``first``: before all others."""
        waiters = self.waiting.setdefault(waiter.name, OrderedDict())
        waiters[waiter] = None
        if first:
            waiters.move_to_end(waiter, last=False)
        waiter.deadline = self._deadlines.add(deadline, lambda: self._end(waiter))

    def remove(self, waiter: RoomWaiter) -> None:
        """Let a put wait no more; it is no error when it has left already."""
        waiters = self.waiting.get(waiter.name)
        if waiters is None or waiter not in waiters:
            return
        del waiters[waiter]
        if waiter.deadline is not None:
            self._deadlines.cancel(waiter.deadline)
        if not waiters:
            del self.waiting[waiter.name]

    def offer(self, name: bytes) -> None:
        """Let the put that has waited longest try again.

        If it has to wait once more, its session adds it with ``first``, so it keeps its place.
        """
        waiter = next(iter(self.waiting[name]))
        self.remove(waiter)
        waiter.ask_again()

    def end_all(self) -> None:
        """End all waits as if their time were over."""
        for waiter in [each for waiters in self.waiting.values() for each in waiters]:
            self._end(waiter)

    def _end(self, waiter: RoomWaiter) -> None:
        self.remove(waiter)
        waiter.over()
