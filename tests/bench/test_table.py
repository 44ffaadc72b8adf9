"""The table: who is compared with whom, and what is shown of what is not known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.servers import find
from bench.table import HEADINGS, file_system, line, row_line, surroundings, us_to_them

if TYPE_CHECKING:
    from bench.contest import Row

PEERS = {"starling-50ms": "50ms", "starling-always": "always", "redis-always": "always"}
PEERS |= {"darner": "never"}


def row(server: str, rate: float, busy: float = 0.5) -> Row:
    names = ("ops_per_s_min", "ops_per_s_max", "p50", "p99", "p99.9", "max", "memory_mb")
    figures = dict.fromkeys((*names, "server_cpu_per_op", "bytes_written_per_op"), 7.0)
    about = {"scenario": "base", "operation": "put", "server": server}
    return {**about, **figures, "ops_per_s": rate, "load_busy_share": busy}


def test_each_server_is_compared_with_this_one_under_its_own_promise() -> None:
    rows = [row("starling-50ms", 80), row("starling-always", 30), row("redis-always", 20)]
    assert us_to_them(rows[2], rows, PEERS) == 1.5
    assert us_to_them(rows[0], rows, PEERS) == 1


def test_one_that_never_syncs_is_compared_with_one_that_does_if_need_be() -> None:
    rows = [row("starling-50ms", 80), row("darner", 20)]
    assert us_to_them(rows[1], rows, PEERS) == 4
    assert us_to_them(rows[1], rows[1:], PEERS) is None


def test_a_busy_load_is_marked() -> None:
    calm, busy = row("starling-50ms", 1, busy=0.5), row("starling-50ms", 1, busy=0.95)
    assert row_line(calm, [calm], PEERS).endswith("50%")
    assert row_line(busy, [busy], PEERS).endswith("95%!")


def test_syncs_that_were_not_counted_are_not_called_none() -> None:
    unknown, none = row("starling-50ms", 1), {**row("starling-50ms", 1), "fsyncs_per_op": 0.0}
    assert row_line(unknown, [unknown], PEERS).split()[-2] == "-"
    assert row_line(none, [none], PEERS).split()[-2] == "0"


def test_trouble_stands_where_the_figures_would() -> None:
    trouble: Row = {"scenario": "base", "operation": "-", "server": "nats", "trouble": "has none"}
    shown = row_line(trouble, [trouble], PEERS)
    assert shown.split() == ["base", "-", "nats", "has", "none"]


def test_every_column_has_a_heading() -> None:
    one = row("starling-50ms", 1)
    assert len(row_line(one, [one], PEERS).split()) == len(line(HEADINGS).split())


def test_a_missing_server_is_named_as_missing() -> None:
    servers, missing = find({"darner": "/nowhere/darner"})
    shown = surroundings(Path(__file__).parent, servers, missing)
    assert "darner: MISSING, /nowhere/darner cannot be run" in shown
    assert "ruby: MISSING, --ruby names no program" in shown
    assert "starling: starling-py " in shown


def test_the_file_system_is_that_of_the_nearest_mount() -> None:
    assert file_system(Path("/proc/self")) == "proc"
