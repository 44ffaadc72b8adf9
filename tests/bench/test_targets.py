"""What is said about targets: ratios of what was measured, and nothing about what was not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.targets import Ratio, ratios

if TYPE_CHECKING:
    from bench.contest import Row


def row(server: str, rate: float, scenario: str = "base", operation: str = "put") -> Row:
    figures: Row = {"ops_per_s": rate, "p50": 100.0, "p99": 250.0}
    return {"scenario": scenario, "operation": operation, "server": server, **figures}


def found(rows: list[Row]) -> dict[str, Ratio]:
    return {ratio.what: ratio for ratio in ratios(rows)}


def test_nothing_is_said_to_be_reached_that_was_not_measured() -> None:
    assert {ratio.verdict for ratio in ratios([])} == {"not measured"}
    failed: Row = {"scenario": "base", "operation": "-", "server": "redis-no", "trouble": "void"}
    assert {ratio.verdict for ratio in ratios([failed])} == {"not measured"}


def test_a_ratio_is_of_the_same_work_under_the_same_promise() -> None:
    rows = [row("starling-always", 50), row("redis-always", 40), row("redis-no", 400)]
    ratio = found(rows)["50 connections, 1 KiB, always: put / redis-always"]
    assert ratio.value == 1.25
    assert ratio.verdict == "reached"


def test_the_best_of_the_queue_servers_is_the_one_to_beat() -> None:
    rows = [row("starling-never", 100), row("beanstalkd-F", 50), row("darner", 90)]
    ratio = found(rows)["50 connections, 1 KiB, never: put / best queue server"]
    assert ratio.value == 100 / 90
    assert ratio.verdict == "MISSED"


def test_a_rate_is_compared_with_its_control() -> None:
    rows = [row("starling-50ms", 100, "idle-0"), row("starling-50ms", 90, "idle")]
    assert found(rows)["beside 1,000 idle connections: put / without"].value == 0.9


def test_visits_are_compared_with_those_of_memcached() -> None:
    alone, beside = (
        [
            row(server, rate, name, "visit")
            for server, rate in (("starling-50ms", 3), ("memcached", 5))
        ]
        for name in ("connections-0", "connections")
    )
    ratios_found = found([*alone, *beside])
    assert ratios_found["connect, put, get, close: rate / memcached"].value == 0.6
    tail = ratios_found["connect, put, get, close beside 50 busy clients: p99 / memcached"]
    assert (tail.value, tail.verdict) == (1.0, "reached")


def test_a_tail_may_be_at_most_so_much() -> None:
    ratio = found([row("starling-50ms", 1)])["50 connections, 1 KiB, 50ms: p99 / p50 of put"]
    assert ratio.value == 2.5
    assert ratio.verdict == "reached"
    assert Ratio("more", 3.5, 3, at_most=True).verdict == "MISSED"
    assert "at most" in ratio.line()
