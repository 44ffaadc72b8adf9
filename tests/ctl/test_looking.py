"""The commands that look: what they tell, for people and as JSON."""

import pytest

from tests.core import Client, CoreHarness
from tests.ctl.conftest import Ctl

COMMANDS = ("ls", "show jobs", "browse jobs", "peek jobs", "ping", "check", "doctor")


def test_queues_are_listed_by_name_with_totals(ctl: Ctl) -> None:
    ctl("put", "mail", "12345")
    ctl("put", "jobs", "a", "b", "--delay", "1h")
    done = ctl("ls")
    assert done.lines()[0].split()[:2] == ["QUEUE", "ITEMS"]
    assert [line.split()[:7] for line in done.lines()[1:3]] == [
        ["jobs", "2", "0", "2", "0", "-", "2B"],
        ["mail", "1", "0", "0", "0", "0.0s", "5B"],
    ]
    assert done.lines()[3] == "2 queues, 3 items, 7B"


def test_the_largest_come_first_and_the_rest_is_counted(ctl: Ctl) -> None:
    for number in range(1, 4):
        ctl("put", f"q{number}", *"x" * number)
    done = ctl("ls", "q*", "--sort", "items", "--limit", 2)
    assert [line.split()[0] for line in done.lines()[1:3]] == ["q3", "q2"]
    assert done.lines()[3] == "3 queues, 6 items, 6B; the first 2 are shown"


def test_what_is_out_of_the_ordinary_stands_behind_a_queue(ctl: Ctl) -> None:
    ctl("put", "jobs", "a")
    ctl("pause", "jobs")
    assert ctl("ls").lines()[1].endswith("paused")
    assert ctl("show", "jobs").lines()[0] == "jobs: paused"


def test_all_about_a_queue_has_who_holds_what(core: CoreHarness, client: Client, ctl: Ctl) -> None:
    ctl("put", "jobs", "a", "b")
    client.ask(b"get jobs/open\r\n")
    core.clock.advance(61)
    told = ctl("show", "jobs").out
    assert "1 items that wait, 1 open" in told
    assert "the oldest item has waited 1m 01s" in told
    assert "open: item id=1 holder=somebody" in told
    assert "max_items=None" in told
    (values,) = ctl("show", "jobs", "--json").objects()
    assert (values["items"], values["open_items"]) == (1, [{"id": 1, "holder": "somebody"}])


def test_items_are_listed_with_their_facts(core: CoreHarness, client: Client, ctl: Ctl) -> None:
    ctl("put", "jobs", "a", "--flags", 3, "--expire", "1h")
    client.ask(b"move jobs mail\r\n")
    ctl("put", "mail", "bb")
    first, second = ctl("browse", "mail").lines()[1:]
    assert first.split()[:4] == ["1", "waiting", "1B", "3"]
    assert first.endswith("jobs (moved)")
    assert second.endswith("-")
    assert [each["id"] for each in ctl("browse", "mail", "--from", 2, "--json").objects()] == [2]
    assert ctl("browse", "mail", "--state", "open").lines()[1:] == []
    assert len(ctl("browse", "mail", "-n", 1, "--json").objects()) == 1


def test_a_server_that_answers_says_its_version(ctl: Ctl) -> None:
    assert ctl("ping").out.startswith("starling-py 1.0.0 at here: ")
    assert ctl("ping", "--json").objects()[0]["version"] == "1.0.0"


@pytest.mark.parametrize("words", COMMANDS)
def test_with_json_every_line_is_an_object(ctl: Ctl, words: str) -> None:
    ctl("put", "jobs", "a")
    assert ctl(*words.split(), "--json").objects()


def test_a_name_of_odd_bytes_is_shown_escaped_and_taken_back(client: Client, ctl: Ctl) -> None:
    client.ask(b"set caf\xe9\x1b 0 0 1\r\na\r\n")
    assert ctl("ls").lines()[1].split()[0] == r"caf\xe9\x1b"
    for command in ("show", "browse", "peek", "pause", "resume"):
        assert ctl(command, r"caf\xe9\x1b").status == 0
    assert ctl("peek", r"caf\xe9*").status == 3  # one queue, so no pattern
    assert ctl("delete", r"caf\xe9*", "--yes").status == 0


def test_items_of_no_queue_have_no_heads(ctl: Ctl) -> None:
    done = ctl("browse", "nosuch")
    assert (done.status, done.out) == (3, "")
    ctl("put", "jobs", "a")
    ctl("get", "jobs")
    assert len(ctl("browse", "jobs").lines()) == 1
