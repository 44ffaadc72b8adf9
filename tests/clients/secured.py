"""A server that clients reach with TLS and without."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.process.server_process import ServerProcess, free_port
from tests.server import certificates

CONFIG = """\
starling:
  {more}
  listen: ["127.0.0.1:{port}", "tls:127.0.0.1:{tls}"]
  tls_cert: {folder}/cert.pem
  tls_key: {folder}/key.pem
"""


@contextlib.contextmanager
def secured(
    folder: Path, more: str = "", users: str = ""
) -> Iterator[tuple[ServerProcess, int, Path]]:
    """Start one; yield it, its port with TLS, and the authority of its certificate.

    ``more`` is one more setting, ``users`` the section of users.
    """
    certificates.write(folder)
    certificates.write_authority(folder)
    config = folder / "secured.yml"
    with free_port() as port, free_port() as tls:
        text = CONFIG.format(folder=folder, port=port, tls=tls, more=more) + users
        config.write_text(text)
        with ServerProcess(folder / "spool", "-f", config, port=port) as server:
            yield server, tls, folder / "ca.pem"
