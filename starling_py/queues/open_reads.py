"""The open reads of one queue: items that were handed out and are not confirmed yet.

An open read is no removal: its item stays in the journal, which only counts the delivery, and is
removed when the read is confirmed. A read that ends in any other way gives its item back. What
the journal could not write is undone by ``reconcile``, which goes by the ledger; so reads that
were confirmed are remembered until that is safe. A read ends with the connection that opened it;
one with a lease outlasts it, and any client that knows the item's id may end it.
"""

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Protocol

from starling_py.journal.format.record import Item
from starling_py.journal.journal import Journal
from starling_py.journal.ledger import Ledger
from starling_py.queues.deadlines import Deadline, Deadlines
from starling_py.queues.traffic import Move
from starling_py.settings.queue_settings import QueueSettings

_serials = itertools.count(1)


class ReadQueue(Protocol):
    """The queue that an open read is of."""

    name: bytes
    journal: Journal
    settings: QueueSettings
    open_reads: "OpenReads"

    def confirm(self, read: "OpenRead") -> None:
        """Remove the item of a read. Raises ``JournalError``, and then the read is still open."""

    def give_back(self, read: "OpenRead", *, alone: bool = True) -> None:
        """End a read: its item returns to its place."""

    def give_back_later(self, read: "OpenRead", due_ms: int) -> None:
        """End a read: its item is delayed. Raises ``JournalError``."""

    def bury(self, read: "OpenRead", target: bytes) -> Move:
        """End a read by moving its item to another queue."""

    def available(self) -> None:
        """Serve the clients that wait for an item of the queue."""


class OpenRead:
    """One item that a client works on."""

    def __init__(
        self, queue: ReadQueue, item: Item, deliveries: int, holder: "ReadHolder | None"
    ) -> None:
        self.queue = queue
        self.item = item
        self.deliveries = deliveries
        """How often the item was handed out, this time included."""
        self.holder = holder
        """The reads of the connection that opened it; ``None`` when that is closed."""
        self.lease: Deadline | None = None
        """When the read ends by itself; ``None`` without a lease."""
        self.is_open = True
        self.serial = next(_serials)
        """Numbers the server's open reads in the order in which they were opened."""


class ReadHolder:
    """The open reads of one connection, by queue, oldest first.

    A read that this connection opened is in here as long as it is open. It may end without the
    connection's doing: its lease runs out, its queue is deleted, another connection confirms it;
    then the holder is told to ``forget``. When a confirmation could not be written, the read is
    open again and comes back with ``keep``.
    """

    def __init__(self) -> None:
        # Ordered dictionaries: whichever read ends, it takes no time to be found.
        self.by_name: dict[bytes, OrderedDict[OpenRead, None]] = {}
        """The open reads, by queue; no queue without any."""
        self.closed = False
        """Whether the connection is closed, so that nothing may be kept here."""

    def __len__(self) -> int:
        """Return how many reads are open."""
        return sum(len(reads) for reads in self.by_name.values())

    def count(self, name: bytes) -> int:
        """Return how many reads of a queue are open."""
        return len(self.by_name.get(name, ()))

    def oldest(self, name: bytes) -> "OpenRead | None":
        """Return the open read of a queue that was opened first; ``None`` if there is none."""
        reads = self.by_name.get(name)
        return next(iter(reads)) if reads else None

    def each(self, name: bytes) -> "Iterator[OpenRead]":
        """Return the open reads of a queue one by one, oldest first; none may end meanwhile."""
        return iter(self.by_name.get(name, ()))

    def reads(self, name: bytes | None = None) -> "list[OpenRead]":
        """Return all open reads, or those of a queue, oldest first."""
        if name is not None:
            return list(self.by_name.get(name, ()))
        return [read for reads in self.by_name.values() for read in reads]

    def keep(self, read: "OpenRead") -> None:
        """Add a read; one that is open again goes where it was."""
        reads = self.by_name.setdefault(read.queue.name, OrderedDict())
        in_order = not reads or next(reversed(reads)).serial < read.serial
        reads[read] = None
        if not in_order:
            ordered = sorted(reads, key=lambda each: each.serial)
            self.by_name[read.queue.name] = OrderedDict.fromkeys(ordered)

    def forget(self, read: "OpenRead") -> None:
        """Drop a read; it is no error when it is not here."""
        reads = self.by_name.get(read.queue.name)
        if reads is None:
            return
        reads.pop(read, None)
        if not reads:
            del self.by_name[read.queue.name]


class OpenReads:
    """All open reads of one queue, by the ids of their items."""

    def __init__(self, deadlines: Deadlines, give_back: Callable[[OpenRead], None]) -> None:
        """``give_back`` is called for a read whose lease ran out."""
        self._deadlines = deadlines
        self._give_back = give_back
        self._by_id: dict[int, OpenRead] = {}
        self.ended: list[tuple[int, OpenRead]] = []
        """Confirmed reads, each with the write that removes its item, until that is safe."""
        self.deliveries: dict[int, int] = {}
        """How often items were handed out that were opened since the last commit, by id."""
        self.bytes = 0
        """Bytes of the data of the items that are open."""
        self.opened = 0
        """Reads opened since the server started."""
        self.canceled = 0
        """Reads that gave their item back since the server started."""

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, item_id: int) -> bool:
        return item_id in self._by_id

    def __iter__(self) -> Iterator[OpenRead]:
        return iter(self._by_id.values())

    def get(self, item_id: int) -> OpenRead | None:
        """Return the open read of an item; ``None`` when it is not open."""
        return self._by_id.get(item_id)

    def add(self, read: OpenRead, lease_end: float | None) -> None:
        """Add a read that was opened; its lease ends at a monotonic time, ``None`` for none."""
        self._by_id[read.item.id] = read
        self.bytes += len(read.item.data)
        self.deliveries[read.item.id] = read.deliveries
        self.opened += 1
        if read.holder is not None:
            read.holder.keep(read)
        if lease_end is not None:
            self.set_lease(read, lease_end)

    def set_lease(self, read: OpenRead, end: float | None, until_ms: int = 0) -> None:
        """Give a read a new lease, to a monotonic time; ``None`` for none.

        ``until_ms`` is the moment of the wall clock that the time was reckoned from, if it was.
        """
        if read.lease is not None:
            self._deadlines.cancel(read.lease)
            read.lease = None
        if end is not None:
            read.lease = self._deadlines.add(end, lambda: self._give_back(read), until_ms)

    def confirm(self, read: OpenRead, write: int) -> None:
        """End a read for good: its item is removed by the write of this number."""
        self._end(read)
        self.ended.append((write, read))

    def cancel(self, read: OpenRead) -> None:
        """End a read whose item can be handed out again."""
        self._end(read)
        self.canceled += 1

    def let_go(self) -> None:
        """Refer to the queue no more: it is gone, and has no open reads."""
        self._give_back = _to_nobody

    def on_committed(self) -> None:
        """Forget the latest deliveries: the ledger knows them now."""
        self.deliveries.clear()

    def on_safe(self, writes: int) -> None:
        """Forget confirmed reads whose items the first ``writes`` writes removed: that is safe."""
        ended, safe = self.ended, 0
        while safe < len(ended) and ended[safe][0] <= writes:
            safe += 1
        del ended[:safe]

    def reconcile(self, ledger: Ledger) -> list[OpenRead]:
        """Make open what is open by the ledger; return the reads that nobody can end.

        Those have no lease, and their connections are closed: their items are to be given back.
        """
        self.deliveries.clear()
        ended, self.ended = self.ended, []
        for read in [*self._by_id.values()]:
            if not _is_written(read, ledger):
                self._end(read)
        orphans = []
        for write, read in ended:
            if read.item.id in self._by_id:
                continue
            if not ledger.is_live(read.item.id):
                if read.item.id < ledger.next_id:  # else its put was undone: the id is given anew
                    self.ended.append((write, read))  # its end is written, and may be undone yet
            elif _is_written(read, ledger):
                if read.holder is not None and read.holder.closed:
                    read.holder = None
                if read.holder is None and read.lease is None:
                    orphans.append(read)
                else:
                    self._reopen(read)
        return orphans

    def _reopen(self, read: OpenRead) -> None:
        read.is_open = True
        self._by_id[read.item.id] = read
        self.bytes += len(read.item.data)
        if read.holder is not None:
            read.holder.keep(read)
        if read.lease is not None:
            self.set_lease(read, read.lease.when, read.lease.wall_ms)

    def _end(self, read: OpenRead) -> None:
        read.is_open = False
        del self._by_id[read.item.id]
        self.bytes -= len(read.item.data)
        if read.holder is not None:
            read.holder.forget(read)
        if read.lease is not None:
            self._deadlines.cancel(read.lease)


def _to_nobody(read: OpenRead) -> None:
    """Give nothing back: the queue is gone."""


def _is_written(read: OpenRead, ledger: Ledger) -> bool:
    """Tell whether the journal knows of the opening of a read, and of no end."""
    facts = ledger.facts.get(read.item.id)
    return facts is not None and facts.deliveries >= read.deliveries
