"""A server that does to its clients what it is asked for, and what tries an attack on it.

As a command it stands in for another version of this server: of its options it takes the port. One
thread serves all, so whatever it does for one keeps the others waiting. Beside puts and gets it
knows `burn MS`, `sleep MS`, `hold MB`, `free`, `refuse`, `lie` and `die`.
"""

from __future__ import annotations

import argparse
import selectors
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.hostile.row import Row, Scene
from bench.hostile.trial import Outcome, Trial
from bench.servers import before

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.servers import Server

ROOT = Path(__file__).parents[3]
MB = 1_000_000
PATIENCE = 240.0
"""Seconds after which it ends by itself."""


def program(folder: Path) -> Server:
    """Return the server, as a program below a folder."""
    path = folder / "foe"
    path.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from tests.bench.hostile.foe import main\nmain()\n"
    )
    path.chmod(0o755)
    return next(server for server in before(str(path)) if server.name == "before-50ms")


def ordering(*orders: bytes, stays: float | None = None, peak: float | None = None) -> Row:
    """Return a row whose attack gives these orders, and expects that each is obeyed."""

    def attack(scene: Scene) -> Iterator[None]:
        """Give orders."""
        client = scene.connect()
        yield
        for order in orders:
            client.check(order + b"\r\n", b"OK\r\n")

    both = None if peak is None else (peak, peak)
    row = Row(b" ".join(orders).decode(), {}, stays=stays, peak=both)
    row.attack = attack
    return row


def outcome(folder: Path, row: Row) -> Outcome:
    """Return what a row gives on the server, in the quick form."""
    with Trial([row], program(folder), None, folder, quick=True) as trial:
        return trial.run(row)


class Foe:
    """The server."""

    def __init__(self) -> None:
        self._lies = False
        self._item = b""
        self._held: list[bytearray] = []

    def reply(self, words: list[bytes], body: bytes) -> bytes:
        """Do what a line asks for."""
        number = int(words[1]) if len(words) == 2 and words[1].isdigit() else 0
        match words[0]:
            case b"set":
                self._item = b"VALUE %b 0 %d\r\n%b\r\n" % (words[1], len(body), body)
                return b"STORED\r\n"
            case b"get":
                item, self._item = self._item, b""
                return (b"" if self._lies else item) + b"END\r\n"
            case b"burn":
                end = time.thread_time() + number / 1000
                while time.thread_time() < end:
                    pass
            case b"sleep":
                time.sleep(number / 1000)
            case b"hold":
                self._held.append(bytearray(b"h") * (number * MB))
            case b"free":
                self._held.clear()
            case b"lie":
                self._lies = True
            case b"die":
                raise RuntimeError("asked to die")
            case _:
                return b"SERVER_ERROR no\r\n"
        return b"OK\r\n"

    def serve(self, listener: socket.socket) -> None:
        """Serve all clients until the time is over."""
        end = time.monotonic() + PATIENCE
        selector = selectors.DefaultSelector()
        selector.register(listener, selectors.EVENT_READ)
        while time.monotonic() < end:
            for key, _ in selector.select(1):
                if key.fileobj is listener:
                    client, _ = listener.accept()
                    selector.register(client, selectors.EVENT_READ, client)
                elif not self._answer(key.data):
                    selector.unregister(key.data)
                    key.data.close()

    def _answer(self, client: socket.socket) -> bool:
        """Answer one request; return whether the client is still there."""
        with client.makefile("rb") as file:
            words = file.readline().split()
            body = file.read(int(words[4]) + 2)[:-2] if words[:1] == [b"set"] else b""
        if words:
            client.sendall(self.reply(words, body))
        return bool(words)


def main() -> None:
    """Serve on the port that is asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    options, rest = parser.parse_known_args()
    if "--check-config" in rest:
        sys.exit(1)
    Foe().serve(socket.create_server(("127.0.0.1", options.port)))
