"""What subcommands have at hand: confirmation, spans of time, a connection when it is needed."""

import argparse
import io

import pytest

from starling_py.ctl.command import Context, complete_queue, seconds, whole
from starling_py.ctl.errors import UsageError
from starling_py.ctl.output import Output


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("answer", "goes_on"), [("y", True), ("YES", True), ("n", False), ("", False)]
)
def test_a_person_is_asked_and_only_a_yes_goes_on(
    answer: str, goes_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Terminal()
    monkeypatch.setattr("sys.stdin", Terminal(f"{answer}\n" if answer else ""))
    monkeypatch.setattr("sys.stderr", screen)
    context = Context(argparse.Namespace(yes=False), Output(as_json=False))
    if goes_on:
        context.confirm("Flush jobs?")
    else:
        with pytest.raises(UsageError, match="nothing was done"):
            context.confirm("Flush jobs?")
    assert screen.getvalue() == "Flush jobs? [y/N] "


def test_who_said_yes_is_not_asked() -> None:
    Context(argparse.Namespace(yes=True), Output(as_json=False)).confirm("Flush jobs?")


def test_spans_of_time_have_units() -> None:
    told = [seconds(text) for text in ("90", "1.5s", "5m", "2h", "1d", "0")]
    assert told == [90, 1.5, 300, 7200, 86400, 0]
    for text in ("", "m", "soon", "-1", "nan", "inf", "1w", "1e99"):
        with pytest.raises(argparse.ArgumentTypeError):
            seconds(text)


def test_a_number_has_its_range() -> None:
    assert whole(1, 10)("10") == 10
    for text in ("0", "11", "-1", "1.0", "x", "", "²"):
        with pytest.raises(argparse.ArgumentTypeError):
            whole(1, 10)(text)


def test_a_shell_that_completes_hears_nothing_when_no_server_is_there() -> None:
    assert complete_queue("j", argparse.Namespace(server="127.0.0.1:1")) == []
    assert complete_queue("j", argparse.Namespace(server=":::")) == []
