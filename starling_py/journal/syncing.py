"""Where a journal's files are, and one sync of what was written to them.

Where the log has made safe what was written, the file need not be synced, but its name is looked
at all the same.
"""

import contextlib
import errno
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from starling_py.journal import checkpoint
from starling_py.journal.disk import failed_syncs
from starling_py.journal.disk.files import Files, Identity
from starling_py.journal.errors import FileLostError
from starling_py.journal.format import end_mark, record, segment
from starling_py.journal.format.segment import UNFINISHED_SUFFIX, Header
from starling_py.journal.ledger import Ledger
from starling_py.journal.log.batch import Written


def _yes() -> bool:
    return True


@dataclass(frozen=True)
class Place:
    """Where a journal is, and what its segments have in common."""

    files: Files
    directory: str
    queue: bytes
    """The queue's true name."""
    salt: int
    """The 32 bits that the checksums of the journal's records begin with."""
    syncs: bool
    """Whether the policy ever syncs."""
    is_ours: Callable[[], bool] = _yes
    """Tells whether the spool at this path is still the one that this process has locked."""

    def check_ours(self) -> None:
        """Raise ``OSError`` if nothing may be made here: the spool may be another server's."""
        if not self.is_ours():
            raise OSError(errno.EBUSY, "the spool is not the one that was locked")

    @property
    def name(self) -> str:
        """The name of the directory in the spool."""
        return self.directory.rpartition("/")[2]

    def path(self, number: int) -> str:
        """Return the path of a segment with its final name."""
        return f"{self.directory}/{segment.file_name(number)}"

    def beginning(self, number: int, ledger: Ledger, previous_end: int) -> bytes:
        """Return the bytes of a segment's header and checkpoint.

        ``previous_end`` is as in ``Checkpoint``.
        """
        header = segment.encode(Header(self.queue, number, ledger.next_id, number, self.salt))
        payload = checkpoint.encode(ledger, previous_end)
        return header + record.bare(record.CHECKPOINT, ledger.next_id, self.salt, payload)

    def mark_end(self, path: str, following: int) -> None:
        """Note in a segment that the one with the number ``following`` is in force.

        Should that be impossible, nobody is told if the other one is removed by hand. A segment
        of an older version is never written to.
        """
        files = self.files
        with contextlib.suppress(OSError):
            if not segment.is_present_version(files.read_at(path, 0, segment.MAX_HEADER)):
                return
            with files.closing(files.open(path)) as descriptor:
                files.write(descriptor, end_mark.encode(following, self.salt))


def leads_to(files: Files, path: str, identity: Identity) -> bool:
    """Tell whether a path leads to the file with this identity. Raises ``OSError``."""
    try:
        return files.identity(path) == identity
    except (FileNotFoundError, NotADirectoryError):
        return False


Expected = tuple[str, Identity | None]
"""The final path of a segment, and what it must lead to; ``None`` if that is not known."""


def is_there(files: Files, expected: Expected) -> bool:
    """Tell whether a segment is found under its final name, or under that of an unfinished one.

    Raises ``OSError``.
    """
    path, identity = expected
    # The final name once more: a sync may give it while the other one is looked for.
    for name in (path, path + UNFINISHED_SUFFIX, path):
        try:
            found = files.identity(name)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if identity is None or found == identity:
            return True
    return False


@dataclass(eq=False)
class Syncing:
    """One sync of all that was written to a journal; ``run`` is safe in any thread.

    While the sync thread is in ``run``, the tick goes on writing to the same files. When such a
    write fails, the tick cuts the file back and syncs it (``SegmentWriter._cut_back``). If that
    fails, the file is spoiled, and ``run`` must not call it safe: the failure may have been of data
    that this sync covers, and as the system tells of it only once, the sync in the thread may
    report success. So the tick notes the failure in ``trouble``, and ``run`` looks at that once
    more after its syncs.

    ``cutting`` makes that look reliable. The tick holds it from before it cuts until ``trouble`` is
    set, and ``run`` takes it for its last look. Without the lock, ``run`` could look between the
    failure in the tick and the note of it, and then give the segment its final name. A cut that
    begins after the last look does no harm: what this sync covers was synced before.

    ``trouble`` is the only field that changes while the thread is at work, and ``cutting`` is the
    only lock of the journal.
    """

    place: Place
    descriptors: tuple[int, ...]
    """The open files: the last segment, and the one before it until that is safe. Empty if they
    were evicted: then they were synced in the tick."""
    paths: tuple[str, ...]
    """The paths of these files, in the same order."""
    identities: tuple[Identity, ...]
    """What the paths must lead to, in the same order."""
    unfinished: str | None
    """The path of a segment that gets its final name when it is safe; ``None`` if all have it."""
    before: str | None
    """The path of the segment before that one, which gets its end mark then; ``None`` if there is
    none."""
    new_directory: bool
    """Whether the journal's directory is new, so that its own name has to be synced too."""
    end: tuple[int, int]
    """Where what is safe will end: the number of a segment and its size in bytes."""
    trouble: OSError | None
    """Why the files are not safe even if they can be synced; ``None`` while nothing is known.
    Set by an eviction before, or by the tick during ``run``."""
    written: Written | None = None
    """What the log would have to tell in place of the sync; ``None`` if it cannot."""
    logged: bool = False
    """Whether the log has made it safe, so that the file itself need not be synced now."""
    together: bool = False
    """Whether its files, then its names are made safe together with those of others."""
    cutting: threading.Lock = field(default_factory=threading.Lock)
    """Held by the tick while it cuts back one of the files, and by ``run`` for its last look."""

    @property
    def is_plain(self) -> bool:
        """Whether it takes one file sync and nothing else."""
        return self.unfinished is None and not self.new_directory and len(self.descriptors) == 1

    def run(self) -> None:
        """Sync the files, then the names. Raises ``OSError``.

        What is in a file without a name is safe from nothing: so before any of it is called safe,
        each name is seen to lead to the file that was synced. A segment gets its final name only
        when it and the one before it are safe: a start takes a torn end of any other segment than
        the last for damage.
        """
        files = self.place.files
        self._check()
        if not self.logged and not self.together:
            for descriptor, path in zip(self.descriptors, self.paths, strict=True):
                failed_syncs.sync_or_note(files, descriptor, path)
        with self.cutting:
            self._check()
        for path, identity in zip(self.paths, self.identities, strict=True):
            if not leads_to(files, path, identity):
                raise FileLostError(path)
        if self.unfinished is not None:
            files.rename(self.unfinished, self.unfinished.removesuffix(UNFINISHED_SUFFIX))
        if not self.together:
            self.sync_names()

    @property
    def has_names(self) -> bool:
        """Whether it gives a name, so that directories have to be synced."""
        return self.unfinished is not None or self.new_directory

    def sync_names(self) -> None:
        """Make safe the names that were given. Raises ``OSError``."""
        files = self.place.files
        if self.unfinished is not None:
            files.sync_directory(self.place.directory)
        if self.new_directory:
            files.sync_directory(self.place.directory.rpartition("/")[0])
        self.mark_end()

    def mark_end(self) -> None:
        """Note in the segment before that the new one is in force: its name is safe."""
        if self.unfinished is not None and self.before is not None:
            self.place.mark_end(self.before, self.end[0])

    def _check(self) -> None:
        """Raise ``trouble``, which the tick may have set by now.

        A method of its own: in one function, mypy would conclude from the first look that it is
        ``None`` from there on, and the compiled form would leave the second look out.
        """
        if self.trouble is not None:
            raise self.trouble
