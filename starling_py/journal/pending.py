"""The records of the next write, and what they will do to the ledger.

Nothing of it counts before it is written: the ledger changes only by ``apply``. If the write fails,
the ``Pending`` is dropped, and nothing has to be taken back in the ledger.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from starling_py.journal.format import record
from starling_py.journal.format.record import Item, MarkedItem
from starling_py.journal.ledger import Facts, Ledger


@dataclass
class _Rare:
    """What most commits have none of; made only when there is any."""

    before: "Pending | None" = None
    """What came before a flush that keeps items: it may concern those."""
    flushed: int | None = None
    """The highest id that a flush or a deletion removes; ``None`` if there was neither."""
    kept: Sequence[tuple[int, int]] = ()
    """Ids and sizes of the items that the flush keeps."""
    deleted: bool = False
    first_id: int | None = None
    """The next id when the queue was deleted; ``None`` if it was not."""
    flush_costs: bool = False
    """Whether the flush takes more room than the removals that it stands for."""
    facts: dict[int, Facts] = field(default_factory=dict)
    """The facts of items put, by their ids."""
    opened: list[int] = field(default_factory=list)
    delayed: list[tuple[int, int]] = field(default_factory=list)
    """Ids of items, and when they may be handed out, in milliseconds since the Unix epoch."""
    given_up: list[tuple[int, int, int, int]] = field(default_factory=list)
    """First id, last id, items and bytes of their data."""
    paused_ms: int | None = None
    """Until when the queue is paused, as in the ledger; ``None`` if that has not changed."""
    tokens: list[tuple[bytes, int, int]] = field(default_factory=list)
    """Digests of tokens, when they were put in milliseconds since the Unix epoch, the items' ids.
    """


class Pending:
    """The records of one write, and their effect on the ledger.

    The rare things are applied in an order of their own, not in that of the records; see ``flush``
    and ``apply``. ``Recorder`` adds ordinary puts and removals to the fields itself.
    """

    def __init__(self, salt: int, pushed_id: int) -> None:
        """``salt`` is the journal's; ``pushed_id`` is the highest id given out before."""
        self._salt = salt
        self.pushed_id = pushed_id
        """The highest id given out."""
        self.records: list[bytes] = []
        """The bytes to be written, in pieces."""
        self.pushes = 0
        """Items put since the last flush in here."""
        self.bytes = 0
        """Bytes of their data."""
        self.removed: list[Item] = []
        """Items removed since the last flush in here."""
        self._rare: _Rare | None = None

    @property
    def costs(self) -> bool:
        """Whether it takes more room on the disk than is reserved for the removals in it."""
        rare = self._rare
        if self.pushes or rare is None:
            return self.pushes > 0
        before = rare.before is not None and rare.before.costs
        changed = rare.opened or rare.delayed or rare.paused_ms is not None
        return before or rare.flush_costs or bool(changed)

    def push_marked(self, item: MarkedItem) -> None:
        """Add a put of a marked item."""
        self.records += record.push_marked(item, self._salt)
        self.pushed_id = item.id
        self.pushes += 1
        self.bytes += len(item.data)
        if item.deliveries or item.front:
            self._rarely().facts[item.id] = Facts(item.deliveries, 0, item.front)
        if item.token:
            self._rarely().tokens.append((item.token, item.added_ms, item.id))

    def open(self, item_id: int) -> None:
        """Add that an item was handed out for a reliable read."""
        self.records.append(record.bare(record.OPEN, item_id, self._salt))
        self._rarely().opened.append(item_id)

    def delay(self, item_id: int, due_ms: int) -> None:
        """Add that an item is kept back until ``due_ms``, in milliseconds since the Unix epoch."""
        self.records.append(record.delay(item_id, due_ms, self._salt))
        self._rarely().delayed.append((item_id, due_ms))

    def pause(self, until_ms: int) -> None:
        """Add that the queue is paused, as ``Ledger.paused_ms`` has it; 0 ends that."""
        self.records.append(record.pause(self.pushed_id, until_ms, self._salt))
        self._rarely().paused_ms = until_ms

    def flush(self, kept: Sequence[tuple[int, int]], *, delete: bool, costs: bool = False) -> None:
        """Add a flush that keeps the items ``kept``, by id and size; or the queue's deletion.

        A deletion keeps none. ``costs``: whether the flush takes more room than the removals that
        it stands for. What came before is forgotten, as the flush removes it; where items are kept,
        it is set aside as ``before``, since it may concern those.
        """
        before = self._up_to_now() if kept else None
        if delete:
            self.records.append(record.bare(record.DELETE, self.pushed_id, self._salt))
        else:
            self.records.append(record.flush(self.pushed_id, kept, self._salt))
        self.pushes = self.bytes = 0
        self.removed = []
        first_id = self._rare.first_id if self._rare is not None else None
        paused_ms = self._rare.paused_ms if self._rare is not None else None
        tokens = self._rare.tokens if self._rare is not None and before is None else []
        if delete:
            first_id, paused_ms, tokens = self.pushed_id + 1, None, []
        self._rare = _Rare(before, self.pushed_id, kept, delete, first_id, costs)
        self._rare.paused_ms = paused_ms
        self._rare.tokens = tokens  # seen they were, though their items are gone

    def give_up(self, first_id: int, last_id: int, items: int, size: int) -> None:
        """Add that the live items from ``first_id`` to ``last_id``, in one segment, are given up.

        They are ``items`` items with ``size`` bytes of data altogether.
        """
        self.records.append(record.discard(first_id, last_id, items, size, self._salt))
        self._rarely().given_up.append((first_id, last_id, items, size))

    def spares(self, item_id: int) -> bool:
        """Tell whether no flush or deletion in here removes an item."""
        rare = self._rare
        if rare is None or rare.flushed is None or item_id > rare.flushed:
            return True
        return any(kept_id == item_id for kept_id, _ in rare.kept)

    def apply(self, ledger: Ledger) -> None:
        """Apply it to the ledger: it was written.

        The flush comes first, as everything else came after it; removals come after puts and opens,
        since an item may have been put, opened and removed in one commit.
        """
        rare = self._rare
        if rare is not None and rare.flushed is not None:
            if rare.before is not None:
                rare.before.apply(ledger)
            ledger.flushed(rare.flushed, rare.kept)
            if rare.first_id is not None:
                ledger.was_deleted(rare.first_id)
            ledger.deleted = rare.deleted
        if self.pushes:
            ledger.pushed(self.pushes, self.bytes, self.pushed_id + 1)
        if rare is not None:
            ledger.facts.update(rare.facts)
            for item_id in rare.opened:
                ledger.opened(item_id)
            for item_id, due_ms in rare.delayed:
                ledger.delayed(item_id, due_ms)
        if self.removed:
            ledger.removed_all(self.removed)
        if rare is not None:
            for each in rare.given_up:
                ledger.given_up(*each)
            for seen in rare.tokens:
                ledger.saw(*seen)
            if rare.paused_ms is not None:
                ledger.paused_ms = rare.paused_ms

    def _up_to_now(self) -> "Pending":
        """Return a copy of what was added up to now."""
        other = Pending(self._salt, self.pushed_id)
        other.records = self.records
        other.pushes = self.pushes
        other.removed = self.removed
        other.bytes = self.bytes
        other._rare = self._rare
        return other

    def _rarely(self) -> _Rare:
        if self._rare is None:
            self._rare = _Rare()
        return self._rare
