"""How a get is answered: at once, or when there is an item.

A get that finds nothing may wait: its client is parked until an item comes or its time is over.
"""

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


def answer(client: Client, hits: list[Hit], asked: int, *, with_cas: bool) -> None:
    """Give the whole reply to a get of ``asked`` keys, and count it."""
    counters, replies = client.counters, client.replies
    counters.cmd_get += asked
    counters.get_misses += asked - len({hit[0].name for hit in hits})
    counters.get_hits += len(hits)
    counters.cmd_peek += sum(hit[0].peek for hit in hits)
    alone = len(hits) == 1
    for hit in hits:
        replies.add_hit(hit, with_cas=with_cas, alone=alone)
    if not alone:
        replies.end_hits()


def wait(client: Client, requests: Sequence[Request], *, with_cas: bool) -> None:
    """Park until one of the requests finds an item or the longest of their waits is over."""

    def serve(hit: Hit) -> None:
        client.go_on(lambda: answer(client, [hit], 1, with_cas=with_cas))

    def over() -> None:
        client.go_on(lambda: answer(client, [], len(requests), with_cas=with_cas))

    wait_ms = max(request.wait_ms for request in requests)
    park(client, requests, wait_ms, serve, over)


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
    client.parked = Parked(names, lambda: queues.waiters.remove(waiter), over, weight)
