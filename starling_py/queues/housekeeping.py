"""Housekeeping: work on the queues that no client asks for, done now and then.

It cuts windows that are too large, removes dead items at the heads of queues, deletes queues that
nobody uses, and checks how much memory and disk is left. It is asked for twice a second, and looks
after those queues that may need it (``Care``), in as many turns as that takes: what nobody uses
costs next to nothing, however many queues there are.
"""

import logging
from typing import Final

from starling_py.journal.errors import JournalError
from starling_py.journal.journal import Journal
from starling_py.journal.spool import Spool
from starling_py.keys import printable
from starling_py.queues import numbers
from starling_py.queues.errors import NotLoaded
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.queues.queue_directory import QueueDirectory
from starling_py.queues.slices import Steps
from starling_py.queues.waiters import Waiters

log = logging.getLogger(__name__)

EACH_TIME: Final = 1000
"""Queues that are looked after each time at most: each takes some 10 microseconds."""
IN_TURN: Final = 50
"""Those among them that have their turn though nothing may have happened to them."""
_OFTEN: Final = 10
"""How often an empty queue is looked at in the time after which it is deleted."""


class Housekeeping:
    """The housekeeping of all queues of a spool."""

    def __init__(self, directory: QueueDirectory, waiters: Waiters, spool: Spool) -> None:
        self._directory = directory
        self._care = directory.care
        self._waiters = waiters
        self._spool = spool
        self._under_way = False
        self._limit = directory.sizes.limit
        """What a window might take when all queues began to have their turn."""
        self._hurries = False

    def begin(self) -> None:
        """Begin to look after the queues that may need it, unless that is under way.

        What concerns all of them together is looked at every time.
        """
        if self._under_way:
            return
        self._under_way = True
        self._directory.slices.start(self._round(self._choose()))

    def _choose(self) -> list[bytes]:
        """Return the queues to be looked after: soonest all of them, if windows are too large."""
        directory, care = self._directory, self._care
        directory.share_changed()
        if care.circle_ends:
            self._hurries = directory.sizes.limit < self._limit
            self._limit = directory.sizes.limit
        return care.next(directory.by_name, EACH_TIME, EACH_TIME if self._hurries else IN_TURN)

    def _round(self, names: list[bytes]) -> Steps:
        """Do a little for some queues, and then for all of them together."""
        directory = self._directory
        guard = directory.guard
        try:
            for name in names:
                queue = directory.by_name.get(name)
                if queue is not None:
                    try:
                        self._look_after(queue)
                    except Exception:
                        guard.caught("keeping house in a queue")
                        self._care.soon[name] = None
                yield None
            try:
                found = map(directory.by_name.get, names)
                journals = [queue.journal for queue in found if queue is not None]
                yield from self._spool.look_for_lost_names(journals, self._all_journals)
            except Exception:
                guard.caught("looking for lost files")
            self._look_after_all()
        finally:
            self._under_way = False

    def _all_journals(self) -> list[Journal]:
        return [queue.journal for queue in self._directory]

    def _look_after_all(self) -> None:
        for work in self._spool.tidy, self._look_at_room, self._directory.take_care:
            try:
                work()
            except Exception:
                self._directory.guard.caught("keeping house")

    def _look_after(self, queue: PersistentQueue) -> None:
        """Do what is due for a queue, and see to it that it is looked at again in time."""
        care, clock = self._care, self._directory.clock
        if queue.deleted:
            queue.journal.tell_if_all_safe()  # perhaps it can be removed now
            if self._directory.by_name.get(queue.name) is queue:
                care.soon[queue.name] = None
            return
        queue.sync_waits.fail_if_broken()
        queue.waiting.cut_window()
        queue.waiting.top_up()  # if reading failed, it may go better now
        care.weigh(queue.name, numbers.in_memory(queue))
        if queue.sync_waits.waiting:
            care.soon[queue.name] = None
        try:
            head = queue.peek(clock.wall_ms)
        except NotLoaded:
            care.soon[queue.name] = None  # what is not in memory will be the next time
        except JournalError:
            pass  # what cannot be read is left
        else:
            if head is not None and head.expiry_ms:
                when = clock.monotonic + (head.expiry_ms - clock.wall_ms) / 1000
                care.plan(queue.name, when, head.expiry_ms)
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
        if not needed:
            # Who waits for it, or asks in vain, is noted nowhere else.
            self._care.plan(queue.name, now + longest / _OFTEN)
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
        server.memory_high = rules.memory_max is not None and self._care.bytes > rules.memory_max
