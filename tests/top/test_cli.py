"""The command: its three outputs, its errors, and one run of the live table on a real terminal."""

import json
import os
import pty
import subprocess
import sys
import termios
from collections.abc import Callable, Sequence

import pytest

import starling_py
from starling_py.top.cli import main
from tests.readable import is_readable

Serve = Callable[[Sequence[bytes | None]], int]
REPLY = (
    b"STAT version 1.0.0\r\nSTAT pid 12\r\nSTAT rusage_user 0.120000\r\n"
    b"STAT queue_b\xff\x1b_items 3\r\nSTAT queue_caf\xc3\xa9_items 2\r\n"
    b"STAT queue_caf\xc3\xa9_open_transactions 1\r\nSTAT queue_caf\xc3\xa9_delayed 2\r\n"
    b"STAT queue_caf\xc3\xa9_children a,b\r\nEND\r\n"
)
PATIENCE = 60.0
COMMAND = [sys.executable, "-W", "error", "-m", "starling_py.top"]


def test_once_prints_sorted_lines_as_the_server_said_them(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--once", "--raw", "-p", str(serve([REPLY]))]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "pid: 12",
        r"queue_b\xff\x1b_items: 3",
        "queue_café_children: a,b",
        "queue_café_delayed: 2",
        "queue_café_items: 2",
        "queue_café_open_transactions: 1",
        "rusage_user: 0.120000",
        "version: 1.0.0",
    ]


def test_json_prints_one_object_with_numbers_as_numbers(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--json", "--port", str(serve([REPLY])), "-h", "127.0.0.1"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "pid": 12,
        "queue_b\\xff\x1b_items": 3,
        "queue_café_children": "a,b",
        "queue_café_delayed": 2,
        "queue_café_items": 2,
        "queue_café_open_transactions": 1,
        "rusage_user": 0.12,
        "version": "1.0.0",
    }


@pytest.mark.parametrize("mode", [["--once"], ["--json"], []])
def test_a_server_that_cannot_be_reached_is_one_line_and_status_one(
    mode: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert main([*mode, "-p", "1"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "starling-top: cannot reach 127.0.0.1:1: Connection refused\n"


def test_an_ipv6_address_is_told_from_the_port(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--once", "-h", "::1", "-p", "1"]) == 1
    assert "cannot reach [::1]:1: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "address"),
    [
        (["127.0.0.1:1"], "127.0.0.1:1"),
        (["--server", "[::1]:1"], "[::1]:1"),
        (["-h", "127.0.0.1:1"], "127.0.0.1:1"),
        (["unix:/nowhere/s"], "unix:/nowhere/s"),
        (["--server", "127.0.0.1", "-p", "1"], "127.0.0.1:1"),
    ],
)
def test_the_server_can_be_given_in_many_ways(
    arguments: list[str], address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--once", *arguments]) == 1
    assert f"starling-top: cannot reach {address}: " in capsys.readouterr().err


def test_once_prints_a_table_for_people(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--once", "-p", str(serve([REPLY]))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("version 1.0.0   up ")
    assert lines[2].split()[:5] == ["QUEUE", "STATE", "ITEMS", "OPEN", "AGE"]
    assert [line.split()[:3] for line in lines[3:]] == [
        [r"b\xff\x1b", "3", "-"],
        ["café", "2", "1"],
        ["2", "queues", "5"],
    ]
    assert len({line.find(line.split()[1]) for line in lines[3:5]}) == 1


FOREIGN = {
    "memcached": (b"STAT version 1.6.18\r\nSTAT libevent 2.1\r\nEND\r\n", "no queues"),
    "redis": (b"-ERR unknown command 'stats'\r\n", "it answered"),
    "http": (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it answered 'HTTP/1.1 400 Bad Request'"),
    "hangs up": (None, "connection closed by the server"),
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("mode", [["--once"], ["--json"], []])
def test_another_kind_of_server_is_one_clear_line(
    kind: str,
    mode: list[str],
    serve: Serve,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    answer, words = FOREIGN[kind]
    assert main([*mode, "-p", str(serve([answer]))]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("starling-top: ")
    assert words in err
    assert err.count("\n") == 1


def test_a_closed_output_is_one_line_and_no_traceback(serve: Serve) -> None:
    command = " ".join([*COMMAND, "--once", "-p", str(serve([REPLY])), ">&-"])
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("starling-top: cannot write")


def test_without_a_terminal_the_live_table_suggests_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([]) == 2
    assert capsys.readouterr().err == (
        "starling-top: the live table needs a terminal; use --once or --json\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        *["-p 0", "-p 65536", "-p ²", "-d 0", "-d nan", "-d x", "--sort colour", "--hostn x"],
        *["a b", "a:0", "[::1", "--server unix:", "--raw", "a --server b", "a -h b", "-h a:x"],
    ],
)
def test_wrong_options_exit_with_status_two(
    arguments: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments.split())
    assert caught.value.code == 2
    assert "starling-top: error: " in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--help", "-?"])
def test_help_is_not_h_and_shows_examples(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([option])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert "-h HOST" in out
    assert "examples:" in out


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_is_the_package_version(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([option])
    assert capsys.readouterr().out == f"starling-top {starling_py.__version__}\n"


def test_a_closed_pipe_is_no_error(serve: Serve) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*COMMAND, "--once", "--raw", "-p", str(serve([REPLY]))],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
        timeout=PATIENCE,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_terminal_that_lacks_a_character_gets_an_escape(serve: Serve) -> None:
    done = subprocess.run(
        [*COMMAND, "--once", "--raw", "-p", str(serve([REPLY]))],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        check=True,
        timeout=PATIENCE,
    )
    assert rb"queue_caf\xe9_items: 2" in done.stdout


def read_until(terminal: int, expected: bytes) -> bytes:
    output = b""
    while expected not in output:
        assert is_readable(terminal, PATIENCE), output
        output += os.read(terminal, 4096)
    return output


def test_the_live_table_polls_tells_of_a_lost_server_and_quits_cleanly(
    serve: Serve,
) -> None:
    port = serve([REPLY, REPLY, None])
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    arguments = [*COMMAND, "-p", str(port), "-d", "0.1"]
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "1"}
    with subprocess.Popen(arguments, stdin=theirs, stdout=theirs, env=environment) as process:
        os.close(theirs)
        read_until(ours, b"PUT/S")
        read_until(ours, b"DOWN since")
        os.write(ours, b"q")
        # Leaving the alternate screen is the last but one thing a full-screen program does.
        read_until(ours, b"\x1b[?1049l")
        assert process.wait(PATIENCE) == 0
    os.close(ours)
