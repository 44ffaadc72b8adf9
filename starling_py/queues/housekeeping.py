"""What has to be done for the queues now and then, a little at a time.

Windows that are too large are cut, dead items at the heads of queues are removed, at a bounded
rate, queues that nobody uses are deleted, and it is looked at how much memory and disk there is.
"""

import contextlib
import logging
from typing import TYPE_CHECKING

from starling_py.journal.errors import JournalError
from starling_py.journal.spool import Spool
from starling_py.keys import printable
from starling_py.queues import limits
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.queues.window import NotLoaded

if TYPE_CHECKING:
    from starling_py.queues.queue_collection import QueueCollection

log = logging.getLogger(__name__)

IDLE_FILES = 64
"""Idle files that are closed at once, at the most."""
SWEPT = 10_000
"""Dead items that are removed at once, about, at the most."""


class Housekeeping:
    """The work on all queues of one collection that nobody asks for."""

    def __init__(self, queues: "QueueCollection", spool: Spool) -> None:
        self._queues = queues
        self._spool = spool
        self._idle_since: dict[PersistentQueue, tuple[float, int]] = {}
        """Since when nobody has used a queue, and what was put and taken by then."""

    def run(self) -> None:
        """Do a little of everything."""
        swept = 0
        self._queues.remove_deleted()
        queues = list(self._queues)
        for gone in self._idle_since.keys() - set(queues):
            del self._idle_since[gone]
        for queue in queues:
            queue.safety_waits.fail_if_broken()
            queue.line.cut_window()
            queue.line.top_up()  # if reading failed, it may go better now
            if swept < SWEPT:
                swept += self._sweep(queue)
            if queue.settings.idle_expire is not None:
                self._delete_if_idle(queue, queue.settings.idle_expire)
        self._spool.open_files.close_idle(IDLE_FILES)
        self._spool.reserve.tidy()
        self._look_at_room()

    def _sweep(self, queue: PersistentQueue) -> int:
        """Remove the dead items at the head of a queue, as far as it is in memory."""
        before = queue.expired_items
        # What is not in memory will be the next time; what cannot be read, never.
        with contextlib.suppress(NotLoaded, JournalError):
            queue.peek(self._queues.clock.wall_ms)
        return queue.expired_items - before

    def _delete_if_idle(self, queue: PersistentQueue, longest: float) -> None:
        now = self._queues.clock.monotonic
        used = queue.used or queue.items or self._queues.waiters.count(queue.name)
        queue.used = False
        done = queue.total_items + queue.get_hits
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
        server, rules = self._queues.limits, self._queues.rules
        server.disk_low = False
        if rules.disk_free_min:
            try:
                server.disk_low = self._spool.free_space() < rules.disk_free_min
            except OSError as error:
                log.warning("%s: cannot be asked for its free space: %s", self._spool.path, error)
        server.memory_high = rules.memory_max is not None and (
            sum(limits.in_memory(queue) for queue in self._queues) > rules.memory_max
        )
