"""Attacks on memory: what clients make the server hold, and what is left when they are gone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.hostile.row import MB, Row, Scene, come_and_go, names, repeat, store
from bench.hostile.wire import press

if TYPE_CHECKING:
    from collections.abc import Iterator

BIG = {"items": (60, 60)}
BODY = 1 << 20
LEAVES = 10
"""MB that may be left: the allocator gives back what is at the end of its heap only."""
HOLD = 0.5  # seconds that a client goes on without reading
BUDGET = (256, 16)
"""MB for all that clients make the server hold, in both forms."""
WISHES = {"client_memory": (f"{BUDGET[0]}m", f"{BUDGET[1]}m")}
WITHIN = (BUDGET[0] * 1.1 + 32, BUDGET[1] * 1.1 + 16)
"""MB that the process may grow by with that budget, also for those who hang up: it learns of that
some time later."""


def _big(scene: Scene, items: int) -> bytes:
    """Put so many items of a megabyte; return the request that looks at them."""
    repeat(scene.connect(), store(b"big", b"b" * MB), b"STORED\r\n", items)
    return b"get big/peek/n=1000\r\n"


@Row("peeks-left", sizes={**BIG, "clients": (60, 15)}, peak=(150, 60), stays=LEAVES)
def peeks_left(scene: Scene, items: int, clients: int) -> Iterator[None]:
    """Peek at {items} MB {clients} times, one after the other, and hang up each time."""
    request = _big(scene, items)
    yield
    for _ in range(clients):
        client = scene.connect()
        client.send(request)
        client.receive(10)
        scene.hang_up()


@Row("peeks-unread", sizes={**BIG, "clients": (20, 10)}, peak=(60, 40), stays=LEAVES)
def peeks_unread(scene: Scene, items: int, clients: int) -> Iterator[None]:
    """Peek at {items} MB on {clients} connections, and do not read."""
    request = _big(scene, items)
    crowd = scene.crowd(clients)
    yield
    for each in crowd:
        each.send(request)
    for each in crowd:
        each.receive(10)
    time.sleep(HOLD)


@Row("bodies-left", sizes={"clients": (600, 100)}, wishes=WISHES, peak=WITHIN, stays=LEAVES)
def bodies_left(scene: Scene, clients: int) -> Iterator[None]:
    """Send a mebibyte but for its last byte {clients} times, and hang up each time."""
    half = b"set half 0 0 %d\r\n" % BODY + b"h" * (BODY - 1)
    scene.connect().check(b"get half\r\n", b"END\r\n")
    yield
    for _ in range(clients):
        client = scene.connect()
        client.send(half)
        scene.hang_up()
    time.sleep(HOLD / 2)


@Row("bodies", sizes={"clients": (1_200, 100)}, wishes=WISHES, peak=WITHIN, stays=LEAVES)
def bodies(scene: Scene, clients: int) -> Iterator[None]:
    """Send a mebibyte but for its last byte on {clients:,} connections."""
    half = b"set half 0 0 %d\r\n" % BODY + b"h" * (BODY - 1)
    crowd = scene.crowd(clients)
    yield
    whole, closed = press(crowd, half, 1 + clients / 100)
    scene.notes.append(f"{whole:,} sent, {closed:,} closed")
    time.sleep(HOLD)


@Row("lines", sizes={"clients": (3_000, 500)}, wishes=WISHES, peak=WITHIN, stays=LEAVES)
def lines(scene: Scene, clients: int) -> Iterator[None]:
    """Send 65,000 bytes of a line of keys, and not its end, on {clients:,} connections."""
    crowd = scene.crowd(clients)
    yield
    whole, closed = press(crowd, b"get" + b" abcd" * 13_000, 1 + clients / 500)
    scene.notes.append(f"{whole:,} sent, {closed:,} closed")
    time.sleep(HOLD)


@Row(
    "sent-ahead",
    sizes={"clients": (200, 20), "mebibytes": (4, 4)},
    wishes=WISHES,
    peak=WITHIN,
    stays=LEAVES,
)
def sent_ahead(scene: Scene, clients: int, mebibytes: int) -> Iterator[None]:
    """Wait 2 s on {clients} connections, and send {mebibytes} MiB of commands ahead.

    That they hang up is noticed when the wait is over: all of this lies before it.
    """
    ahead = b"get never/t=2000\r\n" + b"get nothing\r\n" * (mebibytes * BODY // 13)
    crowd = scene.crowd(clients)
    yield
    whole, closed = press(crowd, ahead, 1 + clients / 100)
    scene.notes.append(f"{whole:,} sent, {closed:,} closed")
    time.sleep(HOLD)


@Row("replies-unread", sizes={"clients": (200, 20)}, wishes=WISHES, peak=WITHIN, stays=LEAVES)
def replies_unread(scene: Scene, clients: int) -> Iterator[None]:
    """Ask 20,000 times for the settings on {clients} connections, and do not read."""
    crowd = scene.crowd(clients)
    yield
    press(crowd, b"stats settings\r\n" * 20_000, 1 + clients / 100)
    time.sleep(HOLD)


@Row(
    "queues-gone",
    sizes={"queues": (36_000, 1_500), "step": (4_000, 500)},
    queues={"gone*": {"idle_expire": 1}},
    peak=(30, 8),
    stays=LEAVES,
)
def queues_gone(scene: Scene, queues: int, step: int) -> Iterator[None]:
    """Make {queues:,} queues that go, {step:,} at a time; memory from the second time on."""
    client = scene.connect()
    for first in range(0, queues, step):
        some = names(queues, b"gone")[first : first + step]
        come_and_go(client, some)
        for name in (some[0], some[-1]):
            scene.until(lambda name=name: scene.is_gone(name), "deleted")  # type: ignore[misc]
        if not first:
            yield
