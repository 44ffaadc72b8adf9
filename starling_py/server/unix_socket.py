"""Sockets that listen on a path of this machine.

What is left of a server that was killed is replaced; a socket that somebody listens on is not, nor
is anything else that stands there. The socket has its mode from the first moment, whatever the
umask, and its name is removed when the server stops, if it is still that socket's.
"""

import contextlib
import errno
import os
import socket
import stat

from starling_py.server.errors import StartError
from starling_py.server.listening import BACKLOG


class UnixSocket:
    """A listening socket and its name."""

    def __init__(self, path: str, mode: int) -> None:
        """Listen on a path; raise ``StartError``."""
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.socket.setblocking(False)
            if look(path):
                os.unlink(path)  # noqa: PTH108
            before = os.umask(0o777 & ~mode)
            try:
                self.socket.bind(path)
            finally:
                os.umask(before)
            os.chmod(path, mode)  # noqa: PTH101
            self.socket.listen(BACKLOG)
            self._identity = self._who()
        except OSError as error:
            self.socket.close()
            raise StartError(f"cannot listen on unix:{path}: {told(error)}") from error

    def remove(self) -> None:
        """Remove the name, if nobody has put something else there."""
        with contextlib.suppress(OSError):
            if self._who() == self._identity:
                os.unlink(self.path)  # noqa: PTH108

    def _who(self) -> tuple[int, int]:
        found = os.lstat(self.path)
        return found.st_dev, found.st_ino


def look(path: str) -> bool:
    """Return whether a socket that nobody listens on is there, and has to make way.

    Raises ``OSError`` if something is there that may not be replaced.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return False
    if not stat.S_ISSOCK(found.st_mode):
        raise OSError(errno.EEXIST, "something else is there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except BlockingIOError:
            pass  # its backlog is full
    raise OSError(errno.EADDRINUSE, "in use")


def told(error: OSError) -> str:
    """Return in words why a path cannot be listened on."""
    if error.errno == errno.EADDRINUSE:
        return "another server listens there"
    return error.strerror or str(error)
