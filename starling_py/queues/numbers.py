"""The numbers of one queue, as statistics tell them."""

from starling_py.journal.blocks import OVERHEAD
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.stats import QueueMeasure, QueueSnapshot


def snapshot(queue: PersistentQueue, now_ms: int, waiters: int, children: str) -> QueueSnapshot:
    """Return a queue's numbers.

    ``now_ms`` is the time on the wall clock, for the age of the head. ``waiters`` is how many
    clients wait, ``children`` the names of the fan-out children, separated by commas: the
    queue itself knows neither.
    """
    head = queue.waiting.oldest()
    return QueueSnapshot(
        name=queue.name,
        items=len(queue),
        bytes=queue.bytes,
        total_items=queue.total_items,
        logsize=queue.journal.size,
        expired_items=queue.counted.expired,
        discarded=queue.counted.discarded,
        dead_lettered=queue.dead_lettered,
        loaded=queue.waiting.loaded,
        mem_bytes=in_memory(queue),
        delayed=queue.waiting.set_aside.delayed,
        open_transactions=len(queue.open_reads),
        transactions=queue.open_reads.opened,
        canceled_transactions=queue.open_reads.canceled,
        age=max(0, now_ms - head.added_ms) if head is not None else 0,
        last_wait=max(0, queue.counted.last_wait),
        last_put=_ago(queue.counted.last_put_ms, now_ms),
        last_get=_ago(queue.counted.last_get_ms, now_ms),
        duplicates=queue.once.duplicates,
        waiters=waiters,
        paused=int(queue.pause.holds),
        paused_until=-(-max(0, queue.pause.until_ms) // 1000),
        children=children,
        get_hits=queue.counted.get_hits,
        total_flushes=queue.counted.flushes,
        journal_rotations=queue.journal.rotations,
        journal_compactions=queue.journal.compactions,
        journal_broken=int(queue.journal.broken is not None or bool(queue.waiting.unreadable)),
        quarantined=queue.quarantined_items,
    )


def measure(queue: PersistentQueue, now_ms: int, waiters: int) -> QueueMeasure:
    """Return what is watched of a queue: fewer numbers than its snapshot, at a fifth of the cost.

    ``now_ms`` and ``waiters`` are as for ``snapshot``.
    """
    counted, waiting = queue.counted, queue.waiting
    return QueueMeasure(
        len(queue),
        queue.bytes,
        queue.journal.size,
        _age(queue, now_ms),
        waiters,
        len(queue.open_reads),
        waiting.set_aside.delayed,
        queue.total_items,
        counted.get_hits,
        counted.expired,
        counted.discarded,
        queue.dead_lettered,
        queue.open_reads.canceled,
        int(queue.pause.holds),
        int(queue.journal.broken is not None or bool(waiting.unreadable)),
    )


def _age(queue: PersistentQueue, now_ms: int) -> int:
    """Return how long the oldest item has waited, in milliseconds; -1 if that is not known yet."""
    oldest = queue.waiting.oldest()
    if oldest is not None:
        return max(0, now_ms - oldest.added_ms)
    return 0 if queue.waiting.oldest_to_come() is None else -1


def in_memory(queue: PersistentQueue) -> int:
    """Return about how many bytes of memory a queue's items take.

    It goes by their average: to add up all of them would take too long.
    """
    count = queue.waiting.loaded + queue.elsewhere
    average = queue.bytes // queue.items if queue.items else 0
    return count * (average + OVERHEAD)


def _ago(then_ms: int, now_ms: int) -> int:
    """Return how many milliseconds ago something was; -1 if it was not since the start."""
    return max(0, now_ms - then_ms) if then_ms else -1
