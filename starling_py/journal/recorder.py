"""What a queue asks its journal to record, until that is written.

Nothing here touches a file. A record is taken, or ``JournalError`` says why not, and then the
queue has to do without it: while the journal is broken none is taken, and on a full disk only
those that make the queue smaller, when those would miss the room.
"""

from collections.abc import Callable, Sequence
from typing import Final

from starling_py.journal.disk.reserve import SomeReserve
from starling_py.journal.errors import JournalError
from starling_py.journal.format import record
from starling_py.journal.format.record import Item, MarkedItem
from starling_py.journal.format.segment import Segment
from starling_py.journal.ledger import Ledger
from starling_py.journal.pending import Pending
from starling_py.journal.reader import Reader

DISK_FULL: Final = "the disk is full"


class Recorder:
    """The side of a journal that its queue writes on."""

    def __init__(
        self,
        reserve: SomeReserve,
        reader: Reader,
        salt: int,
        ledger: Ledger,
        touch: Callable[[], None],
    ) -> None:
        """``reader`` is told what cannot be read and is given up.

        ``touch`` is called when the first record since the last write is added.
        """
        self._reserve = reserve
        self._reader = reader
        self._salt = salt
        self._touch = touch
        self.pending = Pending(salt, ledger.next_id - 1)
        """What is not written yet."""
        self.ledger = ledger
        """What is live, as of the last successful write."""
        self.broken: str | None = None
        """Why no more records are taken for now; ``None`` while they are."""

    def take(self) -> Pending:
        """Hand over what is to be written, and begin anew."""
        pending = self.pending
        self.pending = Pending(self._salt, pending.pushed_id)
        return pending

    def check(self) -> None:
        """Raise ``JournalError`` if no item can be put."""
        if self.broken is not None:
            raise JournalError(self.broken)
        if self._reserve.short and not self._reserve.restore():
            raise JournalError(DISK_FULL)

    def push(self, item: Item) -> None:
        """Add the record of a put. Raises ``JournalError`` when it cannot be taken."""
        if self.broken is not None or self._reserve.short:
            self.check()
        pending = self.pending
        if not pending.records:
            self._touch()
        pending.records += record.push(item, self._salt)
        pending.pushed_id = item.id
        pending.pushes += 1
        pending.bytes += len(item.data)

    def remove(self, item: Item) -> None:
        """Add the record of a removal. Raises ``JournalError`` when the journal is broken."""
        if self.broken is not None:
            raise JournalError(self.broken)
        pending = self.pending
        if not pending.records:
            self._touch()
        pending.records.append(record.remove(item.id, len(item.data), self._salt))
        pending.removed.append(item)

    def push_marked(self, item: MarkedItem) -> None:
        """Add the record of a put of a marked item. Raises ``JournalError``, as ``push`` does."""
        self.check()
        self._begin()
        self.pending.push_marked(item)

    def open(self, item: Item) -> None:
        """Add that an item is handed out and stays.

        Raises ``JournalError`` when the journal is broken, and on a full disk when what is left of
        the reserve is needed for removals.
        """
        self._afford(record.DELAY_SIZE)
        self._begin()
        self.pending.open(item.id)

    def delay(self, item: Item, due_ms: int) -> None:
        """Add that an item is kept back until a time, in milliseconds since the Unix epoch.

        Raises ``JournalError``, as ``open`` does.
        """
        self._afford(record.DELAY_SIZE)
        self._begin()
        self.pending.delay(item.id, due_ms)

    def flush(self, kept: Sequence[tuple[int, int]] = ()) -> None:
        """Add the record of a flush that leaves some items, by id and size, in their order.

        Raises ``JournalError`` when the journal is broken, and, for one that takes more room than
        the removals that it stands for, as ``open`` does.
        """
        size = record.flush_size(len(kept))
        costs = size > (self.ledger.items - len(kept)) * record.REMOVE_SIZE
        if costs:
            self._afford(size)
        self._begin()
        self.pending.flush(kept, delete=False, costs=costs)

    def delete(self) -> None:
        """Add the record of the queue's deletion. Raises ``JournalError`` when broken."""
        self._begin()
        self.pending.flush((), delete=True)

    def give_up(self, damaged: Segment, first_id: int, items: int, size: int) -> None:
        """Give up what a segment, which is not the last, holds from an id on: it cannot be read.

        Raises ``JournalError`` when the journal is broken.
        """
        segments = self.ledger.segments
        last_id = next(each.first_id for each in segments if each.number > damaged.number) - 1
        self._begin()
        self.pending.give_up(first_id, last_id, items, size)
        self._reader.give_up(damaged)

    def _begin(self) -> None:
        if self.broken is not None:
            raise JournalError(self.broken)
        if not self.pending.records:
            self._touch()

    def _afford(self, size: int) -> None:
        """Raise ``JournalError`` if a record that is no removal would take the room of those."""
        if self.broken is not None:
            raise JournalError(self.broken)
        waiting = len(self.pending.records) * record.DELAY_SIZE
        if not self._reserve.can_spare(waiting + size):
            raise JournalError(DISK_FULL)
