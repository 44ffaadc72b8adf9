"""The queues of an old server, as all readers return them; and reading its files in blocks.

The old servers wrote no checksums. A record is believed if the server could have written it. Behind
the first one that it could not have written nothing is believed, as nothing tells where the next
record begins: every reader stops there and reports how many bytes it left unread.

A queue is read twice: once when it is found, to learn which items are left in it, and again
while its items are asked for. So memory holds one block of a file and one item, whatever the size
of the files. The old files are only ever opened for reading. The old server must not run meanwhile.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import attrs

from starling_py import keys
from starling_py.offline.errors import UnreadableError

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
        return f"{self.path}: at byte {self.offset}: {self.what}; {self.done}"


@attrs.define
class OldQueue:
    """One queue of an old spool."""

    name: bytes
    """The queue's name, which is a legal one here."""
    count: int
    """How many items are left in it."""
    items: Iterable[OldItem]
    """The items, the next one to be handed out first. They are read from the files while they are
    iterated over, each time anew."""
    problems: list[Problem]
    """What was noticed so far. It grows if a file cannot be read any more during an iteration over
    ``items``, and then fewer than ``count`` items come."""


@attrs.define
class OldSpool:
    """All queues of an old spool."""

    queues: Iterator[OldQueue]
    """The queues, in order of their names. Each is read for the first time when its turn comes."""
    left_out: list[Problem]
    """Files and directories that belong to no queue, or to one that is left out, and why."""


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

    def cut_short(self, offset: int) -> UnreadableError:
        """Return the exception for a record that begins at ``offset`` and ends behind the end."""
        return self.unreadable(offset, "this record is cut short, as a crash leaves it")


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


def list_files(directory: Path) -> tuple[list[Path], list[Problem]]:
    """Return the regular files in a directory, by name; and a problem for each other entry.

    Raises ``OSError`` when the directory cannot be listed.
    """
    files, left_out = [], []
    for path in sorted(directory.iterdir(), key=os.fsencode):
        if path.is_file():
            files.append(path)
        else:
            kind = "a directory" if path.is_dir() else "no regular file"
            left_out.append(Problem(path, 0, f"this is {kind}", "it was left out"))
    return files, left_out


def name_problem(name: bytes) -> str | None:
    """Return why an old queue cannot have its name here, or ``None`` if it can.

    A name must be a key that a memcached client can send (memcached's protocol.txt), and a slash
    would begin an option.
    """
    if len(name) > keys.MAX_KEY:
        return f"a name of {len(name)} bytes is too long: {keys.MAX_KEY} are allowed"
    if any(byte <= 0x20 or byte == 0x7F for byte in name):
        return f"the name {keys.printable(name)} has a blank or a control character"
    if b"/" in name or not name:
        return f"the name {keys.printable(name)} is empty or has a slash"
    return None


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
