"""Attacks by the number of queues: what is done for all of them, and for children."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.hostile.row import Row, Scene, come_and_go, fill, names, repeat, store, value
from bench.hostile.wire import Ends, together

if TYPE_CHECKING:
    from collections.abc import Iterator

MANY = (10_000, 2_000)
QUEUES = {"queues": MANY}
STAGE = "queues"
"""Rows that need so many queues, and leave them there; the last deletes them."""
LEAST_CHILDREN = 1_000


@Row("alone", sizes={"seconds": (3, 1)})
def alone(scene: Scene, seconds: int) -> Iterator[None]:
    """Do nothing for {seconds} s: what the measurement itself says."""
    yield
    time.sleep(seconds)


@Row("there", sizes={"queues": (20_000, 2_000), "seconds": (5, 1)}, stage=STAGE)
def there(scene: Scene, queues: int, seconds: int) -> Iterator[None]:
    """Leave {queues:,} queues alone for {seconds} s."""
    scene.queues(queues)
    yield
    time.sleep(seconds)


@Row("fan-out", sizes={"children": (10_000, 1_000), "puts": (3, 3)})
def fan_out(scene: Scene, children: int, puts: int) -> Iterator[None]:
    """Put {puts} times into a queue with {children:,} children, or as many as may be."""
    client, made = scene.connect(), 0
    for name in names(children, b"q+"):
        if client.ask(b"get %b\r\n" % name) != b"END\r\n":
            break
        made += 1
    scene.require(made >= min(children, LEAST_CHILDREN), f"only {made} children could be made")
    if made < children:
        scene.notes.append(f"{made:,} children are allowed")
    yield
    repeat(client, store(b"q"), b"STORED\r\n", puts)
    scene.require(scene.number(b"q+00000", "items") == puts, "the children have no copies")


@Row("flush-all", sizes=QUEUES, server={"allow_flush_all": True}, odd=True, stage=STAGE)
def flush_all(scene: Scene, queues: int) -> Iterator[None]:
    """Ask for `flush_all` over {queues:,} queues."""
    client = scene.connect()
    scene.queues(queues)
    yield
    client.check(b"flush_all\r\n", b"OK\r\n")
    last = names(queues)[-1]
    scene.until(lambda: scene.number(last, "items") == 0, "flushed")
    client.check(b"get %b\r\n" % last, b"END\r\n")


@Row("flush-expired", sizes={**QUEUES, "times": (20, 10)}, stage=STAGE)
def flush_expired(scene: Scene, queues: int, times: int) -> Iterator[None]:
    """Ask {times} times for `flush_all_expired` over {queues:,} queues."""
    client = scene.connect()
    scene.queues(queues)
    yield
    repeat(client, b"flush_all_expired\r\n", b"0\r\n", times)


@Row("stats", sizes=QUEUES, stage=STAGE)
def stats(scene: Scene, queues: int) -> Iterator[None]:
    """Ask for `stats` with {queues:,} queues."""
    client = scene.connect()
    scene.queues(queues)
    yield
    told = client.count(b"stats\r\n", b"_total_items ")
    scene.require(told >= queues, f"it told of {told:,} queues")


@Row("stats-many", sizes={**QUEUES, "clients": (5, 5), "times": (5, 2)}, stage=STAGE)
def stats_many(scene: Scene, queues: int, clients: int, times: int) -> Iterator[None]:
    """Ask for `stats` with {queues:,} queues, {times} times on {clients} connections."""
    scene.queues(queues)
    crowd = scene.crowd(clients)
    yield
    ends = [Ends(times, needle=b"_total_items ") for _ in crowd]
    together([(each, b"stats\r\n" * times, end) for each, end in zip(crowd, ends, strict=True)])
    told = min(end.found for end in ends)
    scene.require(told >= queues * times, f"it told of {told:,} queues")


@Row("stats-unread", sizes={**QUEUES, "clients": (20, 10)}, peak=(60, 30), stays=8, stage=STAGE)
def stats_unread(scene: Scene, queues: int, clients: int) -> Iterator[None]:
    """Ask for `stats` with {queues:,} queues on {clients} connections, and do not read."""
    scene.queues(queues)
    crowd = scene.crowd(clients)
    yield
    for each in crowd:
        each.send(b"stats\r\n")
    for each in crowd:
        each.receive(1)
    time.sleep(0.5)


@Row("dump", sizes=QUEUES, stage=STAGE)
def dump(scene: Scene, queues: int) -> Iterator[None]:
    """Ask for `dump_stats` and `dump_config` with {queues:,} queues."""
    client = scene.connect()
    scene.queues(queues)
    yield
    for request in (b"dump_stats\r\n", b"dump_config\r\n"):
        told = client.count(request, b"queue 'q", end=b"\r\nEND\r\n")
        scene.require(told >= queues, f"it told of {told:,} queues")


@Row("reload", sizes=QUEUES, server={"allow_reload": True}, stage=STAGE)
def reload(scene: Scene, queues: int) -> Iterator[None]:
    """Have the settings read again with {queues:,} queues."""
    client = scene.connect()
    scene.queues(queues)
    yield
    client.check(b"reload\r\n", b"Reloaded config.\r\n")


@Row(
    "drain",
    sizes={**QUEUES, "times": (10, 10)},
    server={"allow_drain": True},
    odd=True,
    stage=STAGE,
)
def drain(scene: Scene, queues: int, times: int) -> Iterator[None]:
    """Drain {times} times, and take that back, with {queues:,} queues."""
    client = scene.connect()
    scene.queues(queues)
    yield
    repeat(client, b"status READONLY\r\nstatus UP\r\n", b"END\r\nEND\r\n", times)


@Row("made", sizes={"queues": (20_000, 1_000)})
def made(scene: Scene, queues: int) -> Iterator[None]:
    """Make {queues:,} queues."""
    client = scene.connect()
    yield
    fill(client, names(queues))


@Row("made-by-many", sizes={"queues": (20_000, 1_000), "clients": (50, 50)})
def made_by_many(scene: Scene, queues: int, clients: int) -> Iterator[None]:
    """Make {queues:,} queues on {clients} connections."""
    crowd = scene.crowd(clients)
    yield
    share = queues // clients
    talks = []
    for number, client in enumerate(crowd):
        some = names(queues)[number * share : (number + 1) * share]
        request = b"".join(store(name) for name in some)
        talks.append((client, request, Ends(share, b"STORED\r\n")))
    together(talks)


@Row("made-and-deleted", sizes={"queues": (49_700, 2_000)}, stays=16)
def made_and_deleted(scene: Scene, queues: int) -> Iterator[None]:
    """Make and delete {queues:,} queues, one after the other; memory from the second time on."""
    client = scene.connect()
    for first in range(0, queues, 1000):
        some = names(queues)[first : first + 1000]
        request = b"".join(store(name) + b"delete %b\r\n" % name for name in some)
        client.check(request, b"STORED\r\nDELETED\r\n" * len(some))
        if not first:
            yield


@Row("remade", sizes={"times": (5_000, 500), "items": (20, 20)}, stays=16)
def remade(scene: Scene, times: int, items: int) -> Iterator[None]:
    """Make one queue and delete it {times:,} times, with {items} items each time."""
    client = scene.connect()
    yield
    request = store(b"again") * items + b"delete again\r\n"
    repeat(client, request, b"STORED\r\n" * items + b"DELETED\r\n", times)


@Row("idle-expire", sizes=QUEUES, queues={"idle*": {"idle_expire": 3}})
def idle_expire(scene: Scene, queues: int) -> Iterator[None]:
    """Let {queues:,} queues expire at once."""
    come_and_go(scene.connect(), names(queues, b"idle"))
    yield
    scene.until(lambda: scene.is_gone(b"idle00000"), "deleted")
    scene.until(lambda: scene.is_gone(names(queues, b"idle")[-1]), "deleted")


@Row("binary-stat", sizes=QUEUES, stage=STAGE)
def binary_stat(scene: Scene, queues: int) -> Iterator[None]:
    """Ask for STAT of the binary protocol with {queues:,} queues."""
    scene.queues(queues)
    client = scene.connect_in_binary()
    yield
    end = bytes.fromhex("81100000 00000000 00000000 0000002a") + bytes(8)
    request = bytes.fromhex("80100000 00000000 00000000 0000002a") + bytes(8)
    told = client.count(request, b"_total_items", end=end)
    scene.require(told >= queues, f"it told of {told:,} queues")


@Row("keys-taken", sizes={"keys": (9_000, 2_000)}, stage=STAGE)
def keys_taken(scene: Scene, keys: int) -> Iterator[None]:
    """Send one `get` of {keys:,} keys, and take an item of each queue."""
    client, wanted = scene.connect(), scene.queues(keys)
    fill(client, wanted)
    yield
    client.check(b"get " + b" ".join(wanted) + b"\r\n", b"".join(map(value, wanted)) + b"END\r\n")


@Row("keys-opened", sizes={"keys": (5_400, 2_000)}, stage=STAGE)
def keys_opened(scene: Scene, keys: int) -> Iterator[None]:
    """Open an item of each of {keys:,} queues by one `get`, and hang up."""
    client, wanted = scene.connect(), scene.queues(keys)
    fill(client, wanted)
    yield
    asked = [name + b"/open" for name in wanted]
    client.check(b"get " + b" ".join(asked) + b"\r\n", b"".join(map(value, asked)) + b"END\r\n")
    scene.hang_up()
    last = wanted[-1]
    scene.until(lambda: scene.number(last, "open_transactions") == 0, "given back")


@Row("deleted", sizes=QUEUES, stage=STAGE)
def deleted(scene: Scene, queues: int) -> Iterator[None]:
    """Delete {queues:,} queues."""
    client = scene.connect()
    request = b"".join(b"delete %b\r\n" % name for name in scene.queues(queues))
    yield
    scene.forget()
    client.check(request, b"DELETED\r\n" * queues)
