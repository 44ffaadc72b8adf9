"""The synchronous core put together for tests: no sockets, no trio, a clock that is set by hand."""

from pathlib import Path

from starling_py import stats
from starling_py.clock import Clock
from starling_py.journal.commit import Batch, GroupCommit, sync
from starling_py.journal.files import Files
from starling_py.journal.journal import Durability
from starling_py.journal.spool import Spool
from starling_py.queues.queue_collection import QueueCollection
from starling_py.session import Policy, Session
from starling_py.stats import Counters, Pairs


class ManualClock(Clock):
    """Both readings move only when told to."""

    def __init__(self, wall_ms: int = 1_700_000_000_000) -> None:
        super().__init__()
        self.wall_ms = wall_ms
        self.monotonic = 1000.0

    def refresh(self) -> None:
        """Leave the readings as they are."""

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self.wall_ms += round(seconds * 1000)
        self.monotonic += seconds


class InlineSyncer:
    """Syncs at once, in the caller's thread."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.commits: GroupCommit

    def submit(self, batch: Batch) -> None:
        """Sync the batch and report it."""
        sync(self.files, batch)
        self.commits.finish(batch)


class Core:
    """A spool with its queues, as a server has it, on files and a clock of the test's choice."""

    version = "1.0.0"

    def __init__(
        self,
        path: Path,
        files: Files | None = None,
        clock: ManualClock | None = None,
        interval: float | None = None,
        segment_size: int = 4096,
        policy: Policy | None = None,
    ) -> None:
        self.files = Files() if files is None else files
        self.clock = ManualClock() if clock is None else clock
        syncer = InlineSyncer(self.files)
        self.commits = syncer.commits = GroupCommit(interval, syncer, self.clock)
        durability = Durability(syncs=interval is not None, segment_size=segment_size)
        spool = Spool.open(self.files, str(path), durability, self.commits)
        self.queues = QueueCollection(spool, self.clock)
        self.counters = Counters()
        self.policy = policy or Policy(1 << 20, False, False)
        self.stopped = False

    def commit(self) -> None:
        """Commit as the end of a tick does, leaving sessions aside."""
        while self.commits.pending:
            self.commits.commit()

    def close(self) -> None:
        """Let go of the spool, as a process does that ends."""
        self.queues.close()

    def client(self) -> "Client":
        """Connect another client."""
        return Client(self)

    def snapshot(self) -> stats.Snapshot:
        """Return the state of the whole."""
        return stats.Snapshot(
            uptime=0,
            time=self.clock.wall_ms // 1000,
            version=self.version,
            curr_connections=1,
            max_connections=1,
            draining=False,
            fsyncs=self.commits.syncs,
            journal_failures=self.commits.failures,
            counters=self.counters,
            queues=self.queues.snapshot(),
        )

    def settings(self) -> Pairs:
        """Return the settings."""
        return [(b"item_size_max", b"%d" % self.policy.item_size_max)]

    def queue_settings(self) -> Pairs:
        """Return what concerns every queue."""
        return self.settings()

    def connections(self) -> Pairs:
        """Return nothing: there are no connections here."""
        return []

    def reset(self) -> None:
        """Count anew."""
        self.counters.reset()

    def shut_down(self) -> None:
        """Note that a client asked for it."""
        self.stopped = True


class Client:
    """A session, and what it has been told so far."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.session = Session(
            core.queues, core.counters, core.policy, core, "127.0.0.1:1", self._wake
        )
        self.woken = 0

    def _wake(self) -> None:
        self.woken += 1

    def send(self, data: bytes) -> None:
        """Hand over bytes as one read from a socket would."""
        self.session.receive(data)

    def told(self) -> bytes:
        """Commit, and return what may be sent now."""
        if self.woken:
            self.woken = 0
            self.session.run()
        while self.core.commits.pending:
            committed = self.core.commits.commit()
            if committed.failed:
                self.session.replies.revoke(committed.failed)
        if self.core.commits.broken:
            self.session.replies.revoke(self.core.commits.broken)
        self.session.replies.settle()
        return b"".join(self.session.replies.take())

    def ask(self, data: bytes) -> bytes:
        """Send, commit, and return the replies."""
        self.send(data)
        return self.told()
