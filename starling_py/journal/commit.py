"""Group commit: one write per touched journal, then one sync for everybody who waits.

Under ``always``, a reply that depends on a write waits for the sync that covers it; the sync
itself runs wherever the ``Syncer`` runs it, one at a time, and each covers all that was written
before it began. Under an interval nobody waits: what was written is synced at that interval.
Under ``never`` nothing is synced. Journals whose file went bad are healed in the same place. This
module decides when; it never touches a socket.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from mypy_extensions import mypyc_attr

from starling_py.clock import Clock
from starling_py.journal.errors import JournalError
from starling_py.journal.healing import Healing
from starling_py.journal.journal import Journal
from starling_py.journal.syncing import Syncing

HEAL_AGAIN = 1.0
"""Seconds from one attempt to heal a journal to the next."""


class Syncer(Protocol):
    """Where syncs run."""

    def submit(self, batch: "Batch") -> None:
        """Begin to sync a batch; ``GroupCommit.finish`` is called when it is done."""

    def close(self) -> "list[Batch]":
        """Wait for what was submitted; return what is done and not told of yet."""


@dataclass
class Batch:
    """Journals that are synced together."""

    ticket: int
    """Counts the batches from 1."""
    work: list[tuple[Journal, Syncing | Healing]]
    """What is to be done for each journal."""
    undone: frozenset[Journal] = frozenset()
    """Those whose unsafe operations are not made safe by this but taken back."""
    errors: list[OSError | None] = field(default_factory=list)
    """The outcome for each, once it is there."""

    @property
    def is_plain(self) -> bool:
        """Whether nothing has to be done but to sync files."""
        return all(isinstance(work, Syncing) and work.is_plain for _, work in self.work)

    def run(self) -> None:
        """Do the work, one journal after the other, and note each outcome; safe in any thread."""
        for _, work in self.work:
            try:
                work.run()
            except OSError as error:
                self.errors.append(error)
            else:
                self.errors.append(None)


class Committed:
    """The outcome of one commit."""

    def __init__(self, failed: frozenset[Journal], ticket: int) -> None:
        self.failed = failed
        """Journals whose operations since the last commit could not be written."""
        self.ticket = ticket
        """The batch that replies have to wait for; 0 when they need not wait."""


_NOTHING_FAILED: frozenset[Journal] = frozenset()
_PLAIN: Final = Committed(_NOTHING_FAILED, 0)


@mypyc_attr(allow_interpreted_subclasses=True)
class GroupCommit:
    """The journals that were touched since the last commit, and those not synced yet."""

    def __init__(self, interval: float | None, syncer: Syncer, clock: Clock) -> None:
        """``interval`` is in seconds: ``None`` never syncs, 0 makes replies wait for the sync."""
        self._interval = interval
        self._syncer = syncer
        self._clock = clock
        self.touched: list[Journal] = []
        """Journals that have something to be committed."""
        self._unsynced: dict[Journal, None] = {}
        self._begun = 0
        self._closing = False
        self._hurried = False
        self.finished = 0
        """The ticket of the last batch that was synced."""
        self._sync_due: float | None = None
        self._heal_due: float | None = None
        self.syncs = 0
        """Times that one journal was synced since the server started."""
        self.failures = 0
        """Writes and syncs that failed since the server started."""
        self.healed = 0
        """Times that a journal was saved into a fresh segment since the server started."""
        self.broken: dict[Journal, None] = {}
        """Journals that take nothing for now, in the order in which they broke."""

    def touch(self, journal: Journal) -> None:
        """Take part in the next commit."""
        self.touched.append(journal)

    def broke(self, journal: Journal, wait: float = 0) -> None:
        """Heal a journal in so many seconds, or sooner; again and again, if need be."""
        due = self._clock.monotonic + wait
        self._heal_due = due if self._heal_due is None else min(due, self._heal_due)
        self.broken[journal] = None

    def hurry(self) -> None:
        """Let the next commit begin its sync as soon as it can, though nobody has to wait."""
        self._hurried = True

    def forget(self, journal: Journal) -> None:
        """Do nothing more for a journal that was removed."""
        self._unsynced.pop(journal, None)
        self.broken.pop(journal, None)

    @property
    def sync_due(self) -> float | None:
        """When the next sync can begin, on the monotonic clock, if one is due at all."""
        if self._begun != self.finished:
            return None
        if self._sync_due is None or self._heal_due is None:
            return self._heal_due if self._sync_due is None else self._sync_due
        return min(self._sync_due, self._heal_due)

    def commit(self) -> Committed:
        """Write every touched journal, tell its owner, and begin a sync if it is time for one."""
        touched, self.touched = self.touched, []
        failed = []
        for journal in touched:
            owner = journal.owner
            try:
                journal.write()
            except JournalError:
                failed.append(journal)
                self.failures += 1
                if journal.needs_sync:
                    self._unsynced[journal] = None  # a segment was begun before
                if owner is not None:
                    owner.on_rolled_back()
                continue
            if owner is not None:
                owner.on_committed()
            if journal.syncs:
                self._unsynced[journal] = None
            else:
                journal.after_safe()
        ticket = 0
        if self._interval == 0 and self._unsynced:
            ticket = self._begun + 1
            if self._begun == self.finished and not self._closing:
                self._begin_sync()
        elif self._interval is not None and self._unsynced:
            if self._hurried:
                self._sync_due = self._clock.monotonic
            elif self._sync_due is None:
                self._sync_due = self._clock.monotonic + self._interval
        self._hurried = False
        return Committed(frozenset(failed), ticket) if failed or ticket else _PLAIN

    def sync_if_due(self) -> None:
        """Begin the sync of the interval when its time has come and none is running."""
        if (due := self.sync_due) is not None and due <= self._clock.monotonic:
            self._begin_sync()

    def finish(self, batch: Batch) -> frozenset[Journal]:
        """Take a batch that the syncer has finished.

        Returns the journals that could not be synced though replies waited for that: what they
        were asked for since their last sync is not done.
        """
        self.finished = batch.ticket
        failed = set(batch.undone)
        for (journal, work), error in zip(batch.work, batch.errors, strict=True):
            healing = isinstance(work, Healing)
            self.syncs += not healing
            journal.end_sync(work, error)
            if journal.broken is None:
                self.healed += healing
                self.broken.pop(journal, None)
            else:
                self.failures += 1
                if healing:
                    self.broke(journal, HEAL_AGAIN)
                elif self._interval == 0:
                    failed.add(journal)
        if self._interval == 0 and self._unsynced and not self._closing:
            self._begin_sync()
        return frozenset(failed) if failed else _NOTHING_FAILED

    def sync_everything(self, finished: Iterable[Batch] = ()) -> None:
        """Take the batches that the syncer finished last, and sync here and now what they left.

        This is for the end of a server; nothing may be committed afterwards.
        """
        self._closing = True
        for batch in finished:
            self.finish(batch)
        for _ in range(2):  # what fails the first time is healed the second time
            batch = self._batch()
            batch.run()
            self.finish(batch)

    def _begin_sync(self) -> None:
        self._syncer.submit(self._batch())

    def _batch(self) -> Batch:
        """Return the work for all that is not safe."""
        self._begun += 1
        self._sync_due = self._heal_due = None
        batch = Batch(self._begun, [])
        unsynced, self._unsynced = self._unsynced, {}
        for journal in (*unsynced, *(each for each in self.broken if each not in unsynced)):
            work = journal.begin_sync()
            if work is not None:
                batch.work.append((journal, work))
        if self._interval == 0:
            batch.undone = frozenset(each for each in unsynced if each.broken is not None)
        return batch
