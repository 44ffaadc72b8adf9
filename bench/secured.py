"""This server with TLS or with users: how it is started then, and how a client connects.

Certificate and password are made for the run. Who only looks at the server says who it is, and
speaks no TLS: there is a port without.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.dialects import exchange
from bench.process import free_port
from starling_py.security.passwords import Hash

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    Address = tuple[str, int]

USER, PASSWORD = "bench", b"geheim"
TOKEN = b"%b %b" % (USER.encode(), PASSWORD)
LOG_IN = b"set _ _ _ %d\r\n%b\r\n" % (len(TOKEN), TOKEN)
SASL = b"\0%b\0%b" % (USER.encode(), PASSWORD)
LOG_IN_BINARY = (
    struct.pack(">BBHBBHIIQ", 0x80, 0x21, 5, 0, 0, 0, 5 + len(SASL), 0, 0) + b"PLAIN" + SASL
)
RECORD = 1 << 14
"""Bytes of the largest record: with less asked for, the rest of it would stay where no poll sees
it."""


def users_file(folder: Path) -> dict[str, object]:
    """Write a file with one user; return the setting that names it."""
    path = folder / "users"
    path.write_text(f"{USER}:{Hash.of(PASSWORD)}\n")
    path.chmod(0o600)
    return {"users_file": str(path)}


class PatientSocket(ssl.SSLSocket):
    """Waits where TLS has nothing whole yet, which on loopback is not for long."""

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Return what has come."""
        while True:
            try:
                return super().recv(max(buflen, RECORD), flags)
            except ssl.SSLWantReadError:
                _wait(self, select.POLLIN)

    def send(self, data: object, flags: int = 0) -> int:
        """Send all of it."""
        while True:
            try:
                return super().send(data, flags)  # type: ignore[arg-type]
            except ssl.SSLWantWriteError:
                _wait(self, select.POLLOUT)


def _wait(sock: socket.socket, event: int) -> None:
    poll = select.poll()
    poll.register(sock, event)
    poll.poll(1000)


@dataclass(frozen=True, slots=True)
class Secured:
    """What a run's server and its clients know of each other."""

    users: bool
    context: ssl.SSLContext | None
    """What clients know of the certificate; ``None`` without TLS."""
    port: int
    """Where TLS is spoken."""
    options: tuple[str, ...]
    """What the server is told."""

    @classmethod
    def make(cls, folder: Path, *, tls: bool, users: bool) -> Secured:
        """Write the files that are needed."""
        options, context = [], None
        if users:
            options += [f"--set={name}={value}" for name, value in users_file(folder).items()]
        if tls:
            import trustme  # only the tests' dependencies have it

            authority = trustme.CA()
            made = authority.issue_cert("127.0.0.1")
            path = folder / "cert.pem"
            path.write_bytes(made.private_key_and_cert_chain_pem.bytes())
            options += ["--set", f"tls_cert={path}"]
            context = ssl.create_default_context()
            authority.configure_trust(context)
            context.sslsocket_class = PatientSocket
        return cls(users, context, free_port(), tuple(options))

    def command(self, command: Sequence[str], address: Address) -> list[str]:
        """Return how a server is started that would be started at an address."""
        host, port = address
        at = command.index("--host")
        place = f"{host}:{port}"
        if self.context is not None:
            place += f",tls:{host}:{self.port}"
        return [*command[:at], "--listen", place, *command[at + 4 :], *self.options]

    def connect(self, address: Address, patience: float) -> socket.socket:
        """Return a connection on which everything else can be said."""
        if self.context is None:
            return self.look(address, patience)
        sock = socket.create_connection((address[0], self.port), timeout=patience)
        wrapped = self.context.wrap_socket(sock, server_hostname=address[0])
        return self._logged_in(wrapped)

    def look(self, address: Address, patience: float) -> socket.socket:
        """Return a connection without TLS, for those who look at the server."""
        return self._logged_in(socket.create_connection(address, timeout=patience))

    def _logged_in(self, sock: socket.socket) -> socket.socket:
        # Also what TLS has to say after its handshake is read with the reply.
        exchange(sock, LOG_IN if self.users else b"version\r\n", b"\r\n")
        return sock
