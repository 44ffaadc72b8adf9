"""What this server must reach, as ratios of figures of one run, and whether it does.

Each target takes the rows of the bench; what was not measured leaves a target open, and that is
said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.servers import GROUP, OURS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.contest import Row

    Rates = dict[tuple[str, str, str], float]
    """By scenario, operation and server."""

QUEUE_SERVERS = ("darner", "siberite", "beanstalkd")
"""Families of which the best is to be beaten; each at its fastest policy."""
LAZY = ("never", "50ms")


@dataclass(frozen=True, slots=True)
class Ratio:
    """One figure of this server divided by what it is compared with."""

    what: str
    value: float | None
    """Unknown if one of both was not measured."""
    bound: float
    at_most: bool = False
    """Whether the bound is not to be exceeded, instead of to be reached."""

    @property
    def verdict(self) -> str:
        """Say whether it is reached."""
        if self.value is None:
            return "not measured"
        reached = self.value <= self.bound if self.at_most else self.value >= self.bound
        return "reached" if reached else "MISSED"

    def line(self) -> str:
        """Return it for a person."""
        value = "-" if self.value is None else f"{self.value:.2f}"
        sign = "at most" if self.at_most else "at least"
        return f"{self.what:<66} {value:>6}  {sign} {self.bound:<5g} {self.verdict}"


def ratios(rows: Sequence[Row]) -> Iterator[Ratio]:
    """Yield every target with what was measured of it."""

    def figures(name: str) -> Rates:
        return {
            (str(row["scenario"]), str(row["operation"]), str(row["server"])): float(row[name])
            for row in rows
            if name in row
        }

    rates, medians, tails = figures("ops_per_s"), figures("p50"), figures("p99")

    def best(scenario: str, operation: str, families: Sequence[str]) -> float | None:
        """Return the best rate of any policy of these families."""
        found = [
            rate
            for (s, o, server), rate in rates.items()
            if (s, o) == (scenario, operation) and server.partition("-")[0] in families
        ]
        return max(found, default=None)

    def against(
        what: str, ours: float | None, theirs: float | None, bound: float, *, at_most: bool = False
    ) -> Ratio:
        value = None if ours is None or theirs is None else ours / theirs
        return Ratio(what, value, bound, at_most)

    for policy in LAZY:
        for operation, ruby in (("put", 3.0), ("get", 2.0)):
            ours = rates.get(("base", operation, f"{OURS}-{policy}"))
            peer = {"never": "redis-no", "50ms": "redis-everysec"}[policy]
            what = f"50 connections, 1 KiB, {policy}: {operation}"
            queue_servers = best("base", operation, QUEUE_SERVERS)
            yield against(f"{what} / best queue server", ours, queue_servers, 1.2)
            yield against(f"{what} / Ruby Starling", ours, best("base", operation, ["ruby"]), ruby)
            yield against(f"{what} / {peer}", ours, rates.get(("base", operation, peer)), 0.85)
    for operation in ("put", "get"):
        ours = best("pipelined", operation, [OURS])
        what = f"32 in flight, 64 B: {operation}"
        yield against(f"{what} / Ruby Starling", ours, best("pipelined", operation, ["ruby"]), 3)
        yield against(
            f"{what} / best queue server", ours, best("pipelined", operation, QUEUE_SERVERS), 1
        )
    for operation in ("put", "get"):
        ours = rates.get(("base", operation, f"{OURS}-always"))
        what = f"50 connections, 1 KiB, always: {operation}"
        for peer, bound in (("redis-always", 1.0), ("beanstalkd-f0", 4.0)):
            yield against(f"{what} / {peer}", ours, rates.get(("base", operation, peer)), bound)
    for operation in ("put", "get"):
        ours, theirs = best("single", operation, [OURS]), best("single", operation, ["darner"])
        yield against(f"1 connection: {operation} / darner", ours, theirs, 0.8)
    for operation in ("put", "get"):
        key = ("base", operation, f"{OURS}-50ms")
        what = f"50 connections, 1 KiB, 50ms: p99 / p50 of {operation}"
        yield against(what, tails.get(key), medians.get(key), 3, at_most=True)
    for name, found, bound, what in (
        ("connections-0", rates, 0.5, "connect, put, get, close: rate"),
        ("connections", tails, 2.0, "connect, put, get, close beside 50 busy clients: p99"),
    ):
        ours, theirs = (
            found.get((name, "visit", server)) for server in (f"{OURS}-50ms", "memcached")
        )
        yield against(f"{what} / memcached", ours, theirs, bound, at_most=found is tails)
    for policy, bound in (("50ms", 0.7), ("always", 0.5)):
        for operation in ("put", "get"):
            ours, alone = (
                rates.get(("base", operation, f"{each}-{policy}")) for each in (GROUP, OURS)
            )
            what = f"50 connections, 1 KiB, {policy}: {operation} of a group / one machine"
            yield against(what, ours, alone, bound)
    for name, bound, what in (
        ("idle", 0.85, "beside 1,000 idle connections"),
        ("deep", 0.75, "a deep queue"),
    ):
        for operation in ("put", "get"):
            ours = rates.get((name, operation, f"{OURS}-50ms"))
            alone = rates.get((f"{name}-0", operation, f"{OURS}-50ms"))
            yield against(f"{what}: {operation} / without", ours, alone, bound)
