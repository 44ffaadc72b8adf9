"""A disk that keeps nothing, for the journals of queues that are in memory only.

Such a queue goes through the same journal code as any other, so the same rules hold for it. Nothing
of it is ever written or read back, and no room on the disk is reserved for it.
"""

from starling_py.journal.disk.files import Files, Identity
from starling_py.journal.disk.reserve import SomeReserve

SEGMENT_SIZE = 1 << 62
"""Bytes that no segment reaches, so no second one is ever begun."""


class NoFiles(Files):
    """The file calls that a journal makes when it writes, without effect."""

    def make_directory(self, path: str) -> None:
        """Do nothing."""

    def list_directory(self, path: str) -> list[str]:
        """Return no names."""
        return []

    def create(self, path: str) -> int:
        """Return -1, as no file is opened."""
        return -1

    def open(self, path: str) -> int:
        """Return -1, as no file is opened."""
        return -1

    def identity_of(self, descriptor: int) -> Identity:
        """Return the same for every file."""
        return 0, 0

    def write(self, descriptor: int, data: bytes) -> int:
        """Drop ``data``, and return that all of it was written."""
        return len(data)

    def close(self, descriptor: int) -> None:
        """Do nothing."""

    def rename(self, old: str, new: str) -> None:
        """Do nothing."""

    def unlink(self, path: str) -> None:
        """Do nothing."""


class NoReserve(SomeReserve):
    """The reserve of a journal whose removals take no room."""

    def __init__(self) -> None:
        self.short = False

    def changed(self, items: int) -> None:
        """Do nothing."""

    def restore(self) -> bool:
        """Return ``True``: nothing is needed."""
        return True

    def can_spare(self, size: int) -> bool:
        """Return ``True``: nothing is needed."""
        return True

    def lend(self, size: int, *, removals_only: bool) -> bool:
        """Return ``False``: there is nothing to lend."""
        return False
