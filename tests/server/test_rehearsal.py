"""What would keep a server from starting is found without starting one, and nothing is left."""

import os
import socket
import sys
from pathlib import Path

import pytest

from starling_py.server.pid_file import PidFile
from starling_py.server.rehearsal import rehearse
from starling_py.settings.config_file import load
from starling_py.settings.server_settings import Settings
from tests.process.server_process import ServerProcess, run

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def troubles(folder: Path, **settings: object) -> list[str]:
    """Return what is found, with a spool and a port of its own where none is given."""
    given = {"queue_path": str(folder / "spool"), "port": 0} | settings
    return rehearse(load(None, given)).troubles


def test_what_can_start_is_found_to_and_nothing_is_made(tmp_path: Path) -> None:
    found = rehearse(
        Settings(
            queue_path=tmp_path / "a" / "spool",
            port=0,
            logger=tmp_path / "log" / "x.log",
            audit_log=tmp_path / "audit.log",
            pid_file=tmp_path / "run" / "x.pid",
        )
    )
    assert (found.troubles, found.running) == ([], None)
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_another_process_has_is_told_with_the_process(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        (told,) = troubles(tmp_path, port=port)
        listed = troubles(tmp_path, port=22122, listen=f"127.0.0.1:{port},127.0.0.1:0")
    assert told.startswith(f"cannot listen on 127.0.0.1:{port}: Address already in use")
    assert told.endswith("; another port is --port N")
    assert [line.partition(" (")[0] for line in listed] == [told.partition(" (")[0]]
    if sys.platform == "linux":
        assert f"(process {os.getpid()}, since 20" in told
    assert troubles(tmp_path, port=port) == []


def test_an_address_that_is_not_this_machines_is_told(tmp_path: Path) -> None:
    (told,) = troubles(tmp_path, host="192.0.2.1", insecure=True)
    assert told.startswith("cannot listen on 192.0.2.1:0: ")


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("file")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "taken"))
        other.listen()
        found = troubles(
            tmp_path,
            port=22122,
            queue_path=str(tmp_path / "file" / "spool"),
            listen=f"unix:{tmp_path}/file,unix:{tmp_path}/no/s,unix:{tmp_path}/taken",
            logger=str(tmp_path / "no" / "no" / "x.log"),
            audit_log=str(tmp_path),
            pid_file=str(tmp_path / "link"),
        )
    assert found == [
        f"cannot listen on unix:{tmp_path}/file: something else is there",
        f"cannot listen on unix:{tmp_path}/no/s: No such file or directory",
        f"cannot listen on unix:{tmp_path}/taken: another server listens there",
        f"{tmp_path}/link: is a link; not replaced",
        f"{tmp_path}/no/no/x.log: cannot log there: No such file or directory",
        f"{tmp_path}: cannot log there: Is a directory",
        f"{tmp_path}/file/spool: the spool must be a folder, and {tmp_path}/file is none; see"
        " queue_path",
    ]


@needs_proc
def test_a_pid_file_that_another_server_holds_is_told(tmp_path: Path) -> None:
    held = PidFile(tmp_path / "pid")
    try:
        (told,) = troubles(tmp_path, pid_file=str(tmp_path / "pid"))
    finally:
        held.remove()
    assert told == f"{tmp_path}/pid: a server is running already, process {os.getpid()}"


@needs_proc
def test_a_server_that_runs_is_not_in_its_own_way(tmp_path: Path) -> None:
    config = tmp_path / "starling.yml"
    spool, path = tmp_path / "spool", tmp_path / "s"
    with ServerProcess(spool, "--pid", tmp_path / "pid") as server:
        config.write_text(f"starling: {{queue_path: {spool}, pid_file: {tmp_path}/pid}}\n")
        done = run("-f", config, "-p", server.port, "--check-config")
        assert done.stdout == f"{config}: ok; process {server.pid} has the spool now\n"
        assert (done.returncode, done.stderr) == (0, "")
        # Another server, which wants another spool, cannot have the port.
        done = run("-q", tmp_path / "other", "-p", server.port, "--check-config")
        assert (done.returncode, done.stdout) == (1, "")
        assert f"(process {server.pid}, since 20" in done.stderr
        assert not path.exists()


@needs_root
def test_folders_are_looked_at_as_the_user_of_the_server(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o055)
    (tmp_path / "users").write_text("")
    (tmp_path / "users").chmod(0o600)
    options = {"user": "nobody", "queue_path": str(tmp_path / "new" / "spool")}
    before = os.geteuid(), os.getegid()
    found = troubles(tmp_path, **options, logger=str(tmp_path / "log"))
    assert found == [
        f"{tmp_path}/log: cannot log there: Permission denied",
        f"{tmp_path}/new/spool: this user cannot make it in {tmp_path} (Permission denied); see"
        " queue_path, -q DIR",
    ]
    (unreadable,) = troubles(
        tmp_path, user="nobody", queue_path="/tmp/x", users_file=tmp_path / "users"
    )
    assert "Permission denied" in unreadable
    assert (os.geteuid(), os.getegid()) == before


@pytest.mark.parametrize(
    ("options", "told"),
    [({"user": "nosuchuser"}, "there is no user nosuchuser"), ({"group": "nix"}, "no group nix")],
)
def test_a_user_or_group_that_does_not_exist_is_told(
    tmp_path: Path, options: dict[str, str], told: str
) -> None:
    (found,) = troubles(tmp_path, **options)
    assert found.startswith("cannot run as ")
    assert found.endswith(told)


def test_a_check_that_finds_trouble_says_so_and_ends_with_1(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("")
    done = run("-q", tmp_path / "spool", "-p", 0, "--check-config")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"starling-py: a start would fail: {tmp_path}/spool: the spool must be a folder, and"
        f" {tmp_path}/spool is none; see queue_path\n"
    )


def test_what_http_needs_is_looked_at_too(tmp_path: Path) -> None:
    config = tmp_path / "starling.yml"
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        config.write_text(f"http: {{listen: 127.0.0.1:{port}, token_file: {tmp_path}/none}}\n")
        (told,) = rehearse(
            load(config, {"queue_path": str(tmp_path / "spool"), "port": 0})
        ).troubles
        assert told == f"http.token_file: {tmp_path}/none: No such file or directory"
        config.write_text(f"http: {{listen: 127.0.0.1:{port}}}\n")
        (told,) = rehearse(
            load(config, {"queue_path": str(tmp_path / "spool"), "port": 0})
        ).troubles
        assert told.startswith(f"http: cannot listen on 127.0.0.1:{port}: Address already in use")
    assert rehearse(load(config, {"queue_path": str(tmp_path / "spool"), "port": 0})).troubles == []
