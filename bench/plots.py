"""Measure rates against queues, connections and depth, and draw them: scripts/plots.

Each plot is one load of which one number is varied: queues, connections, requests in flight, items
that are there before. The figures stay in a file beside the pictures, from which these can be drawn
again; a test compares both, so that no picture shows what was not measured.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench import LoadError
from bench.contest import Contest
from bench.process import allow_many_files, own_cores
from bench.scenarios import Scenario, deep
from bench.servers import choose, find
from bench.table import surroundings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.contest import Row

FOLDER = Path(__file__).parent.parent / "docs/pictures"
DATA = FOLDER / "rates.json"
SERVERS = ("starling-50ms", "redis-everysec", "beanstalkd-f1000", "memcached", "darner")
COLOURS = ("#1f7a80", "#c0501f", "#7b5ea7", "#8a8f98", "#3f7f3a")
SWEEPS = {
    "queues": (1, 20, 200, 1000),
    "connections": (1, 10, 50, 200, 1000),
    "depth": (1, 4, 16, 32),
    "backlog": (0, 100_000, 300_000),
}
MEANINGS = {
    "queues": "queues, in turn",
    "connections": "connections",
    "depth": "requests in flight on each connection",
    "backlog": "items that are in the queue before",
}
OPERATIONS = ("put", "get")
BRIEF = 0.1
"""Seconds of a work at most where items are there before: the rounds must not take all of these."""

Point = tuple[float, float]


def scenarios() -> Iterator[Scenario]:
    """Yield what is measured: the same load, but for one number."""
    for number in SWEEPS["queues"]:
        yield Scenario(f"by-queues-{number}", queues=number)
    for number in SWEEPS["connections"]:
        yield Scenario(f"by-connections-{number}", connections=number)
    for number in SWEEPS["depth"]:
        yield Scenario(f"by-depth-{number}", depth=number)
    for number in SWEEPS["backlog"]:
        yield replace(deep(number) if number else Scenario(""), name=f"by-backlog-{number}")


def measure(options: argparse.Namespace) -> list[Row]:
    """Measure all of it. Raises `LoadError`."""
    servers, missing = find({})
    named = {server.name for server in servers}
    servers = choose(servers, [name for name in SERVERS if name in named])
    print(surroundings(options.directory, servers, missing), flush=True)
    rows: list[Row] = []
    allow_many_files()
    with own_cores() as core:
        for scenario in scenarios():
            print(scenario.name, flush=True)
            seconds = min(options.seconds, BRIEF) if scenario.backlog else options.seconds
            limits = (options.rounds, seconds, options.time_limit)
            rows += Contest(*limits, options.directory, core, False).run(scenario, servers)
    for row in rows:
        if "trouble" in row:
            print(f"{row['scenario']}: {row['server']}: {row['trouble']}", flush=True)
    return [
        {
            key: row[key]
            for key in ("scenario", "server", "operation", "ops_per_s", *SWEEPS)
            if key in row
        }
        for row in rows
        if "ops_per_s" in row
    ]


def points(rows: Sequence[Row], sweep: str, operation: str) -> dict[str, list[Point]]:
    """Return what was measured of each server, in the order of the number that is varied."""
    found: dict[str, list[Point]] = {}
    for row in rows:
        if (
            row["scenario"] == f"by-{sweep}-{float(row[sweep]):.0f}"
            and row["operation"] == operation
        ):
            point = (float(row[sweep]), float(row["ops_per_s"]))
            found.setdefault(str(row["server"]), []).append(point)
    return {server: sorted(found[server]) for server in SERVERS if server in found}


WIDTH, HEIGHT = 380, 220
LEFT, TOP = 58, 34


def drawn(rows: Sequence[Row], sweep: str) -> str:
    """Return one picture: puts on the left, gets on the right."""
    both = [points(rows, sweep, operation) for operation in OPERATIONS]
    most = max((rate for each in both for line in each.values() for _, rate in line), default=1.0)
    step = 10 ** math.floor(math.log10(most))
    step = next(each for each in (step / 2, step, step * 2, step * 5) if most / each <= 6)
    top = math.ceil(most / step) * step
    lines = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 840 320" width="840" height="320" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#3a4048">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
    ]
    for place, (operation, found) in enumerate(zip(OPERATIONS, both, strict=True)):
        left = LEFT + place * (WIDTH + 30)
        lines += _axes(left, f"{operation}s a second", sweep, top, step)
        for server, line in found.items():
            ink = COLOURS[SERVERS.index(server)]
            at = [
                (left + _across(number, sweep) * (WIDTH - 40), TOP + HEIGHT * (1 - rate / top))
                for number, rate in line
            ]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
            wide = 3 if server.startswith("starling") else 1.6
            lines.append(
                f'<polyline points="{path}" fill="none" stroke="{ink}" stroke-width="{wide}"/>'
            )
            lines += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{ink}"/>' for x, y in at]
    for place, server in enumerate(dict.fromkeys([*both[0], *both[1]])):
        x, ink = LEFT + place * 150, COLOURS[SERVERS.index(server)]
        lines.append(f'<rect x="{x}" y="300" width="14" height="4" fill="{ink}"/>')
        lines.append(f'<text x="{x + 20}" y="306">{server}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def _across(number: float, sweep: str) -> float:
    """Return where a number stands on its axis, from 0 to 1; all steps are as wide."""
    return SWEEPS[sweep].index(int(number)) / (len(SWEEPS[sweep]) - 1)


def _axes(left: int, title: str, sweep: str, top: float, step: float) -> Iterator[str]:
    yield f'<text x="{left}" y="18" font-weight="bold">{title}</text>'
    for mark in range(round(top / step) + 1):
        y = TOP + HEIGHT * (1 - mark * step / top)
        yield f'<path d="M{left},{y:.1f}h{WIDTH - 40}" stroke="#dde1e6"/>'
        shown = f"{mark * step:,.0f}"
        yield f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{shown}</text>'
    for number in SWEEPS[sweep]:
        x = left + _across(number, sweep) * (WIDTH - 40)
        yield f'<text x="{x:.1f}" y="{TOP + HEIGHT + 18}" text-anchor="middle">{number:,}</text>'
    middle = left + (WIDTH - 40) / 2
    told = MEANINGS[sweep]
    yield f'<text x="{middle}" y="{TOP + HEIGHT + 36}" text-anchor="middle">{told}</text>'


def draw(data: Path) -> None:
    """Draw all pictures from a file of figures, beside it."""
    rows = json.loads(data.read_text())["rows"]
    for sweep in SWEEPS:
        (data.parent / f"rates-by-{sweep}.svg").write_text(drawn(rows, sweep))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="plots", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--draw", action="store_true", help="only draw again what was measured")
    parser.add_argument("--data", type=Path, default=DATA, help="where the figures stay")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each (default 5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of one work (default 1)")
    parser.add_argument("--time-limit", type=float, default=1800, help="seconds for a scenario")
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args(arguments)
    if not options.draw:
        try:
            rows = measure(options)
        except (LoadError, OSError) as error:
            print(f"plots: {error}", file=sys.stderr)
            return 1
        lines = ",\n".join(json.dumps(row) for row in rows)
        options.data.write_text(f'{{"rows": [\n{lines}\n]}}\n')
    draw(options.data)
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
