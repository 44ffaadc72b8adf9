"""What a queue was asked for since its journal was last written.

The records wait here for the commit, and with them what they will do to the ledger: nothing of it
counts before it is written, and if that fails, dropping it undoes it.
"""

from starling_py.journal import record
from starling_py.journal.ledger import Ledger
from starling_py.journal.record import Item


class Unwritten:
    """The records of one commit, and their effect."""

    def __init__(self, salt: int, pushed_id: int) -> None:
        """``pushed_id`` is the highest id that was given out before."""
        self._salt = salt
        self.pushed_id = pushed_id
        """The highest id that was given out."""
        self.records: list[bytes] = []
        """The bytes to be written, in pieces."""
        self.pushes = 0
        """Items put, and not flushed since."""
        self._bytes = 0
        self.removed: list[Item] = []
        """Items removed, and not flushed since."""
        self._flushed: int | None = None
        self._deleted = False
        self._discarded: list[tuple[int, int, int, int]] = []

    def push(self, item: Item) -> None:
        """Add a put."""
        self.records += record.push(item, self._salt)
        self.pushed_id = item.id
        self.pushes += 1
        self._bytes += len(item.data)

    def remove(self, item: Item) -> None:
        """Add a removal."""
        self.records.append(record.remove(item.id, len(item.data), self._salt))
        self.removed.append(item)

    def flush(self, *, delete: bool) -> None:
        """Add a flush, or the queue's deletion; what came before has no effect of its own."""
        kind = record.DELETE if delete else record.FLUSH
        self.records.append(record.bare(kind, self.pushed_id, self._salt))
        self.pushes = self._bytes = 0
        self.removed = []
        self._discarded = []
        self._flushed = self.pushed_id
        self._deleted = delete

    def discard(self, first_id: int, last_id: int, items: int, size: int) -> None:
        """Add that items of one segment are given up."""
        self.records.append(record.discard(first_id, last_id, items, size, self._salt))
        self._discarded.append((first_id, last_id, items, size))

    def apply(self, ledger: Ledger) -> None:
        """Let the ledger know of it, now that it is written."""
        if self._flushed is not None:
            ledger.flushed(self._flushed)
            ledger.deleted = self._deleted
        if self.pushes:
            ledger.pushed(self.pushes, self._bytes, self.pushed_id + 1)
        if self.removed:
            ledger.removed_all(self.removed)
        for each in self._discarded:
            ledger.discarded(*each)
