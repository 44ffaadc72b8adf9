"""Numbers, names and data as text."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.top.formats import (
    format_age,
    format_bytes,
    format_count,
    format_rate,
    format_uptime,
    json_value,
    printable,
)

counts = st.integers(0, 10**20 - 1)


@given(st.binary())
def test_text_for_the_terminal_holds_no_control_characters(value: bytes) -> None:
    assert printable(value).isprintable()


def test_names_in_utf_8_stay_as_they_are_and_other_bytes_show_as_escapes() -> None:
    assert printable("café 日本".encode()) == "café 日本"
    assert printable(b"a\xff\x1b[31m\n") == r"a\xff\x1b[31m\n"


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        (b"pid", b"12", 12),
        (b"x", b"-1", -1),
        (b"rusage_user", b"0.120000", 0.12),
        (b"version", b"1.10", "1.10"),
        (b"x", b"1.0.0", "1.0.0"),
        (b"x", b"007", "007"),
        (b"x", b"1_0", "1_0"),
        (b"x", b"nan", "nan"),
        (b"x", b"9" * 5000, "9" * 5000),
        (b"x", b"\xff", r"\xff"),
        (b"x", b"", ""),
    ],
)
def test_only_what_is_written_like_a_number_becomes_one(
    key: bytes, value: bytes, expected: float | str
) -> None:
    found = json_value(key, value)
    assert found == expected
    assert type(found) is type(expected)


def test_ages_show_in_their_largest_fitting_unit() -> None:
    seconds = [0, 0.05, 1.2, 9.94, 9.95, 119.9, 120, 7199, 7200, 172_799, 172_800]
    shown = [format_age(round(each * 1000)) for each in seconds]
    assert shown == ["0.0s", "0.1s", "1.2s", "9.9s", "9s", "119s", "2m", "119m", "2h", "47h", "2d"]


def test_sizes_show_with_binary_units() -> None:
    sizes = [0, 1023, 1024, 1536, 10 * 1024, 1023 * 1024 + 600, 23 * 2**20, 5 * 2**40]
    shown = [format_bytes(size) for size in sizes]
    assert shown == ["0B", "1023B", "1.0K", "1.5K", "10K", "1.0M", "23M", "5.0T"]


def test_rates_keep_decimals_only_where_they_are_small() -> None:
    rates = [0, 0.02, 0.5, 1, 9.94, 10, 12.6, 99_999, 100_000]
    shown = [format_rate(each) for each in rates]
    assert shown == ["0", "0.02", "0.50", "1.0", "9.9", "10", "13", "99999", "100k"]


def test_uptimes_show_in_two_units() -> None:
    shown = [format_uptime(each) for each in (0, 59, 60, 3_661, 90_000)]
    assert shown == ["0s", "59s", "1m 0s", "1h 1m", "1d 1h"]


def test_what_is_unknown_shows_as_a_dash() -> None:
    formats = (format_age, format_bytes, format_count, format_rate, format_uptime)
    assert [form(None) for form in formats] == ["-"] * 5


@given(counts)
def test_a_count_fits_its_column(count: int) -> None:
    assert all(len(format_count(count, cells)) <= cells for cells in (5, 8, 10))


def test_counts_too_long_for_their_column_show_in_thousands_or_more() -> None:
    shown = [format_count(each, 5) for each in (99_999, 100_000, 99_999_999, 100_000_000)]
    assert shown == ["99999", "100k", "99M", "100M"]


@given(counts)
def test_any_counter_has_a_form_without_an_exponent(count: int) -> None:
    for text in (format_age(count), format_bytes(count), format_count(count), format_rate(count)):
        assert math.isfinite(float(text.rstrip("smhdkBKMGTPEZ")))
