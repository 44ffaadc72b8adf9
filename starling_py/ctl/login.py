"""What a server with users or TLS wants to be told first, from the environment.

``STARLING_USER`` names the user; ``STARLING_PASSWORD_FILE`` names the file whose first line is the
password, or ``STARLING_PASSWORD`` has it. ``STARLING_CA`` names the file with the authorities that
the server's certificate must be from, ``STARLING_CERT`` that with the client's own certificate and
its key. None of them is an option: every process of a machine can read a command line. Invariant:
no message has a password.
"""

import os
import socket
import ssl
from pathlib import Path
from typing import Final

from starling_py.ctl.errors import UsageError

USER: Final = "STARLING_USER"
PASSWORD: Final = "STARLING_PASSWORD"
PASSWORD_FILE: Final = "STARLING_PASSWORD_FILE"
AUTHORITY: Final = "STARLING_CA"
CERTIFICATE: Final = "STARLING_CERT"


def command() -> bytes | None:
    """Return the command that says who the client is; ``None`` if the environment does not say it.

    Raises ``UsageError``.
    """
    user = os.environb.get(USER.encode(), b"")
    if not user:
        return None
    file = os.environ.get(PASSWORD_FILE)
    if file:
        try:
            password = Path(file).read_bytes().partition(b"\n")[0].removesuffix(b"\r")
        except OSError as error:
            raise UsageError(f"{PASSWORD_FILE}: {file}: {error.strerror}") from error
    else:
        password = os.environb.get(PASSWORD.encode(), b"")
    token = user + b" " + password
    # With these words in place of numbers, a server without users takes it for no item.
    return b"set _ _ _ %d\r\n%b\r\n" % (len(token), token)


def with_tls(connection: socket.socket, host: str) -> socket.socket:
    """Return a connection on which TLS is spoken; raise ``OSError`` and ``UsageError``."""
    try:
        context = ssl.create_default_context(cafile=os.environ.get(AUTHORITY) or None)
        certificate = os.environ.get(CERTIFICATE)
        if certificate:
            context.load_cert_chain(certificate, password=lambda: "")
    except (OSError, ssl.SSLError) as error:
        connection.close()
        raise UsageError(f"{AUTHORITY} or {CERTIFICATE}: {error}") from error
    try:
        return context.wrap_socket(connection, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        connection.close()
        raise OSError(None, f"its certificate is not trusted: {error.verify_message}") from error
    except BaseException:
        connection.close()
        raise
