"""How often to try something that pays at some times and not at others.

Only trying tells: each time it did not pay, it is tried less often, each time it did, more often.
So what pays most of the time is done nearly always, and what hardly ever pays costs next to
nothing. No single outcome decides.
"""

from typing import Final

SELDOM: Final = 1023
"""The most occasions that are left out between two tries; one less than a power of two."""


class Backoff:
    """When to try one thing that may pay."""

    def __init__(self, apart: int = 0) -> None:
        """Leave out ``apart`` occasions before the first try."""
        self._apart = apart
        """Occasions to leave out between two tries."""
        self._left_out = apart
        """Occasions to leave out before the next try."""

    def is_due(self) -> bool:
        """Tell whether to try on this occasion; after a try, ``note`` the outcome."""
        if self._left_out:
            self._left_out -= 1
            return False
        return True

    def note(self, *, paid: bool) -> None:
        """Note whether a try paid: halve what is left out between tries, or double it."""
        self._apart = self._apart // 2 if paid else min(2 * self._apart + 1, SELDOM)
        self._left_out = self._apart
