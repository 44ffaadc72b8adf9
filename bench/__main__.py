"""Measure this server and others under the same load, and print one table.

Each server is started on a fresh folder and a core of its own, with the load on another; rounds
are interleaved, and every item that comes back is checked. Servers listen on loopback only.
Nothing outlives the time limit, and only what was started here is ever signalled.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench import LoadError
from bench.contest import Contest
from bench.process import allow_many_files, own_cores
from bench.scenarios import SCENARIOS, Scenario, deep
from bench.servers import FAMILIES, SEARCHED, choose, find
from bench.table import HEADINGS, LEGEND, line, row_line, surroundings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.contest import Row


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
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each (default 3)")
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="of one work of a round (default 1)"
    )
    parser.add_argument("--backlog", type=int, default=0, help="also measure with so many items")
    parser.add_argument("--time-limit", type=float, default=1800, help="seconds for a scenario")
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--json", type=Path, help="a file for all figures")
    for family in FAMILIES:
        searched = SEARCHED.get(family)
        text = f"instead of {searched}" if searched else "measured only if given"
        parser.add_argument(f"--{family}", metavar="PROGRAM", help=text)
    return parser.parse_args(arguments)


def scenarios(options: argparse.Namespace) -> list[Scenario]:
    """Return the scenarios that were asked for. Raises `LoadError`."""
    known = list(SCENARIOS)
    if options.backlog:
        known.append(deep(options.backlog))
    if not options.scenarios:
        return known
    by_name = {scenario.name: scenario for scenario in known}
    unknown = set(options.scenarios) - by_name.keys()
    if unknown:
        more = "; deep needs --backlog N" if "deep" in unknown else ""
        raise LoadError(f"no scenario {', '.join(sorted(unknown))}{more}")
    return [by_name[name] for name in options.scenarios]


def run(options: argparse.Namespace) -> list[Row]:
    """Measure everything, printing a row as soon as it is known."""
    wanted = scenarios(options)
    named = {family: vars(options)[family] for family in FAMILIES if vars(options)[family]}
    servers, missing = find(named)
    if options.servers:
        servers = choose(servers, options.servers)
    print(surroundings(options.directory, servers, missing), flush=True)
    peers = {server.name: server.peer for server in servers}
    rows: list[Row] = []
    allow_many_files()
    with own_cores() as core:
        if core is None:
            print("one core only: servers and load share it, so no rate here means much")
        print(f"\n{line(HEADINGS)}", flush=True)
        contest = Contest(
            options.rounds,
            options.seconds,
            options.time_limit,
            options.directory,
            core,
            shutil.which("strace") is not None,
        )
        for scenario in wanted:
            some = [
                s for s in servers if s.name in scenario.servers or s.family in scenario.servers
            ]
            all_of_it = options.servers or not scenario.servers
            new = list(contest.run(scenario, servers if all_of_it else some))
            rows += new
            for row in new:
                print(row_line(row, rows, peers), flush=True)
    print(f"\n{LEGEND}")
    for scenario in wanted:
        print(f"{scenario.name}: {scenario.text()}")
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code, 1 if something could not be measured."""
    options = parse(arguments)
    try:
        rows = run(options)
    except (LoadError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    if options.json is not None:
        options.json.write_text(json.dumps({"rows": rows}, indent=1) + os.linesep)
    return int(any("failed" in row for row in rows))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
