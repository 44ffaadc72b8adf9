"""Lines of a dump, as text and as JSON: what no journal of a test has."""

from starling_py.offline.entry import iso


def test_times_beyond_the_calendar_are_numbers() -> None:
    assert iso(0) == "1970-01-01T00:00:00.000Z"
    assert iso(-1) == "1969-12-31T23:59:59.999Z"
    assert iso(2**63 - 1) == "9223372036854775807ms"
