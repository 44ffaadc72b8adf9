"""TLS: the certificate that the server shows, and sockets that speak TLS without ever blocking.

A ``TlsSocket`` does what the tick asks of a plain socket, and says ``BlockingIOError`` where TLS
has to wait for the network. Invariants: nothing that has been decrypted stays behind in it, as
nobody would be told that there is something to read; what could not be sent is sent again as it
was.
"""

import contextlib
import socket
import ssl
import time
from pathlib import Path
from typing import Any, Final, Protocol

from starling_py.settings.errors import ConfigError

RECORD: Final = 1 << 14
"""The most bytes of one record. Less must not be asked for: the rest of a record would stay within
OpenSSL, while the socket itself has nothing to read."""
CHUNK: Final = 1 << 18
"""The most bytes that are encrypted at once: a large reply keeps nobody waiting."""
_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class TlsSettings(Protocol):
    """The settings that name certificates: the server's, or those of HTTP."""

    @property
    def tls_cert(self) -> Path | None:
        """The file of the certificate."""

    @property
    def tls_key(self) -> Path | None:
        """The file of its key; ``None`` if that stands in the same file."""

    @property
    def tls_client_ca(self) -> Path | None:
        """The file of authorities that clients' certificates are from; ``None``: they need none."""

    @property
    def tls_min_version(self) -> str:
        """The oldest version of TLS."""


class Certificates:
    """What clients are shown, and what they have to show."""

    def __init__(self, settings: TlsSettings, section: str = "") -> None:
        """Read the files that the settings name; raise ``ConfigError``.

        ``section`` is what stands in front of their names when one is wrong.
        """
        self._section = section
        self._context = self._read(settings)
        self._settings = settings
        self._read_at = time.monotonic()

    def refresh(self, settings: TlsSettings | None = None) -> None:
        """Read them again, for clients that come from now on; raise ``ConfigError``.

        Then what was there before holds. ``settings`` may name other files.
        """
        used = self._settings if settings is None else settings
        self._context = self._read(used)
        self._settings = used
        self._read_at = time.monotonic()

    @property
    def age(self) -> int:
        """How many seconds ago they were read."""
        return int(time.monotonic() - self._read_at)

    @property
    def context(self) -> ssl.SSLContext:
        """What a handshake begins with."""
        return self._context

    def _read(self, settings: TlsSettings) -> ssl.SSLContext:
        try:
            return _context(settings)
        except ConfigError as error:
            raise ConfigError([f"{self._section}{each}" for each in error.problems]) from None

    def wrap(self, sock: socket.socket) -> ssl.SSLSocket:
        """Return a socket on which a handshake may begin; the other one is its own from now on."""
        return self._context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)


def _context(settings: TlsSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[settings.tls_min_version]
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    cert, key, authority = settings.tls_cert, settings.tls_key, settings.tls_client_ca
    if cert is None:
        raise ConfigError(["tls_cert: is missing"])
    for name, path in (("tls_cert", cert), ("tls_key", key), ("tls_client_ca", authority)):
        if path is not None:
            _check(name, path)
    try:
        context.load_cert_chain(cert, key, password=lambda: "")
    except (ssl.SSLError, OSError) as error:
        where = f"tls_cert: {cert}" if key is None else f"tls_cert, tls_key: {cert}, {key}"
        raise ConfigError([f"{where}: {_reason(error)}"]) from None
    if authority is not None:
        try:
            context.load_verify_locations(authority)
        except (ssl.SSLError, OSError) as error:
            raise ConfigError([f"tls_client_ca: {authority}: {_reason(error)}"]) from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _check(name: str, path: Path) -> None:
    """Raise ``ConfigError`` for what is no file that can be read: a pipe would be waited for."""
    try:
        if not path.is_file():
            raise ConfigError([f"{name}: {path}: is no file"])
        with path.open("rb"):
            pass
    except OSError as error:
        raise ConfigError([f"{name}: {path}: {error.strerror}"]) from None


def _reason(error: OSError) -> str:
    """Say why, in OpenSSL's words but for its numbers and the place in its source."""
    reason = getattr(error, "reason", None)
    return str(reason).lower().replace("_", " ") if reason else "is no certificate or no key"


class TlsSocket:
    """A connected socket whose handshake is done."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self._socket = sock

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._socket.fileno()

    def recv(self, size: int) -> bytes:
        """Return what has come, a whole record even if that is more than ``size`` bytes.

        Raises ``OSError``.
        """
        try:
            return self._socket.recv(max(size, RECORD))
        except ssl.SSLWantReadError:
            raise BlockingIOError from None
        except ssl.SSLWantWriteError:
            # It has to answer something first, and the client reads nothing: it would ask for ever.
            raise ConnectionAbortedError("reads nothing of what TLS has to tell") from None

    def send(self, data: "bytes | bytearray | memoryview") -> int:
        """Send some bytes, and return how many; raise ``OSError``.

        What was refused with ``BlockingIOError`` must be sent again as it was.
        """
        chunk = data if len(data) <= CHUNK else memoryview(data)[:CHUNK]
        try:
            return self._socket.send(chunk)
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            raise BlockingIOError from None

    def shutdown(self, how: int) -> None:
        """Say that nothing more is sent, in TLS and then below it; raise ``OSError``.

        What is read from then on means nothing but the end, when that comes.
        """
        self._say_goodbye()
        self._socket.shutdown(how)

    def close(self) -> None:
        """Say that nothing more is sent, if that was not said, and close the socket."""
        self._say_goodbye()
        self._socket.close()

    def _say_goodbye(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._socket.unwrap()


def name_of(sock: ssl.SSLSocket) -> str:
    """Return the common name in a client's certificate; empty if there is not just one."""
    subject: Any = (sock.getpeercert() or {}).get("subject", ())
    found = [value for parts in subject for key, value in parts if key == "commonName"]
    return str(found[0]) if len(found) == 1 else ""
