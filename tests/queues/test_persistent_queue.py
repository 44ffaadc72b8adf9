"""One queue: what it counts, and what a failed commit takes back of that."""

from pathlib import Path

from tests.queues.parts import Queues


def test_a_failed_commit_takes_back_only_what_comes_back(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool", {"q": {"expire_to": "late"}})
    queues.put(b"q", b"1", exptime=5)
    queues.put(b"q", b"2")
    queues.pass_time(6)
    hit = queues.queues.read(queues.request(b"q"))
    assert hit is not None
    assert hit[1].data == b"2"
    queues.fail_commit(only="/q/")
    queues.pass_time(3)
    assert queues.take_all(b"late") == [b"1"], "the move goes on"
    numbers = queues.numbers(b"q")
    assert (numbers.expired_items, numbers.get_hits, numbers.items) == (1, 0, 1)


def test_what_expired_and_came_back_is_counted_once(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool")
    queues.put(b"q", b"1", exptime=5)
    queues.put(b"q", b"2")
    queues.clock.advance(6)
    queues.queue(b"q").peek(queues.clock.wall_ms)
    assert queues.numbers(b"q").expired_items == 1
    queues.fail_commit(only="/q/")
    assert queues.numbers(b"q").expired_items == 0
    assert queues.take_all(b"q") == [b"2"]
    assert queues.numbers(b"q").expired_items == 1
