"""The commands for whole queues: what destroys is confirmed, what is long is done in parts."""

import pytest

from starling_py.ctl import acting
from starling_py.queues.queue_directory import Rules
from starling_py.settings.queue_table import QueueTable
from tests.core import Client, CoreHarness
from tests.ctl.conftest import Ctl


def test_the_oldest_items_are_moved_to_another_queue(ctl: Ctl) -> None:
    ctl("put", "jobs", "a", "b", "c")
    assert ctl("move", "jobs", "mail", "-n", 2).out == "jobs: 2 items moved\n"
    assert ctl("get", "mail", "-n", 9).lines() == ["a", "b"]
    assert ctl("move", "jobs", "mail", "--json").objects() == [{"queue": "jobs", "moved": 1}]
    assert ctl("move", "nosuch", "mail").status == 3
    assert ctl("move", "jobs").status == 2
    assert ctl("move", "jobs", "mail", "--origin").status == 2


def test_how_many_are_moved_may_stand_behind_the_queues(ctl: Ctl) -> None:
    ctl("put", "jobs", *"abcdef")
    assert ctl("move", "jobs", "mail", 2).out == "jobs: 2 items moved\n"
    assert ctl("move", "mail", 1, "--origin").out == "mail: 1 item moved\n"
    for words, told in [
        (("jobs", "mail", "x"), "'x' is no number from 1 to"),
        (("jobs", "mail", "0"), "'0' is no number from 1 to"),
        (("jobs", "mail", "2", "-n", "2"), "the number of items is given twice"),
        (("jobs", "2", "3", "--origin"), "say where to"),
    ]:
        done = ctl("move", *words)
        assert (done.status, done.out) == (2, "")
        assert told in done.err


def test_what_was_moved_goes_back_to_where_it_came_from(ctl: Ctl) -> None:
    for name in ("a", "b"):
        ctl("put", name, name)
        ctl("move", name, "dead.all")
    ctl("put", "dead.all", "own")
    assert ctl("move", "dead.*", "--origin").status == 2
    assert ctl("move", "dead.*", "--origin", "--yes").out == "dead.all: 2 items moved\n"
    assert [ctl("get", name).out for name in ("a", "b", "dead.all")] == ["a\n", "b\n", "own\n"]


@pytest.mark.patches
def test_more_than_one_command_moves_many_items(ctl: Ctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acting, "_MOVED_AT_ONCE", 10)
    ctl("put", "jobs", "--lines", given=b"x\n" * 35)
    assert ctl("move", "jobs", "mail").out == "jobs: 35 items moved\n"


@pytest.mark.patches
def test_a_move_into_a_queue_that_fills_up_tells_how_far_it_came(
    core: CoreHarness, ctl: Ctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "_MOVED_AT_ONCE", 2)
    core.queues.reload(Rules(QueueTable({"mail": {"max_items": 4}})))
    ctl("put", "jobs", *"abcdef")
    done = ctl("move", "jobs", "mail")
    assert done.status == 1
    assert done.err.startswith("starling-ctl: jobs: after 4 items: nothing was moved: ")


def test_what_destroys_is_not_done_without_a_yes(ctl: Ctl) -> None:
    ctl("put", "jobs", "a", "b")
    for command in ("flush", "delete"):
        done = ctl(command, "jobs")
        assert done.status == 2
        assert "jobs (2 items)? Without a terminal, say --yes; nothing was done" in done.err
    assert ctl("ls").lines()[1].split()[:2] == ["jobs", "2"]


def test_queues_are_flushed_and_deleted_by_patterns(ctl: Ctl) -> None:
    for name in ("a1", "a2", "b1"):
        ctl("put", name, "x")
    assert ctl("flush", "a*", "--yes").lines() == ["a1: flushed, 1 item", "a2: flushed, 1 item"]
    assert ctl("delete", "a?", "--yes").lines() == ["a1: deleted, 0 items", "a2: deleted, 0 items"]
    assert [line.split()[0] for line in ctl("ls").lines()[1:-1]] == ["b1"]
    assert ctl("delete", "a*", "--yes").status == 3


def test_nothing_is_done_where_one_of_the_names_cannot_be_said(client: Client, ctl: Ctl) -> None:
    ctl("put", "a", "x")
    ctl("put", r"b\x20c", "x")
    for words in (["flush", "*", "--yes"], ["pause", "*"], ["move", "*", "d", "--yes"]):
        done = ctl(*words)
        assert (done.status, done.out) == (2, "")
        assert "this command has no form for a name with a blank" in done.err
    assert b"STAT queue_a_paused 0" in client.ask(b"stats queue a\r\n")
    assert ctl("ls", "--json").objects()[0]["items"] == 1


def test_a_queue_that_must_stay_is_told(core: CoreHarness, ctl: Ctl) -> None:
    core.queues.reload(Rules(QueueTable({"jobs": {"refuse_delete": True}})))
    ctl("put", "jobs", "a")
    done = ctl("delete", "jobs", "--yes")
    assert (done.status, "refuse_delete is set" in done.err) == (1, True)


def test_gets_find_nothing_while_a_queue_is_paused(client: Client, ctl: Ctl) -> None:
    ctl("put", "jobs", "a")
    assert ctl("pause", "jo*", "--for", "1m").out == "jobs: paused\n"
    assert client.ask(b"get jobs\r\n") == b"END\r\n"
    assert b"STAT queue_jobs_paused 1" in client.ask(b"stats queue jobs\r\n")
    ctl("pause", "jobs")
    assert ctl("resume", "jobs").out == "jobs: resumed\n"
    assert ctl("get", "jobs").out == "a\n"
    assert ctl("pause", "jobs", "--for", "31d").status == 2
    assert ctl("pause", "nosuch").status == 3
