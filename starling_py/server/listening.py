"""Addresses, in the form in which they are printed, and the sockets that listen on them."""

import socket

from starling_py.server.errors import StartError

BACKLOG = 1024
"""Connections that the system may hold for one listening socket until they are accepted."""


def listen(host: str, port: int) -> list[socket.socket]:
    """Open a listening socket for each address of a host name.

    Raises ``StartError``, and then none is open.
    """
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in dict.fromkeys(found):
            sock = socket.socket(family, kind, protocol)
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setblocking(False)
            sock.bind(address)
            sock.listen(BACKLOG)
    except (OSError, UnicodeError) as error:  # a host name may be no name at all
        for sock in sockets:
            sock.close()
        reason = error.strerror if isinstance(error, OSError) else error
        raise StartError(f"cannot listen on {host}:{port}: {reason}") from error
    return sockets


def address_of(sock: socket.socket) -> str:
    """Return a socket's own address as ``host:port``."""
    return printed(sock.getsockname())


def printed(address: tuple[str, int] | str) -> str:
    """Return an address, as the system gives it, in the form ``host:port`` or ``[host]:port``."""
    if isinstance(address, str):
        return address or "unix"
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
