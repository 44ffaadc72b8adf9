"""Clients that wait for an item, or for room in a full queue: first come, first served.

A waiter waits for one or more queues by name, whether they exist or not, until an item arrives,
its time is over, or the client hangs up. It gets one item at most, and is taken out before it is
served, so no item is handed to a client that is gone. A put to a full queue waits for room in the
same way.

Whoever leaves has left at once. Its places in the lines of many queues are given up some at a time,
as hundreds who wait for a thousand queues each may leave together; until then, they count no more.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Final

from starling_py.journal.format.record import Item
from starling_py.keys import Request
from starling_py.queues.deadlines import Deadline, Deadlines
from starling_py.queues.open_reads import ReadHolder
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.queues.slices import Steps

FEW: Final = 32
"""Places in lines that are given up in one step."""

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

    def __init__(
        self, deadlines: Deadlines, later: Callable[[Steps], None], few: int = FEW
    ) -> None:
        """``later`` does what takes long, ``few`` places at a time."""
        self._deadlines = deadlines
        self._later = later
        self._few = few
        # Ordered dictionaries: whoever leaves, from whichever place, takes no time to be found.
        self._by_name: dict[bytes, OrderedDict[Waiter, None]] = {}
        self.waiting: dict[Waiter, None] = {}
        """All of them, in the order in which they came."""
        self._leaving = 0
        """How many have left, but not given up all of their places."""

    def count(self, name: bytes) -> int:
        """Return how many clients wait for this queue."""
        waiters = self._by_name.get(name, ())
        if not self._leaving:
            return len(waiters)
        return sum(each in self.waiting for each in waiters)

    def add(self, waiter: Waiter, deadline: float) -> None:
        """Let a client wait for each of its queues until a time on the monotonic clock.

        A wait that has ended is not begun again.
        """
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
        if len(waiter.requests) > self._few:
            self._leaving += 1
            self._later(self._giving_up(waiter))
            return
        for request in waiter.requests:
            self._give_up(request.name, waiter)

    def names(self) -> list[bytes]:
        """Return the names of the queues that clients wait for."""
        names = list(self._by_name)
        return [name for name in names if self.first(name) is not None] if self._leaving else names

    def first(self, name: bytes) -> Waiter | None:
        """Return the client that has waited longest for this queue; ``None`` if none waits."""
        waiters = self._by_name.get(name)
        if not waiters:
            return None
        first = next(iter(waiters))
        return first if first in self.waiting else self._first_left(name, waiters)

    def _first_left(self, name: bytes, waiters: OrderedDict[Waiter, None]) -> Waiter | None:
        """Return the first one of a line that has not left; those before it give up their places.

        So whoever looks again does not come by them once more.
        """
        while waiters:
            first = next(iter(waiters))
            if first in self.waiting:
                return first
            self._give_up(name, first)
        return None

    def _giving_up(self, waiter: Waiter) -> Steps:
        """Give up all places of one that has left, some at a time."""
        for number, request in enumerate(waiter.requests, 1):
            self._give_up(request.name, waiter)
            if not number % self._few:
                yield None
        self._leaving -= 1

    def _give_up(self, name: bytes, waiter: Waiter) -> None:
        waiters = self._by_name.get(name)
        if waiters is not None and waiter in waiters:
            del waiters[waiter]
            if not waiters:
                del self._by_name[name]

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
