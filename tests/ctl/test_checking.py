"""What monitors and people are told of a server's state."""

import re

import pytest

from starling_py.connecting.address import Address
from starling_py.ctl import cli
from starling_py.ctl.checking import CRITICAL, WARNING, of_habits, of_queue, of_server
from starling_py.ctl.command import Context
from starling_py.ctl.output import Output
from starling_py.ctl.remote import Remote
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


class FollowingWire:
    """A server that follows another one."""

    def __init__(self, *, owner: str = "10.0.0.1:22122") -> None:
        self._why = f"the owner is {owner}" if owner else "there is no owner yet"
        self._told = b""

    def send(self, data: bytes) -> None:
        if data.startswith(b"stats"):
            self._told += b"STAT replica_role follower\r\nSTAT replica_lag 2\r\nEND\r\n"
        else:
            self._told += f"SERVER_ERROR this server follows; {self._why}\r\n".encode()

    def receive(self) -> bytes:
        told, self._told = self._told, b""
        return told

    def close(self) -> None:
        """Let it be."""


@pytest.mark.parametrize(
    ("owner", "check", "doctor", "text"),
    [
        ("10.0.0.1:22122", 0, 0, "follows; the owner is 10.0.0.1:22122, 2 messages behind"),
        ("", 2, 1, "there is no owner yet"),
    ],
)
def test_a_server_that_follows_is_well_while_there_is_an_owner(
    owner: str, check: int, doctor: int, text: str, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    def connect(_address: Address, _timeout: float) -> Remote:
        return Remote.over(FollowingWire(owner=owner), "here")

    for command, status in (("check", check), ("doctor", doctor), ("ls", 4)):
        options = cli.build_parser().parse_args([command])
        assert cli.run(Context(options, Output(as_json=False), connect)) == status
        told = capsysbinary.readouterr()
        assert text.split(",")[0] in (told.out + told.err).decode()


def test_an_owner_without_a_server_that_is_ready_is_found() -> None:
    numbers = {"replica_role": "owner", "replica_standbys": "10.0.0.2:22122"}
    assert not list(of_server(numbers, draining=False))
    (found,) = of_server({**numbers, "replica_standbys": "-"}, draining=False)
    assert (found.state, found.text) == (WARNING, "no other server is ready to take over")
    (found,) = of_server({**numbers, "replica_silent_ms": "4200"}, draining=False)
    assert (found.state, found.text) == (CRITICAL, "the cluster is silent for 4 s")
