"""The log while the server runs: two files that are written in turns.

Where a batch of syncs is of several journals, or replies wait for it, what was written goes into
the log as well, in one write, and one sync of the log makes all of it safe. The segments have the
same bytes and are synced behind it, some with each batch. When that is done for all that a file of
the log tells of, the file is written anew from its beginning. Both have their length beforehand, so
a sync of them moves no metadata.

The log is made when it pays, and grows each time that it was full. When it cannot be written or
synced, it is left for good, and the segments are synced themselves, as where there is no log.
Nothing here waits for the disk but ``Entry.run``; making and growing are done in the background.
"""

import contextlib
import logging
from collections.abc import Callable, Hashable, Sequence
from itertools import islice
from typing import Final, Protocol

from starling_py.journal.disk.background import Background, Removal
from starling_py.journal.disk.files import Files, Identity
from starling_py.journal.errors import FileLostError, JournalDamagedError, unforeseen
from starling_py.journal.log import batch
from starling_py.journal.log.batch import Written

log = logging.getLogger(__name__)

NAMES: Final = (".log.1", ".log.2")
"""The files in a spool's directory."""
FIRST_SIZE: Final = 4 << 20
"""Bytes of a file of the log when it is made."""
WORTH: Final = 64
"""Syncs that a log must have been able to do before it is made."""
SHARE: Final = 16
"""A file of the log may take one part in so many of the disk's free space."""
AT_ONCE: Final = 16
"""Journals whose segments are synced behind the log with one batch."""
_ZEROS: Final = 1 << 18


class Part:
    """One of the two files."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.descriptor = -1
        self.identity: Identity = (0, 0)
        self.size = 0
        self.salt = 0
        self.end = batch.HEADER_SIZE
        """Where the next batch goes."""
        self.behind: dict[Hashable, None] = {}
        """The journals whose own files may not have all that the file tells."""


class Entry:
    """One batch of operations on its way into the log; ``run`` in the thread where syncs run."""

    def __init__(
        self, files: Files, part: Part, offset: int, number: int, writes: Sequence[Written]
    ) -> None:
        self._files = files
        self.part = part
        self._offset = offset
        self._number = number
        self._writes = writes
        self.error: OSError | None = None
        """Why it may not be safe; ``None`` if it is."""

    def run(self) -> None:
        """Write the batch and sync the log; keep what goes wrong in ``error``."""
        files, part = self._files, self.part
        try:
            data = batch.encode(self._number, part.salt, self._writes)
            files.write_at(part.descriptor, self._offset, data)
            files.sync(part.descriptor)
            # What is in a file without a name nobody would find.
            if files.identity(part.path) != part.identity:
                raise FileLostError(part.path)
        except OSError as error:
            self.error = error
        except Exception as defect:
            self.error = unforeseen(defect)


class Making:
    """Makes the files of the log, or makes one of them longer; ``run`` in the background."""

    def __init__(self, files: Files, directory: str, parts: Sequence[Part], size: int) -> None:
        self._files = files
        self._directory = directory
        self.parts = parts
        self._size = size
        self.error: OSError | None = None

    def run(self) -> None:
        """Make them; keep what goes wrong in ``error``."""
        files, made = self._files, False
        try:
            for each in self.parts:
                if each.descriptor < 0:
                    self._make(each)
                    made = True
                self._fill(each)
            if made:
                files.sync_directory(self._directory)
        except OSError as error:
            self.error = error
        except Exception as defect:
            self.error = unforeseen(defect)

    def _make(self, part: Part) -> None:
        files = self._files
        with contextlib.suppress(FileNotFoundError):
            files.unlink(part.path)  # a leftover is never written to again
        part.descriptor = files.open_placed(part.path, new=True)
        part.identity = files.identity_of(part.descriptor)
        part.salt = files.random_bits()
        files.write_at(part.descriptor, 0, batch.header(part.salt))
        part.size = batch.HEADER_SIZE

    def _fill(self, part: Part) -> None:
        """Write zeros up to the length, so that no later sync has to do with the file's size."""
        size = part.size
        while size < self._size:
            piece = min(_ZEROS, self._size - size)
            self._files.write_at(part.descriptor, size, bytes(piece))
            size += piece
        self._files.sync(part.descriptor)
        part.size = size


class SomeLog(Protocol):
    """What a journal asks of the log."""

    def read_back(self, begin: Written, end: int) -> bytes:
        """Return what was written to a segment from ``begin`` up to the offset ``end``."""


class Log:
    """The log of a spool; but for what ``Entry`` and ``Making`` do, it is used in the tick."""

    def __init__(
        self,
        files: Files,
        directory: str,
        background: Background,
        is_ours: Callable[[], bool],
        *,
        size: int,
        most: int,
        least: int = 2,
        worth: int = WORTH,
    ) -> None:
        """``directory`` is the spool's, and ``is_ours`` tells whether it is the one locked.

        ``size``: bytes that each of the two files may grow to. ``most``: how many journals may be
        behind, as their segments stay open. ``least``: how many must have something for it: one
        where replies wait, as a sync of the log is quicker than that of a file that grows.
        ``worth``: see ``WORTH``.
        """
        self._files = files
        self._directory = directory
        self._background = background
        self._is_ours = is_ours
        self._limit = size
        self._most = most
        self._least = least
        self._worth = worth
        self._saved = 0
        """Syncs that it could have done."""
        self._parts: list[Part] = []
        self._present = 0
        self._number = 0
        self._making: Making | None = None
        self._failed = False
        self.entries = 0
        """Batches written since the server started."""

    @property
    def size(self) -> int:
        """Bytes that the files take on the disk."""
        return sum(each.size for each in self._parts)

    def disable(self) -> None:
        """Never make one: the files are there, and what they tell is still needed."""
        self._worth = 1 << 62

    def entry(self, writes: Sequence[Written]) -> Entry | None:
        """Return the batch that makes these writes safe; ``None`` if the log is not to be used."""
        if len(writes) < self._least or self._failed:
            return None
        if not self._parts:
            self._saved += len(writes) - self._least + 1
            if self._saved >= self._worth and self._making is None:
                self._make()
            return None
        size = batch.size_of(writes)
        part = self._parts[self._present]
        if part.end + size > part.size:
            other = self._parts[1 - self._present]
            if other.behind or self._making is not None or batch.HEADER_SIZE + size > other.size:
                return None
            self._present = 1 - self._present
            part, other = other, part
            part.end = batch.HEADER_SIZE
        if self._is_crowded(len(writes)):
            return None
        self._number += 1
        self.entries += 1
        entry = Entry(self._files, part, part.end, self._number, writes)
        part.end += size
        return entry

    def hold(self, entry: Entry, who: Hashable) -> None:
        """Keep what a batch tells of a journal until its own files have it."""
        entry.part.behind[who] = None

    def let_go(self, who: Hashable) -> None:
        """Learn that a journal's own files have all that the log tells, or it is gone."""
        for each in self._parts:
            if each.behind.pop(who, self) is None and not each.behind:
                self._freed(each)

    def to_free(self) -> list[Hashable]:
        """Return some of the journals whose files are to be synced, so that room gets free."""
        if not self._parts:
            return []
        present, other = self._parts[self._present], self._parts[1 - self._present]
        if other.behind:
            return list(islice(other.behind, AT_ONCE))
        if self._failed or self._is_crowded(0):
            return list(islice(present.behind, AT_ONCE))
        return []

    def everybody(self) -> list[Hashable]:
        """Return all journals whose own files may not have what the log tells."""
        return list({who: None for each in self._parts for who in each.behind})

    def fail(self, error: OSError) -> None:
        """Leave the log for good: a batch could not be written or synced."""
        log.error("%s/.log: given up: %s", self._directory, error)
        self._failed = True
        if not self.everybody():
            self._abandon()

    def read_back(self, begin: Written, end: int) -> bytes:
        """Return what was written to a segment from ``begin`` up to the offset ``end``.

        In the thread where syncs run. Raises ``OSError`` and ``JournalDamagedError``.
        """
        found: list[tuple[int, bytes]] = []
        for part in self._parts:
            data = self._files.read_open(part.descriptor, 0, part.size)
            for _, start, stop in batch.walk(data, part.salt):
                found.extend(
                    (each.offset, bytes(each.pieces[0]))
                    for each in batch.decode(part.path, data, start, stop)
                    if each.is_of(begin)
                )
        content, place = [], begin.offset
        for offset, data in sorted(found):
            if offset <= place < offset + len(data):
                content.append(data[place - offset :])
                place = offset + len(data)
        joined = b"".join(content)
        if place < end:
            reason = f"segment {begin.number} of {begin.directory} is not told of from {place} on"
            raise JournalDamagedError(f"{self._directory}/.log", 0, reason)
        return joined[: end - begin.offset]

    def close(self) -> None:
        """Close the files, and remove them if nothing that they tell is needed any more."""
        if self._making is not None:
            self._made(self._making)
        if not self._parts:
            return
        if self.everybody():
            for each in self._parts:
                self._close(each)
            return
        for path in self._drop():
            with contextlib.suppress(OSError):
                self._files.unlink(path)

    def _is_crowded(self, more: int) -> bool:
        return more + sum(len(each.behind) for each in self._parts) > self._most

    def _make(self) -> None:
        size = min(FIRST_SIZE, self._limit)
        if not self._has_room(2 * size):
            self._put_off()
            return
        parts = [Part(f"{self._directory}/{name}") for name in NAMES]
        self._begin(Making(self._files, self._directory, parts, size))

    def _freed(self, part: Part) -> None:
        """Learn that a file is not needed as it is; let it grow, as it was full."""
        if self._failed:
            if not self.everybody():
                self._abandon()
            return
        size = min(2 * part.size, self._limit)
        other = part is not self._parts[self._present]
        if other and size > part.size and self._making is None and self._has_room(size):
            self._begin(Making(self._files, self._directory, [part], size))

    def _begin(self, making: Making) -> None:
        self._making = making
        self._background.submit(making, lambda: self._made(making))

    def _made(self, making: Making) -> None:
        self._making = None
        if making.error is not None:
            log.warning("%s/.log: cannot be made larger: %s", self._directory, making.error)
        if self._parts:
            return  # one of them has grown, or not
        if making.error is None:
            self._parts = list(making.parts)
            self._present = 0
            return
        self._put_off()
        for each in making.parts:
            if each.descriptor >= 0:
                self._close(each)
                with contextlib.suppress(OSError):
                    self._files.unlink(each.path)

    def _abandon(self) -> None:
        """Remove the files that failed; perhaps later there are others."""
        self._failed = False
        self._put_off()
        self._background.submit(Removal(self._files, self._drop()))

    def _put_off(self) -> None:
        self._saved = 0
        self._worth *= 16

    def _drop(self) -> list[str]:
        """Close the files and forget them; return their paths."""
        parts, self._parts = self._parts, []
        for each in parts:
            self._close(each)
        return [each.path for each in parts]

    def _close(self, part: Part) -> None:
        with contextlib.suppress(OSError):
            self._files.close(part.descriptor)

    def _has_room(self, size: int) -> bool:
        if not self._is_ours():
            return False
        try:
            return self._files.free_space(self._directory) >= SHARE * size
        except OSError:
            return False
