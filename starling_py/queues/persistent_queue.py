"""One FIFO queue: items in the order they were put, each of them recorded in the journal first.

Invariants: ids grow by one with every put, and the id of a stored item is never given again.
After each commit, the numbers are those that replaying the journal would give. A commit that fails
takes back every operation since the last one, as if it had never been asked for. An open item is
counted, but does not wait. The queue knows nothing of clients: who waits for its items is in
``waiters``.
"""

import logging
from collections.abc import Sequence
from typing import Protocol

from mypy_extensions import mypyc_attr

from starling_py.journal.blocks import OVERHEAD
from starling_py.journal.format.origin import BURIED, DELIVERIES, EXPIRED
from starling_py.journal.format.record import Item, MarkedItem
from starling_py.journal.format.segment import Segment
from starling_py.journal.journal import Journal
from starling_py.keys import printable
from starling_py.queues.bookmarks import Bookmarks
from starling_py.queues.counts import Counts
from starling_py.queues.once import Once
from starling_py.queues.open_reads import OpenRead, OpenReads, ReadHolder
from starling_py.queues.pause import Pause
from starling_py.queues.slices import LARGE, MAKING, WRITING
from starling_py.queues.sweep import Sweep
from starling_py.queues.sync_waits import SyncWaits
from starling_py.queues.traffic import Move, Mover, Traffic
from starling_py.queues.waiting_items import ItemsKeeper, WaitingItems
from starling_py.settings.queue_settings import QueueSettings, limits_puts
from starling_py.stats import SUM, Histogram

log = logging.getLogger(__name__)


class QueueKeeper(ItemsKeeper, Protocol):
    """What a queue needs of the directory that it is in."""

    moves: Mover
    waits: Histogram
    """How long items have waited when they were handed out, in milliseconds."""
    changed: dict[bytes, None]
    """Names of queues whose numbers may have changed since somebody looked."""

    def queue_removed(self, queue: "PersistentQueue") -> None:
        """Forget a queue whose deletion is safe, or that was never created."""

    def items_available(self, queue: "PersistentQueue") -> None:
        """Serve the clients that wait for this queue: it has items to take again."""


@mypyc_attr(allow_interpreted_subclasses=True)
class PersistentQueue:
    """The items of one queue and what happened to it since the server started."""

    # Not set by ``__init__``, as most queues never need them: an instance that has more than thirty
    # attributes takes 1.2 KB more in CPython.
    quarantined_items: int = 0
    """Items given up since the server started because they cannot be read."""
    dead_lettered: int = 0
    """Items moved away since the server started because they came back too often."""
    idle_since: tuple[float, int] | None = None
    """Since when nobody has used it, in monotonic time, and its puts and gets by then."""
    _sweep: Sweep | None = None
    """What removes dead items where there are too many for one turn; made when there are."""
    _bookmarks: Bookmarks | None = None

    def __init__(
        self, name: bytes, journal: Journal, keeper: QueueKeeper, settings: QueueSettings
    ) -> None:
        """Begin with what the journal's ledger says.

        A queue whose journal is empty does not exist until its first put is written.
        """
        self.name = name
        self.journal = journal
        journal.owner = self
        self._recorder = journal.recorder
        self.settings = settings
        self.restricted = limits_puts(settings)
        """Whether the settings limit or change puts: then each goes through ``delivery``."""
        self._keeper = keeper
        ledger = journal.ledger
        self.next_id = ledger.next_id
        """The id that the next item gets."""
        self._first_id = ledger.first_id
        self.deleted = ledger.deleted
        """Whether the queue does not exist, or not any more; a put creates it."""
        self._deleted_before = self.deleted
        self._existed = not self.deleted
        self.items = ledger.items
        """All items: those that wait, delayed ones, open ones, and those being moved."""
        self.bytes = ledger.bytes
        """Bytes of all items' data."""
        self.counted = Counts()
        """What happened to items since the server started."""
        self._counted_before = Counts()
        """The same as of the last commit."""
        self.used = True
        """Set by a get that finds nothing, so that housekeeping sees that the queue is in use."""
        self.traffic = Traffic(keeper.moves)
        """Items on their way from and to other queues."""
        self.open_reads = OpenReads(keeper.deadlines, self.give_back)
        """Items that were handed out and are not confirmed."""
        self.waiting = WaitingItems(self, journal, keeper)
        """Items that wait."""
        self.pause = Pause(self, journal, keeper, by_settings=settings.paused)
        """Whether gets are misses for now."""
        self.once = Once(journal)
        """The tokens of puts."""
        self.sync_waits = SyncWaits(journal)
        """Clients that asked to be answered only when their put is synced."""
        # Every put and get looks at these, so they have a shorter way; none is ever replaced.
        self._window = self.waiting.window
        self._ready = self.waiting.set_aside.ready
        self._missing = self.waiting.missing
        self._sizes = keeper.sizes
        self._waits = keeper.waits.counts
        self._changed = keeper.changed

    def go_by(self, settings: QueueSettings) -> None:
        """Follow other settings from now on."""
        self.settings = settings
        self.restricted = limits_puts(settings)
        self.pause.go_by(paused=settings.paused)
        self.note_change()

    def note_change(self) -> None:
        """Note that the queue's numbers may be others.

        What is recorded is noted by its commit; this is for what happens without a record.
        """
        self._changed[self.name] = None

    def __len__(self) -> int:
        """Return how many items wait or are delayed: all but those that are elsewhere."""
        return self.items - self.elsewhere

    @property
    def elsewhere(self) -> int:
        """How many items are open, or on their way to another queue."""
        return len(self.open_reads) + len(self.traffic.leaving)

    @property
    def kept_bytes(self) -> int:
        """Bytes of the items that cannot be dropped to make room: open, moving, or delayed."""
        return (
            self.open_reads.bytes
            + sum(len(move.item.data) for move in self.traffic.leaving.values())
            + self.waiting.set_aside.delayed_bytes
        )

    @property
    def total_items(self) -> int:
        """Items put since the queue was created, over restarts too."""
        return self.next_id - self._first_id

    @property
    def ever_existed(self) -> bool:
        """Whether the journal holds anything of the queue, soon will, or works on its files.

        So too of a queue that was put into and deleted in one commit: the deletion has to be safe.
        """
        journal = self.journal
        return self._existed or not self.deleted or journal.written > 0 or journal.at_work

    def is_elsewhere(self, item_id: int) -> bool:
        """Tell whether an item is open, or on its way to another queue."""
        return item_id in self.open_reads or item_id in self.traffic.leaving

    @property
    def bookmarks(self) -> Bookmarks:
        """Where lists of its items have read."""
        if self._bookmarks is None:
            self._bookmarks = Bookmarks()
        return self._bookmarks

    @property
    def now_ms(self) -> int:
        """The time on the wall clock, in milliseconds since the Unix epoch."""
        return self._keeper.clock.wall_ms

    def put(self, data: bytes, flags: int, expiry_ms: int, now_ms: int) -> None:
        """Add an item at the end. Raises ``JournalError``, and then nothing was added.

        ``expiry_ms`` and ``now_ms`` are in milliseconds since the Unix epoch; an expiry of 0 means
        never.
        """
        item = Item(self.next_id, now_ms, expiry_ms, flags, data)
        self._recorder.push(item)
        size = len(data)
        if size > LARGE:
            self._keeper.slices.charge(size * WRITING)
        self.next_id += 1
        self.items += 1
        self.bytes += size
        self.deleted = False
        self.counted.last_put_ms = now_ms
        if self._window.behind:
            return  # it is read back when its turn comes
        if self.bytes + OVERHEAD * self.items > self._sizes.limit:
            self.waiting.append(item)
        else:
            self._window.items.append(item)

    def put_marked(self, item: MarkedItem) -> None:
        """Add an item that is delayed, goes in front, or was handed out in another queue.

        Its id must be ``next_id``. Raises ``JournalError``, and then nothing was added.
        """
        self._recorder.push_marked(item)
        if len(item.data) > LARGE:
            self._keeper.slices.charge(len(item.data) * WRITING)
        self.counted.last_put_ms = item.added_ms
        self._count(item)
        if item.due_ms and item.front:
            self.waiting.delay(item, item.due_ms)
        elif item.front:
            self.waiting.insert(item)
        elif item.due_ms:
            self.waiting.append_delayed(item)
        else:
            self.waiting.append(item)

    def make(self) -> None:
        """Create the queue without an item. Raises ``JournalError``."""
        self._recorder.flush()
        self.deleted = False

    def pop(self, now_ms: int) -> Item | None:
        """Take the first live item; ``None`` when there is none.

        Raises ``JournalError`` and ``NotLoaded``, and then nothing was taken.
        """
        item = self.peek(now_ms)
        if item is not None:
            self._recorder.remove(item)
            self.items -= 1
            self.bytes -= len(item.data)
            window = self._window
            if self._ready or window.behind:
                self.waiting.take(item)
            else:
                window.items.popleft()
            counted = self.counted
            counted.get_hits += 1
            counted.last_wait = wait_ms = now_ms - item.added_ms
            counted.last_get_ms = now_ms
            # As ``Histogram.add`` does, but for a call: every get comes here.
            waits = self._waits
            if wait_ms > 0:
                waits[wait_ms.bit_length()] += 1
                waits[SUM] += wait_ms
            else:
                waits[0] += 1
        return item

    def peek(self, now_ms: int) -> Item | None:
        """Return the first live item without taking it; ``None`` when there is none.

        Dead items before it are removed, or moved where ``expire_to`` says. Raises
        ``JournalError``, and ``NotLoaded``, also if too many of them are dead.
        """
        waiting = self.waiting
        items = self._window.items
        dead = 0
        while True:
            if self._ready or self._missing or not items:
                item = waiting.first()
                if item is None:
                    return None
            else:
                item = items[0]
            if not item.expiry_ms or item.expiry_ms > now_ms:
                return item
            target = self.settings.expire_to
            if self._sweep is None:
                self._sweep = Sweep(self, self._keeper)
            self._sweep.check(dead, moves=target is not None)
            dead += 1
            if target is None:
                self.remove(item)
                waiting.take(item)
            else:
                waiting.take(item)
                self._keeper.moves.begin_move(Move(self, item, target, 0, EXPIRED))
                # The move goes on even if this commit fails, so the item stays counted.
                self._counted_before.expired += 1
            self.counted.expired += 1

    def look(self, count: int, now_ms: int, after: int | None = None) -> list[Item]:
        """Return up to ``count`` live items from the head without taking them.

        ``after`` is a place in the queue: only those behind it. What is not in memory is left out.
        """
        return self.waiting.look(count, now_ms, after)

    def open(self, now_ms: int, holder: ReadHolder | None, lease_end: float | None) -> Item | None:
        """Hand out the first live item and keep it until it is confirmed.

        ``None`` when there is none. ``holder`` is the client's; ``lease_end`` is a monotonic time,
        ``None`` for a read without a lease. Raises ``JournalError`` and ``NotLoaded``, and then
        nothing was handed out.
        """
        item = self.peek(now_ms)
        if item is not None:
            self._recorder.open(item)
            deliveries = self.deliveries(item) + 1
            self.waiting.take(item)
            self.open_reads.add(OpenRead(self, item, deliveries, holder), lease_end)
            counted = self.counted
            counted.get_hits += 1
            counted.last_wait = wait_ms = now_ms - item.added_ms
            counted.last_get_ms = now_ms
            self._keeper.waits.add(wait_ms)
        return item

    def deliveries(self, item: Item) -> int:
        """Return how often an item was handed out for a reliable read, before it was moved too."""
        known = self.open_reads.deliveries.get(item.id)
        if known is not None:
            return known
        facts = self.journal.ledger.facts.get(item.id)
        if facts is not None:
            return facts.deliveries
        return item.deliveries if type(item) is MarkedItem else 0

    def confirm(self, read: OpenRead) -> None:
        """Remove the item of an open read. Raises ``JournalError``, and then it is still open."""
        self.remove(read.item)
        self.open_reads.confirm(read, self.journal.written + 1)

    def give_back(self, read: OpenRead, *, alone: bool = True) -> None:
        """End an open read: its item returns to its place, or is moved if it returned too often.

        A caller that ends several reads says ``alone=False`` and calls ``available`` after the
        last one, so that clients are served in the order of the items.
        """
        self.open_reads.cancel(read)
        self.note_change()
        if not self.exhausts(read.item):
            self.waiting.insert(read.item)
            if alone:
                self.available()

    def give_back_later(self, read: OpenRead, due_ms: int) -> None:
        """End an open read: its item is delayed, or moved if it returned too often.

        It can be taken from ``due_ms`` on, in milliseconds since the Unix epoch. Raises
        ``JournalError``, and then it is still open.
        """
        self._recorder.delay(read.item, due_ms)
        self.open_reads.cancel(read)
        if not self.exhausts(read.item):
            self.waiting.delay(read.item, due_ms)

    def bury(self, read: OpenRead, target: bytes) -> Move:
        """End an open read by moving its item to another queue; return the move."""
        self.open_reads.cancel(read)
        self.dead_lettered += 1
        move = Move(self, read.item, target, read.deliveries, BURIED)
        self._keeper.moves.begin_move(move)
        return move

    def come_back(self, item: Item) -> None:
        """Let an item that was to leave wait in its old place, and serve those who wait."""
        self.waiting.insert(item)
        self.available()

    def exhausts(self, item: Item) -> bool:
        """Dead-letter an item if it was handed out too often; return whether it was.

        An item that was moved here with such a count is handed out at least once.
        """
        most, target = self.settings.max_deliveries, self.settings.dead_letter
        if most is None or target is None or (deliveries := self.deliveries(item)) < most:
            return False
        if type(item) is MarkedItem and deliveries == item.deliveries:
            return False
        self.dead_lettered += 1
        self._keeper.moves.begin_move(Move(self, item, target, deliveries, DELIVERIES))
        return True

    def remove(self, item: Item) -> None:
        """Record that an item is gone, and count it no more.

        Taking it out of ``waiting`` is left to the caller. Raises ``JournalError``, and then the
        item is still there.
        """
        self._recorder.remove(item)
        self.items -= 1
        self.bytes -= len(item.data)

    def drop_oldest(self, now_ms: int) -> bool:
        """Drop the first item that waits to make room; return whether there was one.

        Raises ``JournalError`` and ``NotLoaded``.
        """
        item = self.peek(now_ms)
        if item is None:
            return False
        self.remove(item)
        self.waiting.take(item)
        self.counted.discarded += 1
        return True

    def drop(self, item: Item) -> None:
        """Remove an item that waits, or is delayed, wherever it stands.

        Raises ``JournalError``, and then it is still there.
        """
        self.remove(item)
        self.waiting.take_out(item.id)
        self.counted.discarded += 1

    def flush(self) -> None:
        """Remove every item but those that are open or being moved.

        Raises ``JournalError``, and then none was removed.
        """
        open_items = [read.item for read in self.open_reads]
        leaving = [move.item for move in self.traffic.leaving.values()]
        kept = sorted([*open_items, *leaving], key=lambda each: each.id)
        self._recorder.flush([(item.id, len(item.data)) for item in kept])
        self.items = len(kept)
        self.bytes = sum(len(item.data) for item in kept)
        self.waiting.clear()
        self.counted.flushes += 1

    def delete(self) -> None:
        """Remove every item, open ones too, and the queue itself.

        Raises ``JournalError``, and then nothing was removed.
        """
        self._recorder.delete()
        self._keeper.slices.charge(MAKING)
        self.items = self.bytes = 0
        self.waiting.clear()
        for read in list(self.open_reads):
            self.open_reads.confirm(read, self.journal.written + 1)
        self.traffic.abandon()
        self.pause.forget()
        self.once.forget(self.next_id)
        self.deleted = True
        self._first_id = self.next_id

    def give_up(self, damaged: Segment) -> None:
        """Remove the items of a damaged segment, but for those that are still in memory.

        Raises ``JournalError``, and then none was removed.
        """
        first = max(damaged.first_id, self._window.last_id + 1)
        known = [item for item in self.items_in_memory() if damaged.first_id <= item.id < first]
        items = damaged.items - len(known)
        size = damaged.bytes - sum(len(item.data) for item in known)
        log.critical("%s: %d items cannot be read and are given up", damaged.path, items)
        self._recorder.give_up(damaged, first, items, size)
        self.items -= items
        self.bytes -= size
        self.quarantined_items += items

    def items_in_memory(self) -> list[Item]:
        """Return all items that are in memory, live or not, in any order."""
        return [
            *self._window.items,
            *self.waiting.set_aside.items(),
            *(read.item for read in self.open_reads),
            *(move.item for move in self.traffic.leaving.values()),
            *self._recorder.pending.removed,
        ]

    def on_items_lost(self, items: int) -> None:
        """Count items that are lost, as their files were removed under the server."""
        self.quarantined_items += items

    def available(self) -> None:
        """Serve the clients that wait for an item: some can be taken again."""
        self.note_change()
        self._keeper.items_available(self)

    def on_committed(self) -> None:
        """Make final what was done since the last commit: it is written."""
        self._changed[self.name] = None
        if self._deleted_before != self.deleted:
            self._deleted_before = self.deleted
            if not self.deleted:
                self._existed = True
                log.info("queue %s: created", printable(self.name))
        self._counted_before.copy_from(self.counted)
        if self.open_reads.deliveries:
            self.open_reads.on_committed()
        if self._window.behind or self._missing:
            self.waiting.top_up()

    def on_broken(self) -> None:
        """Note that the journal is refused."""
        self.note_change()

    def on_safe(self) -> None:
        """Go on with what waited for a sync.

        Called after each sync; where the policy never syncs, after each commit.
        """
        traffic = self.traffic
        if self.sync_waits.waiting or self.open_reads.ended or traffic.left or traffic.arriving:
            writes = self.journal.safe
            self.sync_waits.on_safe(writes)
            self.open_reads.on_safe(writes)
            if traffic.left or traffic.arriving:
                self._keeper.slices.start(traffic.on_safe(writes))

    def on_all_safe(self) -> None:
        """Have the queue removed if it is deleted: all that was written is safe.

        A put since the deletion has created the queue again; then it stays.
        """
        if self.deleted and self._deleted_before:
            self._keeper.queue_removed(self)

    def on_never_safe(self) -> None:
        """Have the queue removed if it is deleted: it was so before anything of it was safe."""
        traffic = self.traffic
        waits = self.sync_waits.waiting or self.open_reads.ended or traffic.left or traffic.arriving
        if not waits:
            self.on_all_safe()

    def on_rolled_back(self) -> None:
        """Take back what the journal's ledger does not know, and read the queue anew.

        Called when a commit failed, and when a journal was healed, which may have lost writes that
        no client was told of.
        """
        self.note_change()
        ledger = self.journal.ledger
        self.next_id = ledger.next_id
        self._first_id = ledger.first_id
        self.items = ledger.items
        self.bytes = ledger.bytes
        self.deleted = self._deleted_before = ledger.deleted
        self.counted.copy_from(self._counted_before)
        self.pause.go_by_ledger()
        self.once.forget(ledger.first_id)
        self.sync_waits.failed(self.journal.failure)
        # What is open or being moved is put right first: ``reread`` goes by it, and would hand
        # such an item out a second time. Orphans return before it for the same reason: what is
        # set aside is not read from the journal once more.
        orphans = self.open_reads.reconcile(ledger)
        self.traffic.on_rolled_back(ledger.is_live, ledger.next_id)
        for read in orphans:
            if not self.exhausts(read.item):
                self.waiting.insert(read.item)
        self.waiting.reread()
        self.waiting.load()
        # At the end, because it takes the numbers of the writes for the truth: a removal or a
        # copy that was undone must have been sorted out by now, or it would pass as safe. And it
        # cannot be left to the next sync, for there may be none: after healing, all that is left
        # is safe already.
        self.on_safe()
        if self.deleted:
            # If it never existed, there is nothing to be made safe.
            if not self.ever_existed:
                self._keeper.queue_removed(self)
        else:
            self.available()

    def let_go(self) -> None:
        """Cut what makes circles with its parts and its journal: the queue is gone for good.

        Only so is it freed at once. It may still be looked at, and is empty.
        """
        self.journal.let_go()
        self.open_reads.let_go()
        self.waiting.let_go()
        if self._sweep is not None:
            self._sweep.let_go()
        self.pause.let_go()

    def on_compacted(self, segments: Sequence[Segment], replacement: Segment) -> None:
        """Forget where to read on if that is in one of the segments that were replaced."""
        self.waiting.on_compacted(segments)

    def _count(self, item: Item) -> None:
        self.next_id += 1
        self.items += 1
        self.bytes += len(item.data)
        self.deleted = False
