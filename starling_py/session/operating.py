"""What operators do to a queue: pause it, have it go on, look at its items, drop or move some.

Each of these commands is refused unless the settings allow it to this client.
"""

import logging
from collections.abc import Callable
from typing import Any

from starling_py import keys
from starling_py.journal.errors import JournalError
from starling_py.journal.format.record import Item
from starling_py.journal.ledger import FOR_EVER
from starling_py.keys import RequestError, printable
from starling_py.protocol import commands, operations
from starling_py.protocol.operator_replies import item_line
from starling_py.protocol.writer import Outcome
from starling_py.queues.by_hand import HandMove
from starling_py.queues.listing import Listing, find, listed, waits
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.queues.slices import LATER, Steps
from starling_py.session import audit
from starling_py.session.client import Client
from starling_py.session.origins import where_and_why

log = logging.getLogger(__name__)


def permitted(client: Client, verb: str, *, quiet: bool = False) -> bool:
    """Tell whether a client may use a command of operators; if not, it is told."""
    if client.policy.permission.allows(verb, client.peer, is_user=bool(client.user)):
        return True
    told = client.replies.writer.disabled(verb)
    client.replies.add_error(told, f"{verb} is not enabled for it", quiet=quiet)
    return False


def pause(client: Client, command: operations.Pause) -> None:
    """Let the gets of a queue be misses, for some time or until they are resumed."""
    _change(client, command, "paused", command.seconds)


def resume(client: Client, command: operations.Resume) -> None:
    """End a pause that was begun by a client; one of the settings stays."""
    _change(client, command, "resumed", None)


def _change(
    client: Client,
    command: operations.Pause | operations.Resume,
    done: str,
    seconds: float | None,
) -> None:
    if not permitted(client, "pause", quiet=command.quiet):
        return
    try:
        queue = client.queues.directory.find(keys.parse_plain(command.key))
        if queue is None:
            client.replies.add_outcome(Outcome.NOT_FOUND, quiet=command.quiet)
            return
        if isinstance(command, operations.Resume):
            queue.pause.end()
            queue.available()
        elif seconds is None:
            queue.pause.begin(FOR_EVER)
        else:
            queue.pause.begin(client.queues.clock.wall_ms + int(seconds * 1000))
    except (RequestError, JournalError) as problem:
        client.fail(problem, quiet=command.quiet)
        return
    audit.log.info("%s: queue %s %s", client.who, printable(queue.name), done)
    client.replies.add_for([queue.journal], Outcome.OK, quiet=command.quiet)


def browse(client: Client, command: operations.Browse) -> None:
    """List items of a queue, without their data and without taking any."""
    if permitted(client, "browse"):
        client.at_length(_browsing(client, command))


def _browsing(client: Client, command: operations.Browse) -> Steps:
    if client.queues.slices.spent:
        yield LATER
    try:
        queue = client.queues.directory.find(keys.parse_plain(command.key))
        if queue is None:
            client.replies.add_outcome(Outcome.NOT_FOUND)
            return
        lines = _Lines(client, queue)
        yield from Listing(queue, command.first_id - 1, command.count, lines.add).steps()
    except (RequestError, JournalError) as problem:
        client.fail(problem)
        return
    client.replies.add_outcome(Outcome.END)


class _Lines:
    """Tells one client of items, a line each."""

    def __init__(self, client: Client, queue: PersistentQueue) -> None:
        self._client = client
        self._queue = queue

    def add(self, item: Item) -> None:
        """Tell of one more."""
        told = listed(self._queue, item)
        now_ms = self._client.queues.clock.wall_ms
        origin, reason = where_and_why(item, self._client.replies.may_tell)
        line = item_line(item, now_ms, told.state, told.due_ms, told.deliveries, origin, reason)
        self._client.replies.add_part(line)


def drop(client: Client, command: operations.Drop) -> None:
    """Remove one item that waits, wherever it stands."""
    if permitted(client, "drop", quiet=command.quiet):
        client.at_length(_dropping(client, command), finish=True)


def _dropping(client: Client, command: operations.Drop) -> Steps:
    try:
        queue = client.queues.directory.find(keys.parse_plain(command.key))
        found: list[Item] = []
        if queue is not None:
            yield from find(queue, command.item_id, found)
        if queue is None or not found or not waits(queue, command.item_id):
            client.replies.add_outcome(Outcome.NOT_FOUND, quiet=command.quiet)
            return
        queue.drop(found[0])
    except (RequestError, JournalError) as problem:
        client.fail(problem, quiet=command.quiet)
        return
    name, item_id = printable(queue.name), command.item_id
    audit.log.info("%s: queue %s: item %d dropped", client.who, name, item_id)
    client.replies.add_for([queue.journal], Outcome.DELETED, quiet=command.quiet)


def move(client: Client, command: operations.Move) -> None:
    """Move the oldest items that wait, to another queue or each to where it came from.

    If the client hangs up, no more begin, and those that have begun arrive.
    """
    if permitted(client, "move"):
        client.at_length(_moving(client, command))


def _moving(client: Client, command: operations.Move) -> Steps:
    queues = client.queues
    try:
        queue = queues.directory.find(keys.parse_plain(command.key))
        target = None if command.target is None else keys.parse_plain(command.target)
        if queue is None:
            client.replies.add_outcome(Outcome.NOT_FOUND)
            return
        if queue.name == target:
            raise RequestError("a queue is not moved into itself")
        work = HandMove(queue, queues.directory.moves, command.count or queue.next_id)
        yield from work.back(client.may_put) if target is None else work.to(target)
    except (RequestError, JournalError) as problem:
        client.fail(problem)
        return
    name = printable(queue.name)
    to = "where they came from" if target is None else printable(target)
    audit.log.info("%s: queue %s: %d items moved to %s", client.who, name, work.moved, to)
    if work.refused and not work.moved:
        reason = f"nothing was moved: {work.refused}"
        client.replies.add_error(client.replies.writer.server_error(reason), reason, quiet=False)
    else:
        client.replies.add(client.replies.writer.word(f"MOVED {work.moved}"))


def hello(client: Client, command: operations.Hello) -> None:
    """Remember what a client is called."""
    client.name = command.name.decode("ascii")
    client.call_it()
    log.debug("%s: says hello", client.who)
    client.replies.add_outcome(Outcome.OK)


def snapshot(client: Client, command: operations.Snapshot) -> None:
    """Make a consistent copy of all queues; the reply comes when it is made.

    If the client hangs up, it is made all the same.
    """
    if permitted(client, "snapshot"):
        client.at_length(_taking_snapshot(client, command.name.decode("ascii")))


def _taking_snapshot(client: Client, name: str) -> Steps:
    while client.replies.unsettled:
        yield LATER  # what this client has put before it is in it
    directory = client.queues.directory
    try:
        if directory.has_snapshot(name):
            raise RequestError("there is a snapshot of this name")
        audit.log.info("%s: takes the snapshot %s", client.who, name)
        yield directory.take_snapshot(name)
    except (RequestError, JournalError) as problem:
        client.fail(problem)
        return
    audit.log.info("%s: the snapshot %s is made", client.who, name)
    client.replies.add_outcome(Outcome.OK)


def handover(client: Client, _: operations.Handover) -> None:
    """Have another server of the group take over; this one ends its connections, and follows."""
    if not permitted(client, "handover"):
        return
    problem = client.host.hand_over()
    if problem is None:
        audit.log.info("%s: asked for the queues to be handed over", client.who)
        client.replies.add_outcome(Outcome.OK)
    else:
        told = client.replies.writer.server_error(problem)
        client.replies.add_error(told, problem, quiet=False)


HANDLERS: dict[type[commands.Command], Callable[[Client, Any], None]] = {
    operations.Pause: pause,
    operations.Resume: resume,
    operations.Browse: browse,
    operations.Drop: drop,
    operations.Move: move,
    operations.Hello: hello,
    operations.Snapshot: snapshot,
    operations.Handover: handover,
}
