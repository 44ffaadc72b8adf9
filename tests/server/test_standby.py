"""A server that does not serve: every dialect is told so, and nothing has an effect."""

import socket
from collections.abc import Iterator

import attrs
import pytest
import trio

from starling_py.server.listening import listen
from starling_py.server.standby import Standby
from starling_py.stats import Pairs

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


async def ask(
    listeners: list[socket.socket],
    data: bytes,
    reason: Reason | None = None,
    *,
    tells: bool = True,
) -> bytes:
    """Return all that a client is told that sends something and then nothing more."""
    standby = Standby(listeners, reason or Reason(), 1000, 100, proxied=False, tells=tells)
    told = b""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(standby.run)
        client = await trio.open_tcp_stream(*listeners[0].getsockname()[:2])
        async with client:
            await client.send_all(data)
            await client.send_eof()
            with trio.fail_after(20):
                while more := await client.receive_some():
                    told += more
        nursery.cancel_scope.cancel()
    return told


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
    assert await ask(listeners, asked) == reply


async def test_a_server_that_follows_answers_the_binary_protocol(
    listeners: list[socket.socket],
) -> None:
    get = bytes([0x80, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 4]) + b"abcd" + bytes(8) + b"jobs"
    told = await ask(listeners, get)
    assert told[:2] == b"\x81\x00"
    assert told[6:8] != b"\x00\x00"
    assert told[12:16] == b"abcd"
    assert WHY.encode() in told


async def test_a_command_waits_until_it_is_known_what_to_tell(
    listeners: list[socket.socket],
) -> None:
    reason = Reason("the cluster does not answer", 3)
    told = await ask(listeners, b"get jobs\r\n", reason)
    assert told == b"SERVER_ERROR the cluster does not answer\r\n"
    assert reason.waits == -1


async def test_of_a_group_with_users_an_authentication_is_answered_like_all_else(
    listeners: list[socket.socket],
) -> None:
    login = b"set auth 0 0 9\r\nme secret\r\n"
    assert await ask(listeners, login + b"stats\r\n", tells=False) == REFUSED * 2
    assert await ask(listeners, login) == b"CLIENT_ERROR authentication failure\r\n"
