"""Clients over TLS, on real sockets: let in, kept out, and changed certificates under load."""

import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from starling_py.protocol.foreign import ALERT
from starling_py.server import handshakes
from starling_py.server.connection import READ_SIZE
from starling_py.server.handshakes import NO_TLS
from starling_py.server.tick import READ_LEAST
from starling_py.server.tls import RECORD
from tests.server import certificates
from tests.server.in_process import PATIENCE, RunningServer, Servers, item, put
from tests.server.test_gate import USERS, hashed, token

VERSION = b"VERSION 1.0.0\r\n"


class TlsClient:
    """A client over TLS."""

    def __init__(self, stream: "trio.SSLStream[trio.SocketStream]") -> None:
        self.stream = stream

    async def expect_reply(self, data: bytes, reply: bytes) -> None:
        await self.stream.send_all(data)
        assert await self.read(len(reply)) == reply

    async def read(self, count: int) -> bytes:
        """Return so many bytes; fewer only at an end that TLS tells of."""
        data = b""
        with trio.fail_after(PATIENCE):
            while len(data) < count and (more := await self.stream.receive_some(count - len(data))):
                data += more
        return data


@contextlib.asynccontextmanager
async def connected(
    running: RunningServer, context: ssl.SSLContext | None = None
) -> AsyncIterator[TlsClient]:
    stream = await trio.open_ssl_over_tcp_stream(
        "127.0.0.1",
        running.tls_port,
        ssl_context=context or certificates.client_context(),
        https_compatible=False,
    )
    try:
        with trio.fail_after(PATIENCE):
            await stream.do_handshake()
        yield TlsClient(stream)
    finally:
        await trio.aclose_forcefully(stream)


@pytest.fixture
async def running(start: Servers, tmp_path: Path) -> RunningServer:
    return await start(**certificates.write(tmp_path), item_size_max="8m")


async def test_a_client_is_served_over_tls_as_without(running: RunningServer) -> None:
    async with connected(running) as client, running.client() as plain:
        await client.expect_reply(put(b"jobs", b"a") + b"version\r\n", b"STORED\r\n" + VERSION)
        await plain.expect_reply(b"get jobs\r\n", item(b"jobs", b"a"))
        stats = await plain.stats()
        assert (stats["ssl_handshakes"], stats["ssl_handshake_errors"]) == ("1", "0")
        await client.stream.send_all(b"quit\r\n")
        assert await client.read(1) == b"", "the end is told in TLS"


async def test_large_items_go_both_ways_whole(running: RunningServer) -> None:
    data = bytes(range(256)) * 8_000
    async with connected(running) as client:
        await client.expect_reply(put(b"jobs", data), b"STORED\r\n")
        await client.expect_reply(b"get jobs\r\n", item(b"jobs", data))


async def test_a_client_that_reads_late_gets_all_of_it(running: RunningServer) -> None:
    data = b"x" * (1 << 20)
    async with connected(running) as client:
        for _ in range(5):
            await client.expect_reply(put(b"jobs", data), b"STORED\r\n")
        await client.stream.send_all(b"get jobs\r\n" * 5)
        async with running.client() as other:
            await other.expect_reply(b"version\r\n", VERSION)
        reply = item(b"jobs", data)
        assert await client.read(5 * len(reply)) == reply * 5


async def test_no_part_of_a_record_is_left_behind_unread(running: RunningServer) -> None:
    assert READ_LEAST < RECORD < READ_SIZE
    async with connected(running) as client:
        running.server._tick._read_at_once = 0  # from now on each is read little of at a time
        line = b"version\r\n" * (RECORD // 9)
        await client.expect_reply(b"version\r\n" + line, VERSION * (1 + RECORD // 9))


@pytest.mark.parametrize("said", [b"version\r\n", b"\x80\x0b" + bytes(22), b"GET / HTTP/1.1\r\n"])
async def test_who_speaks_no_tls_where_it_is_spoken_is_told_so(
    running: RunningServer, said: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", running.tls_port)) as raw:
        raw.sendall(said)
        raw.setblocking(False)
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(raw))
        with trio.fail_after(PATIENCE):
            assert await stream.receive_some(100) == NO_TLS
            with contextlib.suppress(trio.BrokenResourceError):
                assert await stream.receive_some(100) == b""
    async with running.client() as plain:
        await plain.until_stat("ssl_handshake_errors", "1")


async def test_who_speaks_tls_where_it_is_not_spoken_is_told_so(running: RunningServer) -> None:
    async with running.client() as client:
        hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 300
        await client.send(hello)
        assert await client.read_to_the_end() == ALERT
    stream = await trio.open_ssl_over_tcp_stream(
        "127.0.0.1", running.port, ssl_context=certificates.client_context()
    )
    with trio.fail_after(PATIENCE), pytest.raises(trio.BrokenResourceError):
        await stream.do_handshake()
    await trio.aclose_forcefully(stream)


async def test_who_says_nothing_or_half_a_hello_is_closed_after_a_while(
    running: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshakes, "PATIENCE", 0.0)
    for said in (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01"):
        with socket.create_connection(("127.0.0.1", running.tls_port)) as raw:
            raw.sendall(said)
            raw.setblocking(False)
            stream = trio.SocketStream(trio.socket.from_stdlib_socket(raw))
            with trio.fail_after(PATIENCE), contextlib.suppress(trio.BrokenResourceError):
                assert await stream.receive_some(100) == b""


async def test_garbage_in_a_handshake_costs_nobody_else_anything(running: RunningServer) -> None:
    async with connected(running) as client:
        for garbage in (b"\x16" * 500, b"\x16\x03\x01\x00\x05hello" * 50, b"\x16\x03\x03\xff\xff"):
            with socket.create_connection(("127.0.0.1", running.tls_port)) as raw:
                raw.sendall(garbage)
                await client.expect_reply(b"version\r\n", VERSION)


async def test_many_that_shake_hands_at_once_all_come_in(running: RunningServer) -> None:
    count = 30
    async with trio.open_nursery() as nursery:
        arrived = 0

        async def come() -> None:
            nonlocal arrived
            async with connected(running) as client:
                await client.expect_reply(b"version\r\n", VERSION)
                arrived += 1

        for _ in range(count):
            nursery.start_soon(come)
    assert arrived == count


async def test_the_oldest_version_of_tls_is_a_setting(start: Servers, tmp_path: Path) -> None:
    running = await start(**certificates.write(tmp_path), tls_min_version="1.3")
    old = certificates.client_context()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(trio.BrokenResourceError):
        async with connected(running, old):
            pass
    async with connected(running) as client:
        await client.expect_reply(b"version\r\n", VERSION)


async def test_a_certificate_says_who_a_client_is(start: Servers, tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text(f"boss:{hashed('geheim')}\n")
    running = await start(
        **certificates.write(tmp_path),
        **certificates.write_authority(tmp_path),
        users_file=users,
        users=USERS,
    )
    async with connected(running, certificates.client_context("anna")) as anna:
        await anna.expect_reply(put(b"jobs", b"a"), b"STORED\r\n")
        await anna.expect_reply(b"get other\r\n", b"CLIENT_ERROR not permitted: get other\r\n")
    async with connected(running, certificates.client_context("carl")) as carl:
        await carl.expect_reply(b"get jobs\r\n", b"CLIENT_ERROR unauthenticated\r\n")
        await carl.expect_reply(token("boss"), b"STORED\r\n")


@pytest.mark.parametrize("kind", ["none", "stranger"])
async def test_who_has_no_right_certificate_is_not_let_in(
    start: Servers, tmp_path: Path, kind: str
) -> None:
    running = await start(**certificates.write(tmp_path), **certificates.write_authority(tmp_path))
    name = None if kind == "none" else "anna"
    context = certificates.client_context(name, certificates.stranger())

    async def come() -> None:
        async with connected(running, context) as client:
            await client.read(1)  # with TLS 1.3, a client learns only now what became of it

    with pytest.raises(trio.BrokenResourceError):
        await come()


async def test_certificates_change_under_load_and_no_client_is_lost(
    start: Servers, tmp_path: Path
) -> None:
    running = await start(**certificates.write(tmp_path, "first"))
    names, served = set[object](), 0
    stop = False

    async def work() -> None:
        nonlocal served
        while not stop:
            async with connected(running) as client:
                names.add(str((client.stream.getpeercert() or {})["subject"]))
                for _ in range(5):
                    await client.expect_reply(put(b"jobs", b"a"), b"STORED\r\n")
                    await client.expect_reply(b"get jobs\r\n", item(b"jobs", b"a"))
                served += 1

    async def stay(task_status: "trio.TaskStatus[None]") -> None:
        async with connected(running) as client:
            task_status.started()
            while not stop:
                await client.expect_reply(b"version\r\n", VERSION)

    async with trio.open_nursery() as nursery, running.client() as operator:
        await nursery.start(stay)
        for _ in range(4):
            nursery.start_soon(work)
        for number in range(10):
            before = served
            certificates.write(tmp_path, f"number {number}")
            await operator.expect_reply(b"refresh_certs\r\n", b"OK\r\n")
            with trio.fail_after(PATIENCE):
                while served < before + 8:
                    await trio.sleep(0.001)
        stop = True
    assert len(names) >= 10
    async with running.client() as operator:
        assert (await operator.stats())["ssl_handshake_errors"] == "0"


@pytest.mark.parametrize("kind", ["cert.pem missing", "key.pem missing", "cert.pem", "key.pem"])
async def test_files_that_are_wrong_change_nothing(
    running: RunningServer, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / kind.split()[0]
    if "missing" in kind:
        path.unlink()
    else:
        path.write_text("nonsense")
    async with running.client() as operator:
        await operator.send(b"refresh_certs\r\n")
        line = await operator.read_line()
        assert line.startswith(b"SERVER_ERROR tls_")
        assert str(path).encode() in line
        async with connected(running) as client:
            await client.expect_reply(b"version\r\n", VERSION)


async def test_clients_that_shake_hands_count_as_connected(start: Servers, tmp_path: Path) -> None:
    running = await start(**certificates.write(tmp_path), max_connections=3)
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(socket.create_connection(("127.0.0.1", running.tls_port)))
        async with running.client() as client:
            told = await client.read_to_the_end()
            assert told == b"ERROR Too many open connections\r\n"
