"""When items die."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.queues.expiry import PLAINLY_MS, expiry_ms

NOW = 1_700_000_000_000
"""A moment in November 2023, in milliseconds."""

nows = st.integers(2_592_001_000, 2**42)


@pytest.mark.parametrize(
    ("exptime", "dies"),
    [
        (0, 0),
        (1, NOW + 1000),
        (60, NOW + 60_000),
        (2_592_000, NOW + 2_592_000_000),
        (2_592_001, 2_592_001_000),
        (2_678_400, 2_678_400_000),
        (1_700_000_000, NOW),
        (1_700_000_060, NOW + 60_000),
    ],
)
def test_zero_is_never_thirty_days_count_from_now_and_more_is_a_date(
    exptime: int, dies: int
) -> None:
    assert expiry_ms(exptime, NOW) == dies


@pytest.mark.parametrize("exptime", [-1, -2, -(2**31), -(10**19)])
def test_a_negative_one_is_dead_on_arrival(exptime: int) -> None:
    assert 0 < expiry_ms(exptime, NOW) < NOW


def test_a_minus_one_sent_as_32_unsigned_bits_is_dead_on_arrival() -> None:
    assert 0 < expiry_ms(2**32 - 1, NOW) < NOW


@pytest.mark.parametrize("exptime", [2**53, 2**63 - 1, 10**20 - 1])
def test_a_huge_one_fits_64_bits_and_is_not_reached(exptime: int) -> None:
    assert NOW < expiry_ms(exptime, NOW) < 2**63


@given(st.integers(1, 2_592_000), nows)
def test_seconds_from_now_are_in_the_future(exptime: int, now: int) -> None:
    assert expiry_ms(exptime, now) - now == exptime * 1000


@given(st.integers(2_592_001, 2**40).filter(lambda date: date != 2**32 - 1), nows, nows)
def test_a_date_is_the_same_whenever_it_is_said(exptime: int, now: int, later: int) -> None:
    assert expiry_ms(exptime, now) == expiry_ms(exptime, later) == exptime * 1000


@given(st.integers(-(10**20), 10**20), nows)
def test_only_zero_is_for_ever(exptime: int, now: int) -> None:
    assert (expiry_ms(exptime, now) == 0) == (exptime == 0)


@pytest.mark.parametrize("exptime", [1_700_000_000_000, PLAINLY_MS, 10**19])
def test_an_expiry_that_is_plainly_in_milliseconds_is_told_of(
    exptime: int, caplog: pytest.LogCaptureFixture
) -> None:
    assert expiry_ms(exptime, NOW, b"jo bs") > NOW
    assert f"queue jo\\x20bs: an expiry of {exptime} seconds is after the year" in caplog.text


@pytest.mark.parametrize("exptime", [0, 60, -1, 2**32 - 1, 2**64 - 1, 4_000_000_000])
def test_no_usual_expiry_is_told_of(exptime: int, caplog: pytest.LogCaptureFixture) -> None:
    expiry_ms(exptime, NOW, b"jobs")
    assert caplog.text == ""
