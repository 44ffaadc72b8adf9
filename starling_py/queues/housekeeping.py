"""Housekeeping: work on the queues that no client asks for, done now and then.

It cuts windows that are too large, removes dead items at the heads of queues, a bounded number
each time, deletes queues that nobody uses, and checks how much memory and disk is left.
"""

import contextlib
import logging

from starling_py.journal.errors import JournalError
from starling_py.journal.spool import Spool
from starling_py.keys import printable
from starling_py.queues import limits
from starling_py.queues.errors import NotLoaded
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.queues.queue_directory import QueueDirectory
from starling_py.queues.waiters import Waiters

log = logging.getLogger(__name__)

SWEPT = 10_000
"""Dead items after which no more queues are swept, each time."""


class Housekeeping:
    """The housekeeping of all queues of a spool."""

    def __init__(self, directory: QueueDirectory, waiters: Waiters, spool: Spool) -> None:
        self._directory = directory
        self._waiters = waiters
        self._spool = spool
        self._idle_since: dict[PersistentQueue, tuple[float, int]] = {}
        """Since when nobody has used a queue, in monotonic time, and its puts and gets by then."""

    def run(self) -> None:
        """Do a little of everything."""
        swept = 0
        self._directory.remove_deleted()
        queues = list(self._directory)
        for removed in self._idle_since.keys() - set(queues):
            del self._idle_since[removed]
        guard = self._directory.guard
        for queue in queues:
            try:
                swept += self._look_after(queue, sweep=swept < SWEPT)
            except Exception:
                guard.caught("keeping house in a queue")  # the next time it is tried again
        for work in (
            self._spool.tidy,
            self._look_at_room,
            self._directory.take_care,
        ):
            try:
                work()
            except Exception:
                guard.caught("keeping house")

    def _look_after(self, queue: PersistentQueue, *, sweep: bool) -> int:
        """Do a little for one queue; return how many dead items were removed."""
        queue.sync_waits.fail_if_broken()
        queue.waiting.cut_window()
        queue.waiting.top_up()  # if reading failed, it may go better now
        swept = self._sweep(queue) if sweep else 0
        if queue.settings.idle_expire is not None and queue.journal.broken is None:
            self._delete_if_idle(queue, queue.settings.idle_expire)
        return swept

    def _sweep(self, queue: PersistentQueue) -> int:
        """Remove the dead items at the head of a queue that are in memory; return how many."""
        before = queue.counted.expired
        # What is not in memory will be the next time; what cannot be read is left.
        with contextlib.suppress(NotLoaded, JournalError):
            queue.peek(self._directory.clock.wall_ms)
        return queue.counted.expired - before

    def _delete_if_idle(self, queue: PersistentQueue, longest: float) -> None:
        now = self._directory.clock.monotonic
        used = queue.used or queue.items or self._waiters.count(queue.name)
        queue.used = False
        done = queue.total_items + queue.counted.get_hits
        since, done_by_then = self._idle_since.setdefault(queue, (now, done))
        if used or done != done_by_then:
            self._idle_since[queue] = (now, done)
        elif now - since >= longest:
            del self._idle_since[queue]
            log.info("queue %s: deleted, as nobody uses it", printable(queue.name))
            try:
                queue.delete()
            except JournalError as problem:
                log.warning("queue %s: cannot be deleted: %s", printable(queue.name), problem)

    def _look_at_room(self) -> None:
        server, rules = self._directory.limits, self._directory.rules
        server.disk_low = False
        if rules.disk_free_min:
            try:
                server.disk_low = self._spool.free_space() < rules.disk_free_min
            except OSError as error:
                log.warning("%s: cannot be asked for its free space: %s", self._spool.path, error)
        server.memory_high = rules.memory_max is not None and (
            sum(limits.in_memory(queue) for queue in self._directory) > rules.memory_max
        )
