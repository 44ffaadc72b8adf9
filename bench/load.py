"""Print the put and get rates of a queue server that speaks the memcached text protocol.

A round puts all its items and then gets them; a void run prints no rates. The only process
ever signalled is the server that was started here, on a spool that goes when it ends, and
nothing outlives the time limit by more than the server's time to stop.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench import LoadError, VoidRunError
from bench.dialects import Text, Way
from bench.fleet import Fleet
from bench.phrases import DIGITS
from bench.process import PATIENCE, await_start, free_port, own_cores, said, spawn, stop
from bench.servers import starling_command
from bench.tally import BUSY, Tally
from bench.works import Gets, Puts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


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
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="starling-load-")))
        port, log = free_port(host), folder / "log"
        core = stack.enter_context(own_cores())
        server = spawn(starling_command(sync, folder, port, host), log, core)
        stack.callback(stop, server)
        await_start(server, (host, port), min(deadline, time.perf_counter() + PATIENCE), log)
        try:
            yield port, server.pid
        except LoadError as error:
            if server.poll() is not None:
                error.add_note(f"the server ended with {server.returncode}; {said(log)}")
            raise


def run(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Make one run; return a row of figures for put and one for get."""
    deadline = time.perf_counter() + options.time_limit
    tallies = {"put": Tally(), "get": Tally()}
    dialect, queue = Text(), options.queue.encode()
    put = dialect.put(queue, options.size, 0)
    get = dialect.get(queue, options.size, 0, Way.POP)
    with ExitStack() as stack:
        port, pid = options.port, options.pid
        if port is None:
            port, pid = stack.enter_context(own_server(options.host, options.sync, deadline))
        fleet = Fleet((options.host, port), options.connections, deadline)
        stack.callback(fleet.close)
        for number in range(options.rounds):
            numbers = range(number * options.items, (number + 1) * options.items)
            puts = Puts(lambda _: (put,), numbers, options.depth)
            tallies["put"].measure(fleet, puts, pid)
            gets = Gets(lambda _: (get,), numbers, options.depth, puts)
            tallies["get"].measure(fleet, gets, pid)
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
