"""The program at a server with users and TLS: what the environment says is told, and not shown."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from starling_py.ctl import login
from starling_py.ctl.cli import main
from starling_py.ctl.errors import UsageError
from starling_py.security.passwords import Hash
from tests.ctl.conftest import Ctl
from tests.process.server_process import ServerProcess, free_port
from tests.server import certificates

CONFIG = """\
starling:
  users_file: {folder}/users
  listen: ["127.0.0.1:{port}", "tls:127.0.0.1:{tls}"]
  tls_cert: {folder}/cert.pem
  tls_key: {folder}/key.pem
users:
  boss: {{put: "#", get: "#", admin: true}}
  anna: {{get: jobs}}
"""


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in (login.USER, login.PASSWORD, login.PASSWORD_FILE, login.AUTHORITY):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_without_a_user_nothing_is_said(environment: pytest.MonkeyPatch) -> None:
    environment.setenv(login.PASSWORD, "geheim")
    assert login.command() is None


def test_the_password_is_of_a_file_or_of_the_environment(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv(login.USER, "anna")
    environment.setenv(login.PASSWORD, "geheim")
    assert login.command() == b"set _ _ _ 11\r\nanna geheim\r\n"
    file = tmp_path / "password"
    file.write_text("anders\r\nmore\n")
    environment.setenv(login.PASSWORD_FILE, str(file))
    assert login.command() == b"set _ _ _ 11\r\nanna anders\r\n"
    file.unlink()
    with pytest.raises(UsageError, match="No such file"):
        login.command()


def test_a_server_without_users_keeps_nothing_of_it(
    environment: pytest.MonkeyPatch, ctl: Ctl
) -> None:
    environment.setenv(login.USER, "anna")
    environment.setenv(login.PASSWORD, "geheim")
    done = ctl("ls", "--json")
    assert (done.status, done.objects()) == (0, [])


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """Return the ports of a server with users, and with TLS at the second."""
    certificates.write(tmp_path)
    certificates.write_authority(tmp_path)
    kept = Hash.of(b"geheim")
    (tmp_path / "users").write_text(f"boss:{kept}\nanna:{kept}\n")
    (tmp_path / "users").chmod(0o600)
    with free_port() as port, free_port() as tls:
        config = tmp_path / "starling.yml"
        config.write_text(CONFIG.format(folder=tmp_path, port=port, tls=tls))
        with ServerProcess(tmp_path / "spool", "-f", config, port=port):
            yield port, tls


def test_it_says_who_it_is_over_tls_and_without(
    environment: pytest.MonkeyPatch, guarded: tuple[int, int], tmp_path: Path
) -> None:
    plain, tls = f"127.0.0.1:{guarded[0]}", f"tls:127.0.0.1:{guarded[1]}"
    assert main(["-s", plain, "ls"]) == 4
    environment.setenv(login.USER, "boss")
    environment.setenv(login.PASSWORD, "wrong")
    assert main(["-s", plain, "ls"]) == 4
    environment.setenv(login.PASSWORD, "geheim")
    assert main(["-s", plain, "ls"]) == 0
    assert main(["-s", tls, "ls"]) == 4
    environment.setenv(login.AUTHORITY, str(tmp_path / "ca.pem"))
    assert main(["-s", tls, "ls"]) == 0
