"""A server with users and TLS, for the commands of operators."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import attrs

from starling_py.security.passwords import Hash
from tests.process.server_process import ServerProcess, free_port
from tests.server import certificates

CONFIG = """\
starling:
  users_file: {folder}/users
  listen: ["127.0.0.1:{port}", "tls:127.0.0.1:{tls}"]
  tls_cert: {folder}/cert.pem
  tls_key: {folder}/key.pem
users:
  boss: {{put: "#", get: "#", admin: true}}
  anna: {{get: jobs}}
"""


@attrs.frozen
class Guarded:
    """Where it is. The password of each user is ``geheim``."""

    port: int
    tls: int
    """The port where TLS is spoken."""
    authority: Path
    """The certificate that its own is from."""


@contextlib.contextmanager
def guarded_server(folder: Path) -> Iterator[Guarded]:
    """Run it in a folder, for as long as the ``with`` block takes."""
    certificates.write(folder)
    certificates.write_authority(folder)
    kept = Hash.of(b"geheim")
    users = folder / "users"
    users.write_text(f"boss:{kept}\nanna:{kept}\n")
    users.chmod(0o600)
    with free_port() as port, free_port() as tls:
        config = folder / "starling.yml"
        config.write_text(CONFIG.format(folder=folder, port=port, tls=tls))
        with ServerProcess(folder / "spool", "-f", config, port=port):
            yield Guarded(port, tls, folder / "ca.pem")
