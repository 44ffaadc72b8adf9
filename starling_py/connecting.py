"""How commands of operators connect to a server: over TCP, or by a path of this machine."""

import socket


def connect(host: str, port: int, path: str, timeout: float) -> socket.socket:
    """Connect to a socket at ``path`` or, if that is empty, to a port of a host.

    Every address that the host has is tried, each for ``timeout`` seconds, which is the time-out of
    the socket as well. Raises ``OSError``, and ``UnicodeError`` for what can be no host.
    """
    if not path:
        return socket.create_connection((host, port), timeout)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection


def reason(error: OSError | UnicodeError) -> str:
    """Return why there is no connection, or no more, in a few words."""
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, UnicodeError):
        return "not a host name"
    return error.strerror or str(error)
