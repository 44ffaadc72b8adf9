"""Items beside the window: in the order of the queue, and each of them due when it is due."""

from hypothesis import given
from hypothesis import strategies as st

from starling_py.journal.format.record import Item, MarkedItem
from starling_py.queues.deadlines import Deadlines
from starling_py.queues.set_aside import SetAside, place


def plain(item_id: int, size: int = 1) -> Item:
    return Item(item_id, 0, 0, 0, bytes(size))


def front(item_id: int) -> MarkedItem:
    return MarkedItem(item_id, 0, 0, 0, b"x", front=True)


def test_the_last_put_in_front_comes_first_and_the_others_by_their_ids() -> None:
    strays = SetAside(Deadlines(), lambda: None)
    for item in (plain(3), front(7), plain(1), front(9), MarkedItem(2, 0, 0, 0, b"x")):
        strays.add(item)
    assert [strays.pop().id for _ in range(5)] == [9, 7, 1, 2, 3]


def test_a_delayed_item_becomes_ready_at_its_time_and_that_is_told() -> None:
    deadlines = Deadlines()
    told: list[int] = []
    strays = SetAside(deadlines, lambda: told.append(len(strays.ready)))
    strays.delay(plain(1), 10.0, 10_000)
    strays.delay(plain(2, size=5), 5.0, 5_000)
    assert (strays.delayed, strays.delayed_bytes, strays.ready) == (2, 6, [])
    deadlines.run_due(4.9)
    assert not told
    deadlines.run_due(5.0)
    assert told == [1]
    assert strays.pop().id == 2
    assert (strays.delayed, strays.delayed_bytes, len(strays)) == (1, 1, 1)


def test_what_is_not_live_any_more_is_forgotten_and_never_becomes_due() -> None:
    deadlines = Deadlines()
    strays = SetAside(deadlines, lambda: None)
    for number in range(1, 5):
        strays.add(plain(number))
        strays.delay(plain(10 + number), float(number), 1000 * number)
    strays.retain(lambda item_id: item_id % 2 == 0)
    assert strays.ids() == {2, 4, 12, 14}
    deadlines.run_due(100.0)
    assert strays.delayed == 0
    assert [strays.pop().id for _ in range(4)] == [2, 4, 12, 14]


@given(st.lists(st.integers(1, 1000), unique=True), st.data())
def test_they_come_out_sorted_by_their_places_whatever_order_they_came_in(
    ids: list[int], data: st.DataObject
) -> None:
    items = [front(each) if data.draw(st.booleans()) else plain(each) for each in ids]
    strays = SetAside(Deadlines(), lambda: None)
    for item in items:
        strays.add(item)
    assert len(strays) == len(strays.items()) == len(items)
    taken = [strays.pop() for _ in items]
    assert taken == sorted(items, key=place)
    assert strays.ids() == set()
