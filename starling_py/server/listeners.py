"""All listening sockets of a server: those that it opens, and those that are handed over.

Invariant: none listens beyond this machine unless the settings keep somebody out or say that
nobody is meant to be.
"""

import socket
from collections.abc import Callable

from starling_py.connecting.address import MODE, TLS, UNIX
from starling_py.server.activation import handed_over
from starling_py.server.errors import StartError
from starling_py.server.listening import listen
from starling_py.server.unix_socket import UnixSocket
from starling_py.settings.server_settings import Settings


class Listeners:
    """The listening sockets."""

    def __init__(self, settings: Settings, on_skipped: Callable[[str], None]) -> None:
        """Open those of TCP, unless systemd hands some over; raise ``StartError``.

        ``on_skipped`` is told of each address that this machine does not have.
        """
        self._settings = settings
        self.plain: list[socket.socket] = []
        """Those on which clients speak at once."""
        self.tls: list[socket.socket] = []
        """Those on which clients shake hands first."""
        self._paths: list[UnixSocket] = []
        self._are_handed_over = False
        try:
            for sock, name in handed_over():
                self._are_handed_over = True
                self._add(sock, name == TLS)
            if not self._are_handed_over:
                for each in settings.addresses:
                    if each.kind != UNIX:
                        for sock in listen(each.host, each.port, on_skipped):
                            self._add(sock, each.kind == TLS)
        except StartError:
            self.close()
            raise

    @property
    def all(self) -> list[socket.socket]:
        """Every socket."""
        return [*self.plain, *self.tls]

    def open_paths(self) -> None:
        """Open those on paths, as the user that the server runs as; raise ``StartError``."""
        if self._are_handed_over:
            return
        try:
            for each in self._settings.addresses:
                if each.kind == UNIX:
                    self._paths.append(
                        UnixSocket(each.path, MODE if each.mode is None else each.mode)
                    )
                    self.plain.append(self._paths[-1].socket)
        except StartError:
            self.close()
            raise

    def close(self) -> None:
        """Close all sockets, and remove the names of those on paths."""
        for path in self._paths:
            path.remove()
        for sock in self.all:
            sock.close()

    def _add(self, sock: socket.socket, is_tls: bool) -> None:
        (self.tls if is_tls else self.plain).append(sock)
        if is_tls and self._settings.tls_cert is None:
            raise StartError("a socket for TLS is handed over, and tls_cert is missing")
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            reason = self._settings.open_to(sock.getsockname()[0], is_tls=is_tls)
            if reason is not None:
                raise StartError(f"cannot listen: {reason}")
