"""The visit to one queue: what was told of it, which of its items is chosen, and what can be done.

Invariant: an action is about the item that is under the cursor when its question is asked.
"""

from attrs import evolve

from starling_py.top import dialogs, queue_screen
from starling_py.top.cells import Line
from starling_py.top.course import Course, History
from starling_py.top.detail import Detail, Item
from starling_py.top.dialogs import Dialog
from starling_py.top.moving import MOVES
from starling_py.top.rows import Row

_RATE_SECONDS = 60.0


class Visit:
    """One queue that is looked at."""

    def __init__(self, queue: bytes) -> None:
        self.queue = queue
        self.detail: Detail | None = None
        """What was told of it last."""
        self._entry = 0
        self._top = 0

    def move(self, key: str, width: int, page: int) -> None:
        """Move the cursor; the window is ``width`` cells wide, and has ``page`` entries."""
        found = queue_screen.entries(self.detail, width)
        self._choose(MOVES[key](self._entry, page, len(found)), len(found))

    def act(self, key: str, width: int) -> Dialog | str:
        """Return the question about the chosen item for a key (``d`` or ``b``), or why none."""
        found = queue_screen.entries(self.detail, width)
        item = found[self._entry].item if self._entry < len(found) else None
        if item is None or self.detail is None:
            return "choose an item first, with up and down"
        return self._bury(item, self.detail) if key == "b" else self._drop(item)

    def lines(
        self, row: Row, marks: tuple[str, ...], history: History, now: float, size: tuple[int, int]
    ) -> list[Line]:
        """Return its screen; ``size`` is the width, and how many lines there are."""
        width, height = size
        course = history.course(self.queue, now, queue_screen.pieces(width))
        drain = self._drain(row, history.course(self.queue, now, 1, _RATE_SECONDS))
        upper = queue_screen.upper_lines(evolve(row.at(now), marks=marks), course, drain, width)
        found = queue_screen.entries(self.detail, width)
        room = max(1, height - len(upper))
        self._choose(self._entry, len(found))
        self._top = max(0, min(self._top, len(found) - room))
        self._top = min(max(self._top, self._entry - room + 1), self._entry)
        lower = []
        for place, entry in enumerate(found[self._top : self._top + room], self._top):
            line = entry.line
            if place == self._entry:
                line = [("cursor", "".join(text for _, text in line))]
            lower.append(line)
        return [*upper, *lower]

    @staticmethod
    def _drain(row: Row, minute: Course) -> str:
        put, take = minute.puts[0], minute.takes[0]
        if put is None or take is None:
            put, take = row.put_rate, row.get_rate
        return queue_screen.drain_time(row, put, take)

    def _choose(self, entry: int, of: int) -> None:
        self._entry = max(0, min(entry, of - 1))

    def _drop(self, item: Item) -> Dialog | str:
        if item.state not in ("waiting", "delayed"):
            return f"item {item.id} is {item.state}: only what waits can be removed"
        return dialogs.drop(self.queue, item.id)

    def _bury(self, item: Item, detail: Detail) -> Dialog | str:
        waiting = [each.id for each in detail.items if each.state == "waiting"]
        is_open = item.state == "open"
        holder = detail.holders.get(item.id)
        if not detail.dead_letter:
            return "the queue has no dead_letter"
        if is_open and (holder is None or holder.lease is None):
            return "open without a lease: only its holder can bury it"
        if not is_open and waiting[:1] != [item.id]:
            return "of those that wait, only the oldest can be buried"
        return dialogs.bury(self.queue, item.id, detail.dead_letter, is_open=is_open)
