"""What CI runs: every server that is there does every kind of work right, and ratios that hold.

No absolute time is judged: what an operation costs this server is compared with what a request
costs it that does nothing (`version`: a tick without a journal), measured in the same run, round
by round in turn. Parts of it are compared with a small step of plain Python. CPU time is compared,
not rates, as it depends less on what else the machine does. A bound is about twice what was
measured when it was set, which varied by less than a tenth on a busy machine. How long clients wait
that have to connect is compared with how long the busy ones wait beside them, at the same time.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench import micro
from bench.contest import Contender, Contest
from bench.scenarios import Kind, Scenario
from bench.servers import OURS, choose
from bench.tally import Tally
from bench.targets import Ratio
from bench.works import Echoes, Visits

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.contest import Row
    from bench.servers import Server

ROUNDS = 7
ITEMS = 3000
TIME_LIMIT = 120.0  # seconds for each half
RIGHT = (
    Scenario("base", connections=5),
    Scenario("pipelined", connections=5, depth=8, size=64),
    Scenario("mixed", Kind.MIXED, connections=5),
    Scenario("waiting", Kind.WAITING, connections=6),
    Scenario("reliable", Kind.RELIABLE, connections=5),
    Scenario("chained", Kind.CHAINED, connections=5),
    Scenario("connections", Kind.VISITS, connections=5),
)
"""Small rounds of every kind of work."""
BOUNDS = (
    (Scenario("base"), "never", {"put": 2.7, "get": 2.6}),
    (Scenario("pipelined", depth=32, size=64), "never", {"put": 4.6, "get": 4.6}),
    (Scenario("mixed", Kind.MIXED), "50ms", {"put+get": 2.8}),
    (Scenario("reliable", Kind.RELIABLE), "never", {"put": 2.7, "get": 7.0}),
)
"""What may cost this many times the CPU time of an empty request of the same shape."""


VISITS = 20  # of a round; and one arrival of all
WAITS = (
    (Scenario("beside 1 connection", Kind.VISITS, connections=1), {"visit": 12}),
    (Scenario("beside 50 connections", Kind.VISITS), {"visit": 18, "arrive": 30}),
)
"""What may take this many times as long as a request of the busy connections beside it."""
PARTS = {
    "parse a set of 64 B": 18,
    "parse a set of 1024 B": 20,
    "parse a get": 9,
    "append a put of 64 B": 24,
    "append a put of 1024 B": 42,
    "append a put and a removal": 42,
    "replay a journal, per put": 33,
}
"""What may cost this many small steps of plain Python."""
PART_ITEMS = 16_000


def right(
    scenario: Scenario, servers: Sequence[Server], core: int | None, directory: Path
) -> Iterator[Row]:
    """Yield rows of small rounds; only whether one failed says anything."""
    contest = Contest(1, 0.01, TIME_LIMIT, directory, core, traces=False)
    yield from contest.run(scenario, [server for server in servers if server.peer != "always"])


def costs(servers: Sequence[Server], core: int | None, directory: Path) -> Iterator[Ratio]:
    """Yield what each operation of this server costs, in empty requests."""
    deadline = time.perf_counter() + TIME_LIMIT
    for scenario, policy, bounds in BOUNDS:
        (server,) = choose(list(servers), [f"{OURS}-{policy}"])
        with started(server, scenario, core, directory, deadline) as contender:
            for name, shares in measured(contender).items():
                what = f"{scenario.name}, {policy}: CPU of {name} / of an empty request"
                yield Ratio(what, statistics.median(shares), bounds[name], at_most=True)


def waits(servers: Sequence[Server], core: int | None, directory: Path) -> Iterator[Ratio]:
    """Yield how long visitors wait for this server, in requests of the busy clients beside them."""
    deadline = time.perf_counter() + TIME_LIMIT
    for scenario, bounds in WAITS:
        (server,) = choose(list(servers), [f"{OURS}-50ms"])
        with started(server, scenario, core, directory, deadline) as contender:
            contender.items = VISITS
            shares: dict[str, list[float]] = {}
            for _ in range(ROUNDS):
                for name, work in contender.round():
                    contender.drive(Tally(), work)
                    assert isinstance(work, Visits)
                    waited, busy = map(statistics.median, (work.latencies(), work.busy()))
                    shares.setdefault(name, []).append(waited / busy)
        for name, bound in bounds.items():
            what = f"{scenario.name}: time of {name} / of a request"
            yield Ratio(what, statistics.median(shares[name]), bound, at_most=True)


@contextmanager
def started(
    server: Server, scenario: Scenario, core: int | None, directory: Path, deadline: float
) -> Iterator[Contender]:
    """Run a server in one scenario, until `deadline`, on a fresh folder below `directory`."""
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        contender = Contender(server, scenario, Path(folder) / "server", deadline)
        with closing(contender):
            contender.start(core)
            yield contender


def parts(directory: Path) -> Iterator[Ratio]:
    """Yield what the parts of this server cost, in small steps of Python."""
    for name, _, steps in micro.measure(directory, PART_ITEMS, ROUNDS):
        yield Ratio(f"{name} / a step of Python", steps, PARTS[name], at_most=True)


def measured(contender: Contender) -> dict[str, list[float]]:
    """Return, of each round and each operation, its cost divided by that of an empty request."""
    contender.items = contender.scenario.rounded(ITEMS)
    empty, shares = Tally(), {}
    version = contender.empty_request()
    for turn in range(ROUNDS + 1):
        contender.drive(empty, Echoes(*version, contender.items, contender.scenario.depth))
        contender.measure()
        if not turn:
            # The first round only warms up.
            contender.tallies.clear()
    for name, tally in contender.tallies.items():
        pairs = zip(tally.costs, empty.costs[1:], strict=True)
        shares[name] = [cost / reference for cost, reference in pairs]
    return shares
