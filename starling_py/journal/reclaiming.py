"""Room on the disk given back: dead segments are removed, wasteful ones are compacted.

Both are chosen by the removals written up to some moment, and begun when those are safe. Else a
power cut could take the removals and leave the queue without the items that are then live again.
"""

import logging
from collections.abc import Callable

from starling_py.journal.compaction import Compaction, Compactor
from starling_py.journal.disk.background import Chores, Hold
from starling_py.journal.disk.reserve import SomeReserve
from starling_py.journal.format.segment import Segment
from starling_py.journal.ledger import Ledger
from starling_py.journal.segment_writer import SMALL
from starling_py.journal.syncing import Place

log = logging.getLogger(__name__)


def _tell_nobody(what: object) -> None:
    """Tell nobody: the journal was removed."""


def _never() -> bool:
    return False


class Reclaiming:
    """The segments of one journal that are about to be removed or compacted."""

    def __init__(
        self,
        place: Place,
        chores: Chores,
        reserve: SomeReserve,
        segment_size: int,
        ledger: Callable[[], Ledger],
        on_compacted: Callable[[Compaction], None],
        broke: Callable[[OSError], None],
        all_safe: Callable[[], bool],
        hold: Hold,
    ) -> None:
        """``on_compacted`` is called when a replacement is in force.

        ``broke`` is called when it may not be safe. ``all_safe`` tells whether everything that was
        written is safe. ``hold`` tells whether segments may be replaced.
        """
        self._hold = hold
        self._path = place.directory
        self._chores = chores
        self._reserve = reserve
        self._ledger = ledger
        self._on_compacted = on_compacted
        self._broke = broke
        self._all_safe = all_safe
        self._compactor = Compactor(place, chores, segment_size, self._compacted)
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
        if not self._hold.held:
            self._compactor.choose(ledger, SMALL if self._reserve.short else None)
        self.chosen = bool(self._dying) or self._compactor.chosen

    def begin_chosen(self) -> None:
        """Begin to remove and compact what was chosen: the removals it was chosen by are safe."""
        self.chosen = False
        self._remove_dying()
        self._compactor.begin_copy()

    def stop(self) -> None:
        """Give up the compaction under way at its next piece: the journal is broken."""
        self._compactor.stopped = True

    def start_over(self) -> None:
        """Drop what was chosen. Nothing but a healing may be under way on the files."""
        self.chosen = False
        self._dying.clear()
        self._compactor.give_up()
        self._compactor.stopped = False

    def let_go(self) -> None:
        """Refer to the journal no more: it was removed, and nothing is under way."""
        empty = Ledger()
        self._ledger = lambda: empty
        self._on_compacted = self._broke = _tell_nobody
        self._all_safe = _never
        self._compactor.let_go()

    def _choose_dead(self, ledger: Ledger) -> None:
        if ledger.has_dead:
            self._dying += ledger.take_dead(self._compactor.segments)

    def _remove_dying(self) -> None:
        dying, self._dying = self._dying, []
        self._chores.remove([each.path for each in dying])

    def _compacted(self, work: Compaction) -> None:
        """Take the outcome of a compaction, and remove what died while its segments were copied."""
        self._replace(work)
        if self._all_safe():
            self._choose_dead(self._ledger())
            self._remove_dying()

    def _replace(self, work: Compaction) -> None:
        ledger = self._ledger()
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
        self._on_compacted(work)
        if work.error is None:
            self._chores.remove([each.path for each in work.segments[:-1]])
        elif isinstance(work.error, OSError):
            # The copy is in force, but a power cut may still bring back what it replaced. Until it
            # is safe no segment may be begun, as its checkpoint would know of the copy alone. So
            # the journal is healed first.
            self._broke(work.error)
