"""The numbers of one queue, as statistics tell them."""

from starling_py.journal.blocks import OVERHEAD
from starling_py.queues.limits import is_full
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.stats import QueueSnapshot


def snapshot(queue: PersistentQueue, now_ms: int, waiters: int, children: str) -> QueueSnapshot:
    """Return a queue's numbers.

    ``now_ms`` is the time on the wall clock, for the age of the head. ``waiters`` is how many
    clients wait, ``children`` the names of the fan-out children, separated by commas: the
    queue itself knows neither.
    """
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
        age=_age(queue, now_ms),
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
        full=int(_full(queue)),
        journal_broken=int(_broken(queue)),
        quarantined=queue.quarantined_items,
    )


def in_memory(queue: PersistentQueue) -> int:
    """Return about how many bytes of memory a queue's items take.

    It goes by their average: to add up all of them would take too long.
    """
    count = queue.waiting.loaded + queue.elsewhere
    average = queue.bytes // queue.items if queue.items else 0
    return count * (average + OVERHEAD)


def watched(queue: PersistentQueue, now_ms: int, waiters: int) -> tuple[int, ...]:
    """Return the numbers that a monitor looks at all the time, in the order of ``stats.WATCHED``.

    ``now_ms`` and ``waiters`` are as in ``snapshot``.
    """
    counted, reads = queue.counted, queue.open_reads
    return (
        len(queue),
        queue.bytes,
        queue.total_items,
        counted.get_hits,
        len(reads),
        queue.waiting.set_aside.delayed,
        waiters,
        counted.expired,
        counted.discarded,
        queue.dead_lettered,
        reads.canceled,
        int(queue.pause.holds),
        int(_full(queue)),
        int(_broken(queue)),
        queue.journal.size,
        _age(queue, now_ms),
        _ago(counted.last_put_ms, now_ms),
        _ago(counted.last_get_ms, now_ms),
    )


def _full(queue: PersistentQueue) -> bool:
    return queue.restricted and is_full(queue, 1)


def _broken(queue: PersistentQueue) -> bool:
    return queue.journal.broken is not None or bool(queue.waiting.unreadable)


def _age(queue: PersistentQueue, now_ms: int) -> int:
    head = queue.waiting.oldest()
    return max(0, now_ms - head.added_ms) if head is not None else 0


def _ago(then_ms: int, now_ms: int) -> int:
    """Return how many milliseconds ago something was; -1 if it was not since the start."""
    return max(0, now_ms - then_ms) if then_ms else -1
