"""The spool: the directory that holds every queue's journal, and the lock on it.

Each queue has a directory of its own under a file-safe name, so no queue's name ever reaches the
file system as it is. The lock keeps a second server out. Files and directories that this server did
not make are left alone.
"""

import errno
import logging
import re

import attrs

from starling_py.journal import directory_names
from starling_py.journal.commit import GroupCommit
from starling_py.journal.disk import id_floor, reserve
from starling_py.journal.disk.background import Background, DirectoryRemoval
from starling_py.journal.disk.files import Files
from starling_py.journal.disk.id_floor import IdFloor
from starling_py.journal.disk.no_files import SEGMENT_SIZE, NoFiles, NoReserve
from starling_py.journal.disk.open_files import OpenFiles
from starling_py.journal.disk.reserve import Reserve
from starling_py.journal.errors import JournalDamagedError, SpoolError
from starling_py.journal.format import segment
from starling_py.journal.format.segment import Segment
from starling_py.journal.journal import Journal
from starling_py.journal.ledger import Ledger
from starling_py.journal.recovery.examination import Recovered
from starling_py.journal.recovery.recovery import recover
from starling_py.journal.segment_writer import NO_ROOM
from starling_py.journal.shared import Durability, Shared
from starling_py.journal.syncing import Place

log = logging.getLogger(__name__)

LOCK = ".lock"
OWN_FILES = frozenset({LOCK, reserve.NAME, id_floor.NAME, id_floor.UNFINISHED})
"""The server's own files in a spool, beside the directories of queues."""
REMOVED = "~removed-"
"""Stands, with a number, behind the name of a directory that is being removed; ``~`` is in no
directory name of a queue."""
SEALED_SIZE = 1 << 18
"""Bytes of a last segment that a clean stop leaves; of a larger one, a start would take longer."""
_REMOVED_NAME = re.compile(rf"[^~]+{REMOVED}([0-9]+)\Z")


@attrs.define
class Spool:
    """One directory of journals, locked for this process while it is open."""

    files: Files
    path: str
    durability: Durability
    commits: GroupCommit
    background: Background
    lock: int
    """The descriptor that holds the lock."""
    reserve: Reserve
    ids: IdFloor
    """Where the ids of new queues begin."""
    open_files: OpenFiles
    quarantine: bool = False
    """Whether older segments that are damaged are given up, and the rest of a queue is served."""
    _removed: int = 0
    """The highest number given to a directory that is being removed."""
    _first_id_in_memory: int = 1
    """Every id of a removed queue in memory is below this."""
    _stuck: set[Journal] = attrs.field(factory=set)
    """Journals of deleted queues that could not be removed; each is logged once."""

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
            _make_path(files, path, durability)
            lock = files.lock(f"{path}/{LOCK}")
            try:
                ids = IdFloor(files, path, syncs=durability.syncs)
                room = Reserve(files, path)
            except (OSError, JournalDamagedError):
                files.close(lock)
                raise
        except BlockingIOError as error:
            raise SpoolError(f"{path}: another server is using this spool") from error
        except JournalDamagedError as damage:
            raise SpoolError(
                f"{damage}. Nothing was changed; put back a copy of it, or remove it when no client"
                " remembers an item of a deleted queue by its id"
            ) from damage
        except OSError as error:
            raise SpoolError(f"{path}: {error.strerror or error}") from error
        limit = OpenFiles(open_files)
        return cls(files, path, durability, commits, background, lock, room, ids, limit, quarantine)

    def close(self) -> None:
        """Release the lock, and the room that was reserved."""
        self.reserve.close()
        self.files.close(self.lock)

    def recover(self) -> list[tuple[Journal, list[Segment]]]:
        """Read every journal of the spool back, in the order of their directories' names.

        Returns each with the segments that the caller has to give up, as they cannot be read; there
        are none without ``quarantine``. Raises ``SpoolError`` when a journal is damaged: a server
        that does not start is better than one that loses items.
        """
        found = []
        path = self.path
        try:
            entries = self.files.list_directory(path)
            leftovers = [match for entry in entries if (match := _REMOVED_NAME.match(entry))]
            self._removed = max((int(match[1]) for match in leftovers), default=0)
            for entry in (entry for entry in entries if entry not in OWN_FILES):
                path = f"{self.path}/{entry}"
                state = self._recover(entry, path)
                if state is not None:
                    lost = [each for each, _ in state.lost]
                    found.append((self._journal(path, state), lost))
            path = self.path
            if found and self.durability.syncs:
                self.files.sync_directory(path)
        except JournalDamagedError as damage:
            raise SpoolError(
                f"{damage}. Nothing was changed; move {path} out of the spool to start without"
                " this queue, or put back a copy of it"
            ) from damage
        except OSError as error:
            raise SpoolError(f"{error.filename or path}: {error.strerror or error}") from error
        self.reserve.changed(sum(journal.ledger.items for journal, _ in found))
        self.reserve.restore()
        return found

    def journal(self, queue: bytes) -> Journal:
        """Return the journal of a new queue; nothing is on disk before its first write."""
        return self._new_journal(queue, self._shared(), self.ids.first_id)

    def journal_in_memory(self, queue: bytes, now_ms: int) -> Journal:
        """Return the journal of a new queue of which nothing is ever on disk.

        ``now_ms``: milliseconds since the Unix epoch. After a restart nothing tells how far the ids
        had come. So they begin with the time, in microseconds: no server puts more than one item a
        microsecond, so no id comes twice, unless the clock is set back.
        """
        shared = attrs.evolve(
            self._shared(),
            files=NoFiles(),
            durability=Durability(syncs=False, segment_size=SEGMENT_SIZE),
            reserve=NoReserve(),
            open_files=OpenFiles(1),
        )
        first_id = max(now_ms * 1000, self._first_id_in_memory, self.ids.first_id)
        return self._new_journal(queue, shared, first_id)

    def free_space(self) -> int:
        """Return how many bytes of the disk are free. Raises ``OSError``."""
        return self.files.free_space(self.path)

    def remove(self, journal: Journal) -> bool:
        """Remove the journal of a deleted queue; return whether its directory is out of its place.

        If not, that is logged, and the caller may try again later. Once renamed, the directory is
        removed in the background; what is left of it goes at the next start.
        """
        aside = self._aside(journal.path)
        on_disk = journal.size > 0
        next_id = journal.recorder.pending.pushed_id + 1
        try:
            if on_disk:
                # First: were the directory gone and the floor not raised, a new queue could give
                # out ids that clients remember.
                self._raise_ids_to(next_id)
            journal.remove_from(aside)
        except OSError as error:
            if journal not in self._stuck:
                log.warning("%s: cannot be removed for now: %s", journal.path, error)
            self._stuck.add(journal)
            return False
        self._stuck.discard(journal)
        self.commits.forget(journal)
        if journal.in_memory:
            self._first_id_in_memory = max(self._first_id_in_memory, next_id)
        if on_disk:
            self._remove_directory(aside)
        return True

    def _new_journal(self, queue: bytes, shared: Shared[Journal], first_id: int) -> Journal:
        directory = f"{self.path}/{directory_names.directory_name(queue)}"
        salt = self.files.random_bits()
        place = Place(shared.files, directory, queue, salt, shared.durability.syncs)
        return Journal(shared, place, Ledger.of_new_queue(first_id))

    def _raise_ids_to(self, next_id: int) -> None:
        """Raise the floor of the ids, on a full disk with reserved room. Raises ``OSError``."""
        try:
            self.ids.raise_to(next_id)
        except OSError as error:
            if error.errno not in NO_ROOM or not self.reserve.lend(0, removals_only=True):
                raise
            self.ids.raise_to(next_id)

    def _shared(self) -> Shared[Journal]:
        return Shared(
            self.files,
            self.durability,
            self.commits.touch,
            self.commits.broke,
            self.commits.hurry,
            self.background,
            self.reserve,
            self.open_files,
        )

    def _recover(self, entry: str, path: str) -> Recovered | None:
        """Read one entry of the spool back; return ``None`` if there is no queue in it.

        The directory of a deleted queue is removed.
        """
        is_directory = self._is_directory(path)
        if _REMOVED_NAME.match(entry) and is_directory:
            self._remove_directory(path)
            return None
        if not directory_names.is_directory_name(entry) or not is_directory:
            log.warning("%s: not a journal of this server; left alone", path)
            return None
        try:
            state = self._read_back(entry, path)
        except OSError as error:
            # A torn tail is copied to a file of its own, which needs room.
            if error.errno not in NO_ROOM or not self.reserve.lend(
                self.durability.segment_size, removals_only=True
            ):
                raise
            state = self._read_back(entry, path)
        if state is None:
            self._remove_if_empty(path)
        elif state.ledger.deleted:
            self._raise_ids_to(state.ledger.next_id)
            aside = self._aside(path)
            self.files.rename(path, aside)
            self._remove_directory(aside)
            return None
        return state

    def _read_back(self, entry: str, path: str) -> Recovered | None:
        return recover(
            self.files,
            path,
            is_right=lambda queue: directory_names.directory_name(queue) == entry,
            syncs=self.durability.syncs,
            quarantine=self.quarantine,
        )

    def _is_directory(self, path: str) -> bool:
        try:
            return self.files.is_directory(path)
        except FileNotFoundError:
            return False  # a link to nowhere

    def _journal(self, path: str, state: Recovered) -> Journal:
        place = Place(self.files, path, state.queue, state.salt, self.durability.syncs)
        old = state.header.version < segment.VERSION
        return Journal(self._shared(), place, state.ledger, must_begin=old)

    def _aside(self, path: str) -> str:
        """Return a path that is not taken, for a queue's directory that is being removed."""
        self._removed += 1
        return f"{path}{REMOVED}{self._removed}"

    def _remove_directory(self, aside: str) -> None:
        """Remove a renamed directory in the background, once the renaming is safe."""
        self.background.submit(DirectoryRemoval(self.files, aside, self.durability.syncs))

    def _remove_if_empty(self, path: str) -> None:
        try:
            self.files.remove_directory(path)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            log.warning("%s: holds no journal; left alone", path)


def _make_path(files: Files, path: str, durability: Durability) -> None:
    """Create a directory and those above it; sync each in its parent if the policy ever syncs."""
    parent = path.rpartition("/")[0]
    try:
        if files.is_directory(path):
            return
    except FileNotFoundError:
        if parent:
            _make_path(files, parent, durability)
    files.make_directory(path)
    if durability.syncs:
        files.sync_directory(parent or "/")
