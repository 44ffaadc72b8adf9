"""Room on the disk given back: dead segments are removed, wasteful ones are copied forward.

Both are decided by the removals up to now, and done when those are safe: a power cut must not
bring items back to a journal that has lost them.
"""

import logging
from collections.abc import Callable

from starling_py.journal.compaction import Compaction, Compactor
from starling_py.journal.disk.background import Chores
from starling_py.journal.disk.reserve import SomeReserve
from starling_py.journal.format.segment import Segment
from starling_py.journal.ledger import Ledger
from starling_py.journal.segment_writer import SMALL
from starling_py.journal.syncing import Place

log = logging.getLogger(__name__)


class Reclaiming:
    """The segments of one journal that are on their way out."""

    def __init__(
        self,
        place: Place,
        chores: Chores,
        reserve: SomeReserve,
        segment_size: int,
        ledger: Callable[[], Ledger],
        moved: Callable[[Compaction], None],
        broke: Callable[[OSError], None],
        all_safe: Callable[[], bool],
    ) -> None:
        """Hear by ``moved`` of replacements, and by ``broke`` of one that may not be safe.

        ``all_safe`` tells whether everything that was written is safe.
        """
        self._path = place.directory
        self._chores = chores
        self._reserve = reserve
        self._ledger = ledger
        self._moved = moved
        self._broke = broke
        self._all_safe = all_safe
        self._compactor = Compactor(place, chores, segment_size, self._compacted)
        self._dying: list[Segment] = []
        self.chosen = False
        """Whether anything was decided on and is yet to be begun."""
        self.compactions = 0
        """Times that segments were replaced by what was live in them."""

    @property
    def size(self) -> int:
        """Bytes of the segments that the ledger has let go and that are still there."""
        return sum(each.size for each in self._dying)

    def choose(self, ledger: Ledger) -> None:
        """Decide on what can go, by the removals up to now."""
        self._choose_dead(ledger)
        # On a full disk, copies must not take the room that removals need.
        self._compactor.choose(ledger, SMALL if self._reserve.short else None)
        self.chosen = bool(self._dying) or self._compactor.chosen

    def begin(self) -> None:
        """Begin with what was decided on: the removals that decided it are safe."""
        self.chosen = False
        self._remove_dying()
        self._compactor.begin_copy()

    def stop(self) -> None:
        """Begin with nothing more: the journal is broken."""
        self._compactor.stopped = True

    def start_over(self) -> None:
        """Forget what was decided on; to be called when nothing is done on the files."""
        self.chosen = False
        self._dying.clear()
        self._compactor.give_up()
        self._compactor.stopped = False

    def _choose_dead(self, ledger: Ledger) -> None:
        if ledger.has_dead:
            self._dying += ledger.take_dead(self._compactor.segments)

    def _remove_dying(self) -> None:
        dying, self._dying = self._dying, []
        self._chores.remove([each.path for each in dying])

    def _compacted(self, work: Compaction) -> None:
        """Take the outcome of copying forward, and remove what could not go meanwhile."""
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
        self._moved(work)
        if work.error is None:
            self._chores.remove([each.path for each in work.segments[:-1]])
        elif isinstance(work.error, OSError):
            # No segment may be begun that builds on the replacement before that is safe.
            self._broke(work.error)
