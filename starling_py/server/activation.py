"""Listening sockets that systemd has opened, and hands over when it starts the server.

So nobody is refused while the server starts again: who connects meanwhile waits. What is taken over
is closed on ``exec``, and the variables that tell of it are gone, so that no other process takes
them for its own.
"""

import os
import socket
from typing import Final

from starling_py.server.errors import StartError

_FIRST: Final = 3
"""The first descriptor that is handed over; the others follow it."""
_MOST: Final = 64


def handed_over() -> list[tuple[socket.socket, str]]:
    """Return the sockets that are handed over, each with its name; raise ``StartError``.

    The name is ``FileDescriptorName=`` of the unit; by default, that is the unit's own.
    """
    pid = os.environ.pop("LISTEN_PID", "")
    count = os.environ.pop("LISTEN_FDS", "")
    names = os.environ.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    if int(count) > _MOST:
        raise StartError(f"{count} sockets are handed over, more than {_MOST}")
    found = []
    for number in range(int(count)):
        try:
            sock = socket.socket(fileno=_FIRST + number)
            sock.set_inheritable(False)
            sock.setblocking(False)
            listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        except OSError as error:
            what = f"descriptor {_FIRST + number}, which is handed over"
            raise StartError(f"{what}, is no socket: {error.strerror}") from error
        if not listens or sock.type != socket.SOCK_STREAM:
            raise StartError(f"descriptor {_FIRST + number} is handed over, and does not listen")
        found.append((sock, names[number] if number < len(names) else ""))
    return found
