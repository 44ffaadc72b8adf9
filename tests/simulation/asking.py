"""What clients ask for: random commands, as many of them as a server understands."""

from collections.abc import Mapping
from random import Random

from tests.core import ManualClock
from tests.simulation.clients import Asked, SimulatedClient
from tests.simulation.model import QueueModel

READS: dict[bytes, float] = {
    b"": 34, b"/open": 14, b"/close": 9, b"/close/open": 9, b"/abort": 5, b"/abort/delay=%b": 3,
    b"/open/lease=%b": 5, b"/close/open/lease=%b": 2, b"/peek": 3, b"/peek/n=5": 2,
    b"/bury": 2, b"/bury/open": 1, b"/bury=%d": 1,
    b"/close=%d": 2, b"/abort=%d": 2, b"/close=%d/open": 1,
}  # fmt: skip
"""The options of a key of a get, and how often they are asked for."""
FIRST: dict[bytes, float] = {b"": 5, b"/open": 1, b"/peek": 1}
"""Those of the keys of a get that wants one item in all."""
VERBS: dict[bytes, float] = {
    b"set": 60,
    b"add": 3,
    b"prepend": 8,
    b"append": 2,
    b"replace": 2,
    b"cas": 0.5,
}
KINDS: dict[str, float] = {
    "put": 60, "read": 62, "wait": 10, "many": 5, "gat": 4, "touch": 3, "confirm": 4, "monitor": 3,
    "delete": 2, "flush": 2, "flush_all": 0.5, "flush_expired": 1, "stats": 2,
    "pause": 1, "resume": 2, "browse": 2, "drop": 2, "move": 3,
}  # fmt: skip


class Asking:
    """Makes up commands and sends them for clients."""

    def __init__(
        self,
        random: Random,
        clock: ManualClock,
        names: tuple[bytes, ...],
        models: Mapping[bytes, QueueModel],
    ) -> None:
        self._random = random
        self._clock = clock
        self._names = names
        self._models = models
        self.sent: dict[bytes, tuple[bytes, int]] = {}
        """Which queue and flags each item was sent with, by its data."""
        self.items = 0
        self.weights = {**KINDS, "put": random.choice((25, 40, 60, 90))}
        if random.random() < 0.3:  # nothing but what every server of the kind has
            self.weights.update(gat=0, touch=0, confirm=0, monitor=0, pause=0, move=0)
            self._reads: dict[bytes, float] = {b"": 34, b"/peek": 4}
            self._verbs: dict[bytes, float] = {b"set": 60, b"add": 4}
            self._options = 0.0
        else:
            self._reads, self._verbs, self._options = READS, VERBS, 0.2

    def _choose(self, weights: Mapping[bytes, float]) -> bytes:
        return self._random.choices(list(weights), list(weights.values()))[0]

    def something(self, client: SimulatedClient) -> None:
        """Let a client send a command."""
        random = self._random
        name = random.choice(self._names)
        kind = random.choices(list(self.weights), list(self.weights.values()))[0]
        if kind == "put":
            self.put(client, name, self._choose(self._verbs), quiet=random.random() < 0.12)
        elif kind == "read":
            self.read(client, (name,))
        elif kind == "wait":
            names = (name,) if random.random() < 0.8 else self._names
            self.read(client, names, wait=random.choice((5, 300, 4000)))
        elif kind == "many":
            self.read(client, self._names)
        elif kind == "gat":
            seconds = random.choice((0, 1, 1, 2))
            client.ask(b"gat %d %b\r\n" % (seconds, name), Asked("get", (name,)))
        elif kind == "touch":
            client.ask(
                b"touch %b %d\r\n" % (name, random.choice((-1, 0, 1, 2))), Asked("touch", (name,))
            )
        elif kind == "confirm":
            client.ask(
                b"confirm %b %d\r\n" % (name, random.choice((1, 1, 2, 3))),
                Asked("confirm", (name,)),
            )
        elif kind == "monitor":
            most = b" %d" % random.choice((1, 2, 5)) if random.random() < 0.7 else b""
            line = b"monitor %b %d%b\r\n" % (name, random.choice((0, 1, 2)), most)
            client.ask(line, Asked("monitor", (name,)))
        elif kind in ("delete", "flush", "flush_expired"):
            client.ask(b"%b %b\r\n" % (kind.encode(), name), Asked(kind, (name,)))  # type: ignore[arg-type]
        elif kind == "pause":
            time = b" %d" % random.choice((1, 2)) if random.random() < 0.7 else b""
            client.ask(b"pause %b%b\r\n" % (name, time), Asked("pause", (name,)))
        elif kind == "resume":
            client.ask(b"resume %b\r\n" % name, Asked("resume", (name,)))
        elif kind == "browse":
            first, limit = random.choice((1, random.randint(1, 30))), random.choice((3, 1000))
            asked = Asked("browse", (name,), first=first, most=limit)
            client.ask(b"browse %b %d %d\r\n" % (name, first, limit), asked)
            client.ask(
                b"get %b/peek/id=%d\r\n" % (name, first), Asked("look", (name,), first=first)
            )
        elif kind == "move":
            others = (each for each in (*self._names, b"dead", b"Other") if each != name)
            to = random.choice((*others, b"origin", b"origin"))
            limited = b" %d" % random.choice((1, 2, 5)) if random.random() < 0.6 else b""
            asked = Asked("move", (name,), to=b"" if to == b"origin" else to)
            client.ask(b"move %b %b%b\r\n" % (name, to, limited), asked)
        elif kind == "drop":
            ids = [each.id for each in self._models[name].things] or [random.randint(1, 9)]
            client.ask(b"drop %b %d\r\n" % (name, random.choice(ids)), Asked("drop", (name,)))
        elif kind == "flush_all":
            client.ask(b"flush_all\r\n", Asked("flush_all"))
        else:
            client.ask(b"stats\r\n", Asked("stats"))
            if self.items % 2:
                client.ask(b"hello c%d\r\n" % (self.items % 5), Asked("hello"))
                client.ask(b"stats consumers %b\r\n" % name, Asked("consumers", (name,)))

    def come_and_go(self, client: SimulatedClient) -> None:
        """Let a client make a queue and delete it at once, or put what is too large into one."""
        name = self._random.choice(self._names)
        if self._random.random() < 0.5:
            self.put(client, name, size=400)
        else:
            self.put(client, name, size=10)
            client.ask(b"delete %b\r\n" % name, Asked("delete", (name,)))

    def close_everywhere(self, client: SimulatedClient) -> None:
        """Let a client close what it has open, one item of each queue."""
        for name in self._names:
            client.ask(b"get %b/close\r\n" % name, Asked("get", (name,)))

    def read(self, client: SimulatedClient, names: tuple[bytes, ...], wait: int = 0) -> None:
        """Let a client read, one queue or several."""
        random = self._random
        first = len(names) > 1 and self._options > 0 and random.random() < 0.5
        reads = FIRST if first else self._reads
        keys = [self._key(name, self._choose(reads)) for name in names]
        if first:
            keys[random.randrange(len(keys))] += b"/first"
        waits = wait and not any(
            option in key for key in keys for option in (b"peek", b"close", b"abort", b"bury")
        )
        if waits:
            keys = [b"%b/t=%d" % (key, wait) for key in keys]
        time = wait / 1000 if waits else 0
        asked = Asked("get", names, b"", time, self._clock.monotonic, most=1 if first else 0)
        client.ask(b"get %b\r\n" % b" ".join(keys), asked)

    def _key(self, name: bytes, option: bytes) -> bytes:
        random = self._random
        if b"%d" in option:
            model = self._models[name]
            # What the client remembers may be long gone, and the queue another one.
            known = model.shown if random.random() < 0.4 else model.open
            ids = list(known) or [random.randint(1, 9)]
            return name + option % random.choice(ids)
        if b"%b" in option:
            return name + option % random.choice((b"0.3", b"1", b"2.5"))
        return name + option

    def put(
        self,
        client: SimulatedClient,
        name: bytes,
        verb: bytes = b"set",
        *,
        quiet: bool = False,
        lasts: bool = False,
        size: int | None = None,
    ) -> None:
        """Let a client put an item; ``lasts``: nothing is to keep it from being there.

        ``size``: bytes of its data behind its number; any without.
        """
        random = self._random
        self.items += 1
        if size is None:
            size = 10 if lasts else random.choice((0, 0, 10, 40, 40, 90, 170, 400))
        data = b"%d:%b" % (self.items, random.randbytes(size))
        flags = random.getrandbits(random.choice((1, 32)))
        exptime = 0 if lasts else random.choice((0,) * 12 + (1, 2, -1))
        self.sent[data] = (name, flags)
        key, wait, sync = name, 0, False
        if not lasts and random.random() < self._options:
            if random.random() < 0.4:
                key += b"/delay=" + random.choice((b"0.3", b"1", b"2.5"))
            if random.random() < 0.3 and verb in (b"set", b"prepend"):
                wait = random.choice((5, 300, 2000))
                key += b"/t=%d" % wait
            if random.random() < 0.3:
                key, sync = key + b"/sync", True
            if random.random() < 0.6 and not self._models[name].settings.fanout_only:
                key += b"/once=%d" % random.choice((0, 0, 0, random.randrange(6)))
        line = b"%b %b %d %d %d" % (verb, key, flags, exptime, len(data))
        line += b" 1" if verb == b"cas" else b""
        asked = Asked("set", (name,), data, wait / 1000, self._clock.monotonic, sync)
        client.ask(
            b"%b%b\r\n%b\r\n" % (line, b" noreply" if quiet else b"", data),
            None if quiet else asked,
        )


def queue_entries(random: Random) -> dict[str, dict[str, object]]:
    """Return random settings of queues."""
    entries: dict[str, dict[str, object]] = {}
    choices: tuple[dict[str, object], ...] = (
        {"max_items": random.randint(2, 6)},
        {"max_items": random.randint(2, 6), "discard_old_when_full": True},
        {"max_bytes": random.choice((300, 900))},
        {"max_bytes": random.choice((300, 900)), "discard_old_when_full": True},
        {"max_item_size": 200},
        {"max_age": random.choice((1, 4))},
        {"open_timeout": random.choice((1, 2.5))},
        {"max_open_reads": random.choice((1, 2))},
        {"idle_expire": 2},
    )
    for name in ("jobs", "Other", "a+b", "jobs+x", "dead", "dead+y"):
        to = "jobs" if name == "Other" and random.random() < 0.4 else "dead"
        moves: tuple[dict[str, object], ...] = (
            {"expire_to": to},
            {"expire_to": to, "max_age": 2},
            {"max_deliveries": random.choice((1, 1, 2, 3)), "dead_letter": to},
        )
        own: dict[str, object] = {}
        for _ in range(random.choice((0, 0, 1, 1, 2))):
            own.update(random.choice(choices))
        if "dead" not in name and random.random() < 0.35:
            own.update(random.choice(moves))
        if random.random() < 0.06:
            own["journal"] = False
        if name in ("jobs", "dead") and random.random() < 0.12:
            own["fanout_only"] = True
        if own:
            entries[name] = own
    return entries
