"""Open reads: how they end, what a failed write makes of them, and which ones a client holds."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.journal.format.record import Item
from starling_py.queues.delivery import Put
from starling_py.queues.open_reads import OpenRead, ReadHolder
from starling_py.queues.persistent_queue import PersistentQueue
from tests.core import put_with_care
from tests.queues.parts import Queues


@pytest.fixture
def queues(tmp_path: Path) -> Queues:
    return Queues(tmp_path / "spool")


def test_an_open_item_is_counted_and_waits_no_more(queues: Queues) -> None:
    queues.put(b"q", b"1", b"22")
    queues.open(b"q", ReadHolder())
    numbers = queues.numbers(b"q")
    assert (numbers.items, numbers.open_transactions, numbers.bytes) == (1, 1, 3)
    assert queues.take_all(b"q") == [b"22"]


def test_items_come_back_to_their_old_places_in_whatever_order_they_come(
    queues: Queues,
) -> None:
    queues.put(b"q", *(b"%d" % number for number in range(6)))
    holder = ReadHolder()
    reads = [queues.open(b"q", holder) for _ in range(5)]
    for number in (3, 0, 4, 1):
        queues.queue(b"q").give_back(reads[number])
    assert queues.take_all(b"q") == [b"0", b"1", b"3", b"4", b"5"]
    assert holder.reads() == [reads[2]]


def test_a_confirmed_item_is_gone_for_good(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool")
    queues.put(b"q", b"1", b"2")
    holder = ReadHolder()
    read, _ = queues.open(b"q", holder), queues.open(b"q", holder)
    queues.queue(b"q").confirm(read)
    queues.commit()
    assert not read.is_open
    queues.close()
    assert Queues(tmp_path / "spool").take_all(b"q") == [b"2"]


def test_what_was_open_at_a_crash_comes_back_with_its_deliveries_counted(
    tmp_path: Path,
) -> None:
    for deliveries in (1, 2, 3):
        queues = Queues(tmp_path / "spool")
        if deliveries == 1:
            queues.put(b"q", b"1", b"2")
        assert queues.open(b"q", ReadHolder()).deliveries == deliveries
        assert queues.open(b"q", ReadHolder()).item.data == b"2"
        queues.close()


def test_the_end_of_a_lease_gives_an_item_back_and_a_new_one_delays_that(
    queues: Queues,
) -> None:
    queues.put(b"q", b"1")
    holder = ReadHolder()
    read = queues.open(b"q", holder, lease=10)
    queues.pass_time(9.9)
    queues.queue(b"q").open_reads.set_lease(read, queues.clock.monotonic + 10)
    queues.pass_time(9.9)
    assert read.is_open
    queues.pass_time(0.1)
    assert not read.is_open
    assert not holder
    assert queues.take_all(b"q") == [b"1"]
    assert queues.numbers(b"q").canceled_transactions == 1


def test_a_lease_never_ends_what_has_ended_before(queues: Queues) -> None:
    queues.put(b"q", b"1")
    read = queues.open(b"q", ReadHolder(), lease=10)
    queues.queue(b"q").confirm(read)
    queues.commit()
    queues.pass_time(20)
    assert queues.take_all(b"q") == []


def test_the_queues_own_lease_is_that_of_reads_that_ask_for_none(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool", {"q": {"open_timeout": 5}})
    queues.put(b"q", b"1", b"2")
    short, long = queues.open(b"q", ReadHolder()), queues.open(b"q", ReadHolder(), lease=60)
    queues.pass_time(5)
    assert (short.is_open, long.is_open) == (False, True)


def test_a_confirmation_that_is_not_written_leaves_the_read_in_its_place(
    queues: Queues,
) -> None:
    queues.put(b"q", b"1", b"2", b"3")
    holder = ReadHolder()
    first, second = queues.open(b"q", holder, lease=10), queues.open(b"q", holder)
    queues.queue(b"q").confirm(first)
    assert holder.reads() == [second]
    queues.fail_commit()
    assert first.is_open
    assert holder.reads() == [first, second]
    queues.pass_time(10)
    assert holder.reads() == [second]
    assert queues.take_all(b"q") == [b"1", b"3"]


def test_an_opening_that_cannot_be_written_leaves_the_item_in_the_queue(queues: Queues) -> None:
    queues.put(b"q", b"1", b"2")
    holder = ReadHolder()
    read = queues.open(b"q", holder, commit=False)
    queues.fail_commit()
    assert not read.is_open
    assert not holder
    assert queues.open(b"q", holder).deliveries == 1
    assert queues.take_all(b"q") == [b"2"]


@pytest.mark.parametrize("front", [False, True])
def test_what_one_who_is_gone_confirmed_comes_back_once_if_not_written(
    queues: Queues, front: bool
) -> None:
    queues.put(b"q", b"2")
    put_with_care(queues.queues, Put(b"q", b"1", 0, 0, front=front))
    queues.commit()
    holder = ReadHolder()
    read = queues.open(b"q", holder)
    queues.queue(b"q").confirm(read)
    holder.closed = True
    queues.fail_commit()
    assert sorted(queues.take_all(b"q")) == [b"1", b"2"]
    assert queues.numbers(b"q").items == 0


def test_a_deletion_ends_all_reads_and_its_failure_brings_them_back(queues: Queues) -> None:
    queues.put(b"q", b"1", b"2")
    holder = ReadHolder()
    read = queues.open(b"q", holder)
    queues.queues.delete(b"q")
    assert not holder
    queues.fail_commit()
    assert holder.reads() == [read]
    queues.queues.delete(b"q")
    queues.commit()
    assert not read.is_open
    queues.put(b"q", b"new")
    assert queues.take_all(b"q") == [b"new"]


def test_a_flush_leaves_open_items_and_they_can_come_back(queues: Queues) -> None:
    queues.put(b"q", b"1", b"2", b"3")
    queues.take(b"q")
    holder = ReadHolder()
    read = queues.open(b"q", holder)
    queues.queues.flush(b"q")
    queues.commit()
    assert queues.numbers(b"q").bytes == 1
    queues.queue(b"q").give_back(read)
    assert queues.take_all(b"q") == [b"2"]


def test_what_comes_back_with_a_delay_waits_for_it_over_a_restart(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool")
    queues.put(b"q", b"1", b"2")
    read = queues.open(b"q", ReadHolder())
    queues.queue(b"q").give_back_later(read, queues.clock.wall_ms + 60_000)
    queues.commit()
    queues.close()
    again = Queues(tmp_path / "spool", clock=queues.clock)
    again.pass_time(59)
    assert again.take_all(b"q") == [b"2"]
    again.pass_time(1)
    assert again.take_all(b"q") == [b"1"]


# What one connection holds, against a plain list of it.


def read(name: bytes = b"q") -> OpenRead:
    queue = PersistentQueue.__new__(PersistentQueue)
    queue.name = name  # nobody asks it for more
    return OpenRead(queue, Item(1, 0, 0, 0, b""), 1, None)


def test_the_oldest_read_of_a_queue_is_the_one_that_was_opened_first() -> None:
    holder = ReadHolder()
    first, other, second = read(), read(b"other"), read()
    for each in (first, other, second):
        holder.keep(each)
    assert (len(holder), holder.count(b"q"), holder.count(b"none")) == (3, 2, 0)
    assert holder.oldest(b"q") is first
    assert holder.oldest(b"none") is None
    holder.forget(first)
    holder.forget(first)
    assert holder.oldest(b"q") is second
    assert holder.reads(b"q") == [second]
    assert holder.reads() == [other, second] or holder.reads() == [second, other]


def test_a_read_that_comes_back_is_where_it_was() -> None:
    holder = ReadHolder()
    reads = [read() for _ in range(5)]
    for each in reads:
        holder.keep(each)
    for each in (reads[3], reads[0], reads[2]):
        holder.forget(each)
    for each in (reads[2], reads[0], reads[3]):
        holder.keep(each)
    assert holder.reads(b"q") == reads


def test_nothing_is_kept_of_a_queue_without_reads() -> None:
    holder = ReadHolder()
    assert not holder
    only = read()
    holder.keep(only)
    assert holder
    holder.forget(only)
    assert not holder
    assert len(holder) == 0


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=60))
def test_whatever_comes_and_goes_reads_are_in_the_order_of_their_opening(
    steps: Sequence[tuple[bool, int]],
) -> None:
    holder = ReadHolder()
    reads = [read(b"q" if number % 3 else b"p") for number in range(10)]
    held: set[OpenRead] = set()
    for keep, number in steps:
        if keep and reads[number] not in held:
            holder.keep(reads[number])
            held.add(reads[number])
        elif not keep:
            holder.forget(reads[number])
            held.discard(reads[number])
        for name in (b"p", b"q"):
            expected = [each for each in reads if each in held and each.queue.name == name]
            assert holder.reads(name) == expected
            assert holder.oldest(name) is (expected[0] if expected else None)
        assert len(holder) == len(held)
