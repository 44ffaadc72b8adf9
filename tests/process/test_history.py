"""The history catches what must not be, and lets pass what may be."""

import random
from collections import deque

import pytest

from tests.process.history import Get, History, Put

Q = b"q"


def put(history: History, data: bytes, producer: int = 0, flags: int = 0) -> Put:
    """Note an item that was stored."""
    item = history.sent(Q, producer, data, flags)
    history.stored(item)
    return item


def take(history: History, data: bytes, flags: int = 0) -> Get:
    """Note an item that was delivered."""
    get = history.asked(Q)
    history.delivered(get, data, flags)
    return get


def cut_off_get(history: History) -> None:
    """Note a get whose reply did not come."""
    history.get_cut_off(history.asked(Q))


def only_problem(history: History) -> str:
    """Return the one thing that is wrong."""
    (problem,) = history.problems()
    return problem


def test_items_that_come_back_once_and_in_order_are_no_problem() -> None:
    history = History()
    put(history, b"1")
    put(history, b"2", flags=7)
    put(history, b"3", producer=1)
    take(history, b"1")
    take(history, b"2", flags=7)
    take(history, b"3")
    history.missed(history.asked(Q))
    assert history.problems() == []
    assert history.stats_problems(Q, 0, 3) == []
    assert history.backlog == 0
    assert history.bytes == 3


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_lost_item_is_caught_wherever_it_stood(lost: int) -> None:
    history = History()
    for number in range(3):
        put(history, b"%d" % number)
    for number in range(3):
        if number != lost:
            take(history, b"%d" % number)
    assert only_problem(history) == f"stored but lost: item {lost} of producer 0 in q"


def test_an_item_delivered_twice_is_caught() -> None:
    history = History()
    put(history, b"1")
    take(history, b"1")
    take(history, b"1")
    assert only_problem(history) == "delivered twice: item 0 of producer 0 in q"


def test_an_item_whose_put_was_cut_off_may_come_or_not_but_not_twice() -> None:
    history = History()
    for data in (b"1", b"2"):
        history.put_cut_off(history.sent(Q, 0, data))
    take(history, b"2")
    assert history.problems() == []
    take(history, b"2")
    assert only_problem(history) == "delivered twice: item 1 of producer 0 in q"


def test_two_items_of_one_producer_that_changed_places_are_caught() -> None:
    history = History()
    first, second = history.sent(Q, 0, b"1"), history.sent(Q, 0, b"2")
    history.stored(first)
    history.stored(second)
    take(history, b"2")
    take(history, b"1")
    assert only_problem(history).startswith("delivered before an item that was put earlier: item 1")


def test_two_items_of_two_producers_that_changed_places_are_caught() -> None:
    history = History()
    put(history, b"1", producer=1)
    put(history, b"2", producer=2)
    take(history, b"2")
    take(history, b"1")
    assert "item 0 of producer 2" in only_problem(history)


def test_items_that_were_put_at_the_same_time_may_come_in_any_order() -> None:
    history = History()
    first, second = history.sent(Q, 1, b"1"), history.sent(Q, 2, b"2")
    history.stored(first)
    history.stored(second)
    take(history, b"2")
    take(history, b"1")
    assert history.problems() == []


def test_items_taken_at_the_same_time_may_have_been_taken_in_any_order() -> None:
    history = History()
    put(history, b"1")
    put(history, b"2")
    one, other = history.asked(Q), history.asked(Q)
    history.delivered(other, b"2")
    history.delivered(one, b"1")
    assert history.problems() == []


@pytest.mark.parametrize(
    ("data", "flags"), [(b"iten", 5), (b"item\0", 5), (b"ite", 5), (b"", 5), (b"item", 4)]
)
def test_a_changed_byte_or_flag_is_caught(data: bytes, flags: int) -> None:
    history = History()
    put(history, b"item", flags=5)
    take(history, data, flags)
    invented, lost = history.problems()
    assert invented.startswith(f"delivered but never sent: {len(data)} bytes, flags {flags}")
    assert lost == "stored but lost: item 0 of producer 0 in q"


def test_an_item_of_another_queue_is_caught() -> None:
    history = History()
    put(history, b"1")
    get = history.asked(b"other")
    history.delivered(get, b"1")
    assert len(history.problems()) == 2


def test_a_get_that_was_cut_off_explains_one_missing_item() -> None:
    history = History()
    put(history, b"1")
    put(history, b"2")
    cut_off_get(history)
    take(history, b"2")
    assert history.problems() == []


def test_a_get_that_was_cut_off_does_not_explain_two_missing_items() -> None:
    history = History()
    put(history, b"1")
    put(history, b"2")
    cut_off_get(history)
    assert len(history.problems()) == 1


def test_a_get_does_not_explain_an_item_that_was_put_later() -> None:
    history = History()
    cut_off_get(history)
    put(history, b"1")
    assert only_problem(history).startswith("stored but lost")


def test_a_get_does_not_explain_an_item_that_stood_behind_one_taken_later() -> None:
    history = History()
    put(history, b"1")
    put(history, b"2")
    cut_off_get(history)
    take(history, b"1")
    assert only_problem(history) == "stored but lost: item 1 of producer 0 in q"


def test_a_get_explains_no_item_that_stood_before_one_taken_earlier() -> None:
    history = History()
    put(history, b"1")
    put(history, b"2")
    take(history, b"2")
    cut_off_get(history)
    assert only_problem(history) == "stored but lost: item 0 of producer 0 in q"


def test_gets_explain_as_many_missing_items_as_can_be() -> None:
    """The first item can be explained by both gets, the second one only by the first get."""
    history = History()
    early, late = history.asked(Q), history.asked(Q)
    first = history.sent(Q, 1, b"1")
    second = history.sent(Q, 2, b"2")
    history.stored(second)
    history.get_cut_off(late)
    history.stored(first)
    history.get_cut_off(early)
    assert history.problems() == []
    history = History()
    both = history.sent(Q, 1, b"1")
    put(history, b"2", producer=2)
    cut_off_get(history)
    put(history, b"3", producer=2)
    take(history, b"3")
    cut_off_get(history)
    history.stored(both)
    assert history.problems() == []


def test_a_miss_though_an_item_was_there_is_caught() -> None:
    history = History()
    put(history, b"1")
    history.missed(history.asked(Q))
    take(history, b"1")
    assert only_problem(history) == "nothing found in b'q' though an item was there"


def test_a_miss_while_the_item_was_put_or_taken_is_no_problem() -> None:
    history = History()
    miss = history.asked(Q)
    put(history, b"1")
    get = history.asked(Q)
    history.missed(miss)
    miss = history.asked(Q)
    history.delivered(get, b"1")
    history.missed(miss)
    assert history.problems() == []


def test_two_items_that_are_the_same_are_refused() -> None:
    history = History()
    put(history, b"1")
    put(history, b"1", flags=1)
    with pytest.raises(ValueError, match="the same"):
        put(history, b"1")


def test_the_servers_numbers_lie_between_what_is_known_and_what_may_be() -> None:
    history = History()
    for number in range(5):
        put(history, b"%d" % number)
    history.put_cut_off(history.sent(Q, 0, b"perhaps"))
    take(history, b"0")
    cut_off_get(history)
    assert not history.stats_problems(Q, 4, 5)
    assert not history.stats_problems(Q, 3, 5)
    assert not history.stats_problems(Q, 5, 6)
    assert history.stats_problems(Q, 3, 4) == ["b'q': total_items 4, not 5 to 6"]
    assert history.stats_problems(Q, 5, 7) == ["b'q': total_items 7, not 5 to 6"]
    assert history.stats_problems(Q, 5, 5) == ["b'q': items 5, not 3 to 4"]
    assert history.stats_problems(Q, 2, 5) == ["b'q': items 2, not 3 to 4"]


@pytest.mark.parametrize("seed", range(20))
def test_what_a_queue_does_is_never_a_problem(seed: int) -> None:
    """Gets are cut off now and then, and sometimes after the item left the queue."""
    dice = random.Random(seed)
    history, queue = History(), deque[bytes]()
    for number in range(300):
        data = b"%d" % number
        put(history, data, producer=dice.randrange(3))
        queue.append(data)
        for _ in range(dice.randrange(3)):
            get = history.asked(Q)
            if dice.random() < 0.1:
                if queue and dice.random() < 0.5:
                    queue.popleft()
                history.get_cut_off(get)
            elif queue:
                history.delivered(get, queue.popleft())
            else:
                history.missed(get)
    while queue:
        take(history, queue.popleft())
    assert history.problems() == []


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("harm", ["lost", "twice", "changed", "swapped"])
def test_harm_to_one_item_among_many_is_caught(seed: int, harm: str) -> None:
    dice = random.Random(seed)
    history = History()
    items = [b"%d" % number for number in range(100)]
    for data in items:
        put(history, data, producer=dice.randrange(3))
    where = dice.randrange(len(items) - 1)
    if harm == "lost":
        del items[where]
    elif harm == "twice":
        items.insert(dice.randrange(len(items)), items[where])
    elif harm == "changed":
        items[where] += b"?"
    else:
        items[where], items[where + 1] = items[where + 1], items[where]
    for data in items:
        take(history, data)
    assert history.problems()
