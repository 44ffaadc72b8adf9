"""Print what it costs a server to be watched: by starling-top, by the page, by Prometheus.

One server with many queues, some of which are used a few times a second. In turn nobody watches,
then starling-top does on a terminal of its own, then a browser's stream of the page, then both,
then scrapes of the metrics; again and again. The figures are the server's CPU time as a share of
one core, which other work on the machine hardly changes, and how long its clients waited for a
reply.
The load's own work is in all of them, and taken off where the table says so.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import select
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from contextlib import ExitStack
from fcntl import ioctl
from pathlib import Path
from typing import TYPE_CHECKING

from bench import LoadError
from bench.process import PATIENCE, await_start, cpu_seconds, free_port, own_cores, spawn, stop
from bench.servers import HOST
from bench.tally import percentile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROUND = 0.2
"""Seconds from one put and get of each busy queue to the next."""
FILL = 200
"""Queues that are made at once."""
SETTLING = 8.0
"""Seconds until what was begun by making queues is done."""
BEGINNING = 2.0
"""Seconds in which somebody who begins to watch is told everything once; they do not count."""

LATE = 30.0
"""Seconds beyond those of the measuring in which everybody must have been told something."""


class Watcher:
    """Somebody who watches, and whose screen nobody sees."""

    def __init__(self) -> None:
        self.told = 0
        """Bytes that were shown."""

    def begin(self) -> None:
        """Begin to watch."""

    def fileno(self) -> int | None:
        """Return what becomes readable; `None` if nothing does."""
        return None

    def read(self) -> None:
        """Read what there is."""

    def end(self) -> None:
        """Watch no more."""


class Top(Watcher):
    """starling-top on a terminal of 120 columns and 40 lines."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port
        self._terminal = -1
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Start it."""
        self._terminal, other = pty.openpty()
        ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        command = [sys.executable, "-m", "starling_py.top", "-p", str(self._port)]
        environment = {**os.environ, "TERM": "xterm-256color"}
        self._process = subprocess.Popen(
            command, stdin=other, stdout=other, stderr=other, env=environment
        )
        os.close(other)

    def fileno(self) -> int:
        """Return its terminal."""
        return self._terminal

    def read(self) -> None:
        """Read what it draws. Raises `OSError` when it has ended."""
        self.told += len(os.read(self._terminal, 1 << 16))

    def end(self) -> None:
        """End it."""
        if self._process is not None:
            stop(self._process)
            os.close(self._terminal)
            self._process = None


class Page(Watcher):
    """A browser that has the page open: the stream of what it shows."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port
        self._socket: socket.socket | None = None

    def begin(self) -> None:
        """Open the stream."""
        self._socket = socket.create_connection((HOST, self._port), timeout=10)
        self._socket.sendall(b"GET /events?rows=50 HTTP/1.1\r\nHost: localhost\r\n\r\n")

    def fileno(self) -> int | None:
        """Return the stream."""
        return None if self._socket is None else self._socket.fileno()

    def read(self) -> None:
        """Read what has come. Raises `LoadError` when the server has closed it."""
        assert self._socket is not None, "it has begun"
        data = self._socket.recv(1 << 16)
        if not data:
            raise LoadError("the server has closed the page's stream")
        self.told += len(data)

    def end(self) -> None:
        """Close the stream."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Scraper(Page):
    """Prometheus, which asks for the metrics; here once a second, mostly it is four a minute."""

    _next = 0.0

    def begin(self) -> None:
        """Connect."""
        self._socket = socket.create_connection((HOST, self._port), timeout=10)

    def ask(self, now: float) -> None:
        """Scrape once more if it is time."""
        if self._socket is not None and now >= self._next:
            self._next = now + 1.0
            self._socket.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")


class Load:
    """One client that puts an item into each busy queue, and takes it, a few times a second."""

    def __init__(self, address: tuple[str, int], busy: int) -> None:
        self._socket = socket.create_connection(address, timeout=PATIENCE)
        self._file = self._socket.makefile("rb")
        self._busy = [b"q%05d" % number for number in range(busy)]
        self.waits: list[float] = []
        """Seconds until one queue's put and get were answered."""

    def fill(self, queues: int) -> None:
        """Make the queues, of one item each, that stays. Raises `LoadError`."""
        for first in range(0, queues, FILL):
            names = [b"q%05d" % number for number in range(first, min(first + FILL, queues))]
            self._socket.sendall(b"".join(b"set %b 0 0 5\r\nitem1\r\n" % name for name in names))
            for _ in names:
                self._expect(b"STORED\r\n")

    def go_round(self) -> None:
        """Put into each busy queue and take from it. Raises `LoadError`."""
        for name in self._busy:
            began = time.perf_counter()
            self._socket.sendall(b"set %b 0 0 5\r\nitem1\r\nget %b\r\n" % (name, name))
            for line in (b"STORED\r\n", b"VALUE %b 0 5\r\n" % name, b"item1\r\n", b"END\r\n"):
                self._expect(line)
            self.waits.append(time.perf_counter() - began)

    def _expect(self, line: bytes) -> None:
        got = self._file.readline()
        if got != line:
            raise LoadError(f"expected {line!r}, got {got!r}")

    def close(self) -> None:
        """Close the connection."""
        self._file.close()
        self._socket.close()


Row = dict[str, float]


def is_lacking(watchers: Sequence[Watcher], told: Sequence[int]) -> bool:
    """Tell whether some who watch have been told no more than before."""
    return any(each.told == before for each, before in zip(watchers, told, strict=True))


class Trial:
    """A server that is watched."""

    def __init__(self, seconds: float, pid: int, load: Load) -> None:
        self.seconds = seconds
        self._pid = pid
        self._load = load

    def phase(self, watchers: Sequence[Watcher], *, works: bool) -> Row:
        """Watch for a while; return what that cost. Raises `LoadError`."""
        load = self._load
        with ExitStack() as stack:
            for each in watchers:
                each.begin()
                stack.callback(each.end)
            self._go_on(watchers, BEGINNING, works=works)
            load.waits.clear()
            told = [each.told for each in watchers]
            began, used = time.perf_counter(), cpu_seconds(self._pid)
            self._go_on(watchers, self.seconds, works=works)
            while is_lacking(watchers, told):  # on a busy machine, what is told comes late
                if time.perf_counter() > began + self.seconds + LATE:
                    raise LoadError("somebody who watches was told nothing")
                self._go_on(watchers, ROUND, works=works)
            took, used = time.perf_counter() - began, cpu_seconds(self._pid) - used
        waits = sorted(load.waits) or [0.0]
        return {
            "share": used / took,
            "p99_ms": percentile(waits, 99) * 1e3,
            "max_ms": waits[-1] * 1e3,
        }

    def _go_on(self, watchers: Sequence[Watcher], seconds: float, *, works: bool) -> None:
        end = time.perf_counter() + seconds
        following = time.perf_counter()
        while (now := time.perf_counter()) < end:
            if now >= following:
                following = now + ROUND
                if works:
                    self._load.go_round()
            for each in watchers:
                if isinstance(each, Scraper):
                    each.ask(now)
            left = max(0.0, min(following, end) - time.perf_counter())
            shown = {number: each for each in watchers if (number := each.fileno()) is not None}
            ready = select.poll()
            for number in shown:
                ready.register(number, select.POLLIN)
            for number, _ in ready.poll(left * 1000):
                shown[number].read()


def server(stack: ExitStack, deadline: float) -> tuple[int, int, int]:
    """Start a server that tells by HTTP too; return both ports and its process. May raise."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="starling-watching-")))
    port, web, log, conf = free_port(), free_port(), folder / "log", folder / "conf.yml"
    conf.write_text(f"http:\n  listen: {HOST}:{web}\n  dashboard: true\n")
    core = stack.enter_context(own_cores())
    command = [sys.executable, "-m", "starling_py", "--config", str(conf), "--port", str(port)]
    process = spawn([*command, "--queue_path", str(folder / "spool")], log, core)
    stack.callback(stop, process)
    await_start(process, (HOST, port), deadline, log)
    return port, web, process.pid


def run(options: argparse.Namespace) -> dict[str, Row]:
    """Measure everything; return a row of figures for each who watches. Raises `LoadError`."""
    with ExitStack() as stack:
        port, web, pid = server(stack, time.perf_counter() + PATIENCE)
        load = Load((HOST, port), options.busy)
        stack.callback(load.close)
        load.fill(options.queues)
        trial = Trial(options.seconds, pid, load)
        who: dict[str, tuple[Sequence[Watcher], bool]] = {
            "idle": ((), False),
            "busy": ((), True),
            "top": ((Top(port),), True),
            "page": ((Page(web),), True),
            "top and page": ((Top(port), Page(web)), True),
            "metrics": ((Scraper(web),), True),
        }
        time.sleep(SETTLING)
        found: dict[str, list[Row]] = {name: [] for name in who}
        for _ in range(options.rounds):
            for name, (watchers, works) in who.items():
                found[name].append(trial.phase(watchers, works=works))
    return {
        name: {key: statistics.median(row[key] for row in rows) for key in rows[0]}
        for name, rows in found.items()
    }


def lines(rows: dict[str, Row]) -> Iterator[str]:
    """Yield the report a person reads."""
    form = "{:<14}{:>12}{:>14}{:>10}{:>10}"
    yield form.format("watched by", "% of a core", "beyond busy", "p99 ms", "max ms")
    for name, row in rows.items():
        own = "" if name in ("idle", "busy") else f"{(row['share'] - rows['busy']['share']):.2%}"
        waits = ("", "") if name == "idle" else (f"{row['p99_ms']:.1f}", f"{row['max_ms']:.1f}")
        yield form.format(name, f"{row['share']:.2%}", own, *waits)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code, 1 if a run was void."""
    parser = argparse.ArgumentParser(
        prog="watching", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--queues", type=int, default=10_000, help="queues (default 10000)")
    parser.add_argument("--busy", type=int, default=100, help="busy ones of them (default 100)")
    parser.add_argument("--seconds", type=float, default=10, help="of a phase (default 10)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--json", type=Path, help="a file for all figures")
    options = parser.parse_args(arguments)
    try:
        rows = run(options)
    except (LoadError, OSError) as error:
        print(f"watching: {error}", file=sys.stderr)
        return 1
    about = f"{options.queues:,} queues, {options.busy} of them put to and taken from"
    print(f"{about} {1 / ROUND:.0f} times a second\n" + "\n".join(lines(rows)))
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
