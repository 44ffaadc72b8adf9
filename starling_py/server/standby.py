"""Answers the clients of a server that does not serve: no command has any effect.

Each is told why, and where the owner is, in its own dialect; ``stats`` and ``version`` are
answered. While the cluster does not answer, a command waits for a while before that is said, as it
may be only a moment. Clients are few here and told little, so each is a task of trio. Invariants:
who may not come to a server that serves is told nothing here either, and what clients make this one
hold, connections and memory, is bounded by the same settings.
"""

import logging
import math
import socket
from collections.abc import Sequence
from typing import Final, Protocol

import trio

from starling_py import __version__
from starling_py.protocol import commands, dialect_for, proxy_header, wary_text
from starling_py.protocol.commands import Command
from starling_py.protocol.dialect import Dialect
from starling_py.protocol.proxy_header import ProxyHeaderError
from starling_py.protocol.writer import Outcome, Writer
from starling_py.server.acceptor import REFUSAL, is_allowed
from starling_py.server.access import Access
from starling_py.server.handshakes import HELLO, NO_TLS, PATIENCE
from starling_py.server.web_tls import TlsStream
from starling_py.settings.server_settings import Settings
from starling_py.stats import Pairs

log = logging.getLogger(__name__)

_READ: Final = 1 << 16
_UNKNOWN: Final = wary_text.REFUSAL
"""What a server without users answers to an authentication; with users, it is not for this one to
say: the owner knows them."""
_LOOKS: Final = 0.05
"""Seconds from one look at whether it is given up to the next."""


class Reason(Protocol):
    """Why this server does not serve."""

    def refusal(self) -> str | None:
        """Return what commands are answered; ``None`` to let them wait."""

    def stats(self) -> Pairs:
        """Return what is told of a server that does not serve."""


class Standby:
    """The clients of a server that does not serve."""

    def __init__(
        self,
        settings: Settings,
        listeners: Sequence[socket.socket],
        access: Access,
        reason: Reason,
    ) -> None:
        """``access`` has the listeners for TLS. If it has users, nobody is told any statistics.

        For nobody has said who it is.
        """
        self._settings = settings
        self._listeners = listeners
        self._access = access
        self._reason = reason
        self._turn = trio.Lock()
        """Held for each piece of work that TLS is."""
        self._connected = 0
        self._held = 0
        """Bytes that clients have sent of commands that are not whole."""

    async def run(self) -> None:
        """Answer until cancelled; the clients that are left are disconnected."""
        async with trio.open_nursery() as nursery:
            for each in self._listeners:
                nursery.start_soon(self._accept, each.dup(), False)
            for each in self._access.secured:
                nursery.start_soon(self._accept, each.dup(), True)

    async def _accept(self, listening: socket.socket, secured: bool) -> None:
        with trio.socket.from_stdlib_socket(listening) as listener:
            async with trio.open_nursery() as nursery:
                while True:
                    try:
                        client, address = await listener.accept()
                    except OSError as error:
                        log.info("a client could not be accepted: %s", error)
                        await trio.sleep(_LOOKS)
                        continue
                    if is_allowed(address, self._settings.allow_from):
                        nursery.start_soon(self._serve, client, secured)
                    else:
                        client.close()

    async def _serve(self, client: "trio.socket.SocketType", secured: bool) -> None:
        self._connected += 1
        try:
            with client:
                if self._connected > self._settings.max_connections:
                    await client.send(REFUSAL)
                    return
                stream = await self._shaken(client) if secured else trio.SocketStream(client)
                if stream is not None:
                    await self._answer_all(stream)
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        except ProxyHeaderError as problem:
            log.info("a client was closed, as it began without a right PROXY header: %s", problem)
        except Exception:
            log.exception("a client of a server that does not serve: closed")
        finally:
            self._connected -= 1

    async def _shaken(self, client: "trio.socket.SocketType") -> TlsStream | None:
        """Shake hands with a client; return ``None`` if that does not come about in time."""
        certificates = self._access.certificates
        with trio.move_on_after(PATIENCE):
            first = await client.recv(1, socket.MSG_PEEK)
            if certificates is None or not first:
                return None
            if first[0] != HELLO:
                await client.send(NO_TLS)
                client.shutdown(socket.SHUT_WR)
                await client.recv(_READ)  # or the system might throw away what was sent
                return None
            # trio's own stream holds itself, and would be kept when its client is gone.
            stream = TlsStream(trio.SocketStream(client), certificates.context, self._turn)
            await stream.shake_hands()
            return stream
        return None

    async def _answer_all(self, stream: trio.SocketStream | TlsStream) -> None:
        dialect: Dialect | None = None
        holds = 0
        try:
            data = await self._introduced(stream)
            while data:
                if dialect is None:
                    dialect = dialect_for(data, self._settings.item_size_max)
                dialect.feed(data)
                while (command := dialect.next_command()) is not None:
                    reply = await self._reply(command, dialect)
                    if reply is None:
                        return
                    await stream.send_all(reply)
                    if isinstance(command, commands.Refusal) and command.close:
                        return
                self._held += dialect.weight - holds
                holds = dialect.weight
                if self._held > self._settings.client_memory:
                    return
                data = await self._receive(stream)
        finally:
            self._held -= holds

    async def _introduced(self, stream: trio.SocketStream | TlsStream) -> bytes:
        """Return a client's first bytes, without its PROXY header; raise ``ProxyHeaderError``."""
        data = await self._receive(stream)
        if not self._settings.proxy_protocol:
            return data
        while (header := proxy_header.read(data)) is None:
            more = await self._receive(stream)
            if not more:
                return b""
            data += more
        if header.host and not is_allowed((header.host, header.port), self._settings.allow_from):
            return b""
        return data[header.size :] or await self._receive(stream)

    async def _receive(self, stream: trio.SocketStream | TlsStream) -> bytes:
        """Return what comes next; nothing at the end, and after a silence that is too long."""
        with trio.move_on_after(self._settings.timeout or math.inf):
            return bytes(await stream.receive_some(_READ))
        return b""

    async def _reply(self, command: Command, writer: Writer) -> bytes | None:
        """Return the reply to a command; ``None`` to close the connection."""
        tells = self._access.accounts is None
        while isinstance(command, commands.Phrased | commands.PhrasedAnew):
            phrased = command
            writer = phrased.form.writer() if hasattr(phrased, "form") else phrased.writer
            command = phrased.command
        if isinstance(command, commands.Quit):
            return None
        if isinstance(command, commands.Refusal) and (tells or command.reply != _UNKNOWN):
            return command.reply
        if isinstance(command, commands.Version):
            return writer.version(__version__)
        if isinstance(command, commands.Stats) and not command.words and tells:
            return writer.stats_part(self._reason.stats()) + writer.end_of_stats()
        why = self._reason.refusal()
        while why is None:
            await trio.sleep(_LOOKS)
            why = self._reason.refusal()
        if getattr(command, "quiet", False):
            return b""
        if isinstance(command, commands.Acknowledge):
            return writer.outcome(Outcome.OK)
        return writer.server_error(why)
