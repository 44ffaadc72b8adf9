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
    """Shows how far the work is, and how long the rest will take, on a terminal.

    Where standard error is none, there are lines in place of a bar, if they are asked for.
    """

    def __init__(
        self, total: int | None, unit: str, *, wanted: bool, beside_output: bool = False
    ) -> None:
        """``total`` is in units; ``None`` if it is not known. ``wanted``: whether asked for.

        ``beside_output``: whether standard output has lines meanwhile; there is no bar where that
        is a terminal, too.
        """
        self._total = total
        self._unit = unit
        self._done = 0
        self._is_terminal = sys.stderr.isatty()
        self._bar = None
        if self._is_terminal and not (beside_output and sys.stdout.isatty()):
            from tqdm import tqdm  # loading it takes longer than most of the work there is

            tqdm.monitor_interval = 0  # no thread of its own
            self._bar = tqdm(
                total=total,
                unit=f" {unit}",
                unit_scale=unit.startswith("bytes"),
                delay=_EVERY,
                dynamic_ncols=True,
            )
        self._is_told = wanted and not self._is_terminal
        self._next = time.monotonic() + _EVERY

    def __call__(self, more: int) -> None:
        """Count ``more`` units as done."""
        self._done += more
        if self._bar is not None:
            self._bar.update(more)
        elif self._is_told and time.monotonic() >= self._next:
            self._tell()

    def line(self, text: str) -> None:
        """Print a line above the bar, if there is one. Raises as ``line`` of the module does."""
        if self._bar is not None and sys.stdout.isatty():
            self._bar.clear()
            line(text)
            flush()
            if time.monotonic() >= self._next:  # before that, it is not shown
                self._bar.refresh()
        else:
            line(text)

    def end(self) -> None:
        """Show the final count, if any was shown before or lines were asked for."""
        if self._bar is not None:
            self._bar.close()
        if self._is_told:
            self._tell()

    def _tell(self) -> None:
        self._next = time.monotonic() + _EVERY
        text = f"{self._done} {self._unit}"
        if self._total:
            text = f"{min(100 * self._done // self._total, 100)}%, {text}"
        print(text, file=sys.stderr, flush=True)
