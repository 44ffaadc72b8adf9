"""Group commit: one write per touched journal, then one sync for everybody who waits.

Under ``always``, a reply that depends on a write waits for the sync that covers it; the sync
itself runs wherever the ``Syncer`` runs it, one at a time, and each covers all that was written
before it began. Under an interval nobody waits: what was written is synced at that interval.
Under ``never`` nothing is synced. This module decides when; it never touches a socket.
"""

from collections.abc import Iterable
from typing import Protocol

import attrs

from starling_py.clock import Clock
from starling_py.journal.files import Files
from starling_py.journal.journal import Journal, JournalError, sync_and_close


class Syncer(Protocol):
    """Where syncs run."""

    def submit(self, batch: "Batch") -> None:
        """Begin to sync a batch; ``GroupCommit.finish`` is called when it is done."""


@attrs.define
class Batch:
    """Journals that are synced together."""

    ticket: int
    """Counts the batches from 1."""
    work: list[tuple[Journal, int]]
    """Each journal with a descriptor of its own to sync and to close."""
    errors: list[OSError | None] = attrs.field(factory=list)
    """The outcome for each, once it is there."""


def sync(files: Files, batch: Batch) -> None:
    """Sync a batch's files one after the other and note each outcome; safe in any thread."""
    for _, descriptor in batch.work:
        batch.errors.append(sync_and_close(files, descriptor))


@attrs.frozen
class Committed:
    """The outcome of one commit."""

    failed: frozenset[Journal]
    """Journals whose operations since the last commit could not be written."""
    ticket: int
    """The batch that replies have to wait for; 0 when they need not wait."""


_NOTHING_FAILED: frozenset[Journal] = frozenset()


class GroupCommit:
    """The journals that were touched since the last commit, and those not synced yet."""

    def __init__(self, interval: float | None, syncer: Syncer, clock: Clock) -> None:
        """``interval`` is in seconds: ``None`` never syncs, 0 makes replies wait for the sync."""
        self._interval = interval
        self._syncer = syncer
        self._clock = clock
        self._touched: list[Journal] = []
        self._unsynced: set[Journal] = set()
        self._begun = 0
        self._closing = False
        self.finished = 0
        """The ticket of the last batch that was synced."""
        self._sync_due: float | None = None
        self.syncs = 0
        """Syncs of one file, done since the server started."""
        self.failures = 0
        """Writes and syncs that failed since the server started."""
        self.broken: set[Journal] = set()
        """Journals that take nothing any more."""

    def touch(self, journal: Journal) -> None:
        """Take part in the next commit."""
        self._touched.append(journal)

    @property
    def pending(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self._touched)

    @property
    def sync_due(self) -> float | None:
        """When the next sync can begin, on the monotonic clock, if one is due at all."""
        return self._sync_due if self._begun == self.finished else None

    @property
    def unsynced(self) -> bool:
        """Whether anything written is not synced yet and should be."""
        return bool(self._unsynced) or self._begun != self.finished

    def commit(self) -> Committed:
        """Write every touched journal, tell its owner, and begin a sync if it is time for one."""
        touched, self._touched = self._touched, []
        failed = []
        for journal in touched:
            owner = journal.owner
            try:
                written = journal.write()
            except JournalError:
                failed.append(journal)
                self._note_failure(journal)
                if owner is not None:
                    owner.rolled_back()
                continue
            if not written:
                self._note_failure(journal)
                continue
            if owner is not None:
                owner.committed()
            if self._interval is None:
                journal.settle()
            else:
                self._unsynced.add(journal)
        ticket = 0
        if self._interval == 0 and self._unsynced:
            ticket = self._begun + 1
            if self._begun == self.finished:
                self._begin()
        elif self._interval is not None and self._unsynced and self._sync_due is None:
            self._sync_due = self._clock.monotonic + self._interval
        return Committed(frozenset(failed) if failed else _NOTHING_FAILED, ticket)

    def sync_if_due(self) -> None:
        """Begin the sync of the interval when its time has come and none is running."""
        if (due := self.sync_due) is not None and due <= self._clock.monotonic:
            self._begin()

    def finish(self, batch: Batch) -> None:
        """Take a batch that the syncer has finished."""
        self.finished = batch.ticket
        for (journal, _), error in zip(batch.work, batch.errors, strict=True):
            self.syncs += 1
            journal.end_sync(error)
            if error is not None:
                self._note_failure(journal)
        if self._interval == 0 and self._unsynced and not self._closing:
            self._begin()

    def sync_everything(self, finished: Iterable[Batch] = ()) -> None:
        """Take the batches that the syncer finished last, and sync here and now what they left.

        This is for the end of a server: no batch is begun afterwards.
        """
        self._closing = True
        for batch in finished:
            self.finish(batch)
        unsynced, self._unsynced = self._unsynced, set()
        for journal in unsynced:
            journal.sync()

    def _note_failure(self, journal: Journal) -> None:
        self.failures += 1
        if journal.broken is not None:
            self.broken.add(journal)

    def _begin(self) -> None:
        self._begun += 1
        self._sync_due = None
        batch = Batch(self._begun, [])
        unsynced, self._unsynced = self._unsynced, set()
        for journal in unsynced:
            try:
                descriptor = journal.begin_sync()
            except OSError as error:
                journal.end_sync(error)
                self._note_failure(journal)
            else:
                if descriptor is not None:
                    batch.work.append((journal, descriptor))
        self._syncer.submit(batch)
