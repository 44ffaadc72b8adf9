"""Attacks by those who have not said who they are, on a server where everybody has to."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from bench.hostile import BrokenError, RefusedError
from bench.hostile.row import Row, Scene, store
from bench.hostile.wire import Exactly, press, together
from bench.secured import LOG_IN, TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator

STAGE = "strangers"
ROOMY = {"max_connections": 5_000}
FAILURE = b"CLIENT_ERROR authentication failure\r\n"


def sasl(size: int) -> bytes:
    """Return the head of a request of binary that says who one is, with so long a value."""
    return struct.pack(">BBHBBHIIQ", 0x80, 0x21, 5, 0, 0, 0, 5 + size, 1, 0) + b"PLAIN"


@Row("guesses", sizes={"clients": (60, 15)}, users=True, server=ROOMY, peak=(45, 45), stage=STAGE)
def guesses(scene: Scene, clients: int) -> Iterator[None]:
    """Guess on {clients} connections, of a user who is there and of one who is not."""
    crowd = [scene.stranger() for _ in range(clients)]
    wrong = (LOG_IN.replace(TOKEN, TOKEN[::-1]), LOG_IN.replace(TOKEN, b"nobod geheim"))
    yield
    together([(each, wrong[n % 2], Exactly(FAILURE)) for n, each in enumerate(crowd)])


@Row("newcomers", sizes={"clients": (3_000, 300)}, users=True, server=ROOMY, stage=STAGE)
def newcomers(scene: Scene, clients: int) -> Iterator[None]:
    """Say who one is on {clients:,} connections at once."""
    crowd = [scene.stranger() for _ in range(clients)]
    yield
    together([(each, LOG_IN, Exactly(b"STORED\r\n")) for each in crowd])


@Row("strangers", sizes={"clients": (3_000, 300)}, users=True, server=ROOMY, stage=STAGE,
     peak=(90, 16), stays=30)  # fmt: skip
def strangers(scene: Scene, clients: int) -> Iterator[None]:
    """Begin lines, items and requests on {clients:,} connections, and end none of them."""
    crowd = [scene.stranger() for _ in range(clients)]
    begun = (
        store(b"a" * 60_000),
        b"get " + b"a " * 30_000,
        b"set a 0 0 1000000\r\n" + b"a" * 60_000,
        sasl(1 << 20) + b"a" * 60_000,
    )
    yield
    for number, data in enumerate(begun):
        press(crowd[number :: len(begun)], data[:60_000], 2)


@Row("unheard", sizes={"clients": (500, 100)}, users=True, server=ROOMY, stage=STAGE,
     peak=(90, 16), stays=30)  # fmt: skip
def unheard(scene: Scene, clients: int) -> Iterator[None]:
    """Ask 20,000 things on each of {clients:,} connections, and read no answer."""
    crowd = [scene.stranger() for _ in range(clients)]
    yield
    for number, each in enumerate(crowd):
        data = b"get jobs\r\n" if number % 2 else b"version\r\n"
        try:
            each.send(data * 20_000)
        except (BrokenError, RefusedError):
            continue  # it was closed meanwhile
