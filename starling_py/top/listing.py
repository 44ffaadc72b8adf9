"""The first screen's queues: which are shown, in which order, and which one is chosen.

Invariants: the cursor stays on its queue however the table is sorted and filtered, so that no
action meets another one; the chosen row is in the window.
"""

from attrs import evolve

from starling_py.top import cells, list_screen, wrong
from starling_py.top.cells import Line
from starling_py.top.course import History
from starling_py.top.list_screen import Listed
from starling_py.top.moving import MOVES
from starling_py.top.rows import COLUMNS, Column, Row, Table, fit_columns, matching, sort_rows
from starling_py.top.snapshot import Snapshot

_MARKED_EVERY = 10
"""Looks after which the marks of a queue are worked out anew though it has not changed."""


class Listing:
    """The rows of all queues."""

    def __init__(self, history: History, sort: Column, reverse: bool) -> None:
        self.sort = sort
        self.reverse = reverse
        self.pattern = ""
        self.rows: list[Row] = []
        """Those that match the pattern, in order."""
        self._history = history
        self._all: list[Row] = []
        self._table: Table | None = None
        self._seen: dict[bytes, tuple[Row, Row]] = {}
        """Of each queue its row as it was, and with its marks."""
        self._looks = 0
        self._longest_name = 0
        self._cursor: bytes | None = None
        """The chosen queue; None for the first one, whichever that is."""
        self._place = 0
        self._top = 0

    @property
    def of(self) -> int:
        """How many queues there are, shown or not."""
        return 0 if self._table is None else len(self._table.rows)

    @property
    def chosen(self) -> bytes | None:
        """The queue under the cursor."""
        return self.rows[self._place].key if self.rows else None

    def show(self, snapshot: Snapshot, table: Table) -> None:
        """Take what was told."""
        if table is not self._table:
            self._table, self._all = table, self._marked(snapshot, table)
        self._arrange()

    def filter(self, pattern: str) -> None:
        """Show only those whose names have a part, or that have this mark."""
        self.pattern = pattern
        self._arrange()

    def pick(self, column: Column) -> None:
        """Sort by ``column``; if the rows are in that order already, reverse it."""
        self.order_by(column, column is self.sort and not self.reverse)

    def order_by(self, column: Column, reverse: bool) -> None:
        """Sort by ``column``."""
        self.sort, self.reverse = column, reverse
        self._arrange()

    def turn(self) -> None:
        """Sort the other way round."""
        self.order_by(self.sort, not self.reverse)

    def step(self, steps: int) -> None:
        """Sort by a column beside the one of now."""
        place = COLUMNS.index(self.sort) + steps
        self.order_by(COLUMNS[place % len(COLUMNS)], False)

    def move(self, key: str, room: int) -> None:
        """Move the cursor; ``room`` is how many rows the window has."""
        self._choose(MOVES[key](self._place, room, len(self.rows)))

    def click(self, line: int) -> None:
        """Choose the row of a line of the window."""
        self._choose(self._top + line)

    def column_at(self, cell: int, width: int) -> Column | None:
        """Return the column that a cell of the headings belongs to."""
        end = 0
        for column, room in fit_columns(width, self.sort, self._longest_name):
            end += room + 1
            if cell < end:
                return column
        return None

    def listed(self, now: float) -> Listed:
        """Return what is to be drawn."""
        return Listed(
            self.rows,
            self.of,
            self._top,
            self._place,
            self.sort,
            self.reverse,
            self._longest_name,
            now,
        )

    def lines(self, width: int, room: int, now: float) -> list[Line]:
        """Return ``room`` lines of rows, and one of their totals."""
        self._top = max(0, min(self._top, len(self.rows) - room))
        self._top = min(max(self._top, self._place - room + 1), self._place)
        listed = self.listed(now)
        found = list_screen.row_lines(listed, width, room)
        empty: Line = [("", " " * width)]
        found += [empty] * (room - len(found))
        return [*found, list_screen.total_line(listed, width)]

    def _choose(self, place: int) -> None:
        self._place = max(0, min(place, len(self.rows) - 1))
        self._cursor = self.chosen

    def _arrange(self) -> None:
        """Filter and sort anew; the cursor stays on its queue."""
        if self._table is None:
            return
        self.rows = sort_rows(matching(self._all, self.pattern), self.sort, self.reverse)
        self._longest_name = max((cells.name_width(row.name) for row in self.rows), default=0)
        if self._cursor is not None:
            places = (at for at, row in enumerate(self.rows) if row.key == self._cursor)
            self._place = next(places, self._place)
        self._place = max(0, min(self._place, len(self.rows) - 1))

    def _marked(self, snapshot: Snapshot, table: Table) -> list[Row]:
        """Return all rows with their marks.

        Those of a queue are worked out when it has changed, and now and then, as time alone makes
        some: of ten thousand queues a tenth in each look.
        """
        seen, self._seen = self._seen, {}
        self._looks += 1
        rows = []
        for place, (name, row) in enumerate(table.rows.items(), self._looks):
            known = seen.get(name)
            if known is None or known[0] is not row or not place % _MARKED_EVERY:
                marks = wrong.marks(name, snapshot, self._history)
                known = (row, evolve(row, marks=marks) if marks else row)
            self._seen[name] = known
            rows.append(known[1])
        return rows
