"""Takes what a queue asks its journal to record, until that is written.

A record is accepted, or refused with ``JournalError``; then nothing has changed, and the queue must
not do what it asked for. While the journal is broken every record is refused. On a full disk puts
are refused, and whatever would take the room that the removals of the live items need; removals
are always accepted. Nothing here touches a segment.
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


def _nothing() -> None:
    """Touch nothing: the journal was removed."""


class Recorder:
    """The side of a journal that its queue records operations on."""

    def __init__(
        self,
        reserve: SomeReserve,
        reader: Reader,
        salt: int,
        ledger: Ledger,
        touch: Callable[[], None],
    ) -> None:
        """``ledger`` is the journal's; ``reader`` is told of segments that are given up.

        ``touch`` is called when the first record since the last write is added.
        """
        self._reserve = reserve
        self._reader = reader
        self._salt = salt
        self._touch = touch
        self.pending = Pending(salt, ledger.next_id - 1)
        """What was recorded and is not written yet."""
        self.ledger = ledger
        """What is live, as of the last successful write."""
        self.broken: str | None = None
        """Why every record is refused for now; ``None`` while the journal is not broken."""

    def let_go(self) -> None:
        """Refer to the journal no more: it was removed."""
        self._touch = _nothing

    def take(self) -> Pending:
        """Return what was recorded since the last call, and start an empty ``Pending``."""
        pending = self.pending
        self.pending = Pending(self._salt, pending.pushed_id)
        return pending

    def check(self) -> None:
        """Raise ``JournalError`` if a put would be refused; on a full disk, look for room again."""
        if self.broken is not None:
            raise JournalError(self.broken)
        if self._reserve.short and not self._reserve.restore():
            raise JournalError(DISK_FULL)

    def push(self, item: Item) -> None:
        """Add the record of a put. Raises ``JournalError``."""
        # What ``check``, ``_begin_record`` and a method of ``Pending`` would do stands in ``push``
        # and ``remove`` itself: every item goes through both, and each call that is spared counts.
        # What is rare goes through the methods below.
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
        self._begin_record()
        self.pending.push_marked(item)

    def open(self, item: Item) -> None:
        """Add that an item is handed out and stays in the queue: one more delivery.

        Raises ``JournalError`` when the journal is broken, and on a full disk when what is left of
        the reserve is needed for removals.
        """
        self._afford(record.DELAY_SIZE)
        self._begin_record()
        self.pending.open(item.id)

    def delay(self, item: Item, due_ms: int) -> None:
        """Add that an item is kept back until ``due_ms``, in milliseconds since the Unix epoch.

        Raises ``JournalError``, as ``open`` does.
        """
        self._afford(record.DELAY_SIZE)
        self._begin_record()
        self.pending.delay(item.id, due_ms)

    def pause(self, until_ms: int) -> None:
        """Add that the queue is paused, as ``Ledger.paused_ms`` has it; 0 ends that.

        Raises ``JournalError``, as ``open`` does.
        """
        self._afford(record.DELAY_SIZE)
        self._begin_record()
        self.pending.pause(until_ms)

    def flush(self, kept: Sequence[tuple[int, int]] = ()) -> None:
        """Add the record of a flush that keeps the items ``kept``, by id and size, in order.

        Raises ``JournalError`` when the journal is broken. If the record is larger than the
        removals that it stands for, it also raises it on a full disk, as ``open`` does.
        """
        size = record.flush_size(len(kept))
        costs = size > (self.ledger.items - len(kept)) * record.REMOVE_SIZE
        if costs:
            self._afford(size)
        self._begin_record()
        self.pending.flush(kept, delete=False, costs=costs)

    def delete(self) -> None:
        """Add the record of the queue's deletion. Raises ``JournalError`` when broken."""
        self._begin_record()
        self.pending.flush((), delete=True)

    def give_up(self, damaged: Segment, first_id: int, items: int, size: int) -> None:
        """Give up the live items from ``first_id`` to the end of a segment that cannot be read.

        They are ``items`` items with ``size`` bytes of data altogether. ``damaged`` is not the last
        segment. Raises ``JournalError`` when the journal is broken.
        """
        segments = self.ledger.segments
        last_id = next(each.first_id for each in segments if each.number > damaged.number) - 1
        self._begin_record()
        self.pending.give_up(first_id, last_id, items, size)
        self._reader.give_up(damaged)

    def _begin_record(self) -> None:
        """Raise ``JournalError`` when broken; have the journal written in the next commit."""
        if self.broken is not None:
            raise JournalError(self.broken)
        if not self.pending.records:
            self._touch()

    def _afford(self, size: int) -> None:
        """Raise ``JournalError`` if ``size`` more bytes would take the room that removals need."""
        if self.broken is not None:
            raise JournalError(self.broken)
        # An estimate: most records that wait here take no more, and a full disk refuses puts.
        waiting = len(self.pending.records) * record.DELAY_SIZE
        if not self._reserve.can_spare(waiting + size):
            raise JournalError(DISK_FULL)
