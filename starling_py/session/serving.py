"""How a get is answered: at once, or when there is an item.

A get that finds nothing may wait: its client is parked until an item comes or its time is over.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Final

from starling_py.journal.errors import JournalError
from starling_py.keys import Request, RequestError
from starling_py.queues.errors import QueueRefused
from starling_py.queues.waiters import Hit, Waiter
from starling_py.session.client import Client, Parked

NAME_COST: Final = 300
"""Bytes that a client which waits takes for each name, about (measured)."""
FEW_NAMES: Final = 8
"""Names that are not worth counting."""

PROBLEMS: Final = (RequestError, JournalError, QueueRefused)
"""The exceptions that a command is answered with an error for."""


class Answer:
    """The reply to a get of some keys: all at once, or item by item if it is large."""

    def __init__(self, client: Client, asked: int, *, with_cas: bool) -> None:
        self._client = client
        self._asked = self._missed = asked
        self._with_cas = with_cas
        self._last: bytes | None = None
        self._held: list[Hit] = []
        self.size = 0
        """Bytes of the items that are held back until the end."""
        self.streams = False
        """Whether each item is given at once."""

    @property
    def empty(self) -> bool:
        """Whether it has no item."""
        return self._last is None

    def stream(self) -> None:
        """Give what is there, and from now on each item at once.

        What stays over a commit must be given before, or it would not depend on it.
        """
        self.streams = True
        for hit in self._held:
            self._give(hit, alone=False)
        self._held.clear()
        self.size = 0

    def add(self, hit: Hit) -> None:
        """Add an item; those of one request follow each other."""
        counters = self._client.counters
        counters.get_hits += 1
        counters.cmd_peek += hit[0].peek
        if not hit[0].peek:
            client = self._client
            client.takes.took(hit[0].name, client.queues.clock.monotonic)
        if hit[0].name != self._last:
            self._last = hit[0].name
            self._missed -= 1
        if self.streams:
            self._give(hit, alone=False)
        else:
            self._held.append(hit)
            self.size += len(hit[1].data)

    def end(self) -> None:
        """Close the reply."""
        counters = self._client.counters
        counters.cmd_get += self._asked
        counters.get_misses += self._missed
        alone = len(self._held) == 1
        for hit in self._held:
            self._give(hit, alone=alone)
        if not alone:
            self._client.replies.end_hits()

    def _give(self, hit: Hit, *, alone: bool) -> None:
        self._client.replies.add_hit(hit, with_cas=self._with_cas, alone=alone)


def wait_of(client: Client, request: Request) -> int:
    """Return for how many milliseconds a request waits if it finds nothing."""
    if not client.may_wait:
        return 0
    settings = client.queues.directory.settings_of(request.name)
    wait_ms = request.wait_ms
    if wait_ms is None:
        # A look at the head waits only when it says so.
        wait_ms = 0 if request.peek else settings.default_wait
    return settings.bounded_wait(wait_ms)


def wait(
    client: Client,
    requests: Sequence[Request],
    wait_ms: int,
    *,
    with_cas: bool,
    asked: int = 1,
) -> None:
    """Park until one of the requests finds an item, or for ``wait_ms`` milliseconds.

    ``asked`` is how many items the client could have had without waiting.
    """

    def serve(hit: Hit) -> None:
        client.go_on(lambda: _tell(client, [hit], 1, with_cas=with_cas))

    def over() -> None:
        client.go_on(lambda: _tell(client, (), asked, with_cas=with_cas))

    park(client, requests, wait_ms, serve, over)


def _tell(client: Client, hits: Sequence[Hit], asked: int, *, with_cas: bool) -> None:
    """Answer a get that has waited.

    Within ``wait`` it would be a circle, compiled: the functions there share their variables, and
    it would be one of these.
    """
    answer = Answer(client, asked, with_cas=with_cas)
    for hit in hits:
        answer.add(hit)
    answer.end()


def park(
    client: Client,
    requests: Sequence[Request],
    wait_ms: float,
    serve: Callable[[Hit], None],
    over: Callable[[], None],
) -> None:
    """Park until one of the requests finds an item: then ``serve`` is called.

    ``over`` is called instead when ``wait_ms`` milliseconds have passed, or when the wait is ended
    early: the client sends nothing more, or the server stops.
    """
    queues = client.queues
    waiter = Waiter(tuple(requests), client.holder, serve, over)
    queues.wait(waiter, wait_ms)
    names = tuple(request.name for request in requests)
    weight = NAME_COST * len(names) if len(names) > FEW_NAMES else 0
    # Not a function of ours that refers to the waiter: compiled, it would keep all variables here.
    client.parked = Parked(
        names, functools.partial(queues.waiters.remove, waiter), over, weight, takes=True
    )
