"""The live screen on a terminal: urwid's screen and keys, trio's clock and threads.

Invariants: the server is asked in a thread, so one that hangs never freezes the keys; whatever ends
the program, a signal too, leaves the terminal as it was. What is shown and what keys mean is in
``monitor``.
"""

import functools
import signal
import time
from collections.abc import Sequence

import trio
import urwid
from attrs import frozen

from starling_py.top.cells import Line
from starling_py.top.client import StatsClient, StatsError
from starling_py.top.detail import Detail, fetch
from starling_py.top.monitor import Monitor
from starling_py.top.snapshot import Snapshot, take_changes, take_snapshot

# Name, foreground, background, and what a terminal without colours (or NO_COLOR) shows.
PALETTE = [
    ("title", "light cyan", "default", "bold"),
    ("heads", "black", "light gray", "standout"),
    ("sorted", "white,bold", "dark blue", "standout,bold"),
    ("banner", "white", "dark red", "standout"),
    ("broken", "light red", "default", "bold"),
    ("bad", "light red,bold", "default", "bold"),
    ("mark", "yellow", "default", "bold"),
    ("total", "bold", "default", "bold"),
    ("keys", "dark gray", "default", "default"),
    ("cursor", "black", "dark cyan", "standout"),
    ("filter", "yellow", "default", "bold"),
    ("ask", "black", "yellow", "standout"),
    ("chart", "light green", "default", "default"),
    ("data", "light gray", "default", "default"),
]
CHANGED_AT_ONCE = 2000
"""Queues that are told of in one look; a server with more that change each second is not held up
by those who watch."""
AT_THE_START = 100_000
_WHEEL = {4: "up", 5: "down"}


class Window(urwid.Widget):
    """All of the window: draws the monitor's lines, and hands on keys and clicks."""

    _sizing = frozenset([urwid.BOX])
    _selectable = True

    def __init__(self, monitor: Monitor) -> None:
        super().__init__()
        self._monitor = monitor
        self.wake = trio.Event()
        """Set when there is something to ask the server before the next look."""

    def refresh(self) -> None:
        """Draw anew next time, because something has changed."""
        self._invalidate()

    # A box widget is given both sizes; urwid's own types allow every kind.
    def render(self, size: tuple[int, int], focus: bool = False) -> urwid.Canvas:  # type: ignore[override]
        """Return what is to be seen."""
        width, height = size
        return canvas(self._monitor.lines(width, height), width)

    def keypress(self, size: tuple[int, int], key: str) -> str | None:  # type: ignore[override]
        """Take a key; return it if it means nothing here."""
        monitor = self._monitor
        before = monitor.looked_at
        taken = monitor.press(key)
        if monitor.quits:
            raise urwid.ExitMainLoop
        if monitor.command is not None or monitor.looked_at != before:
            self.wake.set()
        self._invalidate()
        return None if taken else key

    def mouse_event(  # type: ignore[override]
        self, size: tuple[int, int], event: str, button: int, col: int, row: int, focus: bool
    ) -> bool:
        """Take a click or a turn of the wheel."""
        if not urwid.util.is_mouse_press(event):
            return False
        if button in _WHEEL:
            self._monitor.press(_WHEEL[button])
        elif button == 1:
            self._monitor.click(col, row)
        self._invalidate()
        return True


def canvas(lines: Sequence[Line], width: int) -> urwid.Canvas:
    """Return lines as urwid draws them."""
    rendered = []
    for line in lines:
        markup = [(look or None, text) for look, text in line if text]
        text = urwid.Text(markup or "", wrap="clip")
        rendered.append((text.render((width,)), None, False))
    return urwid.CanvasCombine(rendered)


def look(client: StatsClient, previous: Snapshot | None) -> Snapshot:
    """Ask for what has changed since the last look, or for everything. Raises ``StatsError``."""
    token = b"" if previous is None else previous.token
    stats = client.changes(token, CHANGED_AT_ONCE if token else AT_THE_START)
    taken = time.monotonic()
    return take_changes(previous, stats, taken) or take_snapshot(stats, taken)


def run(
    client: StatsClient, first: Snapshot, monitor: Monitor, delay: float, colours: bool
) -> None:
    """Show ``first``, then what the server tells every ``delay`` seconds, until the user quits.

    SIGINT, SIGTERM and SIGHUP quit as well.
    """
    monitor.show(first, _now())
    trio.run(_run, client, monitor, delay, colours)


async def _run(client: StatsClient, monitor: Monitor, delay: float, colours: bool) -> None:
    screen = urwid.display.raw.Screen()
    if not colours:
        screen.set_terminal_properties(colors=1)
    window = Window(monitor)
    events = urwid.TrioEventLoop()
    loop = urwid.MainLoop(window, PALETTE, screen, event_loop=events)
    with loop.start():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_poll, client, window, monitor, loop, delay)
            nursery.start_soon(_cancel_on_signal, nursery.cancel_scope)
            await events.run_async()
            nursery.cancel_scope.cancel()


async def _poll(
    client: StatsClient, window: Window, monitor: Monitor, loop: urwid.MainLoop, delay: float
) -> None:
    """Look again and again, and do in between what the user asks for."""
    wait = delay
    while True:
        with trio.move_on_after(wait):
            await window.wake.wait()
        window.wake = trio.Event()
        began = trio.current_time()
        command, monitor.command = monitor.command, None
        ask = functools.partial(
            _ask, client, command, monitor.snapshot, monitor.looked_at, monitor.detail
        )
        # Looking up a host name can hang far longer than any time-out; quitting must not.
        told = await trio.to_thread.run_sync(ask, abandon_on_cancel=True)
        if told.message:
            monitor.show_message(told.message)
        if told.snapshot is not None:
            monitor.show(told.snapshot, _now())
        if told.detail is not None:
            monitor.show_detail(told.detail)
        if told.problem:
            monitor.show_error(told.problem, _now())
        window.refresh()
        loop.draw_screen()
        wait = max(0.05, delay - (trio.current_time() - began))


@frozen
class _Told:
    """What the server told in one go; ``problem`` is why it did not tell all."""

    message: str = ""
    snapshot: Snapshot | None = None
    detail: Detail | None = None
    problem: str = ""


def _ask(
    client: StatsClient,
    command: bytes | None,
    previous: Snapshot | None,
    queue: bytes | None,
    known: Detail | None,
) -> _Told:
    """Do what was asked for, then look at all queues, and at one. Runs in a thread."""
    message = "" if command is None else _acted(client, command)
    snapshot = None
    try:
        snapshot = look(client, previous)
        found = None
        if queue is not None and (numbers := snapshot.queues.get(queue)) is not None:
            found = fetch(client, queue, numbers.open or 0, known)
        return _Told(message, snapshot, found)
    except StatsError as error:
        return _Told(message, snapshot, problem=str(error))


def _acted(client: StatsClient, command: bytes) -> str:
    """Return what the server says to a command, behind what it was."""
    shown = command.decode(errors="backslashreplace")
    try:
        return f"{shown}: {client.act(command)}"
    except StatsError as error:
        return f"{shown}: no answer ({error}); perhaps it was done"


async def _cancel_on_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async for _ in signals:
            scope.cancel()


def _now() -> str:
    return time.strftime("%H:%M:%S")
