"""Reading back: which segments one piece of reading looks at, by the ledger of that moment.

A reading waits for its turn among the other work on the journal's files. What segments there are
is only asked when it begins: they may have been copied or removed in the meantime.
"""

import logging
from collections.abc import Callable
from dataclasses import replace

from starling_py.journal.blocks import Position, Reading
from starling_py.journal.disk.background import Chores, Work
from starling_py.journal.format.segment import DAMAGED_SUFFIX, Segment
from starling_py.journal.ledger import Ledger
from starling_py.journal.syncing import Place

log = logging.getLogger(__name__)

_AT_ONCE = 3
"""Segments that one piece of reading may look at: it ends in the first one that has anything."""

Where = Callable[[], tuple[int, Position | None, int, int]]
"""Tells where to read when a reading begins: a mark that is handed back with it; a position, or
``None`` if it is to be looked for; the id of the item before the first one that is wanted; and
how many bytes there is room for."""


class Reader:
    """What is read back of one journal, and what is not."""

    def __init__(self, place: Place, chores: Chores) -> None:
        self._place = place
        self._chores = chores
        self._unreadable: set[int] = set()

    def read(
        self, ledger: Callable[[], Ledger], where: Where, done: Callable[[int, Reading], None]
    ) -> None:
        """Begin to read items; ``done`` is called with the mark when that is over."""

        def make() -> tuple[Work, Callable[[], None]]:
            mark, position, after_id, room = where()
            reading = self._reading(ledger(), position, after_id, room)
            return reading, lambda: done(mark, reading)

        self._chores.submit(make)

    def give_up(self, damaged: Segment) -> None:
        """Read a segment no more, and give it a second name, so that it outlasts its items."""
        self._unreadable.add(damaged.number)
        try:
            self._place.files.link(damaged.path, damaged.path + DAMAGED_SUFFIX)
        except FileExistsError:
            return
        except OSError as error:
            log.warning("%s: cannot be kept aside: %s", damaged.path, error)

    def take_back(self) -> None:
        """Read again what was given up: that could not be written."""
        self._unreadable.clear()

    def _reading(
        self, ledger: Ledger, position: Position | None, after_id: int, room: int
    ) -> Reading:
        behind = max(after_id, ledger.head - 1)
        if not ledger.segments:
            position = (1, 0)
        elif position is None or ledger.segment(position[0]) is None:
            position = (ledger.segment_of(behind + 1).number, 0)
        index = ledger.index(position[0])
        segments = [
            replace(each)
            for each in ledger.segments[index : index + _AT_ONCE]
            if each.number not in self._unreadable
        ]
        complete = index + _AT_ONCE >= len(ledger.segments)
        place, gone = self._place, ledger.removed_ids.copy()
        return Reading(place.files, place.salt, segments, position, behind, gone, room, complete)
