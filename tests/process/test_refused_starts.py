"""What keeps the command from starting: one line that says what and where, and an exit code.

2 stands for bad usage or configuration, 1 for everything else; a traceback is a defect.
"""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pymemcache.exceptions import MemcacheServerError

from tests.process.server_process import (
    COMMAND,
    PATIENCE,
    ServerProcess,
    environment_that_holds,
    expect_refusal,
    obey_sigint,
    run,
    wait_until,
)


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        line = expect_refusal(1, "-q", tmp_path / "spool", "-p", port)
    taken = f"starling-py: cannot listen on 127.0.0.1:{port}: Address already in use"
    assert line.startswith(taken)
    assert line.endswith("; another port is --port N")
    if sys.platform == "linux":
        assert f" (process {os.getpid()}, since 20" in line
    assert not (tmp_path / "spool").exists()


def test_a_host_that_is_not_this_machines(tmp_path: Path) -> None:
    line = expect_refusal(1, "-q", tmp_path / "spool", "-h", "192.0.2.1", "-p", 0, "--insecure")
    assert line.startswith("starling-py: cannot listen on 192.0.2.1:0: ")


def test_a_spool_that_another_server_uses(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    with ServerProcess(spool) as server:
        line = expect_refusal(1, "-q", spool, "-p", 0)
        assert line.startswith(f"starling-py: {spool}: another server is using this spool")
        if sys.platform == "linux":
            assert f"(process {server.pid}, since 20" in line
        client = server.client()
        assert client.set("q", b"1")
        client.close()
        server.kill()
        # The lock goes with its process, however that ends.
        server.start()


def test_a_spool_that_is_a_file(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.write_text("")
    line = expect_refusal(1, "-q", spool, "-p", 0)
    assert line == (
        f"starling-py: {spool}: the spool must be a folder, and this is none (File exists);"
        " see queue_path"
    )


def test_a_spool_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    line = expect_refusal(1, "-q", tmp_path / "file" / "spool", "-p", 0)
    assert line == (
        f"starling-py: {tmp_path}/file/spool: the spool must be a folder, and this is none"
        " (Not a directory); see queue_path"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_spool_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    line = expect_refusal(1, "-q", tmp_path / "spool", "-p", 0)
    tmp_path.chmod(0o700)
    assert line == (
        f"starling-py: {tmp_path}/spool: this user cannot use the spool (Permission denied);"
        " see queue_path, -q DIR"
    )


def test_a_spool_on_a_file_system_that_takes_no_files(tmp_path: Path) -> None:
    line = expect_refusal(1, "-q", "/proc/spool", "-p", 0)
    assert line.startswith("starling-py: /proc/spool: ")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_spool_that_the_user_of_the_settings_cannot_write(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    line = expect_refusal(1, "-q", tmp_path / "spool", "-p", 0, "-u", "65534", "-g", "65534")
    assert line == (
        f"starling-py: {tmp_path}/spool: this user cannot use the spool (Permission denied);"
        " see queue_path, -q DIR"
    )


def test_an_unknown_user(tmp_path: Path) -> None:
    line = expect_refusal(1, "-q", tmp_path / "spool", "-p", 0, "-u", "nobody-at-all")
    assert "nobody-at-all" in line


def test_a_damaged_journal_refuses_its_queue_and_no_start(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    with ServerProcess(spool) as server:
        client = server.client()
        for number in range(3):
            client.set("q", b"item %d" % number)
        client.close()
        assert server.stop() == 0
    (segment,) = (spool / "q").iterdir()
    whole = segment.read_bytes()
    damaged = whole.replace(b"item 1", b"item X")
    segment.write_bytes(damaged)
    with ServerProcess(spool) as server:
        client = server.client()
        with pytest.raises(MemcacheServerError, match=r"refused: .* damaged at byte "):
            client.get("q")
        assert client.set("other", b"1")
        (line,) = [line for line in server.log if " ERROR " in line]
        assert f"{segment}: damaged at byte " in line
        assert f"move {spool}/q out of the spool" in line
        assert segment.read_bytes() == damaged
        # What the line advises helps.
        segment.write_bytes(whole)
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: client.stats()[b"refused_queues"] == 0)
        assert [client.get("q") for _ in range(4)] == [b"item 0", b"item 1", b"item 2", None]
        client.close()


def test_what_else_lies_in_a_spool_is_left_alone(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    (spool / "foreign").mkdir(parents=True)
    (spool / "foreign" / "notes.txt").write_text("mine")
    (spool / "file").write_text("mine too")
    with ServerProcess(spool) as server:
        client = server.client()
        assert client.set("q", b"1")
        assert b"queue_q_items" in client.stats()
        client.close()
        assert server.stop() == 0
    assert (spool / "foreign" / "notes.txt").read_text() == "mine"
    assert (spool / "file").read_text() == "mine too"


def test_an_unknown_option() -> None:
    done = run("--prot", 1)
    assert done.returncode == 2
    assert "--prot" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_an_option_without_its_value() -> None:
    done = run("--port")
    assert done.returncode == 2
    assert "--port" in done.stderr.splitlines()[-1]


def test_a_value_that_cannot_be() -> None:
    assert expect_refusal(2, "--port", "70000").startswith(
        "starling-py: --port: 70000: must be a whole"
    )


def test_a_configuration_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "none.yml"
    expected = f"starling-py: {path}: cannot be read: No such file or directory"
    assert expect_refusal(2, "-f", path) == expected


def test_all_that_is_wrong_with_a_configuration_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.yml"
    path.write_text("starling:\n  prot: 22122\n  timeout: never\n")
    done = run("-f", path)
    assert done.returncode == 2
    first, second = done.stderr.splitlines()
    assert first == f"starling-py: {path}:2: starling.prot: unknown setting; did you mean 'port'?"
    assert second.startswith(f"starling-py: {path}:3: starling.timeout: never: must be")


def test_a_good_configuration_is_called_so_and_nothing_starts(tmp_path: Path) -> None:
    path = tmp_path / "good.yml"
    path.write_text(f"starling:\n  queue_path: {tmp_path}/spool\n")
    done = run("-f", path, "--check-config")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{path}: ok\n", "")
    assert not (tmp_path / "spool").exists()


def test_a_log_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    log = tmp_path / "file" / "log"
    line = expect_refusal(1, "-q", tmp_path / "spool", "-p", 0, "-L", log)
    assert re.fullmatch(rf"starling-py: {log}: cannot log there: \w.*", line)


@pytest.mark.parametrize("daemonize", [(), ("--daemonize",)])
def test_a_pid_file_that_cannot_be_written(tmp_path: Path, daemonize: tuple[str, ...]) -> None:
    """Also before it detaches from the terminal: afterwards nobody would be told."""
    (tmp_path / "file").write_text("")
    pid_file = tmp_path / "file" / "pid"
    options = ("-q", tmp_path / "spool", "-p", 0, "-P", pid_file, "-L", tmp_path / "log")
    line = expect_refusal(1, *options, *daemonize)
    assert re.fullmatch(rf"starling-py: {pid_file}: cannot be written: \w.*", line)


def test_ctrl_c_while_it_reads_its_journals_is_no_traceback(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    said = tmp_path / "stderr"
    with said.open("w") as file:
        process = subprocess.Popen(
            [*COMMAND, "-q", spool, "-p", "0"],
            env=environment_that_holds(tmp_path, spool),
            stderr=file,
            preexec_fn=obey_sigint,
        )
    try:
        wait_until(lambda: f"spool {spool}" in said.read_text())
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) != 0
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in said.read_text()
