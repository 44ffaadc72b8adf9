"""Attacks by the number of items: what dies, comes back, or is removed all at once."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from bench.hostile import BrokenError
from bench.hostile.on_keys import MANY_OPENS, opened
from bench.hostile.row import CHUNK, Row, Scene, repeat, store, value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.hostile.wire import Client

MILLION = {"items": (1_000_000, 100_000)}
OPENS = {"items": (20_000, 4_000)}
STAGE = "items"
"""Rows that leave nothing behind but items in queues that no other of them uses."""
OPEN_QUEUES = {"open-*": MANY_OPENS}
TARGETS = 20
TRIED = 1_000
"""Puts by which the time is foretold that a set-up takes."""


def ahead(
    scene: Scene, client: Client, queue: bytes, count: int, set_up: Callable[[float], None]
) -> float:
    """Set up so many items for one time, which is not over by the end of that; return the time.

    All times are in whole seconds, on the clock of `time.time`.
    """
    began = time.time()
    repeat(client, store(b"tried"), b"STORED\r\n", TRIED)
    share = (time.time() - began) * count / TRIED
    client.check(b"delete tried\r\n", b"DELETED\r\n")
    for patience in (3, 10, 40):
        end = math.ceil(time.time() + scene.spare + patience * share)
        set_up(end)
        if time.time() + scene.spare < end:
            return end
        client.check(b"delete %b\r\n" % queue, b"DELETED\r\n")
    raise BrokenError("the set-up takes too long")


def dying(scene: Scene, client: Client, queue: bytes, count: int) -> float:
    """Put so many items that all die at the same time; return when."""

    def put(end: float) -> None:
        repeat(client, store(queue, exptime=int(end)), b"STORED\r\n", count)

    return ahead(scene, client, queue, count, put)


def meet(scene: Scene, client: Client, queue: bytes, end: float) -> None:
    """Ask for an item as soon as all are dead."""
    wait(scene, end)
    client.check(b"get %b\r\n" % queue, b"END\r\n")


def wait(scene: Scene, end: float) -> None:
    """Wait until it is time, which must not be over."""
    left = end - time.time()
    scene.require(left > 0, "the set-up took too long")
    time.sleep(left + 0.01)


@Row(
    "expire-moved",
    sizes={"items": (50_000, 5_000)},
    queues={"src-moved": {"expire_to": "moved"}},
    stage=STAGE,
)
def expire_moved(scene: Scene, items: int) -> Iterator[None]:
    """Let {items:,} items expire into another queue."""
    client = scene.connect()
    end = dying(scene, client, b"src-moved", items)
    yield
    meet(scene, client, b"src-moved", end)
    scene.until(lambda: scene.number(b"moved", "total_items") == items, "moved")


@Row(
    "expire-copied",
    sizes={"items": (20_000, 1_500)},
    queues={"src-copied": {"expire_to": "copied"}},
    stage=STAGE,
)
def expire_copied(scene: Scene, items: int) -> Iterator[None]:
    """Let {items:,} items expire into a queue with 20 children."""
    client = scene.connect()
    for number in range(TARGETS):
        client.check(b"get copied+%d\r\n" % number, b"END\r\n")
    end = dying(scene, client, b"src-copied", items)
    yield
    meet(scene, client, b"src-copied", end)
    scene.until(lambda: scene.number(b"copied+19", "total_items") == items, "copied")


@Row(
    "expire-routed",
    sizes={"items": (20_000, 1_500)},
    queues={"src-routed": {"expire_to": "routed"}},
    routes={"routed": [f"target{number}" for number in range(TARGETS)]},
    stage=STAGE,
)
def expire_routed(scene: Scene, items: int) -> Iterator[None]:
    """Let {items:,} items expire into a queue with routes to 20 others."""
    client = scene.connect()
    end = dying(scene, client, b"src-routed", items)
    yield
    meet(scene, client, b"src-routed", end)
    scene.until(lambda: scene.number(b"target19", "total_items") == items, "routed")


@Row("expire-dropped", sizes={"items": (50_000, 10_000)}, stage=STAGE)
def expire_dropped(scene: Scene, items: int) -> Iterator[None]:
    """Let {items:,} items expire that are dropped."""
    client = scene.connect()
    end = dying(scene, client, b"src-dropped", items)
    yield
    meet(scene, client, b"src-dropped", end)
    scene.until(lambda: scene.number(b"src-dropped", "expired_items") == items, "dropped")


@Row(
    "dead-letters",
    sizes=OPENS,
    queues={"src-dead": {**MANY_OPENS, "max_deliveries": 1, "dead_letter": "dead"}},
    stage=STAGE,
)
def dead_letters(scene: Scene, items: int) -> Iterator[None]:
    """Hang up with {items:,} open items that become dead letters."""
    opened(scene.connect(), b"src-dead", items)
    yield
    scene.hang_up()
    scene.until(lambda: scene.number(b"dead", "total_items") == items, "moved")


@Row("opens-dropped", sizes=OPENS, queues=OPEN_QUEUES, stage=STAGE)
def opens_dropped(scene: Scene, items: int) -> Iterator[None]:
    """Hang up with {items:,} open items."""
    opened(scene.connect(), b"open-d", items)
    yield
    scene.hang_up()
    scene.until(lambda: scene.number(b"open-d", "items") == items, "given back")


@Row("opens-deleted", sizes=OPENS, queues=OPEN_QUEUES, stage=STAGE)
def opens_deleted(scene: Scene, items: int) -> Iterator[None]:
    """Delete a queue with {items:,} open items."""
    opened(scene.connect(), b"open-x", items)
    client = scene.connect()
    yield
    client.check(b"delete open-x\r\n", b"DELETED\r\n")


@Row("opens-told", sizes=OPENS, queues=OPEN_QUEUES, stage=STAGE)
def opens_told(scene: Scene, items: int) -> Iterator[None]:
    """Ask for `stats queue` of a queue with {items:,} open items."""
    client = scene.connect()
    opened(client, b"open-t", items)
    yield
    told = client.count(b"stats queue open-t\r\n", b"_deliveries ")
    scene.require(told == items, f"it told of {told:,} items")


@Row("confirm", sizes=OPENS, queues=OPEN_QUEUES, stage=STAGE)
def confirm(scene: Scene, items: int) -> Iterator[None]:
    """Confirm {items:,} open items by one command."""
    client = scene.connect()
    opened(client, b"open-c", items)
    yield
    client.check(b"confirm open-c %d\r\n" % items, b"END\r\n")


@Row("monitor", sizes=OPENS, queues=OPEN_QUEUES, stage=STAGE)
def monitor(scene: Scene, items: int) -> Iterator[None]:
    """Open {items:,} items by one monitor."""
    client = scene.connect()
    repeat(client, store(b"open-m"), b"STORED\r\n", items)
    yield
    each = value(b"open-m") + b"END\r\n"
    client.check(b"monitor open-m 60 %d\r\n" % items, each * items + b"END\r\n")


@Row("leases-end", sizes=OPENS, queues=OPEN_QUEUES, stage=STAGE)
def leases_end(scene: Scene, items: int) -> Iterator[None]:
    """Let {items:,} leases end at once."""
    client = scene.connect()

    def open_all(end: float) -> None:
        repeat(client, store(b"open-l"), b"STORED\r\n", items)
        for first in range(0, items, 100):
            key = b"open-l/open/lease=%.3f" % max(0.5, end - time.time())
            repeat(client, b"get %b\r\n" % key, value(key) + b"END\r\n", min(100, items - first))

    end = ahead(scene, client, b"open-l", items, open_all)
    yield
    wait(scene, end)
    scene.until(lambda: scene.number(b"open-l", "open_transactions") == 0, "given back")


@Row("delays-due", sizes={"items": (200_000, 20_000), "clients": (200, 200)}, stage=STAGE)
def delays_due(scene: Scene, items: int, clients: int) -> Iterator[None]:
    """Have {items:,} delayed items due at once, while {clients} clients wait."""
    client = scene.connect()

    def put(end: float) -> None:
        for first in range(0, items, 1000):
            late = store(b"late/delay=%.3f" % max(0.5, end - time.time()))
            repeat(client, late, b"STORED\r\n", min(1000, items - first))

    end = ahead(scene, client, b"late", items, put)
    crowd = scene.crowd(clients)
    for each in crowd:
        each.send(b"get late/t=600000\r\n")
    yield
    wait(scene, end)
    for each in crowd:
        each.check(b"", value(b"late/t=600000") + b"END\r\n")
    scene.until(lambda: scene.number(b"late", "delayed") == 0, "due")


@Row("flush", sizes=MILLION, stage="removals")
def flush(scene: Scene, items: int) -> Iterator[None]:
    """Flush {items:,} items."""
    client = scene.connect()
    repeat(client, store(b"flushed"), b"STORED\r\n", items)
    yield
    client.check(b"flush flushed\r\n", b"END\r\n")
    scene.until(lambda: scene.number(b"flushed", "items") == 0, "flushed")


@Row("flush-on-disk", sizes=MILLION, server={"window_size": "64k"}, stage="disk")
def flush_on_disk(scene: Scene, items: int) -> Iterator[None]:
    """Flush {items:,} items that are nearly all on disk only."""
    yield from flush(scene, items)


@Row("delete", sizes=MILLION, stage="removals")
def delete(scene: Scene, items: int) -> Iterator[None]:
    """Delete a queue of {items:,} items."""
    client = scene.connect()
    repeat(client, store(b"deleted"), b"STORED\r\n", items)
    yield
    client.check(b"delete deleted\r\n", b"DELETED\r\n")


@Row(
    "discard",
    sizes=MILLION,
    queues={"full": {"max_bytes": "1m", "discard_old_when_full": True}},
    stage="removals",
)
def discard(scene: Scene, items: int) -> Iterator[None]:
    """Put a mebibyte for which {items:,} old items are dropped."""
    client = scene.connect()
    repeat(client, store(b"full"), b"STORED\r\n", items)
    yield
    client.check(store(b"full", b"x" * (1 << 20)), b"STORED\r\n")
    scene.require(scene.number(b"full", "items") == 1, "not all were dropped")


@Row("puts", sizes=MILLION, stage="removals")
def puts(scene: Scene, items: int) -> Iterator[None]:
    """Put {items:,} items on one connection, without waiting for replies."""
    client = scene.connect()
    yield
    for first in range(0, items, CHUNK * 5):
        repeat(client, store(b"put"), b"STORED\r\n", min(CHUNK * 5, items - first))


@Row("read-back", sizes=MILLION, server={"window_size": "64k"}, stage="disk")
def read_back(scene: Scene, items: int) -> Iterator[None]:
    """Take {items:,} items that are nearly all on disk only."""
    client = scene.connect()
    repeat(client, store(b"read"), b"STORED\r\n", items)
    yield
    repeat(client, b"get read\r\n", value(b"read") + b"END\r\n", items)
