"""Attacks by the number of connections: those that wait, come, go, or are slow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.hostile.row import CHUNK, Row, Scene, fill, repeat, short_names, store, value
from bench.hostile.wire import ERROR, Ends, Exactly, together

if TYPE_CHECKING:
    from collections.abc import Iterator

WAITERS = {"clients": (3_000, 500)}
STAGE = "crowds"
"""Rows that leave nothing behind."""
ROOMY = {"max_connections": 5_000}


@Row(
    "waits",
    sizes={"clients": (30, 10), "keys": (13_000, 13_000)},
    peak=(90, 32),
    stays=50,
)
def waits(scene: Scene, clients: int, keys: int) -> Iterator[None]:
    """Wait on {keys:,} names on each of {clients} connections, and hang up."""
    some = short_names(keys)
    fill(scene.connect(), some[-1:])
    scene.connect().check(b"get %b\r\n" % some[-1], value(some[-1]) + b"END\r\n")
    crowd = scene.crowd(clients)
    line = b"get %b/t=100000000 " % some[0] + b" ".join(some[1:]) + b"\r\n"
    yield
    for each in crowd:
        each.send(line)

    def answered() -> bool:
        return any(each.has_more() for each in crowd)

    def waiting() -> bool:
        return scene.number(some[-1], "waiters") == clients

    scene.until(lambda: answered() or waiting(), "waiting")
    if answered():
        # So many names are not waited for: then all have to be told so.
        said = [each.ask(b"", b"\r\n") for each in crowd]
        scene.require(all(map(ERROR.match, said)), f"answered {said[0]!r}")
        scene.notes.append(f"refused: {said[0].decode().strip()}")
    scene.hang_up()


@Row("waiters-served", sizes=WAITERS, server=ROOMY, stage=STAGE)
def waiters_served(scene: Scene, clients: int) -> Iterator[None]:
    """Serve {clients:,} waiting clients at once, and have them hang up."""
    crowd = scene.crowd(clients)
    for each in crowd:
        each.send(b"get jobs/t=600000\r\n")
    client = scene.connect()
    yield
    puts = store(b"jobs") * clients
    got = value(b"jobs/t=600000") + b"END\r\n"
    talks = [(each, b"", Exactly(got)) for each in crowd]
    together([(client, puts, Exactly(b"STORED\r\n" * clients)), *talks])


@Row("waiters-killed", sizes=WAITERS, server=ROOMY, stage=STAGE)
def waiters_killed(scene: Scene, clients: int) -> Iterator[None]:
    """Reset {clients:,} waiting clients at once."""
    client = scene.connect()
    repeat(client, store(b"jobs") + b"get jobs\r\n", b"STORED\r\n" + value(b"jobs") + b"END\r\n", 1)
    for each in scene.crowd(clients):
        each.send(b"get jobs/t=600000\r\n")
    scene.until(lambda: scene.number(b"jobs", "waiters") == clients, "waiting")
    yield
    scene.hang_up(reset=True)
    scene.until(lambda: scene.number(b"jobs", "waiters") == 0, "gone")


@Row("room", sizes=WAITERS, server=ROOMY, queues={"full": {"max_items": 3_000}}, stage=STAGE)
def room(scene: Scene, clients: int) -> Iterator[None]:
    """Flush a full queue in which {clients:,} clients wait for room."""
    client = scene.connect()
    repeat(client, store(b"full"), b"STORED\r\n", 3_000)
    crowd = scene.crowd(clients)
    for each in crowd:
        each.send(store(b"full/t=600000"))
    client.check(b"version\r\n" * 100, client.ask(b"version\r\n", b"\r\n") * 100)
    yield
    stored = Exactly(b"END\r\n")
    talks = [(each, b"", Exactly(b"STORED\r\n")) for each in crowd]
    together([(client, b"flush full\r\n", stored), *talks])


@Row("stats-conns", sizes={"clients": (4_000, 1_000), "times": (5, 5)}, server=ROOMY, stage=STAGE)
def stats_conns(scene: Scene, clients: int, times: int) -> Iterator[None]:
    """Ask {times} times for `stats conns` with {clients:,} connections."""
    crowd = scene.crowd(clients)
    yield
    ends = Ends(times, needle=b":addr ")
    together([(crowd[0], b"stats conns\r\n" * times, ends)])
    scene.require(ends.found >= clients * times, f"it told of {ends.found:,} connections")


@Row("slow", sizes={"clients": (2_000, 300)}, server=ROOMY, stage=STAGE)
def slow(scene: Scene, clients: int) -> Iterator[None]:
    """Send a put byte by byte on {clients:,} connections."""
    crowd = scene.crowd(clients)
    yield
    for byte in store(b"slow"):
        for each in crowd:
            each.send(bytes([byte]))
    together([(each, b"", Exactly(b"STORED\r\n")) for each in crowd])


@Row("storm", sizes={"times": (20_000, 1_000)}, stage=STAGE)
def storm(scene: Scene, times: int) -> Iterator[None]:
    """Connect {times:,} times, ask something, and reset before the answer."""
    yield
    for _ in range(times):
        client = scene.connect()
        client.send(b"get jobs\r\n")
        scene.hang_up(reset=True)
    scene.connect().check(b"get jobs\r\n", b"END\r\n")


@Row("arrivals", sizes={"clients": (3_000, 500)}, server=ROOMY, stage=STAGE)
def arrivals(scene: Scene, clients: int) -> Iterator[None]:
    """Connect {clients:,} clients at once, and have them hang up at once."""
    yield
    crowd = scene.crowd(clients)
    together([(each, b"get jobs\r\n", Exactly(b"END\r\n")) for each in crowd])
    scene.hang_up()
    scene.connect().check(b"get jobs\r\n", b"END\r\n")


@Row("silent-arrivals", sizes={"clients": (4_500, 500)}, server=ROOMY, stage=STAGE)
def silent_arrivals(scene: Scene, clients: int) -> Iterator[None]:
    """Connect {clients:,} clients at once that say nothing, and have them hang up."""
    yield
    crowd = [scene.connect() for _ in range(clients)]
    crowd[-1].check(b"get jobs\r\n", b"END\r\n")
    scene.hang_up()
    scene.until(lambda: scene.connected() <= 2, "gone")


@Row("large", sizes={"clients": (50, 20), "times": (10, 3)})
def large(scene: Scene, clients: int, times: int) -> Iterator[None]:
    """Put and take {times} items of a mebibyte on each of {clients} connections."""
    crowd, body = scene.crowd(clients), b"l" * (1 << 20)
    yield
    assert times < CHUNK
    for _ in range(times):
        together([(each, store(b"big", body), Exactly(b"STORED\r\n")) for each in crowd])
        got = value(b"big", body) + b"END\r\n"
        together([(each, b"get big\r\n", Exactly(got)) for each in crowd])
