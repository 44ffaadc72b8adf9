"""The spool: the directory that holds every queue's journal, and the lock on it.

Each queue has a directory of its own under a file-safe name, so no queue's name ever reaches the
file system as it is. The lock keeps a second server out. Files and directories that this server did
not make are left alone. No link is followed below the spool, which may be one itself.

A queue that cannot be read back is *refused*, and nothing of it is changed; all others are served.
"""

import errno
import functools
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import attrs

from starling_py.journal import directory_names, snapshots
from starling_py.journal.commit import GroupCommit, Together
from starling_py.journal.disk import failed_syncs, id_floor, reserve, spool_lock
from starling_py.journal.disk.background import Background, Hold
from starling_py.journal.disk.files import NO_ROOM, Files
from starling_py.journal.disk.id_floor import IdFloor
from starling_py.journal.disk.no_files import SEGMENT_SIZE, NoFiles, NoReserve
from starling_py.journal.disk.open_files import OpenFiles
from starling_py.journal.disk.removed_directories import RemovedDirectories
from starling_py.journal.disk.reserve import Reserve
from starling_py.journal.disk.spool_lock import RESTORED, SpoolLock
from starling_py.journal.errors import (
    JournalDamagedError,
    JournalError,
    NotPlainError,
    SpoolError,
    UnnotedSyncError,
)
from starling_py.journal.format import segment
from starling_py.journal.format.segment import Segment
from starling_py.journal.journal import Journal
from starling_py.journal.ledger import Ledger
from starling_py.journal.log import log as spool_log
from starling_py.journal.log import replay
from starling_py.journal.log.log import Log
from starling_py.journal.log.replay import LogFound
from starling_py.journal.lost_names import LostNames
from starling_py.journal.recovery.examination import Recovered
from starling_py.journal.recovery.recovery import recover
from starling_py.journal.shared import Durability, Shared
from starling_py.journal.snapshots import Image, Snapshots
from starling_py.journal.syncing import Place

log = logging.getLogger(__name__)

LOCK = spool_lock.NAME
OWN_FILES = frozenset(
    {
        LOCK,
        reserve.NAME,
        id_floor.NAME,
        id_floor.UNFINISHED,
        *spool_log.NAMES,
        snapshots.DIRECTORY,
        directory_names.POSITION,
    }
)
"""The server's own files in a spool, beside the directories of queues."""
IDLE_FILES = 64
"""The most idle files that are closed each time."""
MANY = 64
"""Entries of a spool that a start syncs with one call for the whole file system: of fewer, each is
synced by itself, as others may have much to write there."""
SEALED_SIZE = 1 << 18
"""Bytes of a last segment that a clean stop leaves; of a larger one, a start would take longer."""

Found = tuple[Journal, list[Segment]]
"""A journal that was read back, and the segments that the caller has to give up, as they cannot be
read; there are none without ``quarantine``."""


@attrs.define
class Spool:
    """One directory of journals, locked for this process while it is open."""

    files: Files
    path: str
    durability: Durability
    commits: GroupCommit
    background: Background
    lock: SpoolLock
    reserve: Reserve
    ids: IdFloor
    """Where the ids of new queues begin."""
    removed: RemovedDirectories
    open_files: OpenFiles
    log: Log | None = None
    """What makes safe what several journals have written, under a policy that syncs."""
    quarantine: bool = False
    """Whether older segments that are damaged are given up, and the rest of a queue is served."""
    refused: dict[str, str] = attrs.field(factory=dict)
    """Why queues could not be read back, by the names of their directories."""
    _unnoted: dict[str, set[str]] = attrs.field(factory=dict)
    """Segments whose sync failed without a note of it, by the names of their directories."""
    snapshots: Snapshots = attrs.field(init=False)
    _hold: Hold = attrs.field(factory=Hold)
    """Whether files must stay as they are, as a snapshot is taken."""
    _lost_names: LostNames = attrs.field(init=False)
    _log_found: LogFound = attrs.field(factory=LogFound)
    """What the log of the server before this one tells."""
    _taken: bool = False
    """Whether another spool has taken the place of this one, perhaps that of another server."""
    _first_id_in_memory: int = 1
    """Every id of a removed queue in memory is below this."""
    _stuck: set[Journal] = attrs.field(factory=set)
    """Journals of deleted queues that could not be removed; each is logged once."""

    def __attrs_post_init__(self) -> None:
        self._lost_names = LostNames(self.files, self.background)
        self.snapshots = Snapshots(
            self.files, self.path, self.background, self._hold, self._troubles
        )

    @classmethod
    def open(
        cls,
        files: Files,
        path: str,
        durability: Durability,
        commits: GroupCommit,
        background: Background,
        *,
        quarantine: bool = False,
        open_files: int = 256,
    ) -> "Spool":
        """Create the directory if it is missing, and lock it. Raises ``SpoolError``.

        ``open_files``: how many journals may keep a segment open.
        """
        try:
            make_path(files, path, syncs=durability.syncs)
            lock = SpoolLock(files, path)
        except BlockingIOError as error:
            raise SpoolError(f"{path}: another server is using this spool") from error
        except OSError as error:
            raise SpoolError(_unusable(path, error)) from error
        if _is_half_restored(files, path):
            lock.close()
            raise SpoolError(
                f"{path}: a restore was killed here; give its command again, as in: starling-ctl"
                f" restore DIR {path}"
            )
        syncs = durability.syncs
        if syncs:
            commits.together = Together(lock.sync_all, lambda: lock.device, durability.together)
        try:
            ids = IdFloor(files, path, syncs=syncs)
        except (OSError, JournalDamagedError) as problem:
            lock.close()
            raise SpoolError(
                f"{_reason(problem)}. Nothing was changed; put back a copy of it, or remove it when"
                " no client remembers an item of a deleted queue by its id"
            ) from problem
        room = Reserve(files, path)
        removed = RemovedDirectories(files, path, background, room, ids, syncs=syncs)
        limit = OpenFiles(open_files)
        if syncs and durability.log_size:
            commits.log = Log(
                files,
                path,
                background,
                lock.is_held,
                size=durability.log_size,
                most=max(open_files // 2, 1),
                least=1 if durability.waits else 2,
                worth=durability.log_worth,
            )
        return cls(
            files,
            path,
            durability,
            commits,
            background,
            lock,
            room,
            ids,
            removed,
            limit,
            commits.log,
            quarantine,
        )

    def close(self) -> None:
        """Release the lock, and the room that was reserved."""
        if self.log is not None:
            self.log.close()
        self.removed.close()
        self.reserve.close()
        self.lock.close()

    def look_for_lost_names(
        self, journals: Sequence[Journal], all_journals: Callable[[], Sequence[Journal]]
    ) -> Iterator[None]:
        """See whether files were removed, moved or replaced under the server; mend what can be.

        It looks at the spool's own files, and at those of ``journals`` in the background; nothing
        is written any more for all of them if another server may have the spool.
        """
        if self._taken:
            return  # and it stays so, even if that server ends: what is in it was never read here
        try:
            # The lock first: nothing is written into a directory that another server may have.
            for name, mend in (
                (LOCK, self.lock.mend),
                (id_floor.NAME, self.ids.mend),
                (reserve.NAME, self.reserve.mend),
            ):
                if mend():
                    log.critical("%s/%s: was removed or replaced; made anew", self.path, name)
        except BlockingIOError:
            log.critical("%s: is another spool now; nothing more is written", self.path)
            self._taken = True
            for journal in all_journals():
                journal.stop_writing("the spool was replaced by another one")
            return
        except OSError as error:
            log.critical("%s: cannot be made whole: %s", self.path, error)
        yield from self._lost_names.look(journals)

    def recover(self) -> list[Found]:
        """Read every journal of the spool back, in the order of their directories' names.

        Those that cannot be read are among them, refused. Raises ``SpoolError`` when the spool
        itself cannot be read.
        """
        found = []
        try:
            entries = self.files.list_directory(self.path)
            if directory_names.POSITION in entries:
                self._leave_group()
            synced = self._sync_all(entries)
            self._log_found = replay.read(
                self.files, self.path, entries, quarantine=self.quarantine
            )
            for entry in self.removed.take_up(each for each in entries if each not in OWN_FILES):
                each = self._recover(entry, synced=synced)
                if each is not None:
                    found.append(each)
            self._sync_names(found)
            self._end_replay()
            if snapshots.DIRECTORY in entries:
                self.snapshots.clean()
        except JournalDamagedError as damage:
            raise SpoolError(
                f"{damage}. Nothing was changed; start with quarantine: true to give that up"
            ) from damage
        except OSError as error:
            raise SpoolError(f"{error.filename or self.path}: {error.strerror or error}") from error
        self.reserve.changed(sum(journal.ledger.items for journal, _ in found))
        self.reserve.restore()
        return found

    def recover_refused(self, entry: str) -> Found | None:
        """Try again to read back a queue that is refused, by the name of its directory.

        Returns ``None`` if there is no queue any more; if it still cannot be read, one that is
        refused.
        """
        del self.refused[entry]
        found = self._recover(entry)
        if found is None or entry in self.refused:
            return found
        try:
            self._sync_names([found])
        except OSError as error:
            return self._refuse(entry, f"{self.path}/{entry}", error)
        self.reserve.changed(found[0].ledger.items)
        return found

    def refused_journal(self, queue: bytes) -> Journal | None:
        """Return a journal that refuses everything if that is so for this queue, else ``None``."""
        entry = directory_names.directory_name(queue)
        why = self.refused.get(entry)
        return None if why is None else self._refused(queue, f"{self.path}/{entry}", why)

    def journal(self, queue: bytes) -> Journal:
        """Return the journal of a new queue; nothing is on disk before its first write."""
        return self._new_journal(queue, self._shared, self.ids.first_id)

    def journal_in_memory(self, queue: bytes, now_ms: int) -> Journal:
        """Return the journal of a new queue of which nothing is ever on disk.

        ``now_ms``: milliseconds since the Unix epoch. After a restart nothing tells how far the ids
        had come. So they begin with the time, in microseconds: no server puts more than one item a
        microsecond, so no id comes twice, unless the clock is set back.
        """
        shared = attrs.evolve(
            self._shared,
            files=NoFiles(),
            durability=Durability(syncs=False, segment_size=SEGMENT_SIZE),
            reserve=NoReserve(),
            open_files=OpenFiles(1),
        )
        first_id = max(now_ms * 1000, self._first_id_in_memory, self.ids.first_id)
        return self._new_journal(queue, shared, first_id)

    def take_snapshot(
        self,
        name: str,
        journals: Iterable[Journal],
        done: Callable[[JournalError | None], None],
    ) -> None:
        """Begin a snapshot of what is written in all journals at this moment.

        ``done`` is called in the tick, with the reason if there is none. Raises ``JournalError``.
        """
        if self._taken or not self.lock.is_held():
            raise JournalError("the spool was replaced by another one")
        if self.commits.broken:
            raise JournalError("the files of some queue are being written anew; try again")
        images = [Image(f"{self.path}/{entry}") for entry in self.refused]
        for journal in journals:
            image = journal.image()
            if image is not None:
                images.append(image)
        self.snapshots.take(name, images, self.ids.noted, done)

    def free_space(self) -> int:
        """Return how many bytes of the disk are free. Raises ``OSError``."""
        return self.files.free_space(self.path)

    def disk_size(self) -> int:
        """Return how many bytes the disk has; 0 if it cannot be asked."""
        try:
            return self.files.disk_size(self.path)
        except OSError:
            return 0

    def remove(self, journal: Journal) -> bool:
        """Remove the journal of a deleted queue; return whether its directory is out of its place.

        It stays there while anything is at work in it, or a snapshot is taken. If it cannot be
        moved, that is logged. The caller may try again later. Once renamed, the directory is
        removed in the background; what is left of it goes at the next start.
        """
        on_disk = journal.size > 0
        if on_disk and (self._hold.held or journal.at_work):
            return False
        next_id = journal.recorder.pending.pushed_id + 1
        try:
            if on_disk:
                self.removed.take_away(journal.path, next_id)
        except OSError as error:
            if journal not in self._stuck:
                log.warning("%s: cannot be removed for now: %s", journal.path, error)
            self._stuck.add(journal)
            return False
        journal.start_over()
        self._stuck.discard(journal)
        self.commits.forget(journal)
        if journal.in_memory:
            self._first_id_in_memory = max(self._first_id_in_memory, next_id)
        return True

    def tidy(self) -> None:
        """Do a little of what has to be done now and then."""
        self.open_files.close_idle(IDLE_FILES)
        self.reserve.tidy()
        self.removed.tidy()

    def _new_journal(self, queue: bytes, shared: Shared[Journal], first_id: int) -> Journal:
        directory = f"{self.path}/{directory_names.directory_name(queue)}"
        salt = self.files.random_bits()
        place = Place(shared.files, directory, queue, salt, shared.durability.syncs)
        if shared.files is self.files:
            place = replace(place, is_ours=self.lock.is_held)
        return Journal(shared, place, Ledger.of_new_queue(first_id))

    @functools.cached_property
    def _shared(self) -> Shared[Journal]:
        return Shared(
            self.files,
            self.durability,
            self.commits.touch,
            self.commits.broke,
            self.commits.lost,
            self.commits.hurry,
            self.background,
            self.reserve,
            self.open_files,
            self.log,
            self._hold,
        )

    def _troubles(self) -> tuple[int, int, int]:
        """Return what changes whenever what is read of some journal's files may be wrong."""
        commits = self.commits
        return commits.failures, commits.lost_files, len(self.refused)

    def _leave_group(self) -> None:
        """Forget how far a stream had come: what is done here, the stream does not know.

        The files of a server that is one of a group do not show it.
        """
        log.warning("%s: was one of a group's; it is served alone now", self.path)
        self.files.unlink(f"{self.path}/{directory_names.POSITION}")
        self.files.sync_directory(self.path)

    def _end_replay(self) -> None:
        """Remove the log of the server before this one, unless it is still needed."""
        found = self._log_found
        found.forget_but(self.refused)
        if found.patches:
            log.warning("%s: the log is kept, as a queue that it tells of is refused", self.path)
            if self.log is not None:
                self.log.disable()
            return
        found.remove(self.files)
        if found.paths:
            self.files.sync_directory(self.path)

    def _sync_all(self, entries: Sequence[str]) -> bool:
        """Sync all that is there with one call, if that is worth it; return whether it was done.

        If it fails, each queue is synced by itself, so that the failure costs that queue alone.
        """
        if not self.durability.syncs or len(entries) < MANY:
            return False
        try:
            return self.files.sync_file_system(self.path)
        except OSError as error:
            log.warning("%s: cannot be synced as a whole: %s", self.path, error)
            return False

    def _recover(self, entry: str, *, synced: bool = False) -> Found | None:
        """Read one entry of the spool back; return ``None`` if there is no queue in it.

        ``synced``: whether all that is there was synced. A queue that cannot be read is refused,
        whatever the reason. The directory of a deleted queue is removed.
        """
        path = f"{self.path}/{entry}"
        if not directory_names.is_directory_name(entry):
            log.warning("%s: not a journal of this server; left alone", _printable(path))
            return None
        try:
            state = self._read_back(entry, path, synced) if self._is_directory(path) else None
        except (OSError, JournalDamagedError, MemoryError) as problem:
            return self._refuse(entry, path, problem)
        except Exception as defect:
            # What nobody has thought of ends no more than what it is met in.
            log.exception("%s: a defect was met in reading it", path)
            return self._refuse(entry, path, defect)
        if state is None:
            return None
        journal = self._journal(path, state)
        if state.ledger.deleted:
            try:
                self.removed.take_away(path, state.ledger.next_id)
            except OSError as error:
                log.warning("%s: cannot be removed for now: %s", path, error)
            else:
                return None
        return journal, [each for each, _ in state.lost]

    def _refuse(self, entry: str, path: str, problem: Exception) -> Found | None:
        """Refuse a queue; return its journal, if the queue's name can be told."""
        why = _reason(problem)
        if isinstance(problem, UnnotedSyncError):
            self._unnoted.setdefault(entry, set()).add(problem.path)
        self.refused[entry] = f"the queue is refused: {why}"
        log.log(
            # Mostly what is no directory was never meant to be a queue.
            logging.WARNING if isinstance(problem, NotPlainError) else logging.ERROR,
            "%s. The queue is refused and left as it is, all others are served; put that right, or"
            " move %s out of the spool, then reload or restart",
            why,
            path,
        )
        queue = directory_names.queue_name(entry)
        if queue is None:
            return None
        return self._refused(queue, path, self.refused[entry]), []

    def _refused(self, queue: bytes, path: str, why: str) -> Journal:
        place = Place(self.files, path, queue, 0, self.durability.syncs)
        journal = Journal(self._shared, place, Ledger())
        journal.refuse(why)
        return journal

    def _read_back(self, entry: str, path: str, synced: bool) -> Recovered | None:
        """Read a queue's directory back. Raises ``OSError`` and ``JournalDamagedError``.

        What the log of the server before this one tells is written into it first. An empty
        directory is removed.
        """
        for each in self._unnoted.get(entry, ()):
            failed_syncs.make_note(self.files, each)
        self._unnoted.pop(entry, None)
        self._log_found.apply(self.files, self.path, entry)
        # A queue's directory may be a mount point, and its file system was not synced then.
        synced = synced and self.files.identity(path)[0] == self.lock.device
        for attempt in range(3):
            try:
                state = recover(
                    self.files,
                    path,
                    is_right=lambda queue: directory_names.directory_name(queue) == entry,
                    syncs=self.durability.syncs,
                    synced=synced,
                    quarantine=self.quarantine,
                )
                break
            except OSError as error:
                # A torn tail is copied to a file of its own. That needs room, and an inode.
                if error.errno not in NO_ROOM or not self._lend(attempt):
                    raise
        if state is None:
            self._remove_if_empty(path)
        return state

    def _lend(self, attempt: int) -> bool:
        """Give up reserved room; return whether to try again: room first, then an inode."""
        if attempt:
            return attempt == 1 and self.reserve.lend_file()
        self.reserve.lend(self.durability.segment_size, removals_only=True)
        return True

    def _is_directory(self, path: str) -> bool:
        """Tell whether there is a directory; ``False`` if there is nothing any more.

        Raises ``OSError``, and ``NotPlainError`` if something else is there.
        """
        try:
            if self.files.is_directory(path):
                return True
            kind = self.files.kind(path)
        except FileNotFoundError:
            return False
        raise NotPlainError(errno.ENOTDIR, f"this is {kind}, not a queue's directory", path)

    def _sync_names(self, found: list[Found]) -> None:
        """Make the names of directories safe, as those who made them may have died before that."""
        if self.durability.syncs and any(not journal.refused for journal, _ in found):
            self.files.sync_directory(self.path)

    def _journal(self, path: str, state: Recovered) -> Journal:
        place = Place(
            self.files, path, state.queue, state.salt, self.durability.syncs, self.lock.is_held
        )
        old = state.header.version < segment.VERSION
        return Journal(self._shared, place, state.ledger, must_begin=old)

    def _remove_if_empty(self, path: str) -> None:
        try:
            self.files.remove_directory(path)
        except OSError as error:
            log.warning("%s: holds no journal; left alone: %s", path, error.strerror or error)
        else:
            log.warning("%s: was empty; removed", path)


def _reason(problem: Exception) -> str:
    if isinstance(problem, MemoryError):
        return "there is not enough memory to read it"
    if isinstance(problem, OSError):
        where = f"{problem.filename}: " if problem.filename else ""
        return f"{where}{problem.strerror or problem}"
    if isinstance(problem, JournalDamagedError):
        return str(problem)
    return f"{type(problem).__name__}: {problem}"


def _printable(path: str) -> str:
    """Return a foreign path as it can stand in a line of a log."""
    return path if path.isprintable() else ascii(path)[1:-1]


def _is_half_restored(files: Files, path: str) -> bool:
    """Tell whether a restore was killed while it moved queues into their places."""
    try:
        files.identity(f"{path}/{RESTORED}")
    except OSError:
        return False
    return True


def _unusable(path: str, error: OSError) -> str:
    """Say why a spool cannot be made or locked, and what to do."""
    reason = error.strerror or str(error)
    if isinstance(error, NotPlainError):
        return f"{error.filename}: {reason}"
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        return f"{path}: the spool must be a folder, and this is none ({reason}); see queue_path"
    if isinstance(error, PermissionError):
        return f"{path}: this user cannot use the spool ({reason}); see queue_path, -q DIR"
    return f"{path}: {reason}"


def make_path(files: Files, path: str, *, syncs: bool) -> None:
    """Create a directory and those above it; sync each in its parent if it ``syncs``."""
    parent = path.rpartition("/")[0]
    try:
        if files.leads_to_directory(path):
            return
    except FileNotFoundError:
        if parent:
            make_path(files, parent, syncs=syncs)
    files.make_directory(path)
    if syncs:
        files.sync_directory(parent or "/")
