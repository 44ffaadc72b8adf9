"""So many lines of a kind in a period, and not one that is neither logged nor counted."""

import logging
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from starling_py.server.log.repeats import MOST_KINDS, Kind, Repeats

CREATED: Kind = ("queues", logging.INFO, "queue %s: created")
REFUSED: Kind = ("acceptor", logging.WARNING, "%s: refused")

steps = st.lists(
    st.tuples(st.sampled_from([CREATED, REFUSED]), st.floats(0, 4), st.booleans()), max_size=200
)


def test_a_kind_has_so_many_lines_in_a_period_and_the_rest_is_counted() -> None:
    repeats = Repeats(most=3, period=10)
    assert [repeats.admits(CREATED, now) for now in (0, 1, 2, 3, 9)] == [True] * 3 + [False] * 2
    assert repeats.ended(9.9) == []
    assert repeats.ended(10) == [(CREATED, 2)]
    assert not repeats.holding
    assert repeats.admits(CREATED, 10)


def test_kinds_do_not_count_against_each_other() -> None:
    repeats = Repeats(most=1, period=10)
    assert repeats.admits(CREATED, 0)
    assert not repeats.admits(CREATED, 0)
    assert repeats.admits(REFUSED, 0)


def test_few_lines_over_a_long_time_are_all_logged() -> None:
    repeats = Repeats(most=2, period=10)
    assert all(repeats.admits(CREATED, 5.1 * number) for number in range(1000))
    assert not repeats.holding


@given(steps)
def test_each_line_is_logged_or_in_one_count(steps: list[tuple[Kind, float, bool]]) -> None:
    repeats = Repeats(most=3, period=10)
    now = 0.0
    asked: Counter[Kind] = Counter()
    logged: Counter[Kind] = Counter()
    told: Counter[Kind] = Counter()
    for kind, later, looks in steps:
        now += later
        asked[kind] += 1
        logged[kind] += repeats.admits(kind, now)
        if looks:
            told.update(dict(repeats.ended(now)))
    assert repeats.held_back == asked.total() - logged.total()
    told.update(dict(repeats.ended(now + 10)))
    assert not repeats.holding
    assert asked == logged + told


@given(st.lists(st.floats(0, 3), max_size=300))
def test_a_flood_is_limited_by_time_alone(pauses: list[float]) -> None:
    repeats = Repeats(most=3, period=10)
    now = 0.0
    lines = 0
    for pause in pauses:
        now += pause
        lines += len(repeats.ended(now)) + repeats.admits(CREATED, now)
    assert lines <= (3 + 1) * (now / 10 + 1)


def test_the_memory_for_kinds_is_bounded_and_their_lines_are_counted() -> None:
    repeats = Repeats(most=1, period=10)
    kinds = [("a", logging.INFO, f"text {number}") for number in range(MOST_KINDS + 100)]
    assert sum(repeats.admits(kind, 0) for kind in kinds) == MOST_KINDS + 1
    assert repeats.ended(10) == [(("", logging.INFO, ""), 99)]
    assert repeats.admits(REFUSED, 20)
    assert all(repeats.admits(kind, 30) for kind in kinds[:100])
