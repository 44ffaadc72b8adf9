"""Attacks by the number of items: what dies, comes back, or is removed all at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.hostile.on_keys import MANY_OPENS, opened
from bench.hostile.row import CHUNK, Row, Scene, repeat, store, value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.hostile.wire import Client

MILLION = {"items": (1_000_000, 100_000)}
OPENS = {"items": (20_000, 4_000)}
TARGETS = 20
PUTS_A_SECOND = 10_000
"""What even a busy server accepts."""


def dying(client: Client, queue: bytes, count: int) -> float:
    """Put so many items that all die in the same second; return when."""
    end = int(time.time()) + 3 + count // PUTS_A_SECOND
    repeat(client, store(queue, exptime=end), b"STORED\r\n", count)
    return end


def meet(scene: Scene, client: Client, queue: bytes, end: float) -> None:
    """Ask for an item as soon as all are dead."""
    scene.require(time.time() < end, "the set-up took too long")
    time.sleep(end - time.time() + 0.01)
    client.check(b"get %b\r\n" % queue, b"END\r\n")


@Row("expire-moved", sizes={"items": (50_000, 5_000)}, queues={"src": {"expire_to": "dead"}})
def expire_moved(scene: Scene, items: int) -> Iterator[None]:
    """Let {items:,} items expire into another queue."""
    client = scene.connect()
    end = dying(client, b"src", items)
    yield
    meet(scene, client, b"src", end)
    scene.until(lambda: scene.number(b"dead", "total_items") == items, "moved")


@Row("expire-copied", sizes={"items": (20_000, 1_500)}, queues={"src": {"expire_to": "dead"}})
def expire_copied(scene: Scene, items: int) -> Iterator[None]:
    """Let {items:,} items expire into a queue with 20 children."""
    client = scene.connect()
    for number in range(TARGETS):
        client.check(b"get dead+%d\r\n" % number, b"END\r\n")
    end = dying(client, b"src", items)
    yield
    meet(scene, client, b"src", end)
    scene.until(lambda: scene.number(b"dead+19", "total_items") == items, "copied")


@Row(
    "expire-routed",
    sizes={"items": (20_000, 1_500)},
    queues={"src": {"expire_to": "dead"}},
    routes={"dead": [f"target{number}" for number in range(TARGETS)]},
)
def expire_routed(scene: Scene, items: int) -> Iterator[None]:
    """Let {items:,} items expire into a queue with routes to 20 others."""
    client = scene.connect()
    end = dying(client, b"src", items)
    yield
    meet(scene, client, b"src", end)
    scene.until(lambda: scene.number(b"target19", "total_items") == items, "routed")


@Row("expire-dropped", sizes={"items": (50_000, 10_000)})
def expire_dropped(scene: Scene, items: int) -> Iterator[None]:
    """Let {items:,} items expire that are dropped."""
    client = scene.connect()
    end = dying(client, b"src", items)
    yield
    meet(scene, client, b"src", end)
    scene.until(lambda: scene.number(b"src", "expired_items") == items, "dropped")


@Row(
    "dead-letters",
    sizes=OPENS,
    queues={"src": {**MANY_OPENS, "max_deliveries": 1, "dead_letter": "dead"}},
)
def dead_letters(scene: Scene, items: int) -> Iterator[None]:
    """Hang up with {items:,} open items that become dead letters."""
    opened(scene.connect(), b"src", items)
    yield
    scene.hang_up()
    scene.until(lambda: scene.number(b"dead", "total_items") == items, "moved")


@Row("opens-dropped", sizes=OPENS, queues={"a": MANY_OPENS})
def opens_dropped(scene: Scene, items: int) -> Iterator[None]:
    """Hang up with {items:,} open items."""
    opened(scene.connect(), b"a", items)
    yield
    scene.hang_up()
    scene.until(lambda: scene.number(b"a", "items") == items, "given back")


@Row("opens-deleted", sizes=OPENS, queues={"a": MANY_OPENS})
def opens_deleted(scene: Scene, items: int) -> Iterator[None]:
    """Delete a queue with {items:,} open items."""
    opened(scene.connect(), b"a", items)
    client = scene.connect()
    yield
    client.check(b"delete a\r\n", b"DELETED\r\n")


@Row("opens-told", sizes=OPENS, queues={"a": MANY_OPENS})
def opens_told(scene: Scene, items: int) -> Iterator[None]:
    """Ask for `stats queue` of a queue with {items:,} open items."""
    client = scene.connect()
    opened(client, b"a", items)
    yield
    told = client.count(b"stats queue a\r\n", b"_deliveries ")
    scene.require(told == items, f"it told of {told:,} items")


@Row("confirm", sizes=OPENS, queues={"a": MANY_OPENS})
def confirm(scene: Scene, items: int) -> Iterator[None]:
    """Confirm {items:,} open items by one command."""
    client = scene.connect()
    opened(client, b"a", items)
    yield
    client.check(b"confirm a %d\r\n" % items, b"END\r\n")


@Row("monitor", sizes=OPENS, queues={"a": MANY_OPENS})
def monitor(scene: Scene, items: int) -> Iterator[None]:
    """Open {items:,} items by one monitor."""
    client = scene.connect()
    repeat(client, store(b"a"), b"STORED\r\n", items)
    yield
    each = value(b"a") + b"END\r\n"
    client.check(b"monitor a 60 %d\r\n" % items, each * items + b"END\r\n")


@Row("leases-end", sizes=OPENS, queues={"a": MANY_OPENS})
def leases_end(scene: Scene, items: int) -> Iterator[None]:
    """Let {items:,} leases end at once."""
    client = scene.connect()
    repeat(client, store(b"a"), b"STORED\r\n", items)
    end = time.monotonic() + 3 + items / PUTS_A_SECOND
    for first in range(0, items, 100):
        key = b"a/open/lease=%.3f" % (end - time.monotonic())
        repeat(client, b"get %b\r\n" % key, value(key) + b"END\r\n", min(100, items - first))
    yield
    time.sleep(max(0.0, end - time.monotonic()))
    scene.until(lambda: scene.number(b"a", "open_transactions") == 0, "given back")


@Row("delays-due", sizes={"items": (200_000, 20_000), "clients": (200, 200)})
def delays_due(scene: Scene, items: int, clients: int) -> Iterator[None]:
    """Have {items:,} delayed items due at once, while {clients} clients wait."""
    client = scene.connect()
    end = time.monotonic() + 3 + items / PUTS_A_SECOND
    for first in range(0, items, 1000):
        put = store(b"late/delay=%.3f" % max(0.1, end - time.monotonic()))
        repeat(client, put, b"STORED\r\n", min(1000, items - first))
    crowd = scene.crowd(clients)
    for each in crowd:
        each.send(b"get late/t=600000\r\n")
    scene.require(time.monotonic() < end, "the set-up took too long")
    yield
    for each in crowd:
        each.check(b"", value(b"late/t=600000") + b"END\r\n")
    scene.until(lambda: scene.number(b"late", "delayed") == 0, "due")


@Row("flush", sizes=MILLION)
def flush(scene: Scene, items: int) -> Iterator[None]:
    """Flush {items:,} items."""
    client = scene.connect()
    repeat(client, store(b"q"), b"STORED\r\n", items)
    yield
    client.check(b"flush q\r\n", b"END\r\n")
    scene.until(lambda: scene.number(b"q", "items") == 0, "flushed")


@Row("flush-on-disk", sizes=MILLION, server={"window_size": "64k"})
def flush_on_disk(scene: Scene, items: int) -> Iterator[None]:
    """Flush {items:,} items that are nearly all on disk only."""
    yield from flush(scene, items)


@Row("delete", sizes=MILLION)
def delete(scene: Scene, items: int) -> Iterator[None]:
    """Delete a queue of {items:,} items."""
    client = scene.connect()
    repeat(client, store(b"q"), b"STORED\r\n", items)
    yield
    client.check(b"delete q\r\n", b"DELETED\r\n")


@Row("discard", sizes=MILLION, queues={"full": {"max_bytes": "1m", "discard_old_when_full": True}})
def discard(scene: Scene, items: int) -> Iterator[None]:
    """Put a mebibyte for which {items:,} old items are dropped."""
    client = scene.connect()
    repeat(client, store(b"full"), b"STORED\r\n", items)
    yield
    client.check(store(b"full", b"x" * (1 << 20)), b"STORED\r\n")
    scene.require(scene.number(b"full", "items") == 1, "not all were dropped")


@Row("puts", sizes=MILLION)
def puts(scene: Scene, items: int) -> Iterator[None]:
    """Put {items:,} items on one connection, without waiting for replies."""
    client = scene.connect()
    yield
    for first in range(0, items, CHUNK * 5):
        repeat(client, store(b"q"), b"STORED\r\n", min(CHUNK * 5, items - first))


@Row("read-back", sizes=MILLION, server={"window_size": "64k"})
def read_back(scene: Scene, items: int) -> Iterator[None]:
    """Take {items:,} items that are nearly all on disk only."""
    client = scene.connect()
    repeat(client, store(b"q"), b"STORED\r\n", items)
    yield
    repeat(client, b"get q\r\n", value(b"q") + b"END\r\n", items)
