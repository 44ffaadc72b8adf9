"""Lists what is in a spool and in a queue's directory. Nothing is changed, and no lock is kept."""

import fcntl
import os
import posixpath
from collections.abc import Iterable, Iterator

import attrs

from starling_py.journal import directory_names
from starling_py.journal.disk.files import Files
from starling_py.journal.disk.removed_directories import REMOVED
from starling_py.journal.errors import JournalDamagedError, NotPlainError, SegmentError
from starling_py.journal.format import end_mark, segment
from starling_py.journal.format.segment import (
    COMPACTED_SUFFIX,
    DAMAGED_SUFFIX,
    DISTRUSTED_SUFFIX,
    MAX_HEADER,
    TORN_SUFFIX,
    Header,
)
from starling_py.journal.spool import LOCK, OWN_FILES
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
    refused: list[str]
    """One line on each other entry that keeps a server from serving a queue of that name."""
    notes: list[str]
    """One line on each other entry of a spool."""
    lock: str
    """The path of the file that a server on the spool has locked."""


def look(files: Files, path: str) -> Place:
    """Find out what is at a path. Raises ``WrongPathError`` if it is no journal."""
    path = path.rstrip("/") or "/"
    try:
        entries = files.list_directory(path)
    except NotADirectoryError as error:
        raise WrongPathError(f"{path}: {error.strerror}; {_instead(path)}") from error
    except OSError as error:
        raise WrongPathError(f"{error.filename or path}: {error.strerror or error}") from error
    # In a spool such a name is a queue's, which may be called like a segment, or a foreign file's.
    if LOCK not in entries and _is_queue(files, path, entries):
        parent = posixpath.dirname(os.path.abspath(path))  # noqa: PTH100
        return Place(path, False, [path], [], [], f"{parent}/{LOCK}")
    place = Place(path, True, [], [], [], f"{path}/{LOCK}")
    for entry in (entry for entry in entries if entry not in OWN_FILES):
        _sort_in(files, place, entry)
    if LOCK not in entries and not any(_is_queue(files, each) for each in place.queues):
        raise WrongPathError(f"{path}: neither a spool nor a queue's directory")
    return place


def _instead(path: str) -> str:
    """Say what to give in place of a file."""
    if posixpath.basename(path).endswith(segment.SUFFIX):
        return f"give the queue's directory, {posixpath.dirname(path) or '.'}"
    return "give a spool, or one queue's directory"


def _sort_in(files: Files, place: Place, entry: str) -> None:
    """Put an entry of a spool where it belongs."""
    each = f"{place.path}/{entry}"
    try:
        kind = files.kind(each)
    except OSError as error:
        place.refused.append(f"{each}: {error.strerror or error}")
        return
    is_name = directory_names.is_directory_name(entry)
    if REMOVED in entry and kind == "a directory":
        place.notes.append(f"{each}: a deleted queue; the next start removes it")
    elif is_name and kind == "a directory":
        place.queues.append(each)
    elif is_name and kind == "a link":
        place.refused.append(f"{each}: this is a link, not a queue's directory; it is refused")
    else:
        place.notes.append(f"{each}: not of this server; it is left alone")


def is_in_use(lock: str) -> bool:
    """Tell whether a server holds the lock. The file is not made, and the lock is not kept."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
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
    """Bytes of the file, without its end mark."""
    header: Header | None
    """The header; ``None`` if it cannot be read."""
    start: int
    """Where the first record begins, in bytes; 0 without a header."""
    problem: str = ""
    """Why the header cannot be read; empty if it can."""
    is_read: bool = True
    """Whether the beginning of the file could be read at all."""

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
    size = 0
    try:
        size = files.size(path)
        header, start = segment.decode(memoryview(files.read_at(path, 0, MAX_HEADER)))
    except SegmentError as problem:
        return SegmentFile(number, path, size, None, 0, str(problem))
    except NotPlainError as problem:
        return SegmentFile(number, path, 0, None, 0, str(problem.strerror), is_read=False)
    except OSError as error:
        why = f"the disk says: {error.strerror}"
        return SegmentFile(number, path, size, None, 0, why, is_read=False)
    return SegmentFile(
        number, path, size - _mark_size(files, path, size, header.salt), header, start
    )


def _mark_size(files: Files, path: str, size: int, salt: int) -> int:
    """Return how many bytes of a file are its end mark."""
    try:
        end = files.read_at(path, size - end_mark.SIZE, end_mark.SIZE)
    except OSError:
        return 0  # it will be told when the file is read
    return 0 if end_mark.decode(end, salt) is None else end_mark.SIZE


def _kind(name: str) -> str:
    """Return the suffix that tells a file's kind; empty for a file that is not of this server."""
    if segment.number_of(name) is not None or segment.unfinished_number_of(name) is not None:
        return segment.SUFFIX
    stem, suffix, _ = name.partition(segment.SUFFIX)
    if not suffix or segment.number_of(stem + suffix) is None:
        return ""
    rest = name[len(stem + suffix) :]
    return next((each for each in _NOTES if each in rest), "")


def _is_queue(files: Files, directory: str, entries: Iterable[str] | None = None) -> bool:
    """Tell whether there are files of a journal in a directory, whose ``entries`` may be known."""
    try:
        names = files.list_directory(directory) if entries is None else entries
        return any(_kind(name) and not files.is_directory(f"{directory}/{name}") for name in names)
    except OSError:
        return False  # gone, or not for us to look at


def damage(path: str, error: OSError) -> JournalDamagedError:
    """Return what to report of a file that the disk cannot read."""
    return JournalDamagedError(
        error.filename or path, 0, f"the disk says: {error.strerror or error}"
    )
