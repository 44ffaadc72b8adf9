"""What of a journal is written, and how much of that is safe.

More may be written while a sync is under way, and that sync does not cover it. What was
acknowledged before it was safe is kept in memory until it is: should the file go bad, that is all
there is of it.
"""


class Safety:
    """The track of one journal's writes and syncs."""

    def __init__(self, end: tuple[int, int] | None, *, keeps: bool) -> None:
        self.end = end
        """Up to where everything is safe, a segment and its size; ``None`` if nothing is."""
        self.keeps = keeps
        """Whether what is written is kept until it is safe."""
        self.kept: list[bytes] = []
        """The records since ``end``, if they are kept, one piece for each write."""
        self.written = 0
        """Writes up to now."""
        self.covered = 0
        """How many of them the last sync that succeeded covers."""
        self._written_before = self._kept_before = 0

    def begin_sync(self) -> None:
        """Take notice that a sync of all that is written begins."""
        self._written_before = self.written
        self._kept_before = len(self.kept)

    def end_sync(self, end: tuple[int, int]) -> None:
        """Take notice that it succeeded, and that everything up to ``end`` is safe."""
        self.end = end
        self.covered = self._written_before
        del self.kept[: self._kept_before]

    def healed(self, end: tuple[int, int]) -> None:
        """Take notice that all that counts is safe elsewhere, and ends there."""
        self.end = end
        self.covered = self.written
        self.kept.clear()
        self._kept_before = 0
