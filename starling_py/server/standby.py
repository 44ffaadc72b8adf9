"""Answers the clients of a server that does not serve: no command has any effect.

Each is told why, and where the owner is, in its own dialect; ``stats`` and ``version`` are
answered. While the cluster does not answer, a command waits for a while before that is said, as it
may be only a moment. Clients are few here and told little, so each is a task of trio.
"""

import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import trio

from starling_py import __version__
from starling_py.protocol import commands, dialect_for, proxy_header, wary_text
from starling_py.protocol.commands import Command
from starling_py.protocol.dialect import Dialect
from starling_py.protocol.proxy_header import ProxyHeaderError
from starling_py.protocol.writer import Outcome, Writer
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
        listeners: Sequence[socket.socket],
        reason: Reason,
        item_size_max: int,
        most: int,
        *,
        proxied: bool,
        secured: Sequence[socket.socket] = (),
        tells: bool = True,
    ) -> None:
        """``most`` is how many clients may be connected; ``proxied``: each sends a PROXY header.

        Who comes to listeners that are ``secured`` is closed at once. Without ``tells``, nobody is
        told any statistics, as nobody has said who it is.
        """
        self._secured = secured
        self._tells = tells
        self._listeners = listeners
        self._reason = reason
        self._item_size_max = item_size_max
        self._proxied = proxied
        self._places = trio.CapacityLimiter(most)

    async def run(self) -> None:
        """Answer until cancelled; the clients that are left are disconnected."""
        async with trio.open_nursery() as nursery:
            for listener in self._listeners:
                nursery.start_soon(self._accept, listener.dup(), self._serve)
            for listener in self._secured:
                nursery.start_soon(self._accept, listener.dup(), self._turn_away)

    async def _accept(
        self,
        listening: socket.socket,
        serve: Callable[["trio.socket.SocketType"], Awaitable[None]],
    ) -> None:
        with trio.socket.from_stdlib_socket(listening) as listener:
            async with trio.open_nursery() as nursery:
                while True:
                    try:
                        client, _ = await listener.accept()
                    except OSError as error:
                        log.info("a client could not be accepted: %s", error)
                        await trio.sleep(_LOOKS)
                        continue
                    nursery.start_soon(serve, client)

    async def _turn_away(self, client: "trio.socket.SocketType") -> None:
        client.close()

    async def _serve(self, client: "trio.socket.SocketType") -> None:
        stream = trio.SocketStream(client)
        try:
            async with stream, self._places:
                await self._answer_all(stream)
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError, ProxyHeaderError):
            pass
        except Exception:
            log.exception("a client of a server that does not serve: closed")

    async def _answer_all(self, stream: trio.SocketStream) -> None:
        dialect: Dialect | None = None
        header, introduced = b"", not self._proxied
        while data := await stream.receive_some(_READ):
            if not introduced:
                header += data
                found = proxy_header.read(header)
                if found is None:
                    continue
                introduced, data = True, header[found.size :]
                if not data:
                    continue
            if dialect is None:
                dialect = dialect_for(data, self._item_size_max)
            dialect.feed(data)
            while (command := dialect.next_command()) is not None:
                reply = await self._reply(command, dialect)
                if reply is None:
                    return
                await stream.send_all(reply)
                if isinstance(command, commands.Refusal) and command.close:
                    return

    async def _reply(self, command: Command, writer: Writer) -> bytes | None:
        """Return the reply to a command; ``None`` to close the connection."""
        while isinstance(command, commands.Phrased | commands.PhrasedAnew):
            phrased = command
            writer = phrased.form.writer() if hasattr(phrased, "form") else phrased.writer
            command = phrased.command
        if isinstance(command, commands.Quit):
            return None
        if isinstance(command, commands.Refusal) and (self._tells or command.reply != _UNKNOWN):
            return command.reply
        if isinstance(command, commands.Version):
            return writer.version(__version__)
        if isinstance(command, commands.Stats) and not command.words and self._tells:
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
