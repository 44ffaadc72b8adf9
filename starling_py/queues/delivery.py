"""A put, with all that can be said about it: verb, delay, limits, copies for other queues.

A put either goes to all the queues that it concerns or to none: whether each of them takes it is
found out before the first of them gets it. The commits of all of them must succeed before anybody
is told that it is stored. The plain put to a queue without rules does not come through here; what
is moved to another queue does.
"""

from collections.abc import Callable, Container
from dataclasses import dataclass

from starling_py.journal.errors import JournalError
from starling_py.journal.format.record import MarkedItem
from starling_py.queues import limits
from starling_py.queues.errors import QueueFullRefused, QueueRefused
from starling_py.queues.expiry import expiry_ms
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.queues.queue_directory import QueueDirectory
from starling_py.queues.traffic import MoveSource


@dataclass
class Put:
    """What is to be put."""

    name: bytes
    data: bytes
    flags: int
    exptime: int
    """memcached's number."""
    due_ms: int = 0
    """Not to be handed out before this time, in milliseconds since the epoch; 0 for at once."""
    front: bool = False
    """Whether it goes in front of all others."""
    deliveries: int = 0
    """How often it was handed out in another queue."""


def put(directory: QueueDirectory, what: Put) -> list[PersistentQueue]:
    """Put an item into every queue that it concerns, and return those; there may be none.

    Raises ``JournalError``, ``QueueRefused`` and ``NotLoaded``, and then it is in none of them.
    """
    directory.limits.check()
    concerned = _others(directory, what.name)
    if not directory.settings_of(what.name).fanout_only:
        concerned.insert(0, directory.find_or_make(what.name))
    _put_into_all(directory, what, concerned, limits.check)
    return concerned


def put_moved(
    directory: QueueDirectory, what: Put, source: MoveSource, missing: Container[bytes]
) -> list[PersistentQueue]:
    """Put an item of another queue into every queue that it is moved to, and return those.

    Those are the ones that a put would concern. But nothing comes back to its ``source`` as a
    copy, or the item would go round for ever; and where nobody else would get it, the queue that
    it is moved to keeps it in any case, or it would be lost. With ``missing``, only the queues of
    these names get it. Raises as ``put``, and then it is in none of them.
    """
    concerned = _others(directory, what.name)
    if source in concerned:
        concerned.clear()
    if not concerned or not directory.settings_of(what.name).fanout_only:
        concerned.insert(0, directory.find_or_make(what.name))
    if missing:
        concerned = [queue for queue in concerned if queue.name in missing]
    _put_into_all(directory, what, concerned, limits.check_moved)
    return concerned


def _put_into_all(
    directory: QueueDirectory,
    what: Put,
    concerned: list[PersistentQueue],
    admit: Callable[[PersistentQueue, int], bool],
) -> None:
    """Put an item into all of these queues, or into none; ``admit`` as in ``limits``."""
    size = len(what.data)
    now_ms = directory.clock.wall_ms
    try:
        crowded = []
        for queue in concerned:
            if admit(queue, size):
                crowded.append(queue)
            queue.journal.recorder.check()
        for queue in crowded:
            make_room(queue, size, now_ms)
    except (JournalError, QueueRefused):
        for queue in concerned:
            directory.unmake(queue)
        raise
    for queue in concerned:
        put_into(queue, what, now_ms)


def _others(directory: QueueDirectory, name: bytes) -> list[PersistentQueue]:
    """Return every other queue that a put to this one goes to, each once. Raises ``NotNow``."""
    fan_out = directory.fan_out
    found = [directory.find(child) for child in fan_out.children(name)]
    for target in fan_out.routes.targets(name):
        # What is routed to a parent goes to its children too.
        if not directory.settings_of(target).fanout_only:
            found.append(directory.find_or_make(target))
        found += [directory.find(child) for child in fan_out.children(target)]
    return list(dict.fromkeys(each for each in found if each is not None))


def put_into(queue: PersistentQueue, what: Put, now_ms: int) -> None:
    """Put an item into one queue, by that queue's rules for expiry. Raises ``JournalError``."""
    settings = queue.settings
    expiry = 0
    if what.exptime and not settings.ignore_client_expiry:
        expiry = expiry_ms(what.exptime, now_ms)
    if settings.max_age is not None:
        latest = now_ms + int(settings.max_age * 1000)
        expiry = min(expiry, latest) if expiry else latest
    if what.due_ms or what.front or what.deliveries:
        queue.put_marked(
            MarkedItem(
                queue.next_id,
                now_ms,
                expiry,
                what.flags,
                what.data,
                what.due_ms,
                what.deliveries,
                what.front,
            )
        )
    else:
        queue.put(what.data, what.flags, expiry, now_ms)


def make_room(queue: PersistentQueue, size: int, now_ms: int) -> None:
    """Drop the oldest items of a queue as long as it is full.

    Raises ``QueueFullRefused`` when all that is left is open or due later, ``JournalError`` and
    ``NotLoaded``.
    """
    while queue.settings.discard_old_when_full and limits.is_full(queue, size):
        if not queue.drop_oldest(now_ms) and limits.is_full(queue, size):
            raise QueueFullRefused(queue.name)
