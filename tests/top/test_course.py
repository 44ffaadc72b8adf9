"""What a queue did over the last minutes."""

from hypothesis import given
from hypothesis import strategies as st

from starling_py.top.course import SPAN, History
from starling_py.top.snapshot import Queue


def queue(puts: int, takes: int = 0, age: int | None = 0) -> Queue:
    return Queue(items=1, total_items=puts, get_hits=takes, age=age)


def noted(*steps: tuple[float, Queue]) -> History:
    history = History()
    before: dict[bytes, Queue] = {}
    for when, each in steps:
        now = {b"q": each}
        history.note(before, now, when)
        before = now
    return history


def test_a_steady_rate_is_told_as_such_wherever_the_looks_were() -> None:
    history = noted(*((float(second), queue(10 * second, 4 * second)) for second in range(61)))
    course = history.course(b"q", 60, 6, span=60)
    assert [round(rate or 0, 3) for rate in course.puts] == [10] * 6
    assert [round(rate or 0, 3) for rate in course.takes] == [4] * 6


def test_what_was_before_the_first_look_is_not_known() -> None:
    course = noted((0, queue(0)), (20, queue(20))).course(b"q", 20, 4, span=40)
    assert course.puts[:2] == (None, None)
    assert None not in course.puts[2:]


def test_a_queue_that_did_nothing_for_long_had_no_rate_meanwhile() -> None:
    still = queue(5)
    history = noted((0, still), (40, still), (41, queue(105)))
    course = history.course(b"q", 41, 4, span=40)
    assert course.puts[:3] == (0, 0, 0)
    assert course.puts[3] == 10


def test_an_age_grows_by_itself() -> None:
    history = noted((100, queue(1, age=30_000)))
    assert history.course(b"q", 110, 2, span=10).ages[-1] == 40


@given(st.lists(st.floats(0, 30), max_size=300))
def test_the_points_of_a_queue_are_bounded(gaps: list[float]) -> None:
    now, history, before = 0.0, History(), dict[bytes, Queue]()
    for number, gap in enumerate(gaps):
        now += gap
        queues = {b"q": queue(number)}
        history.note(before, queues, now)
        before = queues
    assert len(history._points.get(b"q", ())) <= 2 * SPAN / 5 + 3
