"""The plugin for Nagios, as a monitor runs it."""

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.server_process import ROOT, ServerProcess, connect, free_port

OK, WARNING, CRITICAL, UNKNOWN = range(4)
PLUGIN = ROOT / "contrib/check_starling"


def check(*options: object) -> tuple[int, str]:
    """Run the plugin; return its exit code and its only line."""
    command = [sys.executable, "-I", str(PLUGIN), *map(str, options)]
    done = subprocess.run(command, capture_output=True, check=False, text=True, timeout=60)
    assert done.stderr == "" or done.returncode == UNKNOWN
    (line,) = (done.stdout + done.stderr).splitlines()
    return done.returncode, line


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with ServerProcess(tmp_path_factory.mktemp("check") / "spool") as server:
        client = connect(server.port)
        for queue, items in ("jobs", 3), ("mails", 1):
            for _ in range(items):
                client.set(queue, b"x")
        client.close()
        yield server.port


def test_a_server_is_ok_and_its_numbers_are_told(port: int) -> None:
    code, line = check("-p", port)
    assert code == OK
    told = r"STARLING OK - 2 queues, 4 items, the oldest has waited [\d.]+ s \| "
    assert re.fullmatch(told + r"'items'=4;;;0 'age'=[\d.]+s;;;0", line)


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("-W", 2, "-C", 5), WARNING, "jobs: 3 items"),
        (("-W", 1, "-C", 2), CRITICAL, "jobs: 3 items"),
        (("-W", "2:"), WARNING, "mails: 1 items"),
        (("-W", "@1:1"), WARNING, "mails: 1 items"),
        (("-W", 2, "-q", "mails"), OK, "1 queues, 1 items"),
        (("-C", 2, "-q", "mails", "-q", "jobs"), CRITICAL, "jobs: 3 items"),
        (("-w", 0), WARNING, "the oldest item has waited"),
        (("-w", 900000, "-c", 0), CRITICAL, "the oldest item has waited"),
        (("-q", "none"), OK, "1 queues, 0 items"),
    ],
)
def test_the_worst_threshold_that_is_passed_is_told(
    port: int, options: tuple[object, ...], code: int, told: str
) -> None:
    found, line = check("-p", port, *options)
    assert found == code, line
    assert told in line


def test_it_takes_nothing_from_a_queue_and_makes_none(port: int) -> None:
    client = connect(port)
    before = client.stats("queues")
    check("-p", port, "-q", "jobs", "-q", "none")
    after = client.stats("queues")
    client.close()
    told_before, told_after = (
        {name: value for name, value in told.items() if not name.endswith((b"_age", b"_last_put"))}
        for told in (before, after)
    )
    assert told_after == told_before


def test_performance_data_names_each_queue_that_was_asked_for(port: int) -> None:
    _, line = check("-p", port, "-q", "jobs", "-w", 60, "-C", "5:10")
    data = line.partition(" | ")[2]
    assert re.fullmatch(r"'jobs items'=3;;5:10;0 'jobs age'=[\d.]+s;60;;0", data)


def test_a_server_that_drains_is_a_warning(tmp_path: Path) -> None:
    settings = tmp_path / "starling.yml"
    settings.write_text("starling:\n  allow_drain: true\n")
    with ServerProcess(tmp_path / "spool", "--config", settings) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as operator:
            operator.sendall(b"status READONLY\r\n")
            assert operator.recv(100) == b"END\r\n"
        code, line = check("-p", server.port)
    assert code == WARNING
    assert "draining" in line


def test_a_server_that_is_not_there_is_critical() -> None:
    with free_port() as port:
        code, line = check("-p", port)
    assert code == CRITICAL
    assert f"127.0.0.1:{port} cannot be reached" in line


def test_a_server_that_does_not_answer_is_critical_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        code, line = check("-p", silent.getsockname()[1], "-t", 0.2)
    assert (code, line) == (CRITICAL, "STARLING CRITICAL - no reply to 'dump_stats' in time")


@pytest.mark.parametrize(
    "options", [("-w", "x"), ("-w", "5:1"), ("-q", "a b"), ("-p", "x"), ("-t", "0"), ("--no",)]
)
def test_wrong_options_are_unknown_and_no_alarm(options: tuple[str, ...]) -> None:
    command = [sys.executable, str(PLUGIN), *options]
    done = subprocess.run(command, capture_output=True, check=False, text=True, timeout=60)
    assert done.returncode == UNKNOWN
    assert done.stderr.startswith("STARLING UNKNOWN - ")
