"""Attacks by what operators do to whole queues: moves, lists, drops, pauses, and by tokens."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.hostile.on_keys import MANY_OPENS, opened
from bench.hostile.row import CHUNK, Row, Scene, names, repeat, store, value
from bench.hostile.wire import Ends, Exactly, together

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.hostile.wire import Client

MANY = {"items": (100_000, 10_000)}
DISK = {"window_size": "64k"}
DEEP = {"items": (500_000, 50_000), "times": (500, 100)}
STAGE = "verbs"
"""Rows that leave nothing behind but items in queues that no other of them uses."""
DEEP_STAGE = "deep"
"""The same of rows whose queues are nearly all on disk only."""
TARGETS = 20
PAGE = 1_000
WINDOW = 4.0
"""Seconds for which a token counts."""


def moved(client: Client, words: bytes, items: int) -> None:
    """Move so many items by one command."""
    client.check(b"move %b\r\n" % words, b"MOVED %d\r\n" % items)


@Row("moved", sizes=MANY, stage=STAGE)
def moved_away(scene: Scene, items: int) -> Iterator[None]:
    """Move {items:,} items to another queue by one command."""
    client = scene.connect()
    repeat(client, store(b"mv-away"), b"STORED\r\n", items)
    yield
    moved(client, b"mv-away mv-there", items)


@Row("moved-back", sizes=MANY, stage=STAGE)
def moved_back(scene: Scene, items: int) -> Iterator[None]:
    """Move {items:,} items back to where they came from by one command."""
    client = scene.connect()
    repeat(client, store(b"mv-back"), b"STORED\r\n", items)
    moved(client, b"mv-back mv-parked", items)
    yield
    moved(client, b"mv-parked origin", items)


@Row("moved-copied", sizes={"items": (20_000, 1_500)}, stage=STAGE)
def moved_copied(scene: Scene, items: int) -> Iterator[None]:
    """Move {items:,} items to a queue with 20 children."""
    client = scene.connect()
    for number in range(TARGETS):
        client.check(b"get mv-all+%d\r\n" % number, b"END\r\n")
    repeat(client, store(b"mv-copied"), b"STORED\r\n", items)
    yield
    moved(client, b"mv-copied mv-all", items)


@Row("moved-on-disk", sizes=MANY, server=DISK, stage=DEEP_STAGE)
def moved_on_disk(scene: Scene, items: int) -> Iterator[None]:
    """Move {items:,} items that are nearly all on disk only."""
    yield from moved_away(scene, items)


@Row(
    "buried",
    sizes={"items": (20_000, 2_000)},
    queues={"src-buried": {**MANY_OPENS, "max_deliveries": 9, "dead_letter": "buried"}},
    stage=STAGE,
)
def buried(scene: Scene, items: int) -> Iterator[None]:
    """Bury {items:,} open items by one get."""
    client = scene.connect()
    opened(client, b"src-buried", items)
    yield
    client.check(b"get" + b" src-buried/bury" * items + b"\r\n", b"END\r\n")
    scene.until(lambda: scene.number(b"buried", "total_items") == items, "buried")


def _browse(client: Client, queue: bytes, items: int, times: int) -> None:
    """Ask for lists that begin all over a queue, all of them at once."""
    step = max(1, (items - PAGE) // times)
    lines = [b"browse %b %d %d\r\n" % (queue, 1 + step * each, PAGE) for each in range(times)]
    ends = Ends(times, needle=b"ITEM ")
    together([(client, b"".join(lines), ends)])
    assert ends.found == times * PAGE, f"it told of {ends.found:,} items"


@Row("browsed", sizes=DEEP, stage=STAGE)
def browsed(scene: Scene, items: int, times: int) -> Iterator[None]:
    """List 1,000 items {times} times, all over a queue of {items:,} in memory."""
    client = scene.connect()
    repeat(client, store(b"br-memory"), b"STORED\r\n", items)
    yield
    _browse(client, b"br-memory", items, times)


@Row("browsed-on-disk", sizes=DEEP, server=DISK, stage=DEEP_STAGE)
def browsed_on_disk(scene: Scene, items: int, times: int) -> Iterator[None]:
    """List 1,000 items {times} times, all over a queue of {items:,} on disk."""
    client = scene.connect()
    repeat(client, store(b"br-disk"), b"STORED\r\n", items)
    yield
    _browse(client, b"br-disk", items, times)


@Row("dropped", sizes=DEEP, stage=STAGE)
def dropped(scene: Scene, items: int, times: int) -> Iterator[None]:
    """Drop {times} single items all over a queue of {items:,} in memory."""
    yield from _drop(scene, b"dr-memory", items, times)


@Row("dropped-on-disk", sizes=DEEP, server=DISK, stage=DEEP_STAGE)
def dropped_on_disk(scene: Scene, items: int, times: int) -> Iterator[None]:
    """Drop {times} single items all over a queue of {items:,} on disk."""
    yield from _drop(scene, b"dr-disk", items, times)


def _drop(scene: Scene, queue: bytes, items: int, times: int) -> Iterator[None]:
    client = scene.connect()
    repeat(client, store(queue), b"STORED\r\n", items)
    step = items // times
    yield
    lines = [b"drop %b %d\r\n" % (queue, 2 + step * each) for each in range(times)]
    client.check(b"".join(lines), b"DELETED\r\n" * times)


@Row("resumed", sizes={"clients": (3_000, 500)}, server={"max_connections": 5_000}, stage=STAGE)
def resumed(scene: Scene, clients: int) -> Iterator[None]:
    """Resume a queue for which {clients:,} clients wait."""
    client = scene.connect()
    repeat(client, store(b"rested"), b"STORED\r\n", clients)
    client.check(b"pause rested\r\n", b"OK\r\n")
    crowd = scene.crowd(clients)
    for each in crowd:
        each.send(b"get rested/t=600000\r\n")
    scene.until(lambda: scene.number(b"rested", "waiters") == clients, "waiting")
    yield
    got = value(b"rested/t=600000") + b"END\r\n"
    talks = [(each, b"", Exactly(got)) for each in crowd]
    together([(client, b"resume rested\r\n", Exactly(b"OK\r\n")), *talks])


@Row(
    "consumers",
    sizes={"clients": (10_000, 1_000), "times": (5, 5)},
    server={"max_connections": 12_000},
)
def consumers(scene: Scene, clients: int, times: int) -> Iterator[None]:
    """Ask {times} times for `stats consumers` with {clients:,} clients that take from the queue."""
    crowd = scene.crowd(clients)
    repeat(crowd[0], store(b"taken"), b"STORED\r\n", clients)
    got = value(b"taken") + b"END\r\n"
    together([(each, b"hello x\r\nget taken\r\n", Exactly(b"OK\r\n" + got)) for each in crowd])
    yield
    ends = Ends(times, needle=b":takes 1\r\n")
    together([(crowd[0], b"stats consumers taken\r\n" * times, ends)])
    scene.require(ends.found >= clients * times, f"it told of {ends.found:,} clients")


@Row("first", sizes={"queues": (10_000, 2_000), "times": (20, 5)}, stage=STAGE)
def first(scene: Scene, queues: int, times: int) -> Iterator[None]:
    """Ask {times} times for one item in all, from the first of {queues:,} names of no queue."""
    client = scene.connect()
    keys = names(queues, b"f")
    line = b"get %b/first %b\r\n" % (keys[0], b" ".join(keys[1:]))
    yield
    client.check(line * times, b"END\r\n" * times)


@Row(
    "tokens-over",
    sizes={"tokens": (100_000, 10_000)},
    queues={"tokens": {"once_window": WINDOW}},
    stage=STAGE,
)
def tokens_over(scene: Scene, tokens: int) -> Iterator[None]:
    """Let {tokens:,} tokens of puts count no more, all at once."""
    client = scene.connect()
    for start in range(0, tokens, CHUNK):
        some = range(start, min(start + CHUNK, tokens))
        puts = [b"set tokens/once=%d 0 0 1\r\nx\r\n" % each for each in some]
        client.check(b"".join(puts), b"STORED\r\n" * len(puts))
    yield
    time.sleep(WINDOW + 0.1)
    for each in range(20):
        client.check(b"set tokens/once=new%d 0 0 1\r\nx\r\n" % each, b"STORED\r\n")
