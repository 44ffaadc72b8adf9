"""What is done to a server: the shape of the load, and the works of one round of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from bench.dialects import Text, Way
from bench.phrases import DIGITS, Endless
from bench.works import ByTurns, Comings, Gets, Puts, Together, Visits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.fleet import Work
    from bench.phrases import Get
    from bench.servers import Server

MOST_BYTES = 256 << 20  # of a round's items
MOST_VISITS = 4000  # of a round: each takes a port for a minute
CHILDREN = 10  # of a fan-out
FILL_DEPTH = 256  # requests in flight while a queue is filled, by one client: in order
FILL_ROUND = 1_000_000  # items; of more at once the load would take too much memory


class Kind(Enum):
    """What a round is made of."""

    PUT_GET = "all items are put, then all are taken"
    MIXED = "each connection puts an item, takes one, puts the next, and so on"
    WAITING = "half of the connections wait for items, the others put them"
    RELIABLE = "all items are put, then all are taken on trial and confirmed"
    CHAINED = "the same, each confirmed with the request for the next where that is possible"
    FAN_OUT = "all items are put, then taken from each of ten children of the queue"
    COMINGS = "each connection puts and takes by turns, then makes a queue for each item"
    VISITS = "these put and take by turns, beside clients that connect, put, take and close"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A load that is the same for every server."""

    name: str
    kind: Kind = Kind.PUT_GET
    connections: int = 50
    depth: int = 1
    """Requests in flight on each connection, sent as one batch."""
    size: int = 1024
    """Bytes of an item."""
    queues: int = 1
    idle: int = 0
    """Connections that ask nothing beside those that do."""
    backlog: int = 0
    """Items that are in the queue before."""
    tls: bool = False
    """Whether the connections speak TLS."""
    users: bool = False
    """Whether the server has users, and each connection has said who it is."""
    servers: tuple[str, ...] = ()
    """Which servers are measured, by default; all if empty."""

    @property
    def unit(self) -> int:
        """What the number of items has to be a multiple of."""
        return self.depth * self.queues

    @property
    def least(self) -> int:
        """Items of the smallest round that shows anything."""
        return self.rounded(max(self.connections * self.depth, 100))

    @property
    def most(self) -> int:
        """Items of the largest round."""
        if self.kind is Kind.VISITS:
            return self.rounded(MOST_VISITS)
        return max(MOST_BYTES // self.size, self.least)

    def rounded(self, items: float) -> int:
        """Return a possible number of items, about as many."""
        return max(int(items) // self.unit, 1) * self.unit

    @property
    def is_secured(self) -> bool:
        """Whether it is of TLS or of users."""
        return self.tls or self.users

    @property
    def control(self) -> Scenario | None:
        """What it is to be compared with, if that is not a scenario of its own."""
        is_visited = self.kind is Kind.VISITS and self.connections
        if not (self.idle or self.backlog or self.is_secured or is_visited):
            return None
        connections = 0 if is_visited else self.connections
        name = f"{self.name}-0"
        plain = replace(self, name=name, tls=False, users=False)
        return replace(plain, connections=connections, idle=0, backlog=0)

    def text(self) -> str:
        """Return what it is, for a person."""
        about = [f"{self.connections} connections", f"{self.depth} in flight", f"{self.size} B"]
        if self.queues > 1:
            about.append(f"{self.queues:,} queues")
        if self.idle:
            about.append(f"beside {self.idle:,} idle ones")
        if self.backlog:
            about.append(f"{self.backlog:,} items there before")
        if self.tls:
            about.append("over TLS")
        if self.users:
            about.append("with users")
        return f"{', '.join(about)}; {self.kind.value}"

    def refusal(self, server: Server) -> str:
        """Return why this cannot be asked of a server; empty if it can."""
        dialect = server.dialect
        needed = {Kind.FAN_OUT: CHILDREN, Kind.WAITING: 2, Kind.VISITS: 0}.get(self.kind, 1)
        if self.is_secured and not (server.is_ours and self.kind is not Kind.VISITS):
            return "is not asked for that over TLS, nor with users"
        if self.connections < needed:
            return f"needs {needed} connections"
        if self.kind is Kind.FAN_OUT and not server.is_ours:
            return "has no fan-out like this"
        if self.kind is Kind.VISITS and dialect.greets:
            return "opens each connection with a greeting"
        if self.kind is Kind.COMINGS and not (isinstance(dialect, Text) and dialect.is_queue):
            return "makes and deletes queues in other ways"
        if self._way not in dialect.ways:
            return f"has no {self._way.value}"
        if self.queues > 1 and not (dialect.many_queues and dialect.is_queue):
            return "cannot take from many queues with one connection"
        if self.backlog and not dialect.is_queue:
            return "is no queue"
        return ""

    @property
    def _way(self) -> Way:
        return {Kind.WAITING: Way.WAIT, Kind.RELIABLE: Way.TRIAL, Kind.CHAINED: Way.CHAIN}.get(
            self.kind, Way.POP
        )

    @property
    def names(self) -> list[bytes]:
        """The queues, all of the same length."""
        return [b"q%04d" % number for number in range(self.queues)]

    @property
    def children(self) -> list[bytes]:
        """The queues that get copies."""
        if self.kind is not Kind.FAN_OUT:
            return []
        return [b"%b+child%02d" % (self.names[0], number) for number in range(CHILDREN)]

    def fill(self, server: Server, items: int) -> Iterator[Work]:
        """Yield what puts items there before; to be done by one connection."""
        for first in range(0, items, FILL_ROUND):
            numbers = range(first, min(first + FILL_ROUND, items))
            yield self._puts(server, numbers, depth=FILL_DEPTH)

    def round(
        self, server: Server, taken: int, there: int, items: int
    ) -> Iterator[tuple[str, Work]]:
        """Yield the works of one round and what each is called.

        So many items have been taken before, and so many are there. With visitors, `items` are
        visits.
        """
        if self.kind is Kind.VISITS:
            yield "visit", self._visits(server, 1, items)
            if self.connections > 1:
                times = max(items // self.connections, 1)
                yield "arrive", self._visits(server, self.connections, times)
            return
        numbers = range(taken + there, taken + there + items)
        puts = self._puts(server, numbers, stamped=self.kind is Kind.WAITING)
        match self.kind:
            case Kind.MIXED:
                yield "put+get", ByTurns(puts, self._gets(server, numbers, puts))
            case Kind.COMINGS:
                yield "put+get", ByTurns(puts, self._gets(server, numbers, puts))
                yield "come+go", Comings(numbers, self.size)
            case Kind.WAITING:
                gets = self._gets(server, numbers, puts)
                yield "put>get", Together((gets, puts), items, timed=(gets,))
            case Kind.FAN_OUT:
                yield "put", puts
                all_gets = [
                    Gets(self._phrase(server, child), numbers, self.depth, puts)
                    for child in self.children
                ]
                yield "get", Together(all_gets, items * CHILDREN, timed=all_gets)
            case Kind.PUT_GET | Kind.RELIABLE | Kind.CHAINED:
                yield "put", puts
                first = range(taken, taken + items)
                yield "get", self._gets(server, first, None if there else puts)

    def _visits(self, server: Server, visitors: int, times: int) -> Visits:
        numbers = Endless()
        puts = self._puts(server, numbers)
        gets = self._gets(server, range(10**DIGITS), puts)
        return Visits(puts, gets, numbers, visitors, times)

    def _puts(
        self,
        server: Server,
        numbers: range | Endless,
        *,
        depth: int = 0,
        stamped: bool = False,
    ) -> Puts:
        names, size, dialect = self.names, self.size, server.dialect
        return Puts(
            lambda number: [dialect.put(name, size, number) for name in names],
            numbers,
            depth or self.depth,
            stamped=stamped,
        )

    def _gets(self, server: Server, numbers: range, puts: Puts | None) -> Gets:
        once = server.dialect.is_queue
        return Gets(self._phrase(server, *self.names), numbers, self.depth, puts, once=once)

    def _phrase(self, server: Server, *names: bytes) -> Callable[[int], list[Get]]:
        size, way, dialect = self.size, self._way, server.dialect
        return lambda number: [dialect.get(name, size, number, way) for name in names]


LAZY = (
    *("starling-50ms", "redis-everysec", "beanstalkd-f1000", "memcached", "nats"),
    *("ruby", "darner", "siberite"),
)
"""One of each family, of those that answer before a sync."""
UNSYNCED = (*LAZY, "starling-never", "redis-no", "beanstalkd-F")
"""All that answer before a sync."""
SYNCED = (*UNSYNCED, "starling-always", "redis-always", "beanstalkd-f0")
"""All of them, also those that answer after a sync."""
SCENARIOS = (
    Scenario("base"),
    Scenario("pipelined", depth=32, size=64, servers=UNSYNCED),
    Scenario("single", connections=1, servers=LAZY),
    Scenario("thousand", connections=1000, servers=LAZY),
    Scenario("small", size=64, servers=LAZY),
    Scenario("large", size=100 << 10, servers=LAZY),
    Scenario("mixed", Kind.MIXED, servers=LAZY),
    Scenario("waiting", Kind.WAITING, servers=LAZY),
    Scenario("reliable", Kind.RELIABLE, servers=LAZY),
    Scenario("chained", Kind.CHAINED, servers=LAZY),
    Scenario("queues-20", queues=20, servers=SYNCED),
    Scenario("queues-200", queues=200, servers=SYNCED),
    Scenario("queues-1000", queues=1000, servers=SYNCED),
    Scenario("comings", Kind.COMINGS, servers=("starling-50ms", "starling-never")),
    Scenario("fan-out", Kind.FAN_OUT, servers=LAZY),
    Scenario("idle", idle=1000, servers=LAZY),
    Scenario("connections", Kind.VISITS, servers=LAZY),
    Scenario("tls", tls=True, servers=("starling-50ms",)),
    Scenario("users", users=True, servers=("starling-50ms",)),
)


def deep(items: int) -> Scenario:
    """Return the scenario of a queue that has so many items before."""
    return replace(SCENARIOS[0], name="deep", backlog=items, servers=("starling-50ms",))
