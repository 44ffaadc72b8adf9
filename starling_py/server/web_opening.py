"""Opens what HTTP is told on, before the spool is opened and the user is changed.

What is wrong with it, a port in use or a file of tokens that cannot be read, keeps the server from
starting, in one line.
"""

import socket
import ssl
from collections.abc import Callable
from typing import Protocol

import attrs

from starling_py.connecting.address import MODE, TLS, UNIX
from starling_py.guard import Guard
from starling_py.http import assets, tokens
from starling_py.http.gate import Gate
from starling_py.http.site import Site
from starling_py.http.standby_site import StandbySite
from starling_py.server import culprits
from starling_py.server.errors import StartError
from starling_py.server.inner import Inner
from starling_py.server.listening import listen
from starling_py.server.tls import Certificates
from starling_py.server.unix_socket import UnixSocket
from starling_py.settings.errors import ConfigError
from starling_py.settings.http_settings import HttpSettings

_MOST_TOKENS = 1 << 16


class Web(Protocol):
    """What serves HTTP."""

    async def run(self) -> None:
        """Serve until it is cancelled."""


Serve = Callable[
    [
        list[socket.socket],
        Site | StandbySite,
        Inner | None,
        Guard,
        Callable[[], float],
        Certificates | None,
    ],
    Web,
]


@attrs.frozen
class Opened:
    """What is open, and what is told there."""

    settings: HttpSettings
    listeners: list[socket.socket]
    gate: Gate
    serve: Serve
    """Makes what serves it."""
    certificates: Certificates | None = None
    """What clients are shown; ``None`` where they speak no TLS."""
    _paths: list[UnixSocket] = attrs.field(factory=list)

    @property
    def secured(self) -> ssl.SSLContext | None:
        """What a handshake begins with; ``None`` where no TLS is spoken."""
        return None if self.certificates is None else self.certificates.context

    def open_path(self) -> None:
        """Open the socket on a path, as the user that the server runs as; raise ``StartError``."""
        where = self.settings.listen
        if where.kind == UNIX:
            self._paths.append(UnixSocket(where.path, MODE if where.mode is None else where.mode))
            self.listeners.append(self._paths[0].socket)

    def close(self) -> None:
        """Close the sockets, and remove the name of one on a path."""
        for path in self._paths:
            path.remove()
        for sock in self.listeners:
            sock.close()


def open_web(settings: HttpSettings | None) -> Opened | None:
    """Open it if it is wanted. Raises ``StartError``, and then nothing is open."""
    if settings is None:
        return None
    try:
        import starling_py.server.web as serving  # it needs h11, which may not be there
    except ImportError as problem:
        needs = "needs the package h11, as in pip install 'starling-py[http]'"
        raise StartError(f"http: {needs}") from problem
    if settings.dashboard:
        assets.load()  # whoever stands by for days may then not find them any more
    known = _tokens(settings)
    certificates = _certificates(settings)
    hosts = {settings.listen.host, socket.gethostname(), *(settings.hosts or "").split(",")}
    gate = Gate(known, frozenset(each.lower() for each in hosts))
    where = settings.listen
    try:
        listeners = [] if where.kind == UNIX else listen(where.host, where.port)
    except StartError as problem:
        raise StartError(f"http: {problem}{culprits.of_port(where.port)}") from problem
    return Opened(settings, listeners, gate, serving.Web, certificates)


def _certificates(settings: HttpSettings) -> Certificates | None:
    if settings.listen.kind != TLS:
        return None
    try:
        return Certificates(settings, "http.")
    except ConfigError as problem:
        raise StartError("; ".join(problem.problems)) from problem


def _tokens(settings: HttpSettings) -> dict[bytes, str]:
    path = settings.token_file
    if path is None:
        return {}
    try:
        with path.open(encoding="utf-8") as file:
            return tokens.read(file.read(_MOST_TOKENS))
    except (OSError, ValueError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else problem
        raise StartError(f"http.token_file: {path}: {reason}") from problem
