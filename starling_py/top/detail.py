"""What there is to be told of one queue: who consumes it, what is open, what comes next.

Made from the replies to ``stats consumers Q``, ``stats queue Q``, ``browse Q`` and
``dump_config Q``. Whatever a server refuses is left out, and says so. Data is looked at
(``/peek/id=``), which takes nothing; large items are not fetched.
"""

from collections.abc import Mapping, Sequence

from attrs import field, frozen

from starling_py.top.client import RefusedError, StatsClient
from starling_py.top.formats import printable

AT_THE_HEAD = 20
"""Items that are listed."""
MOST_OPEN = 200
"""Open items of which it is asked who holds them; of more it would take the server too long."""
LARGEST_LOOKED_AT = 16_384
"""Bytes of an item whose data is fetched."""


@frozen
class Consumer:
    """A connection that takes from the queue; ``last_take`` in milliseconds, -1 for never."""

    address: str
    name: str
    takes: int
    last_take: int
    open_reads: int
    waits: bool


@frozen
class Item:
    """One item, as ``browse`` tells it; times are in milliseconds."""

    id: int
    size: int
    flags: int
    age: int
    state: str
    due: int
    expires: int
    deliveries: int
    origin: str
    reason: str


@frozen
class Holder:
    """Who has an item open; ``lease`` in seconds, None without one."""

    address: str
    name: str
    lease: float | None


@frozen
class Detail:
    """One queue in depth, at one moment."""

    queue: bytes
    consumers: tuple[Consumer, ...] = ()
    items: tuple[Item, ...] = ()
    holders: Mapping[int, Holder] = field(factory=dict)
    dead_letter: bytes = b""
    """The queue that dead letters go to; empty without one."""
    dead: tuple[Item, ...] = ()
    """Those in there that came from this queue."""
    data: Mapping[int, bytes] = field(factory=dict)
    settings: Mapping[str, str] = field(factory=dict)
    missing: tuple[str, ...] = ()
    """What the server does not tell, and why."""


def fetch(client: StatsClient, queue: bytes, open_items: int, known: Detail | None) -> Detail:
    """Ask for everything about a queue. Raises ``StatsError``.

    ``known`` is what was told last: data that was fetched once stays as it is.
    """
    missing: list[str] = []

    def pairs(what: bytes) -> Mapping[bytes, bytes]:
        try:
            return client.stats(what)
        except RefusedError as refusal:
            missing.append(f"{what.split()[0].decode()}: {refusal}")
            return {}

    def lines(command: bytes) -> Sequence[bytes]:
        try:
            return client.lines(command)
        except RefusedError as refusal:
            if not str(refusal).startswith("NOT_FOUND"):
                missing.append(f"{command.split()[0].decode()}: {refusal}")
            return ()

    settings = parse_settings(lines(b"dump_config " + queue))
    dead_letter = settings.get("dead_letter", "none")
    target = b"" if dead_letter in ("none", "null", "") else dead_letter.encode()
    items = parse_items(lines(b"browse %b 0 %d" % (queue, AT_THE_HEAD)))
    dead: tuple[Item, ...] = ()
    if target and not missing:
        found = parse_items(lines(b"browse %b 0 %d" % (target, AT_THE_HEAD)))
        dead = tuple(item for item in found if item.origin == printable(queue))
    data = {} if known is None or known.queue != queue else dict(known.data)
    data = {item.id: data[item.id] for item in items if item.id in data}
    for item in items:
        if item.id not in data and item.size <= LARGEST_LOOKED_AT:
            try:
                looked_at = client.peek(queue, item.id)
            except RefusedError as refusal:
                missing.append(f"peek: {refusal}")
                break
            if looked_at is not None:
                data[item.id] = looked_at
    holders = parse_holders(pairs(b"queue " + queue)) if 0 < open_items <= MOST_OPEN else {}
    consumers = parse_consumers(pairs(b"consumers " + queue))
    return Detail(queue, consumers, items, holders, target, dead, data, settings, tuple(missing))


def parse_consumers(stats: Mapping[bytes, bytes]) -> tuple[Consumer, ...]:
    """Read ``stats consumers Q``; those who took last come first."""
    blocks: dict[bytes, dict[str, bytes]] = {}
    for key, value in stats.items():
        number, colon, what = key.partition(b":")
        if colon:
            blocks.setdefault(number, {})[what.decode(errors="replace")] = value
    found = [
        Consumer(
            printable(block.get("addr", b"-")).removeprefix("tcp:"),
            printable(block.get("name", b"-")),
            _number(block.get("takes")),
            _number(block.get("last_take"), -1),
            _number(block.get("open_reads")),
            block.get("waits") == b"1",
        )
        for block in blocks.values()
    ]
    found.sort(key=lambda each: (each.last_take < 0, each.last_take, each.address))
    return tuple(found)


def parse_holders(stats: Mapping[bytes, bytes]) -> dict[int, Holder]:
    """Read who holds what of ``stats queue Q``."""
    blocks: dict[int, dict[str, str]] = {}
    for key, value in stats.items():
        word, _, rest = key.partition(b"_")
        item, _, what = rest.partition(b"_")
        if word == b"open" and item.isdigit():
            blocks.setdefault(int(item), {})[what.decode(errors="replace")] = printable(value)
    return {
        item: Holder(block.get("holder", "-"), block.get("name", "-"), _lease(block.get("lease")))
        for item, block in blocks.items()
    }


def parse_items(lines: Sequence[bytes]) -> tuple[Item, ...]:
    """Read the lines of ``browse``; one that means nothing is left out."""
    found = []
    for line in lines:
        words = line.split(b" ")
        if len(words) < 11 or words[0] != b"ITEM":
            continue
        found.append(
            Item(
                id=_number(words[1]),
                size=_number(words[2]),
                flags=_number(words[3]),
                age=_number(words[4]),
                state=printable(words[5]),
                due=_number(words[6]),
                expires=_number(words[7]),
                deliveries=_number(words[8]),
                origin=printable(words[9]),
                reason=printable(words[10]),
            )
        )
    return tuple(found)


def parse_settings(lines: Sequence[bytes]) -> dict[str, str]:
    """Read the block of ``dump_config Q``."""
    found = {}
    for line in lines:
        key, equals, value = line.strip().partition(b"=")
        if equals:
            found[printable(key)] = printable(value)
    return found


def _number(value: bytes | None, default: int = 0) -> int:
    try:
        return int(value) if value is not None and len(value) <= 20 else default
    except ValueError:
        return default


def _lease(value: str | None) -> float | None:
    try:
        return None if value is None else float(value)
    except ValueError:
        return None
