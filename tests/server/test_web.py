"""HTTP beside the tick: what is told, and clients of HTTP that mean harm."""

import contextlib
import socket
from collections.abc import AsyncIterator

import pytest
import trio

from starling_py.server import web
from starling_py.settings.http_settings import HttpSettings
from tests.server.in_process import PATIENCE, RunningServer, Servers, item, put
from tests.server.web_client import WebClient, ask

ANY_PORT = HttpSettings(listen="127.0.0.1:0")  # type: ignore[arg-type]
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
async def running(start: Servers) -> RunningServer:
    return await start(http=ANY_PORT)


@contextlib.asynccontextmanager
async def raw(port: int) -> AsyncIterator[trio.SocketStream]:
    """Connect, and say whatever a test wants."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    try:
        yield stream
    finally:
        await trio.aclose_forcefully(stream)


async def to_the_end(stream: trio.SocketStream) -> bytes:
    """Return all that comes until the server ends the connection, in whatever way."""
    read = b""
    with trio.fail_after(PATIENCE), contextlib.suppress(trio.BrokenResourceError):
        while data := await stream.receive_some(65536):
            read += data
    return read


async def until_sent(stream: trio.SocketStream, data: bytes) -> None:
    with contextlib.suppress(trio.BrokenResourceError):
        await stream.send_all(data)


async def numbers(running: RunningServer) -> dict[str, float]:
    """Return the lines of ``/metrics``."""
    told = (await ask(running.web_port, "/metrics")).text
    lines = (line for line in told.splitlines() if not line.startswith("#"))
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


async def test_what_clients_do_is_told_at_once(running: RunningServer) -> None:
    async with running.client() as client:
        await client.expect_reply(put(b"jobs", b"abc"), b"STORED\r\n")
        await client.expect_reply(put(b"jobs", b"de"), b"STORED\r\n")
        await client.expect_reply(b"get jobs\r\n", item(b"jobs", b"abc"))
    found = await numbers(running)
    assert found['starling_queue_items{queue="jobs"}'] == 1
    assert found['starling_queue_bytes{queue="jobs"}'] == 2
    assert found['starling_queue_puts_total{queue="jobs"}'] == 2
    assert found['starling_queue_gets_total{queue="jobs"}'] == 1
    assert found["starling_item_wait_seconds_count"] == 1
    assert found['starling_command_seconds_count{verb="put"}'] == 2
    assert found['starling_command_seconds_count{verb="get"}'] == 1
    assert found["starling_tick_seconds_count"] >= 3
    assert found["process_resident_memory_bytes"] > 1 << 20


@pytest.mark.parametrize("sync", ["always", "1ms"])
async def test_each_sync_is_timed_and_each_command_counted(start: Servers, sync: str) -> None:
    running = await start(http=ANY_PORT, sync=sync)
    async with running.client() as client:
        for _ in range(20):
            await client.expect_reply(put(b"jobs", b"abc"), b"STORED\r\n")
    with trio.fail_after(PATIENCE):
        while not (found := await numbers(running))["starling_sync_seconds_count"]:
            pass
    assert found['starling_command_seconds_count{verb="put"}'] == 20
    assert found["starling_sync_seconds_sum"] > 0


async def test_nobody_counts_turns_where_nobody_asks(start: Servers) -> None:
    running = await start()
    assert running.server._tick.times is None


async def test_a_server_that_drains_is_alive_and_not_ready(start: Servers) -> None:
    running = await start(http=ANY_PORT, allow_drain=True)
    async with running.client() as client:
        await client.expect_reply(b"status readonly\r\n", b"END\r\n")
        assert (await ask(running.web_port, "/healthz")).status == 200
        reply = await ask(running.web_port, "/readyz")
        assert (reply.status, reply.text) == (503, "draining: no puts are accepted\n")
        await client.expect_reply(b"status up\r\n", b"END\r\n")
    assert (await ask(running.web_port, "/readyz")).status == 200


async def test_a_server_that_stops_says_so_until_the_end(start: Servers) -> None:
    running = await start(http=ANY_PORT, grace_time=PATIENCE)
    async with running.client() as client:
        await client.send(b"set jobs 0 0 5\r\nab")
        await running.until_connected(1)
        running.server.stop()
        reply = await ask(running.web_port, "/readyz")
        assert (reply.status, reply.text) == (503, "stopping\n")
        assert (await ask(running.web_port, "/healthz")).status == 200
        await client.send(b"cde\r\n")
        await client.expect(b"STORED\r\n")
    await running.until_ended()


async def test_a_client_asks_again_on_the_same_connection(running: RunningServer) -> None:
    async with WebClient(running.web_port) as client:
        for _ in range(3):
            assert (await client.ask("/healthz")).text == "ok\n"
        assert "starling_queues 0" in (await client.ask("/metrics")).text
        assert (await client.ask("/metrics", "HEAD")).body == b""
        assert (await client.ask("/nothing")).status == 404


async def test_requests_sent_ahead_are_answered_in_order(running: RunningServer) -> None:
    async with raw(running.web_port) as stream:
        await stream.send_all(GET * 50 + GET.replace(b"healthz", b"nothing"))
        await stream.send_eof()
        told = await to_the_end(stream)
    assert told.count(b"HTTP/1.1 200 OK\r\n") == 50
    assert told.index(b"HTTP/1.1 404 Not Found\r\n") > told.rindex(b"HTTP/1.1 200 OK\r\n")


async def test_a_connection_has_an_end_after_many_requests(
    running: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "MOST_REQUESTS", 3)
    async with raw(running.web_port) as stream:
        await stream.send_all(GET * 5)
        told = await to_the_end(stream)
    assert told.count(b"HTTP/1.1 200 OK\r\n") == 3
    assert told.count(b"connection: close\r\n") == 1


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400 Bad Request"),
        (b"version\r\n\r\n", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 5000, b"431 "),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n" + b"a" * 99999, b"413 "),
        (b"GET / HTTP/1.1\r\n\r\n", b"400 Bad Request"),
    ],
)
async def test_what_is_no_request_is_told_so_and_closed(
    running: RunningServer, sent: bytes, status: bytes
) -> None:
    async with raw(running.web_port) as stream:
        await until_sent(stream, sent)
        told = await to_the_end(stream)
    assert told.startswith(b"HTTP/1.1 " + status)
    assert b"connection: close\r\n" in told
    assert (await ask(running.web_port, "/healthz")).status == 200


async def test_who_asks_slowly_is_told_so_and_closed(
    running: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with raw(running.web_port) as stream:
        await stream.send_all(GET[:10])
        visits = running.server._web._visits  # type: ignore[union-attr]
        with trio.fail_after(PATIENCE):
            while not any(each._exchange.begun for each in visits):
                await trio.sleep(0.001)
        monkeypatch.setattr(web, "ASKING_TIME", 0.05)  # counts from what comes now
        await stream.send_all(GET[10:20])
        assert (await to_the_end(stream)).startswith(b"HTTP/1.1 408 ")
    async with raw(running.web_port) as stream:
        assert await to_the_end(stream) == b""


async def test_more_clients_than_there_are_places_shut_out_nobody(running: RunningServer) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(3 * web.MOST_CLIENTS):
            stream = await stack.enter_async_context(raw(running.web_port))
            await stream.send_all(GET[:10])
        assert (await ask(running.web_port, "/healthz")).status == 200
        assert len(running.server._web._visits) <= web.MOST_CLIENTS  # type: ignore[union-attr]


async def test_who_never_reads_is_closed_in_the_end(
    start: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "ANSWER_TIME", 0.2)
    running = await start(http=HttpSettings(listen="127.0.0.1:0", metrics_max_queues=2000))  # type: ignore[arg-type]
    async with running.client() as client:
        await client.send(b"".join(put(b"queue%0200d" % number, b"a") for number in range(1500)))
        await client.expect(b"STORED\r\n" * 1500)
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(slow))
    await stream.socket.connect(("127.0.0.1", running.web_port))
    async with stream:
        visits = running.server._web._visits  # type: ignore[union-attr]
        with trio.fail_after(PATIENCE):
            while not visits:
                await trio.sleep(0.001)
            await stream.send_all(GET.replace(b"healthz", b"metrics"))
            while visits:
                await trio.sleep(0.01)
        told = await to_the_end(stream)
    assert told.startswith(b"HTTP/1.1 200 OK\r\n")
    assert not told.endswith(b"0\r\n\r\n")


async def test_a_defect_costs_one_client_its_connection(
    running: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError

    assert isinstance(running.server._web, web.Web)
    monkeypatch.setattr(running.server._web._site, "answer", broken)
    async with raw(running.web_port) as stream:
        await stream.send_all(GET)
        assert await to_the_end(stream) == b""
    monkeypatch.undo()
    assert (await ask(running.web_port, "/healthz")).status == 200
    assert running.core.commits.guard.errors == 1


async def test_a_scrape_of_many_queues_gives_way_to_clients(start: Servers) -> None:
    running = await start(http=ANY_PORT, sync="never")
    async with running.client() as client:
        for first in range(0, 5000, 1000):
            names = range(first, first + 1000)
            await client.send(b"".join(put(b"q%d" % number, b"a") for number in names))
            await client.expect(b"STORED\r\n" * 1000)
        answered = False

        async def scrape() -> None:
            nonlocal answered
            told = (await ask(running.web_port, "/metrics")).text
            assert "starling_queues 5000\n" in told
            assert "starling_queues_left_out 4800\n" in told
            answered = True

        replies = 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scrape)
            while not answered:
                await client.expect_reply(b"version\r\n", b"VERSION 1.0.0\r\n")
                replies += 1
        assert replies >= 5
