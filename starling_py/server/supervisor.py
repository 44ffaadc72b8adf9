"""What is told to the supervisor that has started the server: systemd, or its like.

One datagram for each word, to the socket that ``NOTIFY_SOCKET`` names; without it, nothing is told.
Nothing waits, and whatever goes wrong is nobody's trouble. Invariant: ``WATCHDOG=1`` is only told
when the loop has come round since the last time, so a server that hangs is noticed.
"""

import contextlib
import os
import socket
from typing import Final

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"
WATCHDOG: Final = "WATCHDOG=1"


class Supervisor:
    """The supervisor, if there is one."""

    def __init__(self) -> None:
        """Take what the environment says out of it: no other process is to speak for this one."""
        path = os.environ.pop("NOTIFY_SOCKET", "")
        self._address = f"\0{path[1:]}" if path.startswith("@") else path
        span = os.environ.pop("WATCHDOG_USEC", "")
        pid = os.environ.pop("WATCHDOG_PID", "") or str(os.getpid())
        is_watched = bool(path) and span.isdecimal() and pid == str(os.getpid())
        self._every = int(span) / 4e6 if is_watched else None
        """Seconds after which it is told that all is well: a quarter of what may pass."""
        self._told_at = 0.0
        self._turns = -1

    def tell(self, *words: str) -> None:
        """Tell something, if there is somebody to be told."""
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto("\n".join(words).encode(), self._address)

    def is_well(self, turns: int, now: float) -> None:
        """Tell that all is well, if it is time and the loop has come round since the last time."""
        if self._every is None or turns == self._turns or now - self._told_at < self._every:
            return
        self._turns, self._told_at = turns, now
        self.tell(WATCHDOG)
