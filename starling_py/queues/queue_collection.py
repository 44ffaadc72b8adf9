"""All queues by name: the engine that sessions talk to.

An operation happens at once, in memory; no client may be told of it before the commits of the
queues that it touched. A get from a queue that does not exist creates nothing, only a put does;
but a get from ``parent+child`` subscribes: the child exists from then on. When an item arrives,
the clients that wait for it are served in the same call, so no client waits while there is an
item in memory for it, unless the queue is paused.
"""

import logging
from typing import Final

from mypy_extensions import mypyc_attr

from starling_py.clock import Clock
from starling_py.journal.errors import JournalError
from starling_py.journal.journal import Journal
from starling_py.journal.spool import Spool
from starling_py.keys import Request, child_of, printable
from starling_py.queues import limits, numbers
from starling_py.queues.changes import Changes
from starling_py.queues.deadlines import Deadline, Deadlines
from starling_py.queues.delivery import Delivery, MoveDelivery, Put
from starling_py.queues.errors import NotLoaded
from starling_py.queues.expiry import expiry_ms
from starling_py.queues.housekeeping import Housekeeping
from starling_py.queues.moves import MovePut, Moves
from starling_py.queues.open_reads import ReadHolder
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.queues.queue_directory import QueueDirectory, Rules
from starling_py.queues.slices import WAKING, Steps, one_by_one
from starling_py.queues.traffic import Move
from starling_py.queues.waiters import Hit, Room, Waiter, Waiters
from starling_py.queues.window import WindowSizes
from starling_py.settings.queue_settings import QueueSettings
from starling_py.stats import QueueSnapshot

log = logging.getLogger(__name__)

_LOOKED_AT: Final = 16
"""Queues that puts wait for and that are looked at before it is asked whether the slice is over."""


@mypyc_attr(allow_interpreted_subclasses=True)
class QueueCollection:
    """Every queue of one spool."""

    def __init__(self, spool: Spool, clock: Clock, sizes: WindowSizes, rules: Rules) -> None:
        """Read all queues back from the spool. Raises ``SpoolError``."""
        self.clock = clock
        directory = QueueDirectory(
            spool, clock, sizes, rules, self.make_queue, self._serve_those_who_wait
        )
        self.directory = directory
        self.guard = directory.guard
        self.slices = directory.slices
        self._over = Deadlines(self.guard)
        self.waiters = Waiters(self._over, self.slices.add)
        self.room = Room(self._over)
        self.changes = Changes(directory, self.waiters)
        self._being_served: set[bytes] = set()
        self._reloads = 0
        self._flush: Deadline | None = None
        """When all queues will be flushed, if anybody has asked for that."""
        self._housekeeping = Housekeeping(directory, self.waiters, spool)
        self._by_name = directory.by_name
        directory.moves = self.make_moves()
        directory.recover()

    def make_queue(self, journal: Journal, settings: QueueSettings) -> PersistentQueue:
        """Return a queue on its journal; the simulation returns one that it watches."""
        return PersistentQueue(journal.queue, journal, self.directory, settings)

    def make_moves(self) -> Moves:
        """Return what moves items between queues; the simulation returns one that it watches."""
        directory = self.directory
        return Moves(
            self._put_moved, directory.deadlines, directory.slices, lambda: self.clock.monotonic
        )

    def put(self, name: bytes, data: bytes, flags: int, exptime: int) -> PersistentQueue | None:
        """Add an item to a queue that exists and has no rules, and serve a client that waits.

        ``exptime`` is memcached's number. Returns the queue, whose commit the reply depends on;
        ``None`` if the put is not that simple: then ``put_with_care`` does it. Raises
        ``JournalError``, and then nothing was added.
        """
        queue = self._by_name.get(name)
        if queue is None or queue.restricted or self.directory.careful:
            return None
        now_ms = self.clock.wall_ms
        queue.put(data, flags, expiry_ms(exptime, now_ms, name) if exptime else 0, now_ms)
        if self.waiters.waiting:
            self._serve(queue)
        return queue

    def put_with_care(self, what: Put, reached: list[PersistentQueue]) -> Steps:
        """Add an item by all rules, creating its queue if need be, and serve waiting clients.

        Each queue that it was put into joins ``reached`` in the step that does it; the reply
        depends on the commits of all of them. Raises as ``Delivery.steps``.
        """
        delivery = Delivery(self.directory, what)
        delivery.reached = reached
        served = 0
        for step in delivery.steps():
            if len(reached) > served:
                served = len(reached)
                self._serve_those_who_wait(reached[-1])
            yield step

    def seen_once(self, name: bytes, digest: bytes) -> int:
        """Return the id of the item that came with a token lately; 0 if none did."""
        queue = self.directory.find(name)
        if queue is None:
            return 0
        return queue.once.seen(digest, self.clock.wall_ms, queue.settings)

    def is_empty(self, name: bytes) -> bool:
        """Tell whether a queue has no items, not even open or delayed ones.

        Raises ``JournalError`` and ``NotLoaded``.
        """
        queue = self.directory.known(name)
        return queue is None or (queue.peek(self.clock.wall_ms) is None and not queue.items)

    def require_first(self, name: bytes) -> None:
        """Make sure that a get from a queue now would not have to wait for the disk.

        Raises ``JournalError``, and ``NotLoaded`` if it would.
        """
        queue = self.directory.known(name)
        if queue is not None and not queue.pause.holds:
            queue.peek(self.clock.wall_ms)

    def read(self, request: Request, holder: ReadHolder | None = None) -> Hit | None:
        """Take the first item of a queue, open it, or look at it, as the request says.

        ``None`` is a miss. ``holder`` is the client's, for an open read. Raises ``JournalError``
        and ``NotLoaded``.
        """
        queue = self._by_name.get(request.name)
        if queue is None and (queue := self.directory.known(request.name)) is None:
            return None
        now_ms = self.clock.wall_ms
        if queue.pause.holds:
            return None
        if request.open:
            end = self.lease_end(queue.settings, request.lease)
            item = queue.open(now_ms, holder, end)
            if item is not None and request.lease_until_ms:
                read = queue.open_reads.get(item.id)
                assert read is not None, "it was opened above"
                queue.open_reads.set_lease(read, end, request.lease_until_ms)
        elif request.peek:
            item = queue.peek(now_ms)
        else:
            item = queue.pop(now_ms)
        if item is None:
            queue.used = True
            return None
        return request, item, queue

    def lease_end(self, settings: QueueSettings, lease: float | None) -> float | None:
        """Return the monotonic time when a lease that begins now is over; ``None`` for never.

        ``lease`` is in seconds; ``None`` for the queue's own.
        """
        seconds = settings.open_timeout if lease is None else lease
        return None if seconds is None else self.clock.monotonic + seconds

    def makes(self, name: bytes) -> bool:
        """Tell whether ``subscribe`` would create this queue."""
        return child_of(name) is not None and self.directory.find(name) is None

    def subscribe(self, name: bytes) -> PersistentQueue | None:
        """Create a fan-out child, if that is what the name says and it does not exist.

        Returns the new child, as the reply depends on its commit; otherwise ``None``. Raises
        ``JournalError`` and ``NotNowRefused``.
        """
        if child_of(name) is None or self.directory.find(name) is not None:
            return None
        queue = self.directory.find_or_make(name)
        queue.make()
        return queue

    def wait(self, waiter: Waiter, wait_ms: float) -> None:
        """Let a client wait for an item for ``wait_ms`` milliseconds."""
        self.waiters.add(waiter, self.clock.monotonic + wait_ms / 1000)

    def delete(self, name: bytes) -> PersistentQueue | None:
        """Delete a queue with all its items and return it; ``None`` when it does not exist.

        Clients that wait for an item go on waiting. Raises ``JournalError``.
        """
        queue = self.directory.find(name)
        if queue is not None:
            queue.delete()
        return queue

    def flush(self, name: bytes) -> PersistentQueue | None:
        """Remove every item of a queue but the open ones, and return the queue.

        ``None`` when it does not exist. Raises ``JournalError``.
        """
        queue = self.directory.find(name)
        if queue is not None:
            queue.flush()
        return queue

    def flush_all_at(self, when: float | None, wall_ms: int = 0) -> None:
        """Flush all queues at a monotonic time; what was asked for before is off.

        ``None`` is for never; ``wall_ms`` is the moment of the wall clock, if that was asked for.
        """
        deadlines = self.directory.deadlines
        if self._flush is not None:
            deadlines.cancel(self._flush)
        self._flush = None if when is None else deadlines.add(when, self._flush_is_due, wall_ms)

    def _flush_is_due(self) -> None:
        self._flush = None
        log.info("all queues flushed, as a client has asked for")
        self.slices.start(self._flush_all())

    def _flush_all(self) -> Steps:
        for queue in one_by_one(self.directory):
            try:
                if queue.items:
                    self.flush(queue.name)
            except JournalError as problem:
                log.error("queue %s: not flushed: %s", printable(queue.name), problem)
            yield None

    def names(self) -> list[bytes]:
        """Return the names of all queues, in no order."""
        return [queue.name for queue in self.directory]

    def size(self, name: bytes) -> tuple[int, int]:
        """Return how many items a queue has and their bytes; 0 when it does not exist."""
        queue = self.directory.find(name)
        return (0, 0) if queue is None else (len(queue), queue.bytes)

    def to_be_loaded(self, name: bytes) -> NotLoaded | None:
        """Return the signal if the age of a queue's oldest item is not known yet; else ``None``."""
        queue = self.directory.find(name)
        return None if queue is None else queue.waiting.oldest_to_come()

    def queue_snapshot(self, name: bytes) -> QueueSnapshot | None:
        """Return one queue's numbers; ``None`` when it does not exist."""
        queue = self.directory.find(name)
        return None if queue is None else self._snapshot(queue)

    def _snapshot(self, queue: PersistentQueue) -> QueueSnapshot:
        children = self.directory.fan_out.children(queue.name)
        return numbers.snapshot(
            queue,
            self.clock.wall_ms,
            self.waiters.count(queue.name),
            ",".join(printable(child) for child in children),
        )

    @property
    def due(self) -> float:
        """When ``run_due`` may have something to do next, on the monotonic clock."""
        items = self.directory.deadlines
        if items.soonest_by_wall <= self.clock.wall_ms:
            return self.clock.monotonic
        return min(items.soonest, self._over.soonest)

    def run_due(self) -> None:
        """End the waits, leases and delays that are over by now, as many as a turn may.

        Then do some of the work that belongs to no client.
        """
        items, waits, now = self.directory.deadlines, self._over, self.clock.monotonic
        # Leases and delays go first: who still waits may get what comes back.
        if items.soonest <= now:
            self.slices.begin()
            items.run_due(now, self.slices.is_spent)
        if items.soonest_by_wall <= self.clock.wall_ms:
            items.run_passed(self.clock.wall_ms, now)
        if waits.soonest <= now:
            self.slices.begin()
            waits.run_due(now, self._is_enough)
        if self.slices.line:
            self.slices.run()

    def _is_enough(self) -> bool:
        """Tell whether to end no more waits in this turn: each wakes a client."""
        self.slices.charge(WAKING)
        return self.slices.spent

    def end_all_waits(self) -> None:
        """End all waits, for items and for room, as if their time were over: the server stops."""
        self.waiters.end_all()
        self.room.end_all()

    def offer_room(self) -> bool:
        """Let one of the puts that wait for room try again, in each queue that has room.

        The next one has its turn when that one's item was put. Return whether all queues were
        looked at; otherwise the slice was over, and those that are left come first the next time.
        """
        room, left = self.room, len(self.room.waiting)
        while left > 0:
            for name in room.next_names(min(left, _LOOKED_AT)):
                queue = self._by_name.get(name)
                size = room.first(name)
                if size is not None and (queue is None or not limits.is_full(queue, size)):
                    room.offer(name)
            left -= _LOOKED_AT
            if left > 0 and self.slices.spent:
                return False
        return True

    def reload(self, rules: Rules) -> None:
        """Begin to follow other rules; ``reloading`` tells when all queues do.

        Queues that are refused are read again first.
        """
        self.directory.recover_refused()
        self._reloads += 1
        self.slices.start(self._reload(rules))

    @property
    def reloading(self) -> bool:
        """Whether some queues still follow the rules before."""
        return self._reloads > 0

    def _reload(self, rules: Rules) -> Steps:
        try:
            yield from self.directory.go_by(rules)
            # Only when all queues have their new settings: serving one may move items to another.
            for queue in one_by_one(self._by_name.values()):
                self._serve_those_who_wait(queue)
                yield None
        finally:
            self._reloads -= 1

    def drain(self, *, on: bool) -> None:
        """Accept no puts, or accept them again."""
        self.directory.limits.draining = on
        self.directory.take_care()

    def keep_house(self) -> None:
        """Begin to do what has to be done now and then, unless it is still under way."""
        self.slices.begin()
        self._housekeeping.begin()

    def _serve_those_who_wait(self, queue: PersistentQueue) -> None:
        """Serve the clients that wait for a queue: it has items to take again."""
        if self.waiters.waiting:
            self._serve(queue)

    def _put_moved(self, move: Move) -> MovePut:
        """Return the put of a moved item into its new queues."""
        return MoveDelivery(self.directory, move)

    def _serve(self, queue: PersistentQueue) -> None:
        """Serve the clients that wait for a queue, some at once and the others in later turns."""
        if self._being_served and queue.name in self._being_served:
            return
        at_once = max(1, self.slices.at_once // 4)  # each wakes a client
        while len(queue) and (waiter := self.waiters.first(queue.name)) is not None:
            if waiter.is_read_for:
                waiter.was_passed_over = True
                return  # whoever reads for it serves this queue afterwards
            if at_once <= 0 and self.slices.spent:
                self._being_served.add(queue.name)
                self.slices.add(self._go_on_serving(queue))
                return
            at_once -= 1
            hit = self._read_for(waiter, queue)
            if hit is not None:
                self.waiters.remove(waiter)
                waiter.serve(hit)
                self.slices.charge(WAKING)
            if waiter.was_passed_over:
                waiter.was_passed_over = False
                self._serve_passed_over(waiter, queue)
            if hit is None:
                return  # the queue calls again when it has items to take

    def _go_on_serving(self, queue: PersistentQueue) -> Steps:
        self._being_served.discard(queue.name)
        self._serve(queue)
        yield None

    def _read_for(self, waiter: Waiter, queue: PersistentQueue) -> Hit | None:
        """Read a queue for a client that waits; ``None`` if nothing can be taken now.

        Reading may move dead items to another queue that the client waits for too. It must not be
        served there meanwhile, or it would be given two items and tell of one.
        """
        waiter.is_read_for = True
        try:
            return self.read(waiter.request_for(queue.name), waiter.holder)
        except (NotLoaded, JournalError):
            return None
        finally:
            waiter.is_read_for = False

    def _serve_passed_over(self, waiter: Waiter, queue: PersistentQueue) -> None:
        """Serve the other queues of a client: items have come there while it was read for.

        Only then: where two queues can give nothing yet, each would have the other one served.
        """
        for request in waiter.requests:
            other = self._by_name.get(request.name)
            if other is not None and other is not queue:
                self._serve(other)
