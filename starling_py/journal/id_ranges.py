"""Sets of ids that lie close together, kept as ranges.

The ids of items that left a queue out of turn are such a set: if one item stays and millions behind
it are taken, those are one range. Memory and time grow with the ranges, not with the ids.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class IdRanges:
    """A set of whole numbers, kept as ranges; the end of a range is not in it."""

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        """``ranges``, each a start and an end, are in order; none is empty, no two touch."""
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in ranges:
            self._starts.append(start)
            self._ends.append(end)

    def __bool__(self) -> bool:
        return bool(self._starts)

    def __len__(self) -> int:
        """Return the number of ranges."""
        return len(self._starts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._ends, strict=True)

    def __contains__(self, number: int) -> bool:
        index = bisect_right(self._starts, number)
        return index > 0 and number < self._ends[index - 1]

    def copy(self) -> "IdRanges":
        """Return another set with the same numbers."""
        return IdRanges(self)

    def add(self, start: int, end: int) -> None:
        """Add the numbers from ``start`` up to, but not with, ``end``."""
        ends = self._ends
        if ends and ends[-1] == start:
            ends[-1] = end
            return
        first = bisect_left(ends, start)
        last = bisect_right(self._starts, end)
        if first < last:
            start = min(start, self._starts[first])
            end = max(end, ends[last - 1])
        self._starts[first:last] = [start]
        ends[first:last] = [end]

    def skip(self, number: int) -> int:
        """Return the lowest number from ``number`` on that is not in the set."""
        index = bisect_right(self._starts, number)
        if index and number < self._ends[index - 1]:
            return self._ends[index - 1]
        return number

    def drop_below(self, number: int) -> None:
        """Drop all numbers below ``number`` from the set."""
        count = bisect_right(self._ends, number)
        del self._starts[:count]
        del self._ends[:count]
        if self._starts and self._starts[0] < number:
            self._starts[0] = number
