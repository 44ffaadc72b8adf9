"""Deadlines against a list that is sorted anew each time."""

from hypothesis import given
from hypothesis import strategies as st

from starling_py.queues.deadlines import Deadline, Deadlines

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


@given(
    st.lists(
        st.tuples(st.just("add"), TIMES)
        | st.tuples(st.just("run"), TIMES)
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
    happened: list[int] = []
    for what, value in steps:
        if what == "add":
            number = len(made)
            made.append(deadlines.add(value, lambda number=number: happened.append(number)))  # type: ignore[misc]
            pending[number] = value
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
        assert deadlines.next == min(pending.values(), default=None)
        assert [each.pending for each in made] == [number in pending for number in range(len(made))]
