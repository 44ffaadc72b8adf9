"""The command line: Starling's options, what beats what, and how bad usage ends."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import starling_py
from starling_py.settings.command_line import CommandLine, parse, parser
from starling_py.settings.errors import ConfigError
from starling_py.settings.server_settings import TABLE, Settings, SyncPolicy


def test_no_options_give_the_defaults_and_no_file() -> None:
    assert parse([]) == CommandLine(Settings(), check_config=False, config=None)


@pytest.mark.parametrize(
    ("options", "name", "value"),
    [
        ("-h ::1", "host", "::1"),
        ("--host ::1", "host", "::1"),
        ("-p 0", "port", 0),
        ("--port=22133", "port", 22133),
        ("-q /a/spool", "queue_path", Path("/a/spool")),
        ("--queue_path /a/spool", "queue_path", Path("/a/spool")),
        ("-d", "daemonize", True),
        ("--daemonize", "daemonize", True),
        ("-P /a/pid", "pid_file", Path("/a/pid")),
        ("--pid /a/pid", "pid_file", Path("/a/pid")),
        ("-u nobody", "user", "nobody"),
        ("--user 65534", "user", "65534"),
        ("-g nogroup", "group", "nogroup"),
        ("--group 65534", "group", "65534"),
        ("-L /a/log", "logger", Path("/a/log")),
        ("--log /a/log", "logger", Path("/a/log")),
        ("-l starling", "syslog_channel", "starling"),
        ("--syslog starling", "syslog_channel", "starling"),
        ("-v", "log_level", "DEBUG"),
        ("-vv", "log_level", "DEBUG"),
        ("-t 30", "timeout", 30.0),
        ("--timeout 0.5", "timeout", 0.5),
        ("--sync always", "sync", SyncPolicy("always")),
    ],
)
def test_an_option_sets_its_setting_and_no_other(options: str, name: str, value: object) -> None:
    settings = parse(options.split()).settings
    assert getattr(settings, name) == value
    assert settings == Settings(**{name: value})  # type: ignore[arg-type]


def test_an_option_beats_the_file_and_the_file_beats_the_default(tmp_path: Path) -> None:
    path = tmp_path / "conf.yml"
    path.write_text("starling:\n  port: 1\n  log_file: /a\n  timeout: 3\n")
    line = parse(["-f", str(path), "-p", "2", "--check-config"])
    assert line == CommandLine(
        Settings(port=2, logger=Path("/a"), timeout=3), check_config=True, config=path
    )
    assert parse(["--config", str(path)]).settings.port == 1


def test_a_relative_path_of_an_option_starts_at_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse(["-q", "spool"]).settings.queue_path == tmp_path / "spool"


def test_bad_values_name_their_options_and_come_after_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "conf.yml"
    path.write_text("starling:\n  prot: 1\n")
    with pytest.raises(ConfigError) as caught:
        parse(["-p", "70000", "--sync", "50", "-t", "-1", "-q", "", "-u", "a b", "-f", str(path)])
    assert caught.value.problems == [
        f"{path}:2: starling.prot: unknown setting; did you mean 'port'?",
        "--port: 70000: must be a whole number from 0 to 65535",
        "--timeout: -1: must be a number of seconds, 0 or more",
        "--queue_path: '': must be a path",
        "--sync: 50: needs its unit, as in 50ms or 1s",
        "--user: a b: must be a name or a number",
    ]


@pytest.mark.parametrize(
    "argv", [["--prot", "1"], ["-p"], ["surplus"], ["--conf", "a"], ["-d", "yes"], ["-x"]]
)
def test_bad_usage_ends_with_two_and_says_why(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(argv)
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("usage: starling-py [options]\nstarling-py: error: ")


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_the_version_is_printed_even_beside_bad_values(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["-p", "70000", option])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"starling-py {starling_py.described()}\n"


@pytest.mark.parametrize("option", ["-?", "--help"])
def test_help_has_every_option_with_its_default_and_where_the_rest_stands(
    option: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as ended:
        parse([option])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    for setting in TABLE:
        assert all(flag in said for flag in setting.flags)
        assert not setting.flags or f"{setting.meaning} (" in said
    assert said.count("default: ") == sum(bool(setting.flags) for setting in TABLE)
    assert "docs/configuration.md" in said
    assert "\nNetwork:\n" in said


def test_the_examples_of_the_help_are_good_command_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    epilog = parser().epilog or ""
    examples = [line.split()[1:] for line in epilog.splitlines() if "  starling-py " in line]
    assert len(examples) == 2
    for example in examples:
        assert isinstance(parse(example), CommandLine)


def test_every_option_is_in_the_documentation_and_belongs_to_one_setting() -> None:
    text = (Path(__file__).parents[2] / "docs/configuration.md").read_text()
    flags = [flag for setting in TABLE for flag in setting.flags]
    general = ["-f", "--config", "--check-config", "-V", "--version", "-?", "--help"]
    assert len(set(flags + general)) == len(flags + general)
    assert all(f"`{flag}" in text for flag in flags + general)


@given(st.lists(st.text(max_size=5) | st.sampled_from(["-p", "-q", "-d", "--sync", "1", "always"])))
def test_any_arguments_end_in_settings_or_in_one_of_two_errors(argv: list[str]) -> None:
    try:
        fine = parse(argv).settings.queue_path.is_absolute()
    except ConfigError as error:
        fine = bool(error.problems)
    except SystemExit as ended:
        fine = ended.code in {0, 2}
    assert fine


def test_the_host_without_a_host_prints_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse(["-h"])
    assert end.value.code == 0
    assert "--check-config" in capsys.readouterr().out


def test_every_setting_of_the_server_can_be_given_by_its_name(tmp_path: Path) -> None:
    given = parse(["--set", "max_connections=7", "--set", "allow_drain=true", "-v"])
    assert (given.settings.max_connections, given.settings.allow_drain) == (7, True)
    assert given.settings.log_level == "DEBUG"
    config = tmp_path / "starling.yml"
    config.write_text("starling: {max_connections: 9, allow_reload: true}")
    given = parse(["-f", str(config), "--set", "max_connections=7"])
    assert (given.settings.max_connections, given.settings.allow_reload) == (7, True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("max_conections=7", "did you mean max_connections?"),
        ("max_connections", "write NAME=VALUE"),
    ],
)
def test_a_name_that_no_setting_has_is_told_its_nearest(
    text: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        parse(["--set", text])
    assert end.value.code == 2
    assert told in capsys.readouterr().err


def test_a_wrong_value_given_by_name_is_judged_as_in_a_file() -> None:
    with pytest.raises(ConfigError) as error:
        parse(["--set", "max_connections=none"])
    assert "max_connections" in str(error.value.problems)
