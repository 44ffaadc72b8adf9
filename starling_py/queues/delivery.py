"""A put with all that may come with it: limits, a delay, a place in front, other queues.

A put goes to all the queues that it concerns or to none: each is asked whether it accepts the
item before the first one gets it. No client may be told that it is stored before the commits of
all of them have succeeded. A plain put to a queue without rules does not come through here; an
item that is moved to another queue does.
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
    """An item to be put."""

    name: bytes
    data: bytes
    flags: int
    exptime: int
    """When it expires: memcached's number, which ``expiry`` reads."""
    due_ms: int = 0
    """When it can be taken, in milliseconds since the Unix epoch; 0 for at once."""
    front: bool = False
    """Whether it goes in front of all others."""
    deliveries: int = 0
    """How often it was handed out in the queue that it comes from."""


def put(directory: QueueDirectory, what: Put) -> list[PersistentQueue]:
    """Put an item into its queue and those that get a copy; return all of them.

    There may be none: a queue with ``fanout_only`` keeps nothing itself. Raises ``JournalError``,
    ``QueueRefused`` and ``NotLoaded``, and then the item is in none of them.
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
    """Put an item that leaves ``source`` into its target and those that get a copy; return them.

    Two things differ from ``put``. If ``source`` itself would get a copy, nobody gets one, or the
    item would go round for ever. And if nobody else gets the item, the target keeps it even with
    ``fanout_only``, or it would be lost. ``missing`` names the queues that still have to get it;
    none for all of them. Raises as ``put``, and then the item is in none of them.
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
    """Put an item into all of these queues, or into none.

    ``admit`` tells whether a queue must make room for an item of some bytes, or raises
    ``QueueRefused``, as ``limits.check`` does.
    """
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
    """Return the queues that get a copy of a put to this one, each once.

    Those of the routes are made if need be. Raises ``NotNowRefused``.
    """
    fan_out = directory.fan_out
    found = [directory.find(child) for child in fan_out.children(name)]
    for target in fan_out.routes.targets(name):
        # What is routed to a parent goes to its children too.
        if not directory.settings_of(target).fanout_only:
            found.append(directory.find_or_make(target))
        found += [directory.find(child) for child in fan_out.children(target)]
    return list(dict.fromkeys(each for each in found if each is not None))


def put_into(queue: PersistentQueue, what: Put, now_ms: int) -> None:
    """Put an item into one queue, whose settings bound its expiry. Raises ``JournalError``."""
    settings = queue.settings
    expiry = 0
    if what.exptime and not settings.ignore_client_expiry:
        expiry = expiry_ms(what.exptime, now_ms, queue.name)
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
    """Drop the oldest items of a queue until one of ``size`` bytes fits, if its settings say so.

    Raises ``QueueFullRefused`` when all that is left is open or delayed, ``JournalError`` and
    ``NotLoaded``; what was dropped before stays dropped.
    """
    while queue.settings.discard_old_when_full and limits.is_full(queue, size):
        if not queue.drop_oldest(now_ms) and limits.is_full(queue, size):
            raise QueueFullRefused(queue.name)
