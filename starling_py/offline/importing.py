"""Takes the queues of an old spool over into a spool of this server.

Everything is written through the server's own journal code, into a spool of its own inside the new
one, ``.importing``, which a server leaves alone. Only when all queues are whole and safe are their
directories renamed into their places, so no server ever finds a queue that is half there. If
anything fails, what was made is removed again. The old files are only read.
"""

import contextlib
import posixpath
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from starling_py import keys
from starling_py.clock import Clock
from starling_py.journal import directory_names
from starling_py.journal.commit import GroupCommit
from starling_py.journal.disk.files import Files
from starling_py.journal.disk.id_floor import IdFloor
from starling_py.journal.errors import JournalDamagedError, JournalError, SpoolError
from starling_py.journal.format.record import Item
from starling_py.journal.journal import Journal
from starling_py.journal.spool import LOCK
from starling_py.offline.errors import ImportFailedError, ImportRefused
from starling_py.offline.old_spool import OldQueue, OldSpool, Problem
from starling_py.server.core import Core, InlineThreads, Storage

STAGING = ".importing"
"""The directory in the new spool that holds queues until they are whole; no queue has this name."""
BATCH_ITEMS = 1000
"""Items that are written at once."""
BATCH_BYTES = 1 << 20
"""Bytes of data that are written at once; the last item may exceed them."""


@attrs.define
class Outcome:
    """What was imported of one old queue."""

    queue: bytes
    imported: int = 0
    bytes: int = 0
    expired: int = 0
    """Items that had expired and were left out."""
    problems: list[Problem] = attrs.field(factory=list)


def refuse_nested(old: Path, new: Path) -> None:
    """Raise ``ImportRefused`` if one of the two spools is the other, or inside it."""
    old, new = old.resolve(), new.resolve()
    if old.is_relative_to(new) or new.is_relative_to(old):
        raise ImportRefused(f"{new}: the new spool must not be the old one, in it, or around it")


class Import:
    """One import, from the first look at the names to the queues in their places."""

    def __init__(
        self,
        files: Files,
        path: str,
        segment_size: int,
        *,
        now_ms: int,
        keep_expired: bool,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        """``path`` is the new spool's.

        ``now_ms``, in milliseconds since the Unix epoch, decides what has expired; with
        ``keep_expired`` that is taken over too. ``progress`` is called with the number of items
        read since its last call.
        """
        self._files = files
        self._path = path.rstrip("/") or "/"
        self._staging = f"{self._path}/{STAGING}"
        self._segment_size = segment_size
        self._now_ms = now_ms
        self._keep_expired = keep_expired
        self._progress = progress
        self._made: list[str] = []
        self._in_place: list[str] = []
        """Names of the directories that were renamed into their places."""

    def run(self, old: OldSpool) -> list[Outcome]:
        """Take all queues over; return what was imported of each.

        Raises ``ImportRefused``, and then nothing is changed; or ``ImportFailedError``.
        """
        try:
            queues = list(old.queues)
        except OSError as error:
            raise ImportRefused(_reason(error)) from error
        self._refuse_present(queues)
        try:
            lock = self._lock()
        except BlockingIOError as error:
            raise ImportRefused(f"{self._path}: a server is using this spool") from error
        except OSError as error:
            with contextlib.suppress(OSError):
                self._remove_made()
            raise ImportRefused(_reason(error)) from error
        try:
            self._refuse_present(queues)
            ids = self._ids()
            self._remove_staging()
            outcomes = self._import(queues, ids)
        except (OSError, JournalError, SpoolError) as error:
            raise ImportFailedError(f"{self._path}: {_reason(error)}; {self._undo()}") from error
        except BaseException:
            self._undo()
            raise
        finally:
            self._files.close(lock)
        return outcomes

    def _refuse_present(self, queues: list[OldQueue]) -> None:
        """Raise ``ImportRefused`` if the new spool has a queue of the same name as one of these."""
        try:
            present = set(self._files.list_directory(self._path))
        except FileNotFoundError:
            return
        except OSError as error:
            raise ImportRefused(f"{self._path}: {error.strerror}") from error
        for queue in queues:
            if directory_names.directory_name(queue.name) in present:
                name = keys.printable(queue.name)
                raise ImportRefused(
                    f"{self._path}: has a queue {name} already; nothing was changed"
                )

    def _lock(self) -> int:
        """Make the new spool's directory if it is missing, and lock it. Raises ``OSError``."""
        missing = []
        path = self._path
        while path and not _exists(self._files, path):
            missing.append(path)
            path = posixpath.dirname(path)
        for each in reversed(missing):
            self._files.make_directory(each)
            self._made.append(each)
            self._files.sync_directory(posixpath.dirname(each) or ".")
        return self._files.lock(f"{self._path}/{LOCK}")

    def _ids(self) -> IdFloor:
        """Return the new spool's floor of the ids: imported queues begin their ids above it.

        Raises ``ImportRefused`` when its file is damaged, and ``OSError``.
        """
        try:
            return IdFloor(self._files, self._path, syncs=True)
        except JournalDamagedError as damage:
            raise ImportRefused(str(damage)) from damage

    def _import(self, queues: list[OldQueue], ids: IdFloor) -> list[Outcome]:
        storage = Storage(self._staging, segment_size=self._segment_size)
        core = Core.open(storage, Clock(), self._files, InlineThreads())
        core.spool.ids = ids
        try:
            outcomes = [self._take_over(core, queue) for queue in queues]
        finally:
            core.spool.close()
        for outcome in (outcome for outcome in outcomes if outcome.imported):
            name = directory_names.directory_name(outcome.queue)
            self._files.rename(f"{self._staging}/{name}", f"{self._path}/{name}")
            self._in_place.append(name)
        self._files.sync_directory(self._path)
        self._remove_staging()
        return outcomes

    def _take_over(self, core: Core, queue: OldQueue) -> Outcome:
        """Write the items of one queue to its journal, and make them safe.

        Raises ``OSError`` and ``JournalError``.
        """
        outcome = Outcome(queue.name, problems=queue.problems)
        journal = core.spool.journal(queue.name)
        count = size = 0
        try:
            for item in self._items(queue, outcome, journal.next_id):
                journal.recorder.push(item)
                count += 1
                size += len(item.data)
                if count >= BATCH_ITEMS or size >= BATCH_BYTES:
                    count = size = 0
                    _commit(core.commits, journal)
            if outcome.imported:
                _commit(core.commits, journal)
        finally:
            journal.close()
        return outcome

    def _items(self, queue: OldQueue, outcome: Outcome, first_id: int) -> Iterator[Item]:
        """Yield the items to write, with ids from ``first_id`` on; count them in ``outcome``."""
        for old in queue.items:
            self._progress(1)
            if old.expiry_ms and old.expiry_ms <= self._now_ms and not self._keep_expired:
                outcome.expired += 1
                continue
            item_id = first_id + outcome.imported
            outcome.imported += 1
            outcome.bytes += len(old.data)
            yield Item(item_id, old.added_ms, old.expiry_ms, old.flags, old.data)

    def _undo(self) -> str:
        """Remove what was made; return a text that says whether that worked."""
        try:
            for name in self._in_place:
                self._files.rename(f"{self._path}/{name}", f"{self._staging}/{name}")
            self._remove_staging()
            self._remove_made()
        except OSError as error:
            return f"what was made could not be removed: {_reason(error)}"
        return "what was made is removed again"

    def _remove_staging(self) -> None:
        """Remove the directory ``.importing``: this import's, or one's that was killed."""
        files, staging = self._files, self._staging
        if not _exists(files, staging):
            return
        for entry in files.list_directory(staging):
            path = f"{staging}/{entry}"
            if not files.is_directory(path):
                files.unlink(path)
                continue
            for name in files.list_directory(path):
                files.unlink(f"{path}/{name}")
            files.remove_directory(path)
        files.remove_directory(staging)

    def _remove_made(self) -> None:
        """Remove the directories that were made for the new spool, and its lock."""
        if not self._made:
            return
        # The lock is still held, so no server has begun to use it.
        with contextlib.suppress(FileNotFoundError):
            self._files.unlink(f"{self._path}/{LOCK}")
        for path in reversed(self._made):
            self._files.remove_directory(path)


def _commit(commits: GroupCommit, journal: Journal) -> None:
    """Write what was pushed, and make it safe. Raises ``JournalError``."""
    if commits.commit().failed or journal.broken is not None:
        raise JournalError(journal.failure)


def _exists(files: Files, path: str) -> bool:
    try:
        files.is_directory(path)
    except FileNotFoundError:
        return False
    return True


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}"
    return str(error)
