"""Finding the queues in a reply, whatever they are called."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.top.snapshot import take_snapshot
from tests.top.parts import Counters, snapshot

QUEUE_KEYS = (
    "items",
    "total_items",
    "bytes",
    "logsize",
    "expired_items",
    "age",
    "waiters",
    "delayed",
    "open_transactions",
    "transactions",
    "canceled_transactions",
)

counts = st.integers(0, 10**20 - 1)
# Neither a name that contains a counter's name nor whitespace.
names = st.binary(min_size=1, max_size=250).filter(
    lambda name: (
        not any(word in name for word in (b"_total", b"_expired", b"_mem", b"_open"))
        and len(name.split()) == 1
    )
)


@given(st.dictionaries(names, st.fixed_dictionaries(dict.fromkeys(QUEUE_KEYS, counts))))
def test_every_queue_is_found_with_its_counters_whatever_its_name(
    queues: dict[bytes, Counters],
) -> None:
    stats = {
        b"queue_" + name + b"_" + key.encode(): b"%d" % value
        for name, counters in queues.items()
        for key, value in counters.items()
    }
    found = take_snapshot(stats, 0).queues
    assert found.keys() == queues.keys()
    for name, queue in found.items():
        assert queue.items == queues[name]["items"]
        assert queue.total_items == queues[name]["total_items"]
        assert queue.logsize == queues[name]["logsize"]
        assert queue.age == queues[name]["age"]
        assert queue.size == queues[name]["bytes"]
        assert queue.open == queues[name]["open_transactions"]
        assert queue.delayed == queues[name]["delayed"]
        assert queue.expired == queues[name]["expired_items"]


@pytest.mark.parametrize("name", ["jobs_total", "jobs_expired", "items", "total_items", "_items"])
def test_a_name_may_end_like_a_counter(name: str) -> None:
    counters = {"items": 1, "total_items": 2, "expired_items": 3, "age": 4}
    assert list(snapshot(0, {}, **{name: counters}).queues) == [name.encode()]


def test_a_counter_that_ends_in_items_is_no_queue_of_its_own() -> None:
    kestrel = {"items": 1, "total_items": 2, "expired_items": 3, "mem_items": 4}
    assert list(snapshot(0, {}, jobs=kestrel).queues) == [b"jobs"]


def test_open_items_are_unknown_where_another_queue_has_that_counter() -> None:
    counters = {"items": 1, "open_transactions": 2, "transactions": 9}
    queues = snapshot(0, {}, jobs=counters, jobs_open=counters).queues
    assert (queues[b"jobs"].open, queues[b"jobs_open"].open) == (None, 2)


def test_a_server_that_tells_nothing_but_items_has_queues_too() -> None:
    assert list(snapshot(0, {}, jobs={"items": 1}, jobs_all={"items": 2}).queues) == [
        b"jobs",
        b"jobs_all",
    ]
