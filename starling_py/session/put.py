"""Storage commands: ``set`` and its relatives put an item into a queue.

``set`` adds at the end of a queue, ``prepend`` in front, ``add`` only to a queue without items,
``replace`` and ``append`` only to one that exists. A key may ask for a delay, for an answer only
after the sync, and to wait until a full queue has room.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from starling_py import keys
from starling_py.journal.errors import JournalError
from starling_py.keys import RequestError, StoreRequest
from starling_py.protocol import commands
from starling_py.protocol.commands import Outcome, Verb
from starling_py.queues.delivery import Put
from starling_py.queues.errors import NotLoaded, QueueFullRefused, QueueRefused
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.queues.waiters import RoomWaiter
from starling_py.session.client import Client, Parked
from starling_py.session.replies import PUT, STORED

# Looking a member up in an enumeration costs as much as a function call.
SET: Final = Verb.SET
_KNOWN: Final = keys.STORE_REQUESTS.found


def store(client: Client, command: commands.Store) -> None:
    """Put an item: at once if nothing but that is asked for, else ``_store_with_care`` does it."""
    try:
        request = _KNOWN.get(command.key) or keys.parse_store(command.key)
        queue = None
        if command.verb is SET and request.simple:
            queue = client.queues.put(request.name, command.data, command.flags, command.exptime)
        if queue is None:
            _store_with_care(client, command, request, None)
            return
    except (RequestError, JournalError, QueueRefused) as problem:
        _refuse(client, problem, quiet=command.quiet)
        return
    counters = client.counters
    counters.cmd_set += 1
    counters.total_items += 1
    client.replies.stored(queue.journal, queue.next_id - 1, quiet=command.quiet)


def _store_with_care(
    client: Client, command: commands.Store, request: StoreRequest, deadline: float | None
) -> None:
    """Put an item by all that the verb and the key ask for.

    ``deadline`` is the monotonic time when its wait for room ends; ``None`` if it has not waited
    yet. Raises ``RequestError``, ``JournalError``, ``QueueRefused`` and ``NotLoaded``.
    """
    outcome = _condition(client, command.verb, request.name)
    if outcome is not None:
        client.counters.cmd_set += 1
        client.counters.cas_misses += command.verb is Verb.CAS
        client.replies.add_outcome(outcome, quiet=command.quiet)
        return
    clock = client.queues.clock
    due_ms = clock.wall_ms + int(request.delay * 1000) if request.delay else 0
    front = command.verb is Verb.PREPEND
    what = Put(request.name, command.data, command.flags, command.exptime, due_ms, front)
    try:
        queues = client.queues.put_with_care(what)
    except QueueFullRefused as full:
        again = deadline is not None
        until = clock.monotonic + request.wait_ms / 1000 if deadline is None else deadline
        if not client.may_wait or until <= clock.monotonic:
            raise
        _Patience(client, command, request, until).wait(full.name, again=again)
        return
    client.counters.cmd_set += 1
    client.counters.total_items += 1
    if queues:
        client.replies.note_id(queues[0].next_id - 1)
    if request.sync and queues:
        _reply_when_synced(client, command, queues)
    else:
        journals = [queue.journal for queue in queues]
        client.replies.add_for(journals, STORED, PUT, quiet=command.quiet)


def _condition(client: Client, verb: Verb, name: bytes) -> Outcome | None:
    """Return the answer if the verb's condition does not hold, else ``None``.

    Raises ``JournalError`` and ``NotLoaded``.
    """
    if verb is Verb.CAS:
        return Outcome.NOT_FOUND
    if verb is Verb.ADD:
        return None if client.queues.is_empty(name) else Outcome.NOT_STORED
    if verb in (Verb.REPLACE, Verb.APPEND):
        return None if client.queues.directory.find(name) is not None else Outcome.NOT_STORED
    return None


def _refuse(
    client: Client, problem: RequestError | JournalError | QueueRefused, *, quiet: bool
) -> None:
    client.counters.cmd_set += 1
    if isinstance(problem, QueueFullRefused):
        reply = client.replies.writer.outcome(Outcome.NOT_STORED)
        client.replies.add_error(reply, str(problem), quiet=quiet)
    else:
        client.fail(problem, quiet=quiet)


@dataclass(eq=False)
class _Patience:
    """A put that waits for room; ``deadline`` is the monotonic time when its wait ends.

    An object, and no function within a function: one that names itself is a cycle, and would keep
    the item until the collector happens to run.
    """

    client: Client
    command: commands.Store
    request: StoreRequest
    deadline: float

    def wait(self, name: bytes, *, again: bool) -> None:
        """Park until the full queue ``name`` has room, or until the deadline.

        ``again`` tells that this put has had its turn before: it keeps its place as the first.
        """
        client, room = self.client, self.client.queues.room
        size = len(self.command.data)

        def over() -> None:
            quiet = self.command.quiet
            client.go_on(lambda: _refuse(client, QueueFullRefused(name), quiet=quiet))

        waiter = RoomWaiter(name, size, lambda: client.go_on(self.try_again), over)
        room.add(waiter, self.deadline, first=again)
        client.parked = Parked((name,), lambda: room.remove(waiter), over, size)

    def try_again(self) -> None:
        """Put the item, or wait on."""
        client, quiet = self.client, self.command.quiet
        try:
            _store_with_care(client, self.command, self.request, self.deadline)
        except NotLoaded as missing:
            client.wait_until_loaded(
                missing, self.try_again, quiet=quiet, weight=len(self.command.data)
            )
        except (RequestError, JournalError, QueueRefused) as problem:
            _refuse(client, problem, quiet=quiet)


def _reply_when_synced(
    client: Client, command: commands.Store, queues: list[PersistentQueue]
) -> None:
    """Park until an item is synced in every queue that it was put into, then answer."""
    left = len(queues)
    parked = client.parked = Parked(tuple(queue.name for queue in queues))

    def synced(failure: JournalError | None) -> None:
        nonlocal left
        left -= 1
        if client.parked is not parked:
            return
        if failure is not None:
            client.counters.total_items -= 1
            client.go_on(lambda: client.fail(failure, quiet=command.quiet))
        elif not left:
            client.go_on(lambda: client.replies.add_outcome(STORED, quiet=command.quiet))

    for queue in queues:
        queue.sync_waits.add(synced)


HANDLERS: dict[type[commands.Command], Callable[[Client, Any], None]] = {commands.Store: store}
