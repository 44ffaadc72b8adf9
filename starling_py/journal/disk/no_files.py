"""A disk that keeps nothing, for the journals of queues that are in memory only.

Such a queue goes the same way as any other, so it has the same rules; only nothing of it is ever
written, nor read back, and there is nothing to be reserved for it.
"""

from starling_py.journal.disk.files import Files
from starling_py.journal.disk.reserve import SomeReserve

SEGMENT_SIZE = 1 << 62
"""No second segment is ever begun."""


class NoFiles(Files):
    """The file calls of a journal's writing, without effect."""

    def make_directory(self, path: str) -> None:
        """Do nothing."""

    def list_directory(self, path: str) -> list[str]:
        """Return that there is nothing."""
        return []

    def create(self, path: str) -> int:
        """Return what is no descriptor."""
        return -1

    def open(self, path: str) -> int:
        """Return what is no descriptor."""
        return -1

    def write(self, descriptor: int, data: bytes) -> int:
        """Take all of it, and forget it."""
        return len(data)

    def close(self, descriptor: int) -> None:
        """Do nothing."""

    def rename(self, old: str, new: str) -> None:
        """Do nothing."""

    def unlink(self, path: str) -> None:
        """Do nothing."""


class NoReserve(SomeReserve):
    """Room for removals that take none."""

    def __init__(self) -> None:
        self.short = False

    def changed(self, items: int) -> None:
        """Do nothing."""

    def restore(self) -> bool:
        """Return that there is enough."""
        return True

    def can_spare(self, size: int) -> bool:
        """Return that there is enough."""
        return True

    def lend(self, size: int, *, removals_only: bool) -> bool:
        """Return that there is nothing to give away."""
        return False
