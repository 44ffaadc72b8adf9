"""Goes on in the background, while whoever gave the command waits until the server serves.

The process that was started stays in front and ends as it is told by the one behind: with 0 when
that serves, else with its exit code. Nothing else is open yet when the process forks, and no
thread runs; so there is nothing that would have to be kept or closed with care.
"""

import contextlib
import os
import signal
from types import FrameType
from typing import Final

from starling_py.server import streams

_SERVES: Final = b"0"


class Front:
    """The process in front, seen from the one in the background."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def let_go(self) -> None:
        """Tell that the server serves, and leave the terminal."""
        streams.leave_terminal()
        self._tell(_SERVES)

    def refuse(self, code: int) -> None:
        """Tell with which exit code the server ends; what is wrong was told already."""
        self._tell(b"%d" % code)

    def _tell(self, word: bytes) -> None:
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):  # it may have been killed
                os.write(self._descriptor, word)
            os.close(self._descriptor)
            self._descriptor = -1


def detach() -> Front:
    """Go on in the background, in a session of its own; return only there.

    Files that whoever gave the command has left open are closed, but for the standard ones. To be
    called before anything is opened and any thread is started. Raises ``OSError``.
    """
    told, tells = os.pipe()
    first = os.fork()
    if first:
        os.close(tells)
        os._exit(_wait(first, told))
    os.setsid()
    # Once more: whoever leads a session would be given a terminal on opening one.
    second = os.fork()
    if second:
        os.write(tells, b"%d\n" % second)
        os._exit(0)
    os.close(told)
    os.chdir("/")
    for descriptor in map(int, os.listdir("/dev/fd") if os.path.isdir("/dev/fd") else ()):  # noqa: PTH112, PTH208
        if descriptor > 2 and descriptor != tells:
            with contextlib.suppress(OSError):
                os.close(descriptor)
    return Front(tells)


def _wait(child: int, told: int) -> int:
    """Return the exit code of the process in front; pass on the signals that are to end it."""
    os.waitpid(child, 0)
    word = b""
    while not word.endswith(b"\n"):
        if not (more := os.read(told, 1)):
            return 1
        word += more
    server = int(word)

    def pass_on(number: int, _: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(server, signal.SIGTERM if number == signal.SIGHUP else number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, pass_on)
    code = os.read(told, 16)
    if not code:
        streams.tell("it ended before it served; its log may say why", streams.PATIENCE)
        return 1
    return int(code)
