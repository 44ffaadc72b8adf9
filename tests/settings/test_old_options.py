"""Command lines of Starling's wrappers and of other servers: one line says what to write."""

import shlex
from pathlib import Path

import pytest

from starling_py.settings.command_line import parse

MORE = "docs/coming-from.md has more"


def told(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what is said of a command line that is refused, without the usage in front of it."""
    with pytest.raises(SystemExit) as ended:
        parse(shlex.split(line))
    assert ended.value.code == 2
    usage, reason, *rest = capsys.readouterr().err.splitlines()
    assert (usage, rest) == ("usage: starling-py [options]", [])
    return reason.removeprefix("starling-py: error: ")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("start -d -P tmp/pid -L log/starling.log -u www-data",
         "start: there are no commands here;"
         " write starling-py -d -P tmp/pid -L log/starling.log -u www-data"),
        ("-d run -q 'a b'", "run: there are no commands here; write starling-py -d -q 'a b'"),
        ("stop -P /run/a.pid", "stop: there are no commands here; write kill $(cat /run/a.pid)"),
        ("-P /run/a.pid stop", "stop: there are no commands here; write kill $(cat /run/a.pid)"),
        ("stop", "stop: there are no commands here; write kill $(cat PIDFILE)"),
        ("restart -d -P a",
         "restart: there are no commands here;"
         " write kill $(cat a), then starling-py -d -P a"),
        ("reload -P a", "reload: there are no commands here; write kill -HUP $(cat a)"),
        ("status", "status: there are no commands here; write starling-top --once"),
        ("top", "top: there are no commands here; write starling-top"),
    ],
)  # fmt: skip
def test_a_word_of_a_wrapper_is_told_with_the_command_to_write(
    line: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(line, capsys) == reason


@pytest.mark.parametrize("line", ["-d -L", "-L -d", "-L -P pid", "--log"])
def test_a_log_without_its_file_is_told(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(line, capsys).endswith(
        "; write -L FILE; without it, the log goes to standard error"
    )


@pytest.mark.parametrize("line", ["-d -t", "-t -d", "--timeout"])
def test_a_timeout_without_its_time_is_told(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(line, capsys).endswith(
        "; write -t SECONDS; without it, or with 0, nobody is disconnected"
    )


@pytest.mark.parametrize(
    ("line", "end"),
    [
        ("-v -h", "-h is the host, and --help prints help"),
        ("-p", "write -p PORT"),
        ("-f", "write -f FILE"),
        ("-P -d", "write -P FILE"),
        ("--sync", "write --sync POLICY"),
    ],
)
def test_an_option_without_its_value_is_told_with_what_it_takes(
    line: str, end: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(line, capsys).endswith(f"expected one argument; {end}")


@pytest.mark.parametrize(
    ("line", "write"),
    [
        ("-p 22133 --data /x", "write -q DIR"),
        ("--data=/x", "write -q DIR"),
        ("-p 22133 -j 4", "one process serves all"),
        ("-d /var/spool/darner", "a folder of queues is -q DIR"),
        ("-listen 0.0.0.0:22133 -data ./data", "write -h HOST -p PORT"),
        ("-listen=0.0.0.0:22133", "write -h HOST -p PORT"),
        ("-pid a.pid", "write -P FILE"),
        ("-p 11300 -b /var/lib/beanstalkd", "write -q DIR"),
        ("-b/var/lib/beanstalkd", "write -q DIR"),
        ("-F", "write --sync never"),
        ("-z 65535", "write item_size_max in a file"),
        ("-m 64", "write memory_max in a file"),
        ("-m64 -c1024", "write memory_max in a file"),
        ("-D stage=production", "settings stand in a file"),
    ],
)
def test_an_option_of_another_server_is_told_with_ours(
    line: str, write: str, capsys: pytest.CaptureFixture[str]
) -> None:
    reason = told(line, capsys)
    assert write in reason
    assert reason.endswith(f"{MORE})")


@pytest.mark.parametrize("channel", ["127.0.0.1", "::1", "[::1]:1", "10.0.0.1:11300", "localhost"])
def test_an_address_is_no_channel_of_syslog(
    channel: str, capsys: pytest.CaptureFixture[str]
) -> None:
    reason = f"-l {channel}: -l is a name for syslog here; an address is -h ADDRESS"
    assert told(f"-l {channel}", capsys) == reason


@pytest.mark.parametrize(("option", "sync"), [("-f 50", "50ms"), ("-f0", "always")])
def test_a_number_is_no_configuration_file(
    option: str, sync: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(option, capsys).endswith(f"beanstalkd's is --sync {sync}")


def test_what_nobody_ever_wrote_is_only_unrecognized(capsys: pytest.CaptureFixture[str]) -> None:
    assert told("surplus", capsys) == "unrecognized arguments: surplus; try --help"
    assert told("-d -v surplus", capsys) == "unrecognized arguments: surplus; try --help"


@pytest.mark.parametrize(
    ("option", "near"),
    [("--prot", "--port"), ("--hots=x", "--host"), ("--cheque-config", "--check-config")],
)
def test_an_option_that_is_not_there_is_told_its_nearest(
    option: str, near: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(f"{option} 3", capsys).endswith(f"; did you mean {near}?")


@pytest.mark.parametrize("option", ["--allow_reload", "--allow-reload=true"])
def test_a_setting_without_an_option_is_told_how_it_is_given(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(option, capsys).endswith("is --set allow_reload=VALUE")


def test_starlings_own_options_mean_what_they_did() -> None:
    line = "-d -h 127.0.0.9 -p 22122 -P /a.pid -q /spool -L /a.log -u www-data -g www-data -t 0 -v"
    settings = parse(line.split()).settings
    assert (settings.daemonize, settings.host, settings.port) == (True, "127.0.0.9", 22122)
    assert (settings.pid_file, settings.queue_path) == (Path("/a.pid"), Path("/spool"))
    assert (settings.logger, settings.user, settings.group) == (Path("/a.log"),) + ("www-data",) * 2
    assert parse(["-l", "starling-tampopo"]).settings.syslog_channel == "starling-tampopo"
