"""What a server makes sure of before it serves: descriptors, signals, user, pid file, modes."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.process.raw_client import Given, RawClient
from tests.process.server_process import (
    COMMAND,
    PATIENCE,
    ServerProcess,
    daemon_cleared_away,
    environment,
    environment_that_holds,
    expect_refusal,
    settings_file,
    wait_until,
    wait_until_gone,
    wait_until_it_answers,
)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc")

# Descriptors


def without(closed: set[int]) -> Callable[[], None]:
    """Return what closes some of the standard descriptors in a new process."""

    def close() -> None:
        for descriptor in closed:
            os.close(descriptor)

    return close


def behind_standard_ones(pid: int) -> list[str]:
    return [str(Path(f"/proc/{pid}/fd/{number}").readlink()) for number in range(3)]


@needs_proc
@pytest.mark.parametrize("closed", [{0}, {1}, {2}, {0, 1, 2}], ids=str)
def test_a_daemon_serves_whatever_was_closed(tmp_path: Path, port: int, closed: set[int]) -> None:
    pid_file = tmp_path / "pid"
    options = ("-d", "-q", tmp_path / "spool", "-P", pid_file, "-L", tmp_path / "log", "-p", port)
    with daemon_cleared_away(pid_file):
        done = subprocess.run(
            [*COMMAND, *map(str, options)],
            env=environment(),
            preexec_fn=without(closed),
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0
        with RawClient(port) as client:  # it serves already
            client.check_put(Given(b"a", b"x"))
        pid = int(pid_file.read_text())
        assert behind_standard_ones(pid) == ["/dev/null"] * 3
        os.kill(pid, signal.SIGTERM)
        wait_until_gone(pid)
    assert (tmp_path / "log").read_text().endswith("stopped\n")


@needs_proc
def test_in_the_foreground_nothing_takes_the_place_of_a_closed_one(
    tmp_path: Path, port: int
) -> None:
    process = subprocess.Popen(
        [*COMMAND, "-q", tmp_path / "spool", "-p", str(port)],
        env=environment(),
        preexec_fn=without({0, 1, 2}),
    )
    with process:
        try:
            wait_until_it_answers(port)
            assert behind_standard_ones(process.pid) == ["/dev/null"] * 3
            process.terminate()
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()


# Daemons


@pytest.mark.parametrize("how", ["locked", "damaged"])
def test_a_daemon_that_cannot_serve_says_so_and_ends_with_1(
    tmp_path: Path, port: int, how: str
) -> None:
    spool = tmp_path / "spool"
    with ServerProcess(spool) as server:
        with RawClient(server.port) as client:
            client.check_put(Given(b"q", b"item 1"), Given(b"q", b"item 2"))
        if how == "damaged":
            assert server.stop() == 0
            (spool / ".ids").write_bytes(b"no ids")
        line = expect_refusal(1, "-d", "-q", spool, "-p", port, "-L", tmp_path / "log")
    assert (f"{spool}/.ids" if how == "damaged" else "another server is using") in line


def test_a_daemon_ended_before_it_serves_is_no_success(tmp_path: Path, port: int) -> None:
    spool, pid_file, log = tmp_path / "spool", tmp_path / "pid", tmp_path / "log"
    options = ("-d", "-q", spool, "-p", port, "-P", pid_file, "-L", log)
    process = subprocess.Popen(
        [*COMMAND, *map(str, options)],
        env=environment_that_holds(tmp_path, spool),
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        wait_until(lambda: log.exists() and f"spool {spool}" in log.read_text())
        process.terminate()  # the process in front passes it on
        _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == 1
    assert "Traceback" not in said
    assert not pid_file.exists()


# Signals


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_no_signal_but_those_to_stop_ends_it_at_any_time(
    tmp_path: Path, number: signal.Signals
) -> None:
    process = subprocess.Popen(
        [*COMMAND, "-q", tmp_path / "spool", "-p", "0"],
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        try:
            line = process.stderr.readline()
            while "listening on" not in line:
                process.send_signal(number)
                line = process.stderr.readline()
                assert line
            for _ in range(20):
                process.send_signal(number)
            process.terminate()
            begun = time.monotonic()
            while process.poll() is None and time.monotonic() - begun < PATIENCE:
                process.send_signal(number)
            assert process.poll() == 0
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_stop_gives_clients_that_wait_a_miss(
    tmp_path: Path, number: signal.Signals
) -> None:
    with ServerProcess(tmp_path / "spool") as server, RawClient(server.port) as waiter:
        waiter.check_put(Given(b"q", b"item"))
        assert waiter.get_one(b"q") == b"item"
        waiter.send(b"get q/t=60000\r\n")
        with RawClient(server.port) as monitor:
            wait_until(lambda: monitor.stat(b"queue_q_waiters") == 1)
        os.kill(server.pid, number)
        assert waiter.read_taken() == []
        assert server.stop() == 0


def test_a_stop_asked_for_again_and_again_is_one_in_order(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with ServerProcess(tmp_path / "spool", "-P", pid_file) as server:
        process = server._process
        assert process is not None
        begun = time.monotonic()
        while process.poll() is None and time.monotonic() - begun < PATIENCE:
            process.terminate()
        assert server.stop() == 0
    assert not pid_file.exists()


# The pid file


def test_a_second_server_leaves_the_pid_file_of_the_first(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with ServerProcess(tmp_path / "a", "-P", pid_file) as server:
        line = expect_refusal(1, "-P", pid_file, "-q", tmp_path / "b", "-p", 0)
        expected = f"{pid_file}: a server is running already, process {server.pid}"
        assert line == f"starling-py: {expected}"
        line = expect_refusal(1, "-d", "-P", pid_file, "-q", tmp_path / "b", "-p", 0)
        assert line == f"starling-py: {expected}"
        assert pid_file.read_text() == f"{server.pid}\n"
        assert not (tmp_path / "b").exists()
        server.kill()
        server.start()  # what was left behind is stale
        assert pid_file.read_text() == f"{server.pid}\n"
        pid_file.unlink()
        assert server.stop() == 0


FOLDERS = ("run", "log", "spool", "a")


def modes_below(folder: Path) -> dict[Path, int]:
    """Return the modes of all that is there; what a server makes only for a while may be gone."""
    modes = {}
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            modes[path] = path.stat().st_mode & 0o777
    return modes


@pytest.mark.parametrize("umask", [0o000, 0o077])
@pytest.mark.parametrize("daemonize", [(), ("-d",)], ids=["foreground", "daemon"])
def test_modes_do_not_depend_on_the_umask(
    tmp_path: Path, port: int, umask: int, daemonize: tuple[str, ...]
) -> None:
    pid_file, log = tmp_path / "run" / "pid", tmp_path / "log" / "s.log"
    options = ("-q", tmp_path / "spool", "-P", pid_file, "-L", log, "-p", port, *daemonize)
    before = os.umask(umask)
    with daemon_cleared_away(pid_file):
        process = subprocess.Popen([*COMMAND, *map(str, options)], env=environment())
        os.umask(before)
        with process:
            wait_until_it_answers(port)
            with RawClient(port) as client:
                client.check_put(Given(b"a", b"x"))
            modes = modes_below(tmp_path)
            pid = int(pid_file.read_text())
            os.kill(pid, signal.SIGTERM)
            wait_until_gone(pid) if daemonize else process.wait(PATIENCE)
    folders = {path.name: mode for path, mode in modes.items() if path.name in FOLDERS}
    assert folders == dict.fromkeys(FOLDERS, 0o750)
    assert {mode for path, mode in modes.items() if path.name not in FOLDERS} == {0o640}


@pytest.mark.parametrize("option", ["-L", "-P"])
def test_only_the_last_part_of_a_path_is_made(tmp_path: Path, option: str) -> None:
    path = tmp_path / "typo" / "starling" / "file"
    line = expect_refusal(1, option, path, "-q", tmp_path / "spool", "-p", 0)
    assert line.startswith(f"starling-py: {path}: cannot ")
    assert line.endswith(": No such file or directory")
    assert list(tmp_path.iterdir()) == []


# The configuration


@pytest.mark.parametrize("what", ["pipe", "device", "folder"])
def test_reload_of_what_is_no_file_is_refused_in_one_line(tmp_path: Path, what: str) -> None:
    conf = settings_file(tmp_path, allow_reload="true")
    with ServerProcess(tmp_path / "spool", "-f", conf) as server:
        conf.unlink()
        if what == "pipe":
            os.mkfifo(conf)
        elif what == "device":
            conf.symlink_to("/dev/zero")
        else:
            conf.mkdir()
        os.kill(server.pid, signal.SIGHUP)
        with RawClient(server.port) as client:
            client.send(b"reload\r\n")
            line = client._replies.readline()
            client.check_put(Given(b"a", b"x"))
        assert line.startswith(b"SERVER_ERROR ")
        assert str(conf).encode() in line
        wait_until(lambda: sum("not reloaded: " in each for each in server.log) == 2)
        assert server.stop() == 0


# The user


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that any user may write, which pytest's own is not."""
    folder = Path(tempfile.mkdtemp(prefix="starling-test-"))
    try:
        folder.chmod(0o777)
        yield folder
    finally:
        shutil.rmtree(folder)


def identity(pid: int) -> dict[str, set[int]]:
    """Return the real, effective, saved and file system's user and group, and the groups."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    told = dict(line.split(":", 1) for line in lines)
    return {name: set(map(int, told[name].split())) for name in ("Uid", "Gid", "Groups")}


@needs_root
@needs_proc
@pytest.mark.parametrize(
    ("options", "user", "group"),
    [
        ("-u daemon -g nogroup", 1, 65534),
        ("-u daemon", 1, 1),
        ("-g nogroup", 0, 65534),
        ("-u 54321 -g 54322", 54321, 54322),
        ("-u 54321", 54321, 54321),
        ("-u 1", 1, 1),
    ],
)
def test_nothing_of_roots_is_left_after_a_change_of_user(
    open_folder: Path, options: str, user: int, group: int
) -> None:
    """The interpreter need not be where that user may read."""
    os.setgroups([0, 4, 27])
    try:
        spool = open_folder / "spool"
        pid_file = open_folder / "pid"
        with ServerProcess(spool, *options.split(), "-P", pid_file) as server:
            with RawClient(server.port) as client:
                client.check_put(Given(b"j", b"x"))
            assert identity(server.pid) == {"Uid": {user}, "Gid": {group}, "Groups": {group}}
            for path in (spool, spool / "j", pid_file, *(spool / "j").iterdir()):
                assert (path.stat().st_uid, path.stat().st_gid) == (user, group)
            assert server.stop() == 0
    finally:
        os.setgroups([0])


@needs_root
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("-u nobody-at-all", "nobody-at-all: there is no user nobody-at-all"),
        ("-g no-such-group", "no-such-group: there is no group no-such-group"),
        ("-u 4294967295", "4294967295: 4294967295 is too large a number"),
    ],
)
def test_an_identity_that_cannot_be_is_refused(tmp_path: Path, options: str, reason: str) -> None:
    line = expect_refusal(1, "-q", tmp_path / "spool", "-p", 0, *options.split())
    assert line == f"starling-py: cannot run as {reason}"
