"""Where lists of one queue's items have read on disk, so that the next one need not search.

A segment has no index: to find an item, all before it are read. Who lists a queue page by page, or
looks at one item after another, goes on near the place where the last one ended. A bookmark is only
a hint of where to begin, and holds until segments are compacted.
"""

from typing import Final

from starling_py.journal.blocks import Position

_KEPT: Final = 8
"""Bookmarks of one queue: a page ends between two, and there may be several who list it."""


class Bookmarks:
    """The places in the journal of one queue."""

    def __init__(self) -> None:
        self._places: list[tuple[int, Position]] = []  # empty, it takes little: there are many
        self._compactions = 0

    def add(self, item_id: int, position: Position, compactions: int) -> None:
        """Note that the item with an id stands right before a position.

        ``compactions`` is how often segments had been compacted when it was read.
        """
        self._hold(compactions)
        self._places.append((item_id, position))
        del self._places[:-_KEPT]

    def before(self, item_id: int, compactions: int) -> Position | None:
        """Return the last noted position behind which all higher ids stand; ``None`` without one.

        ``compactions`` is how often segments have been compacted by now.
        """
        self._hold(compactions)
        found = [each for each in self._places if each[0] <= item_id]
        return max(found)[1] if found else None

    def _hold(self, compactions: int) -> None:
        if compactions != self._compactions:
            self._places.clear()
            self._compactions = compactions
