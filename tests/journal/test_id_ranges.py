"""Sets of ids as ranges, against ordinary sets."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.journal import id_ranges
from starling_py.journal.id_ranges import IdRanges

NUMBERS = st.integers(0, 60)
RANGES = st.lists(
    st.tuples(NUMBERS, st.integers(1, 8)).map(lambda pair: (pair[0], sum(pair))), max_size=20
)


@pytest.fixture(autouse=True, params=[2, 3, 1024])
def _chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut what there is into chunks of few and of many ranges."""
    monkeypatch.setattr(id_ranges, "LARGEST", request.param)


pytestmark = pytest.mark.patches


def built(ranges: list[tuple[int, int]]) -> tuple[IdRanges, set[int]]:
    """Return the same numbers twice."""
    ids, numbers = IdRanges(), set[int]()
    for start, end in ranges:
        ids.add(start, end)
        numbers |= set(range(start, end))
    return ids, numbers


def check(ids: IdRanges, numbers: set[int]) -> None:
    """Compare, and look whether the ranges are as few as can be."""
    assert {number for start, end in ids for number in range(start, end)} == numbers
    assert bool(ids) == bool(numbers)
    assert len(ids) == len([number for number in numbers if number - 1 not in numbers])
    ranges = list(ids)
    assert all(start < end for start, end in ranges)
    assert all(one[1] < other[0] for one, other in itertools.pairwise(ranges))


@given(RANGES)
def test_ids_added_in_any_order_are_in_as_few_ranges_as_possible(
    ranges: list[tuple[int, int]],
) -> None:
    ids, numbers = built(ranges)
    check(ids, numbers)
    assert {number for number in range(80) if number in ids} == numbers


@given(RANGES, NUMBERS)
def test_skipping_leads_to_the_next_number_that_is_missing(
    ranges: list[tuple[int, int]], number: int
) -> None:
    ids, numbers = built(ranges)
    expected = next(each for each in range(number, 200) if each not in numbers)
    assert ids.skip(number) == expected


@given(RANGES, NUMBERS)
def test_what_is_below_a_number_is_forgotten_and_the_rest_is_kept(
    ranges: list[tuple[int, int]], number: int
) -> None:
    ids, numbers = built(ranges)
    ids.drop_below(number)
    check(ids, {each for each in numbers if each >= number})


@given(RANGES, RANGES)
def test_a_copy_is_a_set_of_its_own(
    ranges: list[tuple[int, int]], more: list[tuple[int, int]]
) -> None:
    ids, numbers = built(ranges)
    copy = ids.copy()
    check(copy, numbers)
    for start, end in more:
        copy.add(start, end)
    copy.drop_below(30)
    check(ids, numbers)


def test_millions_of_numbers_in_a_row_are_one_range() -> None:
    ids = IdRanges()
    for number in range(10**6, 10**6 + 10**5):
        ids.add(number, number + 1)
    assert list(ids) == [(10**6, 10**6 + 10**5)]


def test_a_number_that_fills_a_gap_joins_the_ranges_around_it() -> None:
    ids = IdRanges([(1, 5), (6, 9)])
    ids.add(5, 6)
    assert list(ids) == [(1, 9)]


def test_no_order_of_adding_moves_all_that_is_there() -> None:
    """A client decides in which order items go; each may move the ranges of one chunk."""
    ids = IdRanges()
    for number in range(20_000, 0, -1):
        ids.add(2 * number, 2 * number + 1)
        assert len(ids._starts[0]) <= id_ranges.LARGEST
    assert len(ids) == 20_000
    assert all(len(each) <= id_ranges.LARGEST for each in ids._starts)
