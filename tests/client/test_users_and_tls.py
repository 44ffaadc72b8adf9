"""The Python client at a server with users and TLS: who asks is said by address or environment."""

import os
from pathlib import Path

import pytest
import trio

from starling_py.client import AsyncStarling, Starling, StarlingError
from starling_py.connecting import dialing, login
from tests.process.guarded import Guarded
from tests.process.server_process import ServerProcess, settings_file


def test_every_connection_of_a_client_says_who_it_is(
    environment: pytest.MonkeyPatch, guarded: Guarded
) -> None:
    environment.setenv(dialing.AUTHORITY, str(guarded.authority))
    environment.setenv(login.PASSWORD, "geheim")
    plain, tls = f"boss@127.0.0.1:{guarded.port}", f"tls:boss@127.0.0.1:{guarded.tls}"
    with Starling(plain, name="one") as one, Starling(tls) as other:
        for number in range(3):
            one.set("jobs", number)
            assert other.get("jobs", timeout=5) == number
            one.close()
            other.close()

    async def ask() -> None:
        client = AsyncStarling(tls)
        await client.set("jobs", "from trio")
        assert await client.get("jobs", timeout=5) == "from trio"
        await client.aclose()

    trio.run(ask)


def test_who_may_not_hears_what_the_server_says(
    environment: pytest.MonkeyPatch, guarded: Guarded
) -> None:
    where = f"127.0.0.1:{guarded.port}"
    with Starling(where) as nobody, pytest.raises(StarlingError, match="unauthenticated"):
        nobody.fetch("jobs")
    with (
        Starling(f"boss:falsch@{where}") as wrong,
        pytest.raises(StarlingError, match=f"boss@{where}: CLIENT_ERROR auth") as told,
    ):
        wrong.fetch("jobs")
    assert "falsch" not in str(told.value)
    environment.setenv(login.USER, "boss")
    with pytest.raises(ValueError, match="there is no password"):
        Starling(where)


def test_a_certificate_that_is_not_trusted_is_told(
    environment: pytest.MonkeyPatch, guarded: Guarded
) -> None:
    where = f"tls:127.0.0.1:{guarded.tls}"
    with Starling(where) as client, pytest.raises(StarlingError, match="certificate verify failed"):
        client.fetch("jobs")
    environment.setenv(dialing.AUTHORITY, os.devnull)
    with Starling(where) as client, pytest.raises(StarlingError, match="STARLING_CA"):
        client.fetch("jobs")


def test_a_client_finds_a_server_on_a_path_of_this_machine(tmp_path: Path, port: int) -> None:
    path = tmp_path / "starling.sock"
    file = settings_file(tmp_path, listen=f'["127.0.0.1:{port}", "unix:{path}"]')
    with (
        ServerProcess(tmp_path / "spool", "-f", file, port=port),
        Starling(f"unix:{path}") as client,
    ):
        client.set("jobs", "item")
        assert client.get("jobs", timeout=5) == "item"


@pytest.mark.parametrize("address", ["host:port", "127.0.0.1:0", "unix:", "a b"])
def test_what_is_no_address_is_refused_by_the_client(address: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        Starling(address)
