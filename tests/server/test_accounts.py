"""The users of a server, read from their file."""

from pathlib import Path

import pytest

from starling_py.server.accounts import Accounts
from starling_py.settings.errors import ConfigError
from starling_py.settings.server_settings import Settings
from tests.server.test_gate import hashed


def read(path: Path, users: dict[str, dict[str, object]] | None = None) -> Accounts:
    accounts = Accounts.of(Settings(users_file=path, users=users or {}))
    assert accounts is not None
    return accounts


def test_without_users_there_are_no_accounts() -> None:
    assert Accounts.of(Settings()) is None


def test_who_is_in_the_file_has_the_rights_of_the_settings(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "users"
    path.write_text(f"anna:{hashed('x')}\n")
    path.chmod(0o600)
    accounts = read(path, {"anna": {"put": ["a"]}, "carl": {"get": ["a"]}})
    anna = accounts.find("anna")
    assert anna is not None
    assert anna.rights.may_put(b"a")
    assert accounts.find("carl") is None
    assert caplog.messages == ["user carl has no password, and cannot come in with one"]
    assert "hash" not in repr(accounts).lower()


def test_a_file_that_everybody_may_read_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "users"
    path.touch(0o644)
    read(path)
    assert f"everybody on this machine may read or write {path}" in caplog.text


@pytest.mark.parametrize("kind", ["missing", "folder", "no text", "wrong", "large"])
def test_a_file_that_is_none_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "users"
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        data = {"no text": b"\xff", "wrong": b"anna:geheim", "large": b"\n" * (5 << 20)}[kind]
        path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        read(path)
    (problem,) = caught.value.problems
    assert problem.startswith(f"users_file: {path}: ")
    assert "geheim" not in problem
