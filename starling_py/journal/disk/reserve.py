"""Room on the disk that is kept for removals: a full disk must not keep a queue from shrinking.

For every live item, room for the record of its removal is reserved, in one file that takes up space
and holds nothing. When the disk is full, puts are refused, and the file gives its room away to the
records of removals, a little at a time. When there is room again, the file grows back to what is
needed, and puts are accepted again. The file is an inode in reserve as well: where there is no
other left, it is removed for the sake of one that must be made.

Something else in the file's place (a link, a FIFO, another user's file) is left alone. No room is
reserved then, and puts are accepted all the same.
"""

import contextlib
import logging
from abc import ABC, abstractmethod
from typing import Final

from mypy_extensions import trait

from starling_py.journal.disk.files import NO_ROOM, Files
from starling_py.journal.format import record

log = logging.getLogger(__name__)

NAME: Final = ".reserve"
SLACK: Final = 1 << 18
"""Bytes reserved beside what removals need: for new segments, and for what one commit holds."""
STEP: Final = 1 << 18
"""Bytes reserved beyond what is needed, so that the file need not grow with every put."""


@trait
class SomeReserve(ABC):
    """What a journal asks of the reserve: the file's, or ``NoReserve`` for a queue in memory."""

    short: bool
    """Whether less is reserved than is needed, so that puts are refused."""

    @abstractmethod
    def changed(self, items: int) -> None:
        """Count ``items`` more live items, fewer if negative; reserve room for their removals."""

    @abstractmethod
    def restore(self) -> bool:
        """Reserve what is needed; return whether there is room for it."""

    @abstractmethod
    def can_spare(self, size: int) -> bool:
        """Tell whether removals keep enough when other records take ``size`` bytes."""

    @abstractmethod
    def lend(self, size: int, *, removals_only: bool) -> bool:
        """Give up room for ``size`` bytes that the disk refused; return whether to try again."""


class Reserve(SomeReserve):
    """The file that keeps the room. Its own errors are never raised: they make it ``short``."""

    def __init__(self, files: Files, path: str) -> None:
        """Open the file in the spool's directory ``path``, or create it.

        What a server that was killed had reserved stays reserved.
        """
        self._files = files
        self._path = f"{path}/{NAME}"
        self._descriptor: int | None = None
        """The open file; ``None`` while there is none."""
        self._size = 0
        self._unusable = False
        """Whether the file cannot be opened, for another reason than a full disk."""
        self._items = 0
        self.needed = SLACK
        """Bytes that the removals of all live items would take, and ``SLACK``."""
        self.short = True
        """Whether less is reserved than is needed, so that puts are refused."""
        self._full = False
        """Whether the disk has refused something, and nothing could be reserved since."""
        self._open()

    def changed(self, items: int) -> None:
        """Count ``items`` more live items, fewer if negative; reserve room for their removals.

        While it is ``short``, nothing is reserved here: the next put looks for room by ``restore``.
        """
        self._items += items
        self.needed += items * record.REMOVE_SIZE
        if self.needed > self._size and not self.short and not self._unusable:
            self.short = not self.restore()

    def restore(self) -> bool:
        """Reserve what is needed; return whether there is room for it."""
        if self._descriptor is None and not self._open():
            self.short = not self._unusable
            return self._unusable
        needed = self.needed
        if self._size < needed and not (self._grow(needed + STEP) or self._grow(needed)):
            return False
        self.short = False
        return True

    def mend(self) -> bool:
        """Go on with a new file if somebody has removed this one; return whether that was so.

        Raises ``OSError``.
        """
        if self._descriptor is None:
            return False
        with contextlib.suppress(FileNotFoundError):
            if self._files.identity(self._path) == self._files.identity_of(self._descriptor):
                return False
        descriptor = self._files.create(self._path)
        self._files.close(self._descriptor)
        self._descriptor, self._size = descriptor, 0
        self.short = not self.restore()
        return True

    def tidy(self) -> None:
        """Cut the file when it has more than twice the room that is needed.

        If it could not be opened, try again.
        """
        if self._unusable and self._open():
            self.restore()
        if not self.short and self._size > 2 * (self.needed + STEP):
            self._shrink(self.needed + STEP)

    def lend(self, size: int, *, removals_only: bool) -> bool:
        """Give up room for ``size`` bytes that the disk refused; return whether to try again.

        ``removals_only``: whether they only make queues smaller. Others get no more than what the
        removals of all live items leave.
        """
        if self._unusable:
            return False
        if not self.short:
            log.error("%s: the disk is full; nothing more can be put", self._path)
            self.short = True
        self._full = True
        free = self._size if removals_only else self._size - self._items * record.REMOVE_SIZE
        # File systems hand out whole blocks, and take some for their own bookkeeping.
        wanted = (size // 4096 + 4) * 4096
        if free < wanted:
            return False
        return self._shrink(self._size - wanted)

    def can_spare(self, size: int) -> bool:
        """Tell whether removals keep enough when other records take ``size`` bytes.

        They do while the disk is not full. When it is, half of the slack is kept too, for what
        removals need beside their records: the beginning of a segment, whole blocks.
        """
        if self._unusable or (not self.short and not self._full):
            return True
        least = self._items * record.REMOVE_SIZE + SLACK // 2 + size
        return self._size >= least or self._grow(least + STEP)

    def lend_file(self) -> bool:
        """Remove the file, for the sake of another one; return whether there was one.

        All of its room is free then, and puts are refused until it can be made anew.
        """
        if self._descriptor is None:
            return False
        log.error("%s: removed, as no other file can be made; nothing more can be put", self._path)
        self.short = self._full = True
        self.close()
        return True

    def close(self) -> None:
        """Remove the file: its room is free again."""
        descriptor, self._descriptor, self._size = self._descriptor, None, 0
        if descriptor is None:
            return
        try:
            self._files.close(descriptor)
            self._files.unlink(self._path)
        except (OSError, MemoryError) as error:
            log.warning("%s: cannot be removed: %s", self._path, error)

    def _open(self) -> bool:
        """Open the file, or create it; return whether it is open."""
        files, path = self._files, self._path
        try:
            try:
                self._descriptor = files.open_unshared(path)
                self._size = files.size(path)
            except FileNotFoundError:
                self._descriptor = files.create(path)
        except OSError as error:
            unusable = error.errno not in NO_ROOM
            if unusable and not self._unusable:
                what = error.strerror or error
                log.error("%s: no room can be reserved for removals: %s", path, what)
            self._unusable = unusable
            return False
        self._unusable = False
        return True

    def _grow(self, size: int) -> bool:
        if self._descriptor is None:
            return False
        try:
            self._files.allocate(self._descriptor, size)
        except (OSError, MemoryError) as error:
            if not self.short and not self._full:
                log.error("%s: no room can be reserved: %s", self._path, error)
            self._shrink(self._size)  # some of it may have been allocated
            return False
        self._size = size
        self._full = False
        return True

    def _shrink(self, size: int) -> bool:
        if self._descriptor is None:
            return False
        try:
            self._files.truncate(self._descriptor, size)
        except (OSError, MemoryError) as error:
            log.warning("%s: cannot be cut to %d bytes: %s", self._path, size, error)
            return False
        self._size = size
        return True
