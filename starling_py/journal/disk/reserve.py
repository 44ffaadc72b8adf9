"""Room on the disk that is kept for removals: a full disk must not keep a queue from shrinking.

Every live item has room for the record of its removal reserved, in one file that takes up space
and holds nothing. When the disk is full, puts are refused and the file gives its room away, a
little at a time, to the records of removals. When there is room again, the file grows back to what
is needed, and puts are taken again.
"""

import logging
from abc import ABC, abstractmethod
from typing import Final

from mypy_extensions import trait

from starling_py.journal.disk.files import Files
from starling_py.journal.format import record

log = logging.getLogger(__name__)

NAME: Final = ".reserve"
SLACK: Final = 1 << 18
"""Bytes reserved beside what removals need: for new segments, and for what one commit holds."""
STEP: Final = 1 << 18
"""Bytes by which the reserve grows at least, and above which it is worth shrinking."""


@trait
class SomeReserve(ABC):
    """What a journal asks of the room that is reserved, or of what stands for it in memory."""

    short: bool
    """Whether there is too little, so that nothing more may be put."""

    @abstractmethod
    def changed(self, items: int) -> None:
        """Count ``items`` more live items; reserve room for their removals."""

    @abstractmethod
    def restore(self) -> bool:
        """Reserve what is needed; return whether there is room for it."""

    @abstractmethod
    def can_spare(self, size: int) -> bool:
        """Tell whether ``size`` bytes of records that are no removals leave those enough."""

    @abstractmethod
    def lend(self, size: int, *, removals_only: bool) -> bool:
        """Give away room for records that the disk has refused; tell whether to try again."""


class Reserve(SomeReserve):
    """The file that keeps the room. Its own trouble is never raised: it makes puts wait."""

    def __init__(self, files: Files, path: str) -> None:
        """Open the file in the spool's directory, or make it. Raises ``OSError``.

        What a server has reserved that died stays reserved.
        """
        self._files = files
        self._path = f"{path}/{NAME}"
        try:
            self._size = files.size(self._path)
            self._descriptor = files.open(self._path)
        except FileNotFoundError:
            self._size = 0
            self._descriptor = files.create(self._path)
        self._items = 0
        self.needed = SLACK
        """Bytes that the removals of all live items would take, and some more."""
        self.short = True
        """Whether there is too little, so that nothing more may be put."""
        self._full = False
        """Whether the disk has refused something, and nothing could be reserved since."""

    def changed(self, items: int) -> None:
        """Count ``items`` more live items, fewer if negative; reserve room for their removals."""
        self._items += items
        self.needed += items * record.REMOVE_SIZE
        if self.needed > self._size and not self.short:
            self.short = not self.restore()

    def restore(self) -> bool:
        """Reserve what is needed; return whether there is room for it."""
        needed = self.needed
        if self._size < needed and not (self._grow(needed + STEP) or self._grow(needed)):
            return False
        self.short = False
        return True

    def tidy(self) -> None:
        """Give back what is reserved and not needed any more."""
        if not self.short and self._size > 2 * (self.needed + STEP):
            self._shrink(self.needed + STEP)

    def lend(self, size: int, *, removals_only: bool) -> bool:
        """Give away room for so many bytes of records that the disk has refused.

        Puts may only have what no removal needs. Returns whether it is worth trying again.
        """
        if not self.short:
            log.error("%s: the disk is full; nothing more can be put", self._path)
            self.short = True
        self._full = True
        free = self._size if removals_only else self._size - self._items * record.REMOVE_SIZE
        # File systems hand out whole blocks, and some of them for the bookkeeping.
        wanted = (size // 4096 + 4) * 4096
        if free < wanted:
            return False
        return self._shrink(self._size - wanted)

    def can_spare(self, size: int) -> bool:
        """Return whether so many bytes of records that are no removals leave those enough.

        On a full disk, half of the slack is left to what removals need beside their records.
        """
        if not self.short and not self._full:
            return True
        least = self._items * record.REMOVE_SIZE + SLACK // 2 + size
        return self._size >= least or self._grow(least + STEP)

    def close(self) -> None:
        """Give all room back."""
        try:
            self._files.close(self._descriptor)
            self._files.unlink(self._path)
        except OSError as error:
            log.warning("%s: cannot be removed: %s", self._path, error)

    def _grow(self, size: int) -> bool:
        try:
            self._files.allocate(self._descriptor, size)
        except OSError as error:
            if not self.short and not self._full:
                log.error("%s: no room can be reserved: %s", self._path, error.strerror or error)
            self._shrink(self._size)  # it may have got some of it
            return False
        self._size = size
        self._full = False
        return True

    def _shrink(self, size: int) -> bool:
        try:
            self._files.truncate(self._descriptor, size)
        except OSError as error:
            log.warning("%s: cannot be cut to %d bytes: %s", self._path, size, error)
            return False
        self._size = size
        return True
