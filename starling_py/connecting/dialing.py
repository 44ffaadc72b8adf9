"""How commands of operators connect to a server: over TCP, with TLS, or by a path of this machine.

``STARLING_CA`` names the file with the authorities that the server's certificate must be from,
``STARLING_CERT`` that with the client's own certificate and its key.
"""

import os
import socket
import ssl
from typing import Final

from starling_py.connecting.address import TLS, Address
from starling_py.connecting.errors import LoginError

AUTHORITY: Final = "STARLING_CA"
CERTIFICATE: Final = "STARLING_CERT"


def dial(address: Address, timeout: float) -> socket.socket:
    """Connect to a server.

    Every address that the host has is tried, each for ``timeout`` seconds, which is the time-out of
    the socket as well. Raises ``OSError``, ``UnicodeError`` for what can be no host, and
    ``LoginError`` if what the environment names is no certificate.
    """
    if not address.path:
        connection = socket.create_connection((address.host, address.port), timeout)
        return _with_tls(connection, address.host) if address.kind == TLS else connection
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(address.path)
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
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        told = (error.reason or "it ended").replace("_", " ").lower()
        return f"no TLS with it ({told}); is TLS spoken there, and is a certificate wanted?"
    return error.strerror or str(error)


def _with_tls(connection: socket.socket, host: str) -> socket.socket:
    try:
        return _context().wrap_socket(connection, server_hostname=host)
    except BaseException:
        connection.close()
        raise


def _context() -> ssl.SSLContext:
    """Return what the environment says of certificates. Raises ``LoginError``."""
    authority, certificate = os.environ.get(AUTHORITY), os.environ.get(CERTIFICATE)
    try:
        context = ssl.create_default_context(cafile=authority or None)
    except OSError as error:
        raise LoginError(f"{AUTHORITY}: {authority}: {_why(error)}") from error
    try:
        if certificate:
            context.load_cert_chain(certificate, password=lambda: "")
    except OSError as error:
        raise LoginError(f"{CERTIFICATE}: {certificate}: {_why(error)}") from error
    return context


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return "has no certificate, or not the key to it"
    return error.strerror or str(error)
