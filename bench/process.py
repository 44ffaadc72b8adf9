"""A server as a process: started on a core of its own, looked at from outside, and ended.

Only what was started here is ever signalled, by its process id.
"""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench import LoadError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PATIENCE = 60.0  # seconds a server gets to start, and again to stop
CPU_CLOCK = 2  # of a whole process, in the kernel's numbering of clocks


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def allow_many_files() -> None:
    """Let this process and what it starts have as many files open as the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextmanager
def own_cores() -> Iterator[int | None]:
    """Keep this process on a core of its own; yield the one for servers, if there are two."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) < 2:
        yield None
        return
    os.sched_setaffinity(0, cores[1:2])
    try:
        yield cores[0]
    finally:
        os.sched_setaffinity(0, cores)


def spawn(command: Sequence[str], log: Path, core: int | None) -> subprocess.Popen[bytes]:
    """Start a command on a core, with all the threads that it will have."""
    here = None if core is None else os.sched_getaffinity(0)
    try:
        if core is not None:
            os.sched_setaffinity(0, {core})
        with log.open("ab") as output:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=log.parent
            )
    finally:
        if here is not None:
            os.sched_setaffinity(0, here)


def await_start(
    server: subprocess.Popen[bytes], address: tuple[str, int], deadline: float, log: Path
) -> None:
    """Return once the server accepts; `deadline` is on the clock of `time.perf_counter`."""
    while time.perf_counter() < deadline:
        try:
            socket.create_connection(address, timeout=1).close()
        except OSError:
            try:
                server.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
            break
        return
    raise LoadError(f"the server did not start; {said(log)}")


def said(log: Path) -> str:
    """Return what the server printed, or the end of it if that is long."""
    return f"it said: {log.read_text(errors='replace')[-2000:].strip() or 'nothing'}"


def stop(server: subprocess.Popen[bytes]) -> None:
    """End the server as an operator would, or by force if that takes too long."""
    server.terminate()
    try:
        server.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
        print("the server did not stop on SIGTERM and was killed", file=sys.stderr)


def cpu_seconds(pid: int | None) -> float:
    """Return the CPU time a process has used, all threads together; 0 if it cannot be known."""
    if pid is None or sys.platform != "linux":
        return 0.0
    try:
        return time.clock_gettime((~pid << 3) | CPU_CLOCK)
    except OSError:
        return 0.0


def peak_memory(pid: int) -> float:
    """Return the largest resident memory that a process has had, in MB."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1000 for line in lines if line.startswith("VmHWM")), 0.0)


def bytes_written(pid: int) -> int:
    """Return how many bytes a process has made the disk write, sooner or later; 0 if unknown."""
    try:
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("write_bytes")), 0)
