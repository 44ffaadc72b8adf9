"""Whether something is worth trying that pays at some times and not at others.

That is found out by trying: each time it did not pay, it is tried less often, each time it did,
more often. So one that pays most of the time is done nearly always, and one that hardly ever does
costs next to nothing; no single outcome decides.
"""

from typing import Final

SELDOM: Final = 1023
"""The most occasions that are left out between two tries; one less than a power of two."""


class Backoff:
    """Something that may pay."""

    def __init__(self, apart: int = 0) -> None:
        """Leave out so many occasions before the first try."""
        self._apart = apart
        """Occasions to leave out after a try, as far as is known."""
        self._left_out = apart
        """Those yet to leave out."""

    def is_due(self) -> bool:
        """Tell on an occasion whether to try; if so, ``note`` what came of it, or ask again."""
        if self._left_out:
            self._left_out -= 1
            return False
        return True

    def note(self, *, paid: bool) -> None:
        """Take notice of the outcome of a try."""
        self._apart = self._apart // 2 if paid else min(2 * self._apart + 1, SELDOM)
        self._left_out = self._apart
