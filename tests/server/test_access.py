"""Who may use a server is read again as a whole, or not at all."""

from pathlib import Path

import pytest

from starling_py.server.access import Access
from starling_py.settings.errors import ConfigError
from starling_py.settings.server_settings import Settings
from tests.server.test_gate import hashed


def test_users_are_read_again_or_stay_as_they_were(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text(f"anna:{hashed('one')}\n")
    settings = Settings(queue_path=tmp_path, users_file=file)
    access = Access.read(settings)
    file.write_text(f"bob:{hashed('one')}\n")
    again = access.read_again(settings, None)
    assert again.accounts is not None
    assert again.accounts.find("anna") is None
    assert again.accounts.find("bob") is not None
    file.write_text("nonsense")
    with pytest.raises(ConfigError):
        again.read_again(settings, None)


def test_a_server_without_users_has_none_after_a_reload(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text(f"anna:{hashed('one')}\n")
    access = Access.read(Settings(queue_path=tmp_path))
    assert access.read_again(Settings(queue_path=tmp_path, users_file=file), None) == access


def test_a_server_with_users_lets_nobody_in_when_none_are_left(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text(f"anna:{hashed('one')}\n")
    access = Access.read(Settings(queue_path=tmp_path, users_file=file))
    again = access.read_again(Settings(queue_path=tmp_path), None)
    assert again.accounts is not None
    assert again.accounts.find("anna") is None
