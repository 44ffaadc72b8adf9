"""One scenario, over and over: the first file call fails, then the second, and so on.

The scenario puts, takes, opens and ends reads, moves items, begins segments, reads behind, copies
forward, flushes, deletes, takes snapshots and stops.
Whatever fails in it, nobody is told of what did not happen, nothing told is missing after a
restart (I1), what could not be done was refused (I7), and each snapshot that was told of is of its
moment, for ever. The loop ends when a scenario runs through without meeting its fault.
"""

import errno
from collections.abc import Iterator

import pytest

from starling_py.journal.errors import SpoolError
from starling_py.journal.journal import Journal
from tests.core import ManualClock
from tests.journal.simulated_disk import CHANGES, NO_MEMORY, SALT, Fault, SimulatedDisk
from tests.simulation.clients import Asked, SimulatedClient
from tests.simulation.model import QueueModel, Violation
from tests.simulation.moments import Moments
from tests.simulation.recovery import recovered
from tests.simulation.schedule import READS
from tests.simulation.world import NAMES, SPOOL, Life, Shape, quietly

MOST = 2000
"""More file calls than the scenario makes."""
JOBS, OTHER, _, CHILD, DEAD, DEAD_CHILD = NAMES
ENTRIES: dict[str, dict[str, object]] = {
    "Other": {"max_deliveries": 1, "dead_letter": "dead", "expire_to": "dead"},
}


class Scenario:
    """The scenario, on a disk that fails once, or from then on."""

    def __init__(self, shape: Shape, fault: Fault) -> None:
        self.disk = SimulatedDisk.holding({f"{SPOOL}/": b""})
        self.disk.next_salt = SALT  # as the log tells journals of one name by their salts
        self.clock = ManualClock()
        self.shape = shape
        self.fault = fault
        self.models = {name: QueueModel(name) for name in NAMES}
        self.sent: dict[bytes, tuple[bytes, int]] = {}
        self.moments = Moments()
        self.not_made = 0
        """Snapshots that were asked for and not made."""
        self.refused = 0
        """Commands that were answered ``SERVER_ERROR``."""
        self.journals: list[Journal] = []
        """Those of the first life, at its end."""

    def start(self) -> Life:
        """Start a server; once more if the fault keeps it from starting."""
        try:
            return self._life()
        except (SpoolError, MemoryError):
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
        for step in self.steps(life, client):
            self.settle(life)
            for asked, line in life.errors:
                if not self.fault.struck:
                    raise Violation(f"{step}: {asked} is answered {line!r} without a reason")
                self.refused += 1
            life.errors.clear()
            if self.moments.problems and not self.fault.struck:
                raise Violation(f"{step}: no snapshot, without a reason: {self.moments.problems}")
            self.not_made += len(self.moments.problems)
            self.moments.problems.clear()
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
        recovered(self.models, found, floors)
        again.look()
        self.settle(again)
        self.check_works(again)
        self.moments.check(self.disk, again)

    def steps(self, life: Life, client: SimulatedClient) -> Iterator[str]:
        """Ask for one thing after the other."""
        yield from self.simple_steps(client)
        self.moments.take(life, self.models)
        yield "take a snapshot"
        yield from self.reliable_steps(life, client)
        for number in range(30, 35):
            self.put(client, JOBS, b"%d:" % number + b"y" * 200)
        self.moments.take(life, self.models)
        yield "put several, and take a snapshot of what was there before"
        self.read(client, JOBS)
        yield "get behind"
        while len(self.moments.made) + self.not_made < self.moments.asked:
            yield "wait for the snapshot"

    def reliable_steps(self, life: Life, client: SimulatedClient) -> Iterator[str]:
        """Ask for everything that has to do with open reads, with delays, and with other queues."""
        for option in (b"/open", b"/open", b"/close", b"/abort", b"/open", b"/close/open"):
            self.read(client, JOBS, option)
            yield f"get {option.decode()}"
        self.read(client, JOBS, b"/abort/delay=0.4")
        self.put(client, JOBS, b"40:in front", b"prepend")
        self.put(client, JOBS, b"41:later", options=b"/delay=0.5")
        yield "abort and put with delays, put in front"
        worker = life.connect()
        self.read(worker, JOBS, b"/open")
        self.read(worker, JOBS, b"/open/lease=9")
        yield "open for another client"
        life.disconnect(worker)
        yield "leave"
        for item_id in [key for key, each in self.models[JOBS].open.items() if each.lease_end]:
            self.read(client, JOBS, b"/close=%d" % item_id)
        yield "close by its id"
        client.ask(b"gat 1 jobs\r\ntouch jobs 2\r\n", Asked("get", (JOBS,)))
        client.ask(b"monitor jobs 0 2\r\n", Asked("touch"))
        client.asked.append(Asked("monitor", (JOBS,)))
        yield "open with a lease, and several"
        client.ask(b"confirm jobs 1\r\nflush jobs\r\n", Asked("confirm"))
        client.asked.append(Asked("flush"))
        yield "confirm, and flush what is not open"
        self.read(client, JOBS, b"/abort")
        self.read(client, CHILD)
        self.read(client, DEAD_CHILD)
        yield "subscribe"
        self.put(client, JOBS, b"42:for two")
        self.put(client, OTHER, b"43:in vain", options=b"/sync")
        self.read(client, OTHER, b"/open")
        yield "put into two, and safely"
        self.read(client, OTHER, b"/abort")
        self.put(client, OTHER, b"44:short-lived", exptime=1)
        yield "move"
        for name in (OTHER, DEAD, DEAD_CHILD, CHILD, JOBS):
            self.read(client, name)
        yield "get what was moved"
        self.read(client, OTHER)
        self.read(client, DEAD)
        yield "get what was moved later"
        client.ask(b"delete dead\r\ndelete Other\r\n", Asked("delete", (DEAD,)))
        client.asked.append(Asked("delete", (OTHER,)))
        yield "delete what is made anew after a restart"

    def simple_steps(self, client: SimulatedClient) -> Iterator[str]:
        """Put, take, flush and delete."""
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

    def read(self, client: SimulatedClient, name: bytes, option: bytes = b"") -> None:
        """Read."""
        client.ask(b"get %b%b\r\n" % (name, option), Asked("get", (name,)))

    def put(
        self,
        client: SimulatedClient,
        name: bytes,
        data: bytes,
        verb: bytes = b"set",
        options: bytes = b"",
        exptime: int = 0,
    ) -> None:
        """Put an item."""
        self.sent[data] = (name, 7)
        line = b"%b %b%b 7 %d %d" % (verb, name, options, exptime, len(data))
        asked = Asked("set", (name,), data, sync=options == b"/sync")
        client.ask(b"%b\r\n%b\r\n" % (line, data), asked)

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

    def check_works(self, life: Life) -> None:
        """Put and take everything after the restart."""
        client = life.connect()
        for number, name in enumerate((JOBS, OTHER)):
            self.put(client, name, b"%d:at the end" % (100 + number))
        self.settle(life)
        for name in (JOBS, OTHER, CHILD, DEAD, DEAD_CHILD):
            while self.models[name].things:
                before = self.models[name].last
                self.read(client, name)
                self.settle(life)
                assert self.models[name].last > before, "nothing more comes out"
        assert not life.errors
        assert not client.asked
        life.stop()


FAULTS = {
    "EIO": (errno.EIO, CHANGES, False),
    "EIO when reading": (errno.EIO, READS, False),
    "ENOSPC": (errno.ENOSPC, CHANGES, False),
    "no memory": (NO_MEMORY, CHANGES, False),
    "no memory when reading": (NO_MEMORY, READS, False),
    "a short write": (errno.EIO, frozenset({"write"}), True),
    "a short write, full": (errno.ENOSPC, frozenset({"write"}), True),
}


INTERVALS = {"always": 0.0, "interval": 0.5, "never": None}
LASTING = {"once": False, "from then on": True}


QUICK = (
    ("always", "EIO", "once"),
    ("always", "EIO", "from then on"),
    ("always", "ENOSPC", "from then on"),
    ("interval", "EIO", "once"),
    ("never", "no memory", "once"),
)
"""Faults that every run meets, each at another fourth of the calls."""
STEP = 4


@pytest.mark.parametrize("faulty", QUICK, ids="-".join)
def test_a_failing_file_call_loses_nothing_that_was_told(faulty: tuple[str, str, str]) -> None:
    policy, kind, how_long = faulty
    first = QUICK.index(faulty) % STEP + 1
    fail_one_after_the_other(INTERVALS[policy], kind, LASTING[how_long], first, STEP)


@pytest.mark.long
@pytest.mark.parametrize("how_long", LASTING)
@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("policy", INTERVALS)
def test_whichever_file_call_fails_nothing_that_was_told_is_lost(
    policy: str, kind: str, how_long: str
) -> None:
    fail_one_after_the_other(INTERVALS[policy], kind, LASTING[how_long], 1, 1)


def fail_one_after_the_other(
    interval: float | None, kind: str, lasting: bool, first: int, step: int
) -> None:
    """Run the scenario with a fault at the ``first`` call, then ``step`` calls later, and so on."""
    error, calls, short = FAULTS[kind]
    shape = Shape(interval, 400, 700, log_size=1500, entries=ENTRIES)
    refused = 0
    with quietly():
        for nth in range(first, MOST, step):
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
    assert jobs.rotations >= 3
    assert jobs.compactions > 0
    assert len(scenario.moments.seen) == 2
