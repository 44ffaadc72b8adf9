"""Whoever is gone leaves nothing behind: all of it is freed at once, without the collector.

The collector hardly ever runs in a server, as it counts objects and not bytes: one cycle with a
megabyte in it, made by each client that hangs up, is as good as a leak.
"""

import contextlib
import gc
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from starling_py.queues.queue_directory import Rules
from starling_py.settings.http_settings import HttpSettings
from starling_py.settings.queue_table import QueueTable
from tests.core import CoreHarness
from tests.server import certificates
from tests.server.in_process import PATIENCE, Client, RunningServer, Servers, put
from tests.server.test_gate import USERS, hashed, sasl, token
from tests.server.test_handshakes import connected

ITEM = put(b"big", b"x" * 100_000)
HALF = ITEM[:-50_000]
MANY_NAMES = b" ".join(b"n%d" % number for number in range(500))
SAID = {
    "nothing": b"",
    "half a line": b"get jo",
    "half a body": HALF,
    "half a meta body": b"ms jobs 100000\r\n" + b"x" * 50_000,
    "half a binary body": bytes.fromhex("80010001080000000001000900000000") + b"\0" * 16 + b"k",
    "half a body that is refused": b"set big x 0 100000\r\n" + b"x" * 50_000,
    "replies that nobody reads": b"get big/peek\r\n" * 30,
    "several at once that nobody reads": b"get big/peek/n=1000\r\n",
    "an error": b"get big/open/peek\r\nset\r\nnonsense\r\n",
    "a wait": b"get jobs/t=100000000\r\n",
    "a wait for many": b"get jobs/t=100000000 " + MANY_NAMES + b"\r\n",
    "a wait, and commands behind it": b"get jobs/t=100000000\r\n" + b"version\r\n" * 500,
    "a wait, and half a body behind it": b"get jobs/t=100000000\r\n" + HALF,
    "a wait for room": put(b"full/t=100000000", b"y" * 100_000),
    "a put that is synced": put(b"jobs/sync", b"z"),
    "an open read": b"get big/open\r\n",
    "an open read with a lease": b"get big/open/lease=1\r\n",
    "a monitor": b"monitor jobs 100000\r\n",
    "a monitor of something": b"monitor big 100000\r\n",
    "a fan-out child": b"get big+1\r\n",
    "statistics": b"stats\r\nstats conns\r\n",
    "what has changed": b"stats changed\r\nstats consumers big\r\nhello somebody\r\n",
    "a list": b"browse big 1 1000\r\n" * 50,
    "the first of many": b"get jobs/first/t=100000000 " + MANY_NAMES + b"\r\n",
    "a put with a token": put(b"jobs/once=a", b"x") + HALF,
    "a move and a drop": b"move big jobs 1\r\ndrop jobs 1\r\nmove jobs origin\r\n",
    "a body beyond a long line": b"get " + b"k " * 30_000 + b"\r\n" + HALF,
    "meta commands": b"mg big v k O123\r\nmn\r\nmg big v t N0\r\n",
}
KINDS = (
    "Client",
    "GuardedSession",
    "TlsSocket",
    "SSLSocket",
    "_Shaking",
    "_Attempt",
    "_Visit",
    "TlsStream",
    "SSLObject",
    "Exchange",
    "Connection",
    "Session",
    "Replies",
    "ReadHolder",
    "TextDialect",
    "BinaryDialect",
    "_Body",
    "Waiter",
    "RoomWaiter",
    "Parked",
    "Store",
    "_Patience",
    "_Stream",
    "socket",
)


MODULES = ("starling_py", "socket", "ssl")


def living() -> Counter[str]:
    """Return how many objects there are of what a client consists of."""
    kinds = (type(each) for each in gc.get_objects())
    ours = (each for each in kinds if str(each.__module__).startswith(MODULES))
    return Counter(each.__name__ for each in ours if each.__name__ in KINDS)


@pytest.fixture
def without_collector() -> Iterator[None]:
    """Have nothing collected."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def say_and_hang_up(running: RunningServer, said: bytes) -> None:
    """Connect, say something, have the server do it, and hang up in the middle of it all."""
    async with running.client(receive_buffer=4096) as client:
        await client.send(said)
        async with running.client() as observer:
            await observer.expect_reply(b"version\r\n", b"VERSION 1.0.0\r\n")


@pytest.mark.parametrize("said", SAID.values(), ids=SAID)
@pytest.mark.usefixtures("without_collector")
async def test_a_client_that_hangs_up_leaves_nothing(start: Servers, said: bytes) -> None:
    settings = {"full": {"max_items": 1}}
    running = await start(sync="always", queues=settings, window_size="1m")
    async with running.client() as client:
        for _ in range(12):
            await client.expect_reply(ITEM, b"STORED\r\n")
        await client.expect_reply(put(b"full", b"x"), b"STORED\r\n")
        await say_and_hang_up(running, said)  # what is remembered from now on is remembered
        await running.until_connected(1)
        before = living()
        for _ in range(5):
            await say_and_hang_up(running, said)
        await running.until_connected(1)
        with trio.fail_after(PATIENCE):
            while living() - before:
                await trio.sleep(0.01)


async def until_nobody_is_left(running: RunningServer, before: Counter[str] | None = None) -> None:
    with trio.fail_after(PATIENCE):
        while len(running.server._tick.connections) or (before and living() - before):
            await trio.sleep(0.01)


async def expect_nothing_left(
    running: RunningServer, hang_up: Callable[[], Awaitable[None]], own: Counter[str] | None = None
) -> None:
    """Have clients hang up; the first one brings what is remembered, the others must leave nothing.

    ``own`` is what the clients of the test may leave themselves.
    """
    await hang_up()
    await until_nobody_is_left(running)
    before = living() + (own or Counter())
    for _ in range(5):
        await hang_up()
    await until_nobody_is_left(running, before)


def client_hello() -> bytes:
    """Return how a client begins to speak TLS."""
    outgoing = ssl.MemoryBIO()
    begun = certificates.client_context().wrap_bio(ssl.MemoryBIO(), outgoing)
    with contextlib.suppress(ssl.SSLWantReadError):
        begun.do_handshake()
    return outgoing.read()


HANDSHAKES = {
    "nothing": b"",
    "half a hello": client_hello()[:100],
    "a hello": client_hello(),
    "a hello and garbage": client_hello() + b"\x16\x03\x03\x00\x05wrong",
    "no TLS": b"version\r\n",
}


@pytest.mark.parametrize("said", HANDSHAKES.values(), ids=HANDSHAKES)
@pytest.mark.usefixtures("without_collector")
async def test_a_handshake_that_is_broken_off_leaves_nothing(
    start: Servers, tmp_path: Path, said: bytes
) -> None:
    running = await start(**certificates.write(tmp_path))

    async def hang_up() -> None:
        async with Client(running.tls_port) as client:
            await client.send(said)
            async with running.client() as observer:
                await observer.expect_reply(b"version\r\n", b"VERSION 1.0.0\r\n")

    await expect_nothing_left(running, hang_up)


@pytest.mark.parametrize("name", ["half a body", "replies that nobody reads", "a wait", "a list"])
@pytest.mark.usefixtures("without_collector")
async def test_a_client_over_tls_that_hangs_up_leaves_nothing(
    start: Servers, tmp_path: Path, name: str
) -> None:
    running = await start(**certificates.write(tmp_path))
    async with running.client() as client:
        await client.expect_reply(ITEM, b"STORED\r\n")

    async def hang_up() -> None:
        async with connected(running) as client:
            await client.stream.send_all(SAID[name])
            async with running.client() as observer:
                await observer.expect_reply(b"version\r\n", b"VERSION 1.0.0\r\n")

    # The test's own clients over TLS keep their sockets; the server has SSLSocket.
    await expect_nothing_left(running, hang_up, Counter(socket=100))


AUTHENTICATIONS = {
    "half a token": token("anna")[:-5],
    "a wrong token": token("anna", "wrong"),
    "many wrong ones": token("anna", "wrong") * 20,
    "half of SASL": sasl("anna")[:-3],
    "a wrong SASL": sasl("anna", "wrong"),
    "a right one, and half a body": token("anna") + HALF.replace(b"big", b"jobs"),
    "commands before it": b"version\r\nget jobs\r\nstats\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("said", AUTHENTICATIONS.values(), ids=AUTHENTICATIONS)
@pytest.mark.usefixtures("without_collector")
async def test_who_hangs_up_in_an_authentication_leaves_nothing(
    start: Servers, tmp_path: Path, said: bytes
) -> None:
    users_file = tmp_path / "users"
    users_file.write_text("".join(f"{name}:{hashed('geheim')}\n" for name in USERS))
    running = await start(users_file=users_file, users=USERS)

    async def hang_up() -> None:
        async with running.client() as client:
            await client.send(said)
            async with running.client() as observer:
                await observer.expect_reply(token("boss"), b"STORED\r\n")

    await expect_nothing_left(running, hang_up)


ASKED = {
    "nothing": b"",
    "half a line": b"GET /hea",
    "half a body": b"POST /do HTTP/1.1\r\nHost: x\r\nContent-Length: 8000\r\n\r\nhalf",
    "answers that nobody reads": b"GET /uplot.js HTTP/1.1\r\nHost: x\r\n\r\n" * 20,
    "a stream": b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no HTTP": b"\0\xff\r\n\r\n",
    "a long line": b"GET /" + b"x" * 9000,
    "a wrong piece": b"POST /do HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "something behind the end": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nx",
    "half a hello": client_hello()[:100],
    "a hello": client_hello(),
    "a hello and garbage": client_hello() + b"\x16\x03\x03\x00\x05wrong",
}


@pytest.mark.parametrize("speaks", ["", "tls:"], ids=["plain", "tls"])
@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
@pytest.mark.usefixtures("without_collector")
async def test_a_client_of_http_that_hangs_up_leaves_nothing(
    start: Servers, tmp_path: Path, asked: bytes, speaks: str
) -> None:
    tls: dict[str, Any] = certificates.write(tmp_path) if speaks else {}
    listen: Any = f"{speaks}127.0.0.1:0"
    running = await start(http=HttpSettings(listen=listen, dashboard=True, **tls))
    web: Any = running.server._web
    assert web is not None

    async def hang_up() -> None:
        async with Client(running.web_port) as client:
            client.say(asked)
            # The server looks at what was said, and perhaps hangs up before the test does.
            for _ in range(3):
                async with running.client() as observer:
                    await observer.expect_reply(b"version\r\n", b"VERSION 1.0.0\r\n")
        with trio.fail_after(PATIENCE):
            while web._visits:
                await trio.sleep(0.001)

    await expect_nothing_left(running, hang_up)


HEADERS = {
    "nothing": b"",
    "half a header": b"PROXY TCP4 127",
    "no header": b"version\r\n",
    "a wrong header": b"PROXY TCP4 no\r\n",
    "half a binary header": b"\r\n\r\n\0\r\nQUIT\n\x21",
    "a header, and half a body": b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n" + HALF,
    "a header, and a wait": b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\nget jobs/t=100000\r\n",
}


@pytest.mark.parametrize("said", HEADERS.values(), ids=HEADERS)
@pytest.mark.usefixtures("without_collector")
async def test_a_client_behind_a_proxy_that_hangs_up_leaves_nothing(
    start: Servers, said: bytes
) -> None:
    running = await start(proxy_protocol=True)

    async def hang_up() -> None:
        async with running.client() as client:
            client.say(said)
            async with running.client() as observer:
                await observer.send(b"PROXY UNKNOWN\r\n")
                await observer.expect_reply(b"version\r\n", b"VERSION 1.0.0\r\n")

    await expect_nothing_left(running, hang_up)


QUEUE_KINDS = (
    "PersistentQueue",
    "Journal",
    "Chores",
    "Ledger",
    "Recorder",
    "Reclaiming",
    "Compaction",
    "SegmentWriter",
    "SyncsOnDemand",
    "WaitingItems",
    "OpenReads",
    "OpenRead",
    "SetAside",
    "SyncWaits",
    "Traffic",
    "Item",
)
LARGE = b"x" * 700
LIVES = {
    "put and taken": [put(b"NAME", b"x"), b"get NAME\r\n"],
    "deleted with all its items": [put(b"NAME", LARGE)] * 20 + [b"delete NAME\r\n"],
    "flushed": [put(b"NAME", LARGE)] * 20 + [b"flush NAME\r\n"],
    "read and confirmed": [put(b"NAME", b"x"), b"get NAME/open\r\n", b"get NAME/close\r\n"],
    "deleted while it is read": [put(b"NAME", b"x"), b"get NAME/open/lease=9\r\ndelete NAME\r\n"],
    "deleted while it is delayed": [put(b"NAME/delay=9", b"x"), b"delete NAME\r\n"],
    "taken from segment by segment": [put(b"NAME", LARGE)] * 30 + [b"get NAME\r\n"] * 30,
    "copied forward": [
        *([put(b"NAME", LARGE), put(b"NAME", b"x")] * 20),
        *([b"get NAME/open\r\n"] * 40),
        *(b"get NAME/close=%d\r\n" % each for each in range(1, 40, 2)),
        b"delete NAME\r\n",
    ],
    "refused from the beginning": [put(b"small-NAME", LARGE)],
    "a child": [b"get NAME+c\r\n", b"delete NAME+c\r\n"],
    "waited for": [b"get NAME/t=1\r\n", put(b"NAME", b"x"), b"get NAME\r\n"],
    "synced": [put(b"NAME/sync", b"x"), b"get NAME\r\n"],
    "kept in memory": [put(b"memory-NAME", b"x"), b"get memory-NAME\r\n"],
    "moved from": [put(b"short-NAME", b"x", exptime=1), b"get NAME\r\n"],
}


@pytest.mark.parametrize("interval", [None, 0.01, 0.0], ids=["never", "interval", "always"])
@pytest.mark.parametrize("life", LIVES.values(), ids=LIVES)
@pytest.mark.usefixtures("without_collector")
def test_a_queue_that_is_gone_leaves_nothing(
    tmp_path: Path, life: list[bytes], interval: float | None
) -> None:
    entries: dict[str, dict[str, object]] = {
        "*": {"idle_expire": 1},
        "small-*": {"max_item_size": 1},
        "memory-*": {"journal": False},
        "short-*": {"expire_to": "dead"},
    }
    core = CoreHarness(tmp_path, interval=interval, rules=Rules(QueueTable(entries)))

    def live(name: bytes) -> None:
        client = core.client()
        for command in life:
            client.ask(command.replace(b"NAME", name))
        for _ in range(8):
            core.clock.advance(1.1)
            core.queues.run_due()
            core.queues.keep_house()
            core.commits.sync_if_due()
            client.told()
            client.ask(b"delete dead\r\n")
        client.session.disconnected()
        assert not core.queues.directory.by_name

    def queues_in_memory() -> Counter[str]:
        kinds = (type(each) for each in gc.get_objects())
        ours = (each for each in kinds if str(each.__module__).startswith("starling_py"))
        return Counter(each.__name__ for each in ours if each.__name__ in QUEUE_KINDS)

    live(b"first")
    before = queues_in_memory()
    for number in range(3):
        live(b"n%d" % number)
    assert not queues_in_memory() - before
    core.close()
