"""A server that does not serve: every dialect is told so, and nothing has an effect."""

import contextlib
import gc
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from starling_py.server.acceptor import REFUSAL
from starling_py.server.access import Access
from starling_py.server.accounts import Accounts
from starling_py.server.handshakes import NO_TLS
from starling_py.server.listening import listen
from starling_py.server.standby import Standby
from starling_py.server.tls import Certificates
from starling_py.settings.server_settings import Settings
from starling_py.settings.users import Users
from starling_py.stats import Pairs
from tests.server import certificates
from tests.server.test_nothing_left import client_hello

WHY = "this server follows; the owner is 10.0.0.1:22122"


@attrs.define
class Reason:
    """Why it does not serve, as a test sets it."""

    why: str = WHY
    waits: int = 0
    """How often it is asked before it is known."""

    def refusal(self) -> str | None:
        self.waits -= 1
        return None if self.waits >= 0 else self.why

    def stats(self) -> Pairs:
        return [(b"replica_role", b"follower")]


@pytest.fixture
def listeners() -> Iterator[list[socket.socket]]:
    opened = listen("127.0.0.1", 0)
    yield opened
    for each in opened:
        each.close()


@contextlib.asynccontextmanager
async def standing_by(
    listeners: list[socket.socket],
    reason: Reason | None = None,
    access: Access | None = None,
    settings: Mapping[str, Any] | None = None,
) -> AsyncIterator[None]:
    """Have a server that does not serve, within the block."""
    chosen = Settings(**{"queue_path": "/tmp", "item_size_max": 1000, **(settings or {})})
    standby = Standby(chosen, listeners, access or Access(), reason or Reason())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(standby.run)
        yield
        nursery.cancel_scope.cancel()


async def end_of(client: trio.abc.Stream) -> bytes:
    """Return all that a client is told until the server hangs up."""
    told = b""
    with trio.fail_after(20), contextlib.suppress(trio.BrokenResourceError):
        while more := bytes(await client.receive_some()):
            told += more
    return told


async def tell(
    listeners: list[socket.socket],
    data: bytes,
    reason: Reason | None = None,
    access: Access | None = None,
    settings: Mapping[str, Any] | None = None,
) -> bytes:
    """Return all that a client is told that sends something and then nothing more."""
    async with standing_by(listeners, reason, access, settings):
        client = await trio.open_tcp_stream(*listeners[0].getsockname()[:2])
        async with client:
            with contextlib.suppress(trio.BrokenResourceError):
                await client.send_all(data)
                await client.send_eof()
            return await end_of(client)


REFUSED = b"SERVER_ERROR " + WHY.encode() + b"\r\n"


@pytest.mark.parametrize(
    ("asked", "reply"),
    [
        (b"get jobs\r\n", REFUSED),
        (b"set jobs 0 0 5\r\nget a\r\nget jobs\r\n", REFUSED * 2),
        (b"set jobs 0 0 5 noreply\r\nhello\r\ndelete jobs\r\n", REFUSED),
        (b"mg jobs v\r\nms jobs 2\r\nab\r\n", REFUSED * 2),
        (b"flush_all\r\nshutdown\r\n", REFUSED * 2),
        (b"stats\r\n", b"STAT replica_role follower\r\nEND\r\n"),
        (b"nonsense\r\n", b"ERROR\r\n"),
        (b"quit\r\nget jobs\r\n", b""),
    ],
)
async def test_a_server_that_follows_tells_where_the_owner_is(
    listeners: list[socket.socket], asked: bytes, reply: bytes
) -> None:
    assert await tell(listeners, asked) == reply


async def test_a_server_that_follows_answers_the_binary_protocol(
    listeners: list[socket.socket],
) -> None:
    get = bytes([0x80, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 4]) + b"abcd" + bytes(8) + b"jobs"
    told = await tell(listeners, get)
    assert told[:2] == b"\x81\x00"
    assert told[6:8] != b"\x00\x00"
    assert told[12:16] == b"abcd"
    assert WHY.encode() in told


async def test_a_command_waits_until_it_is_known_what_to_tell(
    listeners: list[socket.socket],
) -> None:
    reason = Reason("the cluster does not answer", 3)
    told = await tell(listeners, b"get jobs\r\n", reason)
    assert told == b"SERVER_ERROR the cluster does not answer\r\n"
    assert reason.waits == -1


async def test_of_a_group_with_users_an_authentication_is_answered_like_all_else(
    listeners: list[socket.socket],
) -> None:
    with_users = Access(Accounts(Users()))
    login = b"set auth 0 0 9\r\nme secret\r\n"
    assert await tell(listeners, login + b"stats\r\n", access=with_users) == REFUSED * 2
    assert await tell(listeners, login) == b"CLIENT_ERROR authentication failure\r\n"


async def test_over_tls_a_client_is_told_where_the_owner_is(
    listeners: list[socket.socket], tmp_path: Path
) -> None:
    shown = Certificates(Settings(queue_path=tmp_path, **certificates.write(tmp_path)))
    async with standing_by([], access=Access(None, listeners, shown)):
        port = listeners[0].getsockname()[1]
        client = await trio.open_ssl_over_tcp_stream(
            "127.0.0.1", port, ssl_context=certificates.client_context()
        )
        async with client:
            await client.send_all(b"get jobs\r\nquit\r\n")
            assert await end_of(client) == REFUSED  # and an end that TLS tells of
        plain = await trio.open_tcp_stream("127.0.0.1", port)
        async with plain:
            await plain.send_all(b"get jobs\r\n")
            assert await end_of(plain) == NO_TLS


async def test_who_may_not_come_is_told_nothing_by_a_server_that_follows(
    listeners: list[socket.socket],
) -> None:
    assert await tell(listeners, b"get jobs\r\n", settings={"allow_from": ["10.0.0.0/8"]}) == b""

    async def tell_from(host: str) -> bytes:
        header = f"PROXY TCP4 {host} 127.0.0.1 5000 22122\r\n".encode()
        asked = header + b"get jobs\r\n"
        behind = {"allow_from": ["127.0.0.1"], "proxy_protocol": True}
        return await tell(listeners, asked, settings=behind)

    assert await tell_from("192.168.1.1") == b""
    assert await tell_from("127.0.0.1") == REFUSED


async def test_a_server_that_follows_has_places_for_so_many_clients(
    listeners: list[socket.socket],
) -> None:
    async with standing_by(listeners, settings={"max_connections": 1}):
        address = listeners[0].getsockname()[:2]
        async with await trio.open_tcp_stream(*address) as first:
            await first.send_all(b"get jobs\r\n")
            assert await first.receive_some() == REFUSED
            async with await trio.open_tcp_stream(*address) as second:
                assert await end_of(second) == REFUSAL
        async with await trio.open_tcp_stream(*address) as third:
            await third.send_all(b"get jobs\r\nquit\r\n")
            assert await end_of(third) in (REFUSED, REFUSAL)


async def test_bodies_that_never_come_whole_are_bounded_where_nobody_serves(
    listeners: list[socket.socket],
) -> None:
    small = {"client_memory": "1m", "item_size_max": "1m"}
    async with standing_by(listeners, settings=small):
        address = listeners[0].getsockname()[:2]
        body = b"set jobs 0 0 900000\r\n" + bytes(700_000)
        async with await trio.open_tcp_stream(*address) as first:
            await first.send_all(b"version\r\n" + body)
            assert (await first.receive_some()).startswith(b"VERSION")
            async with await trio.open_tcp_stream(*address) as second:
                with contextlib.suppress(trio.BrokenResourceError):
                    await second.send_all(body)
                assert await end_of(second) == b""
            await first.send_all(bytes(200_000) + b"\r\n")
            assert await first.receive_some() == REFUSED


async def test_a_server_that_follows_lets_go_of_silent_clients(
    listeners: list[socket.socket], autojump_clock: trio.testing.MockClock
) -> None:
    async with (
        standing_by(listeners, settings={"timeout": 10}),
        await trio.open_tcp_stream(*listeners[0].getsockname()[:2]) as client,
    ):
        assert await end_of(client) == b""


LEFT = {
    "nothing": b"",
    "a command": b"get jobs\r\n",
    "half a body": b"set jobs 0 0 900\r\nhalf",
    "no header": b"\0\xff\r\n",
    "a wrong header": b"PROXY TCP4 no\r\n",
    "a wrong binary packet": b"\x80" + bytes(100),
    "half a hello": client_hello()[:100],
    "a hello": client_hello(),
    "a hello and garbage": client_hello() + b"\x16\x03\x03\x00\x05wrong",
}


@pytest.mark.parametrize("way", ["plain", "tls", "proxied"])
@pytest.mark.parametrize("said", LEFT.values(), ids=LEFT)
async def test_who_hangs_up_on_a_server_that_follows_leaves_nothing(
    listeners: list[socket.socket], tmp_path: Path, said: bytes, way: str
) -> None:
    loaded = Certificates(Settings(queue_path=tmp_path, **certificates.write(tmp_path)))
    (secured,) = listen("127.0.0.1", 0)
    chosen = Settings(queue_path=tmp_path, item_size_max=1000, proxy_protocol=way == "proxied")
    access = Access(None, [secured], loaded)
    standby = Standby(chosen, listeners, access, Reason())
    at = (secured if way == "tls" else listeners[0]).getsockname()
    found: Counter[str] = Counter()

    async def hang_up(*, resets: bool) -> None:
        with socket.create_connection(at) as client:
            client.sendall(said)
            for _ in range(20):  # it may be answered, or not
                await trio.sleep(0.001)
            if resets:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with trio.fail_after(20):
            while standby._connected:
                await trio.sleep(0.001)

    with secured:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(standby.run)
            await hang_up(resets=False)
            gc.collect()
            gc.disable()
            gc.set_debug(gc.DEBUG_SAVEALL)
            try:
                for number in range(6):
                    await hang_up(resets=number % 2 == 0)
                gc.collect()
                found.update(type(each).__name__ for each in gc.garbage)
            finally:
                gc.set_debug(0)
                gc.garbage.clear()
                gc.enable()
            nursery.cancel_scope.cancel()
    assert not found
