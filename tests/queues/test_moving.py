"""Items on their way to another queue: never in none of the two, whatever fails in between."""

import itertools
from pathlib import Path

import pytest

from starling_py.queues.holder import Holder
from starling_py.queues.moving import TRY_AGAIN
from tests.core import ManualClock
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


def test_an_item_goes_to_the_dead_letters_with_its_flags_and_its_deliveries(
    tmp_path: Path,
) -> None:
    queues = Queues(tmp_path / "spool", DEAD_LETTERS)
    queues.queues.put(b"q", b"bad", 42, 0)
    for _ in range(2):
        queues.queue(b"q").give_back(queues.open(b"q", Holder()))
        queues.commit()
    assert queues.take_all(b"q") == []
    assert queues.numbers(b"q").dead_lettered == 1
    read = queues.open(b"dead", Holder())
    assert (read.item.flags, read.deliveries) == (42, 3)


def test_what_was_open_too_often_when_the_server_died_goes_to_the_dead_letters(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    for _ in range(2):
        queues = Queues(tmp_path / "spool", DEAD_LETTERS, clock=clock)
        if not queues.queues.find(b"q"):
            queues.put(b"q", b"bad", b"good")
        queues.open(b"q", Holder())
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
