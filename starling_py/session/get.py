"""What the commands do that read: get and its relatives, monitor, and what ends an open read.

A key may ask to open an item instead of taking it, to close or abort what was opened before, or
only to look. Everything that is wrong with a command is found before anything is done for it.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from starling_py import keys
from starling_py.journal.errors import JournalError
from starling_py.keys import KeyProblem, Request
from starling_py.protocol import commands
from starling_py.protocol.commands import Outcome
from starling_py.queues.errors import Refused
from starling_py.queues.expiry import RELATIVE_LIMIT
from starling_py.queues.open_reads import OpenRead
from starling_py.queues.waiters import Hit, Waiter
from starling_py.queues.window import NotLoaded
from starling_py.session.client import MAX_OUTPUT, ClientState, Parked
from starling_py.session.replies import CHANGED

PROBLEMS: Final = (KeyProblem, JournalError, Refused)


def get(client: ClientState, command: commands.Get) -> None:
    """Take an item from each key's queue, or what else the keys ask for."""
    asked = command.keys
    try:
        request = keys.parse(asked[0])
        if (
            len(asked) > 1
            or not request.simple
            or client.holder.by_name
            or command.touch_exptime is not None
        ):
            _get_with_care(client, [keys.parse(key) for key in asked], command)
            return
        hit = client.queues.read(request)
    except PROBLEMS as problem:
        client.fail(problem)
        return
    if hit is None and request.wait_ms and client.may_wait:
        _wait(client, [request], with_cas=command.with_cas)
        return
    client.counters.cmd_get += 1
    if hit is None:
        client.counters.get_misses += 1
    else:
        _give(client, hit, alone=True, with_cas=command.with_cas)
    client.replies.end_hits()


def _get_with_care(client: ClientState, requests: Sequence[Request], command: commands.Get) -> None:
    """Execute a get of several keys, or of one that asks for something special.

    Raises ``KeyProblem`` and ``JournalError`` when nothing was done.
    """
    if command.touch_exptime is not None:
        lease = _lease(client, command.touch_exptime)
        requests = [_leased(request, lease) for request in requests]
    ending = _reads_to_end(client, requests)
    for request in requests:
        _check(client, request, ending)
    for read, request in ending.items():
        _end_read(client, read, request)
    # A queue named twice is served once: clients keep one value a key.
    taking: dict[bytes, Request] = {}
    for request in requests:
        if request.takes:
            taking.setdefault(request.name, request)
    wanted = [each.reading for each in taking.values()]
    for request in wanted:
        child = client.queues.subscribe(request.name)
        if child is not None:
            client.replies.depend(child)
    if wanted:
        _read(client, wanted, with_cas=command.with_cas)
    else:
        client.replies.end_hits()


def _reads_to_end(client: ClientState, requests: Sequence[Request]) -> dict[OpenRead, Request]:
    """Return the reads that are to be closed or aborted, each with the request that says so.

    Raises ``KeyProblem`` for an item that cannot be ended, or is to be ended twice.
    """
    ending: dict[OpenRead, Request] = {}
    for request in requests:
        if not (request.close or request.abort):
            continue
        if request.item_id is None:
            reads = client.holder.reads(request.name)
            read = next((each for each in reads if each not in ending), None)
        else:
            read = _named(client, request.name, request.item_id)
            if read in ending:
                raise KeyProblem(f"item {request.item_id} is named twice")
        if read is not None:
            ending[read] = request
    return ending


def _check(client: ClientState, request: Request, ending: Collection[OpenRead]) -> None:
    """Raise ``KeyProblem`` if what a key takes cannot be taken by this client now."""
    holder, name = client.holder, request.name
    if not request.takes or request.peek:
        return
    held = holder.count(name) - sum(
        read.holder is holder and read.queue.name == name for read in ending
    )
    if request.open:
        settings = client.queues.rules.table.resolve(name)
        if held >= settings.max_open_reads:
            raise KeyProblem(f"{held} reads of this queue are open; close or abort one first")
    elif held:
        raise KeyProblem("a read of this queue is open; close or abort it first")


def _named(client: ClientState, name: bytes, item_id: int) -> OpenRead:
    """Return the open read of an item, if this client may end it. Raises ``KeyProblem``."""
    queue = client.queues.find(name)
    read = None if queue is None else queue.open_reads.get(item_id)
    if read is None:
        raise KeyProblem(f"item {item_id} is not open")
    if read.lease is None and read.holder is not client.holder:
        raise KeyProblem(f"item {item_id} was opened elsewhere, without a lease")
    return read


def _end_read(client: ClientState, read: OpenRead, request: Request) -> None:
    """Close or abort a read. Raises ``JournalError``."""
    if request.close:
        read.queue.confirm(read)
    elif request.delay:
        due_ms = client.queues.clock.wall_ms + int(request.delay * 1000)
        read.queue.give_back_later(read, due_ms)
    else:
        read.queue.give_back(read)
        return
    client.replies.depend(read.queue)


def _lease(client: ClientState, exptime: int) -> float | None:
    """Return the seconds of a lease that is given as memcached's exptime; 0 for the queue's own."""
    if exptime <= 0:
        return None
    if exptime <= RELATIVE_LIMIT:
        return float(exptime)
    return max(0.0, exptime - client.queues.clock.wall_ms / 1000)


def _leased(request: Request, lease: float | None) -> Request:
    """Return what a key asks for in a gat: to open an item with a lease."""
    if request.peek or not request.takes:
        raise KeyProblem("gat opens an item; this key does not")
    return replace(request, open=True, lease=lease if request.lease is None else request.lease)


def _read(client: ClientState, requests: Sequence[Request], *, with_cas: bool) -> None:
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
                    missing, lambda: _read(client, requests, with_cas=with_cas)
                )
                return
        except JournalError as problem:
            # What another queue has given already must reach the client all the same.
            failure = problem
        else:
            hits += found
            size += sum(len(hit[1].data) for hit in found)
    if failure is not None and not hits:
        client.fail(failure)
        return
    if not hits and client.may_wait and any(request.wait_ms for request in requests):
        _wait(client, requests, with_cas=with_cas)
        return
    _answer(client, hits, len(requests), with_cas=with_cas)


def _hits(client: ClientState, request: Request) -> list[Hit]:
    """Return what a request finds now. Raises ``JournalError`` and ``NotLoaded``."""
    hit = client.queues.read(request, client.holder)
    if hit is None or request.count == 1:
        return [] if hit is None else [hit]
    queue = hit[2]
    items = queue.look(request.count, client.queues.clock.wall_ms)
    return [(request, item, queue) for item in items]


def _answer(client: ClientState, hits: list[Hit], keys: int, *, with_cas: bool) -> None:
    """Give the whole reply to a get of so many keys."""
    found = len({hit[0].name for hit in hits})
    client.counters.cmd_get += keys
    client.counters.get_misses += keys - found
    for hit in hits:
        _give(client, hit, alone=len(hits) == 1, with_cas=with_cas)
    client.replies.end_hits()


def _give(client: ClientState, hit: Hit, *, alone: bool, with_cas: bool) -> None:
    client.counters.get_hits += 1
    client.counters.cmd_peek += hit[0].peek
    client.replies.add_hit(hit, alone=alone, with_cas=with_cas)


def _wait(client: ClientState, requests: Sequence[Request], *, with_cas: bool) -> None:
    """Park until one of the requests finds something or the time is over."""

    def serve(hit: Hit) -> None:
        client.go_on(lambda: _answer(client, [hit], 1, with_cas=with_cas))

    def over() -> None:
        client.go_on(lambda: _answer(client, [], len(requests), with_cas=with_cas))

    wait_ms = max(request.wait_ms for request in requests)
    _park(client, requests, wait_ms, serve, over)


def _park(
    client: ClientState,
    requests: Sequence[Request],
    wait_ms: float,
    serve: Callable[[Hit], None],
    over: Callable[[], None],
) -> None:
    queues = client.queues
    waiter = Waiter(tuple(requests), client.holder, serve, over)
    queues.wait(waiter, wait_ms)
    names = tuple(request.name for request in requests)
    client.parked = Parked(names, lambda: queues.waiters.remove(waiter), over)


def touch(client: ClientState, command: commands.Touch) -> None:
    """Give the oldest open read of a queue a new lease, or end it if that is over already."""
    counters = client.counters
    counters.cmd_touch += 1
    try:
        read = client.holder.oldest(keys.parse_plain(command.key))
    except KeyProblem as problem:
        client.fail(problem, quiet=command.quiet)
        return
    if read is None:
        counters.touch_misses += 1
        client.replies.add_outcome(Outcome.NOT_FOUND, quiet=command.quiet)
        return
    counters.touch_hits += 1
    if command.exptime < 0:
        read.queue.give_back(read)
    else:
        lease = _lease(client, command.exptime)
        read.queue.open_reads.set_lease(read, client.queues.lease_end(read.queue, lease))
    client.replies.add_outcome(Outcome.TOUCHED, quiet=command.quiet)


def confirm(client: ClientState, command: commands.Confirm) -> None:
    """Close the oldest open reads of a queue, so many of them or none (Kestrel's rule)."""
    try:
        reads = client.holder.reads(keys.parse_plain(command.key))
        if not 0 < command.count <= len(reads):
            client.replies.add_outcome(Outcome.ERROR)
            return
        for read in reads[: command.count]:
            read.queue.confirm(read)
    except PROBLEMS as problem:
        client.fail(problem)
        return
    client.replies.add_for([reads[0].queue], Outcome.END, CHANGED)


@dataclass
class _Stream:
    """What a monitor still has to give."""

    request: Request
    left: int
    """Items, at the most."""
    deadline: float
    """When it ends, on the monotonic clock."""


def monitor(client: ClientState, command: commands.Monitor) -> None:
    """Open items as they come for some time, each told of at once in a reply of its own."""
    try:
        name = keys.parse_plain(command.key)
        child = client.queues.subscribe(name)
    except KeyProblem as problem:
        client.fail(problem)
        return
    except (JournalError, Refused) as refusal:
        _break_off(client, refusal)
        return
    if child is not None:
        client.replies.depend(child)
    room = client.queues.rules.table.resolve(name).max_open_reads - client.holder.count(name)
    left = room if command.most is None else min(command.most, room)
    deadline = client.queues.clock.monotonic + command.seconds
    _stream(client, _Stream(Request(command.key, name, open=True), left, deadline))


def _stream(client: ClientState, stream: _Stream) -> None:
    """Give what is there, then wait for more, until the end; as fast as the client reads."""
    queues, replies = client.queues, client.replies
    while stream.left > 0:
        if replies.size >= MAX_OUTPUT:
            client.next = lambda: _stream(client, stream)
            return
        try:
            hit = queues.read(stream.request, client.holder)
        except NotLoaded as missing:
            client.wait_until_loaded(
                missing,
                lambda: _stream(client, stream),
                lambda failure: _break_off(client, failure),
            )
            return
        except JournalError as problem:
            _break_off(client, problem)
            return
        if hit is None:
            wait_ms = (stream.deadline - queues.clock.monotonic) * 1000
            if wait_ms > 0 and client.may_wait:
                _wait_for_more(client, stream, wait_ms)
                return
            break
        _stream_out(client, stream, hit)
    replies.end_stream()


def _break_off(client: ClientState, problem: JournalError | Refused) -> None:
    """End a stream because of an error; whoever reads it goes by its end all the same."""
    client.fail(problem)
    client.replies.end_stream()


def _stream_out(client: ClientState, stream: _Stream, hit: Hit) -> None:
    stream.left -= 1
    client.counters.cmd_get += 1
    _give(client, hit, alone=True, with_cas=False)
    client.replies.end_hits()


def _wait_for_more(client: ClientState, stream: _Stream, wait_ms: float) -> None:
    def serve(hit: Hit) -> None:
        def proceed() -> None:
            _stream_out(client, stream, hit)
            _stream(client, stream)

        client.go_on(proceed)

    def over() -> None:
        client.go_on(client.replies.end_stream)

    _park(client, [stream.request], wait_ms, serve, over)


HANDLERS: dict[type[commands.Command], Callable[[ClientState, Any], None]] = {
    commands.Get: get,
    commands.Touch: touch,
    commands.Confirm: confirm,
    commands.Monitor: monitor,
}
