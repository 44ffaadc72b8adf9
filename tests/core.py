"""The synchronous core put together for tests: no sockets, no trio, a clock that is set by hand."""

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import attrs

from starling_py import stats
from starling_py.clock import Clock
from starling_py.journal.disk.background import Work
from starling_py.journal.disk.files import Files
from starling_py.queues.changes import Changes
from starling_py.queues.delivery import Put
from starling_py.queues.errors import NotLoaded
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.queues.queue_collection import QueueCollection
from starling_py.queues.queue_directory import Rules
from starling_py.server.core import Core, InlineSyncer, Storage
from starling_py.session import client as session_client
from starling_py.session.client import Policy
from starling_py.session.session import Session
from starling_py.stats import Counters, Pairs

Answer = TypeVar("Answer")


class ManualClock(Clock):
    """Both readings move only when told to."""

    def __init__(self, wall_ms: int = 1_700_000_000_000) -> None:
        super().__init__()
        self.wall_ms = wall_ms
        self.monotonic = 1000.0
        self.step = 0.0
        """Seconds that pass, within a turn, from one look at the clock to the next."""
        self._passed = 0.0

    def refresh(self) -> None:
        """Leave the readings as they are; a turn begins."""
        self._passed = 0.0

    def now(self) -> float:
        """Return the monotonic time, with what the work of this turn has taken."""
        self._passed += self.step
        return self.monotonic + self._passed

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self.wall_ms += round(seconds * 1000)
        self.monotonic += seconds


class PatientBackground:
    """Does its work when a test says so."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[Work, Callable[[], None] | None]] = deque()

    def submit(self, work: Work, done: Callable[[], None] | None = None) -> None:
        """Keep a piece of work."""
        self.waiting.append((work, done))

    def close(self) -> None:
        """Leave what waits."""

    def do_one(self) -> None:
        """Do the oldest piece of work, and tell of it."""
        work, done = self.waiting.popleft()
        work.run()
        if done is not None:
            done()

    def do_all(self) -> None:
        """Work until nothing is left."""
        while self.waiting:
            self.do_one()


def put(
    queues: QueueCollection, name: bytes, data: bytes, flags: int = 0, exptime: int = 0
) -> None:
    """Put an item the quick way or the other one, as a session does."""
    if queues.put(name, data, flags, exptime) is None:
        put_with_care(queues, Put(name, data, flags, exptime))


def put_with_care(queues: QueueCollection, what: Put) -> list[PersistentQueue]:
    """Put an item the other way; return the queues that have it."""
    reached: list[PersistentQueue] = []
    for _ in queues.put_with_care(what, reached):
        pass
    return reached


@attrs.frozen
class PatientThreads:
    """Syncs at once, and works in the background when a test says so."""

    syncer: InlineSyncer = attrs.field(factory=InlineSyncer)
    background: PatientBackground = attrs.field(factory=PatientBackground)


class CoreHarness:
    """The core of a server and what a session may ask of it, on files and a clock of the test's."""

    version = "1.0.0"

    def __init__(
        self,
        path: Path,
        files: Files | None = None,
        clock: ManualClock | None = None,
        interval: float | None = None,
        segment_size: int = 4096,
        policy: Policy | None = None,
        window_size: int = 1 << 23,
        rules: Rules | None = None,
    ) -> None:
        self.files = Files() if files is None else files
        self.clock = ManualClock() if clock is None else clock
        threads = PatientThreads()
        self.background = threads.background
        storage = Storage(str(path), interval, segment_size, window_size, rules=rules or Rules())
        core = Core.open(storage, self.clock, self.files, threads)
        self.commits, self.queues = core.commits, core.queues
        self.queues.slices.allowance = float("inf")
        self.counters = Counters()
        self.policy = policy or Policy(1 << 20, False, False)
        self.stopped = False
        self.new_rules: Rules | str = Rules()

    def commit(self) -> None:
        """Commit as the end of a tick does, leaving sessions aside."""
        slices = self.queues.slices
        while self.commits.touched or self.background.waiting or slices.line:
            slices.run()
            self.commits.commit()
            self.background.do_all()

    def patiently(self, ask: Callable[[], Answer]) -> Answer:
        """Ask until what was asked for is in memory, as a session does."""
        while True:
            try:
                return ask()
            except NotLoaded:
                self.commit()

    def close(self) -> None:
        """Let go of the spool, as a process does that ends."""
        self.queues.directory.close()

    def client(self) -> "Client":
        """Connect another client."""
        return Client(self)

    def snapshot(self) -> stats.Snapshot:
        """Return the state of the whole."""
        return stats.Snapshot(
            pid=1,
            rusage_user=0.0,
            rusage_system=0.0,
            uptime=0,
            time=self.clock.wall_ms // 1000,
            version=self.version,
            curr_connections=1,
            max_connections=1,
            limit_maxbytes=1 << 30,
            draining=False,
            fsyncs=self.commits.syncs,
            journal_failures=self.commits.failures,
            journals_healed=self.commits.healed,
            files_lost=self.commits.lost_files,
            disk_full=0,
            disk_low=0,
            memory_high=0,
            log_lines_dropped=0,
            log_lines_held_back=0,
            refused_queues=0,
            counters=self.counters,
        )

    def queue_snapshot(self, name: bytes) -> stats.QueueSnapshot | None:
        """Return one queue's numbers."""
        return self.queues.queue_snapshot(name)

    def to_be_loaded(self, name: bytes) -> NotLoaded | None:
        """Return the signal if the age of a queue's oldest item is not known yet."""
        return self.queues.to_be_loaded(name)

    def queue_names(self) -> list[bytes]:
        """Return the names of all queues."""
        return self.queues.names()

    @property
    def changes(self) -> Changes:
        """Which queues have changed."""
        return self.queues.changes

    def queue_size(self, name: bytes) -> tuple[int, int]:
        """Return a queue's items and bytes."""
        return self.queues.size(name)

    def settings(self) -> Pairs:
        """Return the settings."""
        return [(b"item_size_max", b"%d" % self.policy.item_size_max)]

    def queue_settings(self, name: bytes) -> Pairs:
        """Return what concerns a queue."""
        own = self.queues.directory.settings_of(name)
        return [*self.settings(), (b"max_items", str(own.max_items).encode())]

    def readers(self, name: bytes) -> list[Pairs]:
        """Return the open reads of a queue."""
        queue = self.queues.directory.find(name)
        reads = [] if queue is None else [*queue.open_reads]
        return [[(b"open_%d_holder" % read.item.id, b"somebody")] for read in reads]

    @property
    def draining(self) -> bool:
        """Whether no puts are accepted."""
        return self.queues.directory.limits.draining

    def drain(self, *, on: bool) -> None:
        """Take no items, or take them again."""
        self.queues.drain(on=on)

    def reload(self) -> str | None:
        """Go by the rules that a test has put into ``new_rules``, unless that is a problem."""
        if isinstance(self.new_rules, str):
            return self.new_rules
        self.queues.reload(self.new_rules)
        return None

    unapplied: Sequence[str] = ()
    """What only a restart takes up."""

    def connections(self) -> list[Pairs]:
        """Return nothing: there are no connections here."""
        return []

    consumers = readers

    def refresh_certs(self) -> str | None:
        """Say that it went well: there are none."""
        return None

    def reset(self) -> None:
        """Count anew."""
        self.counters.reset()

    def hand_over(self) -> str | None:
        """Go on alone."""
        return "this server is in no group, so it hands nothing over"

    def shut_down(self) -> None:
        """Note that a client asked for it."""
        self.stopped = True


class Client:
    """A session, and what it has been told so far."""

    def __init__(self, core: CoreHarness) -> None:
        self.core = core
        self.state = session_client.Client(
            core.queues, core.counters, core.policy, core, "127.0.0.1:1", self._wake
        )
        self.session = Session(self.state)
        self.woken = 0
        self.turns = 0
        """How often it was done what a turn of the server does."""

    def _wake(self) -> None:
        self.woken += 1

    def send(self, data: bytes) -> None:
        """Hand over bytes as one read from a socket would."""
        self.session.run(data)

    def told(self) -> bytes:
        """Take turns until nothing is left to do, and return what may be sent now."""
        core, session, replies = self.core, self.session, self.state.replies
        slices = core.queues.slices
        told: list[bytes | bytearray] = []
        while (
            self.woken
            or self.state.next is not None
            or core.commits.touched
            or core.background.waiting
            or slices.line
        ):
            self.turns += 1
            core.background.do_all()
            slices.run()
            core.queues.offer_room()
            if self.woken or self.state.next is not None:
                self.woken = 0
                slices.begin()
                session.run()
            committed = core.commits.commit()
            if committed.failed:
                session.revoke(committed.failed)
            if self.state.next is not None:
                told += replies.take()
        return b"".join([*told, *replies.take()])

    def go_on(self, turns: int) -> None:
        """Take some turns, as long as the client has anything left to do."""
        for _ in range(turns):
            if self.state.next is not None or self.session.stopped_early:
                self.core.queues.slices.begin()
                self.session.run()

    def ask(self, data: bytes) -> bytes:
        """Send, commit, and return the replies."""
        self.send(data)
        return self.told()
