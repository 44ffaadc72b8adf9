"""All queues by name: the engine that sessions talk to.

An operation happens at once, in memory; whoever passes its outcome on must first wait for the
commit of the queue that it touched. Asking for a queue that does not exist creates nothing: only
a put does. Whenever an item arrives, those who wait for it are served in the same breath, so a
queue never holds items while somebody waits for them.
"""

import logging
from collections.abc import Callable, Iterator

from starling_py.clock import Clock
from starling_py.journal.spool import SEALED_SIZE, Spool
from starling_py.journal.trouble import JournalError
from starling_py.names import Request, printable
from starling_py.queues.expiry import expiry_ms
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.queues.waiters import Hit, Waiter, Waiters
from starling_py.queues.window import NotLoaded, WindowSizes
from starling_py.stats import QueueSnapshot

log = logging.getLogger(__name__)

IDLE_FILES = 64
"""Idle files that are closed at once, at the most."""


class QueueCollection:
    """Every queue of one spool."""

    def __init__(self, spool: Spool, clock: Clock, sizes: WindowSizes) -> None:
        """Read all queues back from the spool. Raises ``SpoolProblem``."""
        self._spool = spool
        self._clock = clock
        self.sizes = sizes
        self.quarantine = spool.quarantine
        self._queues: dict[bytes, PersistentQueue] = {}
        self._waiters = Waiters()
        found = spool.recover()
        sizes.share(len(found))
        for journal, lost in found:
            queue = PersistentQueue(journal.queue, journal, self)
            self._queues[journal.queue] = queue
            for each in lost:
                queue.give_up(each)
            queue.load()
            log.info("queue %s: %d items recovered", printable(queue.name), len(queue))

    def __iter__(self) -> Iterator[PersistentQueue]:
        return (queue for queue in self._queues.values() if not queue.deleted)

    def find(self, name: bytes) -> PersistentQueue | None:
        """Return an existing queue."""
        queue = self._queues.get(name)
        return None if queue is None or queue.deleted else queue

    def put(self, name: bytes, data: bytes, flags: int, exptime: int) -> PersistentQueue:
        """Add an item to a queue, creating the queue if need be, and serve who waits for it.

        ``exptime`` follows memcached's rule. Raises ``JournalError``.
        """
        queue = self._queues.get(name)
        if queue is None:
            queue = PersistentQueue(name, self._spool.journal(name), self)
            self._queues[name] = queue
            self.sizes.share(len(self._queues))
            log.info("queue %s: created", printable(name))
        now_ms = self._clock.wall_ms
        queue.put(data, flags, expiry_ms(exptime, now_ms) if exptime else 0, now_ms)
        if self._waiters.waiting:
            self._serve(queue)
        return queue

    def add(self, name: bytes, data: bytes, flags: int, exptime: int) -> PersistentQueue | None:
        """Add an item if the queue is empty; ``None`` when it is not. Raises ``JournalError``."""
        queue = self._queues.get(name)
        if queue is not None and queue.peek(self._clock.wall_ms) is not None:
            return None
        return self.put(name, data, flags, exptime)

    def read(self, request: Request) -> Hit | None:
        """Take the oldest item of a queue, or look at it if the request says so.

        ``None`` is a miss. Raises ``JournalError``.
        """
        queue = self._queues.get(request.name)
        if queue is None:
            return None
        now_ms = self._clock.wall_ms
        item = queue.peek(now_ms) if request.peek else queue.pop(now_ms)
        return None if item is None else (request, item, queue)

    def wait(
        self,
        requests: tuple[Request, ...],
        wait_ms: int,
        serve: Callable[[Hit], None],
        over: Callable[[], None],
    ) -> Waiter:
        """Wait until one of the requests finds something; ``over`` is called if none does in time.

        Exactly one of the two is called, unless the waiter is removed before.
        """
        waiter = Waiter(requests, self._clock.monotonic + wait_ms / 1000, serve, over)
        self._waiters.add(waiter)
        return waiter

    def stop_waiting(self, waiter: Waiter) -> None:
        """Take a waiter out; neither of its functions will be called any more."""
        self._waiters.remove(waiter)

    def delete(self, name: bytes) -> PersistentQueue | None:
        """Delete a queue with all its items; ``None`` when it does not exist.

        Those who wait for it go on waiting. Raises ``JournalError``.
        """
        queue = self.find(name)
        if queue is not None:
            queue.delete()
        return queue

    def flush(self, name: bytes) -> PersistentQueue | None:
        """Remove every item of a queue; ``None`` when it does not exist.

        Raises ``JournalError``.
        """
        queue = self.find(name)
        if queue is not None:
            queue.flush()
        return queue

    def flush_expired(self, name: bytes) -> int:
        """Remove the dead items at the head of a queue, as far as it is in memory.

        Returns their number. Raises ``JournalError``, and ``NotLoaded`` when there would be none.
        """
        queue = self.find(name)
        if queue is None:
            return 0
        before = queue.expired_items
        try:
            queue.peek(self._clock.wall_ms)
        except NotLoaded:
            if queue.expired_items == before:
                raise
        return queue.expired_items - before

    def snapshot(self) -> list[QueueSnapshot]:
        """Return every queue's numbers, in the order of their names."""
        now_ms = self._clock.wall_ms
        queues = sorted(self, key=lambda queue: queue.name)
        return [queue.snapshot(now_ms, self._waiters.count(queue.name)) for queue in queues]

    @property
    def next_deadline(self) -> float | None:
        """When the next wait is over, on the monotonic clock."""
        return self._waiters.next_deadline

    def end_overdue_waits(self) -> None:
        """Tell everybody whose time is over."""
        self._waiters.end_overdue(self._clock.monotonic)

    def end_all_waits(self) -> None:
        """Tell everybody who waits that the time is over, as when the server stops."""
        self._waiters.end_overdue(float("inf"))

    def seal(self) -> None:
        """Make the next start quick: the next commit, the last one, begins new segments."""
        for queue in self._queues.values():
            queue.journal.seal(SEALED_SIZE)

    def close(self) -> None:
        """Close the journals' files and release the spool."""
        for queue in self._queues.values():
            queue.journal.close()
        self._spool.close()

    def keep_house(self) -> None:
        """Do what has to be done now and then: windows that are too large, files that are idle."""
        for queue in self._queues.values():
            queue.cut_window()
            queue.top_up()  # if reading failed, it may go better now
        self._spool.open_files.close_idle(IDLE_FILES)
        self._spool.reserve.tidy()

    def gone(self, queue: PersistentQueue) -> None:
        """Drop a queue whose deletion is written, or whose creation never was."""
        if self._queues.get(queue.name) is queue and self._spool.remove(queue.journal):
            del self._queues[queue.name]
            self.sizes.share(len(self._queues))

    def restored(self, queue: PersistentQueue) -> None:
        """Serve who waits for a queue whose items can be taken again."""
        if self._waiters.waiting:
            self._serve(queue)

    def _serve(self, queue: PersistentQueue) -> None:
        while queue and (waiter := self._waiters.first(queue.name)) is not None:
            try:
                hit = self.read(waiter.request_for(queue.name))
            except (NotLoaded, JournalError):
                return  # the queue says when there is something to be taken
            if hit is None:
                return
            self._waiters.remove(waiter)
            waiter.serve(hit)
