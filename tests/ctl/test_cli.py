"""The command line as a whole: what is understood, and how every failure ends."""

import re
from pathlib import Path

import pytest

from starling_py.connecting.address import SERVER_VARIABLE
from starling_py.ctl import cli, errors
from starling_py.ctl.command import Command
from tests.ctl.conftest import Ctl


def test_no_two_commands_have_one_name() -> None:
    names = [command.name for command in cli.COMMANDS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("command", [each.name for each in cli.COMMANDS])
def test_every_command_has_its_help(command: str, ctl: Ctl) -> None:
    done = ctl(command, "--help")
    assert (done.status, done.err) == (0, "")
    assert f"usage: starling-ctl {command}" in done.out
    assert ctl(command, "--nosuch").status in (errors.WRONG_USAGE, 3)


@pytest.mark.parametrize(
    "words",
    [[], ["nosuch"], ["ls", "--sort"], ["peek"], ["--server", "x:y", "ls"], ["-s", "", "ls"]],
)
def test_a_wrong_command_line_is_one_line_and_status_two(ctl: Ctl, words: list[str]) -> None:
    done = ctl(*words)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("starling-ctl: ")
    assert done.err.count("\n") == 1


def test_a_command_that_is_not_there_is_told_its_nearest(ctl: Ctl) -> None:
    assert "there is no command 'lst'; did you mean ls? (try" in ctl("lst").err
    assert "there is no command 'zzz' (try" in ctl("zzz").err


def test_the_server_is_told_by_option_or_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SERVER_VARIABLE, raising=False)

    def parse(*words: str) -> object:
        return cli.build_parser().parse_args(words).server

    assert parse("ls") == "127.0.0.1:22122"
    monkeypatch.setenv(SERVER_VARIABLE, "unix:/run/starling.sock")
    assert parse("ls") == "unix:/run/starling.sock"
    assert parse("-s", "a:1", "ls") == parse("ls", "--server", "a:1") == "a:1"


def test_a_server_that_cannot_be_reached_has_a_status_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["--server", "127.0.0.1:1", "ls"]) == errors.UNREACHABLE
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "starling-ctl: cannot reach 127.0.0.1:1: Connection refused\n"
    assert cli.main(["-s", "127.0.0.1:1", "check"]) == 2
    assert "STARLING CRITICAL - cannot reach 127.0.0.1:1" in capsys.readouterr().out


def test_commands_can_stand_below_others(monkeypatch: pytest.MonkeyPatch, ctl: Ctl) -> None:
    def add(context: object) -> int:
        return 0 if getattr(context, "options").command == "group add" else 1  # noqa: B009

    group = Command("group", "manage groups", add, family=[Command("add", "add one", add)])
    monkeypatch.setattr(cli, "COMMANDS", (*cli.COMMANDS, group))
    assert ctl("group", "add").status == 0
    assert ctl("group").status == 2
    assert "add one" in ctl("group", "--help").out


def test_the_page_has_every_command_and_every_status() -> None:
    page = (Path(__file__).parents[2] / "docs/starling-ctl.md").read_text()
    rows = set(re.findall(r"^\| `(\w+)", page, re.MULTILINE))
    assert rows >= {command.name for command in cli.COMMANDS}
    for status in (errors.DONE, errors.FAILED, errors.WRONG_USAGE, errors.NOT_FOUND):
        assert f"\n| {status} |" in page
    assert f"\n| {errors.UNREACHABLE} |" in page


def test_the_page_has_every_option_of_every_command(ctl: Ctl) -> None:
    page = (Path(__file__).parents[2] / "docs/starling-ctl.md").read_text()
    for command in cli.COMMANDS:
        text = ctl(command.name, "--help").out
        for option in set(re.findall(r"(?<![\w-])--[a-z-]+", text)) - {"--help", "--json"}:
            assert option in page, (command.name, option)
