"""What the command writes: lines and raw bytes on standard output, progress on standard error."""

import sys
import time

from starling_py.offline.errors import OutputClosedError, OutputFailedError

_EVERY = 0.5
"""Seconds between two lines of progress."""


def line(text: str) -> None:
    """Print a line. Raises ``OutputClosedError`` and ``OutputFailedError``."""
    try:
        sys.stdout.write(f"{text}\n")
    except OSError as error:
        raise _trouble(error) from error


def raw(data: bytes) -> None:
    """Print bytes as they are. Raises ``OutputClosedError`` and ``OutputFailedError``."""
    try:
        sys.stdout.buffer.write(data)
    except OSError as error:
        raise _trouble(error) from error


def flush() -> None:
    """Write what is buffered. Raises ``OutputClosedError`` and ``OutputFailedError``."""
    try:
        sys.stdout.flush()
    except OSError as error:
        raise _trouble(error) from error


def warn(text: str) -> None:
    """Print a line on standard error, behind the name of the command."""
    print(f"starling-journal: {text}", file=sys.stderr)


def _trouble(error: OSError) -> Exception:
    if isinstance(error, BrokenPipeError):
        return OutputClosedError()
    return OutputFailedError(f"cannot write: {error.strerror or error}")


class Progress:
    """Shows how far the work is, if standard error is a terminal or ``--progress`` is given."""

    def __init__(self, total: int | None, unit: str, *, wanted: bool) -> None:
        """``total`` is in units; ``None`` if it is not known. ``wanted``: whether asked for."""
        self._total = total
        self._unit = unit
        self._done = 0
        self._is_terminal = sys.stderr.isatty()
        self._is_shown = wanted or self._is_terminal
        self._is_wanted = wanted
        self._next = time.monotonic() + _EVERY
        self._begun = False

    def __call__(self, more: int) -> None:
        """Count ``more`` units as done."""
        self._done += more
        if self._is_shown and time.monotonic() >= self._next:
            self._show()

    def end(self) -> None:
        """Show the final count, if any was shown before or progress was asked for."""
        if self._begun or self._is_wanted:
            self._show()
            if self._is_terminal:
                print(file=sys.stderr)

    def _show(self) -> None:
        self._begun = True
        self._next = time.monotonic() + _EVERY
        text = f"{self._done} {self._unit}"
        if self._total:
            text = f"{min(100 * self._done // self._total, 100)}%, {text}"
        if self._is_terminal:
            print(f"\r{text}", end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)
