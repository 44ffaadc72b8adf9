"""Real clients that say who they are, with TLS and without, at a server with users."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from starling_py.security.passwords import Hash
from tests.clients.rows import DRIVERS, ROOT, is_in_effect
from tests.clients.secured import secured

USERS = "users:\n  anna: {put: jobs, get: jobs}\n"
CLIENTS = {
    "pymemcache": "checkout",
    "bmemcached": "always",
    "emcache": "always",
    "memcachio": "always",
    "dalli": "full",
}
"""Each client, and the tier that has it."""


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int, str]]:
    """Return the port without TLS, that with it, and the authority of its certificate."""
    folder = tmp_path_factory.mktemp("secured")
    users = folder / "users"
    users.write_text(f"anna:{Hash.of(b'geheim')}\n")
    users.chmod(0o600)
    with secured(folder, f"users_file: {users}", USERS) as (server, tls, authority):
        yield server.port, tls, str(authority)


@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("client", [each for each in CLIENTS if is_in_effect(CLIENTS[each])])
def test_the_client_is_let_in_and_no_further_than_it_may(
    ports: tuple[int, int, str], client: str, with_tls: bool
) -> None:
    plain, tls, authority = ports
    told = said(client, *((tls, authority) if with_tls else (plain,)))
    assert told.startswith("refused: "), told
    # Dalli has words of its own for the status.
    assert ("error 32" if client == "dalli" else "not permitted: get other") in told


@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("client", [each for each in CLIENTS if is_in_effect(CLIENTS[each])])
def test_the_client_is_told_when_only_one_of_both_speaks_tls(
    ports: tuple[int, int, str], client: str, with_tls: bool
) -> None:
    plain, tls, authority = ports
    told = said(client, *((plain, authority) if with_tls else (tls,)))
    assert told.startswith("refused: "), told


def said(client: str, *where: object) -> str:
    """Run a client, and return what it said of it."""
    interpreter = ROOT / ".venv-clients/bin/python"
    if not interpreter.exists():
        interpreter = Path(sys.executable)
    command = [str(interpreter), str(DRIVERS / "python/secured.py"), client]
    if client == "dalli":
        command = ["ruby", str(DRIVERS / "ruby/secured.rb")]
    done = subprocess.run(
        [*command, *map(str, where)],
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    if done.stdout.startswith("missing"):
        pytest.skip(f"{client} is not installed: {done.stdout}")
    return done.stdout or done.stderr
