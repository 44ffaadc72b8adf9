"""The queues of an old server, as all readers return them; and reading its files in blocks.

The old servers wrote no checksums. A record is believed if the server could have written it. Behind
the first one that it could not have written nothing is believed, as nothing tells where the next
record begins: every reader stops there and reports how many bytes it left unread. A file that has
not one sound record of a put in front of that place is no queue's: old spools were often folders
that were there for something else, such as the logs of an application.

A queue is read twice: once when it is found, to learn which items are left in it, and again
while its items are asked for. So memory holds one block of a file and one item, whatever the size
of the files. The old files are only ever opened for reading. The old server must not run meanwhile.
"""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import attrs

from starling_py.offline.errors import NoRecordError, UnreadableError

MAX_DATA = 1 << 30
"""Bytes of the largest item that is believed; a record with a larger one counts as damage."""

_BLOCK = 1 << 16


@attrs.frozen
class OldItem:
    """One item of an old queue."""

    data: bytes
    added_ms: int
    """When it was put, in milliseconds since the Unix epoch."""
    expiry_ms: int
    """When it expires, in milliseconds since the Unix epoch; 0 for never. It may have expired."""
    flags: int = 0
    """The client's 32 bits. Neither Starling nor Kestrel kept them, so 0."""


@attrs.frozen
class Problem:
    """Something in an old spool that is not as its server left it, or that is not taken over."""

    path: Path
    offset: int
    """Where in the file, in bytes from its start."""
    what: str
    done: str
    """What the reader did about it."""

    def __str__(self) -> str:
        return f"{printable(self.path)}: at byte {self.offset}: {self.what}; {self.done}"


@attrs.frozen
class Note:
    """Something in an old spool that is told of, and is no damage."""

    path: Path
    what: str

    def __str__(self) -> str:
        return f"{printable(self.path)}: {self.what}"


@attrs.define
class OldQueue:
    """One queue of an old spool."""

    name: bytes
    """The queue's name there, which need not be a legal one here."""
    count: int
    """How many items are left in it."""
    items: Iterable[OldItem]
    """The items, the next one to be handed out first. They are read from the files while they are
    iterated over, each time anew."""
    problems: list[Problem]
    """What was noticed so far. It grows if a file cannot be read any more during an iteration over
    ``items``, and then fewer than ``count`` items come."""
    notes: list[Note] = attrs.field(factory=list)
    """What else is to be told of its files."""
    path: Path = attrs.field(factory=Path)
    """Its file, or the first of them."""
    is_foreign: bool = False
    """Whether its files have something in them, but not one sound record of a put."""
    new_name: bytes = attrs.field()
    """The name that it gets here; the old one, unless somebody says otherwise."""

    @new_name.default
    def _keep_name(self) -> bytes:
        return self.name


@attrs.define
class OldSpool:
    """All queues of an old spool."""

    names: list[bytes]
    """The names of everything that may be a queue, sorted."""
    read: Callable[[bytes], OldQueue]
    """Reads the queue of one of these names for the first time."""
    left_alone: list[Note] = attrs.field(factory=list)
    """Files and directories that belong to no queue, and why."""
    problems: list[Problem] = attrs.field(factory=list)
    """Files that have items in them, and whose queue cannot be told."""


def printable(path: Path) -> str:
    """Return a path for a message: one line, whatever the names in it are."""
    text = str(path)
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def problem_of(
    error: UnreadableError, consequence: str = "what is in front of them was"
) -> Problem:
    """Return what to report of a place that cannot be read.

    ``consequence`` ends the report: what becomes of the rest of the queue.
    """
    extent = f"{error.unread} bytes, up to the end of the file, were not read"
    done = f"{extent}; {consequence}" if error.unread else "nothing of it was read"
    return Problem(error.path, error.offset, error.what, done)


class OldFile:
    """An old file, open for reading. Raises ``UnreadableError`` where others raise ``OSError``.

    ``end`` is where reading ends, if not at the end of the file.
    """

    def __init__(self, path: Path, end: int | None = None) -> None:
        self.path = path
        self.end = 0
        try:
            self._file = path.open("rb", buffering=_BLOCK)
            self.end = os.fstat(self._file.fileno()).st_size if end is None else end
        except OSError as error:
            raise self.unreadable(0, f"this file cannot be opened: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def read(self, offset: int, count: int) -> bytes:
        """Return ``count`` bytes from ``offset`` on, or as many as there are before the end."""
        count = max(min(count, self.end - offset), 0)
        try:
            self._file.seek(offset)
            return self._file.read(count)
        except OSError as error:
            raise self.unreadable(offset, f"the disk says: {error.strerror}") from error

    def read_whole(self, offset: int, count: int) -> bytes:
        """Return ``count`` bytes from ``offset`` on; ``UnreadableError`` if there are fewer."""
        data = self.read(offset, count)
        if len(data) < count:
            raise self.cut_short(offset)
        return data

    def unreadable(self, offset: int, what: str) -> UnreadableError:
        """Return the exception that nothing behind ``offset`` can be read, because of ``what``."""
        return UnreadableError(self.path, offset, what, self.end - offset)

    def no_record(self, offset: int, what: str) -> NoRecordError:
        """Return the exception that the bytes at ``offset`` are no record, because of ``what``."""
        return NoRecordError(self.path, offset, what, self.end - offset)

    def cut_short(self, offset: int) -> NoRecordError:
        """Return the exception for a record that begins at ``offset`` and ends behind the end."""
        return self.no_record(offset, "this record is cut short, as a crash leaves it")


@attrs.define
class Unmatched:
    """Counts the records of a queue that remove an item which is not there."""

    count: int = 0
    path: Path = Path()
    offset: int = 0

    def note(self, path: Path, offset: int) -> None:
        """Count one more; the place of the first is reported."""
        if not self.count:
            self.path, self.offset = path, offset
        self.count += 1

    def problems(self, server: str) -> list[Problem]:
        """Return what to report: at most one problem, as damage can leave millions of them."""
        if not self.count:
            return []
        what = f"{self.count} removals (the first is here) concern items that are not there"
        done = f"they were ignored, as {server} does; an item may come that was taken already"
        return [Problem(self.path, self.offset, what, done)]


def list_files(directory: Path) -> tuple[list[Path], list[Note]]:
    """Return the regular files in a directory, by name; and a note on each other entry.

    A link counts as what it leads to. Raises ``OSError`` when the directory cannot be listed.
    """
    files, left_alone = [], []
    for path in sorted(directory.iterdir(), key=os.fsencode):
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            left_alone.append(Note(path, "a link to nowhere"))
        except PermissionError:
            files.append(path)  # reported when it cannot be opened: it may be a queue
        except OSError as error:
            left_alone.append(Note(path, str(error.strerror or error)))
        else:
            if stat.S_ISREG(mode):
                files.append(path)
            else:
                kind = "a directory" if stat.S_ISDIR(mode) else "no regular file"
                left_alone.append(Note(path, kind))
    return files, left_alone


def no_queue(error: UnreadableError) -> Note:
    """Return the note on a file that is left alone, as it has not one sound record of a put."""
    return Note(error.path, f"not one sound record: {error.what}")


def checked_count(
    path: Path, count: int, items: Iterator[OldItem], report: Callable[[Problem], None]
) -> Iterator[OldItem]:
    """Yield the items of a second reading; report if they are not ``count``, as the first found.

    ``path`` is the file that the report names. ``UnreadableError`` ends the items with a report.
    """
    came = 0
    try:
        for item in items:
            came += 1
            yield item
    except UnreadableError as trouble:
        report(problem_of(trouble, "they were sound when they were first read"))
        return
    if came != count:
        what = f"{came} items came where {count} were found before: the files have changed"
        report(Problem(path, 0, what, "the import of this queue is not complete"))
