"""Reading back: builds each piece of reading, from the ledger of the moment in which it begins.

A reading waits for its turn among the other work on the journal's files. Where to read, and which
segments there are, is asked only when it begins: until then segments may have been replaced or
removed. Segments that were given up as unreadable are passed over.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from starling_py.journal.blocks import Position, Reading
from starling_py.journal.disk.background import Chores, Work
from starling_py.journal.format.segment import DAMAGED_SUFFIX, Segment
from starling_py.journal.ledger import Ledger
from starling_py.journal.syncing import Place

log = logging.getLogger(__name__)

_AT_ONCE = 3
"""Segments that one piece of reading may look at: it ends in the first one that has anything."""

Where = Callable[[], tuple[int, Position | None, int, int]]
"""Called when a reading begins. Returns an epoch, which is given back with the reading, so that the
queue can tell whether it still wants it; the position to read from, ``None`` for the segment of the
first item that is wanted; the id before that item's; and the bytes of memory there is room for."""

_NONE: Final[frozenset[int]] = frozenset()


class Reader:
    """Reads items of one journal back, from the segments that can be read."""

    def __init__(self, place: Place, chores: Chores) -> None:
        self._place = place
        self._chores = chores
        self._unreadable = _NONE

    def read(
        self, ledger: Callable[[], Ledger], where: Where, done: Callable[[int, Reading], None]
    ) -> None:
        """Begin a piece of reading when its turn comes; ``done`` is called in the tick afterwards.

        ``ledger`` returns the journal's ledger of that moment; ``done`` gets the epoch and the
        reading.
        """

        def make() -> tuple[Work, Callable[[], None]]:
            epoch, position, after_id, room = where()
            reading = self._reading(ledger(), position, after_id, room)
            return reading, lambda: done(epoch, reading)

        self._chores.submit(make)

    def give_up(self, damaged: Segment) -> None:
        """Never read ``damaged`` again. Give it a second name, under which the file is kept.

        The file is removed under its own name once its items are given up; the operator may still
        want it. If the second name cannot be made, that is logged.
        """
        self._unreadable |= {damaged.number}
        try:
            self._place.files.link(damaged.path, damaged.path + DAMAGED_SUFFIX)
        except FileExistsError:
            return
        except OSError as error:
            log.warning("%s: cannot be kept aside: %s", damaged.path, error)

    def take_back(self) -> None:
        """Read again what was given up: the record that gave it up could not be written."""
        self._unreadable = _NONE

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
        place, removed = self._place, ledger.removed_ids.copy()
        return Reading(place.files, place.salt, segments, position, behind, removed, room, complete)
