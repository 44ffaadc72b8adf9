"""What one connection holds, against a plain list of it."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from starling_py.journal.format.record import Item
from starling_py.queues.open_reads import OpenRead, ReadHolder
from starling_py.queues.persistent_queue import PersistentQueue


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
def test_whatever_comes_and_goes_the_reads_are_in_the_order_of_their_opening(
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
