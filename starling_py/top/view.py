"""The live screen: draws what ``model`` computes, and turns keys and clicks into a choice of order.

Invariants: the poll runs in a thread, so a server that hangs never freezes the keys; whatever ends
the program, a signal too, leaves the terminal as it was; no window size raises. While the server
cannot be reached the last values stay, under a banner that says since when; what the server itself
says is wrong shows there too.
"""

import signal
import time
from collections.abc import Callable
from functools import partial

import trio
import urwid

from starling_py.top.client import StatsClient, StatsError
from starling_py.top.model import (
    COLUMNS,
    Column,
    Row,
    Snapshot,
    Table,
    alerts,
    fit_columns,
    format_bytes,
    format_count,
    format_rate,
    format_uptime,
    make_table,
    sort_rows,
    take_snapshot,
)

# Name, foreground, background, and what a terminal without colours (or NO_COLOR) shows.
PALETTE = [
    ("title", "light cyan", "default", "bold"),
    ("heads", "black", "light gray", "standout"),
    ("sorted", "white,bold", "dark blue", "standout,bold"),
    ("banner", "white", "dark red", "standout"),
    ("broken", "light red", "default", "bold"),
    ("total", "bold", "default", "bold"),
    ("keys", "dark gray", "default", "default"),
]
KEYS = " q quit   < > or 1-9 sort column   r reverse   arrows PgUp PgDn scroll"
_WHEEL_UP, _WHEEL_DOWN = 4, 5
_Markup = str | tuple[str, str]


class TopView:
    """The widgets of one screen; ``widget`` is the topmost.

    ``address`` is shown in the header. ``sort`` and ``reverse`` are the order to begin with.
    """

    def __init__(self, address: str, sort: Column = COLUMNS[1], reverse: bool = False) -> None:
        self.sort = sort
        self.reverse = reverse
        self._address = address
        self._previous: Snapshot | None = None
        self._table: Table | None = None
        self._restarted_at: str | None = None
        self._down_since: str | None = None
        self._server = urwid.Text("", wrap="clip")
        self._traffic = urwid.Text("", wrap="clip")
        self._banner = urwid.Text("", wrap="clip")
        self._heads = _Line(self._layout, self._head, "heads", self.pick)
        self._total = _Line(self._layout, self._total_cell, "total")
        server = urwid.AttrMap(self._server, "title")
        banner = urwid.AttrMap(self._banner, "banner")
        self._header = urwid.Pile([server, self._traffic, self._heads])
        self._header_with_banner = urwid.Pile([server, self._traffic, banner, self._heads])
        keys = urwid.AttrMap(urwid.Text(KEYS, wrap="clip"), "keys")
        # Unlike SimpleFocusListWalker it stays where the user scrolled to when all rows change.
        self._rows: urwid.SimpleListWalker[_Line] = urwid.SimpleListWalker([])
        self._longest_name = 0
        self.widget = urwid.Frame(
            urwid.ListBox(self._rows),
            header=self._header,
            footer=urwid.Pile([self._total, keys]),
        )

    def show(self, snapshot: Snapshot, now: str) -> None:
        """Show what the server told at the time of day ``now``, such as ``12:03:04``."""
        self._table = make_table(self._previous, snapshot)
        self._previous = snapshot
        self._down_since = None
        if self._table.restarted:
            self._restarted_at = now
        wrong = alerts(snapshot)
        self._banner.set_text(" " + "   ".join(wrong))
        self.widget.header = self._header_with_banner if wrong else self._header
        self._fill_header(snapshot, self._table)
        self._arrange_rows()

    def show_error(self, reason: str, now: str) -> None:
        """Say that the server could not be reached, since ``now`` or the first failure in a row."""
        if self._down_since is None:
            self._down_since = now
        self._banner.set_text(f" DOWN since {self._down_since}: {reason}; trying again")
        self.widget.header = self._header_with_banner

    def press(self, key: str) -> bool:
        """Change the order of the rows by one key; return whether the key means anything here."""
        place = COLUMNS.index(self.sort)
        if key == "<":
            self._order_by(COLUMNS[place - 1], False)
        elif key == ">":
            self._order_by(COLUMNS[(place + 1) % len(COLUMNS)], False)
        elif key in ("r", "R"):
            self._order_by(self.sort, not self.reverse)
        elif key.isdecimal() and 1 <= int(key) <= len(COLUMNS):
            self.pick(COLUMNS[int(key) - 1])
        else:
            return False
        return True

    def pick(self, column: Column) -> None:
        """Sort by ``column``; if the rows are in that order already, reverse it."""
        self._order_by(column, column is self.sort and not self.reverse)

    def _order_by(self, column: Column, reverse: bool) -> None:
        self.sort, self.reverse = column, reverse
        self._arrange_rows()

    def _fill_header(self, snapshot: Snapshot, table: Table) -> None:
        # What matters most comes first: a narrow window cuts the end off.
        server = [
            f" {self._address}",
            f"up {format_uptime(snapshot.number('uptime'))}",
            f"version {snapshot.text('version')}",
        ]
        if self._restarted_at is not None:
            server.append(f"restarted at {self._restarted_at}")
        self._server.set_text("   ".join(server))
        # The server's own count, if any: its list of queues may leave out untouched ones.
        items = snapshot.number("curr_items")
        traffic = [
            f" items {format_count(table.total.items if items is None else items)}",
            f"put/s {format_rate(table.put_rate)}",
            f"get/s {format_rate(table.get_rate)}",
            f"conns {snapshot.text('curr_connections')}/{snapshot.text('total_connections')}",
            f"bytes {format_bytes(snapshot.number('bytes'))}",
            f"total items {format_count(snapshot.number('total_items'))}",
        ]
        self._traffic.set_text("   ".join(traffic))

    def _arrange_rows(self) -> None:
        rows = self._table.rows if self._table else ()
        self._longest_name = max((_width(row.name) for row in rows), default=0)
        self._rows[:] = [
            _Line(self._layout, partial(_row_cell, row), "broken" if row.is_broken else None)
            for row in sort_rows(rows, self.sort, self.reverse)
        ]
        self._heads.refresh()
        self._total.refresh()

    def _layout(self, width: int) -> list[tuple[Column, int]]:
        return fit_columns(width, self.sort, self._longest_name)

    def _head(self, column: Column, width: int) -> _Markup:
        if column is not self.sort:
            return _cell(column, width, column.title)
        up, down = ("▲", "▼") if urwid.get_encoding_mode() == "utf8" else ("^", "v")
        is_name = column.value is None
        mark = up if is_name != self.reverse else down
        text = f"{column.title} {mark}" if is_name else f"{mark}{column.title}"
        return ("sorted", _cell(column, width, text))

    def _total_cell(self, column: Column, width: int) -> _Markup:
        return _row_cell(self._table.total, column, width) if self._table else " " * width


class _Line(urwid.Widget):
    """One line of cells, laid out for the width it is drawn at; a click picks its column."""

    _sizing = frozenset([urwid.FLOW])
    _selectable = False
    ignore_focus = True

    def __init__(
        self,
        layout: Callable[[int], list[tuple[Column, int]]],
        cell: Callable[[Column, int], _Markup],
        attribute: str | None = None,
        on_click: Callable[[Column], None] | None = None,
    ) -> None:
        super().__init__()
        self._layout = layout
        self._cell = cell
        self._attribute = attribute
        self._on_click = on_click

    def refresh(self) -> None:
        """Draw the line again next time, because what its cells say has changed."""
        self._invalidate()

    # A flow widget is only ever given a width; urwid's own types allow every kind of size.
    def rows(self, size: tuple[int], focus: bool = False) -> int:
        return 1

    def render(self, size: tuple[int], focus: bool = False) -> urwid.Canvas:  # type: ignore[override]
        markup: list[_Markup] = []
        for column, width in self._layout(size[0]):
            markup += [self._cell(column, width), " "]
        text = urwid.Text(markup[:-1], wrap="clip")
        return urwid.AttrMap(text, self._attribute).render(size)

    def mouse_event(  # type: ignore[override]
        self, size: tuple[int], event: str, button: int, col: int, row: int, focus: bool
    ) -> bool:
        if self._on_click is None or button != 1 or not urwid.util.is_mouse_press(event):
            return False
        end = 0
        for column, width in self._layout(size[0]):
            end += width + 1
            if col < end:
                self._on_click(column)
                return True
        return False


def _row_cell(row: Row, column: Column, width: int) -> str:
    return _cell(column, width, column.text(row))


def _cell(column: Column, width: int, text: str) -> str:
    """Pad or cut ``text`` to ``width`` screen cells; ``~`` marks what was cut."""
    used = _width(text)
    if used > width:
        _, end, _, missing = urwid.calc_trim_text(text, 0, len(text), 0, width - 1)
        return text[:end] + " " * missing + "~"
    padding = " " * (width - used)
    return text + padding if column.value is None else padding + text


def _width(text: str) -> int:
    return urwid.calc_width(text, 0, len(text))


def run(client: StatsClient, first: Snapshot, view: TopView, delay: float, colours: bool) -> None:
    """Show ``first``, then what the server tells every ``delay`` seconds, until the user quits.

    SIGINT, SIGTERM and SIGHUP quit as well.
    """
    view.show(first, _now())
    trio.run(_run, client, view, delay, colours)


async def _run(client: StatsClient, view: TopView, delay: float, colours: bool) -> None:
    screen = urwid.display.raw.Screen()
    if not colours:
        screen.set_terminal_properties(colors=1)
    events = urwid.TrioEventLoop()
    loop = urwid.MainLoop(
        view.widget,
        PALETTE,
        screen,
        event_loop=events,
        unhandled_input=lambda data: _unhandled(loop, view, data),
    )
    with loop.start():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_poll, client, view, loop, delay)
            nursery.start_soon(_cancel_on_signal, nursery.cancel_scope)
            await events.run_async()
            nursery.cancel_scope.cancel()


def _unhandled(loop: urwid.MainLoop, view: TopView, data: str | tuple[str, int, int, int]) -> bool:
    if isinstance(data, tuple):
        event, button, _, _ = data
        if urwid.util.is_mouse_press(event) and button in (_WHEEL_UP, _WHEEL_DOWN):
            loop.process_input(["up" if button == _WHEEL_UP else "down"])
        return True
    if data in ("q", "Q"):
        raise urwid.ExitMainLoop
    return view.press(data)


async def _poll(client: StatsClient, view: TopView, loop: urwid.MainLoop, delay: float) -> None:
    while True:
        await trio.sleep(delay)
        try:
            # Looking up a host name can hang far longer than any time-out; quitting must not.
            stats = await trio.to_thread.run_sync(client.stats, abandon_on_cancel=True)
        except StatsError as error:
            view.show_error(str(error), _now())
        else:
            view.show(take_snapshot(stats, time.monotonic()), _now())
        loop.draw_screen()


async def _cancel_on_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async for _ in signals:
            scope.cancel()


def _now() -> str:
    return time.strftime("%H:%M:%S")
