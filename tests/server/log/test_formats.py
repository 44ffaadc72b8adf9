"""A line is one line, of bounded length, and any terminal or program may read it."""

import json
import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.server.log import formats

FORMATS = [formats.TextFormat(formats.TEXT), formats.TextFormat(formats.BARE)]


def record(text: str, *values: object, raised: bool = False) -> logging.LogRecord:
    try:
        if raised:
            raise ValueError(text)
    except ValueError:
        return logging.LogRecord("jobs", logging.ERROR, "f.py", 1, text, values, sys.exc_info())
    return logging.LogRecord("jobs", logging.ERROR, "f.py", 1, text, values, None)


@given(st.text(max_size=50))
def test_a_message_is_one_printable_line(text: str) -> None:
    for format_ in FORMATS:
        line = format_.format(record("%s", text))
        assert line.isprintable()
        assert "ERROR jobs: " in line
    assert formats.one_line("räksmörgås 漢字") == "räksmörgås 漢字"


def test_a_line_of_text_has_the_last_part_of_the_loggers_name() -> None:
    told = record("hello")
    told.name = "starling_py.journal.recovery.replay"
    assert FORMATS[1].format(told) == "ERROR replay: hello"
    told.name = "audit"
    assert FORMATS[0].format(told).endswith(" ERROR audit: hello")


def test_control_characters_are_told_by_their_names() -> None:
    assert formats.one_line("a\x1b[31m\nb\0\x9b\udc80") == r"a\x1b[31m\nb\x00\x9b\udc80"


@given(st.text(max_size=50))
def test_a_line_of_json_is_one_object_whatever_is_in_it(text: str) -> None:
    line = formats.json_format().format(record("%s", text))
    assert "\n" not in line
    told = json.loads(line)
    assert list(told) == ["time", "level", "logger", "message"]
    assert (told["level"], told["logger"], told["message"]) == ("ERROR", "jobs", text)


def test_a_traceback_is_a_field_of_the_object() -> None:
    told = json.loads(formats.json_format().format(record("broken", raised=True)))
    assert told["message"] == "broken"
    assert told["exc_info"].startswith("Traceback")
    assert told["exc_info"].endswith("ValueError: broken")


@pytest.mark.parametrize("format_", [*FORMATS, formats.json_format()])
def test_no_line_is_longer_than_is_good_for_it(format_: logging.Formatter) -> None:
    most = 2 * (formats.MOST_MESSAGE + formats.MOST_TRACEBACK)
    line = format_.format(record("x" * 1_000_000, raised=True))
    assert len(line) < most
    assert "(1000000 characters)" in line
    assert "Traceback" in line


def test_a_traceback_that_is_cut_keeps_its_beginning_and_its_end() -> None:
    cut = formats.cut_in_the_middle("a" + "x" * 100_000 + "b")
    assert (cut[0], cut[-1]) == ("a", "b")
    assert len(cut) < formats.MOST_TRACEBACK + 100


@pytest.mark.patches
def test_json_without_its_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pythonjsonlogger.json", None)
    with pytest.raises(formats.FormatMissingError, match="pip install 'starling-py"):
        formats.json_format()
