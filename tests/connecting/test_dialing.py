"""Connecting to a server as commands of operators do."""

import socket
from pathlib import Path

import pytest

from starling_py.connecting.address import TLS, UNIX, Address
from starling_py.connecting.dialing import AUTHORITY, CERTIFICATE, dial, reason
from starling_py.connecting.errors import LoginError


def test_a_unix_socket_is_connected_to(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        with dial(Address(UNIX, path=path), 5) as connection:
            assert connection.getpeername() == path


def test_a_unix_socket_that_is_not_there_leaves_nothing_open(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        dial(Address(UNIX, path=str(tmp_path / "none")), 5)


@pytest.mark.parametrize("name", [AUTHORITY, CERTIFICATE])
def test_a_certificate_that_cannot_be_had_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = Address(TLS, "127.0.0.1", listener.getsockname()[1])
        monkeypatch.delenv(AUTHORITY, raising=False)
        monkeypatch.setenv(name, str(tmp_path / "none.pem"))
        with pytest.raises(LoginError) as caught:
            dial(address, 5)
        assert str(caught.value) == f"{name}: {tmp_path}/none.pem: No such file or directory"
        (tmp_path / "none.pem").write_text("no certificate")
        with pytest.raises(LoginError, match="has no certificate, or not the key to it"):
            dial(address, 5)


def test_why_there_is_no_connection_is_told_in_a_few_words() -> None:
    assert reason(TimeoutError()) == "timed out"
    assert reason(UnicodeError()) == "not a host name"
    assert reason(ConnectionRefusedError(111, "Connection refused")) == "Connection refused"
