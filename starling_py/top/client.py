"""One connection to a server, and the one command a monitor needs: ``stats``.

Invariants: a call to ``stats`` takes at most the time-out for the reply (plus, for a new
connection, what looking up and connecting take), and after any error the socket is closed. It never
returns a reply that is cut short, and it hands keys and values on as the bytes they came in.

It speaks over a socket of its own, not through pymemcache, for three reasons. pymemcache tries only
the first address of a name, so ``localhost`` is refused where ``::1`` comes first and the server
listens on 127.0.0.1. It applies the time-out to each read, so a server that trickles holds it for
ever. And it rewrites what the server said: a value loses its second word, and ``0.120000`` becomes
``0.12``.
"""

import socket
import time

DEFAULT_TIMEOUT = 2.0
_RECEIVE_SIZE = 65536


class StatsError(Exception):
    """The server could not be asked; the text says why in a few words, without host or port."""


class StatsClient:
    """Asks one server for its statistics, over a connection that is kept between calls.

    ``timeout`` is in seconds and applies to each connection attempt and to each whole reply.
    """

    def __init__(self, host: str, port: int, timeout: float = DEFAULT_TIMEOUT) -> None:
        self._address = (host, port)
        self._timeout = timeout
        self._socket: socket.socket | None = None

    def stats(self) -> dict[bytes, bytes]:
        """Return the server's statistics in its order; raise ``StatsError`` if it gives none."""
        try:
            if self._socket is not None:
                try:
                    return self._ask(self._socket)
                except ConnectionError:
                    # A server that was restarted since the last call has dropped this connection;
                    # only a new one tells whether it is back.
                    self.close()
            self._socket = socket.create_connection(self._address, self._timeout)
            return self._ask(self._socket)
        except (OSError, UnicodeError) as error:
            self.close()
            raise StatsError(_reason(error)) from error
        except StatsError:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection, if there is one; the next call to ``stats`` opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _ask(self, connection: socket.socket) -> dict[bytes, bytes]:
        deadline = time.monotonic() + self._timeout
        connection.settimeout(self._timeout)
        connection.sendall(b"stats\r\n")
        reply = bytearray()
        checked = False
        while not (reply.endswith(b"\nEND\r\n") or reply == b"END\r\n"):
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            connection.settimeout(left)
            received = connection.recv(_RECEIVE_SIZE)
            if not received:
                raise ConnectionResetError("connection closed by the server")
            reply += received
            if not checked and b"\n" in reply:
                # Whatever else listens on that port is named now, not after the time-out.
                checked = True
                if not reply.startswith((b"STAT ", b"END\r\n")):
                    raise StatsError(f"it answered {_excerpt(reply)} to `stats`")
        return _parse(bytes(reply))


def _parse(reply: bytes) -> dict[bytes, bytes]:
    stats = {}
    for line in reply.split(b"\r\n"):
        word, _, rest = line.partition(b" ")
        if word == b"STAT":
            key, _, value = rest.partition(b" ")
            stats[key] = value
    return stats


def _excerpt(reply: bytearray) -> str:
    line = bytes(reply).partition(b"\n")[0].rstrip()
    return ascii(line[:40].decode("latin-1"))


def _reason(error: OSError | UnicodeError) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, UnicodeError):
        return "not a host name"
    return error.strerror or str(error)
