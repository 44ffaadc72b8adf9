"""Where lines of the log go: a file, standard error, syslog.

Only the log's own thread writes here. A sink is told of one line at a time and raises ``OSError``
if it cannot take it; it may wait for whoever reads at the other end, as long as that takes. It
tries again with each line, so a log that was out of reach goes on by itself. Invariant: to open
never waits, whatever stands at the path.
"""

import errno
import os
import select
import socket
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

PATIENCE: Final = 1.0
"""Seconds between two looks at where the log is to go, while nobody reads what was written."""
CHUNK: Final = 4096
"""What a pipe with any room takes at once, so that a write never waits behind ``poll``."""
MODE: Final = 0o640
_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_FULL: Final = frozenset({errno.EAGAIN, errno.ENOBUFS})
_USER_FACILITY: Final = 1 << 3
_MOST_OF_A_DATAGRAM: Final = 8192


class Sink(Protocol):
    """Where lines go."""

    place: str
    """What to call it in a message."""
    trouble: OSError | None
    """Why the last line is not where it should be, though it was written; ``None`` if it is."""

    def write(self, priority: int, line: bytes) -> None:
        """Write a line, which ends with a newline; ``priority`` is syslog's, 0 to 7.

        Raises ``OSError`` if that cannot be done; then it was not written, or in part.
        """

    def open_anew(self) -> None:
        """Open it anew before the next line is written."""

    def close(self) -> None:
        """Close it, if it is this process's own."""


def wait_until_writable(descriptor: int, seconds: float) -> bool:
    """Wait until a descriptor takes something, or an error; return whether it does."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(seconds * 1000))


class LogFile:
    """A file. When it was moved away or replaced, the next line opens what is there now."""

    def __init__(self, path: Path) -> None:
        """Open the file, and make the last part of its folder's path if need be.

        A pipe that nobody reads yet is opened later. Raises ``OSError``.
        """
        self.place = str(path)
        self.trouble: OSError | None = None
        self._descriptor = -1
        self._is_anew_due = False
        self._is_torn = False
        """Whether the last line was written in part."""
        path.parent.mkdir(mode=0o750, exist_ok=True)
        try:
            self._open()
        except OSError as error:
            if error.errno != errno.ENXIO or not path.is_fifo():
                raise

    def open_anew(self) -> None:
        """Open it anew before the next line; may be called from any thread and at any time."""
        self._is_anew_due = True

    def write(self, priority: int, line: bytes) -> None:
        """Write a line. Raises ``OSError``."""
        rest = self._begin(line)
        while rest:
            try:
                written = os.write(self._descriptor, rest[:CHUNK])
            except BlockingIOError:
                if not wait_until_writable(self._descriptor, PATIENCE):
                    rest = self._begin(line) if self._is_elsewhere() else rest
                continue
            rest = rest[written:]
            self._is_torn = bool(rest)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _reopen(self) -> None:
        """Open what is at the path now, if that is not open. Raises ``OSError``."""
        self.trouble = None
        if not self._is_elsewhere():
            return
        self._is_anew_due = False
        try:
            self._open()
        except OSError as error:
            # While the file that was open has a name, nothing that it takes is lost.
            if self._descriptor < 0 or not os.fstat(self._descriptor).st_nlink:
                raise
            self.trouble = error

    def _begin(self, line: bytes) -> memoryview:
        self._reopen()
        return memoryview(b"\n" + line if self._is_torn else line)

    def _is_elsewhere(self) -> bool:
        if self._descriptor < 0 or self._is_anew_due:
            return True
        try:
            there = os.stat(self.place)  # noqa: PTH116 - as few calls a line as possible
        except OSError:
            return True
        here = os.fstat(self._descriptor)
        return (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino)

    def _open(self) -> None:
        descriptor = os.open(self.place, _FLAGS | os.O_CREAT, MODE)
        if stat.S_ISBLK(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.ENOTSUP, "is a disk")
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = descriptor
        self._is_torn = False


class StandardError:
    """Descriptor 2, whatever that is: a terminal, a pipe, a file, journald.

    It stays in the mode that it has: others may share it, as a shell does its terminal.
    """

    place = "standard error"
    trouble: OSError | None = None

    def __init__(self, *, for_journald: bool = False, descriptor: int = 2) -> None:
        """``for_journald``: begin each line with its priority, as journald reads it."""
        self._descriptor = descriptor
        self._for_journald = for_journald

    def open_anew(self) -> None:
        """Do nothing: there is nothing to be opened."""

    def close(self) -> None:
        """Do nothing: others may write there, too."""

    def write(self, priority: int, line: bytes) -> None:
        """Write a line. Raises ``OSError``."""
        if self._for_journald:
            prefix = b"<%d>" % priority
            line = b"".join(prefix + each for each in line.splitlines(keepends=True))
        rest = memoryview(line)
        while rest:
            if wait_until_writable(self._descriptor, PATIENCE):
                try:
                    rest = rest[os.write(self._descriptor, rest[:CHUNK]) :]
                except BlockingIOError:
                    continue


class Syslog:
    """The socket of the system's log."""

    def __init__(self, paths: Sequence[str], channel: str) -> None:
        """Connect to the first socket that is there; ``channel`` names this program.

        Raises ``OSError``.
        """
        self.place = "syslog"
        self.trouble: OSError | None = None
        self._paths = paths
        self._channel = channel.encode()
        self._socket: socket.socket | None = None
        self._connect()

    def open_anew(self) -> None:
        """Do nothing: a socket that is gone is noticed with the next line."""

    def write(self, priority: int, line: bytes) -> None:
        """Send a line; connect anew, once, if the socket is gone. Raises ``OSError``."""
        head = b"<%d>%b: " % (_USER_FACILITY | priority, self._channel)
        message = head + line.rstrip(b"\n")[:_MOST_OF_A_DATAGRAM] + b"\0"
        if self._socket is not None:
            try:
                self._send(self._socket, message)
                return
            except OSError:
                self.close()
        self._send(self._connect(), message)

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, sock: socket.socket, message: bytes) -> None:
        rest = memoryview(message)
        while rest:
            try:
                rest = rest[sock.send(rest) :]
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                wait_until_writable(sock.fileno(), PATIENCE)

    def _connect(self) -> socket.socket:
        self.close()
        refused: OSError = FileNotFoundError(errno.ENOENT, "there is no syslog on this machine")
        for path in self._paths:
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                sock = socket.socket(socket.AF_UNIX, kind)
                try:
                    sock.setblocking(False)
                    sock.connect(path)
                except OSError as error:
                    sock.close()
                    refused = refused if isinstance(error, FileNotFoundError) else error
                else:
                    self._socket = sock
                    return sock
        raise refused
