"""The innocent client, a process of its own: it puts an item and takes it, again and again.

`python -m bench.hostile.innocent PORT PID [GREETING]` says who it is, if it is to, and prints a
line when it is there, and for each line of its standard input one of what it has felt since the
last, in JSON. It ends with its standard input.

For each request it takes the CPU time that the server's main thread used until the reply was here.
If it was itself ready to run and had to wait for a processor meanwhile, the server may have gone on
with other work, so that time is taken off.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from bench.hostile import BrokenError
from bench.hostile.watch import MainThread, schedule

ROOT = Path(__file__).parents[2]
QUEUE = b"innocent"
BODY = b"i" * 100
PUT = b"set %b 0 0 %d\r\n%b\r\n" % (QUEUE, len(BODY), BODY)
GET = b"get %b\r\n" % QUEUE
ITEM = b"VALUE %b 0 %d\r\n%b\r\nEND\r\n" % (QUEUE, len(BODY), BODY)
MISS = b"END\r\n"
PAUSE = 0.001  # seconds between two requests, so that it takes only a part of the server's time
PATIENCE = 600.0  # seconds that a reply may take
NICENESS = -19


@dataclass
class Felt:
    """What it has felt in some time."""

    requests: int = 0
    worst_cpu: float = 0.0
    """The most CPU seconds of the server between a request and its reply."""
    worst_wait: float = 0.0
    """The most seconds until a reply."""
    own_delay: float = 0.0
    """Seconds taken off the worst CPU time, of waiting for a processor itself."""
    odd: int = 0
    """Replies that an undisturbed client would not get."""
    first_odd: str = ""


class Innocent:
    """The client."""

    def __init__(self, port: int, pid: int) -> None:
        self.felt = Felt()
        self._server = MainThread(pid)
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)

    def ask(self, request: bytes, right: bytes) -> None:
        """Make one request, and take down what it cost. Raises `OSError` if it ends badly."""
        _, delay = schedule("/proc/self/schedstat")
        cpu, began = self._server.read(), time.perf_counter()
        self._sock.sendall(request)
        reply = self._receive(right)
        waited, cpu = time.perf_counter() - began, self._server.read() - cpu
        delay = schedule("/proc/self/schedstat")[1] - delay
        felt = self.felt
        felt.requests += 1
        felt.worst_wait = max(felt.worst_wait, waited)
        if (cpu - delay) / 1e9 > felt.worst_cpu:
            felt.worst_cpu, felt.own_delay = (cpu - delay) / 1e9, delay / 1e9
        if reply != right:
            felt.odd += 1
            felt.first_odd = felt.first_odd or repr(reply[:100].decode(errors="replace"))

    def _receive(self, right: bytes) -> bytes:
        reply = b""
        while reply != right:
            part = self._sock.recv(1 << 16)
            if not part:
                raise OSError("the server closed the connection")
            reply += part
            if reply.endswith(b"\r\n") and not reply.startswith(b"VALUE "):
                break
            if reply.endswith(b"\r\nEND\r\n"):
                break
        return reply


class Bystander:
    """The innocent client as a process, for those who look at it; it is a context."""

    def __init__(self, port: int, pid: int, greeting: bytes = b"") -> None:
        self._words = (str(port), str(pid), greeting.decode())

    def __enter__(self) -> Self:
        """Start it. Raises `BrokenError`."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, *self._words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self._line()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def felt(self) -> Felt:
        """Return what it has felt since it was asked the last time. Raises `BrokenError`."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        return replace(Felt(), **json.loads(self._line()))

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BrokenError("the innocent client ended")
        return line


def main() -> None:
    """Put and take until the standard input ends."""
    # Whoever is woken late sees too much of the server's time.
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    innocent = Innocent(int(sys.argv[1]), int(sys.argv[2]))
    if sys.argv[3]:
        innocent.ask(sys.argv[3].encode(), b"STORED\r\n")
        innocent.felt = Felt()
    print("ready", flush=True)
    while True:
        try:
            innocent.ask(PUT, b"STORED\r\n")
            innocent.ask(GET, ITEM)
        except OSError as error:
            innocent.felt.odd += 1
            innocent.felt.first_odd = f"broke off: {error}"
            print(json.dumps(asdict(innocent.felt)), flush=True)
            return
        if select.select([sys.stdin], [], [], PAUSE)[0]:
            if not sys.stdin.readline():
                return
            print(json.dumps(asdict(innocent.felt)), flush=True)
            innocent.felt = Felt()


if __name__ == "__main__":
    main()
