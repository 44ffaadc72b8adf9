"""The get, in all its forms.

A key may ask to open an item instead of taking it, to close or abort what was opened before, or
only to look. Invariant: a command with anything wrong in it is refused before anything is done.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from starling_py import keys
from starling_py.journal.errors import JournalError
from starling_py.keys import Request
from starling_py.protocol import commands
from starling_py.queues.errors import NotLoaded
from starling_py.queues.waiters import Hit
from starling_py.session.client import MAX_OUTPUT, Client
from starling_py.session.reliable import check, end_read, lease_of, leased, reads_to_end
from starling_py.session.serving import PROBLEMS, answer, wait

_KNOWN: Final = keys.REQUESTS.found


def get(client: Client, command: commands.Get) -> None:
    """Take an item from each key's queue, or do what else the keys ask for.

    The common case comes first: one key, which only takes or looks, of a client without open
    reads. Everything else is done by ``_get_with_care``.
    """
    asked = command.keys
    try:
        request = _KNOWN.get(asked[0]) or keys.parse(asked[0])
        if not (command.plain and request.simple) or client.holder.by_name:
            _get_with_care(client, [keys.parse(key) for key in asked], command)
            return
        hit = client.queues.read(request)
    except PROBLEMS as problem:
        client.fail(problem)
        return
    counters = client.counters
    if hit is not None:
        counters.cmd_get += 1
        counters.get_hits += 1
        if request.peek:
            counters.cmd_peek += 1
        client.replies.add_hit(hit, with_cas=command.with_cas, alone=True)
    elif request.wait_ms and client.may_wait:
        wait(client, [request], with_cas=command.with_cas)
    else:
        counters.cmd_get += 1
        counters.get_misses += 1
        client.replies.end_hits()


def _get_with_care(client: Client, requests: Sequence[Request], command: commands.Get) -> None:
    """Execute any get: find what is wrong, end open reads, subscribe, and read.

    Raises ``RequestError`` when nothing was done, ``JournalError`` and ``QueueRefused``.
    """
    if command.touch_exptime is not None:
        lease = lease_of(client, command.touch_exptime)
        requests = [leased(request, lease) for request in requests]
    ending = reads_to_end(client, requests)
    for request in requests:
        check(client, request, ending)
    for read, request in ending.items():
        end_read(client, read, request)
    # A queue named twice is served once: clients keep one value a key.
    taking: dict[bytes, Request] = {}
    for request in requests:
        if request.takes:
            taking.setdefault(request.name, request)
    wanted = [each.reading for each in taking.values()]
    for request in wanted:
        child = client.queues.subscribe(request.name)
        if child is not None:
            client.replies.depend(child.journal)
    if wanted:
        _read(client, wanted, with_cas=command.with_cas)
    else:
        client.replies.end_hits()


def _read(client: Client, requests: Sequence[Request], *, with_cas: bool) -> None:
    """Read from each queue, once the first items of all of them are in memory.

    When one queue has given an item, the reply cannot wait for another any more: that would look
    empty. A queue that cannot be read for now is not waited for.
    """
    missing = _not_loaded(client, requests) if len(requests) > 1 else None
    if missing is None:
        _take(client, requests, with_cas=with_cas)
    else:
        client.wait_until_loaded(
            missing,
            lambda: _read(client, requests, with_cas=with_cas),
            lambda _: _take(client, requests, with_cas=with_cas),
        )


def _not_loaded(client: Client, requests: Sequence[Request]) -> NotLoaded | None:
    """Return what has to be read from disk before any queue is read from, if there is anything."""
    for request in requests:
        try:
            client.queues.require_first(request.name)
        except NotLoaded as missing:
            return missing
        except JournalError:
            continue  # it is told when the queue is read from
    return None


def _take(client: Client, requests: Sequence[Request], *, with_cas: bool) -> None:
    """Read from each queue, or wait until one of them has something."""
    hits: list[Hit] = []
    failure: JournalError | None = None
    size = 0
    for request in requests:
        if size > MAX_OUTPUT:
            break
        try:
            found = _hits(client, request)
        except NotLoaded as missing:
            if not hits:
                client.wait_until_loaded(
                    missing, lambda: _take(client, requests, with_cas=with_cas)
                )
                return
        except JournalError as problem:
            # The items that other queues have given must reach the client: they are taken.
            failure = problem
        else:
            hits += found
            size += sum(len(hit[1].data) for hit in found)
    if failure is not None and not hits:
        client.fail(failure)
        return
    if not hits and client.may_wait and any(request.wait_ms for request in requests):
        wait(client, requests, with_cas=with_cas)
        return
    answer(client, hits, len(requests), with_cas=with_cas)


def _hits(client: Client, request: Request) -> list[Hit]:
    """Return the items that a request finds now. Raises ``JournalError`` and ``NotLoaded``."""
    hit = client.queues.read(request, client.holder)
    if hit is None or request.count == 1:
        return [] if hit is None else [hit]
    queue = hit[2]
    items = queue.look(request.count, client.queues.clock.wall_ms)
    return [(request, item, queue) for item in items]


HANDLERS: dict[type[commands.Command], Callable[[Client, Any], None]] = {commands.Get: get}
