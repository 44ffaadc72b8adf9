"""Which files the spool has at one point of the stream, and which messages they still need.

Owner and followers keep it in the same way, from the operations alone. A file needs the messages
from the one on that made it, or that told all of it again. So what is in front of the oldest of
these can go from the stream. Where too much of the stream is dead, the files that keep its older
half are told again (``victims``). Nothing here touches a file.
"""

from collections.abc import Iterable
from typing import Final

import attrs

from starling_py.replica import operations
from starling_py.replica.operations import Operation

BOUND: Final = 64 << 20
"""Bytes that the stream may take beyond twice those of the files."""


@attrs.define
class Told:
    """One file."""

    first: int
    """The sequence number of the first message that it needs."""
    size: int = 0
    again: int | None = None
    """The message in which it began to be told again, if that is not complete."""


@attrs.define
class StreamLedger:
    """The files at one point of the stream."""

    files: dict[str, Told] = attrs.field(factory=dict)

    @property
    def live(self) -> int:
        """Bytes of all files."""
        return sum(each.size for each in self.files.values())

    def note(self, sequence: int, changes: Iterable[Operation]) -> None:
        """Note the operations of the message with this number."""
        for each in changes:
            self._note(sequence, each)

    def first_needed(self, last: int) -> int:
        """Return the number of the first message that is needed; ``last``: that of the last one."""
        return min((each.first for each in self.files.values()), default=last)

    def is_too_long(self, size: int, bound: int = BOUND) -> bool:
        """Tell whether a stream of so many bytes has too much that nobody needs."""
        return size > 2 * self.live + bound

    def victims(self, first: int, last: int, size: int, bound: int = BOUND) -> list[str]:
        """Return the files that are to be told again, the oldest first; none while that is right.

        The stream has messages from ``first`` to ``last``, which take ``size`` bytes.
        """
        if not self.is_too_long(size, bound):
            return []
        middle = (first + last) // 2
        old = [(each.first, path) for path, each in self.files.items() if each.first <= middle]
        return [path for _, path in sorted(old)]

    def _note(self, sequence: int, each: Operation) -> None:
        kind, path = each.kind, each.path
        if kind == operations.CREATED:
            self.files[path] = Told(sequence)
        elif kind == operations.WROTE:
            told = self.files.setdefault(path, Told(sequence))
            told.size = max(told.size, each.offset + len(each.data))
        elif kind == operations.CUT:
            self.files.setdefault(path, Told(sequence)).size = each.offset
        elif kind == operations.RENAMED:
            self._rename(path, each.new_path)
        elif kind == operations.LINKED:
            if path in self.files:
                self.files[each.new_path] = attrs.evolve(self.files[path], again=None)
        elif kind == operations.REMOVED:
            self.files.pop(path, None)
        elif kind in (operations.RESTATING, operations.RESTATED):
            self._restate(sequence, each)

    def _rename(self, old: str, new: str) -> None:
        told = self.files.pop(old, None)
        if told is not None:
            self.files[new] = told
            return
        below = f"{old}/"
        for path in [each for each in self.files if each.startswith(below)]:
            self.files[f"{new}/{path.removeprefix(below)}"] = self.files.pop(path)

    def _restate(self, sequence: int, each: Operation) -> None:
        told = self.files.setdefault(each.path, Told(sequence))
        told.size = max(told.size, each.offset + len(each.data))
        if each.offset == 0:
            told.again = sequence
        if each.kind == operations.RESTATED and told.again is not None:
            told.first, told.again = told.again, None
