"""A queue server that can be told to answer wrongly: a load that accepts that measures nothing.

As a command it stands in for a server that is given to the bench: `-p PORT` and any options.
"""

from __future__ import annotations

import argparse
import contextlib
import selectors
import signal
import socket
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]
PATIENCE = 240.0
"""Seconds after which it ends by itself."""


class FakeQueue:
    """A queue in memory, served by one thread, that gives `wrong` instead of its third item."""

    def __init__(self, wrong: bytes | None = None, after: bytes = b"", port: int = 0) -> None:
        self.items: deque[bytes] = deque()
        self.popped = 0
        self.sources: list[str] = []
        """The address of each client that has connected, in order."""
        self._wrong, self._after = wrong, after
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", port))
        self._stopper, stopped = socket.socketpair()
        self._held: dict[socket.socket, bytes] = {}
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(stopped, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, args=(stopped,))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopper.close()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def _serve(self, stopped: socket.socket) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            ready = [key.fileobj for key, _ in self._selector.select(1)]
            if stopped in ready:
                break
            for sock in ready:
                assert isinstance(sock, socket.socket)
                if sock is self._listener:
                    client, (source, _) = sock.accept()
                    self.sources.append(source)
                    self._held[client] = b""
                    self._selector.register(client, selectors.EVENT_READ)
                else:
                    self._answer(sock)
        self._selector.close()
        for sock in (*self._held, self._listener, stopped):
            sock.close()

    def _answer(self, sock: socket.socket) -> None:
        with contextlib.suppress(ConnectionError):
            data = sock.recv(1 << 16)
            if not data:
                self._selector.unregister(sock)
                self._held.pop(sock)
                sock.close()
                return
            replies, self._held[sock] = self._execute(self._held[sock] + data)
            sock.sendall(replies)

    def _execute(self, data: bytes) -> tuple[bytes, bytes]:
        replies = b""
        while b"\r\n" in data:
            line, _, rest = data.partition(b"\r\n")
            verb, key, *sizes = line.split()
            if verb == b"set":
                size = int(sizes[-1])
                if len(rest) < size + 2:
                    break
                self.items.append(rest[:size])
                data, replies = rest[size + 2 :], replies + b"STORED\r\n"
            else:
                data, replies = rest, replies + self._pop(key)
        return replies, data

    def _pop(self, key: bytes) -> bytes:
        self.popped += 1
        value = self.items.popleft()
        reply = b"VALUE %b 0 %d\r\n%b\r\nEND\r\n" % (key, len(value), value)
        if self.popped == 3 and self._wrong is not None:
            return self._wrong
        return reply if self.items else reply + self._after


def program(folder: Path, wrong: bytes | None) -> Path:
    """Return a command that serves this queue, and answers the third get like that."""
    path = folder / "fake-server"
    option = "" if wrong is None else f"--wrong {wrong.hex()}"
    module = "-m tests.bench.fake_queue"
    path.write_text(f'#!/bin/sh\ncd {ROOT}\nexec {sys.executable} {module} {option} "$@"\n')
    path.chmod(0o755)
    return path


def main() -> None:
    """Serve until SIGTERM, or for some minutes."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("-p", type=int)
    parser.add_argument("--wrong", type=bytes.fromhex)
    options, _ = parser.parse_known_args()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    with FakeQueue(options.wrong, port=options.p):
        ended.wait(PATIENCE)


if __name__ == "__main__":
    main()
