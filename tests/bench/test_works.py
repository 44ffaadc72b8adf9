"""Rounds and their lanes: every item once, in order, and whole."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from bench import VoidRunError
from bench.dialects import Text, Way
from bench.phrases import Endless
from bench.works import ByTurns, Gets, Puts, Together, Visits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.fleet import Lane


def put_of(number: int, queue: bytes = b"q") -> bytes:
    return b"set %b 0 0 12\r\n%08dabcd\r\n" % (queue, number)


def item(number: int, key: bytes = b"q") -> bytes:
    return b"VALUE %b 0 12\r\n%08dabcd\r\nEND\r\n" % (key, number)


def puts(numbers: range, depth: int = 1, *names: bytes, stamped: bool = False) -> Puts:
    queues = names or (b"q",)
    return Puts(
        lambda at: [Text().put(name, 12, at) for name in queues], numbers, depth, stamped=stamped
    )


def gets(
    count: int, depth: int = 1, *names: bytes, way: Way = Way.POP, of: Puts | None = None
) -> Gets:
    queues = names or (b"q",)
    return Gets(
        lambda at: [Text().get(name, 12, at, way) for name in queues], range(count), depth, of
    )


def visits(visitors: int, times: int) -> Visits:
    numbers = Endless()
    put = Puts(lambda at: [Text().put(b"q", 12, at)], numbers, 1)
    return Visits(put, gets(1000, of=put), numbers, visitors, times)


def check_visit(lane: Lane, number: int) -> list[bool]:
    """Check what a visitor asks for with this item; return which replies ended what is timed."""
    assert lane.ask() == put_of(number)
    stored = lane.hear(b"STORED\r\n")
    assert lane.ask() == b"get q\r\n"
    return [stored, lane.hear(item(number))]


def one_lane(work: Puts | Gets | ByTurns) -> Lane:
    return work.lanes(range(1))[0]


def asked(lane: Lane) -> list[bytes]:
    return list(itertools.takewhile(bool, (bytes(lane.ask()) for _ in range(100))))


def check_told(work: Gets, numbers: Iterable[int]) -> None:
    """Tell one connection these items, one at a time, and check that it takes them."""
    lane = one_lane(work)
    for number in numbers:
        assert lane.ask()
        assert lane.hear(item(number))
    work.finish()


def told(lane: Lane, work: Gets, reply: bytes) -> None:
    lane.hear(reply)
    work.finish()


def test_puts_number_every_item_and_the_last_batch_is_what_is_left() -> None:
    lane = one_lane(puts(range(7, 12), 2))
    assert asked(lane) == [put_of(7) + put_of(8), put_of(9) + put_of(10), put_of(11)]


def test_whoever_is_free_puts_the_next_items_and_it_is_known_who_did() -> None:
    work = puts(range(5), 2)
    one, two = work.lanes(range(2))
    assert [bytes(lane.ask()) for lane in (one, two, two)] == [
        put_of(0) + put_of(1),
        put_of(2) + put_of(3),
        put_of(4),
    ]
    assert work.owners() == {b"%08d" % number: int(number > 1) for number in range(5)}


def test_an_item_goes_into_the_queue_of_its_turn() -> None:
    lane = one_lane(puts(range(3), 1, b"a", b"b"))
    assert asked(lane) == [put_of(0, b"a"), put_of(1, b"b"), put_of(2, b"a")]


def test_gets_ask_for_as_many_items_as_there_are() -> None:
    assert asked(one_lane(gets(5, depth=3))) == [b"get q\r\n" * 3, b"get q\r\n" * 2]


def test_gets_of_several_queues_ask_each_in_turn() -> None:
    assert asked(one_lane(gets(3, 2, b"a", b"b"))) == [b"get a\r\nget b\r\n", b"get a\r\n"]


def test_an_item_of_only_its_number_is_possible() -> None:
    work = Puts(lambda at: [Text().put(b"q", 8, at)], range(1), 1)
    assert bytes(one_lane(work).ask()) == b"set q 0 0 8\r\n00000000\r\n"


def test_stored_is_the_only_right_reply_to_a_put() -> None:
    lane = one_lane(puts(range(3), 2))
    for right in (b"STORED\r\n" * 2, b"STORED\r\n"):
        lane.ask()
        assert lane.due == len(right)
        for wrong in (b"SERVED\r\n", right + b"STORED\r\n", b""):
            with pytest.raises(VoidRunError, match="wrong reply to put"):
                lane.hear(wrong)
        assert lane.hear(right)


@pytest.mark.parametrize("start", [b"NOT_STORED\r\n", b"STORED\r\nERROR"])
def test_an_error_is_seen_although_fewer_bytes_came_than_are_due(start: bytes) -> None:
    lane = one_lane(puts(range(9), 4))
    lane.ask()
    with pytest.raises(VoidRunError):
        lane.probe(start)


@pytest.mark.parametrize("start", [b"END\r\n", item(0) + b"END\r\n", b"END\r\n" + item(1)])
def test_a_miss_is_seen_although_fewer_bytes_came_than_are_due(start: bytes) -> None:
    lane = one_lane(gets(9, depth=4))
    lane.ask()
    with pytest.raises(VoidRunError):
        lane.probe(start)


@pytest.mark.parametrize("names", [(b"a",), (b"a", b"b")])
def test_the_start_of_a_right_reply_is_waited_for(names: tuple[bytes, ...]) -> None:
    get, put = one_lane(gets(2, 2, *names)), one_lane(puts(range(2), 2))
    get.ask()
    put.ask()
    right = item(0, names[0]) + item(1, names[-1])
    for cut in range(len(right)):
        get.probe(right[:cut])
    for cut in range(16):
        put.probe((b"STORED\r\n" * 2)[:cut])


@pytest.mark.parametrize(
    ("numbers", "fault"),
    [
        ([0, 1, 2], "1 missing$"),
        ([0, 1, 1, 2], "1 missing, 1 repeated$"),
        ([0, 1, 2, 7], "1 missing, 1 never put$"),
        ([0, 2, 1, 3], ": 1 out of order$"),
    ],
)
def test_a_missing_a_repeated_an_unknown_or_a_late_item_voids_the_run(
    numbers: list[int], fault: str
) -> None:
    check_told(gets(4), range(4))
    with pytest.raises(VoidRunError, match=fault):
        check_told(gets(4), numbers)


def test_only_what_one_connection_put_has_to_come_in_order() -> None:
    done = puts(range(4), 2)
    for lane in done.lanes(range(2)):
        lane.ask()
    check_told(gets(4, of=done), [2, 0, 3, 1])
    with pytest.raises(VoidRunError, match="1 out of order"):
        check_told(gets(4, of=done), [2, 1, 0, 3])


def test_two_readers_may_each_have_a_part_in_order() -> None:
    work = gets(4)
    one, two = work.lanes(range(2))
    for lane, number in ((one, 0), (two, 1), (two, 2), (one, 3)):
        lane.ask()
        lane.hear(item(number))
    work.finish()


def test_an_item_of_another_queue_voids_the_run() -> None:
    work = gets(2, 1, b"a", b"b")
    lane = one_lane(work)
    for number, key in ((1, b"a"), (0, b"b")):
        lane.ask()
        lane.hear(item(number, key))
    with pytest.raises(VoidRunError, match="2 from another queue"):
        work.finish()


def test_a_changed_byte_anywhere_in_a_reply_voids_the_run() -> None:
    right = item(0)
    for place in range(len(right)):
        work = gets(1)
        lane = one_lane(work)
        lane.ask()
        with pytest.raises(VoidRunError):
            told(lane, work, right[:place] + b"#" + right[place + 1 :])


def test_a_cache_may_give_one_item_many_times_but_none_that_was_never_put() -> None:
    for numbers, right in (((1, 1, 0), True), ((1, 1, 7), False)):
        work = Gets(lambda at: [Text().get(b"q", 12, at, Way.POP)], range(3), 1, None, once=False)
        if right:
            check_told(work, numbers)
        else:
            with pytest.raises(VoidRunError, match=": 1 never put"):
                check_told(work, numbers)


def test_a_reliable_get_is_done_when_it_is_confirmed() -> None:
    work = gets(3, 2, way=Way.TRIAL)
    lane = one_lane(work)
    assert lane.ask() == b"get q/open\r\n" * 2
    assert not lane.hear(item(0, b"q/open") + item(1, b"q/open"))
    assert lane.ask() == b"get q/close\r\n" * 2
    assert lane.due == 10
    with pytest.raises(VoidRunError, match="follows a get"):
        lane.hear(b"END\r\nEND..")
    assert lane.hear(b"END\r\n" * 2)
    assert lane.ask() == b"get q/open\r\n"
    assert not lane.hear(item(2, b"q/open"))
    assert lane.ask() == b"get q/close\r\n"
    assert lane.hear(b"END\r\n")
    assert not lane.ask()
    work.finish()


def test_by_turns_each_get_follows_a_put() -> None:
    done = puts(range(2))
    work = ByTurns(done, gets(2, of=done))
    lane = one_lane(work)
    for number in range(2):
        assert lane.ask() == put_of(number)
        assert lane.hear(b"STORED\r\n")
        assert lane.ask() == b"get q\r\n"
        assert lane.hear(item(number))
    assert not lane.ask()
    work.finish()
    assert work.operations == 4


def test_together_each_work_has_its_share_of_the_connections() -> None:
    done = puts(range(4), stamped=True)
    got = gets(4, way=Way.WAIT, of=done)
    work = Together((got, done), 4, timed=(got,))
    lanes = work.lanes(range(5))
    assert [bytes(lane.ask())[:4] for lane in lanes] == [b"get ", b"get ", b"set ", b"set "]


def test_the_time_of_a_waiting_get_counts_from_the_put_of_its_item() -> None:
    done = puts(range(1), stamped=True)
    got = gets(1, way=Way.WAIT, of=done)
    put, get = one_lane(done), one_lane(got)
    get.ask()
    put.ask()
    assert get.hear(item(0, b"q/t=20000"))
    get.took.append(99.0)  # what the loop counts, from the question
    assert len(got.latencies()) == 1
    assert 0 < got.latencies()[0] < 20


def test_a_visitor_has_nothing_to_ask_after_each_visit_and_at_the_end() -> None:
    work = visits(visitors=1, times=2)
    (lane,) = work.lanes(range(0))
    for number in range(2):
        assert check_visit(lane, number) == [False, True]
        assert not lane.ask()
    assert not lane.ask()
    work.finish()
    assert work.operations == 2


def test_connections_are_busy_until_the_last_visit_is_over() -> None:
    work = visits(visitors=1, times=1)
    busy, visitor = work.lanes(range(1))
    assert check_visit(visitor, 0)
    assert not visitor.ask()
    assert check_visit(busy, 1) == [True, True]
    assert not visitor.ask()
    assert not busy.ask()
    work.finish()


def test_several_visitors_are_timed_until_the_last_has_its_first_reply() -> None:
    work = visits(visitors=2, times=2)
    one, two = work.lanes(range(0))
    assert check_visit(one, 0) == [True, False]
    for lane, seconds in ((one, 3.0), (two, 5.0), (two, 1.0), (one, 2.0)):
        lane.took.append(seconds)
    assert work.latencies() == [5.0, 2.0]
    assert work.operations == 4


def test_a_visitor_that_does_not_get_what_was_put_voids_the_run() -> None:
    work = visits(visitors=1, times=1)
    (lane,) = work.lanes(range(0))
    lane.ask()
    lane.hear(b"STORED\r\n")
    lane.ask()
    lane.hear(item(7))
    with pytest.raises(VoidRunError, match=r"1 missing, 1 never put$"):
        work.finish()
