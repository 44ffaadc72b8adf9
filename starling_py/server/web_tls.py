"""TLS in tasks of trio: a stream like trio's own, whose work is done in pieces between turns.

It is for clients of HTTP, and for those of a server that does not serve.

A handshake takes a millisecond of the processor, and thirty clients may begin one at once; so each
step of it, as whatever is encrypted and decrypted, is a piece of work under a lock that all of
them share. Invariants: the lock is never held while the network is waited for, and nothing
here holds itself, so that what a client had is gone with it.
"""

import contextlib
import functools
import ssl
from collections.abc import Callable
from typing import Final, TypeVar

import trio

from starling_py.server.tls import RECORD

PLAIN: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Length: 43\r\nConnection: close\r\n\r\n"
    b"this port speaks TLS: ask with https://...\n"
)
"""What a client is told that speaks HTTP without TLS."""

_Result = TypeVar("_Result")


class TlsStream:
    """A connection whose client speaks TLS; what is wrong with that is a broken stream."""

    def __init__(self, stream: trio.SocketStream, context: ssl.SSLContext, turn: trio.Lock) -> None:
        """``turn`` is held for each piece of work."""
        self._stream = stream
        self._turn = turn
        self._came = ssl.MemoryBIO()
        self._to_be_sent = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._came, self._to_be_sent, server_side=True)
        self.socket = stream.socket

    async def shake_hands(self) -> None:
        """Begin; raise ``trio.BrokenResourceError`` if the client does not speak TLS."""
        try:
            await self._do(self._tls.do_handshake)
        except ssl.SSLError as error:
            if error.reason == "HTTP_REQUEST":
                await self._stream.send_all(PLAIN)
                await self._stream.send_eof()
            raise trio.BrokenResourceError(f"no handshake: {error.reason}") from error

    async def receive_some(self, most: int) -> bytes:
        """Return what has come; nothing at the end, however the client ended it."""
        try:
            return await self._do(lambda: self._tls.read(max(most, RECORD)))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""
        except ssl.SSLError as error:
            raise trio.BrokenResourceError(str(error.reason)) from error

    async def send_all(self, data: bytes) -> None:
        """Send all of it. Raises ``trio.BrokenResourceError``."""
        for start in range(0, len(data), RECORD):
            write = functools.partial(self._tls.write, data[start : start + RECORD])
            try:
                await self._do(write)
            except ssl.SSLError as error:
                raise trio.BrokenResourceError(str(error.reason)) from error

    async def send_eof(self) -> None:
        """Say that nothing more is sent, in TLS and then below it."""
        async with self._turn:
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()
            told = self._to_be_sent.read()
        if told:
            await self._stream.send_all(told)
        await self._stream.send_eof()

    async def _do(self, call: Callable[[], _Result]) -> _Result:
        """Do something, as soon as enough has come for it. Raises ``ssl.SSLError``."""
        while True:
            async with self._turn:
                done: list[_Result] = []
                try:
                    done.append(call())
                except ssl.SSLWantReadError:
                    pass
                finally:
                    told = self._to_be_sent.read()
            if told:
                await self._stream.send_all(told)
            if done:
                return done[0]
            data = await self._stream.receive_some(RECORD)
            if data:
                self._came.write(data)
            else:
                self._came.write_eof()
