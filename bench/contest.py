"""One scenario, done to several servers in turn, round by round.

Each server runs on a fresh folder, all on one core, and only the one that is being measured has
anything to do. The rounds are interleaved, so what disturbs the machine disturbs all alike. A
round has as many items as the server does in about the time it is given; nothing else about the
load differs.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench import LoadError, VoidRunError
from bench.dialects import exchange
from bench.fleet import Fleet
from bench.process import PATIENCE, await_start, free_port, peak_memory, said, spawn, stop
from bench.secured import Secured
from bench.servers import HOST, Server, await_serving, fsyncs
from bench.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bench.fleet import Work
    from bench.scenarios import Scenario

    Row = dict[str, float | str]
    """Figures by their names; what could not be measured is not there, and `trouble` says why."""

SHAPE = ("connections", "depth", "size", "queues", "backlog")
"""What of a scenario stands in its rows, so that they can be drawn."""
WARM = 0.2  # seconds of a round that tells how fast a server is
CALLS = "fsync,fdatasync,sync_file_range,syncfs,msync"


class Contender:
    """One server in one scenario, from its start to its end."""

    def __init__(self, server: Server, scenario: Scenario, folder: Path, deadline: float) -> None:
        self.server, self.scenario = server, scenario
        self.items = scenario.least
        """Items of one round."""
        self.tallies: dict[str, Tally] = {}
        """By the name of what was done."""
        self.synced: dict[str, int] = {}
        """Calls that sync a file, by the same names."""
        self.memory = 0.0
        self.trouble = scenario.refusal(server)
        """Why there is no more to be measured."""
        self.has_failed = False
        self._deadline = deadline
        self._taken = 0
        self._stack = ExitStack()
        self._folder, self._log, self._trace = folder / "data", folder / "log", folder / "trace"
        self._folder.mkdir(parents=True)
        self._address = (HOST, free_port())
        self._secured = (
            Secured.make(folder, tls=scenario.tls, users=scenario.users)
            if scenario.is_secured and not self.trouble
            else None
        )
        self._process: subprocess.Popen[bytes]
        self._fleet: Fleet

    def close(self) -> None:
        """End what was started."""
        self._stack.close()

    def start(self, core: int | None, *, traced: bool = False) -> None:
        """Start the server, make its queues, fill them, and connect the load."""
        command = self.server.command(self._folder, self._address[1])
        if self._secured is not None:
            command = self._secured.command(command, self._address)
        if traced:
            wrapper = ["strace", "-D", "-f", "--seccomp-bpf", "-qq", "-e", "signal=none"]
            command = [*wrapper, "-e", f"trace={CALLS}", "-o", str(self._trace), *command]
        self._process = spawn(command, self._log, core)
        self._stack.callback(stop, self._process)
        until = min(self._deadline, time.perf_counter() + PATIENCE)
        await_start(self._process, self._address, until, self._log)
        if self.server.is_ours:
            await_serving(self._look, until)
        dialect, scenario = self.server.dialect, self.scenario
        with self._look() as client:
            dialect.prepare(client, scenario.names, scenario.children)
        if scenario.backlog:
            with closing(self._connect(1, 0)) as fleet:
                for work in scenario.fill(self.server, scenario.backlog):
                    fleet.drive(work)
        self._fleet = self._connect(scenario.connections, scenario.idle)
        self._stack.callback(self._fleet.close)

    def _connect(self, connections: int, idle: int) -> Fleet:
        dialect = self.server.dialect
        return Fleet(
            self._address,
            connections,
            self._deadline,
            idle=idle,
            greet=dialect.greet,
            noise=dialect.noise,
            connect=socket.create_connection if self._secured is None else self._secured.connect,
        )

    def _look(self) -> socket.socket:
        """Return a connection beside the load."""
        if self._secured is not None:
            return self._secured.look(self._address, PATIENCE)
        return socket.create_connection(self._address, timeout=PATIENCE)

    def _fsyncs(self) -> int:
        if not self.server.is_ours:
            return 0
        with self._look() as client:
            return fsyncs(client)

    def round(self) -> Iterator[tuple[str, Work]]:
        """Yield the works of the next round."""
        scenario = self.scenario
        yield from scenario.round(self.server, self._taken, scenario.backlog, self.items)
        self._taken += self.items

    def warm_up(self, seconds: float) -> None:
        """Make rounds that do not count, to see how many items take this long."""
        scenario = self.scenario
        while True:
            slowest = 0.0
            for _, work in self.round():
                slowest = max(slowest, self._fleet.drive(work))
                work.finish()
            if slowest >= min(WARM, seconds / 2) or self.items >= scenario.most:
                break
            self.items = min(self.items * 4, scenario.most)
        wanted = scenario.rounded(self.items * seconds / slowest)
        self.items = max(min(wanted, scenario.most), scenario.least)

    def drive(self, tally: Tally, work: Work) -> None:
        """Do some work that counts."""
        tally.measure(self._fleet, work, self._process.pid)

    def empty_request(self) -> tuple[bytes, bytes]:
        """Return a request of memcached's text protocol that does nothing, and its reply."""
        request = b"version\r\n"
        with self._look() as client:
            return request, exchange(client, request, b"\r\n")

    def measure(self) -> None:
        """Make a round that counts."""
        for name, work in self.round():
            before = self._fsyncs()
            self.drive(self.tallies.setdefault(name, Tally()), work)
            if self.server.is_ours:
                self._count(name, self._fsyncs() - before)
        self.memory = peak_memory(self._process.pid)

    def count_syncs(self) -> None:
        """Make a round of which only the traced calls count."""
        for name, work in self.round():
            before = self._traced()
            self._fleet.drive(work)
            work.finish()
            self._count(name, self._traced() - before)

    def _count(self, name: str, synced: int) -> None:
        self.synced[name] = self.synced.get(name, 0) + synced

    def _traced(self) -> int:
        """Return how many calls the trace has, whether they have returned or not."""
        lines = self._trace.read_bytes().split(b"\n")
        return sum(b"(" in line and b" resumed>" not in line for line in lines)

    def failed(self, error: Exception) -> None:
        """Keep what went wrong, for a person, and measure no more."""
        self.has_failed = True
        self.trouble = f"{'void run: ' if isinstance(error, VoidRunError) else ''}{error}"
        process = getattr(self, "_process", None)
        if process is not None and process.poll() is not None:
            self.trouble += f"; the server ended with {process.returncode}"
            if "it said: " not in self.trouble:
                self.trouble += f"; {said(self._log)}"

    def rows(self, synced: dict[str, float]) -> Iterator[Row]:
        """Yield a row for each thing that was done."""
        about: Row = {"scenario": self.scenario.name, "server": self.server.name}
        about |= {name: float(getattr(self.scenario, name)) for name in SHAPE}
        if self.trouble:
            about |= {"operation": "-", "trouble": self.trouble}
            yield {**about, "failed": 1.0} if self.has_failed else about
            return
        for name, tally in self.tallies.items():
            row: Row = {**about, "operation": name, **tally.row(), "memory_mb": self.memory}
            if name in synced:
                row["fsyncs_per_op"] = synced[name]
            yield row


@dataclass(frozen=True, slots=True)
class Contest:
    """How scenarios are done: for all servers alike."""

    rounds: int
    seconds: float
    """How long the slowest work of a round is meant to take."""
    time_limit: float
    """Seconds for one scenario."""
    directory: Path
    """Where the servers' folders are made."""
    core: int | None
    traces: bool
    """Whether the syncs of other servers are counted, in a run of their own."""

    def run(self, scenario: Scenario, servers: Sequence[Server]) -> Iterator[Row]:
        """Yield a row for each server and each thing that was done, its control's first."""
        deadline = time.perf_counter() + self.time_limit
        with ExitStack() as stack:
            folder = tempfile.TemporaryDirectory(prefix="starling-bench-", dir=self.directory)
            path = Path(stack.enter_context(folder))
            contenders = []
            for each in filter(None, (scenario.control, scenario)):
                for server in servers:
                    home = path / f"{each.name}-{server.name}"
                    contender = Contender(server, each, home, deadline)
                    stack.callback(contender.close)
                    contenders.append(contender)
            for contender in contenders:
                self._try(contender, self._begin)
            for turn in range(self.rounds):
                # Not always after the same one, which may still have something to sync.
                start = turn % len(contenders)
                for contender in contenders[start:] + contenders[:start]:
                    self._try(contender, lambda each: each.measure())
            for contender in contenders:
                contender.close()
            for contender in contenders:
                yield from contender.rows(self._synced(contender, path, deadline))

    def _begin(self, contender: Contender) -> None:
        contender.start(self.core)
        contender.warm_up(self.seconds)

    @staticmethod
    def _try(contender: Contender, act: Callable[[Contender], None]) -> None:
        if contender.trouble:
            return
        try:
            act(contender)
        except (LoadError, OSError) as error:
            contender.failed(error)
            contender.close()

    def _synced(self, contender: Contender, path: Path, deadline: float) -> dict[str, float]:
        """Return how often a file was synced per operation, by the names of what was done."""
        if contender.server.is_ours:
            tallies = contender.tallies
            return {name: n / tallies[name].operations for name, n in contender.synced.items()}
        if not self.traces or contender.trouble:
            return {}
        server, scenario = contender.server, contender.scenario
        home = path / f"{scenario.name}-{server.name}-traced"
        traced = Contender(server, scenario, home, deadline)
        with closing(traced):
            traced.items = scenario.rounded(min(contender.items, 10 * scenario.least))
            self._try(traced, lambda each: each.start(self.core, traced=True))
            self._try(traced, Contender.count_syncs)
            if traced.trouble:
                return {}
        operations = {n: t.operations for n, t in contender.tallies.items()}
        share = traced.items / contender.items / self.rounds
        return {name: n / (operations[name] * share) for name, n in traced.synced.items()}
