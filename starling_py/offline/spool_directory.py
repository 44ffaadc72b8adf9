"""Lists what is in a spool and in a queue's directory. Nothing is changed, and no lock is kept."""

import fcntl
import os
import posixpath
from collections.abc import Iterator

import attrs

from starling_py.journal import directory_names
from starling_py.journal.disk.files import Files
from starling_py.journal.errors import JournalDamagedError, SegmentError
from starling_py.journal.format import segment
from starling_py.journal.format.segment import (
    COMPACTED_SUFFIX,
    DAMAGED_SUFFIX,
    DISTRUSTED_SUFFIX,
    MAX_HEADER,
    TORN_SUFFIX,
    Header,
)
from starling_py.journal.spool import LOCK, OWN_FILES, REMOVED
from starling_py.offline.errors import WrongPathError

_NOTES = {
    COMPACTED_SUFFIX: "a compaction that was not finished; the next start removes it",
    DAMAGED_SUFFIX: "a damaged segment that was kept aside; it is not read",
    DISTRUSTED_SUFFIX: "a sync of this segment failed; the next start writes it to a fresh file",
    TORN_SUFFIX: "a torn tail that was kept aside; it is not read",
}


@attrs.frozen
class Place:
    """A spool, or one queue's directory."""

    path: str
    is_spool: bool
    queues: list[str]
    """The directories of its queues, in order of their names."""
    notes: list[str]
    """One line on each other entry of a spool."""
    lock: str
    """The path of the file that a server on the spool has locked."""


def look(files: Files, path: str) -> Place:
    """Find out what is at a path. Raises ``WrongPathError`` if it is no journal."""
    path = path.rstrip("/") or "/"
    try:
        entries = files.list_directory(path)
        if any(_kind(entry) for entry in entries):
            parent = posixpath.dirname(os.path.abspath(path))  # noqa: PTH100
            return Place(path, False, [path], [], f"{parent}/{LOCK}")
        queues, notes = [], []
        for entry in (entry for entry in entries if entry not in OWN_FILES):
            each = f"{path}/{entry}"
            if REMOVED in entry:
                notes.append(f"{each}: a deleted queue; the next start removes it")
            elif directory_names.is_directory_name(entry) and _is_directory(files, each):
                queues.append(each)
            else:
                notes.append(f"{each}: not of this server; it is left alone")
        if LOCK not in entries and not any(_is_queue(files, each) for each in queues):
            raise WrongPathError(f"{path}: neither a spool nor a queue's directory")
    except OSError as error:
        raise WrongPathError(f"{error.filename or path}: {error.strerror or error}") from error
    return Place(path, True, queues, notes, f"{path}/{LOCK}")


def is_in_use(lock: str) -> bool:
    """Tell whether a server holds the lock. The file is not made, and the lock is not kept."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


@attrs.frozen
class SegmentFile:
    """One segment, as its file and its header have it."""

    number: int
    """The number in the file's name."""
    path: str
    size: int
    """Bytes of the file."""
    header: Header | None
    """The header; ``None`` if it cannot be read."""
    start: int
    """Where the first record begins, in bytes; 0 without a header."""
    problem: str = ""
    """Why the header cannot be read; empty if it can."""

    @property
    def name(self) -> str:
        """The file's name."""
        return posixpath.basename(self.path)

    @property
    def version(self) -> int:
        """The format's version; the newest if the header cannot be read."""
        return segment.VERSION if self.header is None else self.header.version

    @property
    def is_version_1(self) -> bool:
        """Whether it is of version 1, which had no checkpoints."""
        return self.header is not None and self.header.version == 1

    @property
    def is_compacted(self) -> bool:
        """Whether it is a copy of the items that were live in other segments."""
        return self.header is not None and self.header.compacted


@attrs.frozen
class QueueFiles:
    """The files in a queue's directory."""

    directory: str
    segments: list[SegmentFile]
    """The segments with their final names, in order."""
    unfinished: list[SegmentFile]
    """The segments that do not have their final names yet, in order."""
    notes: list[str]
    """One line on each other file."""

    @classmethod
    def read(cls, files: Files, directory: str) -> "QueueFiles":
        """List the directory and read the headers. Raises ``OSError``."""
        own = cls(directory, [], [], [])
        for name in files.list_directory(directory):
            path = f"{directory}/{name}"
            if (number := segment.number_of(name)) is not None:
                own.segments.append(_open(files, path, number))
            elif (number := segment.unfinished_number_of(name)) is not None:
                own.unfinished.append(_open(files, path, number))
            else:
                own.notes.append(f"{path}: {_NOTES.get(_kind(name), 'not of this server')}")
        return own

    def __iter__(self) -> Iterator[SegmentFile]:
        """Yield the segments in order, the unfinished ones last."""
        yield from self.segments
        yield from self.unfinished

    @property
    def like(self) -> Header | None:
        """The header that all others have to agree with: the newest; ``None`` if none is sound."""
        headers = [each.header for each in (*self.unfinished, *self.segments) if each.header]
        return headers[-1] if headers else None

    @property
    def queue(self) -> bytes:
        """The queue's true name; the directory's name if no header is sound."""
        like = self.like
        name = posixpath.basename(self.directory)
        return os.fsencode(name) if like is None else like.queue


def _open(files: Files, path: str, number: int) -> SegmentFile:
    size = files.size(path)
    try:
        header, start = segment.decode(memoryview(files.read_at(path, 0, MAX_HEADER)))
    except SegmentError as problem:
        return SegmentFile(number, path, size, None, 0, str(problem))
    return SegmentFile(number, path, size, header, start)


def _kind(name: str) -> str:
    """Return the suffix that tells a file's kind; empty for a file that is not of this server."""
    if segment.number_of(name) is not None or segment.unfinished_number_of(name) is not None:
        return segment.SUFFIX
    stem, suffix, _ = name.partition(segment.SUFFIX)
    if not suffix or segment.number_of(stem + suffix) is None:
        return ""
    rest = name[len(stem + suffix) :]
    return next((each for each in _NOTES if each in rest), "")


def _is_directory(files: Files, path: str) -> bool:
    try:
        return files.is_directory(path)
    except OSError:  # a link to nothing
        return False


def _is_queue(files: Files, directory: str) -> bool:
    return any(_kind(name) for name in files.list_directory(directory))


def damage(path: str, error: OSError) -> JournalDamagedError:
    """Return what to report of a file that the disk cannot read."""
    return JournalDamagedError(
        error.filename or path, 0, f"the disk says: {error.strerror or error}"
    )
