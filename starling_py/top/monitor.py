"""The state of the live screen: what was told, what is chosen, and what a key does to it.

Pure: replies, keys and times go in; lines come out, and now and then a command for the server,
after a dialog. Invariants: any window size gives exactly that many lines of that width; the cursor
stays on its queue however the table is sorted, so that no action meets another one; while the
server cannot be reached the last values stay, under a banner that says since when.
"""

from collections.abc import Callable

from attrs import evolve

from starling_py.top import cells, dialogs, help_screen, list_screen, queue_screen, wrong
from starling_py.top.cells import Line
from starling_py.top.course import History
from starling_py.top.detail import Detail, Item
from starling_py.top.dialogs import Asked, Dialog
from starling_py.top.formats import printable
from starling_py.top.list_screen import Listed
from starling_py.top.rows import (
    COLUMNS,
    Column,
    Row,
    Table,
    fit_columns,
    make_table,
    matching,
    sort_rows,
)
from starling_py.top.snapshot import Snapshot

_RATE_SECONDS = 60.0
_MARKED_EVERY = 10
"""Looks after which the marks of a queue are worked out anew though it has not changed."""


class Monitor:
    """What the user looks at."""

    def __init__(self, address: str, sort: Column = COLUMNS[2], reverse: bool = False) -> None:
        """``address`` is shown; ``sort`` and ``reverse`` are the order to begin with."""
        self.sort = sort
        self.reverse = reverse
        self.pattern = ""
        self.quits = False
        self.command: bytes | None = None
        """What the server is to do; who takes it sets it to None."""
        self.looked_at: bytes | None = None
        """The queue that is looked at in depth; None on the first screen."""
        self.detail: Detail | None = None
        self._address = address
        self._snapshot: Snapshot | None = None
        self._table: Table | None = None
        self._history = History()
        self._rows: list[Row] = []
        self._all: list[Row] = []
        self._marked_table: Table | None = None
        self._seen: dict[bytes, tuple[Row, Row]] = {}
        """Of each queue its row as it was, and with its marks."""
        self._looks = 0
        self._longest_name = 0
        self._now = 0.0
        self._restarted_at: str | None = None
        self._down: str | None = None
        self._message = ""
        self._editing = False
        self._helps = False
        self._help_top = 0
        self._dialog: Dialog | None = None
        self._cursor: bytes | None = None
        """The chosen queue; None for the first one, whichever that is."""
        self._place = 0
        self._top = 0
        self._entry = 0
        self._entry_top = 0
        self._height = 20
        self._width = 80

    @property
    def token(self) -> bytes:
        """What to ask with for the changes since; empty for everything."""
        return b"" if self._snapshot is None else self._snapshot.token

    @property
    def snapshot(self) -> Snapshot | None:
        """What was told last."""
        return self._snapshot

    # What is told.

    def show(self, snapshot: Snapshot, now: str) -> None:
        """Show what the server told at the time of day ``now``, such as ``12:03:04``."""
        before = self._snapshot
        table = make_table(before, snapshot, self._table)
        if table.restarted:
            self._restarted_at = now
            self._history.forget()
        known = {} if before is None or table.restarted else before.queues
        self._history.note(known, snapshot.queues, snapshot.taken)
        self._snapshot, self._table, self._now = snapshot, table, snapshot.taken
        self._down = None
        self._arrange()

    def show_detail(self, detail: Detail) -> None:
        """Show what was told of one queue, if it is still looked at."""
        if detail.queue == self.looked_at:
            self.detail = detail

    def show_error(self, reason: str, now: str) -> None:
        """Say that the server could not be reached, since ``now`` or the first failure in a row."""
        since = now if self._down is None else self._down.split(": ")[0].removeprefix("DOWN since ")
        self._down = f"DOWN since {since}: {reason}; trying again"

    def show_message(self, text: str) -> None:
        """Show what the server answered to a command, until the next key."""
        self._message = text

    # Keys.

    def press(self, key: str) -> bool:
        """Take a key; return whether it means anything here."""
        self._message = ""
        if self._dialog is not None:
            self._press_dialog(self._dialog, key)
            return True
        if self._editing:
            return self._press_filter(key)
        if self._helps:
            return self._press_help(key)
        if key == "?":
            self._helps, self._help_top = True, 0
            return True
        if self.looked_at is not None:
            return self._press_queue(key)
        return self._press_list(key)

    def click(self, column: int, line: int) -> None:
        """Take a click: on a heading it sorts, on a row it chooses."""
        heads = self._head_lines()
        if self._dialog is not None or self._helps or self.looked_at is not None:
            return
        if line == len(heads) - 1:
            end = 0
            for each, width in fit_columns(self._width, self.sort, self._longest_name):
                end += width + 1
                if column < end:
                    self.pick(each)
                    return
        elif len(heads) <= line < self._height - 2:
            self._choose(self._top + line - len(heads))

    def pick(self, column: Column) -> None:
        """Sort by ``column``; if the rows are in that order already, reverse it."""
        self._order_by(column, column is self.sort and not self.reverse)

    def _press_dialog(self, dialog: Dialog, key: str) -> None:
        dialog.press(key)
        if dialog.done:
            self._dialog = dialog.next if isinstance(dialog, Asked) else None
            self.command = dialog.command
            if dialog.command is None and self._dialog is None:
                self._message = "nothing was changed"

    def _press_filter(self, key: str) -> bool:
        if key == "enter":
            self._editing = False
        elif key == "esc":
            self._editing, self.pattern = False, ""
        elif key == "backspace":
            self.pattern = self.pattern[:-1]
        elif len(key) == 1 and key.isprintable():
            self.pattern += key
        elif key in _MOVES:
            self._editing = False
            return self._press_list(key)
        else:
            return False
        self._arrange()
        return True

    def _press_help(self, key: str) -> bool:
        last = max(0, help_screen.length() - self._height + 1)
        if key in ("down", "page down"):
            self._help_top = min(last, self._help_top + (1 if key == "down" else self._height))
        elif key in ("up", "page up"):
            self._help_top = max(0, self._help_top - (1 if key == "up" else self._height))
        else:
            self._helps = False
        return True

    def _press_list(self, key: str) -> bool:
        place = COLUMNS.index(self.sort)
        if key in ("q", "Q"):
            self.quits = True
        elif key == "<":
            self._order_by(COLUMNS[place - 1], False)
        elif key == ">":
            self._order_by(COLUMNS[(place + 1) % len(COLUMNS)], False)
        elif key in ("r", "R"):
            self._order_by(self.sort, not self.reverse)
        elif key.isascii() and key.isdecimal() and 1 <= int(key) <= len(COLUMNS):
            self.pick(COLUMNS[int(key) - 1])
        elif key == "/":
            self._editing = True
        elif key == "esc" and self.pattern:
            self.pattern = ""
            self._arrange()
        elif key in _MOVES:
            self._choose(_MOVES[key](self._place, self._room(), len(self._rows)))
        elif key == "enter":
            self._look_at()
        else:
            return self._press_action(key)
        return True

    def _press_queue(self, key: str) -> bool:
        if key in ("esc", "q", "Q", "backspace", "left"):
            self.looked_at = self.detail = None
        elif key in _MOVES:
            found = queue_screen.entries(self.detail, self._width)
            self._entry = _MOVES[key](self._entry, self._height - 10, len(found))
            self._entry = max(0, min(self._entry, len(found) - 1))
        elif key in ("d", "b"):
            return self._press_item(key)
        else:
            return self._press_action(key)
        return True

    def _press_action(self, key: str) -> bool:
        """Begin a dialog about the chosen queue."""
        queue = self.looked_at if self.looked_at is not None else self._chosen()
        known = self._snapshot.queues.get(queue) if self._snapshot and queue is not None else None
        if queue is None or known is None:
            return False
        if key == "p":
            self._dialog = dialogs.pause(queue, paused=known.is_paused)
        elif key == "m":
            self._dialog = dialogs.move(queue)
        elif key == "o":
            self._dialog = dialogs.send_back(queue)
        elif key == "F":
            self._dialog = dialogs.flush(queue, known.items)
        elif key == "D":
            self._dialog = dialogs.delete(queue, known.items + (known.open or 0))
        else:
            return False
        return True

    def _press_item(self, key: str) -> bool:
        """Begin a dialog about the chosen item."""
        item, detail = self._item(), self.detail
        if item is None or detail is None or self.looked_at is None:
            self._message = "choose an item first, with up and down"
            return True
        if key == "d":
            if item.state not in ("waiting", "delayed"):
                self._message = f"item {item.id} is {item.state}: only what waits can be removed"
            else:
                self._dialog = dialogs.drop(self.looked_at, item.id)
            return True
        waiting = [each.id for each in detail.items if each.state == "waiting"]
        is_open = item.state == "open"
        holder = detail.holders.get(item.id)
        if not detail.dead_letter:
            self._message = "the queue has no dead_letter"
        elif is_open and (holder is None or holder.lease is None):
            self._message = "open without a lease: only its holder can bury it"
        elif not is_open and waiting[:1] != [item.id]:
            self._message = "of those that wait, only the oldest can be buried"
        else:
            queue = self.looked_at
            self._dialog = dialogs.bury(queue, item.id, detail.dead_letter, is_open=is_open)
        return True

    def _look_at(self) -> None:
        self.looked_at = self._chosen()
        self.detail = None
        self._entry = self._entry_top = 0

    def _chosen(self) -> bytes | None:
        return self._rows[self._place].key if self._rows else None

    def _item(self) -> Item | None:
        found = queue_screen.entries(self.detail, self._width)
        return found[self._entry].item if self._entry < len(found) else None

    def _choose(self, place: int) -> None:
        self._place = max(0, min(place, len(self._rows) - 1))
        self._cursor = self._chosen()

    def _order_by(self, column: Column, reverse: bool) -> None:
        self.sort, self.reverse = column, reverse
        self._arrange()

    def _arrange(self) -> None:
        """Filter and sort anew; the cursor stays on its queue."""
        snapshot, table = self._snapshot, self._table
        if snapshot is None or table is None:
            return
        if table is not self._marked_table:
            self._marked_table, self._all = table, self._marked(snapshot, table)
        rows = matching(self._all, self.pattern)
        self._rows = sort_rows(rows, self.sort, self.reverse)
        self._longest_name = max((cells.name_width(row.name) for row in rows), default=0)
        if self._cursor is not None:
            places = (at for at, row in enumerate(self._rows) if row.key == self._cursor)
            self._place = next(places, self._place)
        self._place = max(0, min(self._place, len(self._rows) - 1))

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
                known = (row, _marked(row, marks) if marks else row)
            self._seen[name] = known
            rows.append(known[1])
        return rows

    # Lines.

    def lines(self, width: int, height: int) -> list[Line]:
        """Return the whole window."""
        self._width, self._height = width, height
        if self._helps:
            found = help_screen.lines(width, height - 1, self._help_top)
            last = list_screen.keys_line(["any key: back", "up down scroll"], width)
        elif self.looked_at is not None:
            found = self._queue_lines(self.looked_at)
            last = list_screen.keys_line(queue_screen.KEYS, width)
        else:
            found = self._list_lines()
            last = list_screen.keys_line(list_screen.KEYS, width)
        if self._dialog is not None:
            last = self._dialog.line(width)
        elif self._message:
            last = [("ask", cells.begin(cells.cut(" " + self._message, width), width))]
        empty: Line = [("", " " * width)]
        found = found[: height - 1]
        return [*found, *[empty] * (height - 1 - len(found)), last][-height:]

    def _room(self) -> int:
        """How many rows the table has in the window."""
        return max(1, self._height - len(self._head_lines()) - 2)

    def _server_lines(self) -> list[Line]:
        snapshot, width = self._snapshot, self._width
        if snapshot is None or self._table is None:
            found = [[("title", cells.begin(f" {self._address}", width))], [("", " " * width)]]
        else:
            server = (self._address, snapshot, self._restarted_at, snapshot.left, width)
            found = [
                list_screen.server_line(*server),
                list_screen.traffic_line(snapshot, self._table, width),
            ]
        alerts = [] if snapshot is None else wrong.alerts(snapshot)
        banner = self._down or "   ".join(alerts)
        if banner:
            found.append([("banner", cells.begin(cells.cut(" " + banner, width), width))])
        return found

    def _head_lines(self) -> list[Line]:
        found = self._server_lines()
        if self.pattern or self._editing:
            of = len(self._table.rows) if self._table else 0
            found.append(
                list_screen.filter_line(
                    self.pattern, len(self._rows), of, self._width, editing=self._editing
                )
            )
        return [*found, list_screen.head_line(self._listed(), self._width)]

    def _listed(self) -> Listed:
        of = len(self._table.rows) if self._table else 0
        return Listed(
            self._rows,
            of,
            self._top,
            self._place,
            self.sort,
            self.reverse,
            self._longest_name,
            self._now,
        )

    def _list_lines(self) -> list[Line]:
        room = self._room()
        self._top = max(0, min(self._top, len(self._rows) - room))
        self._top = min(max(self._top, self._place - room + 1), self._place)
        listed = self._listed()
        rows = list_screen.row_lines(listed, self._width, room)
        empty: Line = [("", " " * self._width)]
        rows += [empty] * (room - len(rows))
        return [*self._head_lines(), *rows, list_screen.total_line(listed, self._width)]

    def _queue_lines(self, queue: bytes) -> list[Line]:
        width = self._width
        row = self._table.rows.get(queue) if self._table else None
        if row is None or self._snapshot is None:
            gone = f" {printable(queue)} does not exist any more"
            return [*self._server_lines(), queue_screen.padded([("broken", gone)], width)]
        marks = wrong.marks(queue, self._snapshot, self._history)
        row = _marked(row.at(self._now), marks)
        course = self._history.course(queue, self._now, queue_screen.pieces(width))
        minute = self._history.course(queue, self._now, 1, _RATE_SECONDS)
        put, take = minute.puts[0], minute.takes[0]
        if put is None or take is None:
            put, take = row.put_rate, row.get_rate
        drain = queue_screen.drain_time(row, put, take)
        upper = [*self._server_lines(), *queue_screen.upper_lines(row, course, drain, width)]
        found = queue_screen.entries(self.detail, width)
        room = max(1, self._height - len(upper) - 1)
        self._entry = max(0, min(self._entry, len(found) - 1))
        self._entry_top = max(0, min(self._entry_top, len(found) - room))
        self._entry_top = min(max(self._entry_top, self._entry - room + 1), self._entry)
        lower = []
        shown = found[self._entry_top : self._entry_top + room]
        for place, entry in enumerate(shown, self._entry_top):
            line = entry.line
            if place == self._entry:
                line = [("cursor", "".join(text for _, text in line))]
            lower.append(line)
        return [*upper, *lower]


def _marked(row: Row, marks: tuple[str, ...]) -> Row:
    return evolve(row, marks=marks)


_Move = Callable[[int, int, int], int]
_MOVES: dict[str, _Move] = {
    "up": lambda at, page, of: at - 1,
    "down": lambda at, page, of: at + 1,
    "page up": lambda at, page, of: at - page,
    "page down": lambda at, page, of: at + page,
    "home": lambda at, page, of: 0,
    "end": lambda at, page, of: of - 1,
}
"""Where the cursor goes from a place, with so many lines on a page and in all."""
