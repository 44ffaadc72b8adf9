"""starling-top at a server with users and TLS: who asks is said by address or environment."""

import json
from contextlib import closing

import pytest

from starling_py.connecting import dialing, login
from starling_py.connecting.address import SERVER_VARIABLE, Address
from starling_py.connecting.login import Login
from starling_py.top.cli import main
from starling_py.top.client import StatsClient, StatsError
from tests.process.guarded import Guarded


def test_it_speaks_tls_and_says_who_asks(
    environment: pytest.MonkeyPatch, guarded: Guarded, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.setenv(login.PASSWORD, "geheim")
    tls = f"tls:boss@127.0.0.1:{guarded.tls}"
    assert main([tls, "--json"]) == 1
    assert "its certificate is not trusted" in capsys.readouterr().err
    environment.setenv(dialing.AUTHORITY, str(guarded.authority))
    for words in ([tls], ["--server", tls], ["-h", tls], []):
        environment.setenv(SERVER_VARIABLE, tls)
        assert main([*words, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["curr_connections"] >= 1
        assert main([*words, "--once"]) == 0
        assert "geheim" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("user", "password", "problem"),
    [
        ("", "", login.advice("CLIENT_ERROR unauthenticated")),
        ("boss", "wrong", "CLIENT_ERROR authentication failure"),
    ],
)
def test_who_may_not_look_hears_what_the_server_says(
    environment: pytest.MonkeyPatch,
    guarded: Guarded,
    capsys: pytest.CaptureFixture[str],
    user: str,
    password: str,
    problem: str,
) -> None:
    environment.setenv(login.USER, user)
    environment.setenv(login.PASSWORD, password)
    where = f"127.0.0.1:{guarded.port}"
    assert main([where, "--json"]) == 1
    assert capsys.readouterr().err == f"starling-top: cannot reach {where}: {problem}\n"


def test_every_new_connection_says_it_again(
    environment: pytest.MonkeyPatch, guarded: Guarded
) -> None:
    environment.setenv(dialing.AUTHORITY, str(guarded.authority))
    address = Address.parse(f"tls:127.0.0.1:{guarded.tls}")
    with closing(StatsClient(address, user=Login(b"boss", b"geheim"))) as client:
        assert client.stats()
        client.close()
        assert client.act(b"status") == "UP"
    with closing(StatsClient(address, user=Login(b"boss", b"no"))) as client:
        for _ in range(2):
            with pytest.raises(StatsError, match="authentication failure"):
                client.stats()
