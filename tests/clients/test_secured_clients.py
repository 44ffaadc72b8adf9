"""Real clients that say who they are, with TLS and without, at a server with users."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from starling_py.security.passwords import Hash
from tests.clients.rows import DRIVERS, ROOT, is_in_effect
from tests.process.server_process import ServerProcess, free_port
from tests.server import certificates

CONFIG = """\
starling:
  users_file: {folder}/users
  listen: ["127.0.0.1:{port}", "tls:127.0.0.1:{tls}"]
  tls_cert: {folder}/cert.pem
  tls_key: {folder}/key.pem
users:
  anna: {{put: jobs, get: jobs}}
"""
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
    certificates.write(folder)
    certificates.write_authority(folder)
    users, config = folder / "users", folder / "starling.yml"
    users.write_text(f"anna:{Hash.of(b'geheim')}\n")
    users.chmod(0o600)
    with free_port() as port, free_port() as tls:
        config.write_text(CONFIG.format(folder=folder, port=port, tls=tls))
        with ServerProcess(folder / "spool", "-f", config, port=port):
            yield port, tls, str(folder / "ca.pem")


@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("client", [each for each in CLIENTS if is_in_effect(CLIENTS[each])])
def test_the_client_is_let_in_and_no_further_than_it_may(
    ports: tuple[int, int, str], client: str, with_tls: bool
) -> None:
    plain, tls, authority = ports
    interpreter = ROOT / ".venv-clients/bin/python"
    if not interpreter.exists():
        interpreter = Path(sys.executable)
    where = (tls, authority) if with_tls else (plain,)
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
    assert done.stdout.startswith("refused: "), done.stdout + done.stderr
    # Dalli has words of its own for the status.
    assert ("error 32" if client == "dalli" else "not permitted: get other") in done.stdout
