"""Where a server may be told to listen, and where it will not."""

import contextlib
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.server_process import (
    COMMAND,
    PATIENCE,
    environment,
    expect_refusal,
    free_port,
)

BOOK = "deny all allow 192.168.1.*"
HANDING_OVER = """\
import os, socket, sys
names, *command = sys.argv[1:]
listeners = [socket.create_server(("127.0.0.1", 0)) for _ in names.split(":")]
print(*(each.getsockname()[1] for each in listeners), flush=True)
for number, each in enumerate(listeners):
    os.dup2(each.fileno(), 40 + number)
for number in range(len(listeners)):
    os.dup2(40 + number, 3 + number, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(listeners)), LISTEN_FDNAMES=names)
os.execv(command[0], command)
"""


@contextlib.contextmanager
def serving(folder: Path, *options: object) -> Iterator["subprocess.Popen[str]"]:
    """Serve from a folder, and tell it to stop at the end; nothing but that may end it."""
    with subprocess.Popen(
        [*COMMAND, "-q", str(folder / "spool"), *map(str, options)],
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stderr is not None
        try:
            while "listening on" not in (line := server.stderr.readline()):
                assert line, "it ended at once"
            yield server
        finally:
            if server.poll() is None:
                server.terminate()
                server.stderr.read()
                assert server.wait(PATIENCE) == 0


def asked(address: tuple[str, int] | str, data: bytes = b"version\r\n") -> bytes:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(60)
        sock.connect(address)
        sock.sendall(data)
        return sock.recv(65536)


def test_a_server_listens_at_every_place_of_its_list(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with free_port() as port, free_port() as other:
        places = f"127.0.0.1:{port},127.0.0.1:{other},unix:{path}?mode=0600"
        with serving(tmp_path, "--listen", places):
            for address in (("127.0.0.1", port), ("127.0.0.1", other), str(path)):
                assert asked(address) == b"VERSION 1.0.0\r\n"
            assert asked(str(path), b"pause nothing\r\n") == b"NOT_FOUND\r\n"
            mode = path.stat().st_mode
            assert (stat.S_ISSOCK(mode), stat.S_IMODE(mode)) == (True, 0o600)
    assert not path.exists()


def test_the_socket_of_a_killed_server_is_replaced_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with free_port() as port:
        places = ("--listen", f"127.0.0.1:{port},unix:{path}")
        with serving(tmp_path, *places) as server:
            server.kill()
            server.wait(PATIENCE)
        assert path.exists()
        with serving(tmp_path, *places):
            assert asked(str(path)) == b"VERSION 1.0.0\r\n"
            line = expect_refusal(1, "-q", tmp_path / "other", "--listen", f"unix:{path}")
            assert line.endswith(f"cannot listen on unix:{path}: another server listens there")
            assert asked(str(path)) == b"VERSION 1.0.0\r\n"


@pytest.mark.parametrize("kind", ["file", "folder", "missing folder", "long"])
def test_a_place_that_is_none_is_refused_and_left(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    if kind == "file":
        path.write_text("mine")
    elif kind == "folder":
        path.mkdir()
    else:
        path = tmp_path / ("b" * 120 if kind == "long" else "no/a")
    line = expect_refusal(1, "-q", tmp_path / "spool", "--listen", f"unix:{path}")
    assert f"cannot listen on unix:{path}: " in line
    assert kind != "file" or path.read_text() == "mine"


def test_a_server_listens_beyond_this_machine_only_if_it_is_told(tmp_path: Path) -> None:
    with free_port() as port:
        options = ("-q", tmp_path / "spool", "-p", port, "-h")
        assert "write users_file: or allow_from:" in expect_refusal(2, *options, "0.0.0.0")
        for told in (("--insecure",), ("--allow_from", "127.0.0.0/8")):
            with serving(tmp_path, "-p", port, "-h", "0.0.0.0", *told):
                assert asked(("127.0.0.1", port)) == b"VERSION 1.0.0\r\n"


def test_who_is_not_allowed_is_closed_and_the_log_tells(tmp_path: Path) -> None:
    with free_port() as port:
        path = tmp_path / "a.sock"
        options = ("--listen", f"127.0.0.1:{port},unix:{path}", "--allow_from", BOOK)
        with serving(tmp_path, *options) as server:
            assert asked(str(path)) == b"VERSION 1.0.0\r\n"
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
                assert sock.recv(100) == b""
            assert b"STAT rejected_connections 1\r\n" in asked(str(path), b"stats\r\n")
            server.terminate()
            assert server.stderr is not None
            log = server.stderr.read()
    assert "refused, as allow_from does not name its network" in log


@pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")
def test_sockets_that_are_handed_over_are_used_and_no_others(tmp_path: Path) -> None:
    code = [sys.executable, "-c", HANDING_OVER, "starling.socket:second"]
    server = [*COMMAND, "-q", str(tmp_path / "spool"), "-p", "1"]
    with subprocess.Popen(
        [*code, *server],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        ports = [int(each) for each in process.stdout.readline().split()]
        assert len(ports) == 2
        for port in ports:
            assert asked(("127.0.0.1", port)) == b"VERSION 1.0.0\r\n"
        process.terminate()
        assert process.wait(60) == 0
        process.communicate()


def test_what_is_handed_over_and_is_no_listening_socket_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    code = (
        "import os,sys\n"
        f"os.dup2(os.open({str(file)!r}, os.O_RDONLY), 3, inheritable=True)\n"
        "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1')\n"
        "os.execv(sys.argv[1], sys.argv[1:])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *COMMAND, "-q", str(tmp_path / "spool")],
        capture_output=True,
        check=False,
        env={**os.environ, **environment()},
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "descriptor 3, which is handed over, is no socket" in done.stderr
