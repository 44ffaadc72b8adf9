"""The log around a server: nothing that happens to it holds the server up or ends it."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.process.raw_client import Given, RawClient
from tests.process.server_process import (
    COMMAND,
    PATIENCE,
    connect,
    environment,
    settings_file,
    wait_until,
    wait_until_it_answers,
)

PUTS = [Given(b"q%d" % number, b"x") for number in range(2000)]


@contextlib.contextmanager
def serving(
    spool: Path,
    port: int,
    *options: object,
    stderr: int = subprocess.DEVNULL,
    more: Mapping[str, str] | None = None,
) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a server whose standard error is not read here, and kill it at the end."""
    process = subprocess.Popen(
        [*COMMAND, "-q", str(spool), "-p", str(port), *map(str, options)],
        env={**environment(), **(more or {})},
        stderr=stderr,
    )
    with process:
        try:
            wait_until_it_answers(port)
            yield process
        finally:
            process.kill()


def stop(process: "subprocess.Popen[bytes]") -> int:
    """Stop a server in order, and return its exit code."""
    process.terminate()
    return process.wait(PATIENCE)


def stat(port: int, name: str) -> int:
    with contextlib.closing(connect(port)) as client:
        return int(client.stats()[name.encode()])


def content(path: Path) -> str:
    """Return what is in a file; nothing if it is not there."""
    return path.read_text() if path.exists() else ""


def is_accepted(port: int) -> bool:
    """Tell whether a client is served rather than refused."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
        client.sendall(b"version\r\n")
        with contextlib.suppress(ConnectionError):
            return client.recv(100).startswith(b"VERSION")
    return False


def make_queues(port: int, *names: bytes) -> None:
    """Put an item into new queues, each of which is a line of the log."""
    with RawClient(port) as client:
        client.check_put(*(Given(name, b"x") for name in names))


def count(log: Path, what: str) -> int:
    """Return how many lines of a log have some words, but for those that count others."""
    lines = log.read_text().splitlines()
    return sum(what in line and "more lines of this kind" not in line for line in lines)


@pytest.fixture
def stuck_pipe() -> Iterator[tuple[int, int]]:
    """Return both ends of a pipe that is full and that nobody reads."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    for size in (4096, 1):
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, b"." * size)
    os.set_blocking(writer, True)
    yield reader, writer
    os.close(reader)
    os.close(writer)


def test_a_pipe_that_nobody_reads_holds_up_neither_clients_nor_sigterm(
    tmp_path: Path, port: int, stuck_pipe: tuple[int, int]
) -> None:
    with serving(tmp_path / "spool", port, stderr=stuck_pipe[1]) as process:
        with RawClient(port) as client:
            client.check_put(*PUTS)
        assert stop(process) == 0
    with serving(tmp_path / "spool", port) as process:
        assert stat(port, "curr_items") == len(PUTS)


def test_a_pipe_that_is_read_again_gets_what_waited(
    tmp_path: Path, port: int, stuck_pipe: tuple[int, int]
) -> None:
    reader, writer = stuck_pipe
    with serving(tmp_path / "spool", port, stderr=writer) as process:
        make_queues(port, b"a")
        told = b""
        while b"queue a: created" not in told:
            told += os.read(reader, 1 << 16)
        first, second = told.lstrip(b".").splitlines()[:2]
        assert b" INFO cli: starling-py " in first
        assert b": listening on " in second
        assert stat(port, "log_lines_dropped") == 0
        assert stop(process) == 0


def test_a_log_pipe_whose_reader_is_gone_costs_lines_alone(tmp_path: Path, port: int) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with serving(tmp_path / "spool", port, stderr=writer) as process:
        os.close(writer)
        make_queues(port, b"a", b"b")
        wait_until(lambda: stat(port, "log_lines_dropped") >= 2)
        assert stop(process) == 0


@pytest.mark.parametrize("how", ["as a file", "as standard error"])
def test_a_full_disk_under_the_log_costs_lines_alone(tmp_path: Path, port: int, how: str) -> None:
    said = tmp_path / "stderr"
    options = ["-L", "/dev/full"] if how == "as a file" else []
    target = Path("/dev/full") if how == "as standard error" else said
    with (
        target.open("wb") as stderr,
        serving(tmp_path / "spool", port, *options, stderr=stderr.fileno()) as process,
    ):
        make_queues(port, *(b"q%d" % number for number in range(200)))
        wait_until(lambda: stat(port, "log_lines_dropped") >= 20)
        assert stop(process) == 0
    if how == "as a file":
        (line,) = complaints(said)
        assert line.startswith("starling-py: /dev/full: cannot log there: No space left on device")


def complaints(said: Path) -> list[str]:
    """Return what was said, but for the line that says where it serves."""
    return [line for line in said.read_text().splitlines() if ": serves " not in line]


def test_a_log_whose_folder_is_gone_is_taken_up_again_by_itself(tmp_path: Path, port: int) -> None:
    folder, said = tmp_path / "log", tmp_path / "stderr"
    with (
        said.open("wb") as stderr,
        serving(tmp_path / "spool", port, "-L", folder / "s.log", stderr=stderr.fileno()),
    ):
        shutil.rmtree(folder)
        make_queues(port, b"a", b"b")
        wait_until(lambda: stat(port, "log_lines_dropped") >= 2)
        folder.mkdir()
        make_queues(port, b"c")
        wait_until(lambda: "queue c: created" in content(folder / "s.log"))
    assert "lines missing here: " in (folder / "s.log").read_text()
    (line,) = complaints(said)
    assert line.startswith(f"starling-py: {folder}/s.log: cannot log there: No such file")


@pytest.mark.parametrize("what", ["folder", "pipe"])
def test_what_comes_in_the_place_of_the_log_is_not_waited_for(
    tmp_path: Path, port: int, what: str
) -> None:
    log = tmp_path / "s.log"
    with serving(tmp_path / "spool", port, "-L", log) as process:
        log.unlink()
        log.mkdir() if what == "folder" else os.mkfifo(log)
        make_queues(port, b"a", b"b")
        wait_until(lambda: stat(port, "log_lines_dropped") >= 2)
        log.rmdir() if what == "folder" else log.unlink()
        make_queues(port, b"c")
        wait_until(lambda: log.is_file() and "queue c: created" in content(log))
        assert stop(process) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_log_that_may_not_be_opened_anew_goes_on_where_it_was(port: int) -> None:
    """As when logrotate moves it, in a folder where the server's user may make no file."""
    folder = Path(tempfile.mkdtemp(prefix="starling-test-"))
    folder.chmod(0o755)
    try:
        said = folder / "stderr"
        for name in ("spool", "log"):
            (folder / name).mkdir()
            os.chown(folder / name, 65534, 65534)
        log = folder / "log" / "s.log"
        options = ("-u", "65534", "-g", "65534", "-L", log)
        with (
            said.open("wb") as stderr,
            serving(folder / "spool", port, *options, stderr=stderr.fileno()) as process,
        ):
            os.chown(log.parent, 0, 0)
            log.rename(log.with_suffix(".1"))
            make_queues(port, b"a")
            wait_until(lambda: "queue a: created" in log.with_suffix(".1").read_text())
            log.parent.chmod(0o000)
            make_queues(port, b"b")
            wait_until(lambda: "queue b: created" in log.with_suffix(".1").read_text())
            log.parent.chmod(0o777)
            make_queues(port, b"c")
            wait_until(lambda: "queue c: created" in content(log))
            assert stat(port, "log_lines_dropped") == 0
            assert stop(process) == 0
        (line,) = complaints(said)
        assert "Permission denied; the log goes on in the file that was open" in line
    finally:
        shutil.rmtree(folder)


def test_sigusr1_opens_the_log_anew_and_other_signals_leave_it(tmp_path: Path, port: int) -> None:
    log = tmp_path / "s.log"
    with serving(tmp_path / "spool", port, "-L", log) as process:
        log.rename(tmp_path / "s.log.1")
        process.send_signal(signal.SIGUSR2)
        process.send_signal(signal.SIGUSR1)
        wait_until(log.exists)
        make_queues(port, b"a")  # nothing is drained
        wait_until(lambda: "queue a: created" in content(log))
        assert stop(process) == 0
    assert log.read_text().endswith("stopped\n")


def test_a_log_that_is_copied_and_emptied_goes_on(tmp_path: Path, port: int) -> None:
    log = tmp_path / "s.log"
    with serving(tmp_path / "spool", port, "-L", log) as process:
        shutil.copy(log, tmp_path / "s.log.1")
        os.truncate(log, 0)
        make_queues(port, b"a")
        wait_until(lambda: "queue a: created" in content(log))
        assert log.read_text().startswith("20")
        assert stop(process) == 0


def test_a_flood_of_failing_commands_is_a_few_lines_and_a_number(tmp_path: Path, port: int) -> None:
    log = tmp_path / "s.log"
    with serving(tmp_path / "spool", port, "-L", log) as process:
        with RawClient(port) as client:
            client.send(b"set a/nonsense 0 0 1 noreply\r\nx\r\n" * 5000)
            client.check_put(Given(b"a", b"x"))
        assert stat(port, "noreply_errors") == 5000
        # The log is written by a thread of its own, after the number is told.
        failed = "without reply failed"
        wait_until(lambda: stat(port, "log_lines_held_back") + count(log, failed) == 5000)
        assert 0 < count(log, failed) < 100
        assert stop(process) == 0
    assert "more lines of this kind: %s: a command without" in log.read_text()


def test_a_flood_of_refused_connections_is_a_few_lines_and_a_number(
    tmp_path: Path, port: int
) -> None:
    log = tmp_path / "s.log"
    conf = settings_file(tmp_path, max_connections=8)
    with serving(tmp_path / "spool", port, "-f", conf, "-L", log) as process:
        with contextlib.ExitStack() as stack:
            for _ in range(300):
                last = socket.create_connection(("127.0.0.1", port), PATIENCE)
                stack.enter_context(last)
            with contextlib.suppress(ConnectionResetError):
                while last.recv(1000):  # who came last is refused last
                    pass
            wait_until(lambda: ": refused, as" in log.read_text())
        wait_until(lambda: all(is_accepted(port) for _ in range(8)))
        rejected = stat(port, "rejected_connections")
        assert rejected >= 280
        refused = ": refused, as"
        wait_until(lambda: stat(port, "log_lines_held_back") + count(log, refused) >= rejected)
        assert 0 < count(log, refused) < 100
        assert stop(process) == 0


def test_a_log_in_json_has_one_object_a_line(tmp_path: Path, port: int) -> None:
    log = tmp_path / "s.log"
    with serving(tmp_path / "spool", port, "-L", log, "--log_format", "json") as process:
        make_queues(port, b"a")
        assert stop(process) == 0
    told = [json.loads(line) for line in log.read_text().splitlines()]
    assert {"message": "queue a: created", "level": "INFO"}.items() <= told[-3].items()
    assert told[-1]["message"] == "stopped"
    assert all(re.fullmatch(r"20\S+T\S+[+-]\d{4}", each["time"]) for each in told)


def test_journald_is_told_the_priority_of_each_line(tmp_path: Path, port: int) -> None:
    said = tmp_path / "stderr"
    with said.open("wb") as stderr:
        about, descriptor = os.fstat(stderr.fileno()), stderr.fileno()
        more = {"JOURNAL_STREAM": f"{about.st_dev}:{about.st_ino}"}
        with serving(tmp_path / "spool", port, stderr=descriptor, more=more) as process:
            with RawClient(port) as client:
                client.send(b"set a 0 1700000000000 1\r\nx\r\n")
                client.check_put(Given(b"a", b"x"))
            assert stop(process) == 0
    lines = said.read_text().splitlines()
    assert all(re.match("<[0-7]>[A-Z]+ [a-z_]+: ", line) for line in lines)
    assert "<6>INFO server: stopped" in lines
    (warning,) = [line for line in lines if line.startswith("<4>WARNING ")]
    assert "queue a: an expiry of 1700000000000 seconds" in warning
