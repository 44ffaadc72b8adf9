"""Conversations with the server in its own protocol, for what HTTP clients ask for.

Each is a client like any other, at the address of the HTTP client that it speaks for, so all that
is checked of clients is checked of it. On a server with users, it comes in as the one that the
token is called after, if there is such a user. Few may be under way at the same time, and none for
long.
"""

import socket
from collections.abc import Callable, Sequence
from typing import Final

import trio

from starling_py.http.talk import Replies, Reply, TalkError
from starling_py.server.tick import Tick
from starling_py.session.guarded import Account, GuardedSession

MOST: Final = 4
"""Conversations under way."""
PATIENCE: Final = 30.0
"""Seconds that one may take."""
_READ_SIZE: Final = 65536
_LONGEST_NAME: Final = 64


class Inner:
    """Says commands to the server."""

    def __init__(self, tick: Tick, find: Callable[[str], Account | None] = lambda _: None) -> None:
        """``find`` returns the account of a user."""
        self._tick = tick
        self._find = find
        self._places = trio.CapacityLimiter(MOST)

    async def say(self, peer: str, who: str, commands: Sequence[bytes]) -> list[Reply]:
        """Say some commands for the client at an address, and return the replies.

        ``who`` is the name of its token. Raises ``TalkError``.
        """
        async with self._places:
            with trio.move_on_after(PATIENCE):
                return await self._say(peer, who, commands)
        raise TalkError(f"the server has not answered within {PATIENCE:.0f} seconds")

    async def _say(self, peer: str, who: str, commands: Sequence[bytes]) -> list[Reply]:
        name = f"page:{who}".encode("ascii", "replace")[:_LONGEST_NAME]
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        connection = self._tick.add(theirs, peer)
        session = connection.session
        session.introduced = True  # no proxy is in between
        replies = Replies(len(commands) + 1)
        async with trio.SocketStream(trio.socket.from_stdlib_socket(ours)) as stream:
            if isinstance(session, GuardedSession) and (account := self._find(who)) is not None:
                refusal = session.admit(account)
                if refusal is not None:
                    raise TalkError(refusal)
            try:
                await stream.send_all(b"".join([b"hello %b\r\n" % name, *commands]))
                while not replies.are_whole:
                    replies.feed(await stream.receive_some(_READ_SIZE))
            except trio.BrokenResourceError as problem:
                raise TalkError("the server ended it") from problem
        return replies.found[1:]
