"""Kestrel's ``monitor``: opens items as they come and sends each at once, until its time is over.

Each item is an open read of the client like any other, to be confirmed later.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starling_py import keys
from starling_py.journal.errors import JournalError
from starling_py.keys import Request, RequestError
from starling_py.protocol import commands
from starling_py.queues.errors import NotLoaded, QueueRefused
from starling_py.queues.waiters import Hit
from starling_py.session.client import MAX_OUTPUT, Client
from starling_py.session.serving import park


@dataclass
class _Stream:
    """What is left of a monitor."""

    request: Request
    left: int
    """The most items that it still gives."""
    deadline: float
    """When it ends, on the monotonic clock."""


def monitor(client: Client, command: commands.Monitor) -> None:
    """Begin a monitor: open items as they come, up to a number and a time."""
    try:
        name = keys.parse_plain(command.key)
        child = client.queues.subscribe(name)
    except RequestError as problem:
        client.fail(problem)
        return
    except (JournalError, QueueRefused) as refusal:
        _break_off(client, refusal)
        return
    if child is not None:
        client.replies.depend(child.journal)
    room = client.queues.directory.settings_of(name).max_open_reads - client.holder.count(name)
    left = room if command.most is None else min(command.most, room)
    deadline = client.queues.clock.monotonic + command.seconds
    _stream(client, _Stream(Request(command.key, name, open=True), left, deadline))


def _stream(client: Client, stream: _Stream) -> None:
    """Give the items that are there, then wait for more, until the monitor ends.

    It goes no faster than the client reads: beyond ``MAX_OUTPUT`` it goes on in a later turn, and
    so it does when its time in this turn is over.
    """
    queues, replies = client.queues, client.replies
    while stream.left > 0:
        if replies.size >= MAX_OUTPUT or queues.slices.spent:
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


def _break_off(client: Client, problem: JournalError | QueueRefused) -> None:
    """End a monitor because of an error: the client still needs the end of the reply."""
    client.fail(problem)
    client.replies.end_stream()


def _stream_out(client: Client, stream: _Stream, hit: Hit) -> None:
    stream.left -= 1
    client.counters.cmd_get += 1
    client.counters.get_hits += 1
    client.takes.took(stream.request.name, client.queues.clock.monotonic)
    client.replies.add_hit(hit, with_cas=False, alone=True)


def _wait_for_more(client: Client, stream: _Stream, wait_ms: float) -> None:
    def serve(hit: Hit) -> None:
        def proceed() -> None:
            _stream_out(client, stream, hit)
            _stream(client, stream)

        client.go_on(proceed)

    def over() -> None:
        client.go_on(client.replies.end_stream)

    park(client, [stream.request], wait_ms, serve, over)


HANDLERS: dict[type[commands.Command], Callable[[Client, Any], None]] = {
    commands.Monitor: monitor,
}
