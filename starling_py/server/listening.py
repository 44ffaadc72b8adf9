"""Addresses, in the form in which they are printed, and the sockets that listen on them."""

import errno
import socket
from collections.abc import Callable
from typing import Any, Final

from starling_py.protocol.proxy_header import host_and_port
from starling_py.server.errors import StartError
from starling_py.session import permission

BACKLOG = 1024
"""Connections that the system may hold for one listening socket until they are accepted."""

_NOT_HERE: Final = frozenset(
    {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.ENETUNREACH}
)
"""Errors that say that this machine does not have an address, or none of its family."""
_TRIES: Final = 20
"""How many ports that the system chooses are tried with all addresses."""

Address = tuple[str, int] | str
"""An address, as the system gives it."""


def listen(
    host: str, port: int, on_skipped: Callable[[str], None] = lambda _: None
) -> list[socket.socket]:
    """Open a listening socket for each address of a host name that this machine has.

    All have the same port, also if ``port`` is 0 and the system chooses it. ``on_skipped`` is
    told, in one line, of each address that the machine does not have. Raises ``StartError``, and
    then none is open.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:  # a host name may be no name at all
        raise _refusal(f"{host}:{port}", error) from error
    addresses = [(family, address) for family, _, _, _, address in dict.fromkeys(found)]
    for _ in range(_TRIES if not port else 1):
        sockets = _Sockets(port)
        try:
            for family, address in addresses:
                sockets.add(family, address)
        except _PortTakenError:
            sockets.close()
            continue
        except StartError:
            sockets.close()
            raise
        if not sockets.open:
            raise sockets.skipped[0]
        for problem in sockets.skipped:
            on_skipped(str(problem))
        return sockets.open
    raise StartError(f"cannot listen on {host}: no port is free for all of its addresses")


class _PortTakenError(Exception):
    """The port that the system chose for one address is in use on another."""


class _Sockets:
    """The listening sockets of one port."""

    def __init__(self, port: int) -> None:
        """``port`` is 0 until the system has chosen one."""
        self.open: list[socket.socket] = []
        self.skipped: list[StartError] = []
        self._is_chosen = not port

    def add(self, family: int, address: tuple[Any, ...]) -> None:
        """Listen on one more address, unless the machine does not have it."""
        if self._is_chosen and self.open:
            address = (address[0], self.open[0].getsockname()[1], *address[2:])
        try:
            self.open.append(_listening(family, address))
        except OSError as error:
            refusal = _refusal(printed(address[:2]), error)
            if error.errno in _NOT_HERE:
                self.skipped.append(refusal)
            elif error.errno == errno.EADDRINUSE and self._is_chosen and self.open:
                raise _PortTakenError from error
            else:
                raise refusal from error

    def close(self) -> None:
        """Close them all."""
        for sock in self.open:
            sock.close()


def _listening(family: int, address: tuple[Any, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setblocking(False)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _refusal(where: str, error: OSError | UnicodeError) -> StartError:
    reason = error.strerror if isinstance(error, OSError) else error
    return StartError(f"cannot listen on {where}: {reason}")


def address_of(sock: socket.socket) -> str:
    """Return a socket's own address as ``host:port``."""
    return printed(sock.getsockname())


def is_of_this_machine(address: Address) -> bool:
    """Tell whether a client's address is one of loopback, or no network's at all."""
    return permission.is_of_this_machine(printed(address))


def printed(address: Address) -> str:
    """Return an address in the form ``host:port`` or ``[host]:port``."""
    if isinstance(address, str):
        return address or "unix"
    return host_and_port(*address[:2])
