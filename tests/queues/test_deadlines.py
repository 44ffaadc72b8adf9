"""Deadlines against a list that is sorted anew each time."""

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from starling_py.guard import Guard
from starling_py.queues.deadlines import TRIES, TRY_AGAIN, Deadline, Deadlines

TIMES = st.floats(0, 100)


def test_what_is_due_happens_in_order_and_nothing_else() -> None:
    deadlines = Deadlines()
    happened: list[str] = []
    for when, what in ((3.0, "three"), (1.0, "one"), (2.0, "two"), (1.0, "one again")):
        deadlines.add(when, lambda what=what: happened.append(what))  # type: ignore[misc]
    assert deadlines.next == 1.0
    deadlines.run_due(2.0)
    assert happened == ["one", "one again", "two"]
    assert deadlines.next == 3.0
    deadlines.run_due(2.9)
    assert happened == ["one", "one again", "two"]


def test_what_happens_may_add_what_is_due_and_cancel_what_would_be_next() -> None:
    deadlines = Deadlines()
    happened: list[str] = []
    later = deadlines.add(2.0, lambda: happened.append("cancelled"))

    def first() -> None:
        deadlines.cancel(later)
        deadlines.add(1.5, lambda: happened.append("added"))

    deadlines.add(1.0, first)
    deadlines.run_due(5.0)
    assert happened == ["added"]
    assert deadlines.next is None


def test_cancelling_twice_or_after_the_event_is_no_error() -> None:
    deadlines = Deadlines()
    deadline = deadlines.add(1.0, lambda: None)
    deadlines.run_due(1.0)
    deadlines.cancel(deadline)
    deadlines.cancel(deadline)
    assert deadlines.next is None


def test_what_is_cancelled_does_not_pile_up() -> None:
    deadlines = Deadlines()
    for number in range(10_000):
        deadlines.cancel(deadlines.add(1000.0 + number, lambda: None))
    assert len(deadlines._heap) < 200


def test_a_moment_of_the_wall_clock_ends_what_was_reckoned_from_it() -> None:
    deadlines = Deadlines()
    happened: list[str] = []
    deadlines.add(7.0, lambda: happened.append("plain"))
    deadlines.add(9.0, lambda: happened.append("late"), 9_000)
    deadlines.add(5.0, lambda: happened.append("soon"), 5_000)
    deadlines.run_passed(4_999, 0.0, 10)
    assert happened == []
    deadlines.run_passed(8_000, 0.0, 10)
    assert happened == ["soon"]
    deadlines.run_due(8.0)
    assert happened == ["soon", "plain"]
    deadlines.run_due(9.0)
    deadlines.run_passed(20_000, 0.0, 10)
    assert happened == ["soon", "plain", "late"]  # once each, whichever came first
    assert deadlines.next is None


def test_no_more_than_the_limit_is_run_and_the_next_call_goes_on() -> None:
    deadlines = Deadlines()
    happened: list[int] = []
    for number in range(1, 201):
        deadlines.add(1e9, lambda number=number: happened.append(number), number)  # type: ignore[misc]
    deadlines.run_passed(1_000, 0.0, 150)
    assert happened == list(range(1, 151))
    assert deadlines.soonest_by_wall <= 1_000  # nobody sleeps before the rest is done
    deadlines.run_passed(1_000, 0.0, 150)
    assert happened == list(range(1, 201))
    assert deadlines.next is None
    assert len(deadlines._heap) < 100


def test_what_happens_may_cancel_what_the_wall_clock_would_end_next() -> None:
    deadlines = Deadlines()
    happened: list[str] = []
    others = [deadlines.add(9.0, lambda: happened.append("cancelled"), 5) for _ in range(200)]

    def first() -> None:
        for each in others:
            deadlines.cancel(each)
        deadlines.add(9.0, lambda: happened.append("added"), 6)

    deadlines.add(9.0, first, 1)
    deadlines.run_passed(10, 0.0, 1000)
    assert happened == ["added"]


def test_of_those_with_two_times_none_piles_up() -> None:
    deadlines = Deadlines()
    for number in range(1, 10_000):
        deadlines.cancel(deadlines.add(1000.0 + number, lambda: None, number))
        deadlines.add(float(number), lambda: None, 10**9)
        deadlines.run_due(float(number))
        deadlines.run_passed(0, 0.0, 1)
    assert len(deadlines._heap) < 200
    assert len(deadlines._by_wall) < 200


@given(
    st.lists(
        st.tuples(st.just("add"), TIMES)
        | st.tuples(st.just("add by wall"), TIMES)
        | st.tuples(st.just("run"), TIMES)
        | st.tuples(st.just("jump"), st.floats(-50, 50))
        | st.tuples(st.just("cancel"), st.integers(0, 200)),
        max_size=200,
    )
)
def test_any_adding_cancelling_and_running_is_what_a_sorted_list_gives(
    steps: list[tuple[str, float]],
) -> None:
    deadlines = Deadlines()
    made: list[Deadline] = []
    pending: dict[int, float] = {}
    by_wall: dict[int, int] = {}
    happened: list[int] = []
    ahead_ms = 0
    for what, value in steps:
        if what in ("add", "add by wall"):
            number = len(made)
            wall_ms = 1 + int(value * 1000) + ahead_ms if what == "add by wall" else 0
            made.append(deadlines.add(value, partial(happened.append, number), wall_ms))
            pending[number] = value
            if wall_ms:
                by_wall[number] = wall_ms
        elif what == "cancel" and made:
            number = int(value) % len(made)
            deadlines.cancel(made[number])
            pending.pop(number, None)
        elif what == "run":
            due = sorted((when, number) for number, when in pending.items() if when <= value)
            happened.clear()
            deadlines.run_due(value)
            assert happened == [number for _, number in due]
            for _, number in due:
                del pending[number]
        elif what == "jump":
            ahead_ms += int(value * 1000)
            over = sorted(
                (by_wall[number], number)
                for number in pending
                if number in by_wall and by_wall[number] <= ahead_ms
            )
            happened.clear()
            deadlines.run_passed(ahead_ms, 0.0, 1000)
            assert happened == [number for _, number in over]
            for _, number in over:
                del pending[number]
        assert deadlines.next == min(pending.values(), default=None)
        assert [each.pending for each in made] == [number in pending for number in range(len(made))]


def test_one_that_fails_keeps_no_other_from_running_and_is_tried_again() -> None:
    guard = Guard()
    deadlines = Deadlines(guard)
    ran: list[str] = []
    tries = 0

    def fails_twice() -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise MemoryError
        ran.append("first")

    deadlines.add(1.0, fails_twice)
    deadlines.add(1.0, lambda: ran.append("second"))
    deadlines.run_due(1.0)
    assert ran == ["second"]
    assert guard.errors == 1
    assert deadlines.next == 1.0 + TRY_AGAIN
    deadlines.run_due(2.0)
    assert deadlines.next == 2.0 + 2 * TRY_AGAIN, "less and less often"
    deadlines.run_due(4.0)
    assert ran == ["second", "first"]
    assert deadlines.next is None


def test_one_that_always_fails_is_given_up() -> None:
    guard = Guard()
    deadlines = Deadlines(guard)

    def fails() -> None:
        raise RecursionError

    deadlines.add(1.0, fails)
    for _ in range(100):
        deadlines.run_due(deadlines.next or 0)
    assert guard.errors == TRIES
    assert deadlines.next is None


def test_one_that_failed_can_be_cancelled() -> None:
    deadlines = Deadlines(Guard())

    def fails() -> None:
        raise MemoryError

    deadline = deadlines.add(1.0, fails)
    deadlines.run_due(1.0)
    assert deadline.pending
    deadlines.cancel(deadline)
    assert deadlines.next is None
