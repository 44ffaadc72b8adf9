"""The command ``starling-ctl`` as a person starts it, at a real server."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.raw_client import Given, RawClient
from tests.process.server_process import (
    PATIENCE,
    ServerProcess,
    environment,
    obey_sigint,
    settings_file,
    wait_until,
)

COMMAND = [sys.executable, "-W", "error", "-m", "starling_py.ctl"]


def ctl(
    server: ServerProcess, *words: object, given: bytes = b"", status: int = 0
) -> subprocess.CompletedProcess[bytes]:
    """Run the command at a server, and check its exit status."""
    done = subprocess.run(
        [*COMMAND, "--server", f"127.0.0.1:{server.port}", *map(str, words)],
        input=given,
        capture_output=True,
        check=False,
        env=environment(),
        timeout=PATIENCE,
    )
    assert done.returncode == status, done.stderr.decode()
    return done


def begun(server: ServerProcess, *words: object) -> "subprocess.Popen[bytes]":
    """Start the command at a server, with its streams as pipes."""
    return subprocess.Popen(
        [*COMMAND, "--server", f"127.0.0.1:{server.port}", *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        preexec_fn=obey_sigint,
    )


@pytest.fixture
def open_server(tmp_path: Path) -> Iterator[ServerProcess]:
    """Start a server that lets itself be drained and reloaded."""
    config = tmp_path / "starling.yml"
    config.write_text(
        "starling: {allow_drain: true, allow_reload: true}\n"
        "queues: {jobs: {dead_letter: dead, max_deliveries: 3}}\n"
    )
    with ServerProcess(tmp_path / "spool", "-f", config) as process:
        yield process


def test_an_operators_day(open_server: ServerProcess) -> None:
    server = open_server
    ctl(server, "put", "jobs", "a", "b", "poison")
    assert ctl(server, "get", "jobs").stdout == b"a\n"
    with RawClient(server.port) as worker:
        worker.ask(b"hello worker-1\r\n")
        assert worker.get_one(b"jobs/open/lease=60") == b"b"
        shown = ctl(server, "show", "jobs").stdout
        assert b"open: item id=2" in shown
        assert b"name=worker-1" in shown
        assert b"worker-1" in ctl(server, "consumers", "jobs").stdout
        ctl(server, "bury", "jobs", 2)
    ctl(server, "bury", "jobs")
    assert b"dead-letters" in ctl(server, "ls").stdout
    assert b"2 dead letters" in ctl(server, "doctor", status=1).stdout
    assert ctl(server, "move", "dead", "--origin").stdout == b"dead: 2 items moved\n"
    ctl(server, "pause", "jobs")
    ctl(server, "get", "jobs", status=3)
    server.restart()
    ctl(server, "get", "jobs", status=3)
    ctl(server, "resume", "jobs")
    ctl(server, "reload")
    ctl(server, "drain")
    waiting = begun(server, "drain", "--wait")
    assert ctl(server, "get", "jobs", "-n", 9).stdout == b"b\npoison\n"
    out, _ = waiting.communicate(timeout=PATIENCE)
    assert (waiting.returncode, out.splitlines()[-1]) == (0, b"all empty")
    ctl(server, "drain", "--off")


def test_without_dead_letter_nothing_is_opened(server: ServerProcess) -> None:
    ctl(server, "put", "jobs", "a")
    assert b"no dead_letter" in ctl(server, "bury", "jobs", status=1).stderr
    assert server.stat("queue_jobs_transactions") == 0


def test_a_server_that_goes_away_in_the_middle_is_one_line(server: ServerProcess) -> None:
    ctl(server, "put", "jobs", "a")
    watching = begun(server, "watch", "--every", "0.1s")
    assert watching.stdout is not None
    assert watching.stdout.readline().startswith(b"TIME")
    assert watching.stdout.readline().endswith(b"jobs\n")
    server.kill()
    _, err = watching.communicate(timeout=PATIENCE)
    assert watching.returncode == 4
    assert err.count(b"\n") == 1
    assert b"the server closed the connection" in err or b"Connection reset" in err


def test_an_import_goes_on_where_a_dead_server_left_it(server: ServerProcess) -> None:
    lines = [b'{"queue": "jobs", "text": "%d"}\n' % number for number in range(3000)]
    work = begun(server, "import")
    assert work.stdin is not None
    work.stdin.write(b"".join(lines[:2000]))
    work.stdin.flush()
    with RawClient(server.port) as client:
        wait_until(lambda: client.stat(b"curr_items") > 500)
    server.kill()
    _, err = work.communicate(b"".join(lines[2000:]), timeout=PATIENCE)
    assert work.returncode == 4
    skip = err.partition(b"go on with --skip ")[2].split()[0].decode()
    server.start()
    ctl(server, "import", "--skip", skip, given=b"".join(lines))
    with RawClient(server.port) as client:
        taken = client.get_all([b"jobs"] * server.stat("curr_items"))
    assert {int(data) for data in taken if data is not None} == set(range(3000))


def test_a_reader_that_has_enough_is_no_failure(server: ServerProcess) -> None:
    with RawClient(server.port) as client:
        client.check_put_all(Given(b"jobs", b"x" * 100) for _ in range(5000))
    for words in (["export"], ["browse", "jobs", "--all"], ["watch", "--every", "0.1s"]):
        process = begun(server, *words)
        assert process.stdout is not None
        assert process.stdout.readline()
        process.stdout.close()
        if words[0] == "watch":
            with RawClient(server.port) as client:
                client.check_put(Given(b"jobs", b"x"))
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(PATIENCE) == 0
        assert process.stdin is not None
        process.stdin.close()
        process.stderr.close()


def test_interrupted_it_ends_quietly(server: ServerProcess) -> None:
    process = begun(server, "get", "jobs", "--wait", "1h")
    with RawClient(server.port) as client:
        ctl(server, "put", "mail", "x")
        wait_until(lambda: b"starling-ctl" in b"".join(client.stats(b"consumers jobs").values()))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, err) == (130, b"")
        client.check_put(Given(b"jobs", b"a"))
        assert client.get_one(b"jobs") == b"a"


def test_nobody_and_nothing_of_ours_behind_a_port_is_told(port: int) -> None:
    def asked() -> bytes:
        words = [*COMMAND, "-s", f"[::ffff:127.0.0.1]:{port}", "ls"]
        done = subprocess.run(
            words, capture_output=True, check=False, env=environment(), timeout=PATIENCE
        )
        assert (done.returncode, done.stdout) == (4, b"")
        return done.stderr

    assert b"Connection refused" in asked()
    memcached = shutil.which("memcached")
    if memcached is None:
        return
    with subprocess.Popen([memcached, "-u", "nobody", "-l", "127.0.0.1", "-p", str(port)]) as other:
        try:
            wait_until(lambda: _listens(port))
            assert b"no starling-py: memcached or its like, version 1." in asked()
        finally:
            other.kill()


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_who_may_not_is_told_in_the_words_of_the_server(tmp_path: Path) -> None:
    config = settings_file(tmp_path, allow_admin="false")
    with ServerProcess(tmp_path / "spool", "-f", config) as server:
        ctl(server, "put", "jobs", "a")
        for words in (["pause", "jobs"], ["browse", "jobs"], ["drop", "jobs", 1, "--yes"]):
            done = ctl(server, *words, status=1)
            assert done.stderr == b"starling-ctl: %b not enabled\n" % str(words[0]).encode()
        assert ctl(server, "peek", "jobs").stdout == b"item 1: 1B\na\n"


def test_ten_thousand_queues_are_listed_at_once(server: ServerProcess) -> None:
    with RawClient(server.port) as client:
        client.check_put_all(Given(b"queue-%05d" % number, b"x") for number in range(10_000))
    lines = ctl(server, "ls").stdout.splitlines()
    assert (len(lines), lines[-1]) == (10_002, b"10000 queues, 10000 items, 9.8K")
    assert len(ctl(server, "ls", "queue-0123?").stdout.splitlines()) == 12


@pytest.mark.parametrize("shell", ["bash"])
def test_a_shell_completes_commands_and_names_of_queues(
    server: ServerProcess, tmp_path: Path, shell: str
) -> None:
    ctl(server, "put", "mail.in", "a")
    ctl(server, "put", "mail.out", "a")
    program = tmp_path / "starling-ctl"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m starling_py.ctl "$@"\n')
    program.chmod(0o755)
    asked = f"""
        eval "$(starling-ctl completion {shell})"
        complete_line() {{
            COMP_LINE="$*"; COMP_POINT=${{#COMP_LINE}}; COMP_TYPE=9
            COMP_WORDS=($COMP_LINE); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMPREPLY=()
            _python_argcomplete starling-ctl
            printf '%s\\n' "${{COMPREPLY[@]}}"
        }}
        complete_line starling-ctl pa
        complete_line starling-ctl show mail
    """
    done = subprocess.run(
        [shell, "-c", asked],
        capture_output=True,
        check=True,
        env={
            **environment(),
            "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
            "STARLING_SERVER": f"127.0.0.1:{server.port}",
        },
        timeout=PATIENCE,
    )
    assert done.stdout.split() == [b"pause", b"mail.in", b"mail.out"]


def test_an_export_of_a_server_is_read_by_the_import_of_another(
    server: ServerProcess, tmp_path: Path
) -> None:
    with RawClient(server.port) as client:
        client.check_put(*(Given(b"jobs", os.urandom(50), number) for number in range(200)))
    lines = ctl(server, "export").stdout
    with ServerProcess(tmp_path / "other") as other:
        assert ctl(other, "import", given=lines).stdout == b"200 items put\n"
        again = ctl(other, "export").stdout
    assert [told(line) for line in lines.splitlines()] == [
        told(line) for line in again.splitlines()
    ]


def told(line: bytes) -> tuple[object, ...]:
    values = json.loads(line)
    return tuple(values.get(key) for key in ("queue", "flags", "expiry_ms", "text", "data"))


def test_a_dump_of_a_stopped_server_is_imported(server: ServerProcess, tmp_path: Path) -> None:
    ctl(server, "put", "jobs", "a", "b", "--flags", 5)
    server.stop()
    program = "import sys; from starling_py.offline.cli import main; sys.exit(main())"
    spool = tmp_path / "spool/jobs"
    dumped = subprocess.run(
        [sys.executable, "-c", program, "dump", "--live", "--json", spool],
        capture_output=True,
        check=True,
        env=environment(),
        timeout=PATIENCE,
    )
    server.start()
    ctl(server, "import", "--to", "again", given=dumped.stdout)
    peeked = ctl(server, "peek", "again", 9, "--json").stdout.splitlines()
    assert [(json.loads(line)["text"], json.loads(line)["flags"]) for line in peeked] == [
        ("a", 5),
        ("b", 5),
    ]


def test_a_backup_of_a_busy_server_is_restored_and_served(tmp_path: Path) -> None:
    spool, kept, new = tmp_path / "spool", tmp_path / "kept", tmp_path / "new"
    config = settings_file(tmp_path, allow_snapshot="true")
    with ServerProcess(spool, "-f", config) as server:
        ctl(server, "put", "mail", "a", "b")
        for number in range(50):
            ctl_put(server, b"jobs", number)
        assert ctl(server, "snapshot", "monday").stdout.endswith(b"/spool/.snapshots/monday\n")
        assert (spool / ".snapshots/monday").is_dir()
        assert ctl(server, "backup", kept).stdout.startswith(b"2 queues, ")
        assert [each.name for each in (spool / ".snapshots").iterdir()] == ["monday"]
        ctl(server, "backup", kept, status=2)
        ctl(server, "flush", "*", "--yes")
        ctl(server, "restore", kept, spool, status=2)
        ctl(server, "restore", kept, new)
    with ServerProcess(new) as server:
        with RawClient(server.port) as client:
            taken = client.get_all([b"jobs"] * 50)
        assert taken == [b"%d" % number for number in range(50)]
        assert ctl(server, "get", "mail", "-n", 9).stdout == b"a\nb\n"


def ctl_put(server: ServerProcess, name: bytes, number: int) -> None:
    with RawClient(server.port) as client:
        client.check_put(Given(name, b"%d" % number))
