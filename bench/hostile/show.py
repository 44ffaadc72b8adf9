"""All rows on all servers that are asked for, and the table of them."""

from __future__ import annotations

import importlib
import time
from typing import TYPE_CHECKING

from bench import LoadError
from bench.hostile.judge import beyond
from bench.hostile.row import CPU_BOUND, ROWS
from bench.hostile.trial import Outcome, Trial
from bench.servers import OURS, choose

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from bench.contest import Row as Figures
    from bench.hostile.row import Row
    from bench.servers import Server

for _part in (
    "on_queues",
    "on_keys",
    "on_items",
    "on_connections",
    "on_leaving",
    "on_memory",
    "on_verbs",
    "on_strangers",
):
    importlib.import_module(f"bench.hostile.{_part}")

ATTACKABLE = (f"{OURS}-50ms", "before-50ms")
"""This server, and another version of it: attacks are in its own words."""
HEADINGS = (
    *("row", "server", "alone", "attacked", "alone", "attacked", "CPU", "took"),
    *("before", "peak", "after", ""),
)
ABOVE = ("", "", "CPU ms", "CPU ms", "wait ms", "wait ms", "s", "s", "MB", "MB", "MB", "")
WIDTHS = (16, 13, 8, 9, 8, 9, 7, 7, 7, 7, 7, 1)
LEGEND = f"""\
CPU ms: the most CPU time of the server's main thread between a request of the innocent client and
its reply, alone before the attack and while attacked; {CPU_BOUND * 1000:.0f} ms are allowed. \
wait ms: the most time
until a reply, which other work on the machine lengthens. CPU s, took: of the server, all threads
and the innocent client's requests included, and of the clock, from the beginning of the attack to
its end. MB: resident memory before the attack, at its peak, and when the attackers are gone"""


def wanted(named: Sequence[str]) -> list[Row]:
    """Return the rows of these names, or all. Raises `LoadError`."""
    unknown = [name for name in named if name not in ROWS]
    if unknown:
        raise LoadError(f"no row {', '.join(unknown)}; there are {', '.join(ROWS)}")
    return [ROWS[name] for name in named] if named else list(ROWS.values())


def attackable(servers: Sequence[Server], named: Sequence[str]) -> list[Server]:
    """Return those that can be attacked, of these names if there are any. Raises `LoadError`."""
    here = [server for server in servers if server.name in ATTACKABLE]
    return choose(here, list(named)) if named else here


def run(
    rows: Sequence[Row],
    servers: Sequence[Server],
    core: int | None,
    directory: Path,
    *,
    quick: bool,
    users: bool = False,
    tries: int = 1,
    margin: float = 1.0,
) -> list[Figures]:
    """Try each row on each server, and print what it gave as soon as it is known.

    With `users`, the servers have users, and all clients say who they are. A row that is beyond
    its bounds is tried again, alone, up to so many `tries`: what else the machine does can only
    make it look worse. `margin` is as in `beyond`.
    """
    began = time.perf_counter()
    for heading in (ABOVE, HEADINGS):
        print(line(heading), flush=True)
    figures, missed = [], []
    for stage in stages(rows) if quick else [[row] for row in rows]:
        for server in servers:
            for row, outcome in tried(stage, server, core, directory, quick=quick, users=users):
                problems = list(beyond(row, outcome, quick=quick, margin=margin))
                print(outcome_line(outcome, problems), flush=True)
                for _ in range(1, tries):
                    if not problems:
                        break
                    again = tried([row], server, core, directory, quick=quick, users=users)
                    ((_, outcome),) = again
                    problems = list(beyond(row, outcome, quick=quick, margin=margin))
                    print(outcome_line(outcome, problems), flush=True)
                figures.append(flat(outcome, problems))
                missed += [f"{row.name}: {server.name}: {problem}" for problem in problems]
    print(f"\n{LEGEND}\n")
    for row in rows:
        print(f"{row.name}: {row.text(quick=quick)}")
    took = f"{len(figures)} rows in {time.perf_counter() - began:.0f} s"
    print(f"\n{took}; {'beyond the bounds:' if missed else 'all within the bounds'}")
    for problem in missed:
        print(problem)
    return figures


def stages(rows: Sequence[Row]) -> list[list[Row]]:
    """Return which rows go together on one server, in the order of the table."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.stage or row.name, []).append(row)
    return list(found.values())


def tried(
    rows: Sequence[Row],
    server: Server,
    core: int | None,
    directory: Path,
    *,
    quick: bool,
    users: bool = False,
) -> Iterator[tuple[Row, Outcome]]:
    """Yield what each row gave; behind one that failed, the next ones have a fresh server."""
    left = list(rows)
    while left:
        try:
            with Trial(left, server, core, directory, quick=quick, users=users) as trial:
                failed = False
                while left and not failed:
                    outcome = trial.run(left[0])
                    failed = bool(outcome.trouble)
                    yield left.pop(0), outcome
        except (LoadError, OSError) as error:
            if not left:
                raise
            row, said = left.pop(0), str(error).splitlines()
            trouble = " … ".join(dict.fromkeys((said[0], said[-1])))
            yield row, Outcome(row.name, server.name, trouble=trouble)


def line(cells: Sequence[str]) -> str:
    """Return one line: words to the left, figures to the right."""
    sides = ("<", "<", *">" * (len(HEADINGS) - 3), "<")
    formed = (f"{c:{s}{w}}" for c, s, w in zip(cells, sides, WIDTHS, strict=True))
    return " ".join(formed).rstrip()


def outcome_line(outcome: Outcome, problems: Sequence[str]) -> str:
    """Return the line of one row on one server."""
    first = (outcome.row, outcome.server)
    if outcome.trouble:
        return f"{line([*first, *[''] * (len(HEADINGS) - 2)])} FAILED: {outcome.trouble}"
    felt = (outcome.baseline, outcome.attacked)
    verdict = "MISSED" if problems else "kept"
    cells = [
        *(f"{each.worst_cpu * 1000:,.1f}" for each in felt),
        *(f"{each.worst_wait * 1000:,.0f}" for each in felt),
        f"{outcome.cpu:,.2f}",
        f"{outcome.seconds:,.1f}",
        *(f"{each:,.0f}" for each in (outcome.before, outcome.peak, outcome.after)),
        f"{verdict}; {outcome.note}" if outcome.note else verdict,
    ]
    return line([*first, *cells])


def flat(outcome: Outcome, problems: Sequence[str]) -> Figures:
    """Return all figures of one row; times in seconds, memory in MB."""

    def parts() -> Iterator[tuple[str, float | str]]:
        yield from (("scenario", outcome.row), ("server", outcome.server))
        for name, felt in (("baseline", outcome.baseline), ("attacked", outcome.attacked)):
            for field, value in vars(felt).items():
                yield f"{name}_{field}", value
        for field in ("cpu", "seconds", "before", "peak", "after", "note"):
            yield field, getattr(outcome, field)
        if outcome.trouble:
            yield "trouble", outcome.trouble
        if problems:
            yield from (("failed", 1.0), ("beyond", "; ".join(problems)))

    return dict(parts())
