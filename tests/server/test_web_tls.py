"""HTTP by TLS: it is the same as without, and who does not speak it harms nobody."""

import contextlib
import json
import socket
import ssl
import time
from pathlib import Path

import pytest
import trio

from starling_py.server import web
from starling_py.server.errors import StartError
from starling_py.server.start_answers import answering
from starling_py.server.web_opening import open_web
from starling_py.settings.http_settings import HttpSettings
from tests.server.certificates import client_context, write
from tests.server.in_process import PATIENCE, RunningServer, Servers, put
from tests.server.web_client import WebClient


def settings(folder: Path, **more: object) -> HttpSettings:
    made = {**write(folder), "dashboard": True, **more}
    return HttpSettings(listen="tls:127.0.0.1:0", **made)  # type: ignore[arg-type]


@pytest.fixture
async def running(start: Servers, tmp_path: Path) -> RunningServer:
    return await start(http=settings(tmp_path))


async def test_everything_is_told_by_tls_on_one_connection(running: RunningServer) -> None:
    async with running.client() as client:
        for number in range(300):
            await client.expect_reply(put(b"jobs%d" % number, b"x"), b"STORED\r\n")
    async with WebClient(running.web_port, client_context()) as client:
        assert (await client.ask("/readyz")).text == "ready\n"
        metrics = await client.ask("/metrics")
        assert 'starling_queue_items{queue="jobs1"} 1' in metrics.text
        assert len(metrics.body) > 100_000
        assert "<html" in (await client.ask("/")).text
        assert (await client.ask("/healthz")).status == 200


async def test_the_stream_of_the_page_comes_by_tls(running: RunningServer) -> None:
    async with WebClient(running.web_port, client_context()) as client:
        with trio.fail_after(PATIENCE):
            ask = b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
            await client.stream.send_all(ask)
            read = b""
            while read.count(b"data: ") < 2:
                read += await client.stream.receive_some(65536)
    told = read.split(b"data: ", 1)[1].split(b"\n")[0]
    assert json.loads(told)["queues"] == 0


async def test_who_asks_without_tls_is_told_so(running: RunningServer) -> None:
    async with WebClient(running.web_port) as client:
        await client.stream.send_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        told = await client.rest()
    assert told.startswith(b"HTTP/1.1 400 ")
    head, _, body = told.partition(b"\r\n\r\n")
    assert int(head.split(b"Length: ")[1].split(b"\r\n")[0]) == len(body)
    assert b"https" in body


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01", b"nonsense" * 100, bytes(5000)])
async def test_who_spoils_a_handshake_ends_alone(running: RunningServer, said: bytes) -> None:
    async with WebClient(running.web_port) as bad:
        await bad.stream.send_all(said)
        await bad.stream.send_eof()
        await bad.rest()
    async with WebClient(running.web_port, client_context()) as client:
        assert (await client.ask("/healthz")).status == 200


@pytest.mark.patches
async def test_a_handshake_that_goes_no_further_is_ended(
    running: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "ASKING_TIME", 0.05)
    async with WebClient(running.web_port) as silent:
        assert await silent.rest() == b""


async def test_another_certificate_is_shown_after_a_reload(
    running: RunningServer, tmp_path: Path
) -> None:
    async def shown() -> bytes | None:
        async with WebClient(running.web_port, client_context()) as client:
            assert (await client.ask("/healthz")).status == 200
            assert isinstance(client.stream, trio.SSLStream)
            found: bytes | None = client.stream.getpeercert(binary_form=True)
            return found

    before = await shown()
    assert await shown() == before
    write(tmp_path)
    async with running.client() as client:
        await client.expect_reply(b"refresh_certs\r\n", b"OK\r\n")
    assert await shown() != before


def test_who_asks_by_tls_during_a_start_is_told_so(tmp_path: Path) -> None:
    opened = open_web(settings(tmp_path))
    assert opened is not None
    (listener,) = opened.listeners
    with answering(opened.listeners, secured=opened.secured):
        for path, status in ((b"/healthz", b" 200 "), (b"/readyz", b" 503 ")):
            assert status in asked_by_tls(listener, b"GET %b HTTP/1.1\r\n\r\n" % path)
    opened.close()


def asked_by_tls(listener: socket.socket, sent: bytes) -> bytes:
    """Return the beginning of an answer; who is not quick has none, and asks again."""
    context = client_context()
    told = b""
    end = time.monotonic() + PATIENCE
    while not told and time.monotonic() < end:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(listener.getsockname(), timeout=PATIENCE) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as client,
        ):
            client.sendall(sent)
            told = client.recv(1000)
    return told


def test_a_certificate_that_cannot_be_read_keeps_it_from_starting(tmp_path: Path) -> None:
    broken = settings(tmp_path)
    for each in tmp_path.iterdir():
        each.write_text("nonsense")
    with pytest.raises(StartError, match=r"^http\.tls_cert") as caught:
        open_web(broken)
    assert "\n" not in str(caught.value)


def test_a_client_may_insist_on_the_newest_version(tmp_path: Path) -> None:
    opened = open_web(settings(tmp_path, tls_min_version="1.3"))
    assert opened is not None
    assert opened.secured is not None
    assert opened.secured.minimum_version is ssl.TLSVersion.TLSv1_3
    opened.close()
