"""Statistics: their names, which clients and people read."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.stats import SUM, Histogram, one_token


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"jobs", b"jobs"),
        (b"a b", rb"a\x20b"),
        (b"\x1b[2J", rb"\x1b[2J"),
        (b"a\0b", rb"a\x00b"),
        ("aufträge".encode(), "aufträge".encode()),
        ("\x9b2J".encode(), rb"\xc2\x9b2J"),
        (b"\x9b2J", rb"\x9b2J"),
        (b"\xff\xc2\x80", rb"\xff\xc2\x80"),
    ],
)
def test_a_name_is_shown_without_what_a_terminal_obeys(name: bytes, shown: bytes) -> None:
    assert one_token(name) == shown


@given(st.binary(min_size=1, max_size=250))
def test_every_name_is_shown_as_printable_text_in_one_word(name: bytes) -> None:
    shown = one_token(name).decode()
    assert re.fullmatch(r"[^\x00-\x20\x7f-\x9f]+", shown)
    assert one_token(shown.encode()) == shown.encode()


@given(st.lists(st.tuples(st.integers(-(1 << 40), (1 << 63) - 1), st.integers(1, 5))))
def test_a_histogram_counts_each_value_where_its_size_is(values: list[tuple[int, int]]) -> None:
    histogram = Histogram()
    for value, times in values:
        histogram.add(value, times)
    assert histogram.number == sum(times for _, times in values)
    assert histogram.counts[SUM] == sum(max(value, 0) * times for value, times in values)
    for size in range(SUM):
        low, high = (0, 1) if size == 0 else (1 << (size - 1), 1 << size)
        fits = [times for value, times in values if low <= max(value, 0) < high]
        assert histogram.counts[size] == sum(fits)
