"""The servers of one client: each is asked through its own connection, and left alone if it fails.

Bytes are stored as they are; any other value is stored as JSON. A connection begins with who the
client is, where the server's address or the environment says so, and with the client's name.
"""

import json
import random
import socket
import time
import zlib
from collections.abc import Callable, Iterable
from typing import TypeVar

import attrs
from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheError, MemcacheUnexpectedCloseError

from starling_py.connecting import login
from starling_py.connecting.address import Address
from starling_py.connecting.dialing import dial
from starling_py.connecting.errors import LoginError
from starling_py.connecting.login import Login

RETRY_DELAY = 30.0
"""Seconds for which a server that failed is left alone."""
FOLLOWS_DELAY = 1.0
"""Seconds for which a server of a group that is not the owner is left alone."""
TAKEOVER_TIME = 10.0
"""Seconds for which a call waits until a group has an owner that answers."""
LOOKS = 0.25
"""Seconds between two looks for it."""

_READ = 1 << 16
_FOLLOWS = ("this server follows", "the cluster does not answer")
"""What a server of a group answers while it is not the owner, or does not know whether it is."""
_JSON = 1
"""The flag of an item that is stored as JSON."""
Answer = TypeVar("Answer")


class StarlingError(Exception):
    """No server could do what was asked; the text says why."""


class _Values:
    """How values become items and back; pymemcache calls this a serde."""

    def serialize(self, _key: object, value: object) -> tuple[bytes, int]:
        if isinstance(value, bytes):
            return value, 0
        return json.dumps(value).encode(), _JSON

    def deserialize(self, _key: object, data: bytes, flags: int) -> object:
        return json.loads(data) if flags == _JSON else data


class _Line(Client):  # type: ignore[misc] # it has no types
    """A connection by any form of an address, on which the server knows who the client is."""

    def __init__(self, address: Address, timeout: float, greeting: str) -> None:
        where = address.path or (address.host, address.port)
        super().__init__(where, default_noreply=False, serde=_Values(), timeout=timeout)
        self._address = address
        self._greeting = greeting.encode()
        self._user = Login.of(address, login.nobody)

    def _connect(self) -> None:
        self.close()
        try:
            self.sock = dial(self._address, self.timeout)
            if not self._address.path:
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._introduce()
        except (LoginError, UnicodeError) as error:
            self.close()
            raise MemcacheError(str(error)) from error
        except BaseException:
            self.close()
            raise

    def _introduce(self) -> None:
        if self._user is not None:
            self.sock.sendall(self._user.command)
            told = b""
            while not told.endswith(b"\n"):
                data = self.sock.recv(_READ)
                if not data:
                    raise MemcacheUnexpectedCloseError
                told += data
            if not login.is_done(told.rstrip()):
                raise MemcacheError(told.rstrip().decode(errors="backslashreplace"))
        if self._greeting:
            lines_of(self, self._greeting)


@attrs.define(eq=False)
class Server:
    """One server, and whether it is worth asking."""

    address: Address
    client: Client
    dead_until: float = 0.0
    """The monotonic time until which it is left alone."""
    in_group: bool = False
    """Whether it has ever said that another one is the owner."""
    follows: bool = False
    """Whether that is why it is left alone."""

    def ask(self, what: Callable[[Client], Answer]) -> Answer:
        """Ask the server; ask once more if it has closed the connection since the last time."""
        try:
            return what(self.client)
        except (ConnectionError, MemcacheUnexpectedCloseError):
            self.client.close()
            return what(self.client)

    def bury(self, error: Exception) -> str:
        """Leave the server alone for a while, unless ``error`` is an answer of its own.

        Returns what to say about it.
        """
        self.client.close()
        self.follows = False
        if isinstance(error, (OSError, MemcacheUnexpectedCloseError)):
            self.dead_until = time.monotonic() + RETRY_DELAY
        elif any(words in str(error) for words in _FOLLOWS):
            self.in_group = self.follows = True
            self.dead_until = time.monotonic() + FOLLOWS_DELAY
        return f"{self.where}: {error}"

    @property
    def where(self) -> str:
        """Its address, without a password."""
        return str(self.address)


def lines_of(client: Client, command: bytes) -> list[bytes]:
    """Send one command and return the lines of its reply, however many there are.

    ``raw_command`` of pymemcache 4.0 returns only what came together with the end of a reply. A
    reply may have one line or many, so what ends it is that of another command. Raises ``OSError``
    and ``MemcacheUnexpectedCloseError``.
    """
    try:
        if client.sock is None:
            client._connect()
        client.sock.sendall(command + b"\r\nmn\r\n")
        reply = bytearray(b"\r\n")
        while not reply.endswith(b"\r\nMN\r\n"):
            data = client.sock.recv(_READ)
            if not data:
                raise MemcacheUnexpectedCloseError
            reply += data
    except Exception:
        client.close()
        raise
    return bytes(reply).split(b"\r\n")[1:-2]


class Servers:
    """One server or several, any of which may be asked."""

    def __init__(self, servers: str | Iterable[str], timeout: float, greeting: str = "") -> None:
        """Take the servers as ``Starling`` does; connect to none of them yet.

        ``timeout`` is in seconds: how long a server may keep silent before it counts as dead.
        ``greeting`` is what each connection begins with. Raises ``ValueError``.
        """
        names = [servers] if isinstance(servers, str) else list(servers)
        if not names:
            raise ValueError("no servers")
        try:
            self._all = [
                Server(address, _Line(address, timeout, greeting))
                for address in map(Address.parse, names)
            ]
        except LoginError as error:
            raise ValueError(str(error)) from error

    def close(self) -> None:
        """Close every connection."""
        for server in self._all:
            server.client.close()

    def ask_any(self, what: Callable[[Client], Answer]) -> Answer:
        """Ask one server after another, in any order, until one answers.

        If they are a group, wait until it has an owner again. Raises ``StarlingError`` when none
        does.
        """
        end = time.monotonic() + TAKEOVER_TIME
        while True:
            reason: object = "no server is alive"
            for server in self._alive():
                try:
                    return server.ask(what)
                except (OSError, MemcacheError) as error:
                    reason = server.bury(error)
            if not self._is_group or time.monotonic() >= end:
                raise StarlingError(str(reason))
            time.sleep(LOOKS)

    def ask_all(self, what: Callable[[Client], Answer]) -> list[tuple[Server, Answer]]:
        """Ask every server that is alive. Raises ``StarlingError`` when none answers.

        One that followed a moment ago is asked, too: it may have the queues by now.
        """
        answers = []
        reason: object = "no server is alive"
        for server in self._alive(or_follows=True):
            try:
                answers.append((server, server.ask(what)))
            except (OSError, MemcacheError) as error:
                reason = server.bury(error)
        if not answers:
            raise StarlingError(str(reason))
        return answers

    def ask_one_for(self, token: str, what: Callable[[Client], Answer]) -> Answer:
        """Ask the server that a token goes to, always the same one, or that of a group.

        Raises ``StarlingError`` when it does not answer.
        """
        if self._is_group:
            return self.ask_any(what)
        server = self._all[zlib.crc32(token.encode()) % len(self._all)]
        try:
            return server.ask(what)
        except (OSError, MemcacheError) as error:
            raise StarlingError(server.bury(error)) from error

    @property
    def _is_group(self) -> bool:
        """Whether one of the servers has said that another one is the owner."""
        return any(server.in_group for server in self._all)

    def _alive(self, *, or_follows: bool = False) -> list[Server]:
        """Return the servers that may be asked, in any order; all of them if all seem dead."""
        now = time.monotonic()
        alive = [
            server
            for server in self._all
            if server.dead_until <= now or (or_follows and server.follows)
        ]
        servers = alive or list(self._all)
        random.shuffle(servers)
        return servers
