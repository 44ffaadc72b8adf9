"""One connection: commands out, replies in, errors in words.

Invariants: a reply is whole or an error is raised; after an error of the connection nothing more
is sent over it. It speaks over a socket of its own, as pymemcache knows neither the commands of
operators nor which reply belongs to which of many that are under way.
"""

from collections.abc import Iterator
from typing import Final, Protocol

from starling_py.connecting.address import Address
from starling_py.connecting.dialing import dial, reason
from starling_py.connecting.errors import LoginError
from starling_py.ctl.errors import CommandRefused, UnreachableError, UsageError

CONNECT_TIMEOUT: Final = 5.0
_RECEIVED_AT_ONCE: Final = 1 << 16
_LONGEST_LINE: Final = 1 << 20
_END: Final = b"\nEND\r\n"
_WRONG: Final = (b"ERROR", b"CLIENT_ERROR", b"SERVER_ERROR")
_LONGEST_REFUSAL: Final = 1 << 12
_REFUSALS: Final = (b"ERROR", b"CLIENT_ERROR", b"SERVER_ERROR", b"ERROR:")


class Wire(Protocol):
    """What carries bytes to a server and back."""

    def send(self, data: bytes) -> None:
        """Send all of it. Raises ``UnreachableError``."""

    def receive(self) -> bytes:
        """Return what came, nothing at the end. Raises ``UnreachableError``."""

    def close(self) -> None:
        """Hang up."""


class SocketWire:
    """A socket to a server."""

    def __init__(self, address: Address, timeout: float) -> None:
        """Connect. ``timeout``: seconds that the server may be silent.

        Raises as ``send``, and ``UsageError`` if certificates are wanted that cannot be had.
        """
        self._where = str(address)
        try:
            self._socket = dial(address, min(timeout, CONNECT_TIMEOUT))
            self._socket.settimeout(timeout)
        except (OSError, UnicodeError) as error:
            raise UnreachableError(f"cannot reach {address}: {reason(error)}") from error
        except LoginError as error:
            raise UsageError(str(error)) from error

    def send(self, data: bytes) -> None:
        """Send all of it. Raises ``UnreachableError``."""
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise UnreachableError(f"{self._where}: {reason(error)}") from error

    def receive(self) -> bytes:
        """Return what came, nothing at the end. Raises ``UnreachableError``."""
        try:
            return self._socket.recv(_RECEIVED_AT_ONCE)
        except OSError as error:
            raise UnreachableError(f"{self._where}: {reason(error)}") from error

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


class Connection:
    """Commands and replies on one wire."""

    def __init__(self, wire: Wire, where: str) -> None:
        """``where`` is the server's address, for messages."""
        self.where = where
        self._wire = wire
        self._got = bytearray()

    def close(self) -> None:
        """Hang up."""
        self._wire.close()

    def send(self, data: bytes) -> None:
        """Send commands without waiting for their replies. Raises ``UnreachableError``."""
        self._wire.send(data)

    def ask(self, command: bytes) -> bytes:
        """Return the reply to a command that has one line.

        Raises ``CommandRefused`` and ``UnreachableError``.
        """
        self.send(command + b"\r\n")
        return self.reply()

    def lines(self, command: bytes, end: bytes = b"END") -> Iterator[bytes]:
        """Yield the lines of the reply to a command, up to the one that ends it.

        Raises as ``ask``.
        """
        self.send(command + b"\r\n")
        while (line := self.reply()) != end:
            yield line

    def reply(self) -> bytes:
        """Return the next line, unless it is a refusal. Raises as ``ask``."""
        line = self.line()
        if line.partition(b" ")[0] in _REFUSALS:
            raise CommandRefused(_said(line))
        return line

    def line(self) -> bytes:
        """Return the next line, whatever it is. Raises ``UnreachableError``."""
        looked = 0
        while (end := self._got.find(b"\n", looked)) < 0:
            looked = len(self._got)
            if looked > _LONGEST_LINE:
                raise UnreachableError(f"{self.where}: no starling-py answers there")
            self._more()
        line = bytes(self._got[:end]).rstrip(b"\r")
        del self._got[: end + 1]
        return line

    def exactly(self, size: int) -> bytes:
        """Return the next bytes. Raises ``UnreachableError``."""
        while len(self._got) < size:
            self._more()
        data = bytes(self._got[:size])
        del self._got[:size]
        return data

    def block(self, command: bytes) -> bytes:
        """Return the reply to a command up to its line ``END``, in one piece.

        One search for the end is far quicker than a line at a time. Raises as ``ask``.
        """
        self.send(command + b"\r\n")
        looked, found = 0, -1
        while not self._got.startswith(_END[1:]) and (found := self._got.find(_END, looked)) < 0:
            if b"\n" in self._got[:_LONGEST_REFUSAL] and self._got.startswith(_WRONG):
                self.reply()
            looked = max(0, len(self._got) - len(_END))
            self._more()
        text = bytes(self._got[: found + 1])
        del self._got[: found + len(_END)]
        return text

    def _more(self) -> None:
        received = self._wire.receive()
        if not received:
            raise UnreachableError(f"{self.where}: the server closed the connection")
        self._got += received


def _said(line: bytes) -> str:
    """Return what a server said, without the word that tells whose fault it is."""
    word, _, rest = line.partition(b" ")
    text = (rest or word).decode(errors="backslashreplace")
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
