"""One scenario, over and over: the first file call fails, then the second, and so on.

The scenario puts, takes, begins segments, reads behind, copies forward, flushes, deletes and stops.
Whatever fails in it, nobody is told of what did not happen, nothing told is missing after a
restart (I1), and what could not be done was refused (I7). The loop ends when a scenario runs
through without meeting its fault.
"""

import errno
from collections.abc import Iterator

import pytest

from starling_py.journal.journal import Journal
from starling_py.journal.spool import SpoolProblem
from tests.core import ManualClock
from tests.journal.simulated_disk import CHANGES, Fault, SimulatedDisk
from tests.simulation.clients import Asked, SimulatedClient
from tests.simulation.model import QueueModel, Violation
from tests.simulation.schedule import READS
from tests.simulation.world import NAMES, SPOOL, Life, Shape, watched

MOST = 2000
"""More file calls than the scenario makes."""
JOBS, OTHER, _ = NAMES


class Scenario:
    """The scenario, on a disk that fails once, or from then on."""

    def __init__(self, shape: Shape, fault: Fault) -> None:
        self.disk = SimulatedDisk.holding({f"{SPOOL}/": b""})
        self.clock = ManualClock()
        self.shape = shape
        self.fault = fault
        self.models = {name: QueueModel(name) for name in NAMES}
        self.sent: dict[bytes, tuple[bytes, int]] = {}
        self.refused = 0
        """Commands that were answered ``SERVER_ERROR``."""
        self.journals: list[Journal] = []
        """Those of the first life, at its end."""

    def start(self) -> Life:
        """Start a server; once more if the fault keeps it from starting."""
        try:
            return self._life()
        except SpoolProblem:
            assert self.fault.struck, "refused without a reason"
            self.disk = self.disk.for_next_process()
            return self._life()

    def _life(self) -> Life:
        life = Life(self.disk, self.clock, self.shape, self.models, self.sent)
        self.settle(life)
        return life

    def run(self) -> None:
        """Run it, with the fault in it somewhere, and restart without one."""
        self.disk.fault = self.fault
        life = self.start()
        client = life.connect()
        for step in self.steps(client):
            self.settle(life)
            for asked, line in life.errors:
                if not self.fault.struck:
                    raise Violation(f"{step}: {asked} is answered {line!r} without a reason")
                self.refused += 1
            life.errors.clear()
            if client.asked and self.fault.struck and self.fault.lasting:
                self.disk.fault = None  # what waits for the disk goes on when it works again
                self.settle(life)
            assert not client.asked, f"{step}: no reply to {client.asked}"
        self.journals = [queue.journal for queue in life.queues.everything()]
        floors = {name: model.told for name, model in self.models.items()}
        if self.shape.waits:
            self.disk = self.disk.for_next_process().after_power_cut()
        else:
            life.stop()
            self.disk = self.disk.for_next_process()
        again = Life(self.disk, self.clock, self.shape, self.models, self.sent)
        found = again.found()
        for name, model in self.models.items():
            model.recovered(found.get(name), floors[name])
        again.look()
        self.settle(again)
        self.works(again)

    def steps(self, client: SimulatedClient) -> Iterator[str]:
        """Ask for one thing after the other."""
        for number in range(12):
            self.put(client, JOBS, b"%d:" % number + b"x" * 90)
            self.put(client, OTHER, b"%d:other" % number)
            yield "put"
        for _ in range(3):
            client.ask(b"get jobs Other\r\n", Asked("get", (JOBS, OTHER)))
            yield "get both"
        for _ in range(6):
            client.ask(b"get jobs\r\n", Asked("get", (JOBS,)))
            yield "get"
        client.ask(b"flush Other\r\n", Asked("flush", (OTHER,)))
        yield "flush"
        self.put(client, OTHER, b"20:after the flush")
        client.ask(b"get Other\r\n", Asked("get", (OTHER,)))
        yield "put and get"
        client.ask(b"delete Other\r\n", Asked("delete", (OTHER,)))
        yield "delete"
        self.put(client, OTHER, b"21:anew")
        yield "put anew"
        for number in range(30, 34):
            self.put(client, JOBS, b"%d:" % number + b"y" * 200)
        yield "put several"
        client.ask(b"get jobs\r\n", Asked("get", (JOBS,)))
        yield "get behind"

    def put(self, client: SimulatedClient, name: bytes, data: bytes) -> None:
        """Put an item."""
        self.sent[data] = (name, 7)
        client.ask(
            b"set %b 7 0 %d\r\n%b\r\n" % (name, len(data), data), Asked("set", (name,), data, 7)
        )

    def settle(self, life: Life) -> None:
        """Let everything happen that can happen, and let some time pass."""
        for _ in range(5):
            self.clock.advance(0.3)
            while life.syncer.waiting:
                life.syncer.run_one()
            while life.background.waiting:
                life.background.run_one()
            life.turn()
            if not life.busy:
                break

    def works(self, life: Life) -> None:
        """Put and take everything after the restart."""
        client = life.connect()
        for number, name in enumerate((JOBS, OTHER)):
            self.put(client, name, b"%d:at the end" % (100 + number))
        self.settle(life)
        for name in (JOBS, OTHER):
            while self.models[name].head() is not None:
                before = self.models[name].last
                client.ask(b"get %b\r\n" % name, Asked("get", (name,)))
                self.settle(life)
                assert self.models[name].last > before, "nothing more comes out"
        assert not life.errors
        assert not client.asked
        life.stop()


FAULTS = {
    "EIO": (errno.EIO, CHANGES, False),
    "EIO when reading": (errno.EIO, READS, False),
    "ENOSPC": (errno.ENOSPC, CHANGES, False),
    "a short write": (errno.EIO, frozenset({"write"}), True),
    "a short write, full": (errno.ENOSPC, frozenset({"write"}), True),
}


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("interval", [0, 0.5, None], ids=["always", "interval", "never"])
def test_whichever_file_call_fails_nothing_told_is_lost_and_what_fails_is_refused(
    interval: float | None, kind: str, lasting: bool
) -> None:
    error, calls, short = FAULTS[kind]
    shape = Shape(interval, 400, 700)
    refused = 0
    with watched():
        for nth in range(1, MOST):
            fault = Fault(nth, error, calls, lasting=lasting, short=short)
            scenario = Scenario(shape, fault)
            try:
                scenario.run()
            except Exception as problem:
                problem.add_note(f"when call {nth} failed with {kind}")
                raise
            refused += scenario.refused
            if not fault.struck:
                break
    assert not fault.struck, "the scenario must end"
    assert nth > 20
    # A write that was short once is simply continued.
    assert refused > 5 or calls is READS or (short and not lasting)
    jobs = scenario.journals[0]
    assert jobs.rotations > 3
    assert jobs.compactions > 0
