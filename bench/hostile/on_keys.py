"""Attacks by what stands in one line, or in many short ones: keys, closes, letters."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from bench.hostile.row import Row, Scene, names, repeat, short_names, store, value
from bench.hostile.wire import Ends, Exactly, together

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.hostile.wire import Client

HEADER = struct.Struct(">BBHBBHIIQ")
GETKQ, NOOP = 0x0D, 0x0A
STAGE = "commands"
"""Rows that leave nothing behind but items in queues that no other of them uses."""
MANY_OPENS = {"max_open_reads": 1_000_000}
MANY = {"times": (100_000, 20_000)}


def request(opcode: int, key: bytes = b"") -> bytes:
    """Return a request of the binary protocol."""
    return HEADER.pack(0x80, opcode, len(key), 0, 0, 0, len(key), 0, 0) + key


NOOP_REPLY = HEADER.pack(0x81, NOOP, 0, 0, 0, 0, 0, 0, 0)


def opened(client: Client, queue: bytes, count: int, option: bytes = b"/open") -> None:
    """Put so many items and open them all."""
    repeat(client, store(queue), b"STORED\r\n", count)
    key = queue + option
    repeat(client, b"get %b\r\n" % key, value(key) + b"END\r\n", count)


@Row(
    "closes-and-takes",
    sizes={"closes": (5_000, 2_500), "takes": (12_699, 6_000)},
    queues={"a": MANY_OPENS},
    stage=STAGE,
)
def closes_and_takes(scene: Scene, closes: int, takes: int) -> Iterator[None]:
    """Send one `get` of {closes:,} closes and {takes:,} takes."""
    client = scene.connect()
    opened(client, b"a", closes)
    client.check(store(b"b"), b"STORED\r\n")
    yield
    line = b"get" + b" a/close" * closes + b" b" * takes
    client.check(line + b"\r\n", value(b"b") + b"END\r\n")
    scene.require(scene.number(b"a", "open_transactions") == 0, "not all was closed")


@Row("keys", sizes={"keys": (12_000, 12_000), "times": (30, 5)}, stage=STAGE)
def keys(scene: Scene, keys: int, times: int) -> Iterator[None]:
    """Send {times} times `get` of {keys:,} keys that are no queues."""
    client = scene.connect()
    line = b"get " + b" ".join(short_names(keys)) + b"\r\n"
    yield
    client.check(line * times, b"END\r\n" * times)


@Row("keys-by-the-mib", sizes={"keys": (149_000, 149_000), "clients": (4, 2)}, stage=STAGE)
def keys_by_the_mib(scene: Scene, keys: int, clients: int) -> Iterator[None]:
    """Send one `get` of {keys:,} keys that are no queues on each of {clients} connections."""
    crowd = scene.crowd(clients)
    line = b"get " + b" ".join(short_names(keys)) + b"\r\n"
    yield
    together([(each, line, Exactly(b"END\r\n")) for each in crowd])


@Row("children-asked", sizes={"keys": (7_000, 1_500)})
def children_asked(scene: Scene, keys: int) -> Iterator[None]:
    """Make {keys:,} children of as many queues by one `get`."""
    client = scene.connect()
    yield
    line = b"get " + b" ".join(name + b"+c" for name in names(keys)) + b"\r\n"
    client.check(line, b"END\r\n")


@Row("peeks", sizes={"times": (200, 20), "items": (1_000, 1_000)}, stage=STAGE)
def peeks(scene: Scene, times: int, items: int) -> Iterator[None]:
    """Send {times} times `get` with `/peek/n={items}`."""
    client = scene.connect()
    body = b"p" * 100
    repeat(client, store(b"p", body), b"STORED\r\n", items)
    key = b"p/peek/n=%d" % items
    yield
    repeat(client, b"get %b\r\n" % key, value(key, body) * items + b"END\r\n", times)


@Row("letters", sizes={"commands": (6_500_000, 400_000), "clients": (4, 4)}, stage=STAGE)
def letters(scene: Scene, commands: int, clients: int) -> Iterator[None]:
    """Send {commands:,} commands of one letter on {clients} connections."""
    crowd = scene.crowd(clients)
    yield
    share = commands // clients
    wrong = (b"x\r\n" * share, b"ERROR\r\n" * share)
    together([(each, wrong[0], Exactly(wrong[1])) for each in crowd])


@Row("flush-all-refused", sizes={"times": (146_000, 20_000)}, stage=STAGE)
def flush_all_refused(scene: Scene, times: int) -> Iterator[None]:
    """Ask {times:,} times for `flush_all`, which is not allowed."""
    client = scene.connect()
    yield
    repeat(client, b"flush_all\r\n", b"OK\r\n", times)


@Row("unknown", sizes=MANY, stage=STAGE)
def unknown(scene: Scene, times: int) -> Iterator[None]:
    """Send {times:,} times `get` of an unknown name."""
    client = scene.connect()
    wanted = b"".join(b"get %b\r\n" % name for name in names(times, b"u"))
    yield
    client.check(wanted, b"END\r\n" * times)


@Row("unknown-binary", sizes=MANY, stage=STAGE)
def unknown_binary(scene: Scene, times: int) -> Iterator[None]:
    """Send {times:,} quiet binary gets of unknown names, then a NOOP."""
    client = scene.connect_in_binary()
    wanted = b"".join(request(GETKQ, name) for name in names(times, b"u"))
    yield
    client.check(wanted + request(NOOP), NOOP_REPLY)


@Row("unknown-meta", sizes=MANY, stage=STAGE)
def unknown_meta(scene: Scene, times: int) -> Iterator[None]:
    """Send {times:,} quiet `mg` of unknown names, then an `mn`."""
    client = scene.connect()
    wanted = b"".join(b"mg %b v q\r\n" % name for name in names(times, b"u"))
    yield
    client.check(wanted + b"mn\r\n", b"MN\r\n")


@Row("binary-taken", sizes=MANY, stage=STAGE)
def binary_taken(scene: Scene, times: int) -> Iterator[None]:
    """Take {times:,} items by quiet binary gets."""
    repeat(scene.connect(), store(b"jobs"), b"STORED\r\n", times)
    client = scene.connect_in_binary()
    yield
    ends = Ends(1, NOOP_REPLY, b"jobsx")
    together([(client, request(GETKQ, b"jobs") * times + request(NOOP), ends)])
    scene.require(ends.found == times, f"only {ends.found:,} items came")


@Row("meta-taken", sizes=MANY, stage=STAGE)
def meta_taken(scene: Scene, times: int) -> Iterator[None]:
    """Take {times:,} items by `mg`."""
    client = scene.connect()
    repeat(client, store(b"jobs"), b"STORED\r\n", times)
    yield
    client.check(b"mg jobs v\r\n" * times, b"VA 1\r\nx\r\n" * times)


@Row("puts-by-many", sizes={"clients": (200, 200), "times": (500, 50)}, stage=STAGE)
def puts_by_many(scene: Scene, clients: int, times: int) -> Iterator[None]:
    """Put {times} items on each of {clients} connections, without waiting for replies."""
    crowd = scene.crowd(clients)
    yield
    puts = store(b"many", b"j" * 100) * times
    together([(each, puts, Exactly(b"STORED\r\n" * times)) for each in crowd])
