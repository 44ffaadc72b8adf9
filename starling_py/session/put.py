"""Storage commands: ``set`` and its relatives put an item into a queue.

``set`` adds at the end of a queue, ``prepend`` in front, ``add`` only to a queue without items,
``replace`` and ``append`` only to one that exists. A key may ask for a delay, for an answer only
after the sync, and to wait until a full queue has room.
"""

import functools
from collections.abc import Callable
from typing import Any, Final

from starling_py import keys
from starling_py.journal.errors import JournalError
from starling_py.keys import RequestError, StoreRequest
from starling_py.protocol import commands
from starling_py.protocol.commands import Verb
from starling_py.protocol.writer import Outcome
from starling_py.queues.delivery import Put
from starling_py.queues.errors import NotLoaded, QueueFullRefused, QueueRefused
from starling_py.queues.once import digest_of
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.queues.slices import LATER, Steps
from starling_py.queues.waiters import RoomWaiter
from starling_py.session.client import Client, Parked
from starling_py.session.replies import PUT, STORED

# Looking a member up in an enumeration costs as much as a function call.
SET: Final = Verb.SET
_KNOWN: Final = keys.STORE_REQUESTS.found
_NAMED: Final = 100
"""Queues of which it is told that a put waits for them."""


def store(client: Client, command: commands.Store) -> None:
    """Put an item: at once if nothing but that is asked for, else ``_storing`` does it."""
    try:
        request = _KNOWN.get(command.key) or keys.parse_store(command.key)
        queue = None
        if command.verb is SET and request.simple:
            queue = client.queues.put(request.name, command.data, command.flags, command.exptime)
    except (RequestError, JournalError, QueueRefused) as problem:
        _refuse(client, problem, quiet=command.quiet)
        return
    if queue is None:
        steps = _storing(client, command, request, None)
        client.at_length(steps, finish=True, weight=len(command.data))
        return
    counters = client.counters
    counters.cmd_set += 1
    counters.total_items += 1
    client.replies.stored(queue.journal, queue.next_id - 1, quiet=command.quiet)


def _storing(
    client: Client, command: commands.Store, request: StoreRequest, deadline: float | None
) -> Steps:
    """Put an item by all that the verb and the key ask for.

    ``deadline`` is the monotonic time when its wait for room ends; ``None`` if it has not waited
    yet.
    """
    queues, slices = client.queues, client.queues.slices
    # To make a queue takes long, and here nothing has begun yet.
    if slices.spent and queues.directory.find(request.name) is None:
        yield LATER
    due_ms = queues.clock.wall_ms + int(request.delay * 1000) if request.delay else 0
    front = command.verb is Verb.PREPEND
    what = Put(request.name, command.data, command.flags, command.exptime, due_ms, front)
    if request.token:
        what.token = digest_of(request.token)
        if queues.directory.settings_of(request.name).fanout_only:
            reason = "/once= needs a queue that keeps items; this one has fanout_only"
            client.fail(RequestError(reason), quiet=command.quiet)
            return
    stored = _Stored(client, command, sync=request.sync)
    while True:
        try:
            if what.token:
                what.seen_id = queues.seen_once(what.name, what.token)
                if what.seen_id:
                    _repeated(client, command, request, what.seen_id)
                    return
            outcome = _condition(client, command.verb, request.name)
            if outcome is not None:
                client.counters.cmd_set += 1
                client.counters.cas_misses += command.verb is Verb.CAS
                client.replies.add_outcome(outcome, quiet=command.quiet)
                return
            for step in queues.put_with_care(what, stored.queues):
                stored.note()
                yield step
            if what.seen_id:
                _repeated(client, command, request, what.seen_id)
                return
            stored.note()
        except NotLoaded as missing:
            try:
                yield missing
            except JournalError as failure:
                client.fail(failure, quiet=command.quiet)
                return
        except QueueFullRefused as full:
            now = queues.clock.monotonic
            until = deadline
            if until is None:
                settings = queues.directory.settings_of(request.name)
                until = now + settings.bounded_wait(request.wait_ms) / 1000
            if client.may_wait and until > now:
                again = deadline is not None
                _wait_for_room(client, command, request, full.name, until, again=again)
            else:
                _refuse(client, full, quiet=command.quiet)
            return
        except (RequestError, JournalError, QueueRefused) as problem:
            _refuse(client, problem, quiet=command.quiet)
            return
        else:
            stored.answer()
            return


class _Stored:
    """The queues that have the item of one put, and the reply, which depends on all of them."""

    def __init__(self, client: Client, command: commands.Store, *, sync: bool) -> None:
        """``sync``: whether the reply waits until the item is synced in all of them."""
        self._client = client
        self._command = command
        self._sync = sync
        self.queues: list[PersistentQueue] = []
        """Those that have it by now."""
        self._noted = 0
        self._id = 0
        self._unsynced = 0
        self._failure: JournalError | None = None
        self._parked: Parked | None = None

    def note(self) -> None:
        """Have the reply depend on the queues that were reached since the last call."""
        queues = self.queues
        while self._noted < len(queues):
            queue = queues[self._noted]
            if not self._noted:
                self._id = queue.next_id - 1
            self._noted += 1
            if self._sync:
                self._unsynced += 1
                queue.sync_waits.add(self._synced)
            else:
                self._client.replies.depend(queue.journal)

    def answer(self) -> None:
        """Tell that it is stored, when it is synced if that was asked for."""
        client, replies = self._client, self._client.replies
        client.counters.cmd_set += 1
        client.counters.total_items += replies.spoiled is None
        if self.queues:
            replies.note_id(self._id)
        if self._failure is not None:
            self._fail()
        elif self._unsynced:
            names = tuple(queue.name for queue in self.queues[:_NAMED])
            self._parked = client.parked = Parked(names)
        else:
            replies.add_for((), STORED, PUT, quiet=self._command.quiet)

    def _synced(self, failure: JournalError | None) -> None:
        """Go on when the item is synced in every queue, or in one of them cannot be."""
        client = self._client
        self._unsynced -= 1
        self._failure = self._failure or failure
        if self._parked is None or client.parked is not self._parked:
            return
        if failure is not None:
            client.go_on(self._fail)
        elif not self._unsynced:
            client.go_on(lambda: client.replies.add_outcome(STORED, quiet=self._command.quiet))

    def _fail(self) -> None:
        self._client.counters.total_items -= 1
        if self._failure is not None:
            self._client.fail(self._failure, quiet=self._command.quiet)


def _repeated(client: Client, command: commands.Store, request: StoreRequest, item_id: int) -> None:
    """Tell of a put whose token was seen what its first one was, or will be, told.

    ``item_id`` is that item's. The reply waits for whatever the first one's has to wait for.
    """
    queue = client.queues.directory.find(request.name)
    assert queue is not None, "its tokens were looked at"
    journal, replies = queue.journal, client.replies
    queue.once.duplicates += 1
    client.counters.cmd_set += 1
    replies.note_id(item_id)
    is_written = item_id < journal.next_id
    is_safe = is_written and journal.safe >= journal.written
    if request.sync or (journal.waits and is_written and not is_safe):
        parked = client.parked = Parked((queue.name,))
        tell = functools.partial(_tell_repeated, client, command, parked)
        if is_written:
            queue.sync_waits.add_written(tell)
        else:
            queue.sync_waits.add(tell)
    else:
        replies.add_for(() if is_written else [journal], STORED, quiet=command.quiet)


def _tell_repeated(
    client: Client, command: commands.Store, parked: Parked, failure: JournalError | None
) -> None:
    if client.parked is not parked:
        return  # the client is gone
    if failure is None:
        client.go_on(lambda: client.replies.add_outcome(STORED, quiet=command.quiet))
    else:
        client.go_on(lambda: client.fail(failure, quiet=command.quiet))


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


def _wait_for_room(
    client: Client,
    command: commands.Store,
    request: StoreRequest,
    name: bytes,
    deadline: float,
    *,
    again: bool,
) -> None:
    """Park until the full queue ``name`` has room, or until ``deadline``, a monotonic time.

    ``again`` tells that this put has had its turn before: it keeps its place as the first.
    """
    size = len(command.data)
    # No function of ours: compiled, it would share its variables with ``over``, and be one of them.
    try_again = functools.partial(_try_again, client, command, request, deadline)

    no_room = functools.partial(_no_room, client, command, request, name)

    def over() -> None:
        client.go_on(no_room)

    room = client.queues.room
    waiter = RoomWaiter(name, size, functools.partial(client.go_on, try_again), over)
    room.add(waiter, deadline, first=again)
    # Not a function of ours that refers to the waiter: compiled, it would share its variables with
    # ``over``, which the waiter refers to.
    client.parked = Parked((name,), functools.partial(room.remove, waiter), over, size)


def _no_room(client: Client, command: commands.Store, request: StoreRequest, name: bytes) -> None:
    """Answer a put whose wait is over: refused, unless another one with its token was stored."""
    seen_id = (
        client.queues.seen_once(request.name, digest_of(request.token)) if request.token else 0
    )
    if seen_id:
        _repeated(client, command, request, seen_id)
    else:
        _refuse(client, QueueFullRefused(name), quiet=command.quiet)


def _try_again(
    client: Client, command: commands.Store, request: StoreRequest, deadline: float
) -> None:
    steps = _storing(client, command, request, deadline)
    client.at_length(steps, finish=True, weight=len(command.data))


HANDLERS: dict[type[commands.Command], Callable[[Client, Any], None]] = {commands.Store: store}
