"""What makes an attack a row of the table: its set-up, its size in both forms, its bounds.

An attack is a generator. Before its first `yield` it sets up what the attack needs, behind it is
the attack, and it ends when the server has done it all. A `Scene` is what it has for that.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.hostile import BrokenError, RefusedError
from bench.hostile.wire import Client, Ends, together
from bench.secured import LOG_IN_BINARY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Settings = Mapping[str, object]

    Attack = Callable[..., Iterator[None]]
    """It is given a scene, and its sizes by their names."""

LAST_LOOK = 5.0  # seconds before the deadline, which would end the look itself
POLL = 0.05  # seconds between two looks at what has to become true
CPU_BOUND = 0.020
"""Seconds of the server's CPU time that an innocent client may wait."""
CHUNK = 10_000
"""Requests that are sent at once."""
MB = 1_000_000


@dataclass
class Row:
    """One attack, and as a decorator what makes the function below it that attack."""

    name: str
    sizes: Mapping[str, tuple[int, int]]
    """What the attack is given, in the whole form and in the quick one."""
    server: Settings = field(default_factory=dict)
    """Settings of the server that it needs."""
    queues: Mapping[str, Settings] = field(default_factory=dict)
    """Settings of single queues, by name or pattern."""
    routes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    wishes: Mapping[str, tuple[object, object]] = field(default_factory=dict)
    """Settings of the server in both forms, left out where the server does not know them."""
    peak: tuple[float, float] | None = None
    """MB above what was there before that it may take meanwhile, in both forms."""
    stays: float | None = None
    """MB that may be left when the attackers are gone."""
    users: bool = False
    """Whether the server has users, and clients but strangers have said who they are."""
    odd: bool = False
    """Whether the innocent client itself may be refused, or find its queue empty."""
    stage: str = ""
    """In the quick form, rows of the same stage share a server, so none may mind the others."""
    attack: Attack = field(init=False)

    def __call__(self, attack: Attack) -> Attack:
        """Take an attack, whose docstring says what is done, and keep it among all rows."""
        assert self.name not in ROWS
        self.attack = attack
        ROWS[self.name] = self
        return attack

    def size(self, *, quick: bool) -> dict[str, int]:
        """Return what the attack is given."""
        return {name: pair[quick] for name, pair in self.sizes.items()}

    def text(self, *, quick: bool) -> str:
        """Say what is done, for a person."""
        about = (self.attack.__doc__ or "").partition("\n")[0].rstrip(".")
        return about.format(**self.size(quick=quick))


ROWS: dict[str, Row] = {}
"""All rows by name, in the order of the table."""


class Scene:
    """What an attack has: its connections, and how it asks whether things are as they must be."""

    def __init__(
        self,
        address: tuple[str, int],
        pid: int,
        deadline: float,
        standing: set[bytes],
        spare: float,
        greeting: bytes = b"",
    ) -> None:
        """`standing` are the queues that earlier rows have left behind.

        `spare` are the seconds that pass between the set-up and the attack; `greeting` is what a
        client says first.
        """
        self._greeting = greeting
        self._address, self.pid, self.deadline = address, pid, deadline
        self._standing, self.spare = standing, spare
        self._clients: list[Client] = []
        self.notes: list[str] = []
        """What a reader of the row has to know."""

    def connect(self) -> Client:
        """Return a new connection; it is closed when the attack is over."""
        client = self._new()
        self._clients.append(client)
        return client

    def connect_in_binary(self) -> Client:
        """Return a new connection for the binary protocol."""
        client = Client(self._address, self.deadline, self._greeting and LOG_IN_BINARY)
        self._clients.append(client)
        return client

    def stranger(self) -> Client:
        """Return a new connection that has not said who it is; it is closed like the others."""
        client = Client(self._address, self.deadline)
        self._clients.append(client)
        return client

    def _new(self) -> Client:
        return Client(self._address, self.deadline, self._greeting)

    def crowd(self, count: int) -> list[Client]:
        """Return so many new connections, all of which the server serves already."""
        clients = [self.connect() for _ in range(count)]
        together([(each, b"version\r\n", Ends(end=b"\r\n")) for each in clients])
        return clients

    def hang_up(self, *, reset: bool = False) -> None:
        """Close all connections."""
        for client in self._clients:
            client.close(reset=reset)
        self._clients.clear()

    def queues(self, count: int) -> list[bytes]:
        """Make so many queues with an item each; return their names."""
        wanted = names(count)
        fill(self.connect(), [name for name in wanted if name not in self._standing])
        self._standing.update(wanted)
        return wanted

    def number(self, queue: bytes, name: str) -> int:
        """Return a statistic of a queue; 0 if there is no such queue."""
        client = self._new()
        reply = client.ask(b"stats queue %b\r\n" % queue)
        client.close()
        start = b"STAT queue_%b_%b " % (queue, name.encode())
        lines = (line for line in reply.split(b"\r\n") if line.startswith(start))
        return int(next(lines, b"0").split()[-1])

    def forget(self) -> None:
        """Know of no queues any more: they are deleted."""
        self._standing.clear()

    def is_gone(self, queue: bytes) -> bool:
        """Tell whether there is no such queue."""
        client = self._new()
        reply = client.ask(b"stats queue %b\r\n" % queue)
        client.close()
        return reply in (b"END\r\n", b"STAT queue_%b_exists 0\r\nEND\r\n" % queue)

    def until(self, is_so: Callable[[], bool], what: str) -> None:
        """Wait until something is so. Raises `BrokenError` if it never is."""
        while not is_so():
            if time.perf_counter() > self.deadline - LAST_LOOK:
                raise BrokenError(f"never {what}")
            time.sleep(POLL)

    def require(self, is_so: bool, what: str) -> None:
        """Raise `RefusedError` unless the attack did what it says."""
        if not is_so:
            raise RefusedError(what)


def store(queue: bytes, body: bytes = b"x", exptime: int = 0) -> bytes:
    """Return the request that puts an item."""
    return b"set %b 0 %d %d\r\n%b\r\n" % (queue, exptime, len(body), body)


def value(key: bytes, body: bytes = b"x") -> bytes:
    """Return the part of a reply that is an item."""
    return b"VALUE %b 0 %d\r\n%b\r\n" % (key, len(body), body)


def repeat(client: Client, request: bytes, right: bytes, times: int) -> None:
    """Make the same request many times, without waiting for one reply before the next."""
    for first in range(0, times, CHUNK):
        some = min(CHUNK, times - first)
        client.check(request * some, right * some)


def names(count: int, prefix: bytes = b"q") -> list[bytes]:
    """Return different names of queues, of the same length."""
    return [b"%b%05d" % (prefix, number) for number in range(count)]


def short_names(count: int) -> list[bytes]:
    """Return different names of four letters."""
    letters = b"abcdefghijklmnopqrstuvwxyz"
    made = []
    for number in range(count):
        left, name = number, b""
        for _ in range(4):
            left, letter = divmod(left, 26)
            name += letters[letter : letter + 1]
        made.append(name)
    return made


def fill(client: Client, queues: Sequence[bytes], body: bytes = b"x") -> None:
    """Put an item into each queue."""
    for first in range(0, len(queues), CHUNK):
        some = queues[first : first + CHUNK]
        client.check(b"".join(store(name, body) for name in some), b"STORED\r\n" * len(some))


def come_and_go(client: Client, queues: Sequence[bytes]) -> None:
    """Put an item into each queue and take it."""
    for first in range(0, len(queues), CHUNK):
        some = queues[first : first + CHUNK]
        client.check(
            b"".join(store(name) + b"get %b\r\n" % name for name in some),
            b"".join(b"STORED\r\n" + value(name) + b"END\r\n" for name in some),
        )
