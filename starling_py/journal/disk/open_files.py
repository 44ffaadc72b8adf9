"""The open segments of all journals: no more of them than the process can have.

A journal keeps its last segment open from one write to the next. When there are more journals than
may have theirs open, idle ones are closed, those opened first before the others; their next write
opens them again. Only where none is idle is one closed that has to be synced for it.
"""

from typing import Protocol


class Closable(Protocol):
    """What has a file open: the writer of a journal's segments."""

    idle: bool
    """Whether the file can be closed as it is, since nothing in it needs a sync."""

    def close(self) -> None:
        """Close the file, and report that with ``OpenFiles.closed``."""

    def evict(self) -> bool:
        """Close the file though it is not idle; return whether that was possible."""


class OpenFiles:
    """The writers that have a file open, in the order of opening."""

    def __init__(self, limit: int) -> None:
        """``limit`` is how many may have theirs open; more only while none is idle."""
        self._limit = limit
        self._open: dict[Closable, None] = {}
        self.crowded = False
        """Whether more are open than ``limit``, as too few of them were idle."""

    def __len__(self) -> int:
        return len(self._open)

    def opened(self, who: Closable) -> None:
        """Count one more open file; if there are too many, close others that are idle."""
        self._open[who] = None
        if len(self._open) > self._limit:
            # Many at once, as finding the idle ones takes a look at all.
            self.close_idle(self._limit // 4 + 1, but=who)
            self.crowded = len(self._open) > self._limit

    def trim(self) -> None:
        """Close files that are not idle, one by one, until no more are open than ``limit``."""
        for each in list(self._open):
            if each.evict() and not self.crowded:
                break

    def closed(self, who: Closable) -> None:
        """Count one open file less."""
        self._open.pop(who, None)
        self.crowded = len(self._open) > self._limit

    def close_idle(self, count: int, but: Closable | None = None) -> None:
        """Close up to ``count`` idle files, those opened first before the others; not ``but``'s."""
        idle = [each for each in self._open if each.idle and each is not but]
        for each in idle[:count]:
            each.close()
