"""What a queue asks its journal to record, until that is written.

Nothing here touches a file. A record is taken, or ``JournalError`` says why not, and then the
queue has to do without it: while the journal is broken none is taken, and on a full disk only
those that make the queue smaller, when those would miss the room.
"""

from collections.abc import Sequence
from typing import Any, Final

from starling_py.journal.errors import JournalError
from starling_py.journal.format import record
from starling_py.journal.format.record import Item, MarkedItem
from starling_py.journal.format.segment import Segment
from starling_py.journal.ledger import Ledger
from starling_py.journal.pending import Pending
from starling_py.journal.reader import Reader
from starling_py.journal.shared import Shared

DISK_FULL: Final = "the disk is full"


class Recorder:
    """The side of a journal that its queue writes on."""

    def __init__(self, around: Shared[Any], salt: int, ledger: Ledger, reader: Reader) -> None:
        """``reader`` is told what cannot be read and is given up."""
        self._around = around
        self._reserve = around.reserve
        self._reader = reader
        self._unwritten = Pending(salt, ledger.next_id - 1)
        self.ledger = ledger
        """What is live, as of the last successful ``write``."""
        self.broken: str | None = None
        """Why the journal takes no more records for now; ``None`` while it does."""

    @property
    def next_id(self) -> int:
        """The id that the next item gets; as of the last successful ``write``."""
        return self.ledger.next_id

    @property
    def highest_id(self) -> int:
        """The highest id that was given out, whether that is written or not."""
        return self._unwritten.pushed_id

    @property
    def unwritten_removals(self) -> list[Item]:
        """The items whose removals are not written yet, so that the ledger counts them."""
        return self._unwritten.removed

    def check(self) -> None:
        """Raise ``JournalError`` if no item can be put."""
        if self.broken is not None:
            raise JournalError(self.broken)
        if self._reserve.short and not self._reserve.restore():
            raise JournalError(DISK_FULL)

    def push(self, item: Item) -> None:
        """Add the record of a put. Raises ``JournalError`` when it cannot be taken."""
        # As check and _touch do it, without the calls; so does remove.
        if self.broken is not None:
            raise JournalError(self.broken)
        if self._reserve.short and not self._reserve.restore():
            raise JournalError(DISK_FULL)
        unwritten = self._unwritten
        if not unwritten.records:
            self._around.touch(self)
        unwritten.push(item)

    def remove(self, item: Item) -> None:
        """Add the record of a removal. Raises ``JournalError`` when the journal is broken."""
        if self.broken is not None:
            raise JournalError(self.broken)
        unwritten = self._unwritten
        if not unwritten.records:
            self._around.touch(self)
        unwritten.remove(item)

    def push_marked(self, item: MarkedItem) -> None:
        """Add the record of a put of a marked item. Raises ``JournalError``, as ``push`` does."""
        self.check()
        self._touch()
        self._unwritten.push_marked(item)

    def open(self, item: Item) -> None:
        """Add that an item is handed out and stays.

        Raises ``JournalError`` when the journal is broken, and on a full disk when what is left of
        the reserve is needed for removals.
        """
        self._afford(record.DELAY_SIZE)
        self._touch()
        self._unwritten.open(item.id)

    def delay(self, item: Item, due_ms: int) -> None:
        """Add that an item is kept back until a time, in milliseconds since the Unix epoch.

        Raises ``JournalError``, as ``open`` does.
        """
        self._afford(record.DELAY_SIZE)
        self._touch()
        self._unwritten.delay(item.id, due_ms)

    def flush(self, kept: Sequence[tuple[int, int]] = ()) -> None:
        """Add the record of a flush that leaves some items, by id and size, in their order.

        Raises ``JournalError`` when the journal is broken, and, for one that takes more room than
        the removals that it stands for, as ``open`` does.
        """
        size = record.flush_size(len(kept))
        costs = size > (self.ledger.items - len(kept)) * record.REMOVE_SIZE
        if costs:
            self._afford(size)
        self._touch()
        self._unwritten.flush(kept, delete=False, costs=costs)

    def delete(self) -> None:
        """Add the record of the queue's deletion. Raises ``JournalError`` when broken."""
        self._touch()
        self._unwritten.flush((), delete=True)

    def discard(self, damaged: Segment, first_id: int, items: int, size: int) -> None:
        """Give up what a segment, which is not the last, holds from an id on: it cannot be read.

        Raises ``JournalError`` when the journal is broken.
        """
        segments = self.ledger.segments
        last_id = next(each.first_id for each in segments if each.number > damaged.number) - 1
        self._touch()
        self._unwritten.discard(first_id, last_id, items, size)
        self._reader.give_up(damaged)

    def _touch(self) -> None:
        if self.broken is not None:
            raise JournalError(self.broken)
        if not self._unwritten.records:
            self._around.touch(self)

    def _afford(self, size: int) -> None:
        """Raise ``JournalError`` if a record that is no removal would take the room of those."""
        if self.broken is not None:
            raise JournalError(self.broken)
        waiting = len(self._unwritten.records) * record.DELAY_SIZE
        if not self._reserve.can_spare(waiting + size):
            raise JournalError(DISK_FULL)
