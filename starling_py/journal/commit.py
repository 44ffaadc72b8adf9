"""Group commit: one write per touched journal, then one sync for all replies that wait.

Under ``always``, a reply that depends on a write waits for the sync that covers it. Syncs run where
the ``Syncer`` runs them, one batch at a time, and each covers all that was written before it began.
Under an interval no reply waits: what was written is synced at that interval. Under ``never``
nothing is synced. Journals whose file went bad are healed by the same batches. This module decides
when; it never touches a socket. An error that nobody foresaw costs the journal that it was met in
a healing, and those who asked something of it an error: the other journals are committed.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from mypy_extensions import mypyc_attr

from starling_py.clock import Clock
from starling_py.guard import Guard
from starling_py.journal.errors import JournalError, unforeseen
from starling_py.journal.healing import Healing
from starling_py.journal.journal import Journal
from starling_py.journal.log.batch import Written
from starling_py.journal.log.log import Entry, Log
from starling_py.journal.syncing import Syncing

log = logging.getLogger(__name__)

AT_ONCE: Final = 64
"""Journals that one batch syncs where no reply waits for it: more would keep the tick too long."""
HEAL_AGAIN = 1.0
"""Seconds from one attempt to heal a journal to the next."""


class Syncer(Protocol):
    """Where syncs run."""

    def submit(self, batch: "Batch") -> None:
        """Run ``batch``, at once or in another thread; the tick then gives it to ``finish``."""

    def close(self) -> "list[Batch]":
        """Wait for what was submitted; return the batches that ``finish`` was not given yet."""


class Together:
    """Syncs many files of one file system with one call, safe in any thread.

    Of a new queue, two files and two directories would have to be synced one by one, which takes
    milliseconds on many disks.
    """

    def __init__(self, sync_all: Callable[[], bool], device: Callable[[], int], least: int) -> None:
        """``sync_all`` syncs everything on a device; it returns ``False`` if it cannot tell.

        ``least``: how many it has to be for that to be worth it.
        """
        self._sync_all = sync_all
        self._device = device
        self._least = least

    def sync_files(self, syncings: Sequence[Syncing]) -> None:
        """Sync the files of all that the log does not do, if there are many of them."""
        device = self._device()
        those = [
            each
            for each in syncings
            if not each.logged and all(found[0] == device for found in each.identities)
        ]
        if len(those) >= self._least and self.sync():
            for each in those:
                each.together = True

    def sync(self) -> bool:
        """Sync everything; return whether it is known that all of it is safe."""
        try:
            return self._sync_all()
        except OSError as error:
            log.warning("the spool cannot be synced as a whole: %s", error)
            return False


@dataclass
class Batch:
    """Journals that are synced together."""

    ticket: int
    """The number of this batch, from 1."""
    work: list[tuple[Journal, Syncing | Healing]]
    """Each journal with its sync, or with its healing if it is broken."""
    undone: frozenset[Journal] = frozenset()
    """Under ``always``: journals that broke after a write whose replies wait for this batch. The
    healing takes back what was not safe, so those replies tell of a failure."""
    errors: list[OSError | None] = field(default_factory=list)
    """After ``run``, the outcome of each piece of ``work``."""
    entry: Entry | None = None
    """What goes into the log, and makes safe what is ``logged``; ``None`` if nothing does."""
    logged: list[Syncing] = field(default_factory=list)
    """Those of the syncs that the log does."""
    together: Together | None = None
    """What syncs many files with one call; ``None`` if nothing does."""

    @property
    def is_plain(self) -> bool:
        """Whether it takes no more than one file sync for each journal."""
        return all(isinstance(work, Syncing) and work.is_plain for _, work in self.work)

    @property
    def syncs(self) -> int:
        """How many files are synced if nothing fails: the log counts as one."""
        return len(self.work) - len(self.logged) + (self.entry is not None)

    def run(self) -> None:
        """Sync or heal one journal after the other, and keep each outcome; safe in any thread.

        The log comes first. If it fails, each journal is synced itself. Many that are not in the
        log are synced together; if that fails, each of them is synced itself, which tells whose
        files are bad.
        """
        if self.entry is not None:
            self.entry.run()
            for each in self.logged:
                each.logged = self.entry.error is None
        if self.together is not None:
            self.together.sync_files([work for _, work in self.work if isinstance(work, Syncing)])
        self.errors = [_outcome(work.run) for _, work in self.work]
        self._sync_names()

    def _sync_names(self) -> None:
        """Sync the names that were given by those that are synced together."""
        several = [
            (at, work)
            for at, (_, work) in enumerate(self.work)
            if isinstance(work, Syncing) and work.together and work.has_names
        ]
        given = [each for each in several if self.errors[each[0]] is None]
        if self.together is None or not given:
            return
        if self.together.sync():
            for _, work in given:
                work.mark_end()
            return
        for at, work in given:
            self.errors[at] = _outcome(work.sync_names)


def _outcome(do: Callable[[], None]) -> OSError | None:
    """Do something that can fail; return what went wrong."""
    try:
        do()
    except OSError as error:
        return error
    except Exception as defect:
        # Out of memory, say. Nobody knows what is safe: as bad as a sync that failed.
        return unforeseen(defect)
    return None


class Committed:
    """The outcome of one commit."""

    def __init__(self, failed: frozenset[Journal], ticket: int) -> None:
        self.failed = failed
        """Journals whose operations since the last commit could not be written."""
        self.ticket = ticket
        """The ticket of the batch that replies have to wait for; 0 when they need not wait."""


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
        self.together: Together | None = None
        """What syncs many journals with one call; ``None`` if nothing does."""
        self.log: Log | None = None
        """What makes safe what several journals have written; ``None`` if nothing does."""
        self.guard = Guard()
        """Is told of errors that must not end what is done for other journals and queues."""
        self.touched: list[Journal] = []
        """Journals with records for the next commit, each once."""
        self._unsynced: OrderedDict[Journal, None] = OrderedDict()
        self._begun = 0
        self._closing = False
        self._hurried = False
        self.finished = 0
        """The ticket of the last batch that ``finish`` was given."""
        self._sync_due: float | None = None
        self._heal_due: float | None = None
        self.syncs = 0
        """Syncs since the server started: a batch of three journals counts as three, or, where the
        log makes them safe, as one."""
        self.failures = 0
        """Writes and syncs that failed since the server started."""
        self.healed = 0
        """Times that a journal was saved into a fresh segment since the server started."""
        self.lost_files = 0
        """Times that a journal's files were found to have lost their names under the server."""
        self.broken: dict[Journal, None] = {}
        """Journals that take no records until they are healed, in the order in which they broke."""

    def touch(self, journal: Journal) -> None:
        """Write ``journal`` in the next commit: its first record since its last write was added."""
        self.touched.append(journal)

    def broke(self, journal: Journal, wait: float = 0) -> None:
        """Heal ``journal`` with the next batch, which begins in ``wait`` seconds at the latest."""
        due = self._clock.monotonic + wait
        self._heal_due = due if self._heal_due is None else min(due, self._heal_due)
        self.broken[journal] = None

    def lost(self) -> None:
        """Count that files of a journal have lost their names."""
        self.lost_files += 1

    def hurry(self) -> None:
        """Make the interval's sync due with the next commit, if there is anything to sync then."""
        self._hurried = True

    def forget(self, journal: Journal) -> None:
        """Neither sync nor heal ``journal`` any more: it was removed."""
        self._unsynced.pop(journal, None)
        self.broken.pop(journal, None)
        if self.log is not None:
            self.log.let_go(journal)

    @property
    def must_wait(self) -> bool:
        """Whether what is recorded now had better not be written yet: under ``always``.

        The batch under way does not cover it, so whoever asked has to wait for the next one. If it
        were written at once, a server that dies meanwhile would leave the removals of items that
        nobody was given; written when the batch has ended, they are on the disk for one sync only.
        """
        return self._interval == 0 and self._begun != self.finished and not self._closing

    @property
    def next_ticket(self) -> int:
        """The ticket of the batch that will cover what is recorded now."""
        return self._begun + 1

    @property
    def sync_due(self) -> float | None:
        """When the next batch has to begin, in seconds on the monotonic clock.

        ``None`` while a batch is under way, and while nothing is due.
        """
        if self._begun != self.finished:
            return None
        if self._sync_due is None or self._heal_due is None:
            return self._heal_due if self._sync_due is None else self._sync_due
        return min(self._sync_due, self._heal_due)

    def commit(self) -> Committed:
        """Write every touched journal, tell its owner, and begin or plan the sync.

        For each journal, the order is the write, then ``on_committed``, then ``after_safe``:

        - The write comes first: until the records are in the file, no client may be told of them.
          If it fails, ``on_rolled_back`` makes the queue what the ledger says, and the ledger knows
          nothing of this commit.
        - ``on_committed`` makes the operations final. ``after_safe`` builds on that: it answers
          those that wait for a sync, and it removes a deleted queue, but only if the deletion is
          final.
        - ``after_safe`` follows at once only where nothing is ever synced; elsewhere ``end_sync``
          calls it. It may record more, as when a move goes on, and so touch journals again: the
          tick commits until none is touched.

        The sync begins after the loop, so that one batch covers all that was written.
        """
        touched, self.touched = self.touched, []
        failed = []
        for journal in touched:
            try:
                if not self._write(journal):
                    failed.append(journal)
            except Exception as defect:
                self.guard.caught("a commit")
                journal.distrust(defect)
                failed.append(journal)
        ticket = 0
        if self._interval == 0 and self._unsynced:
            # A batch under way began before these writes, so the next one covers them; ``finish``
            # begins it.
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

    def _write(self, journal: Journal) -> bool:
        """Write a journal and tell its owner; return whether its records were written."""
        owner = journal.owner
        try:
            journal.write()
        except JournalError:
            self.failures += 1
            if journal.needs_sync:
                # Only the records were not written: a segment was begun for them, and without
                # a sync it would not get its name before the next write.
                self._unsynced[journal] = None
            if owner is not None:
                owner.on_rolled_back()
            return False
        try:
            if owner is not None:
                owner.on_committed()
            if not journal.syncs:
                journal.after_safe()
        except Exception:
            self.guard.caught("what follows a commit")  # the records are written all the same
        if journal.syncs:
            self._unsynced[journal] = None
            # A batch under way may be about to give its files their names.
            if owner is not None and owner.deleted and self._begun == self.finished:
                try:
                    journal.tell_if_never_safe()
                except Exception:
                    self.guard.caught("what follows a deletion")
        return True

    def sync_if_due(self) -> None:
        """Begin the next batch if its time has come and none is under way."""
        if (due := self.sync_due) is not None and due <= self._clock.monotonic:
            self._begin_sync()

    def finish(self, batch: Batch) -> frozenset[Journal]:
        """Take the outcome of a batch that the syncer has finished.

        Returns the journals that could not be synced though replies wait for that, under
        ``always``: their operations since the last sync that succeeded have failed.
        """
        self.finished = batch.ticket
        failed = set(batch.undone)
        spool_log, entry = self.log, batch.entry
        self.syncs += entry is not None
        if spool_log is not None and entry is not None and entry.error is not None:
            self.failures += 1
            spool_log.fail(entry.error)
        for (journal, work), error in zip(batch.work, batch.errors, strict=True):
            healing = isinstance(work, Healing)
            self.syncs += isinstance(work, Syncing) and not work.logged
            try:
                journal.end_sync(work, error)
            except Exception as defect:
                self.guard.caught("what follows a sync")
                if healing or error is not None:
                    journal.distrust(defect)
            if journal.broken is None:
                self.healed += healing
                self.broken.pop(journal, None)
                if spool_log is not None:
                    _note_behind(spool_log, entry, journal, work)
            else:
                self.failures += 1
                if healing:
                    self.broke(journal, HEAL_AGAIN)
                elif self._interval == 0:
                    failed.add(journal)
        if self._closing:
            pass
        elif self._interval == 0 and self._unsynced:
            self._begin_sync()
        elif spool_log is not None and spool_log.to_free():
            self._sync_due = self._clock.monotonic
        return frozenset(failed) if failed else _NOTHING_FAILED

    def sync_everything(self, finished: Iterable[Batch] = ()) -> None:
        """Sync here and now all that is not safe, at the end of a server.

        ``finished`` are the batches that ``Syncer.close`` returned. Nothing may be committed
        afterwards.
        """
        self._closing = True
        for batch in finished:
            self.finish(batch)
        for _ in range(2):  # what fails the first time is healed the second time
            for journal in self.broken:
                # Healed, it is as it was written: what was recorded since must not come on top.
                journal.drop(journal.failure)
            batch = self._batch()
            batch.run()
            self.finish(batch)

    def _begin_sync(self) -> None:
        self._syncer.submit(self._batch())

    def _batch(self) -> Batch:
        """Return the batch that makes safe all that is not, and heals what is broken."""
        self._begun += 1
        self._sync_due = self._heal_due = None
        batch = Batch(self._begun, [])
        if self._interval and not self._closing and len(self._unsynced) > AT_ONCE:
            # The others follow as soon as these are safe.
            unsynced = OrderedDict(self._unsynced.popitem(last=False) for _ in range(AT_ONCE))
            self._sync_due = self._clock.monotonic
        else:
            unsynced, self._unsynced = self._unsynced, OrderedDict()
        behind = self._behind()
        those = dict.fromkeys((*unsynced, *self.broken, *behind))
        writes: list[Written] = []
        for journal in those:
            try:
                work = journal.begin_sync(itself=self.log is None or journal in behind)
                if work is not None:
                    batch.work.append((journal, work))
                if isinstance(work, Syncing) and work.written is not None:
                    writes.append(work.written)
                    batch.logged.append(work)
            except Exception as defect:
                self.guard.caught("the beginning of a sync")
                journal.distrust(defect)
        if self._interval == 0:
            batch.undone = frozenset(each for each in unsynced if each.broken is not None)
        if self.log is not None:
            batch.entry = self.log.entry(writes)
        if batch.entry is None:
            batch.logged.clear()
        batch.together = self.together
        return batch

    def _behind(self) -> dict[Journal, None]:
        """Return the journals whose files are synced now behind the log, some or at the end all."""
        spool_log = self.log
        if spool_log is None:
            return {}
        those = spool_log.everybody() if self._closing else spool_log.to_free()
        return dict.fromkeys(each for each in those if isinstance(each, Journal))


def _note_behind(
    spool_log: Log, entry: Entry | None, journal: Journal, work: Syncing | Healing
) -> None:
    """Note whether the log alone has what was made safe of a journal."""
    if entry is not None and isinstance(work, Syncing) and work.logged:
        spool_log.hold(entry, journal)
    else:
        spool_log.let_go(journal)
