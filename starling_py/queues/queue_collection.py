"""All queues by name: the engine that sessions talk to.

An operation happens at once, in memory; whoever passes its outcome on must first wait for the
commit of the queue that it touched. Asking for a queue that does not exist creates nothing, only
a put does; but asking for ``parent+child`` subscribes: the child exists from then on. Whenever an
item arrives, those who wait for it are served in the same breath, so a queue never holds items
while somebody waits for them.
"""

import logging
from collections.abc import Iterator

from mypy_extensions import mypyc_attr

from starling_py.clock import Clock
from starling_py.journal.errors import JournalError
from starling_py.journal.journal import Journal
from starling_py.journal.spool import SEALED_SIZE, Spool
from starling_py.keys import Request, child_of, printable
from starling_py.queues import delivery, limits
from starling_py.queues.deadlines import Deadlines
from starling_py.queues.delivery import Put
from starling_py.queues.errors import NotNow
from starling_py.queues.expiry import expiry_ms
from starling_py.queues.fan_out import FanOut
from starling_py.queues.holder import Holder
from starling_py.queues.housekeeping import Housekeeping
from starling_py.queues.limits import Limits
from starling_py.queues.moves import Move, Moves
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.queues.rules import Rules
from starling_py.queues.waiters import Hit, Room, Waiter, Waiters
from starling_py.queues.window import NotLoaded, WindowSizes
from starling_py.settings.queue_settings import QueueSettings
from starling_py.stats import QueueSnapshot

log = logging.getLogger(__name__)

_NO_RULES = Rules()


@mypyc_attr(allow_interpreted_subclasses=True)
class QueueCollection:
    """Every queue of one spool."""

    def __init__(
        self, spool: Spool, clock: Clock, sizes: WindowSizes, rules: Rules = _NO_RULES
    ) -> None:
        """Read all queues back from the spool. Raises ``SpoolProblem``."""
        self._spool = spool
        self.clock = clock
        self.sizes = sizes
        self.quarantine = spool.quarantine
        self.deadlines = Deadlines()
        self.moves = self.make_moves()
        self.waiters = Waiters(self.deadlines)
        self.room = Room(self.deadlines)
        self.limits = Limits()
        self.fan_out = FanOut(rules.routes)
        self.rules = rules
        self._housekeeping = Housekeeping(self, spool)
        self._queues: dict[bytes, PersistentQueue] = {}
        self._careful = False
        found = spool.recover()
        sizes.share(len(found))
        for journal, lost in found:
            settings = rules.table.resolve(journal.queue)
            queue = self._add(self.make_queue(journal, settings))
            for each in lost:
                queue.give_up(each)
            queue.line.load()
            log.info("queue %s: %d items recovered", printable(queue.name), len(queue))

    def make_queue(self, journal: Journal, settings: QueueSettings) -> PersistentQueue:
        """Return a queue on its journal."""
        return PersistentQueue(journal.queue, journal, self, settings)

    def make_moves(self) -> Moves:
        """Return what moves items from one queue to another."""
        return Moves(self._put_moved, self.deadlines, lambda: self.clock.monotonic)

    def __iter__(self) -> Iterator[PersistentQueue]:
        return (queue for queue in self._queues.values() if not queue.deleted)

    def find(self, name: bytes) -> PersistentQueue | None:
        """Return an existing queue."""
        queue = self._queues.get(name)
        return None if queue is None or queue.deleted else queue

    def find_or_make(self, name: bytes) -> PersistentQueue:
        """Return a queue; a new one does not exist before something is written of it.

        Raises ``NotNow`` when there are too many.
        """
        queue = self._queues.get(name)
        if queue is None:
            if len(self._queues) >= self.rules.max_queues:
                raise NotNow(f"there are {len(self._queues)} queues, and may be no more")
            settings = self.rules.table.resolve(name)
            if settings.journal:
                journal = self._spool.journal(name)
            else:
                journal = self._spool.journal_in_memory(name, self.clock.wall_ms)
            queue = self._add(self.make_queue(journal, settings))
        return queue

    def unmake(self, queue: PersistentQueue) -> None:
        """Drop a queue that does not exist, as what it was made for was refused."""
        if not queue.ever_existed:
            self.gone(queue)

    def put(self, name: bytes, data: bytes, flags: int, exptime: int) -> list[PersistentQueue]:
        """Add an item to a queue, creating the queue if need be, and serve who waits for it.

        ``exptime`` follows memcached's rule. Returns the queues whose commits the reply depends
        on. Raises ``JournalError``, ``Refused`` and ``NotLoaded``, and then nothing was added.
        """
        queue = self._queues.get(name)
        if queue is None or queue.restricted or self._careful:
            return self.put_with_care(Put(name, data, flags, exptime))
        now_ms = self.clock.wall_ms
        queue.put(data, flags, expiry_ms(exptime, now_ms) if exptime else 0, now_ms)
        if self.waiters.waiting:
            self._serve(queue)
        return [queue]

    def put_with_care(self, what: Put) -> list[PersistentQueue]:
        """Add an item, whatever is to be said about it; as ``put``."""
        concerned = delivery.put(self, what)
        if self.waiters.waiting:
            for queue in concerned:
                self._serve(queue)
        return concerned

    def is_empty(self, name: bytes) -> bool:
        """Tell whether a queue holds nothing, not even open items or items due later.

        Raises ``JournalError`` and ``NotLoaded``.
        """
        queue = self._queues.get(name)
        return queue is None or (queue.peek(self.clock.wall_ms) is None and not queue.items)

    def read(self, request: Request, holder: Holder | None = None) -> Hit | None:
        """Take the first item of a queue, open it, or look at it, as the request says.

        ``None`` is a miss. Raises ``JournalError`` and ``NotLoaded``.
        """
        queue = self._queues.get(request.name)
        if queue is None:
            return None
        now_ms = self.clock.wall_ms
        if queue.settings.paused:
            return None
        if request.open:
            item = queue.open(now_ms, holder, self.lease_end(queue, request.lease))
        elif request.peek:
            item = queue.peek(now_ms)
        else:
            item = queue.pop(now_ms)
        if item is None:
            queue.used = True
            return None
        return request, item, queue

    def lease_end(self, queue: PersistentQueue, lease: float | None) -> float | None:
        """Return the monotonic time when a lease that begins now is over; ``None`` for never."""
        seconds = queue.settings.open_timeout if lease is None else lease
        return None if seconds is None else self.clock.monotonic + seconds

    def subscribe(self, name: bytes) -> PersistentQueue | None:
        """Let a fan-out child exist from now on.

        Returns the child if it is new, as the reply depends on its commit. Raises
        ``JournalError`` and ``NotNow``.
        """
        if child_of(name) is None or self.find(name) is not None:
            return None
        queue = self.find_or_make(name)
        queue.make()
        return queue

    def wait(self, waiter: Waiter, wait_ms: float) -> None:
        """Let somebody wait for an item for so many milliseconds, unless it is removed before."""
        self.waiters.add(waiter, self.clock.monotonic + wait_ms / 1000)

    def delete(self, name: bytes) -> PersistentQueue | None:
        """Delete a queue with all its items; ``None`` when it does not exist.

        Those who wait for it go on waiting. Raises ``JournalError``.
        """
        queue = self.find(name)
        if queue is not None:
            queue.delete()
        return queue

    def flush(self, name: bytes) -> PersistentQueue | None:
        """Remove every item of a queue but the open ones; ``None`` when it does not exist.

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
            queue.peek(self.clock.wall_ms)
        except NotLoaded:
            if queue.expired_items == before:
                raise
        return queue.expired_items - before

    def snapshot(self) -> list[QueueSnapshot]:
        """Return every queue's numbers, in the order of their names."""
        now_ms = self.clock.wall_ms
        queues = sorted(self, key=lambda queue: queue.name)
        return [
            queue.snapshot(now_ms, self.waiters.count(queue.name), self._children(queue.name))
            for queue in queues
        ]

    def _children(self, name: bytes) -> str:
        return ",".join(printable(child) for child in self.fan_out.children(name))

    def run_due(self) -> None:
        """Let happen what is to happen by now: waits, leases and delays that are over."""
        self.deadlines.run_due(self.clock.monotonic)

    def end_all_waits(self) -> None:
        """Tell everybody who waits that the time is over, as when the server stops."""
        self.waiters.end_all()
        self.room.end_all()

    def offer_room(self) -> None:
        """Let one try again of those who wait for room in a queue, where there is any.

        The next one's turn comes when that one's item has been put.
        """
        for name in self.room.names():
            queue = self._queues.get(name)
            size = self.room.first(name)
            if size is not None and (queue is None or not limits.is_full(queue, size)):
                self.room.offer(name)

    def reload(self, rules: Rules) -> None:
        """Go by other rules from now on."""
        self.rules = rules
        self.fan_out.routes = rules.routes
        for queue in list(self._queues.values()):
            queue.settings = rules.table.resolve(queue.name)
            queue.restricted = limits.restricted(queue)
        self._take_care()
        # Only now, as what is served here may move on to any other queue.
        for queue in list(self._queues.values()):
            self.restored(queue)

    def drain(self, *, on: bool) -> None:
        """Take no more items, or take them again."""
        self.limits.draining = on
        self._take_care()

    def seal(self) -> None:
        """Make the next start quick: the next commit, the last one, begins new segments."""
        for queue in self._queues.values():
            queue.journal.seal(SEALED_SIZE)

    def close(self) -> None:
        """Close the journals' files and release the spool."""
        for queue in self._queues.values():
            queue.journal.close()
        self._spool.close()

    def remove_deleted(self) -> None:
        """Try again to remove the queues that were deleted, and could not be removed."""
        for queue in [each for each in self._queues.values() if each.deleted]:
            if not queue.journal.has_unwritten:
                queue.journal.tell_settled()

    def keep_house(self) -> None:
        """Do what has to be done now and then."""
        self._housekeeping.run()
        self._take_care()

    def gone(self, queue: PersistentQueue) -> None:
        """Drop a queue whose deletion is written, or whose creation never was."""
        if self._queues.get(queue.name) is queue and self._spool.remove(queue.journal):
            del self._queues[queue.name]
            self.fan_out.went(queue.name)
            self._take_care()
            self.sizes.share(len(self._queues))

    def restored(self, queue: PersistentQueue) -> None:
        """Serve who waits for a queue whose items can be taken again."""
        if self.waiters.waiting:
            self._serve(queue)

    def _take_care(self) -> None:
        """Find out whether a put to a queue without rules has to be looked at all the same."""
        self._careful = bool(self.fan_out) or self.limits.closed

    def _add(self, queue: PersistentQueue) -> PersistentQueue:
        self._queues[queue.name] = queue
        self.fan_out.came(queue.name)
        queue.restricted = limits.restricted(queue)
        self.sizes.share(len(self._queues))
        self._take_care()
        return queue

    def _put_moved(self, move: Move) -> list[PersistentQueue]:
        """Put an item into all queues that it is moved to and misses. Raises as ``put`` does."""
        what = Put(move.target, move.item.data, move.item.flags, 0, deliveries=move.deliveries)
        return delivery.put_moved(self, what, move.source, move.missing)

    def _serve(self, queue: PersistentQueue) -> None:
        while len(queue) and (waiter := self.waiters.first(queue.name)) is not None:
            try:
                hit = self.read(waiter.request_for(queue.name), waiter.holder)
            except (NotLoaded, JournalError):
                return  # the queue says when there is something to be taken
            if hit is None:
                return
            self.waiters.remove(waiter)
            waiter.serve(hit)
