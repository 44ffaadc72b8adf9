"""The numbers of one queue."""

from pathlib import Path

from starling_py.queues.open_reads import ReadHolder
from starling_py.stats import SUM, Histogram
from tests.queues.parts import Queues


def test_what_items_take_in_memory_is_counted(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool")
    queues.put(b"q", *[bytes(1000)] * 10)
    assert 10_000 < queues.numbers(b"q").mem_bytes < 20_000
    queues.open(b"q", ReadHolder())
    assert 10_000 < queues.numbers(b"q").mem_bytes < 20_000
    queues.take_all(b"q")
    assert queues.numbers(b"q").mem_bytes < 2_000


def test_items_that_are_on_disk_alone_take_no_memory(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool", window_size=20_000)
    queues.put(b"q", *[bytes(1000)] * 100)
    numbers = queues.numbers(b"q")
    assert numbers.bytes == 100_000
    assert numbers.mem_bytes < 40_000


def test_the_last_wait_is_that_of_the_item_taken_last(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool")
    queues.put(b"q", b"0", b"1", b"2")
    assert queues.numbers(b"q").last_wait == 0
    queues.pass_time(2)
    queues.take(b"q")
    queues.pass_time(1)
    numbers = queues.numbers(b"q")
    assert (numbers.last_wait, numbers.age) == (2000, 3000)
    queues.open(b"q", ReadHolder())
    assert queues.numbers(b"q").last_wait == 3000
    queues.pass_time(1)
    queues.take_all(b"q")
    queues.pass_time(100)
    numbers = queues.numbers(b"q")
    assert (numbers.last_wait, numbers.age) == (4000, 0)


def test_what_dies_or_is_looked_at_changes_no_last_wait(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool")
    queues.put(b"q", b"0")
    queues.put(b"q", b"1", exptime=5)
    queues.pass_time(1)
    queues.take(b"q")
    queues.pass_time(9)
    assert queues.take(b"q") is None
    assert queues.numbers(b"q").last_wait == 1000


def test_a_wall_clock_set_back_makes_no_last_wait_negative(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool")
    queues.put(b"q", b"0")
    queues.clock.wall_ms -= 60_000
    queues.take(b"q")
    assert queues.numbers(b"q").last_wait == 0


def test_a_failed_commit_takes_the_last_wait_back(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool")
    queues.put(b"q", b"0", b"1")
    queues.pass_time(1)
    queues.take(b"q")
    queues.pass_time(1)
    queues.queues.read(queues.request(b"q"))
    queues.fail_commit()
    assert queues.numbers(b"q").last_wait == 1000


def test_each_wait_of_what_is_taken_or_opened_is_counted(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool")
    expected = Histogram()
    for wait in (0, 1, 2, 1000, 1_000_000):
        queues.put(b"q", b"0", b"1")
        queues.clock.wall_ms += wait
        queues.take(b"q")
        queues.open(b"q", ReadHolder())
        expected.add(wait, 2)
    queues.put(b"q", b"0", b"1")
    queues.clock.wall_ms -= 60_000
    queues.take(b"q")
    queues.open(b"q", ReadHolder())
    expected.add(0, 2)
    assert queues.queues.directory.waits.counts == expected.counts
    assert expected.counts[SUM] == 2_002_006
