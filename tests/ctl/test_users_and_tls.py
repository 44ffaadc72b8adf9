"""The program at a server with users and TLS: who asks is said by address or environment."""

import pytest

from starling_py.connecting import dialing, login
from starling_py.ctl.cli import main
from tests.ctl.conftest import Ctl
from tests.process.guarded import Guarded


def test_a_server_without_users_keeps_nothing_of_it(
    environment: pytest.MonkeyPatch, ctl: Ctl
) -> None:
    environment.setenv(login.USER, "anna")
    environment.setenv(login.PASSWORD, "geheim")
    done = ctl("ls", "--json")
    assert (done.status, done.objects()) == (0, [])


def test_it_says_who_it_is_over_tls_and_without(
    environment: pytest.MonkeyPatch, guarded: Guarded, capfd: pytest.CaptureFixture[str]
) -> None:
    plain, tls = f"127.0.0.1:{guarded.port}", f"tls:127.0.0.1:{guarded.tls}"
    assert main(["-s", plain, "ls"]) == 4
    environment.setenv(login.USER, "boss")
    environment.setenv(login.PASSWORD, "wrong")
    assert main(["-s", plain, "ls"]) == 4
    environment.setenv(login.PASSWORD, "geheim")
    assert main(["-s", plain, "ls"]) == 0
    assert main(["-s", f"boss@{plain}", "ls"]) == 0
    assert main(["-s", tls, "ls"]) == 4
    environment.setenv(dialing.AUTHORITY, str(guarded.authority))
    assert main(["-s", tls, "ls"]) == 0
    environment.delenv(login.USER)
    environment.delenv(login.PASSWORD)
    assert main(["-s", f"tls://boss:geheim@127.0.0.1:{guarded.tls}", "ping"]) == 0
    assert main(["-s", f"tls://boss:falsch@127.0.0.1:{guarded.tls}", "ping"]) == 4
    told = "".join(capfd.readouterr())
    assert "geheim" not in told
    assert "falsch" not in told


def test_a_port_that_speaks_no_tls_is_told_as_that(
    environment: pytest.MonkeyPatch, guarded: Guarded, capfd: pytest.CaptureFixture[str]
) -> None:
    environment.setenv(dialing.AUTHORITY, str(guarded.authority))
    where = f"tls:127.0.0.1:{guarded.port}"
    assert main(["-s", where, "ls"]) == 4
    told = capfd.readouterr().err
    assert told.startswith(f"starling-ctl: cannot reach {where}: no TLS with it (")
    assert "_ssl.c" not in told
