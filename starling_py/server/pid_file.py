"""The pid file: one server's as long as that runs, held by a lock and not by what it says.

What a process left behind that has ended is replaced. A file that a running server holds, a link,
anything but a file, and a file with something else in it are refused, and stay as they are.
"""

import contextlib
import fcntl
import os
import re
import stat
from pathlib import Path
from typing import Final

from starling_py.server.errors import ProcessError

MODE: Final = 0o640
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_PID: Final = re.compile(rb"\s*[0-9]{0,20}\s*|\0+")
"""What a server has written; nothing but zeros is what a power cut may leave of it."""
_TRIES: Final = 20
"""How often a file may be gone, as its server ended, between opening and locking it."""


class PidFile:
    """A pid file that this process has locked."""

    def __init__(self, path: Path) -> None:
        """Lock the file, and make the last part of its folder's path if need be.

        What is in it stays until ``write``. Raises ``ProcessError``.
        """
        self._path = path
        try:
            path.parent.mkdir(mode=0o750, exist_ok=True)
            for _ in range(_TRIES):
                self._descriptor = self._opened()
                if self._is_there():
                    return
                os.close(self._descriptor)
        except OSError as error:
            raise ProcessError(f"{path}: cannot be written: {error.strerror or error}") from error
        raise ProcessError(f"{path}: cannot be locked: others make and remove it")

    def write(self) -> None:
        """Write this process's id. Raises ``ProcessError``."""
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0)
        except OSError as error:
            reason = error.strerror or error
            raise ProcessError(f"{self._path}: cannot be written: {reason}") from error

    def remove(self) -> None:
        """Remove the file, if it is still there, and unlock it."""
        with contextlib.suppress(OSError):
            if self._is_there():
                self._path.unlink()
        os.close(self._descriptor)

    def _opened(self) -> int:
        """Return a descriptor that holds the lock; raise ``ProcessError`` if it is not for us."""
        problem = refusal(self._path)
        if problem is not None:
            raise ProcessError(f"{self._path}: {problem}; not replaced")
        descriptor = os.open(self._path, _FLAGS, MODE)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ProcessError(f"{self._path}: is no file; not replaced")
            content = os.pread(descriptor, 64, 0)
            if not _PID.fullmatch(content):
                raise ProcessError(f"{self._path}: holds no process id; not replaced")
            _lock(
                descriptor,
                f"{self._path}: a server is running already",
                content.strip(b" \t\r\n\0"),
            )
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _is_there(self) -> bool:
        """Tell whether the path still leads to the file that is locked."""
        try:
            return os.path.samestat(self._path.lstat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False


def refusal(path: Path) -> str | None:
    """Say why what is there is no pid file, before it is opened: a device may act on that."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(mode):
        return "is a link"
    return None if stat.S_ISREG(mode) else "is no file"


def _lock(descriptor: int, problem: str, pid: bytes) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        who = f", process {pid.decode()}" if pid else ""
        raise ProcessError(f"{problem}{who}") from None
    except OSError:
        return  # a file system without locks must not keep a server from starting
