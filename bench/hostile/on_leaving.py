"""Attacks by going: many clients that hang up at once, or are closed, in all kinds of states."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.hostile.on_connections import ROOMY
from bench.hostile.row import MB, Row, Scene, names, repeat, store, value
from bench.hostile.wire import Exactly, press, together

if TYPE_CHECKING:
    from collections.abc import Iterator

CROWD = {"clients": (4_000, 1_000)}
STAGE = "leaving"
"""Rows that leave nothing behind."""
LARGE = 1 << 20
LEAVES = 10
"""MB that may be left."""
TIMEOUT = 5
"""Seconds after which a silent client is closed."""


def _are_gone(scene: Scene) -> None:
    """Wait until no client is connected but the innocent one, and whoever asks."""
    scene.until(lambda: scene.connected() <= 2, "gone")


@Row("left-idle", sizes=CROWD, server=ROOMY, stage=STAGE, stays=LEAVES)
def left_idle(scene: Scene, clients: int) -> Iterator[None]:
    """Have {clients:,} clients that do nothing hang up at once."""
    scene.crowd(clients)
    yield
    scene.hang_up()
    _are_gone(scene)


@Row("left-waiting", sizes={"clients": (300, 150), "keys": (900, 900)}, stage=STAGE)
def left_waiting(scene: Scene, clients: int, keys: int) -> Iterator[None]:
    """Have {clients:,} clients that wait for {keys} queues each hang up at once."""
    some = names(keys, b"w")
    repeat(scene.connect(), store(some[-1]), b"STORED\r\n", 1)
    scene.connect().check(b"get %b\r\n" % some[-1], value(some[-1]) + b"END\r\n")
    crowd = scene.crowd(clients)
    line = b"get %b/t=600000 " % some[0] + b" ".join(some[1:]) + b"\r\n"
    press(crowd, line, 30)
    scene.until(lambda: scene.number(some[-1], "waiters") == clients, "waiting")
    yield
    scene.hang_up()
    _are_gone(scene)


@Row("left-putting", sizes={"clients": (150, 150)}, stage=STAGE, stays=LEAVES)
def left_putting(scene: Scene, clients: int) -> Iterator[None]:
    """Have {clients} clients in the middle of a mebibyte hang up at once."""
    crowd = scene.crowd(clients)
    press(crowd, b"set half 0 0 %d\r\n" % LARGE + b"h" * (LARGE - 1), 10)
    yield
    scene.hang_up()
    _are_gone(scene)


@Row("left-unread", sizes={"clients": (150, 150)}, stage=STAGE, stays=LEAVES)
def left_unread(scene: Scene, clients: int) -> Iterator[None]:
    """Have {clients} clients that did not read a megabyte each hang up at once."""
    repeat(scene.connect(), store(b"large", b"l" * MB), b"STORED\r\n", 1)
    crowd = scene.crowd(clients)
    for each in crowd:
        each.send(b"get large/peek\r\n" * 5)
    time.sleep(1)
    yield
    scene.hang_up()
    _are_gone(scene)


@Row(
    "left-open",
    sizes={"clients": (1_000, 200), "reads": (20, 20)},
    server=ROOMY,
    queues={"left-open": {"max_open_reads": 1_000_000}},
    stage=STAGE,
)
def left_open(scene: Scene, clients: int, reads: int) -> Iterator[None]:
    """Have {clients:,} clients with {reads} open items each hang up at once."""
    repeat(scene.connect(), store(b"left-open"), b"STORED\r\n", clients * reads)
    crowd = scene.crowd(clients)
    got = (value(b"left-open/open") + b"END\r\n") * reads
    together([(each, b"get left-open/open\r\n" * reads, Exactly(got)) for each in crowd])
    yield
    scene.hang_up()
    scene.until(lambda: scene.number(b"left-open", "open_transactions") == 0, "given back")
    _are_gone(scene)


@Row("left-silent", sizes=CROWD, server={**ROOMY, "timeout": TIMEOUT}, stays=LEAVES)
def left_silent(scene: Scene, clients: int) -> Iterator[None]:
    """Have {clients:,} clients be silent until all of them are closed at once."""
    scene.crowd(clients)
    yield
    _are_gone(scene)
