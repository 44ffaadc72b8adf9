"""Takes the pictures of starling-top in ``docs/pictures``: its real screen, drawn as SVG.

The program runs on a terminal of its own, at a server at work; what it writes there is read by
urwid's emulator of a terminal.
"""

import itertools
import os
import pty
import signal
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Final
from xml.sax.saxutils import escape

import urwid
from urwid.vterm import TermCanvas, TermModes

from tests.pictures.work import Work
from tests.process.server_process import ROOT, ServerProcess, environment
from tests.readable import is_readable

FOLDER: Final = ROOT / "docs/pictures"
WIDTH, HEIGHT = 100, 22
WATCHED: Final = 45.0
"""Seconds until the pictures are taken: the lines of the last minutes have to show something."""
CELL: Final = (8.4, 18)
"""Width and height of a letter."""
COLOURS: Final = {
    "black": "#16191d", "dark red": "#c0392b", "dark green": "#2e8b57", "brown": "#b8860b",
    "dark blue": "#2c5aa0", "dark magenta": "#8e44ad", "dark cyan": "#2aa1a8",
    "light gray": "#c8ccd0", "dark gray": "#7d848c", "light red": "#ff7b72",
    "light green": "#7ee787",
    "yellow": "#e3b341", "light blue": "#79c0ff", "light magenta": "#d2a8ff",
    "light cyan": "#7fdfe6", "white": "#ffffff",
}  # fmt: skip
INK, PAPER = "#d6dae0", "#16191d"

Piece = tuple[str, str, str, bool]
"""Text, its colour, that behind it, and whether it is bold."""


class Screen:
    """A terminal that starling-top runs on."""

    def __init__(self, port: int) -> None:
        urwid.set_encoding("utf8")  # the emulator knows no other way to spell it
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (HEIGHT, WIDTH))
        terminal = SimpleNamespace(
            term_modes=TermModes(), respond=lambda _: None, beep=lambda: None, leds=lambda _: None
        )
        self._canvas = TermCanvas(WIDTH, HEIGHT, terminal)  # type: ignore[arg-type]
        command = [sys.executable, "-m", "starling_py.top", f"127.0.0.1:{port}"]
        variables = {**environment(), "TERM": "xterm", "LC_ALL": "C.UTF-8"}
        self._process = subprocess.Popen(command, stdin=theirs, stdout=theirs, env=variables)
        os.close(theirs)

    def watch(self, seconds: float) -> None:
        """Let it go on for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if is_readable(self._ours, 0.2):
                self._canvas.addstr(os.read(self._ours, 65536))

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._ours, keys.encode())

    def lines(self) -> Iterator[list[Piece]]:
        """Yield what each line shows."""
        for line in self._canvas.content():
            cells = (_piece(look, text.decode()) for look, _, text in line)
            groups = itertools.groupby(cells, lambda piece: piece[1:])
            yield [("".join(text for text, *_ in group), *look) for look, group in groups]

    def end(self) -> None:
        """End it."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()
        os.close(self._ours)


def _piece(look: object, text: str) -> Piece:
    if not isinstance(look, urwid.AttrSpec):
        return text, INK, PAPER, False
    names = [each.strip() for each in look.foreground.split(",")]
    ink = next((COLOURS[each] for each in names if each in COLOURS), INK)
    paper = COLOURS.get(look.background, PAPER)
    if look.standout:
        ink, paper = paper, ink
    return text, ink, paper, look.bold


def drawn(lines: Iterable[list[Piece]]) -> str:
    """Return the screen as a picture."""
    wide, high = CELL
    width, height = WIDTH * wide + 24, HEIGHT * high + 24
    found = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" '
        f'width="{width:.0f}" height="{height}" font-size="14" '
        'font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, DejaVu Sans Mono, monospace">',
        f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>',
    ]
    for row, line in enumerate(lines):
        column, top = 0, 12 + row * high
        for text, ink, paper, bold in line:
            left, size = 12 + column * wide, urwid.calc_width(text, 0, len(text)) * wide
            column += urwid.calc_width(text, 0, len(text))
            if paper != PAPER:
                place = f'x="{left:.1f}" y="{top}" width="{size:.1f}" height="{high}"'
                found.append(f'<rect {place} fill="{paper}"/>')
            if text.strip():
                look = f'fill="{ink}"' + (' font-weight="bold"' if bold else "")
                place = f'x="{left:.1f}" y="{top + 13}" textLength="{size:.1f}"'
                shown = escape(text).replace(" ", "\u00a0")
                found.append(f'<text {place} lengthAdjust="spacingAndGlyphs" {look}>{shown}</text>')
    return "\n".join([*found, "</svg>"]) + "\n"


def main() -> None:
    """Take both pictures: the list, and one queue."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "starling.yml"
        config.write_text(
            'queues:\n  "*": {max_deliveries: 3, dead_letter: dead}\n  audit: {max_items: 120}\n'
        )
        with ServerProcess(Path(folder) / "spool", "--config", config) as server:
            work, screen = Work(server), Screen(server.port)
            client = server.client()
            client.raw_command(b"hello shipping-7")
            work.start()
            try:
                screen.watch(WATCHED / 3)
                for _ in range(3):
                    client.gets("orders.eu/open/lease=300")
                client.raw_command(b"pause billing")
                screen.watch(WATCHED * 2 / 3)
                (FOLDER / "starling-top.svg").write_text(drawn(screen.lines()))
                screen.type("/orders.eu\r\r")
                screen.watch(5)
                (FOLDER / "starling-top-queue.svg").write_text(drawn(screen.lines()))
            finally:
                work.end()
                screen.end()
                client.close()


if __name__ == "__main__":
    main()
