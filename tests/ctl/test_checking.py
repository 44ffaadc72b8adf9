"""What monitors and people are told of a server's state."""

import re

import pytest

from starling_py.ctl.checking import CRITICAL, WARNING, of_habits, of_queue, of_server
from starling_py.ctl.reports import Queue
from tests.core import CoreHarness
from tests.ctl.conftest import Ctl

PERFDATA = re.compile(r"'[^'=|]+'=[0-9.]+s?;[0-9.]*;[0-9.]*;0")


def test_a_check_has_the_form_and_the_status_that_monitors_expect(
    core: CoreHarness, ctl: Ctl
) -> None:
    ctl("put", "jobs", "a", "b")
    ctl("put", "mail", "a")
    core.clock.advance(90)
    done = ctl("check")
    assert (done.status, len(done.lines())) == (0, 1)
    assert done.out.startswith("STARLING OK - 2 queues, 3 items, the oldest 1m 30s | 'items'=3;")
    for words, state, text in (
        (["--max-age", "60"], 2, "CRITICAL - jobs: the oldest item has waited 1m 30s; mail: "),
        (["jobs", "--warn-age", "1m", "--max-age", "2m"], 1, "WARNING - jobs: the oldest item"),
        (["--max-items", 1, "--warn-items", 0], 2, "CRITICAL - jobs: 2 items; mail: 1 item |"),
        (["--max-items", 2, "--max-age", "91"], 0, "OK - "),
        (["nosuch"], 3, "UNKNOWN - there is no queue nosuch"),
    ):
        done = ctl("check", *words)
        assert (done.status, done.err) == (state, "")
        assert done.out.startswith(f"STARLING {text}")
        data = done.out.strip().partition(" | ")[2]
        assert PERFDATA.sub("", data).strip() == ""


def test_wrong_usage_of_a_check_is_unknown_and_not_critical(ctl: Ctl) -> None:
    assert ctl("check", "--max-age", "soon").status == 3
    assert ctl("check", "--server", "host:port").status == 3
    assert ctl("ls", "--sort", "x").status == 2


def test_performance_data_of_several_queues_has_their_names(ctl: Ctl) -> None:
    ctl("put", "a'|=b", "x")
    ctl("put", "c", "x")
    data = ctl("check", "*", "--max-items", 5).out.partition(" | ")[2]
    assert "'ab items'=1;;5;0" in data
    assert "'c age'=0.000s;;;0" in data


@pytest.mark.parametrize(
    ("key", "state"),
    [
        ("disk_full", CRITICAL),
        ("disk_low", CRITICAL),
        ("memory_high", CRITICAL),
        ("refused_queues", CRITICAL),
        ("journal_failures", WARNING),
        ("files_lost", WARNING),
        ("internal_errors", WARNING),
        ("log_lines_dropped", WARNING),
        ("rejected_connections", WARNING),
    ],
)
def test_each_number_that_is_wrong_is_found_with_advice(key: str, state: int) -> None:
    assert list(of_server({}, draining=False)) == []
    (found,) = of_server({key: "1"}, draining=False)
    assert found.state == state
    assert found.advice


def queue(**numbers: int) -> Queue:
    told = {key.encode(): b"%d" % number for key, number in numbers.items()}
    return Queue(b"jobs", "jobs", told)


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ({"items": 1, "age": 90_000, "last_get": -1}, "nobody took since the start"),
        ({"items": 1, "age": 90_000, "last_get": 80_000}, "nobody took for 1m 20s"),
        ({"paused": 1}, "paused"),
        ({"dead_lettered": 2}, "2 dead letters since the start"),
        ({"discarded": 2}, "2 items dropped since the start"),
    ],
)
def test_a_person_is_told_what_a_queue_suffers_from(numbers: dict[str, int], text: str) -> None:
    (found,) = of_habits(queue(**numbers))
    assert found.text.startswith("jobs: ")
    assert text in found.text
    assert list(of_queue(queue(**numbers))) == []


def test_a_queue_that_is_served_or_only_has_later_items_is_not_stuck() -> None:
    assert list(of_habits(queue(items=5, age=90_000, last_get=10))) == []
    assert list(of_habits(queue(items=5, delayed=5, age=90_000, last_get=-1))) == []


def test_a_broken_journal_is_critical() -> None:
    assert [each.state for each in of_queue(queue(journal_broken=1))] == [CRITICAL]


def test_nearly_all_connections_in_use_are_a_warning() -> None:
    numbers = {"curr_connections": "95", "max_connections": "100"}
    assert [each.text for each in of_server(numbers, draining=False)] == ["95 of 100 connections"]


def test_a_doctor_finds_nothing_or_says_what_to_do(core: CoreHarness, ctl: Ctl) -> None:
    ctl("put", "jobs", "a")
    done = ctl("doctor")
    assert (done.status, done.lines()[-1]) == (0, "nothing is wrong")
    core.clock.advance(90)
    done = ctl("doctor")
    assert done.status == 1
    assert done.lines()[-1] == (
        "warning: jobs: 1 item, the oldest 1m 30s; nobody took since the start"
        "  (starling-ctl consumers jobs)"
    )
    assert ctl("doctor", "--json").objects()[0]["advice"] == "starling-ctl consumers jobs"
