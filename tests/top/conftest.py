"""A server for tests that knows a few commands and answers them from a script."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest


@pytest.fixture
def serve() -> Iterator[Callable[[Sequence[bytes | None]], int]]:
    """Start a server on loopback and return its port.

    Each ``stats`` gets the next answer of the script, whatever connection it comes on, and the last
    one for ever after. None closes the connection without an answer, ``b""`` gives none. Whatever
    else is asked for is an ``ERROR``, as from an old server.
    """
    listeners: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(script: Sequence[bytes | None]) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        thread = threading.Thread(target=_answer, args=(listener, list(script)))
        threads.append(thread)
        thread.start()
        port: int = listener.getsockname()[1]
        return port

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def _answer(listener: socket.socket, script: list[bytes | None]) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        # Whoever hangs up with something unread resets the connection.
        with connection, contextlib.suppress(ConnectionError):
            while command := connection.recv(100):
                if command != b"stats\r\n":
                    connection.sendall(b"ERROR\r\n")
                    continue
                answer = script.pop(0) if len(script) > 1 else script[0]
                if answer is None:
                    break
                connection.sendall(answer)
