"""The file of users is changed as a whole, and a password is never on a command line."""

import stat
from pathlib import Path

import pytest

from starling_py.ctl import users
from starling_py.security.users_file import read
from tests.ctl.conftest import Ctl


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "users"


def test_users_come_get_other_passwords_and_go(ctl: Ctl, file: Path) -> None:
    typed = b"geheim\nnot this\n"
    assert ctl("user", "add", "anna", "-f", file, given=typed).status == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read(file.read_text())["anna"].fits(b"geheim")
    file.chmod(0o640)
    assert ctl("user", "passwd", "anna", "--file", file, given=b"anders").status == 0
    assert read(file.read_text())["anna"].fits(b"anders")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert ctl("user", "rm", "anna", "--file", file).status == 0
    assert read(file.read_text()) == {}
    assert [each.name for each in file.parent.iterdir() if "users" in each.name] == ["users"]


def test_nothing_that_is_printed_has_a_password_or_a_hash(ctl: Ctl, file: Path) -> None:
    done = ctl("--json", "user", "add", "anna", "-f", file, given=b"geheim")
    assert '"anna"' in done.out
    for secret in ("geheim", "scrypt"):
        assert secret not in done.out + done.err


@pytest.mark.parametrize(
    ("words", "typed", "status", "text"),
    [
        (["add", "anna"], "x", 2, "there is a user anna already"),
        (["passwd", "bob"], "x", 3, "there is no user 'bob'"),
        (["rm", "bob"], "", 3, "there is no user 'bob'"),
        (["add", "a b"], "x", 2, "is no name of a user"),
        (["add", "bob"], "", 2, "must not be empty"),
        (["add", "bob"], "x" * 2000, 2, "has at most 1024 bytes"),
    ],
)
def test_what_cannot_be_done_changes_nothing(
    ctl: Ctl, file: Path, words: list[str], typed: str, status: int, text: str
) -> None:
    ctl("user", "add", "anna", "-f", file, given=b"geheim")
    before = file.read_bytes()
    done = ctl("user", *words, "-f", file, given=typed.encode())
    assert (done.status, text in done.err) == (status, True), done.err
    assert file.read_bytes() == before


def test_a_file_that_is_wrong_is_left_as_it_is(ctl: Ctl, file: Path) -> None:
    file.write_text("anna:geheim\n")
    done = ctl("user", "add", "bob", "-f", file, given=b"x")
    assert done.status == 1
    assert "line 1: what anna has is no hash" in done.err
    assert file.read_text() == "anna:geheim\n"


def test_behind_a_link_the_file_itself_is_replaced(ctl: Ctl, file: Path) -> None:
    link = file.with_name("link")
    file.touch()
    link.symlink_to(file)
    assert ctl("user", "add", "anna", "-f", link, given=b"geheim").status == 0
    assert link.is_symlink()
    assert "anna" in file.read_text()


def test_at_a_terminal_a_password_is_asked_for_twice(
    ctl: Ctl, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "is_asked", lambda: True)
    answers = iter(["geheim", "gehiem", "geheim", "geheim"])
    monkeypatch.setattr("getpass.getpass", lambda _: next(answers))
    assert "are not the same" in ctl("user", "add", "anna", "-f", file).err
    assert ctl("user", "add", "anna", "-f", file).status == 0
    assert read(file.read_text())["anna"].fits(b"geheim")
