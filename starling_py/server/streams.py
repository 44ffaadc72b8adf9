"""The three standard descriptors: there before anything else, and never waited for.

What was started with one of them closed would get its number for the next file or socket, and
whatever writes to standard error would write there.
"""

import contextlib
import os
import select
import sys
from typing import Final

PATIENCE: Final = 1.0
"""Seconds in which what is told at the end must be taken by whoever reads standard error."""


def open_standard_streams() -> None:
    """Open /dev/null in place of each of descriptors 0, 1 and 2 that is closed.

    To be called before any file or socket is opened. Raises ``OSError``.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    # Python has no objects for descriptors that were closed when it began, and prints what is
    # meant for such a standard error on standard output.
    if sys.stdin is None:
        sys.stdin = os.fdopen(0)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w")
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace")


def leave_terminal() -> None:
    """Put /dev/null in the place of all three."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    os.close(null)


def tell(text: str, patience: float = 0.0) -> None:
    """Write a line on standard error, if that takes it within ``patience`` seconds."""
    poll = select.poll()
    poll.register(2, select.POLLOUT)
    with contextlib.suppress(OSError):
        if poll.poll(patience * 1000):
            os.write(2, f"starling-py: {text}\n".encode("utf-8", "backslashreplace")[-4096:])
