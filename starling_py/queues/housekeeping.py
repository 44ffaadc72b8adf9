"""Housekeeping: work on the queues that no client asks for, done now and then.

It cuts windows that are too large, removes dead items at the heads of queues, deletes queues that
nobody uses, and checks how much memory and disk is left. A round goes through all queues, and
takes as many turns as that needs. It is asked for twice a second; where there are many queues, a
round is followed by a rest, so that they cost little while nothing happens.
"""

import contextlib
import logging
from typing import Final

from starling_py.journal.errors import JournalError
from starling_py.journal.spool import Spool
from starling_py.keys import printable
from starling_py.queues import numbers
from starling_py.queues.errors import NotLoaded
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.queues.queue_directory import QueueDirectory
from starling_py.queues.slices import Steps, one_by_one
from starling_py.queues.waiters import Waiters

log = logging.getLogger(__name__)

EACH_TIME: Final = 1000
"""Queues that are looked after each time, in the long run: each takes some 10 microseconds."""


class Housekeeping:
    """The housekeeping of all queues of a spool."""

    def __init__(self, directory: QueueDirectory, waiters: Waiters, spool: Spool) -> None:
        self._directory = directory
        self._waiters = waiters
        self._spool = spool
        self._under_way = False
        self._rest = 0
        """How often to be asked before the next round."""
        self._memory = 0
        """Bytes that items in memory take, about, as of the last round."""

    def begin(self) -> None:
        """Begin a round through all queues, unless one is under way or it is time to rest.

        What concerns all of them together is looked at every time.
        """
        if self._under_way:
            return
        if self._rest > 0:
            self._rest -= 1
            self._look_after_all()
            return
        self._rest = len(self._directory.by_name) // EACH_TIME
        self._under_way = True
        self._directory.slices.start(self._round())

    def _round(self) -> Steps:
        """Do a little for every queue, and then for all of them together."""
        directory = self._directory
        guard = directory.guard
        memory = 0
        try:
            # The directory changes meanwhile: what is new comes in the next round.
            for queue in one_by_one(directory.by_name.values()):
                if directory.by_name.get(queue.name) is queue:
                    try:
                        self._look_after(queue)
                        memory += numbers.in_memory(queue)
                    except Exception:
                        guard.caught("keeping house in a queue")  # the next time it is tried again
                yield None
            try:
                journals = [queue.journal for queue in directory]
                yield from self._spool.look_for_lost_names(journals)
            except Exception:
                guard.caught("looking for lost files")
            self._memory = memory
            self._look_after_all()
        finally:
            self._under_way = False

    def _look_after_all(self) -> None:
        for work in self._spool.tidy, self._look_at_room, self._directory.take_care:
            try:
                work()
            except Exception:
                self._directory.guard.caught("keeping house")

    def _look_after(self, queue: PersistentQueue) -> None:
        if queue.deleted:
            queue.journal.tell_if_all_safe()  # perhaps it can be removed now
            return
        queue.sync_waits.fail_if_broken()
        queue.waiting.cut_window()
        queue.waiting.top_up()  # if reading failed, it may go better now
        # What is not in memory will be the next time; what cannot be read is left.
        with contextlib.suppress(NotLoaded, JournalError):
            queue.peek(self._directory.clock.wall_ms)
        if queue.settings.idle_expire is not None and queue.journal.broken is None:
            self._delete_if_idle(queue, queue.settings.idle_expire)
        else:
            queue.idle_since = None

    def _delete_if_idle(self, queue: PersistentQueue, longest: float) -> None:
        now = self._directory.clock.monotonic
        # A pause would be forgotten with the queue.
        needed = queue.items or queue.pause.until_ms
        used = queue.used or needed or self._waiters.count(queue.name)
        queue.used = False
        done = queue.total_items + queue.counted.get_hits
        if queue.idle_since is None:
            queue.idle_since = now, done
        since, done_by_then = queue.idle_since
        if used or done != done_by_then:
            queue.idle_since = now, done
        elif now - since >= longest:
            queue.idle_since = None
            log.info("queue %s: deleted, as nobody uses it", printable(queue.name))
            try:
                queue.delete()
            except JournalError as problem:
                log.warning("queue %s: cannot be deleted: %s", printable(queue.name), problem)

    def _look_at_room(self) -> None:
        """Check the room that is left, on the disk and in memory."""
        server, rules = self._directory.limits, self._directory.rules
        server.disk_low = False
        if rules.disk_free_min:
            try:
                server.disk_low = self._spool.free_space() < rules.disk_free_min
            except OSError as error:
                log.warning("%s: cannot be asked for its free space: %s", self._spool.path, error)
        server.memory_high = rules.memory_max is not None and self._memory > rules.memory_max
