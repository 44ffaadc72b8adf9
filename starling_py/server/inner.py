"""Conversations with the server in its own protocol, for what HTTP clients ask for.

Each is a client like any other, at the address of the HTTP client that it speaks for, so all that
is checked of clients is checked of it. Few may be under way at the same time, and none for long.
"""

import socket
from collections.abc import Sequence
from typing import Final

import trio

from starling_py.http.talk import Replies, Reply, TalkError
from starling_py.server.tick import Tick

MOST: Final = 4
"""Conversations under way."""
PATIENCE: Final = 30.0
"""Seconds that one may take."""
_READ_SIZE: Final = 65536


class Inner:
    """Says commands to the server."""

    def __init__(self, tick: Tick) -> None:
        self._tick = tick
        self._places = trio.CapacityLimiter(MOST)

    async def say(self, peer: str, name: str, commands: Sequence[bytes]) -> list[Reply]:
        """Say some commands for the client at an address, and return the replies.

        ``name`` is what it is called in the log. Raises ``TalkError``.
        """
        async with self._places:
            with trio.move_on_after(PATIENCE):
                return await self._say(peer, name, commands)
        raise TalkError(f"the server has not answered within {PATIENCE:.0f} seconds")

    async def _say(self, peer: str, name: str, commands: Sequence[bytes]) -> list[Reply]:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        connection = self._tick.add(theirs, peer)
        connection.session.introduced = True  # no proxy is in between
        replies = Replies(len(commands) + 1)
        async with trio.SocketStream(trio.socket.from_stdlib_socket(ours)) as stream:
            try:
                await stream.send_all(b"".join([b"hello %b\r\n" % name.encode(), *commands]))
                while not replies.are_whole:
                    replies.feed(await stream.receive_some(_READ_SIZE))
            except trio.BrokenResourceError as problem:
                raise TalkError("the server ended it") from problem
        return replies.found[1:]
