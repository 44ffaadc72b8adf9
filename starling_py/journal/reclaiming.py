"""Room on the disk given back: dead segments are removed, wasteful ones are compacted.

Both are chosen by the removals written up to some moment, and begun when those are safe. Else a
power cut could take the removals and leave the queue without the items that are then live again.
"""

import logging
from typing import Protocol

from starling_py.journal.compaction import Compaction, Compactor
from starling_py.journal.disk.background import Chores, Hold
from starling_py.journal.disk.reserve import SomeReserve
from starling_py.journal.format.segment import Segment
from starling_py.journal.ledger import Ledger
from starling_py.journal.segment_writer import SMALL
from starling_py.journal.syncing import Place

log = logging.getLogger(__name__)


class ReclaimingOwner(Protocol):
    """The journal whose room is given back."""

    ledger: Ledger

    @property
    def all_safe(self) -> bool:
        """Whether everything that was written is safe."""

    def on_compacted(self, work: Compaction) -> None:
        """Learn that a replacement is in force."""

    def on_unsafe_copy(self, error: OSError) -> None:
        """Learn that a replacement, which is in force, may not be safe."""


class _Gone:
    """What stands for a journal that was removed."""

    all_safe = False

    def __init__(self) -> None:
        self.ledger = Ledger()

    def on_compacted(self, work: Compaction) -> None:
        """Tell nobody."""

    def on_unsafe_copy(self, error: OSError) -> None:
        """Tell nobody."""


class Reclaiming:
    """The segments of one journal that are about to be removed or compacted."""

    def __init__(
        self,
        place: Place,
        chores: Chores,
        reserve: SomeReserve,
        segment_size: int,
        owner: ReclaimingOwner,
        hold: Hold,
    ) -> None:
        """``hold`` tells whether segments may be replaced."""
        self._hold = hold
        self._path = place.directory
        self._chores = chores
        self._reserve = reserve
        self._owner = owner
        self._place = place
        self._segment_size = segment_size
        self._compactor: Compactor | None = None
        """Made when there is more than one segment; most journals never need it."""
        self._dying: list[Segment] = []
        self.chosen = False
        """Whether anything was chosen that has not begun."""
        self.compactions = 0
        """Times that segments were replaced by what was live in them."""

    @property
    def size(self) -> int:
        """Bytes of the segments that the ledger has dropped and that are not removed yet."""
        return sum(each.size for each in self._dying)

    def choose(self, ledger: Ledger) -> None:
        """Choose what can be removed and compacted, by the removals written up to now."""
        self._choose_dead(ledger)
        # While a snapshot is taken, a copy that leaves out what died since must not come between.
        # On a full disk, copies must not take the room that removals need.
        if len(ledger.segments) > 1 and not self._hold.held:
            if self._compactor is None:
                self._compactor = Compactor(
                    self._place, self._chores, self._segment_size, self._compacted
                )
            self._compactor.choose(ledger, SMALL if self._reserve.short else None)
        compacts = self._compactor is not None and self._compactor.chosen
        self.chosen = bool(self._dying) or compacts

    def begin_chosen(self) -> None:
        """Begin to remove and compact what was chosen: the removals it was chosen by are safe."""
        self.chosen = False
        self._remove_dying()
        if self._compactor is not None:
            self._compactor.begin_copy()

    def stop(self) -> None:
        """Give up the compaction under way at its next piece: the journal is broken."""
        if self._compactor is not None:
            self._compactor.stopped = True

    def start_over(self) -> None:
        """Drop what was chosen. Nothing but a healing may be under way on the files."""
        self.chosen = False
        self._dying.clear()
        if self._compactor is not None:
            self._compactor.give_up()
            self._compactor.stopped = False

    def let_go(self) -> None:
        """Refer to the journal no more: it was removed, and nothing is under way."""
        self._owner = _Gone()
        if self._compactor is not None:
            self._compactor.let_go()

    def _choose_dead(self, ledger: Ledger) -> None:
        if ledger.has_dead:
            copied = () if self._compactor is None else self._compactor.segments
            self._dying += ledger.take_dead(copied)

    def _remove_dying(self) -> None:
        dying, self._dying = self._dying, []
        self._chores.remove([each.path for each in dying])

    def _compacted(self, work: Compaction) -> None:
        """Take the outcome of a compaction, and remove what died while its segments were copied."""
        self._replace(work)
        if self._owner.all_safe:
            self._choose_dead(self._owner.ledger)
            self._remove_dying()

    def _replace(self, work: Compaction) -> None:
        ledger = self._owner.ledger
        ledger.has_dead = True
        if work.error is not None:
            log.error("%s: cannot copy items forward: %s", self._path, work.error)
        replacement = work.replacement
        if replacement is None:
            return
        if not ledger.replace({each.number for each in work.segments}, replacement):
            self._chores.remove([replacement.path])
            return
        self.compactions += 1
        self._owner.on_compacted(work)
        if work.error is None:
            self._chores.remove([each.path for each in work.segments[:-1]])
        elif isinstance(work.error, OSError):
            # The copy is in force, but a power cut may still bring back what it replaced. Until it
            # is safe no segment may be begun, as its checkpoint would know of the copy alone. So
            # the journal is healed first.
            self._owner.on_unsafe_copy(work.error)
