"""What a process uses, looked at from outside: CPU time of its main thread, and memory."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from bench.process import CPU_CLOCK


class MainThread:
    """The CPU time of a process's main thread, in nanoseconds.

    The kernel tells that of a thread of another process only as of the last time it was charged,
    up to some milliseconds ago while it runs. That of the whole process it tells exactly. So this
    is the whole less the other threads, which wait nearly always.
    """

    def __init__(self, pid: int) -> None:
        self._tasks, self._main = f"/proc/{pid}/task", str(pid)
        self._clock = (~pid << 3) | CPU_CLOCK
        self._others: dict[str, int] = {}
        """What each other thread has used, those that have ended too: the whole has it for good."""

    def read(self) -> int:
        """Return it. Raises `OSError` once the process is gone."""
        whole = time.clock_gettime_ns(self._clock)
        for task in os.listdir(self._tasks):  # noqa: PTH208
            if task != self._main:
                with contextlib.suppress(OSError):
                    self._others[task] = schedule(f"{self._tasks}/{task}/schedstat")[0]
        return whole - sum(self._others.values())


def schedule(path: str) -> tuple[int, int]:
    """Return nanoseconds on a processor, and those of waiting for one while ready to run."""
    file = os.open(path, os.O_RDONLY)
    try:
        used, waited, _ = os.pread(file, 100, 0).split()
    finally:
        os.close(file)
    return int(used), int(waited)


def memory(pid: int) -> float:
    """Return the resident memory of a process, in MB."""
    return _status(pid, "VmRSS")


def peak(pid: int) -> float:
    """Return the most that it was since `forget_peak`, in MB."""
    return _status(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    """Let the peak begin anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _status(pid: int, field: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(each.split()[1]) / 1000 for each in lines if each.startswith(field)), 0.0)
