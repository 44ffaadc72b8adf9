"""The synchronous core of a server, put together: spool, group commit and queues.

This is the only place where it is wired. What reaches outside is passed in: the clock, the calls
of the file system, and the threads. So a server, a tool and a test run the same core, each with a
time, a disk and threads of its own. The core knows no trio and no sockets.
"""

from collections.abc import Callable
from typing import Final, Protocol

import attrs

from starling_py.clock import Clock
from starling_py.journal.commit import Batch, GroupCommit, Syncer
from starling_py.journal.disk.background import Background, Work
from starling_py.journal.disk.files import Files
from starling_py.journal.errors import SpoolError
from starling_py.journal.log.log import WORTH
from starling_py.journal.shared import TOGETHER, Durability
from starling_py.journal.spool import Spool
from starling_py.queues.queue_collection import QueueCollection
from starling_py.queues.queue_directory import Rules
from starling_py.queues.window import WindowSizes
from starling_py.settings.server_settings import Settings

_LAST_COMMITS = 3
"""Commits at the end of a server that finish what is under way: a move is a put into the new
queues, and when that is safe, a removal from the old one."""


@attrs.frozen
class Storage:
    """What the core needs of the settings."""

    path: str
    """The spool's directory."""
    interval: float | None = 0.0
    """Seconds between two syncs; 0 makes every reply wait for one, ``None`` never syncs."""
    segment_size: int = 1 << 24
    window_size: int = 1 << 26
    """Bytes of memory for the head of one queue."""
    window_total: int = 1 << 30
    """Bytes of memory for the heads of all queues."""
    rules: Rules = attrs.field(factory=Rules)
    quarantine: bool = False
    """Whether a queue whose older segments are damaged is served without them."""
    open_files: int = 256
    """Segments that may be open at the same time."""
    log_size: int = 0
    """Bytes that each of the two files of the log may grow to; with 0 there is no log."""
    log_worth: int = WORTH
    """Syncs that the log must have been able to do before it is made."""
    together: int = TOGETHER
    """Journals of one batch from which on they are synced with one call for the file system."""

    @classmethod
    def of(cls, settings: Settings, open_files: int) -> "Storage":
        """Return what the settings of a server say, with at most ``open_files`` open segments."""
        policy = settings.sync
        return cls(
            str(settings.queue_path),
            None if policy.kind == "never" else policy.interval,
            settings.segment_size,
            settings.window_size,
            settings.window_total,
            rules_of(settings),
            settings.quarantine,
            open_files,
            settings.log_size,
        )

    @property
    def waits(self) -> bool:
        """Whether replies wait for a sync."""
        return self.interval == 0

    @property
    def durability(self) -> Durability:
        """How every journal of the spool is written and synced."""
        return Durability(
            self.interval is not None,
            self.segment_size,
            self.waits,
            self.log_size,
            self.log_worth,
            self.together,
        )


RELOADED: Final = frozenset({"max_queues", "max_children", "memory_max", "disk_free_min"})
"""Settings of the server that ``rules_of`` passes on, so that a reload changes them."""


def rules_of(settings: Settings) -> Rules:
    """Return what the settings say of the queues."""
    return Rules(
        settings.queues,
        settings.routes,
        settings.max_queues,
        settings.max_children,
        settings.memory_max,
        settings.disk_free_min,
    )


class Threads(Protocol):
    """Where the core has work done that waits for the disk."""

    @property
    def syncer(self) -> Syncer:
        """Where journals are synced."""

    @property
    def background(self) -> Background:
        """Where files are read back, copied and removed."""


class InlineSyncer:
    """Syncs each batch at once, in the caller's thread."""

    def __init__(self) -> None:
        self.commits: GroupCommit
        """Is told of every batch; must be set before the first commit."""

    def submit(self, batch: Batch) -> None:
        """Sync a batch, and finish it."""
        batch.run()
        self.commits.finish(batch)

    def close(self) -> list[Batch]:
        """Return nothing: no batch is left."""
        return []


class InlineBackground:
    """Does each piece of work at once, in the caller's thread."""

    def submit(self, work: Work, done: Callable[[], None] | None = None) -> None:
        """Do a piece of work, and call ``done``."""
        work.run()
        if done is not None:
            done()

    def close(self) -> None:
        """Do nothing: no work is left."""


@attrs.frozen
class InlineThreads:
    """No threads: for tools and tests, which serve no clients in the meantime."""

    syncer: InlineSyncer = attrs.field(factory=InlineSyncer)
    background: InlineBackground = attrs.field(factory=InlineBackground)


@attrs.frozen
class Core:
    """The part of a server that knows no trio, read back from its spool and ready to serve."""

    clock: Clock
    commits: GroupCommit
    spool: Spool
    queues: QueueCollection
    _threads: Threads

    @classmethod
    def open(
        cls,
        storage: Storage,
        clock: Clock,
        files: Files,
        threads: Threads,
        *,
        make_commits: Callable[[float | None, Syncer, Clock], GroupCommit] = GroupCommit,
        make_queues: Callable[
            [Spool, Clock, WindowSizes, Rules], QueueCollection
        ] = QueueCollection,
    ) -> "Core":
        """Lock the spool and read every queue back.

        The simulation passes ``make_commits`` and ``make_queues`` for ones that it watches. Raises
        ``SpoolError``, and then the spool is not locked.
        """
        commits = make_commits(storage.interval, threads.syncer, clock)
        if isinstance(threads.syncer, InlineSyncer):
            threads.syncer.commits = commits
        spool = Spool.open(
            files,
            storage.path,
            storage.durability,
            commits,
            threads.background,
            quarantine=storage.quarantine,
            open_files=storage.open_files,
        )
        sizes = WindowSizes(storage.window_size, storage.window_total)
        try:
            queues = make_queues(spool, clock, sizes, storage.rules)
        except SpoolError:
            spool.close()
            raise
        return cls(clock, commits, spool, queues, threads)

    def abandon(self) -> None:
        """Release the spool, and leave what is not safe: another server has the queues."""
        self._threads.syncer.close()
        self._threads.background.close()
        self.queues.directory.close()

    def close(self) -> None:
        """Finish what the threads have, sync everything, and release the spool."""
        self.commits.sync_everything(self._threads.syncer.close())
        for _ in range(_LAST_COMMITS):
            if self.commits.touched:
                self.commits.commit()
                self.commits.sync_everything()
        self.queues.directory.seal()
        self.commits.commit()
        self.commits.sync_everything()
        self._threads.background.close()
        self.queues.directory.close()
