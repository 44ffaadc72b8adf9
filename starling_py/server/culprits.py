"""Who has what a server needs: another process, told by its number and since when it runs.

Only for messages: where the system does not tell, as on macOS or of other users' processes, there
is nothing to say, and no error.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_LISTENING: Final = "0A"
_STARTED: Final = 19
"""Which word behind the name of a process in its ``stat`` is the tick of the clock it began at."""


def of_file(path: str) -> str:
    """Return who has locked a file, such as `` (process 12, since 09:00:00)``, or nothing."""
    return _told(holder_of_file(path))


def holder_of_file(path: str) -> int | None:
    """Return the process that has locked a file; ``None`` if none has, or nobody tells."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        found = os.stat(path)  # noqa: PTH116 - paths are strings here
        device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
        for line in (_PROC / "locks").read_text().splitlines():
            words = line.split()
            if device in words and words[1] == "FLOCK":
                return int(words[4])
    return None


def of_port(port: int) -> str:
    """Return who listens on a TCP port, in the same form, or nothing."""
    return _told(holder_of_port(port))


def holder_of_port(port: int) -> int | None:
    """Return the process that listens on a TCP port; ``None`` if none does, or nobody tells."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        sockets = {f"socket:[{inode}]" for inode in _inodes(port)}
        for process in sorted(_PROC.iterdir()):
            if process.name.isdigit() and sockets & set(_descriptors(process)):
                return int(process.name)
    return None


def _inodes(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in (_PROC / "net" / table).read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == _LISTENING and int(words[1].rpartition(":")[2], 16) == port:
                    yield words[9]


def _descriptors(process: Path) -> Iterator[str]:
    with contextlib.suppress(OSError):  # another user's, or gone
        for each in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                yield os.readlink(each)  # noqa: PTH115


def _told(pid: int | None) -> str:
    """Return a process in words, or nothing."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        _, _, rest = (_PROC / str(pid) / "stat").read_text().rpartition(")")
        ticks = int(rest.split()[_STARTED])
        running = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() - running))
        return f" (process {pid}, since {since})"
    return ""
