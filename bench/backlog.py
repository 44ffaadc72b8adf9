"""Print what a deep queue costs: memory, the time of a start, and the rates beside an empty one's.

For each number of items, a server on a spool of its own is filled; its memory is read; it is
stopped in order and started again, killed and started again, each time until it has answered a
get of the queue; then a part of the items is put and got, as in an empty queue of the same server
right before and after. Every item that comes back is checked. Nothing outlives the time limit.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from bench import LoadError
from bench.dialects import Text, Way, exchange
from bench.fleet import Fleet
from bench.process import await_start, free_port, peak_memory, spawn, stop
from bench.scenarios import FILL_DEPTH, FILL_ROUND
from bench.servers import HOST, starling_command
from bench.works import Gets, Puts

if TYPE_CHECKING:
    from collections.abc import Sequence

DEEP, EMPTY = b"deep", b"empty"
SAMPLE = 40_000  # items of one comparison


class Backlog:
    """One server with a queue of many items, or with many queues of one item each."""

    def __init__(
        self, items: int, size: int, sync: str, deadline: float, *, many: bool = False
    ) -> None:
        """``many``: whether each item is in a queue of its own."""
        self.names = [b"q%06d" % number for number in range(items)] if many else [DEEP]
        self.items = items
        self.size = size
        self.sync = sync
        self.deadline = deadline
        self.stack = ExitStack()
        folder = tempfile.TemporaryDirectory(prefix="starling-backlog-", dir=os.environ.get("TMP"))
        self.folder = Path(self.stack.enter_context(folder))
        self.address = (HOST, free_port())
        self.server: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start the server; return the seconds until it has answered a get of the queue."""
        log = self.folder / "log"
        began = time.perf_counter()
        command = starling_command(self.sync, self.folder, self.address[1])
        self.server = spawn(command, log, None)
        await_start(self.server, self.address, self.deadline, log)
        with socket.create_connection(self.address, timeout=60) as client:
            exchange(client, b"get %b/peek\r\n" % self.names[-1], b"END\r\n")
        return time.perf_counter() - began

    def end(self, *, kill: bool = False) -> float:
        """Stop or kill the server; return the seconds that it took."""
        began = time.perf_counter()
        if self.server is not None:
            if kill:
                self.server.kill()
                self.server.wait()
            else:
                stop(self.server)
        return time.perf_counter() - began

    def fleet(self, connections: int = 50) -> Fleet:
        """Connect a load."""
        return Fleet(self.address, connections, self.deadline)

    def fill(self) -> float:
        """Put all items; return the rate."""
        began = time.perf_counter()
        fleet = self.fleet(1)
        for first in range(0, self.items, FILL_ROUND):
            numbers = range(first, min(first + FILL_ROUND, self.items))
            fleet.drive(self.puts(self.names, numbers, FILL_DEPTH))
        fleet.close()
        return self.items / (time.perf_counter() - began)

    def memory(self) -> float:
        """Return the server's resident memory in MB, the largest that it has had."""
        assert self.server is not None
        return peak_memory(self.server.pid)

    def puts(self, queues: Sequence[bytes], numbers: range, depth: int = 1) -> Puts:
        """Return a round of puts, into the queues by turns."""
        puts = [Text().put(queue, self.size, 0) for queue in queues]
        return Puts(lambda _: puts, numbers, depth)

    def gets(self, queue: bytes, numbers: range, puts: Puts | None) -> Gets:
        """Return a round of gets of what one connection put, or `puts`."""
        return Gets(lambda at: (Text().get(queue, self.size, at, Way.POP),), numbers, 1, puts)

    def rates(self) -> tuple[float, float]:
        """Return what share of an empty queue's put and get rates the deep one has."""
        count = min(SAMPLE, self.items // 4)
        puts: dict[bytes, list[float]] = {DEEP: [], EMPTY: []}
        gets: dict[bytes, list[float]] = {DEEP: [], EMPTY: []}
        put_to, got_to = {DEEP: self.items, EMPTY: 0}, {DEEP: 0, EMPTY: 0}
        fleet = self.fleet()
        for _ in range(3):
            for queue in (EMPTY, DEEP):
                numbers = range(put_to[queue], put_to[queue] + count)
                done = self.puts([queue], numbers)
                puts[queue].append(timed(fleet, done))
                put_to[queue] += count
                numbers = range(got_to[queue], got_to[queue] + count)
                taken = self.gets(queue, numbers, done if queue is EMPTY else None)
                gets[queue].append(timed(fleet, taken))
                got_to[queue] += count
        fleet.close()
        put_share = statistics.median(puts[DEEP]) / statistics.median(puts[EMPTY])
        return put_share, statistics.median(gets[DEEP]) / statistics.median(gets[EMPTY])


def timed(fleet: Fleet, work: Puts | Gets) -> float:
    """Do some work and return its rate; its replies have been checked then."""
    took = fleet.drive(work)
    work.finish()
    return work.operations / took


def run(items: int, options: argparse.Namespace) -> None:
    """Measure one depth and print its row."""
    deadline = time.perf_counter() + options.time_limit
    many = options.queues
    backlog = Backlog(items, options.size, options.sync, deadline, many=many)
    with backlog.stack:
        backlog.stack.callback(backlog.end)
        empty = backlog.start()
        filled = backlog.fill()
        memory = backlog.memory()
        disk = sum(path.stat().st_size for path in backlog.folder.rglob("*.segment*")) / 1e9
        stopped = backlog.end()
        clean = backlog.start()
        backlog.end(kill=True)
        killed = backlog.start()
        put_share, get_share = (0.0, 0.0) if many else backlog.rates()
        memory = max(memory, backlog.memory())
        figures = (
            f"{items:,}", f"{disk:.2f}", f"{memory:.0f}", f"{filled:,.0f}", f"{stopped:.2f}",
            f"{empty:.2f}", f"{clean:.2f}", f"{killed:.2f}", f"{put_share:.0%}", f"{get_share:.0%}",
        )  # fmt: skip
        print(FORM.format(*figures), flush=True)


FORM = "{:>12}{:>9}{:>9}{:>11}{:>9}{:>12}{:>12}{:>12}{:>10}{:>10}"
HEADINGS = (
    "items", "disk GB", "RSS MB", "fill/s", "stop s", "empty start", "clean start", "killed start",
    "put share", "get share",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code, 1 if a run was void."""
    parser = argparse.ArgumentParser(prog="backlog", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("items", nargs="*", type=int, default=[1000, 100_000, 1_000_000])
    parser.add_argument("--size", type=int, default=1024, help="bytes of an item (default 1024)")
    parser.add_argument("--queues", action="store_true", help="a queue for each item, no rates")
    parser.add_argument("--sync", default="50ms", help="never, Nms or always (default 50ms)")
    parser.add_argument("--time-limit", type=int, default=1800, help="seconds for one row")
    options = parser.parse_args(arguments)
    print(FORM.format(*HEADINGS))
    try:
        for items in options.items:
            run(items, options)
    except (LoadError, OSError) as error:
        print(f"backlog: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
