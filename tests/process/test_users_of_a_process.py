"""A server with users as a process: started, changed while it serves, and asked by real clients."""

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

from starling_py.security.passwords import Hash
from tests.process.server_process import PATIENCE, ServerProcess, expect_refusal, run, wait_until

KEPT = Hash.of(b"geheim")
OTHER = Hash.of(b"anders")
CONFIG = """\
starling:
  users_file: {users}
users:
  anna: {{put: jobs, get: jobs}}
  bob: {{get: {bob}}}
"""


def token(name: str, password: str) -> bytes:
    data = f"{name} {password}".encode()
    return b"set x 0 0 %d\r\n%b\r\n" % (len(data), data)


@contextlib.contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
        yield sock


def ask(sock: socket.socket, data: bytes) -> bytes:
    sock.sendall(data)
    return sock.recv(4096)


def configure(folder: Path, anna: Hash | None, bob: str = "jobs") -> Path:
    users, config = folder / "users", folder / "starling.yml"
    lines = [f"anna:{anna}\n"] if anna is not None else []
    users.write_text("".join([*lines, f"bob:{KEPT}\n"]))
    users.chmod(0o600)
    config.write_text(CONFIG.format(users=users, bob=bob))
    return config


def test_users_are_read_again_and_who_has_changed_is_closed(tmp_path: Path) -> None:
    config = configure(tmp_path, KEPT)
    with (
        ServerProcess(tmp_path / "spool", "-f", config) as server,
        connected(server.port) as anna,
        connected(server.port) as bob,
    ):
        assert ask(anna, token("anna", "geheim")) == b"STORED\r\n"
        assert ask(bob, token("bob", "geheim")) == b"STORED\r\n"
        assert ask(bob, b"get other\r\n") == b"CLIENT_ERROR not permitted: get other\r\n"
        configure(tmp_path, OTHER, bob="other")
        os.kill(server.pid, signal.SIGHUP)
        assert anna.recv(100) == b""
        assert ask(bob, b"get other\r\n") == b"END\r\n"
        assert ask(bob, b"get jobs\r\n") == b"CLIENT_ERROR not permitted: get jobs\r\n"
        with connected(server.port) as again:
            assert b"failure" in ask(again, token("anna", "geheim"))
            assert ask(again, token("anna", "anders")) == b"STORED\r\n"
        (tmp_path / "users").write_text("nonsense")
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: any("not reloaded: users_file" in line for line in server.log))
        assert ask(bob, b"get other\r\n") == b"END\r\n"
        assert server.stop() == 0
    log = "".join(server.log)
    assert "is anna" in log
    assert not any(secret in log for secret in ("geheim", "anders", "$scrypt$"))


def test_the_audit_log_goes_to_a_file_of_its_own(tmp_path: Path) -> None:
    config, audit = configure(tmp_path, KEPT), tmp_path / "audit.log"
    text = config.read_text().replace("starling:\n", f"starling:\n  audit_log: {audit}\n")
    config.write_text(text)
    with (
        ServerProcess(tmp_path / "spool", "-f", config, "-v") as server,
        connected(server.port) as bob,
    ):
        assert ask(bob, token("bob", "geheim")) == b"STORED\r\n"
        assert ask(bob, b"flush jobs\r\n") == b"CLIENT_ERROR not permitted: admin jobs\r\n"
        wait_until(lambda: "not permitted" in audit.read_text())
        audit.rename(tmp_path / "old")
        os.kill(server.pid, signal.SIGUSR1)
        wait_until(audit.exists)
        assert server.stop() == 0
    written = (tmp_path / "old").read_text()
    assert "is bob" in written
    assert "[bob]: not permitted: admin jobs" in written
    assert "not permitted" not in "".join(server.log)


def test_a_wrong_file_of_users_keeps_a_server_from_starting(tmp_path: Path) -> None:
    config = configure(tmp_path, KEPT)
    assert run("-f", config, "--check-config").returncode == 0
    (tmp_path / "users").write_text("anna:geheim\n")
    for code, options in ((2, ("--check-config",)), (1, ("-q", tmp_path / "spool", "-p", 0))):
        line = expect_refusal(code, "-f", config, *options)
        assert "line 1: what anna has is no hash of a password" in line
        assert "geheim" not in line


def test_nothing_that_is_sent_before_is_left_as_an_item(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "spool") as server, connected(server.port) as client:
        refusal = b"CLIENT_ERROR authentication failure\r\n"
        assert ask(client, b"set auth 0 0 11\r\nanna geheim\r\n") == refusal
        assert ask(client, b"get auth\r\n") == b"END\r\n"
        assert ask(client, b"set _ _ _ 11\r\nanna geheim\r\n").startswith(b"CLIENT_ERROR bad")
        assert ask(client, b"get _\r\n") == b"END\r\n"
