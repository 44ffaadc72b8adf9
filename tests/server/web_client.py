"""A client of HTTP, for tests that ask a server in process."""

import ssl
from collections.abc import Mapping
from types import MappingProxyType
from typing import Self

import attrs
import h11
import trio

from tests.server.in_process import PATIENCE


@attrs.frozen
class Reply:
    """What was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


class WebClient:
    """One connection."""

    def __init__(self, port: int, secured: ssl.SSLContext | None = None) -> None:
        """``secured`` is what TLS begins with, if it is spoken."""
        self._port = port
        self._secured = secured
        self._connection = h11.Connection(h11.CLIENT)
        self.stream: trio.SocketStream | trio.SSLStream[trio.SocketStream]

    async def __aenter__(self) -> Self:
        stream = await trio.open_tcp_stream("127.0.0.1", self._port)
        if self._secured is None:
            self.stream = stream
        else:
            self.stream = trio.SSLStream(
                stream, self._secured, server_hostname="127.0.0.1", https_compatible=True
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        await trio.aclose_forcefully(self.stream)

    async def ask(
        self,
        path: str,
        method: str = "GET",
        headers: Mapping[str, str] = MappingProxyType({}),
        body: bytes = b"",
    ) -> Reply:
        """Send a request, and return the answer."""
        lines = {"Host": f"127.0.0.1:{self._port}", **headers}
        if body:
            lines["Content-Length"] = str(len(body))
        await self._send(h11.Request(method=method, target=path, headers=list(lines.items())))
        if body:
            await self._send(h11.Data(data=body))
        await self._send(h11.EndOfMessage())
        return await self.reply()

    async def reply(self) -> Reply:
        """Return the next answer."""
        status, headers, read = 0, {}, b""
        with trio.fail_after(PATIENCE):
            while True:
                event = self._connection.next_event()
                if event is h11.NEED_DATA:
                    self._connection.receive_data(bytes(await self.stream.receive_some(65536)))
                elif isinstance(event, h11.Response):
                    status = event.status_code
                    headers = {name.decode(): value.decode() for name, value in event.headers}
                elif isinstance(event, h11.Data):
                    read += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    break
                else:
                    raise AssertionError(event)
        if self._connection.our_state is h11.DONE and self._connection.their_state is h11.DONE:
            self._connection.start_next_cycle()
        return Reply(status, headers, read)

    async def rest(self) -> bytes:
        """Return all that comes until the server ends the connection, in whatever way."""
        read = b""
        with trio.fail_after(PATIENCE):
            try:
                while data := await self.stream.receive_some(65536):
                    read += data
            except trio.BrokenResourceError:
                pass
        return read

    async def _send(self, event: "h11.Event") -> None:
        await self.stream.send_all(self._connection.send(event) or b"")


async def ask(port: int, path: str, **more: Mapping[str, str]) -> Reply:
    """Ask once, on a connection of its own."""
    async with WebClient(port) as client:
        return await client.ask(path, **more)  # type: ignore[arg-type]
