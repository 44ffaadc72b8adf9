"""Which queues are to be looked after, and when."""

from hypothesis import given
from hypothesis import strategies as st

from starling_py.guard import Guard
from starling_py.queues.care import Care
from tests.core import ManualClock


def test_a_queue_is_looked_after_at_the_soonest_time_it_was_given() -> None:
    clock = ManualClock()
    care = Care(clock, Guard())
    for seconds in 5.0, 3.0, 9.0:
        care.plan(b"q", clock.monotonic + seconds)
    found = []
    for second in range(10):
        if care.next([], 10, 0):
            found.append(second)
        clock.advance(1)
    assert found == [3]


def test_those_left_over_come_the_next_time_and_the_circle_goes_on() -> None:
    care = Care(ManualClock(), Guard())
    names = [b"a", b"b", b"c"]
    care.soon = dict.fromkeys([b"x", b"b", b"y"])
    looks = [care.next(names, 2, 1) for _ in range(4)]
    assert looks == [[b"a", b"x"], [b"b", b"y"], [b"c"], [b"a"]]


@given(st.lists(st.tuples(st.sampled_from([b"a", b"b"]), st.integers(-1, 99)), max_size=30))
def test_the_weight_of_all_is_that_of_those_that_are_there(steps: list[tuple[bytes, int]]) -> None:
    care, weights = Care(ManualClock(), Guard()), dict[bytes, int]()
    for name, size in steps:
        if size < 0:
            care.went(name)
            weights.pop(name, None)
        else:
            care.weigh(name, size)
            weights[name] = size
    assert care.bytes == sum(weights.values())


def test_nothing_is_kept_of_queues_that_are_gone() -> None:
    clock = ManualClock()
    care = Care(clock, Guard())
    for number in range(1000):
        name = b"q%d" % number
        care.weigh(name, 1)
        care.plan(name, clock.monotonic + 1000, 5)
        care.soon[name] = None
        care.went(name)
    assert not care.soon | care._known
    assert care.bytes == 0
    assert len(care._plans._heap) < 200
