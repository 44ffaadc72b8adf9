"""Takes the queues of an old spool over into a spool of this server.

Everything is written through the server's own journal code, into a spool of its own inside the new
one, which a server leaves alone. Only when all queues are whole and safe are they brought into
their places (``publication``), so no server ever finds a queue that is half there. If anything
fails, what was made is removed again. An import that was killed is finished by the next one, or
leaves no trace in it: either way each item comes once. The old files are only read.
"""

import contextlib
import posixpath
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import attrs

from starling_py import keys
from starling_py.clock import Clock
from starling_py.journal.commit import GroupCommit
from starling_py.journal.directory_names import directory_name
from starling_py.journal.disk.files import Files
from starling_py.journal.disk.id_floor import IdFloor
from starling_py.journal.errors import JournalDamagedError, JournalError, SpoolError
from starling_py.journal.format.record import Item
from starling_py.journal.journal import Journal
from starling_py.journal.spool import LOCK
from starling_py.offline.errors import ImportFailedError, ImportRefused
from starling_py.offline.old_spool import Note, OldQueue, Problem
from starling_py.offline.publication import Arrival, Arrivals, Publication, exists
from starling_py.server.core import Core, InlineThreads, Storage

BATCH_ITEMS = 1000
"""Items that are written at once."""
BATCH_BYTES = 1 << 20
"""Bytes of data that are written at once; the last item may exceed them."""


@attrs.define
class Outcome:
    """What was imported of one old queue."""

    queue: bytes
    """Its name here."""
    old_name: bytes
    imported: int = 0
    bytes: int = 0
    expired: int = 0
    """Items that had expired and were left out."""
    problems: list[Problem] = attrs.field(factory=list)
    notes: list[Note] = attrs.field(factory=list)
    by_earlier: bool = False
    """Whether an import that was killed has brought the queue; this one only finished it."""

    def arrival(self) -> Arrival:
        """Return what is noted of the queue while it comes into its place."""
        return Arrival(self.old_name, self.queue, self.imported, self.bytes, self.expired)


def refuse_nested(old: Path, new: Path) -> None:
    """Raise ``ImportRefused`` if one of the two spools is in the other, or the new one in a third.

    A spool in a spool would look like a queue of it.
    """
    old, new = old.resolve(), new.resolve()
    if old.is_relative_to(new) or new.is_relative_to(old):
        raise ImportRefused(f"{new}: the new spool must not be the old one, in it, or around it")
    if _has_segments(new) or is_spool(new.parent):
        raise ImportRefused(f"{new}: this is in the spool {new.parent}; give the spool itself")


def is_spool(directory: Path) -> bool:
    """Tell whether a directory is a spool of this server, with a queue in it."""
    try:
        return (directory / LOCK).is_file() and any(map(_has_segments, directory.iterdir()))
    except OSError:
        return False


def _has_segments(directory: Path) -> bool:
    try:
        return any(each.is_file() for each in directory.glob("*.segment"))
    except OSError:
        return False


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
        source: str = "",
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        """``path`` is the new spool's.

        ``now_ms``, in milliseconds since the Unix epoch, decides what has expired; with
        ``keep_expired`` that is taken over too. ``source`` is the old spool's path, absolute.
        ``progress`` is called with the number of items read since its last call.
        """
        self._files = files
        self._path = path.rstrip("/") or "/"
        self._publication = Publication(files, self._path)
        self._segment_size = segment_size
        self._now_ms = now_ms
        self._keep_expired = keep_expired
        self._source = source
        self._progress = progress
        self._made: list[str] = []

    def run(self, queues: Sequence[OldQueue]) -> list[Outcome]:
        """Take queues over; return what was imported of each.

        Raises ``ImportRefused``, and then nothing is changed, but for an import that was killed and
        is finished now; or ``ImportFailedError``.
        """
        earlier = self._earlier()
        missing = self._missing(queues, earlier)
        self._refuse_present(missing)
        if earlier is None and not any(each.count for each in queues):
            return [_outcome(each) for each in queues]
        try:
            lock = self._lock()
        except BlockingIOError as error:
            raise ImportRefused(f"{self._path}: a server is using this spool") from error
        except OSError as error:
            with contextlib.suppress(OSError):
                self._remove_made()
            raise ImportRefused(_reason(error)) from error
        try:
            earlier = self._finish_earlier()
            missing = self._missing(queues, earlier)
            outcomes = self._import_missing(missing)
        finally:
            self._files.close(lock)
        brought = {} if earlier is None else {each.old_name: each for each in earlier.queues}
        return [outcomes.get(each.name) or _brought(each, brought[each.name]) for each in queues]

    def _earlier(self) -> Arrivals | None:
        """Return what an import that was killed was bringing. Raises ``ImportRefused``."""
        try:
            return self._publication.begun()
        except OSError as error:
            raise ImportRefused(_reason(error)) from error

    def _missing(self, queues: Sequence[OldQueue], earlier: Arrivals | None) -> list[OldQueue]:
        """Return those of the queues that no import which was killed has brought.

        Raises ``ImportRefused`` for one that it has brought under another name.
        """
        if earlier is None or earlier.source != self._source:
            return list(queues)
        brought = {each.old_name: each.name for each in earlier.queues}
        for queue in queues:
            if brought.get(queue.name, queue.new_name) != queue.new_name:
                name = keys.printable(queue.name)
                there = keys.printable(brought[queue.name])
                raise ImportRefused(
                    f"{self._path}: an import that was killed has brought {name} as {there}"
                    " already; ask for that name, or for other queues"
                )
        return [each for each in queues if each.name not in brought]

    def _refuse_present(self, queues: Sequence[OldQueue]) -> None:
        """Raise ``ImportRefused`` if the new spool has a queue of the same name as one of these.

        One without items is not made, so it does not count.
        """
        try:
            present = set(self._files.list_directory(self._path))
        except FileNotFoundError:
            return
        except OSError as error:
            raise ImportRefused(f"{self._path}: {error.strerror}") from error
        for queue in queues:
            if queue.count and directory_name(queue.new_name) in present:
                name = keys.printable(queue.new_name)
                raise ImportRefused(
                    f"{self._path}: has a queue {name} already; nothing was changed"
                )

    def _lock(self) -> int:
        """Make the new spool's directory if it is missing, and lock it. Raises ``OSError``."""
        missing = []
        path = self._path
        while path and not exists(self._files, path):
            missing.append(path)
            path = posixpath.dirname(path)
        for each in reversed(missing):
            self._files.make_directory(each)
            self._made.append(each)
            self._files.sync_directory(posixpath.dirname(each) or ".")
        return self._files.lock(f"{self._path}/{LOCK}")

    def _finish_earlier(self) -> Arrivals | None:
        """Bring what an import that was killed has left, and return what all it brought.

        Raises ``ImportRefused`` and ``ImportFailedError``.
        """
        earlier = self._earlier()
        if earlier is None:
            return None
        try:
            self._publication.finish(earlier)
        except OSError as error:
            raise ImportFailedError(
                f"{self._path}: {_reason(error)}; an import that was killed could not be finished,"
                " nothing else was done"
            ) from error
        self._publication = Publication(self._files, self._path)
        return earlier

    def _import_missing(self, queues: list[OldQueue]) -> dict[bytes, Outcome]:
        """Take queues over; return what was imported of each, by its old name.

        Raises ``ImportRefused`` and ``ImportFailedError``, and then nothing was.
        """
        try:
            self._refuse_present(queues)
            ids = self._ids()
            self._publication.clear()
            return {each.old_name: each for each in self._import(queues, ids)}
        except (OSError, JournalError, SpoolError) as error:
            raise ImportFailedError(f"{self._path}: {_reason(error)}; {self._undo()}") from error
        except BaseException:
            self._undo()
            raise

    def _ids(self) -> IdFloor:
        """Return the new spool's floor of the ids: imported queues begin their ids above it.

        Raises ``ImportRefused`` when its file is damaged, and ``OSError``.
        """
        try:
            return IdFloor(self._files, self._path, syncs=True)
        except JournalDamagedError as damage:
            raise ImportRefused(str(damage)) from damage

    def _import(self, queues: list[OldQueue], ids: IdFloor) -> list[Outcome]:
        storage = Storage(self._publication.staging, segment_size=self._segment_size)
        core = Core.open(storage, Clock(), self._files, InlineThreads())
        core.spool.ids = ids
        try:
            outcomes = [self._take_over(core, queue) for queue in queues]
        finally:
            core.spool.close()
        arrivals = [each.arrival() for each in outcomes if each.imported]
        self._publication.publish(Arrivals(self._source, arrivals))
        self._made.clear()
        return outcomes

    def _take_over(self, core: Core, queue: OldQueue) -> Outcome:
        """Write the items of one queue to its journal, and make them safe.

        Raises ``OSError`` and ``JournalError``.
        """
        outcome = _outcome(queue)
        journal = core.spool.journal(outcome.queue)
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
            self._publication.retract()
            self._remove_made()
        except OSError as error:
            return f"what was made could not be removed: {_reason(error)}"
        return "what was made is removed again"

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


def _outcome(queue: OldQueue) -> Outcome:
    """Return the outcome of a queue of which nothing was imported yet."""
    return Outcome(queue.new_name, queue.name, problems=queue.problems, notes=queue.notes)


def _brought(queue: OldQueue, arrival: Arrival) -> Outcome:
    """Return the outcome of a queue that an import which was killed has brought."""
    outcome = _outcome(queue)
    outcome.imported, outcome.bytes = arrival.items, arrival.bytes
    outcome.expired, outcome.by_earlier = arrival.expired, True
    return outcome


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}"
    return str(error)
