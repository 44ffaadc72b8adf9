"""Measure this server and others under the same load, and print one table.

Each server is started on a fresh folder and a core of its own, with the load on another; rounds
are interleaved, and every item that comes back is checked. Servers listen on loopback only.
Nothing outlives the time limit, and only what was started here is ever signalled.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench import LoadError, micro, quick
from bench.contest import Contest
from bench.hostile import show as hostile
from bench.phrases import DIGITS
from bench.process import allow_many_files, own_cores
from bench.scenarios import SCENARIOS, Scenario, deep
from bench.servers import FAMILIES, SEARCHED, WHOLE_ITEM, Server, choose, find
from bench.table import HEADINGS, LEGEND, line, row_line, surroundings
from bench.targets import ratios

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.contest import Row


SHAPES = {
    "connections": (1, 10_000),
    "depth": (1, 10_000),
    "size": (DIGITS, WHOLE_ITEM),
    "queues": (1, 10_000),
    "idle": (0, 10_000),
}
"""What of a scenario's shape can be asked for: the least and the most."""


def between(least: int, most: int) -> Callable[[str], int]:
    """Return what reads a number of an option."""

    def number(text: str) -> int:
        if not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"not between {least:,} and {most:,}: {text}")
        return int(text)

    return number


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options; exits with code 2 and a line that names the wrong one."""
    parser = argparse.ArgumentParser(prog="bench", description=(__doc__ or "").partition("\n")[0])
    names = ", ".join(scenario.name for scenario in SCENARIOS)

    def listed(text: str) -> list[str]:
        return [name for name in text.split(",") if name]

    parser.add_argument("--scenarios", type=listed, default=[], help=f"some of {names}, deep")
    parser.add_argument(
        "--servers", type=listed, default=[], help="families or single policies; default: all"
    )
    parser.add_argument(
        "--rounds", type=between(1, 1000), default=3, metavar="N", help="rounds of each (default 3)"
    )
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="of one work of a round (default 1)"
    )
    for shape, limits in SHAPES.items():
        text = f"in place of each scenario's own {shape}"
        parser.add_argument(f"--{shape}", type=between(*limits), metavar="N", help=text)
    parser.add_argument(
        "--backlog",
        type=between(0, 10**DIGITS),
        default=0,
        metavar="N",
        help="also with N items there, more than the rounds take",
    )
    parser.add_argument("--time-limit", type=float, default=1800, help="seconds for a scenario")
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--quick", action="store_true", help="what CI runs, in less than a minute")
    parser.add_argument("--micro", action="store_true", help="parts of this server, alone")
    parser.add_argument(
        "--hostile", action="store_true", help="attacks, what others feel of them, and memory"
    )
    parser.add_argument(
        "--users", action="store_true", help="with --hostile: the server has users, and all log in"
    )
    parser.add_argument(
        "--tries",
        type=between(1, 10),
        default=1,
        metavar="N",
        help="of an attack that is beyond its bounds (default 1)",
    )
    parser.add_argument(
        "--margin", type=float, default=1.0, help="times the CPU time that an attack may take"
    )
    parser.add_argument("--json", type=Path, help="a file for all figures")
    for family in FAMILIES:
        searched = SEARCHED.get(family)
        text = f"instead of {searched}" if searched else "measured only if given"
        parser.add_argument(f"--{family}", metavar="PROGRAM", help=text)
    return parser.parse_args(arguments)


def scenarios(options: argparse.Namespace) -> list[Scenario]:
    """Return the scenarios that were asked for. Raises `LoadError`."""
    shape = {name: vars(options)[name] for name in SHAPES if vars(options)[name] is not None}
    known = [replace(scenario, **shape) for scenario in SCENARIOS]
    if options.backlog:
        known.append(replace(deep(options.backlog), **shape))
    if not options.scenarios:
        return known
    by_name = {scenario.name: scenario for scenario in known}
    unknown = set(options.scenarios) - by_name.keys()
    if unknown:
        more = "; deep needs --backlog N" if "deep" in unknown else ""
        raise LoadError(f"no scenario {', '.join(sorted(unknown))}{more}")
    return [by_name[name] for name in options.scenarios]


def contenders(options: argparse.Namespace) -> list[Server]:
    """Return the servers that were asked for, and show where they run. Raises `LoadError`."""
    named = {family: vars(options)[family] for family in FAMILIES if vars(options)[family]}
    servers, missing = find(named)
    if options.servers:
        servers = choose(servers, options.servers)
    print(surroundings(options.directory, servers, missing), flush=True)
    return servers


def run(options: argparse.Namespace, core: int | None) -> list[Row]:
    """Measure everything, printing a row as soon as it is known."""
    wanted, servers = scenarios(options), contenders(options)
    traces = shutil.which("strace") is not None
    limits = (options.rounds, options.seconds, options.time_limit)
    contest = Contest(*limits, options.directory, core, traces)
    rows: list[Row] = []
    print(f"\n{line(HEADINGS)}", flush=True)
    for scenario in wanted:
        named = {*scenario.servers}
        some = [server for server in servers if named & {server.name, server.family}]
        new = list(contest.run(scenario, servers if options.servers or not named else some))
        rows += new
        show(new, rows, servers)
    print(f"\n{LEGEND}")
    for scenario in wanted:
        print(f"{scenario.name}: {scenario.text()}")
        if scenario.control is not None:
            print(f"{scenario.control.name}: {scenario.control.text()}")
    print("\ntargets:")
    known = [ratio for ratio in ratios(rows) if ratio.value is not None]
    for ratio in known:
        print(ratio.line())
    print(f"{len(list(ratios(rows))) - len(known)} more were not measured")
    return rows


def run_quickly(options: argparse.Namespace, core: int | None) -> list[Row]:
    """Do what CI does; of the figures, only ratios within this run can fail."""
    servers, rows = contenders(options), []
    for scenario in quick.RIGHT:
        new = list(quick.right(scenario, servers, core, options.directory))
        rows += new
        names = dict.fromkeys(str(row["server"]) for row in new if "trouble" not in row)
        print(f"{scenario.name}: right: {', '.join(names)}", flush=True)
        for row in (row for row in new if "trouble" in row):
            print(f"{row['scenario']}: {row['server']}: {row['trouble']}", flush=True)
    machine = (servers, core, options.directory)
    judged = (quick.costs(*machine), quick.waits(*machine), quick.parts(options.directory))
    for ratio in itertools.chain(*judged):
        print(ratio.line(), flush=True)
        if ratio.verdict != "reached":
            rows.append({"scenario": ratio.what, "failed": 1.0})
    return rows


def run_attacks(options: argparse.Namespace, core: int | None) -> list[Row]:
    """Attack this server, and another version of it if that is given."""
    rows = hostile.wanted(options.scenarios)
    servers, _ = find({"before": options.before} if options.before else {})
    some = hostile.attackable(servers, options.servers)
    print(surroundings(options.directory, some, {}), flush=True)
    return hostile.run(
        rows,
        some,
        core,
        options.directory,
        quick=options.quick,
        users=options.users,
        tries=options.tries,
        margin=options.margin,
    )


def show(new: Sequence[Row], rows: Sequence[Row], servers: Sequence[Server]) -> None:
    """Print the lines of new rows."""
    peers = {server.name: server.peer for server in servers}
    for row in new:
        print(row_line(row, rows, peers), flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code, 1 if something could not be measured."""
    options = parse(arguments)
    if options.micro:
        micro.show(options.directory)
        return 0
    allow_many_files()
    try:
        with own_cores() as core:
            if core is None:
                print("one core only: servers and load share it, so no rate here means much")
            measure = run_quickly if options.quick else run
            rows = (run_attacks if options.hostile else measure)(options, core)
    except (LoadError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    if options.json is not None:
        figures = {"command": sys.argv if arguments is None else arguments, "rows": rows}
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return int(any("failed" in row for row in rows))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
