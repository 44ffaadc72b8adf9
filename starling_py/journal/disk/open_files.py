"""The open segments of all journals: no more of them than the process can have.

A journal keeps its last segment open from one write to the next. Where there are more journals
than descriptors, those that have had nothing to write for longest are closed; their next write
opens them again.
"""

from typing import Protocol


class Closable(Protocol):
    """Who has a file open."""

    idle: bool
    """Whether the file can be closed and nothing is lost."""

    def close(self) -> None:
        """Close it, and say so."""

    def evict(self) -> bool:
        """Close it though it is not idle, and return whether that was possible."""


class OpenFiles:
    """Those who have a file open, in the order of opening."""

    def __init__(self, limit: int) -> None:
        """``limit`` is how many may be open."""
        self._limit = limit
        self._open: dict[Closable, None] = {}
        self.crowded = False
        """Whether more are open than may be, as none of them was idle."""

    def __len__(self) -> int:
        return len(self._open)

    def opened(self, who: Closable) -> None:
        """Take notice of an open file, and close others that are idle if there are too many."""
        self._open[who] = None
        if len(self._open) > self._limit:
            self.close_idle(self._limit // 4 + 1, but=who)
            self.crowded = len(self._open) > self._limit

    def trim(self) -> None:
        """Close some of those that are not idle, as there are too many."""
        for each in list(self._open):
            if each.evict() and not self.crowded:
                break

    def closed(self, who: Closable) -> None:
        """Take notice that a file is closed."""
        self._open.pop(who, None)
        self.crowded = len(self._open) > self._limit

    def close_idle(self, count: int, but: Closable | None = None) -> None:
        """Close so many of the idle files, those opened first before the others."""
        idle = [each for each in self._open if each.idle and each is not but]
        for each in idle[:count]:
            each.close()
