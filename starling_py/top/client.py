"""One connection to a server, for the questions of a monitor and the commands of its user.

Invariants: a call takes at most the time-out for the reply (``FOR_ALL`` times that where it is
about all queues), plus, for a new connection, what looking up and connecting take; and after any
error the socket is closed. It never returns a reply that is cut short, and it hands keys and values
on as the bytes they came in. A question is asked again on a new connection if the old one is lost;
a command that changes something never is.

It speaks over a socket of its own, not through pymemcache, for three reasons. pymemcache tries only
the first address of a name, so ``localhost`` is refused where ``::1`` comes first and the server
listens on 127.0.0.1. It applies the time-out to each read, so a server that trickles holds it for
ever. And it rewrites what the server said: a value loses its second word, and ``0.120000`` becomes
``0.12``.
"""

import socket
import time
from collections.abc import Callable

from starling_py.connecting import login
from starling_py.connecting.address import Address
from starling_py.connecting.dialing import dial, reason
from starling_py.connecting.errors import LoginError
from starling_py.connecting.login import Login

DEFAULT_TIMEOUT = 2.0
FOR_ALL = 15
"""Times as long a server gets to tell of all its queues at once: it does so beside its other work,
and ten thousand may take it seconds."""
_RECEIVE_SIZE = 65536


class StatsError(Exception):
    """The server could not be asked; the text says why in a few words, without host or port."""


class RefusedError(StatsError):
    """The server answered with an error of its own; the text is that."""


class StatsClient:
    """Asks one server, over a connection that is kept between calls.

    ``timeout`` is in seconds and applies to each connection attempt and to each whole reply.
    """

    def __init__(
        self, address: Address, timeout: float = DEFAULT_TIMEOUT, user: Login | None = None
    ) -> None:
        """``user`` is told to the server on each new connection."""
        self.address = address
        self._user = user
        self._timeout = timeout
        self._socket: socket.socket | None = None
        self._knows_changes = True

    def stats(self, what: bytes = b"") -> dict[bytes, bytes]:
        """Return the server's statistics in its order, or one of its other reports.

        Raises ``StatsError`` if it gives none.
        """
        return self._report(what, FOR_ALL if not what else 1)

    def _report(self, what: bytes, patience: int) -> dict[bytes, bytes]:
        command = b"stats " + what if what else b"stats"
        reply = self._ask(command, lambda found: _report(found, command), True, patience)
        return _pairs(reply)

    def changes(self, token: bytes, most: int) -> dict[bytes, bytes]:
        """Return what has changed since ``token``; all statistics where that cannot be asked.

        Raises ``StatsError``.
        """
        if self._knows_changes:
            try:
                asked = b"changed %b %d" % (token or b"0", most)
                found = self._report(asked, 1 if token else FOR_ALL)
            except RefusedError:
                found = {}
            except StatsError:
                if token:
                    raise
                found = {}  # perhaps one that hangs up on what it does not know
            if b"changes" in found:
                return found
            self._knows_changes = False
        try:
            return self.stats()
        except StatsError:
            self._knows_changes = True  # another server may be there by the next time
            raise

    def lines(self, command: bytes) -> list[bytes]:
        """Return the lines of the answer to a question such as ``browse``, without its ``END``.

        Raises ``RefusedError`` with the server's own words if it is an error, and ``StatsError``.
        """
        reply = self._ask(command, lambda found: _report(found, command), True)
        return reply.split(b"\r\n")[:-2]

    def peek(self, queue: bytes, item: int) -> bytes | None:
        """Return the data of an item without taking it; None if it is not there any more.

        Raises ``StatsError``.
        """
        reply = self._ask(b"get %b/peek/id=%d" % (queue, item), _value, True)
        if reply == b"END\r\n":
            return None
        head, _, rest = reply.partition(b"\r\n")
        return rest[: int(head.split(b" ")[3])]

    def act(self, command: bytes) -> str:
        """Have the server do something; return its answer, which may be a refusal.

        Raises ``StatsError`` if there is none: then nobody knows whether it was done.
        """
        reply = self._ask(command, _first_line, False)
        return reply.rstrip().decode(errors="backslashreplace")

    def close(self) -> None:
        """Close the connection, if there is one; the next call opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _ask(
        self,
        command: bytes,
        is_whole: Callable[[bytearray], bool],
        again: bool,
        patience: int = 1,
    ) -> bytes:
        """Send a command, and read until ``is_whole`` says that it was answered.

        ``again``: whether to ask once more if the connection is lost. The reply may take
        ``patience`` times the time-out.
        """
        try:
            if self._socket is not None:
                try:
                    return self._try(self._socket, command, is_whole, patience)
                except ConnectionError:
                    # A server that was restarted since the last call has dropped this connection;
                    # only a new one tells whether it is back.
                    self.close()
                    if not again:
                        raise
            self._socket = self._connected()
            return self._try(self._socket, command, is_whole, patience)
        except (OSError, UnicodeError) as error:
            self.close()
            raise StatsError(reason(error)) from error
        except LoginError as error:
            raise StatsError(str(error)) from error
        except RefusedError:
            raise
        except StatsError:
            self.close()
            raise

    def _connected(self) -> socket.socket:
        """Return a new connection to a server that knows who asks; raise as ``_ask`` does."""
        self._socket = dial(self.address, self._timeout)
        if self._user is not None:
            line = self._user.command.removesuffix(b"\r\n")
            told = self._try(self._socket, line, _first_line, 1)
            if not login.is_done(told.rstrip()):
                raise StatsError(_words(bytearray(told)))
        return self._socket

    def _try(
        self,
        connection: socket.socket,
        command: bytes,
        is_whole: Callable[[bytearray], bool],
        patience: int,
    ) -> bytes:
        deadline = time.monotonic() + self._timeout * patience
        connection.settimeout(self._timeout)
        connection.sendall(command + b"\r\n")
        reply = bytearray()
        while not is_whole(reply):
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            connection.settimeout(left)
            received = connection.recv(_RECEIVE_SIZE)
            if not received:
                raise ConnectionResetError("connection closed by the server")
            reply += received
        return bytes(reply)


def _report(reply: bytearray, command: bytes) -> bool:
    """Tell whether a report is whole. Raises ``StatsError`` if it is none.

    Whatever else listens on that port is named at once, not after the time-out.
    """
    if not reply.endswith(b"\n"):
        return False
    if reply.endswith(b"\nEND\r\n") or reply == b"END\r\n":
        return True
    if reply.startswith((b"STAT ", b"ITEM ", b"queue ", b"  ", b"}")):
        last = reply[reply.rfind(b"\n", 0, -1) + 1 :]
        if last.startswith(b"SERVER_ERROR "):
            raise RefusedError(_words(last))
        return False
    if reply.startswith((b"ERROR", b"CLIENT_ERROR ", b"SERVER_ERROR ", b"NOT_FOUND")):
        raise RefusedError(_words(reply))
    raise StatsError(f"it answered {_excerpt(reply)} to `{command.split()[0].decode()}`")


def _value(reply: bytearray) -> bool:
    """Tell whether the answer to a get of one item is whole."""
    head, end, rest = reply.partition(b"\r\n")
    if not end:
        return False
    if not head.startswith(b"VALUE "):
        if head != b"END":
            raise RefusedError(_words(head))
        return True
    return len(rest) >= int(head.split(b" ")[3]) + len(b"\r\nEND\r\n")


def _first_line(reply: bytearray) -> bool:
    return reply.endswith(b"\r\n")


def _pairs(reply: bytes) -> dict[bytes, bytes]:
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


def _words(reply: bytearray) -> str:
    line = bytes(reply).partition(b"\n")[0].strip()
    return ascii(line[:200].decode("latin-1"))[1:-1]
