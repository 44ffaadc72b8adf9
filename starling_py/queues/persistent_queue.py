"""One FIFO queue: items in the order they were put, each of them in the journal first.

Invariants: ids grow by one with every put, for ever; what is counted is what replaying the
journal would give, as soon as the tick's commit is done; a commit that fails takes every
operation since the last one back, as if it had never been asked for. Only a window of the head is
in memory. The queue knows nothing of clients: who waits for it is kept in ``waiters``.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from starling_py.journal.blocks import OVERHEAD, Position, Reading
from starling_py.journal.journal import Journal
from starling_py.journal.record import Item
from starling_py.journal.segment import Segment
from starling_py.journal.trouble import JournalDamaged, JournalError
from starling_py.queues.window import READING, NotLoaded, Window, WindowSizes
from starling_py.stats import QueueSnapshot

log = logging.getLogger(__name__)

_NOTHING = -1


class Keeper(Protocol):
    """Who keeps the queue among others."""

    sizes: WindowSizes
    quarantine: bool
    """Whether what cannot be read is given up, and the rest of the queue is served."""

    def gone(self, queue: "PersistentQueue") -> None:
        """Take notice that the deletion of a queue is written, or its creation never was."""

    def restored(self, queue: "PersistentQueue") -> None:
        """Take notice that items can be taken that could not be taken before."""


class PersistentQueue:
    """The items of one queue and what happened to it since the server started."""

    def __init__(self, name: bytes, journal: Journal, keeper: Keeper) -> None:
        """Without anything in its journal, the queue does not exist before a put is written."""
        self.name = name
        self.journal = journal
        journal.owner = self
        self._keeper = keeper
        self._sizes = keeper.sizes
        self._window = Window()
        self._reading = False
        self._epoch = 0
        self._unreadable = ""
        self._when_loaded: list[Callable[[JournalError | None], None]] = []
        ledger = journal.ledger
        self._next_id = ledger.next_id
        self.deleted = ledger.deleted
        """Whether the queue does not exist (any more); a put brings it into being."""
        self._deleted_before = self.deleted
        self.items = ledger.items
        """How many items there are."""
        self.bytes = ledger.bytes
        """Bytes of all items' data."""
        self.get_hits = 0
        """Items popped since the server started."""
        self.expired_items = 0
        """Items found dead since the server started."""
        self.quarantined_items = 0
        """Items given up since the server started because they cannot be read."""
        self.total_flushes = 0
        self._counts_before = (0, 0, 0)
        if self.items:
            self._window.reread(ledger.head - 1)

    def __len__(self) -> int:
        return self.items

    @property
    def total_items(self) -> int:
        """Items ever put, since the queue was created."""
        return self._next_id - 1

    def snapshot(self, now_ms: int, waiters: int) -> QueueSnapshot:
        """Return the queue's numbers; the age of the head is that of ``now_ms``."""
        loaded = self._window.items
        return QueueSnapshot(
            name=self.name,
            items=self.items,
            bytes=self.bytes,
            total_items=self.total_items,
            logsize=self.journal.size,
            expired_items=self.expired_items,
            loaded=len(loaded),
            age=max(0, now_ms - loaded[0].added_ms) if loaded else 0,
            waiters=waiters,
            get_hits=self.get_hits,
            total_flushes=self.total_flushes,
            journal_rotations=self.journal.rotations,
            journal_compactions=self.journal.compactions,
            journal_broken=int(self.journal.broken is not None or bool(self._unreadable)),
            quarantined=self.quarantined_items,
        )

    def put(self, data: bytes, flags: int, expiry_ms: int, now_ms: int) -> None:
        """Add an item at the end. Raises ``JournalError``, and then nothing was added."""
        item = Item(self._next_id, now_ms, expiry_ms, flags, data)
        self.journal.push(item)
        self._next_id += 1
        self.items += 1
        self.bytes += len(data)
        self.deleted = False
        window = self._window
        if not window.behind:
            size = self.bytes + OVERHEAD * self.items
            if size > self._sizes.limit and window.items:
                window.fall_behind(item.id - 1, self.journal.end)
            else:
                window.items.append(item)

    def pop(self, now_ms: int) -> Item | None:
        """Take the oldest live item.

        Raises ``JournalError`` and ``NotLoaded``, and then nothing was taken.
        """
        item = self.peek(now_ms)
        if item is not None:
            self._remove(item)
            self.get_hits += 1
        return item

    def peek(self, now_ms: int) -> Item | None:
        """Return the oldest live item and leave it; dead ones before it are removed.

        Raises ``JournalError`` and ``NotLoaded``.
        """
        items = self._window.items
        while items:
            item = items[0]
            if not item.expiry_ms or item.expiry_ms > now_ms:
                return item
            self._remove(item)
            self.expired_items += 1
        if self.items:
            if self._unreadable:
                raise JournalError(self._unreadable)
            self.load()
            raise NotLoaded(self)
        return None

    def flush(self) -> None:
        """Remove every item. Raises ``JournalError``, and then none was removed."""
        self.journal.flush()
        self._forget_items()
        self.total_flushes += 1

    def delete(self) -> None:
        """Remove every item and the queue itself. Raises ``JournalError``."""
        self.journal.flush(delete=True)
        self._forget_items()
        self.deleted = True

    def load(self) -> None:
        """Begin to read on, unless that is under way or the window holds everything."""
        if not self._reading and self._window.behind and not self._unreadable:
            self._reading = True
            self.journal.read(self._where, self._read)

    def top_up(self) -> None:
        """Read on if the window has become small."""
        window = self._window
        if window.behind and len(window.items) < window.low:
            self.load()

    def when_loaded(self, ask_again: Callable[[JournalError | None], None]) -> None:
        """Have a function called when there is more in the window, or nothing to be expected.

        It is given the reason if nothing could be read; that may go better another time.
        """
        self._when_loaded.append(ask_again)
        self.load()

    def cut_window(self) -> None:
        """Leave the end of the window to the journal, if it takes much more than its share."""
        window = self._window
        size = window.size if window.behind else self.bytes + OVERHEAD * self.items
        if len(window.items) > 1 and size > 2 * self._sizes.limit:
            self._epoch += 1
            window.cut(self._sizes.limit)

    def give_up(self, damaged: Segment) -> None:
        """Remove what is not in the window of what a segment holds. Raises ``JournalError``."""
        first = max(damaged.first_id, self._window.last_id + 1)
        known = [
            item
            for item in (*self._window.items, *self.journal.unwritten_removals)
            if damaged.first_id <= item.id < first
        ]
        items = damaged.items - len(known)
        size = damaged.bytes - sum(len(item.data) for item in known)
        log.critical("%s: %d items cannot be read and are given up", damaged.path, items)
        self.journal.discard(damaged, first, items, size)
        self.items -= items
        self.bytes -= size
        self.quarantined_items += items

    def committed(self) -> None:
        """Make what happened since the last commit final."""
        self._deleted_before = self.deleted
        self._counts_before = (self.get_hits, self.expired_items, self.total_flushes)
        self.top_up()

    def settled(self) -> None:
        """Go, if the deletion of the queue is safe and no put has come since."""
        if self.deleted and self._deleted_before:
            self._keeper.gone(self)

    def rolled_back(self) -> None:
        """Take back what happened since the journal's ledger was right: read the queue anew."""
        ledger = self.journal.ledger
        self._next_id = ledger.next_id
        self.items = ledger.items
        self.bytes = ledger.bytes
        self.deleted = self._deleted_before = ledger.deleted
        self.get_hits, self.expired_items, self.total_flushes = self._counts_before
        self._unreadable = ""
        self._forget_window()
        if self.items:
            self._window.reread(ledger.head - 1)
            self.load()
        if self.deleted:
            # If it never existed, there is nothing to be made safe.
            if self._next_id == 1 and not self.journal.busy:
                self._keeper.gone(self)
        else:
            self._keeper.restored(self)

    def moved(self, segments: Sequence[Segment], replacement: Segment) -> None:
        """Look anew for where to read on, if that is in a segment that was replaced."""
        position = self._window.position
        if position is not None and position[0] in {each.number for each in segments}:
            self._window.position = None

    def _remove(self, item: Item) -> None:
        self.journal.remove(item)
        window = self._window
        window.items.popleft()
        self.items -= 1
        self.bytes -= len(item.data)
        if window.behind:
            window.bytes -= len(item.data)
            if len(window.items) < window.low:
                self.load()

    def _forget_items(self) -> None:
        self.items = self.bytes = 0
        self._forget_window()

    def _forget_window(self) -> None:
        self._epoch += 1
        self._window = Window()

    def _where(self) -> tuple[int, Position | None, int, int]:
        """Return where to read on, when it is done."""
        window = self._window
        room = min(READING, max(self._sizes.limit - window.size, 1))
        # What is read though nothing is needed any more must not be taken for what is.
        mark = self._epoch if window.behind else _NOTHING
        return mark, window.position, window.last_id, room

    def _read(self, epoch: int, reading: Reading) -> None:
        """Take what was read."""
        self._reading = False
        problem = None
        if epoch == self._epoch:
            if reading.error is not None:
                problem = self._not_read(reading, reading.error)
            else:
                self._take(reading)
        window = self._window
        wanted = window.size < self._sizes.limit * 3 // 4
        # What is not written yet will be read when it is.
        written_more = not reading.at_end or reading.position != self.journal.end
        if wanted and (written_more or epoch != self._epoch) and problem is None:
            self.load()
        if window.items or not self.items or problem is not None or self._unreadable:
            waiting, self._when_loaded = self._when_loaded, []
            for ask_again in waiting:
                ask_again(problem)
            self._keeper.restored(self)

    def _take(self, reading: Reading) -> None:
        window = self._window
        ledger = self.journal.ledger
        items = reading.items
        if ledger.gone or (items and not ledger.is_live(items[0].id)):
            items = [item for item in items if ledger.is_live(item.id)]
        window.add(items)
        if reading.items:
            window.last_id = reading.items[-1].id
        window.position = reading.position
        written = self._next_id == self.journal.next_id
        if reading.at_end and written and reading.position == self.journal.end:
            window.behind = False
            if len(window.items) != self.items:
                missing = self.items - len(window.items)
                self._cannot_read(f"{self.journal.path}: {missing} items cannot be found")

    def _not_read(self, reading: Reading, error: OSError | JournalDamaged) -> JournalError | None:
        """Give up what cannot be read, or return why those who wait get nothing."""
        number = reading.position[0]
        ledger = self.journal.ledger
        damaged = ledger.segment(number)
        asked = next((each for each in reading.segments if each.number == number), None)
        if damaged is None or asked is None or damaged.path != asked.path:
            self._window.position = None  # it is not there any more, or has another name
            return None
        lasts = isinstance(error, JournalDamaged | FileNotFoundError)
        if lasts and self._keeper.quarantine and damaged is not ledger.segments[-1]:
            log.critical("%s", error)
            try:
                self.give_up(damaged)
            except JournalError as problem:
                return problem
            return None
        if lasts:
            self._cannot_read(str(error))
        else:
            log.error("%s: cannot be read for now: %s", self.journal.path, error)
        return JournalError(f"the queue cannot be read on: {error}")

    def _cannot_read(self, why: str) -> None:
        self._unreadable = f"the queue cannot be read on: {why}"
        log.critical("%s; what is behind that is not served", why)
