"""Print the put and get rates of a queue server that speaks the memcached text protocol.

A round puts all its items and then gets them; a void run prints no rates. The only process
ever signalled is the server that was started here, on a spool that goes when it ends, and
nothing outlives the time limit by more than the server's time to stop.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench import DIGITS, Fleet, Gets, LoadError, Puts, VoidRunError, Work

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BUSY = 0.9  # above this share of the wall time the load may be what was measured
PATIENCE = 10.0  # seconds a server gets to start, and again to stop


class Tally:
    """What the rounds of one direction measured."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        """Operations per second, one of each round."""
        self.latencies: list[float] = []
        """Seconds, one of each batch of all rounds."""
        self.operations = 0
        self.wall = self.load_cpu = self.server_cpu = 0.0

    def measure(self, fleet: Fleet, work: Work, operations: int, pid: int | None) -> None:
        """Drive `work`, which is `operations` requests, and add what it took."""
        server, load, wall = cpu_seconds(pid), time.process_time(), time.perf_counter()
        latencies = fleet.drive(work)
        took = time.perf_counter() - wall
        self.load_cpu += time.process_time() - load
        self.server_cpu += cpu_seconds(pid) - server
        work.finish()
        self.wall += took
        self.operations += operations
        self.rates.append(operations / took)
        self.latencies += latencies

    def row(self) -> dict[str, float]:
        """Return the figures that are shown; microseconds unless the name says otherwise."""
        ordered = sorted(self.latencies)
        return {
            "ops_per_s": statistics.median(self.rates),
            "ops_per_s_min": min(self.rates),
            "ops_per_s_max": max(self.rates),
            "p50": percentile(ordered, 50) * 1e6,
            "p99": percentile(ordered, 99) * 1e6,
            "max": ordered[-1] * 1e6,
            "server_cpu_per_op": self.server_cpu / self.operations * 1e6,
            "load_cpu_per_op": self.load_cpu / self.operations * 1e6,
            "load_busy_share": self.load_cpu / self.wall,
        }


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the least of the sorted values that `percent` of them do not exceed."""
    return ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)]


def cpu_seconds(pid: int | None) -> float:
    """Return the CPU time a process has used, all threads together; 0 if it cannot be known."""
    try:
        # The name, in parentheses, may hold anything, blanks and parentheses too.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def table(rows: dict[str, dict[str, float]]) -> str:
    """Return the report a person reads."""
    form = "{:<9}{:>12}{:>24}{:>10}{:>10}{:>11}{:>16}"
    lines = [
        form.format("operation", "ops/s", "min..max", "p50 us", "p99 us", "max us", "CPU us/op")
    ]
    for name, row in rows.items():
        spread = f"{row['ops_per_s_min']:,.0f}..{row['ops_per_s_max']:,.0f}"
        times = [f"{row[key]:,.0f}" for key in ("p50", "p99", "max")]
        cpu = f"{row['server_cpu_per_op']:.2f}" if row["server_cpu_per_op"] else "unknown"
        lines.append(form.format(name, f"{row['ops_per_s']:,.0f}", spread, *times, cpu))
    shares = (f"{row['load_busy_share']:.0%} in {name}" for name, row in rows.items())
    costs = "/".join(f"{row['load_cpu_per_op']:.2f}" for row in rows.values())
    lines.append(f"load generator busy: {', '.join(shares)} ({costs} us/op)")
    if any(row["load_busy_share"] > BUSY for row in rows.values()):
        lines.append(f"above {BUSY:.0%}: the load may be the bottleneck, not the server")
    return "\n".join(lines)


@contextmanager
def own_server(host: str, sync: str, deadline: float) -> Iterator[tuple[int, int]]:
    """Run this package's server on a fresh spool and a core of its own; yield port and pid."""
    with ExitStack() as stack, socket.socket() as probe:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="starling-load-")))
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        probe.close()
        spool, log = folder / "spool", folder / "log"
        spool.mkdir()
        command = [sys.executable, "-m", "starling_py", "--queue_path", str(spool)]
        command += ["--host", host, "--port", str(port), "--sync", sync]
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        if len(cores) > 1:
            stack.callback(os.sched_setaffinity, 0, cores)
            # The server inherits its core with all its threads; then the load moves away.
            os.sched_setaffinity(0, cores[:1])
        with log.open("wb") as output:
            server = subprocess.Popen(command, stdout=output, stderr=output)
        stack.callback(stop, server)
        if len(cores) > 1:
            os.sched_setaffinity(0, cores[1:2])
        await_start(server, (host, port), min(deadline, time.perf_counter() + PATIENCE), log)
        try:
            yield port, server.pid
        except LoadError as error:
            if server.poll() is not None:
                error.add_note(f"the server ended with {server.returncode}; {said(log)}")
            raise


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


def run(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Make one run; return a row of figures for put and one for get."""
    deadline = time.perf_counter() + options.time_limit
    tallies = {"put": Tally(), "get": Tally()}
    with ExitStack() as stack:
        port, pid = options.port, options.pid
        if port is None:
            port, pid = stack.enter_context(own_server(options.host, options.sync, deadline))
        fleet = Fleet((options.host, port), options.connections, deadline)
        stack.callback(fleet.close)
        for number in range(options.rounds):
            numbers = range(number * options.items, (number + 1) * options.items)
            shape = (options.queue, options.size, numbers, options.depth)
            tallies["put"].measure(fleet, Puts(*shape), options.items, pid)
            tallies["get"].measure(fleet, Gets(*shape), options.items, pid)
    return {name: tally.row() for name, tally in tallies.items()}


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options; exits with code 2 and a line that names the wrong one."""
    parser = argparse.ArgumentParser(prog="load", description=(__doc__ or "").partition("\n")[0])

    def option(name: str, default: int, least: int, text: str) -> None:
        def number(given: str) -> int:
            if int(given) < least:
                raise argparse.ArgumentTypeError(f"less than {least}: {given}")
            return int(given)

        text += f" (default {default})"
        parser.add_argument(name, default=default, type=number, metavar="N", help=text)

    option("--connections", 50, 1, "connections")
    option("--depth", 1, 1, "requests in flight on each connection, sent as one batch")
    option("--size", 1024, DIGITS, "bytes of an item")
    option("--items", 100_000, 1, "items of a round, put and got")
    option("--rounds", 3, 1, "rounds")
    option("--time-limit", 120, 1, "seconds after which the run fails")
    parser.add_argument("--queue", default="load", help="the queue, empty before (default load)")
    parser.add_argument("--sync", default="50ms", help="never, Nms or always (default 50ms)")
    parser.add_argument("--host", default="127.0.0.1", help="address (default 127.0.0.1)")
    parser.add_argument("--port", type=int, help="of a running server; none: start one")
    parser.add_argument("--pid", type=int, help="process of a running server, for its CPU time")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    if options.items * options.rounds > 10**DIGITS:
        parser.error(f"items times rounds exceeds {10**DIGITS}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code, 1 if there is nothing to show."""
    options = parse(arguments)
    try:
        rows = run(options)
    except (LoadError, OSError) as error:
        void = "void run: " if isinstance(error, VoidRunError) else ""
        print(f"load: {void}{error}", *getattr(error, "__notes__", ()), sep="\n", file=sys.stderr)
        return 1
    print(json.dumps({"options": vars(options), "rows": rows}) if options.json else table(rows))
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
