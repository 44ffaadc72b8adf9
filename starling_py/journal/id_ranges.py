"""Sets of ids that lie close together, kept as ranges.

The ids of items that left a queue out of turn are such a set: if one item stays and millions behind
it are taken, those are one range. Memory grows with the ranges, not with the ids. They are kept in
chunks of bounded size: adding to one long list would move all that is behind, and clients decide in
which order ids are added.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

LARGEST: Final = 1024
"""Ranges in a chunk, above which it is cut in two."""
# Most sets are empty, and there are many of them: these are never added to.
_NO_CHUNKS: Final[list[list[int]]] = []
_NO_TOPS: Final[list[int]] = []


class IdRanges:
    """A set of whole numbers, kept as ranges; the end of a range is not in it."""

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        """``ranges``, each a start and an end, are in order; none is empty, no two touch."""
        starts: list[int] = []
        ends: list[int] = []
        for start, end in ranges:
            starts.append(start)
            ends.append(end)
        self._starts = self._ends = _NO_CHUNKS
        self._tops = _NO_TOPS
        if starts:
            self._fill(starts, ends)

    def _fill(self, starts: list[int], ends: list[int]) -> None:
        size = LARGEST // 2
        cuts = range(0, len(starts), size)
        self._starts = [starts[cut : cut + size] for cut in cuts]
        """The starts of the ranges, in chunks; no chunk is empty."""
        self._ends = [ends[cut : cut + size] for cut in cuts]
        """Their ends, in chunks of the same sizes."""
        self._tops = [each[-1] for each in self._ends]
        """The last end of each chunk."""

    def __bool__(self) -> bool:
        return bool(self._tops)

    def __len__(self) -> int:
        """Return the number of ranges."""
        return sum(map(len, self._starts))

    def __iter__(self) -> Iterator[tuple[int, int]]:
        starts, ends = chain.from_iterable(self._starts), chain.from_iterable(self._ends)
        return zip(starts, ends, strict=True)

    def __contains__(self, number: int) -> bool:
        return self.skip(number) != number

    def copy(self) -> "IdRanges":
        """Return another set with the same numbers."""
        return IdRanges(self)

    def add(self, start: int, end: int) -> None:
        """Add the numbers from ``start`` up to, but not with, ``end``."""
        tops = self._tops
        if tops and tops[-1] == start:
            self._ends[-1][-1] = tops[-1] = end
            return
        at = bisect_left(tops, start)
        if at == len(tops):
            # Behind all others: the end of the last chunk, so that few chunks are small.
            if not tops:
                self._fill([start], [end])
                return
            at -= 1
        starts, ends = self._starts[at], self._ends[at]
        while at + 1 < len(tops) and self._starts[at + 1][0] <= end:
            # It touches the next chunk as well: what is behind the first touched goes into one.
            starts += self._starts.pop(at + 1)
            ends += self._ends.pop(at + 1)
            tops.pop(at)
        first = bisect_left(ends, start)
        last = bisect_right(starts, end)
        if first < last:
            start = min(start, starts[first])
            end = max(end, ends[last - 1])
        starts[first:last] = [start]
        ends[first:last] = [end]
        tops[at] = ends[-1]
        if len(starts) > LARGEST:
            self._cut(at)

    def skip(self, number: int) -> int:
        """Return the lowest number from ``number`` on that is not in the set."""
        at = bisect_right(self._tops, number)
        if at < len(self._tops):
            index = bisect_right(self._starts[at], number)
            if index:
                end = self._ends[at][index - 1]
                if number < end:
                    return end
        return number

    def drop_below(self, number: int) -> None:
        """Drop all numbers below ``number`` from the set."""
        whole = bisect_right(self._tops, number)
        if whole:
            del self._starts[:whole]
            del self._ends[:whole]
            del self._tops[:whole]
        if self._tops:
            starts, ends = self._starts[0], self._ends[0]
            count = bisect_right(ends, number)
            if count:
                del starts[:count]
                del ends[:count]
            if starts[0] < number:
                starts[0] = number

    def _cut(self, at: int) -> None:
        """Cut a chunk that has become too large into smaller ones."""
        size = LARGEST // 2
        starts, ends = self._starts[at], self._ends[at]
        cuts = range(0, len(starts), size)
        self._starts[at : at + 1] = [starts[cut : cut + size] for cut in cuts]
        self._ends[at : at + 1] = [ends[cut : cut + size] for cut in cuts]
        self._tops[at : at + 1] = [each[-1] for each in self._ends[at : at + len(cuts)]]
