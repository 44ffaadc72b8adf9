"""The state of the live screen: what was told, what is chosen, and what a key does to it.

Pure: replies, keys and times go in; lines come out, and now and then a command for the server,
after a dialog. Invariants: any window size gives exactly that many lines of that width; the cursor
stays on its queue however the table is sorted, so that no action meets another one; while the
server cannot be reached the last values stay, under a banner that says since when.
"""

from starling_py.top import cells, dialogs, help_screen, list_screen, queue_screen, wrong
from starling_py.top.cells import Line
from starling_py.top.course import History
from starling_py.top.detail import Detail
from starling_py.top.dialogs import Asked, Dialog
from starling_py.top.formats import printable
from starling_py.top.listing import Listing
from starling_py.top.moving import MOVES
from starling_py.top.rows import COLUMNS, Column, Table, make_table
from starling_py.top.snapshot import Snapshot
from starling_py.top.visit import Visit


class Monitor:
    """What the user looks at."""

    def __init__(self, address: str, sort: Column = COLUMNS[2], reverse: bool = False) -> None:
        """``address`` is shown; ``sort`` and ``reverse`` are the order to begin with."""
        self.quits = False
        self.command: bytes | None = None
        """What the server is to do; who takes it sets it to None."""
        self._address = address
        self._snapshot: Snapshot | None = None
        self._table: Table | None = None
        self._history = History()
        self._listing = Listing(self._history, sort, reverse)
        self._visit: Visit | None = None
        self._now = 0.0
        self._restarted_at: str | None = None
        self._down: str | None = None
        self._message = ""
        self._editing = False
        self._helps = False
        self._help_top = 0
        self._dialog: Dialog | None = None
        self._height = 20
        self._width = 80

    @property
    def sort(self) -> Column:
        """The column that the queues are sorted by."""
        return self._listing.sort

    @property
    def looked_at(self) -> bytes | None:
        """The queue that is looked at in depth; None on the first screen."""
        return None if self._visit is None else self._visit.queue

    @property
    def detail(self) -> Detail | None:
        """What was told of it last."""
        return None if self._visit is None else self._visit.detail

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
        self._listing.show(snapshot, table)

    def show_detail(self, detail: Detail) -> None:
        """Show what was told of one queue, if it is still looked at."""
        if self._visit is not None and detail.queue == self._visit.queue:
            self._visit.detail = detail

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
        if self._visit is not None:
            return self._press_queue(self._visit, key)
        return self._press_list(key)

    def click(self, column: int, line: int) -> None:
        """Take a click: on a heading it sorts, on a row it chooses."""
        heads = self._head_lines()
        if self._dialog is not None or self._helps or self._visit is not None:
            return
        if line == len(heads) - 1:
            picked = self._listing.column_at(column, self._width)
            if picked is not None:
                self._listing.pick(picked)
        elif len(heads) <= line < self._height - 2:
            self._listing.click(line - len(heads))

    def _press_dialog(self, dialog: Dialog, key: str) -> None:
        dialog.press(key)
        if dialog.done:
            self._dialog = dialog.next if isinstance(dialog, Asked) else None
            self.command = dialog.command
            if dialog.command is None and self._dialog is None:
                self._message = "nothing was changed"

    def _press_filter(self, key: str) -> bool:
        listing = self._listing
        if key == "enter":
            self._editing = False
        elif key == "esc":
            self._editing = False
            listing.filter("")
        elif key == "backspace":
            listing.filter(listing.pattern[:-1])
        elif len(key) == 1 and key.isprintable():
            listing.filter(listing.pattern + key)
        elif key in MOVES:
            self._editing = False
            return self._press_list(key)
        else:
            return False
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
        listing = self._listing
        if key in ("q", "Q"):
            self.quits = True
        elif key in ("<", ">"):
            listing.step(1 if key == ">" else -1)
        elif key in ("r", "R"):
            listing.turn()
        elif key.isascii() and key.isdecimal() and 1 <= int(key) <= len(COLUMNS):
            listing.pick(COLUMNS[int(key) - 1])
        elif key == "/":
            self._editing = True
        elif key == "esc" and listing.pattern:
            listing.filter("")
        elif key in MOVES:
            listing.move(key, self._room())
        elif key == "enter":
            self._visit = None if listing.chosen is None else Visit(listing.chosen)
        else:
            return self._press_action(listing.chosen, key)
        return True

    def _press_queue(self, visit: Visit, key: str) -> bool:
        if key in ("esc", "q", "Q", "backspace", "left"):
            self._visit = None
        elif key in MOVES:
            visit.move(key, self._width, self._height - 10)
        elif key in ("d", "b"):
            asked = visit.act(key, self._width)
            if isinstance(asked, Dialog):
                self._dialog = asked
            else:
                self._message = asked
        else:
            return self._press_action(visit.queue, key)
        return True

    def _press_action(self, queue: bytes | None, key: str) -> bool:
        """Begin a dialog about a queue."""
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

    # Lines.

    def lines(self, width: int, height: int) -> list[Line]:
        """Return the whole window."""
        self._width, self._height = width, height
        if self._helps:
            found = help_screen.lines(width, height - 1, self._help_top)
            last = list_screen.keys_line(["any key: back", "up down scroll"], width)
        elif self._visit is not None:
            found = self._queue_lines(self._visit)
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
        found, listing, width = self._server_lines(), self._listing, self._width
        if listing.pattern or self._editing:
            numbers = (len(listing.rows), listing.of)
            found.append(
                list_screen.filter_line(listing.pattern, *numbers, width, editing=self._editing)
            )
        return [*found, list_screen.head_line(listing.listed(self._now), width)]

    def _list_lines(self) -> list[Line]:
        rows = self._listing.lines(self._width, self._room(), self._now)
        return [*self._head_lines(), *rows]

    def _queue_lines(self, visit: Visit) -> list[Line]:
        width, above = self._width, self._server_lines()
        row = self._table.rows.get(visit.queue) if self._table else None
        if row is None or self._snapshot is None:
            gone = f" {printable(visit.queue)} does not exist any more"
            return [*above, queue_screen.padded([("broken", gone)], width)]
        marks = wrong.marks(visit.queue, self._snapshot, self._history)
        size = (width, self._height - len(above) - 1)
        return [*above, *visit.lines(row, marks, self._history, self._now, size)]
