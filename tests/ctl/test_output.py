"""What people read: short, aligned, and harmless on a terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.ctl.output import Output, count, data_fields, progress, safe, size, span


@given(st.binary(max_size=200), st.none() | st.integers(0, 50))
def test_data_that_is_shown_is_one_line_without_control_characters(
    data: bytes, most: int | None
) -> None:
    shown = safe(data, most)
    assert shown.isprintable()


def test_data_that_is_text_is_shown_as_it_is() -> None:
    assert safe("Zoë 猫".encode()) == "Zoë 猫"
    assert safe(b"\x1b[31m\xff\n") == r"\x1b[31m\xff\n"
    assert safe(b"abcdef", 3) == "abc..."


def test_sizes_and_spans_have_three_digits_or_so() -> None:
    assert [size(number) for number in (0, 999, 1024, 3145728, 10 * 2**20, 2**70)] == [
        "0B",
        "999B",
        "1.0K",
        "3.0M",
        "10M",
        "1048576P",
    ]
    assert [span(seconds * 1000) for seconds in (0, 59, 60, 3725, 90000)] == [
        "0.0s",
        "59.0s",
        "1m 00s",
        "1h 02m",
        "1d 01h",
    ]
    assert (count(1, "item"), count(0, "item")) == ("1 item", "0 items")


def test_a_table_is_as_wide_as_its_widest_cells(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=False).table(("QUEUE", "N"), [["a", "1000"], ["longer", "1"]])
    assert capsys.readouterr().out == "QUEUE      N\na       1000\nlonger     1\n"


def test_with_json_nothing_else_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(as_json=True)
    output.line("for people")
    output.record({"a": "ü"}, "for people")
    assert capsys.readouterr().out == '{"a": "ü"}\n'


def test_data_for_json_is_text_where_it_can_be() -> None:
    assert data_fields("ü".encode()) == {"text": "ü"}
    assert data_fields(b"\xff") == {"data": "/w=="}


def test_no_bar_is_drawn_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(10, "items") as bar:
        bar.update(10)
    assert capsys.readouterr().err == ""
