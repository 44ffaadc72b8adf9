"""What a command prints: lines and tables for people, or one JSON object a line.

Nothing that a client put reaches a terminal unescaped. What cannot be written because nobody reads
any more raises ``BrokenPipeError``, which is no failure of the command.
"""

import base64
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

_UNITS: Final = ("", "K", "M", "G", "T", "P")
_SPANS: Final = ((86400, "d"), (3600, "h"), (60, "m"))
_BOLD: Final = "\x1b[1m%s\x1b[0m"
_RED: Final = "\x1b[31m%s\x1b[0m"


class Output:
    """Standard output of one command."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.is_terminal = sys.stdout.isatty()
        # The convention of no-color.org: any value but the empty one.
        self._has_colours = self.is_terminal and not os.environ.get("NO_COLOR")
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")

    def line(self, text: str) -> None:
        """Print a line for people; nothing with ``--json``."""
        if not self.as_json:
            sys.stdout.write(f"{text}\n")

    def record(self, values: Mapping[str, Any], text: str) -> None:
        """Print a JSON object, or a line for people in its place."""
        self.line(text)
        if self.as_json:
            self.json(values)

    def json(self, values: Mapping[str, Any]) -> None:
        """Print one JSON object on a line, whatever was asked for."""
        sys.stdout.write(json.dumps(values, ensure_ascii=False) + "\n")

    def raw(self, data: bytes) -> None:
        """Print bytes as they are."""
        sys.stdout.flush()
        sys.stdout.buffer.write(data)

    def flush(self) -> None:
        """Write what is buffered."""
        sys.stdout.flush()

    def table(self, heads: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> None:
        """Print rows below their heads; the first ``left`` columns begin at the left."""
        cells = [list(row) for row in rows]
        widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
        self.line(self._bold(_row(heads, widths, left)))
        for row in cells:
            self.line(_row(row, widths, left))

    def alarm(self, text: str) -> str:
        """Return a text in red, where there are colours."""
        return _RED % text if self._has_colours and text else text

    def _bold(self, text: str) -> str:
        return _BOLD % text if self._has_colours else text


def _row(cells: Sequence[str], widths: Sequence[int], left: int) -> str:
    told = [
        cell.ljust(width) if index < left else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(told).rstrip()


def warn(text: str) -> None:
    """Print a line on standard error, behind the name of the command."""
    print(f"starling-ctl: {text}", file=sys.stderr)


class Steps(Protocol):
    """Something that counts what is done."""

    def update(self, n: int) -> object:
        """Count ``n`` more."""


@contextmanager
def progress(total: int | None, unit: str) -> Iterator[Steps]:
    """Show how far long work is, with a bar, where standard error is a terminal."""
    from tqdm import tqdm  # loading it takes longer than most commands

    tqdm.monitor_interval = 0  # no thread of its own
    with tqdm(
        total=total, unit=f" {unit}", disable=None, leave=False, delay=0.5, dynamic_ncols=True
    ) as bar:
        yield bar


def count(number: int, what: str) -> str:
    """Return a number with its noun: ``1 item``, ``2 items``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def size(number: int) -> str:
    """Return bytes in the largest unit that leaves three digits: ``3.0M``."""
    value = float(number)
    for unit in _UNITS:
        if value < 999.5 or unit == _UNITS[-1]:
            break
        value /= 1024
    return (
        f"{number}B" if not unit else f"{value:.1f}{unit}" if value < 9.95 else f"{value:.0f}{unit}"
    )


def span(milliseconds: int) -> str:
    """Return a span of time as two units at most: ``1.5s``, ``2m 05s``, ``3d 04h``."""
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.1f}s"
    whole, below = int(seconds), {"d": (3600, "h"), "h": (60, "m"), "m": (1, "s")}
    for length, unit in _SPANS:
        if whole >= length:
            smaller, name = below[unit]
            return f"{whole // length}{unit} {whole % length // smaller:02d}{name}"
    return f"{whole}s"


def safe(data: bytes, most: int | None = None) -> str:
    """Return data as one line that does no harm on a terminal, cut after ``most`` bytes."""
    more = most is not None and len(data) > most
    text = (data[:most] if more else data).decode(errors="backslashreplace")
    told = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
    return f"{told}..." if more else told


def data_fields(data: bytes) -> dict[str, str]:
    """Return data for JSON: as ``text`` where it is UTF-8, else as ``data`` in base64."""
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"data": base64.b64encode(data).decode("ascii")}
