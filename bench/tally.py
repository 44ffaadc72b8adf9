"""What the rounds of one kind measured."""

from __future__ import annotations

import math
import statistics
import time
from typing import TYPE_CHECKING

from bench.process import bytes_written, cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.fleet import Fleet, Work

SETTLED = 0.002
"""Seconds in which a server that has answered everything has gone to sleep."""
BUSY = 0.9  # above this share of the wall time the load may be what was measured


class Tally:
    """What the rounds of one kind measured."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        """Operations per second, one of each round."""
        self.costs: list[float] = []
        """CPU seconds of the server per operation, one of each round."""
        self.latencies: list[float] = []
        """Seconds, one of each batch of all rounds."""
        self.operations = self.written = 0
        self.wall = self.load_cpu = self.server_cpu = 0.0

    def measure(self, fleet: Fleet, work: Work, pid: int | None) -> None:
        """Drive `work` and add what it took."""
        fleet.prepare(work)
        written = 0 if pid is None else bytes_written(pid)
        server, load, wall = cpu_seconds(pid), time.process_time(), time.perf_counter()
        fleet.go()
        took = time.perf_counter() - wall
        self.load_cpu += time.process_time() - load
        # The kernel may count what a process used only when that gives its core away.
        time.sleep(SETTLED)
        used = cpu_seconds(pid) - server
        if pid is not None:
            self.written += bytes_written(pid) - written
        work.finish()
        self.wall += took
        self.server_cpu += used
        self.operations += work.operations
        self.rates.append(work.operations / took)
        self.costs.append(used / work.operations)
        self.latencies += work.latencies()

    def row(self) -> dict[str, float]:
        """Return the figures that are shown; microseconds unless the name says otherwise."""
        ordered = sorted(self.latencies)
        return {
            "ops_per_s": statistics.median(self.rates),
            "ops_per_s_min": min(self.rates),
            "ops_per_s_max": max(self.rates),
            "p50": percentile(ordered, 50) * 1e6,
            "p99": percentile(ordered, 99) * 1e6,
            "p99.9": percentile(ordered, 99.9) * 1e6,
            "max": ordered[-1] * 1e6,
            "server_cpu_per_op": self.server_cpu / self.operations * 1e6,
            "load_cpu_per_op": self.load_cpu / self.operations * 1e6,
            "load_busy_share": self.load_cpu / self.wall,
            "bytes_written_per_op": self.written / self.operations,
        }


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the least of the sorted values that `percent` of them do not exceed."""
    return ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)]
