"""One FIFO queue: items in the order they were put, each of them in the journal first.

Invariants: ids grow by one with every put, for ever; what is in memory is what replaying the
journal would give, as soon as the tick's commit is done; a commit that fails takes every
operation since the last one back, as if it had never been asked for. The queue knows nothing of
clients: who waits for it is kept in ``waiters``.
"""

from collections import deque
from typing import Protocol

from starling_py.journal import record
from starling_py.journal.journal import Journal
from starling_py.journal.record import Item
from starling_py.stats import QueueSnapshot


class Keeper(Protocol):
    """Who keeps the queue among others."""

    def gone(self, queue: "PersistentQueue") -> None:
        """Take notice that the deletion of a queue is written, or its creation never was."""

    def restored(self, queue: "PersistentQueue") -> None:
        """Take notice that items have come back, as their removal could not be written."""


class PersistentQueue:
    """The items of one queue and what happened to it since the server started."""

    def __init__(
        self,
        name: bytes,
        journal: Journal,
        keeper: Keeper,
        items: deque[Item] | None = None,
    ) -> None:
        """Without ``items`` the queue is new: it does not exist before a put is written."""
        self.name = name
        self.journal = journal
        journal.owner = self
        self._keeper = keeper
        self._items: deque[Item] = deque() if items is None else items
        self._popped: list[Item] = []
        self._next_id = journal.next_id
        self.deleted = items is None
        """Whether the queue does not exist (any more); a put brings it into being."""
        self._deleted_before = self.deleted
        self.bytes = sum(len(item.data) for item in self._items)
        """Bytes of all items' data."""
        self.get_hits = 0
        """Items popped since the server started."""
        self.expired_items = 0
        """Items found dead since the server started."""
        self.total_flushes = 0
        self._counts_before = (0, 0, 0)

    def __len__(self) -> int:
        return len(self._items)

    @property
    def total_items(self) -> int:
        """Items ever put, since the queue was created."""
        return self._next_id - 1

    def snapshot(self, now_ms: int, waiters: int) -> QueueSnapshot:
        """Return the queue's numbers; the age of the head is that of ``now_ms``."""
        return QueueSnapshot(
            name=self.name,
            items=len(self._items),
            bytes=self.bytes,
            total_items=self.total_items,
            logsize=self.journal.size,
            expired_items=self.expired_items,
            age=max(0, now_ms - self._items[0].added_ms) if self._items else 0,
            waiters=waiters,
            get_hits=self.get_hits,
            total_flushes=self.total_flushes,
            journal_rotations=self.journal.rotations,
            journal_broken=int(self.journal.broken is not None),
        )

    def put(self, data: bytes, flags: int, expiry_ms: int, now_ms: int) -> None:
        """Add an item at the end. Raises ``JournalError``, and then nothing was added."""
        item = Item(self._next_id, now_ms, expiry_ms, flags, data)
        self.journal.push(item)
        self._next_id += 1
        self._items.append(item)
        self.bytes += len(data)
        self.deleted = False

    def pop(self, now_ms: int) -> Item | None:
        """Take the oldest live item. Raises ``JournalError``, and then nothing was taken."""
        item = self.peek(now_ms)
        if item is not None:
            self._remove(item)
            self.get_hits += 1
        return item

    def peek(self, now_ms: int) -> Item | None:
        """Return the oldest live item and leave it; dead ones before it are removed."""
        items = self._items
        while items:
            item = items[0]
            if not item.expiry_ms or item.expiry_ms > now_ms:
                return item
            self._remove(item)
            self.expired_items += 1
        return None

    def flush(self) -> None:
        """Remove every item. Raises ``JournalError``, and then none was removed."""
        self.journal.append(record.FLUSH, self._next_id - 1)
        self._forget_items()
        self.total_flushes += 1

    def delete(self) -> None:
        """Remove every item and the queue itself. Raises ``JournalError``."""
        self.journal.append(record.DELETE, self._next_id - 1)
        self._forget_items()
        self.deleted = True

    def committed(self) -> None:
        """Make what happened since the last commit final."""
        self._popped.clear()
        self._deleted_before = self.deleted
        self._counts_before = (self.get_hits, self.expired_items, self.total_flushes)
        if self.journal.has_old_segments and not self.deleted:
            self.journal.reclaim(self._items[0].id if self._items else self._next_id)

    def settled(self) -> None:
        """Go, if the deletion of the queue is safe and no put has come since."""
        if self.deleted and self._deleted_before:
            self._keeper.gone(self)

    def rolled_back(self) -> None:
        """Take back what happened since the last commit."""
        put = self._next_id - self.journal.next_id
        self._items.extendleft(reversed(self._popped))
        for _ in range(put):
            self._items.pop()
        self._popped.clear()
        self._next_id = self.journal.next_id
        self.bytes = sum(len(item.data) for item in self._items)
        self.deleted = self._deleted_before
        self.get_hits, self.expired_items, self.total_flushes = self._counts_before
        if self.deleted:
            if self._next_id == 1:  # it never existed, so there is nothing to be made safe
                self._keeper.gone(self)
        else:
            self._keeper.restored(self)

    def _remove(self, item: Item) -> None:
        self.journal.append(record.REMOVE, item.id)
        self._items.popleft()
        self.bytes -= len(item.data)
        self._popped.append(item)

    def _forget_items(self) -> None:
        self._popped += self._items
        self._items.clear()
        self.bytes = 0
