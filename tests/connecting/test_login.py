"""Who a command says that it is: from the address, the environment or the terminal."""

import os
import pty
from pathlib import Path

import pytest

from starling_py.connecting import login
from starling_py.connecting.address import Address
from starling_py.connecting.errors import LoginError
from starling_py.connecting.login import Login

NOBODY = Address()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in (login.USER, login.PASSWORD, login.PASSWORD_FILE):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_without_a_user_nothing_is_said(environment: pytest.MonkeyPatch) -> None:
    environment.setenv(login.PASSWORD, "geheim")
    assert Login.of(NOBODY, login.nobody) is None


def test_the_password_is_of_a_file_or_of_the_environment(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv(login.USER, "anna")
    environment.setenv(login.PASSWORD, "geheim")
    assert Login.of(NOBODY) == Login(b"anna", b"geheim")
    file = tmp_path / "password"
    file.write_text("anders\r\nmore\n")
    environment.setenv(login.PASSWORD_FILE, str(file))
    assert Login.of(NOBODY) == Login(b"anna", b"anders")
    file.unlink()
    with pytest.raises(LoginError, match="No such file"):
        Login.of(NOBODY)


def test_what_the_address_says_comes_first(environment: pytest.MonkeyPatch) -> None:
    environment.setenv(login.USER, "bob")
    environment.setenv(login.PASSWORD, "geheim")
    assert Login.of(Address.parse("anna@host")) == Login(b"anna", b"geheim")
    assert Login.of(Address.parse("anna:a%40b@host")) == Login(b"anna", b"a@b")
    assert Login.of(Address.parse("anna:@host")) == Login(b"anna", b"")


def test_without_a_password_it_is_asked_for(environment: pytest.MonkeyPatch) -> None:
    prompts = []

    def ask(prompt: str) -> str:
        prompts.append(prompt)
        return "geheim"

    assert Login.of(Address.parse("tls:an\x1bna@host"), ask) == Login(b"an\x1bna", b"geheim")
    assert prompts == ["Password of an\\x1bna at tls:host:22122: "]
    with pytest.raises(LoginError, match="STARLING_PASSWORD_FILE"):
        Login.of(Address.parse("anna@host"), login.nobody)


def test_a_password_is_said_in_the_servers_form_and_shown_in_none() -> None:
    user = Login(b"anna", b"geheim")
    assert user.command == b"set _ _ _ 11\r\nanna geheim\r\n"
    assert "geheim" not in f"{user} {user!r}"


@pytest.mark.parametrize(
    ("told", "done"),
    [
        (b"STORED", True),
        (b"CLIENT_ERROR bad command line format", True),
        (b"CLIENT_ERROR authentication failure", False),
        (b"ERROR", False),
    ],
)
def test_a_server_without_users_lets_who_says_so_go_on(told: bytes, done: bool) -> None:
    assert login.is_done(told) == done


def test_who_has_to_say_who_asks_is_told_how() -> None:
    assert login.advice("CLIENT_ERROR unauthenticated").endswith(
        "; write USER@ in front of the host, or set STARLING_USER"
    )
    assert login.advice("ERROR this port speaks TLS") == "ERROR this port speaks TLS"


def test_the_terminal_shows_nothing_of_a_password() -> None:
    child, terminal = pty.fork()
    if not child:
        os._exit(0 if login.ask_terminal("Password: ") == "geheim" else 1)
    try:
        shown = b""
        while not shown.endswith(b"Password: "):
            shown += os.read(terminal, 100)
        os.write(terminal, b"geheim\n")
        assert os.waitpid(child, 0)[1] == 0
        assert b"geheim" not in shown + os.read(terminal, 100)
    finally:
        os.close(terminal)


def test_without_a_terminal_it_is_said_where_a_password_may_be() -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.setsid()
        try:
            login.ask_terminal("Password: ")
        except LoginError as error:
            os.write(writing, str(error).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        assert told.read() == (
            "there is no password, and no terminal to ask for it; set STARLING_PASSWORD_FILE or"
            " STARLING_PASSWORD"
        )
    os.waitpid(child, 0)
