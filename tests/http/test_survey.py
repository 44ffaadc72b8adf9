"""What the page shows of all queues, at the cost of what has changed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.http.survey import MOST_LOOKED_AT, ORDERS, STUCK, Survey, Wish
from tests.http.parts import FakeQueue, FakeSource


def look(survey: Survey, source: FakeSource, *moved: FakeQueue, seconds: float = 1.0) -> None:
    """Let time pass, and look; ``moved`` are the queues that have changed."""
    source.time += seconds
    source.moved += [each.name for each in moved]
    for _ in survey.look():
        pass


def names(survey: Survey, wish: Wish) -> list[str]:
    return [row.text for row in survey.shown(wish)[1]]


def test_rates_are_of_the_time_since_the_look_before() -> None:
    queue = FakeQueue(b"jobs", 5, {"total_items": 100, "get_hits": 95})
    source = FakeSource([queue])
    survey = Survey(source)
    look(survey, source)
    assert survey.rates == (0, 0)
    look(survey, source, seconds=3600)
    queue.more |= {"total_items": 120, "get_hits": 105}
    look(survey, source, queue, seconds=2)
    assert survey.rates == (10, 5)
    look(survey, source)
    assert survey.rates == (0, 0)


def test_a_queue_that_was_made_anew_has_no_rate_below_nothing() -> None:
    queue = FakeQueue(b"jobs", 5, {"total_items": 100})
    source = FakeSource([queue])
    survey = Survey(source)
    look(survey, source)
    queue.more["total_items"] = 1
    look(survey, source, queue)
    assert survey.rates == (0, 0)


def test_only_what_has_changed_is_measured() -> None:
    queues = [FakeQueue(b"q%d" % number) for number in range(500)]
    source = FakeSource(queues)
    survey = Survey(source)
    look(survey, source)
    assert source.measured == 500
    look(survey, source, queues[3], queues[4])
    assert source.measured == 502


def test_of_many_changes_one_look_takes_in_some_and_the_next_the_rest() -> None:
    queues = [FakeQueue(b"q%d" % number) for number in range(MOST_LOOKED_AT + 5)]
    source = FakeSource(queues)
    survey = Survey(source)
    look(survey, source)
    assert len(survey.rows) == MOST_LOOKED_AT
    look(survey, source)
    assert len(survey.rows) == len(queues)


def test_a_queue_that_is_gone_is_shown_no_more() -> None:
    gone = FakeQueue(b"gone")
    source = FakeSource([gone, FakeQueue(b"there")])
    survey = Survey(source)
    look(survey, source)
    source.found.remove(gone)
    look(survey, source, gone)
    assert names(survey, Wish()) == ["there"]


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=5).map(str.encode), st.integers(0, 9), max_size=20
    ),
    st.sampled_from(sorted(ORDERS)),
    st.booleans(),
    st.text(max_size=2),
    st.integers(1, 5),
)
def test_any_wish_shows_the_first_of_those_that_match(
    sizes: dict[bytes, int], sort: str, rising: bool, part: str, rows: int
) -> None:
    source = FakeSource([FakeQueue(name, items) for name, items in sizes.items()])
    survey = Survey(source)
    look(survey, source)
    matching, shown = survey.shown(Wish(sort, rising, part, rows))
    expected = [name for name in sizes if part.casefold() in name.decode().casefold()]
    assert matching == len(expected)
    assert len(shown) == min(rows, matching)
    keys = [ORDERS[sort](row, survey.at) for row in shown]
    assert keys == sorted(keys, reverse=not rising)


def marks(more: dict[str, int], uptime: float = 1000, items: int = 3) -> list[str]:
    source = FakeSource([FakeQueue(b"jobs", items, more)])
    survey = Survey(source)
    look(survey, source)
    return survey.rows[b"jobs"].marks(survey.at, uptime)


LONG = int(STUCK * 1000) + 1


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, []),
        ({"paused": 1}, ["paused"]),
        ({"full": 1, "journal_broken": 1}, ["broken", "full"]),
        ({"last_get": LONG, "age": LONG}, ["stuck"]),
        ({"last_get": LONG, "age": LONG, "waiters": 1}, []),
        ({"last_get": -1, "age": LONG}, ["stuck"]),
        ({"last_get": -1, "age": 100}, []),
        ({"last_get": 100, "age": LONG}, []),
    ],
)
def test_what_is_wrong_with_a_queue_is_marked(more: dict[str, int], expected: list[str]) -> None:
    assert marks(more) == expected


def test_an_empty_queue_is_not_stuck() -> None:
    assert marks({"last_get": LONG}, items=0) == []


def test_nothing_is_called_stuck_soon_after_a_start() -> None:
    assert marks({"last_get": -1, "age": 1_000_000}, uptime=STUCK - 1) == []


def test_a_queue_into_which_more_goes_than_out_is_growing_and_then_not() -> None:
    queue = FakeQueue(b"jobs", 1, {"total_items": 0, "waiters": 1})
    source = FakeSource([queue])
    survey = Survey(source)
    look(survey, source)
    for _ in range(30):
        queue.more["total_items"] += 10
        look(survey, source, queue)
    row = survey.rows[b"jobs"]
    assert "growing" in row.marks(survey.at, 0)
    for _ in range(200):
        look(survey, source)
    assert row.growth == 0
    assert row.marks(survey.at, 0) == []


def test_an_age_grows_between_two_changes_and_an_unknown_one_does_not() -> None:
    source = FakeSource([FakeQueue(b"a", 1, {"age": 1000}), FakeQueue(b"b", 1, {"age": -1})])
    survey = Survey(source)
    look(survey, source)
    look(survey, source, seconds=10)
    ages = {row.text: row.age(survey.at) for row in survey.rows.values()}
    assert ages == {"a": 11, "b": -0.001}
