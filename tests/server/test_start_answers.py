"""What is told by HTTP while the queues are read back."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from starling_py.server.listening import listen
from starling_py.server.start_answers import answering
from tests.server.in_process import PATIENCE


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    (made,) = listen("127.0.0.1", 0)
    with made:
        yield made


def asked(listener: socket.socket, sent: bytes) -> bytes:
    """Send something, and return all that is answered.

    Whoever does not ask within a moment is answered nothing, as happens on a busy machine.
    """
    told = b""
    end = time.monotonic() + PATIENCE
    while not told and time.monotonic() < end:
        with socket.create_connection(listener.getsockname(), timeout=PATIENCE) as client:
            client.sendall(sent)
            while data := client.recv(4096):
                told += data
    return told


def answering_threads() -> int:
    """Return how many threads answer; those of other tests may end meanwhile."""
    return sum(each.name == "start" for each in threading.enumerate())


def get(path: bytes) -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path


def test_a_server_that_starts_is_alive_and_not_ready(listener: socket.socket) -> None:
    with answering([listener]):
        assert asked(listener, get(b"/healthz")).startswith(b"HTTP/1.1 200 OK\r\n")
        told = asked(listener, get(b"/readyz"))
        assert told.startswith(b"HTTP/1.1 503 ")
        assert told.endswith(b"\r\n\r\nstarting\n")
        assert asked(listener, get(b"/metrics")).startswith(b"HTTP/1.1 503 ")


def test_why_it_is_not_ready_is_told(listener: socket.socket) -> None:
    with answering([listener], "following"):
        told = asked(listener, get(b"/readyz"))
    assert told.endswith(
        b"Content-Length: 10\r\nRetry-After: 1\r\nConnection: close\r\n\r\nfollowing\n"
    )


@pytest.mark.parametrize("sent", [b"\r\n\r\n", b"G", b"a" * 20000, b"\xff\n\r\n"])
def test_a_client_that_asks_for_nothing_holds_nobody_up(
    listener: socket.socket, sent: bytes
) -> None:
    with (
        answering([listener]),
        socket.create_connection(listener.getsockname()) as silent,
        socket.create_connection(listener.getsockname()),
    ):
        silent.sendall(sent)
        assert asked(listener, get(b"/healthz")).startswith(b"HTTP/1.1 200 OK\r\n")


def test_afterwards_nobody_is_accepted_and_no_thread_is_left(listener: socket.socket) -> None:
    with answering([listener]):
        assert answering_threads() == 1
    assert answering_threads() == 0
    with socket.create_connection(listener.getsockname()) as late:
        late.sendall(get(b"/healthz"))
        accepted = listener.accept()[0]
        accepted.close()


def test_without_http_there_is_no_thread() -> None:
    with answering([]):
        assert answering_threads() == 0
