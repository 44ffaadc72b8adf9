"""Items on their way to another queue: never in none of the two, whatever fails in between."""

import itertools
from pathlib import Path

import pytest

from starling_py.keys import Request
from starling_py.queues.moves import TRY_AGAIN
from starling_py.queues.open_reads import ReadHolder
from starling_py.queues.queue_directory import Rules
from starling_py.queues.waiters import Hit, Waiter
from starling_py.settings.queue_table import QueueTable
from tests.core import ManualClock, put
from tests.queues.parts import Queues

EXPIRING: dict[str, dict[str, object]] = {"q": {"expire_to": "late"}}
DEAD_LETTERS: dict[str, dict[str, object]] = {"q": {"max_deliveries": 2, "dead_letter": "dead"}}


def everything(queues: Queues, *names: bytes) -> list[bytes]:
    """Return what can be taken of the queues, sorted."""
    return sorted(itertools.chain.from_iterable(queues.take_all(name) for name in names))


@pytest.mark.parametrize("interval", [None, 0])
def test_an_expired_item_moves_and_has_no_expiry_there(
    tmp_path: Path, interval: float | None
) -> None:
    queues = Queues(tmp_path / "spool", EXPIRING, interval=interval)
    queues.put(b"q", b"1", exptime=5)
    queues.put(b"q", b"2")
    queues.pass_time(6)
    assert queues.take_all(b"q") == [b"2"]
    assert queues.numbers(b"q").expired_items == 1
    queues.pass_time(1_000_000)
    assert queues.take_all(b"late") == [b"1"]
    assert (queues.numbers(b"q").items, queues.numbers(b"q").bytes) == (0, 0)


def test_an_item_goes_to_the_dead_letters_with_flags_and_deliveries(
    tmp_path: Path,
) -> None:
    queues = Queues(tmp_path / "spool", DEAD_LETTERS)
    put(queues.queues, b"q", b"bad", 42, 0)
    for _ in range(2):
        queues.queue(b"q").give_back(queues.open(b"q", ReadHolder()))
        queues.commit()
    assert queues.take_all(b"q") == []
    assert queues.numbers(b"q").dead_lettered == 1
    read = queues.open(b"dead", ReadHolder())
    assert (read.item.flags, read.deliveries) == (42, 3)


def test_what_was_open_too_often_at_a_crash_goes_to_the_dead_letters(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    for _ in range(2):
        queues = Queues(tmp_path / "spool", DEAD_LETTERS, clock=clock)
        if not queues.queues.directory.find(b"q"):
            queues.put(b"q", b"bad", b"good")
        queues.open(b"q", ReadHolder())
        queues.close()
    queues = Queues(tmp_path / "spool", DEAD_LETTERS, clock=clock)
    assert queues.take_all(b"q") == [b"good"]
    assert queues.take_all(b"dead") == [b"bad"]


def test_an_item_waits_in_its_old_queue_until_the_new_one_can_take_it(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool", {**EXPIRING, "late": {"max_items": 1}})
    queues.put(b"late", b"0")
    queues.put(b"q", b"1", exptime=1)
    queues.pass_time(2)
    assert queues.take_all(b"q") == []
    assert queues.take(b"late") == b"0"
    assert queues.queue(b"q").items == 1
    queues.pass_time(TRY_AGAIN)
    assert queues.take_all(b"late") == [b"1"]
    assert queues.queue(b"q").items == 0


def test_a_queue_that_drops_its_oldest_makes_room_for_what_is_moved_there(tmp_path: Path) -> None:
    rules: dict[str, dict[str, object]] = {
        **EXPIRING,
        "late": {"max_items": 2, "discard_old_when_full": True},
    }
    queues = Queues(tmp_path / "spool", rules)
    queues.put(b"q", b"1", b"2", b"3", b"4", exptime=1)
    queues.pass_time(2)
    assert queues.take_all(b"q") == []
    assert queues.numbers(b"late").items == 2
    assert queues.take_all(b"late") == [b"3", b"4"]


@pytest.mark.parametrize("interval", [None, 0])
@pytest.mark.parametrize("only", ["/q/", "/late/", ""])
def test_whichever_write_fails_the_item_is_moved_in_the_end_and_never_lost(
    tmp_path: Path, only: str, interval: float | None
) -> None:
    queues = Queues(tmp_path / "spool", EXPIRING, interval=interval)
    queues.put(b"q", b"1", exptime=1)
    queues.put(b"q", b"2")
    queues.clock.advance(2)
    hit = queues.queue(b"q").peek(queues.clock.wall_ms)
    assert hit is not None
    queues.fail_commit(only=only)
    for _ in range(3):
        queues.pass_time(TRY_AGAIN)
        queues.queue(b"q").peek(queues.clock.wall_ms)
        queues.commit()
    taken = everything(queues, b"q", b"late")
    assert taken == [b"1", b"2"]
    assert queues.queue(b"q").items == 0


def test_a_crash_in_between_leaves_the_item_in_one_of_both_at_least(tmp_path: Path) -> None:
    clock = ManualClock()
    queues = Queues(tmp_path / "spool", EXPIRING, clock=clock)
    queues.put(b"q", b"1", exptime=1)
    clock.advance(2)
    queues.queue(b"q").peek(clock.wall_ms)
    queues.commits.commit()  # it is in the other queue; the removal is not written
    queues.close()
    again = Queues(tmp_path / "spool", EXPIRING, clock=clock)
    assert set(everything(again, b"q", b"late")) == {b"1"}


def test_a_deleted_queue_moves_nothing_any_more(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool", {**EXPIRING, "late": {"max_items": 1}})
    queues.put(b"late", b"0")
    queues.put(b"q", b"1", exptime=1)
    queues.pass_time(2)
    assert queues.take_all(b"q") == []
    queues.queues.delete(b"q")
    queues.commit()
    queues.take_all(b"late")
    queues.pass_time(10 * TRY_AGAIN)
    assert queues.take_all(b"late") == []


def test_a_flush_leaves_what_is_being_moved(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool", {**EXPIRING, "late": {"max_items": 1}})
    queues.put(b"late", b"0")
    queues.put(b"q", b"1", exptime=1)
    queues.pass_time(2)
    assert queues.take_all(b"q") == []
    queues.queues.flush(b"q")
    queues.commit()
    assert queues.take_all(b"late") == [b"0"]
    queues.pass_time(TRY_AGAIN)
    assert queues.take_all(b"late") == [b"1"]


# A move is a put: it goes on to whatever a put into its target reaches.

FANNING: dict[str, dict[str, object]] = {
    "q": {"expire_to": "late", "max_deliveries": 1, "dead_letter": "late"}
}
ROUTES = {"late": ["copies"], "copies": ["elsewhere"]}
REACHED = (b"late", b"late+a", b"late+b", b"copies", b"copies+c")


def fanning(
    path: Path,
    entries: dict[str, dict[str, object]] | None = None,
    *,
    interval: float | None = None,
) -> Queues:
    """Return queues whose moved items reach several others."""
    queues = Queues(path, {**FANNING, **(entries or {})}, routes=ROUTES, interval=interval)
    for child in (b"late+a", b"late+b", b"copies+c"):
        queues.queues.subscribe(child)
    for name in (b"late", b"copies"):
        queues.queues.directory.find_or_make(name).make()
    queues.commit()
    return queues


def expire(queues: Queues, *datas: bytes) -> None:
    """Put items, and let them expire and move."""
    queues.put(b"q", *datas, exptime=1)
    queues.pass_time(2)
    assert queues.take_all(b"q") == []


@pytest.mark.parametrize("interval", [None, 0])
def test_what_is_moved_reaches_whatever_a_put_into_that_queue_reaches(
    tmp_path: Path, interval: float | None
) -> None:
    queues = fanning(tmp_path / "spool", interval=interval)
    expire(queues, b"1", b"2")
    assert queues.queue(b"q").items == 0
    for name in REACHED:
        assert queues.take_all(name) == [b"1", b"2"], name
    assert queues.queues.directory.find(b"elsewhere") is None, "a route is not followed by another"


def test_every_copy_has_the_flags_and_the_deliveries_of_the_item(tmp_path: Path) -> None:
    queues = fanning(tmp_path / "spool", {"late+b": {"max_age": 5}})
    put(queues.queues, b"q", b"bad", 42, 0)
    queues.queue(b"q").give_back(queues.open(b"q", ReadHolder()))
    queues.commit()
    for name in REACHED:
        read = queues.open(name, ReadHolder())
        assert (read.item.flags, read.deliveries) == (42, 2), name
        assert bool(read.item.expiry_ms) == (name == b"late+b")
    assert queues.queue(b"q").items == 0


@pytest.mark.parametrize("restart", [False, True])
def test_every_queue_hands_a_copy_out_at_least_once_whatever_others_did(
    tmp_path: Path, restart: bool
) -> None:
    rules: dict[str, dict[str, object]] = {
        "*": {"max_deliveries": 2, "dead_letter": "failed"},
        "failed": {"dead_letter": None, "max_deliveries": None},
    }
    routes = {"failed": ["report"]}
    clock = ManualClock()
    queues = Queues(tmp_path / "spool", rules, routes=routes, clock=clock)
    queues.put(b"q", b"bad")
    for _ in range(2):
        queues.queue(b"q").give_back(queues.open(b"q", ReadHolder()))
        queues.commit()
    if restart:
        queues.close()
        queues = Queues(tmp_path / "spool", rules, routes=routes, clock=clock)
    assert queues.take_all(b"failed") == [b"bad"]
    read = queues.open(b"report", ReadHolder())
    assert read.deliveries == 3
    read.queue.give_back(read)
    queues.commit()
    assert queues.take_all(b"report") == []
    assert queues.take_all(b"failed") == [b"bad"]


def test_a_target_that_keeps_nothing_keeps_only_what_nobody_else_gets(
    tmp_path: Path,
) -> None:
    rules: dict[str, dict[str, object]] = {**EXPIRING, "late": {"fanout_only": True}}
    queues = Queues(tmp_path / "spool", rules)
    expire(queues, b"1")
    assert queues.take_all(b"late") == [b"1"]
    queues.queues.subscribe(b"late+a")
    expire(queues, b"2")
    assert queues.take_all(b"late+a") == [b"2"]
    assert queues.take_all(b"late") == []


def test_what_leaves_a_queue_does_not_come_back_to_it_as_a_copy(tmp_path: Path) -> None:
    queues = Queues(
        tmp_path / "spool",
        {"q": {"expire_to": "late", "max_age": 1}, "q+a": {"expire_to": None}},
        routes={"late": ["q", "other"]},
    )
    queues.queues.subscribe(b"late+a")
    for _ in range(5):
        expire(queues, b"1")
        assert queues.take_all(b"late") == [b"1"]
    assert everything(queues, b"q", b"late", b"late+a", b"other") == []


@pytest.mark.parametrize("full", REACHED)
def test_as_long_as_one_of_them_is_full_none_of_them_gets_it(tmp_path: Path, full: bytes) -> None:
    queues = fanning(tmp_path / "spool", {full.decode(): {"max_items": 1}})
    queues.put(full, b"0")
    for name in REACHED:
        if name != full:
            queues.take_all(name)
    expire(queues, b"1")
    assert [queues.queue(name).items for name in REACHED] == [int(name == full) for name in REACHED]
    assert queues.queue(b"q").items == 1
    assert queues.take_all(full) == [b"0"]
    queues.pass_time(TRY_AGAIN)
    assert [queues.take_all(name) for name in REACHED] == [[b"1"]] * len(REACHED)
    assert queues.queue(b"q").items == 0


def test_an_item_larger_than_a_target_takes_comes_when_that_is_empty(
    tmp_path: Path,
) -> None:
    queues = fanning(tmp_path / "spool", {"late+a": {"max_bytes": 3, "max_item_size": 3}})
    queues.put(b"late+a", b"0")
    expire(queues, b"long")
    assert queues.take_all(b"late+a") == [b"0"]
    queues.pass_time(TRY_AGAIN)
    assert [queues.take_all(name) for name in REACHED] == [[b"long"]] * len(REACHED)


def test_each_that_drops_its_oldest_makes_room(tmp_path: Path) -> None:
    queues = fanning(
        tmp_path / "spool", {"late+b": {"max_items": 2, "discard_old_when_full": True}}
    )
    expire(queues, b"1", b"2", b"3")
    assert queues.take_all(b"late+b") == [b"2", b"3"]
    assert queues.take_all(b"late+a") == [b"1", b"2", b"3"]


@pytest.mark.parametrize("interval", [None, 0])
@pytest.mark.parametrize("only", ["/q/", "/late/", "/late+b/", "/copies/", ""])
def test_whichever_write_fails_every_copy_comes_in_the_end_and_only_once(
    tmp_path: Path, only: str, interval: float | None
) -> None:
    queues = fanning(tmp_path / "spool", interval=interval)
    queues.put(b"q", b"1", exptime=1)
    queues.clock.advance(2)
    assert queues.queue(b"q").peek(queues.clock.wall_ms) is None
    queues.fail_commit(only=only)
    for _ in range(3):
        queues.pass_time(TRY_AGAIN)
        queues.queue(b"q").peek(queues.clock.wall_ms)
        queues.commit()
    assert [queues.take_all(name) for name in REACHED] == [[b"1"]] * len(REACHED)
    assert queues.queue(b"q").items == 0


def test_nothing_is_removed_before_it_is_safe_in_all_of_them(tmp_path: Path) -> None:
    queues = fanning(tmp_path / "spool", {"late+a": {"journal": False}}, interval=0)
    queues.put(b"q", b"1", exptime=1)
    queues.clock.advance(2)
    queues.failing.error, queues.failing.only = OSError(28, "No space left on device"), "/copies/"
    assert queues.queue(b"q").peek(queues.clock.wall_ms) is None
    for _ in range(3):
        queues.commits.commit()
    assert queues.queue(b"q").items == 1
    queues.failing.error = None
    queues.pass_time(TRY_AGAIN)
    assert queues.queue(b"q").items == 0
    assert [queues.take_all(name) for name in REACHED] == [[b"1"]] * len(REACHED)


def test_a_child_that_is_deleted_while_its_copy_is_undone_holds_nothing_up(
    tmp_path: Path,
) -> None:
    queues = fanning(tmp_path / "spool")
    queues.put(b"q", b"1", exptime=1)
    queues.clock.advance(2)
    assert queues.queue(b"q").peek(queues.clock.wall_ms) is None
    queues.fail_commit(only="/late+b/")
    queues.queues.delete(b"late+b")
    queues.commit()
    queues.pass_time(TRY_AGAIN)
    assert queues.queue(b"q").items == 0
    assert queues.queues.directory.find(b"late+b") is None
    assert queues.take_all(b"late+a") == [b"1"]


def test_an_item_undone_amid_its_delivery_goes_where_it_would_by_then(
    tmp_path: Path,
) -> None:
    queues = Queues(tmp_path / "spool", EXPIRING)
    queues.put(b"q", b"1", exptime=1)
    queues.clock.advance(2)
    queues.queues.slices.allowance = 0.0
    assert queues.queue(b"q").peek(queues.clock.wall_ms) is None
    queues.queues.slices.run()
    assert queues.queue(b"late").items == 1
    queues.fail_commit(only="/late/")
    assert queues.queues.directory.find(b"late") is None
    assert queues.queues.subscribe(b"late+child") is not None
    queues.commit()
    queues.pass_time(TRY_AGAIN)
    assert [queues.take_all(name) for name in (b"late", b"late+child")] == [[b"1"], [b"1"]]
    assert queues.queue(b"q").items == 0


def test_of_many_that_expire_at_once_only_some_are_copied_in_one_slice(tmp_path: Path) -> None:
    queues = fanning(tmp_path / "spool")
    datas = [b"%d" % number for number in range(20)]
    for data in datas:
        put(queues.queues, b"q", data, exptime=1)
    queues.commit()
    queues.queues.slices.allowance = 0.0
    queues.clock.advance(2)
    queues.queues.keep_house()
    late, moved = queues.queue(b"late"), [0]
    while moved[-1] < 20:
        queues.queues.slices.run()
        queues.commits.commit()
        moved.append(late.items)
        assert moved[-1] - moved[-2] <= 1
        assert len(moved) < 1000
    assert [queues.take_all(name) for name in REACHED] == [datas] * len(REACHED)
    assert queues.queue(b"q").items == 0


def test_who_waits_for_a_copy_is_served(tmp_path: Path) -> None:
    queues = fanning(tmp_path / "spool")
    client = queues.client()
    assert client.ask(b"get late+b/t=100000\r\n") == b""
    expire(queues, b"1")
    assert client.told() == b"VALUE late+b/t=100000 0 1\r\n1\r\nEND\r\n"


def test_what_moves_while_rules_are_read_again_goes_by_the_new_ones(tmp_path: Path) -> None:
    paused: dict[str, dict[str, object]] = {"a": {"paused": True, "expire_to": "b"}}
    queues = Queues(tmp_path / "spool", paused)
    queues.put(b"a", b"1", exptime=1)
    queues.put(b"b", b"2")
    assert queues.take(b"b") == b"2"
    served: list[Hit] = []
    for name in (b"a", b"b"):
        waiter = Waiter((Request(name, name),), None, served.append, lambda: None)
        queues.queues.wait(waiter, 100_000)
    queues.clock.advance(2)
    paused = {"a": {"expire_to": "b"}, "b": {"paused": True}}
    queues.queues.reload(Rules(QueueTable(paused)))
    queues.commit()
    assert not served
    assert queues.numbers(b"b").items == 1
