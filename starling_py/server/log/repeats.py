"""Limits lines of the log that repeat: so many of one kind in a period, and the rest are counted.

A kind is a logger, a level and the text of the call, before names and numbers are put into it.
Clients can cause lines of many kinds, as often as they like; what is logged of a kind here grows
with time alone. Invariant: each line is either admitted or in exactly one count that ``ended``
returns. Times are passed in.
"""

from dataclasses import dataclass
from typing import Final

MOST: Final = 20
"""Lines of one kind that a period admits."""
PERIOD: Final = 10.0
"""Seconds of a period, which begins with the first line of its kind."""
MOST_KINDS: Final = 512
"""Kinds that are told apart at one time; there are some 60 in the server."""

Kind = tuple[str, int, str]
"""The logger's name, the level, and the text with its placeholders."""
_OTHERS: Final[Kind] = ("", 0, "")


@dataclass
class _Period:
    """What one kind has had since its period began."""

    ends: float
    admitted: int = 0
    held_back: int = 0
    level: int = 0
    """The highest level of what was held back."""


class Repeats:
    """Says of each line whether it is logged."""

    def __init__(self, most: int = MOST, period: float = PERIOD) -> None:
        self._most = most
        self._period = period
        self._periods: dict[Kind, _Period] = {}
        self._holding: dict[Kind, None] = {}
        """The kinds of which lines are held back and not told of yet."""
        self.held_back = 0
        """Lines that were not logged, since the start."""

    @property
    def holding(self) -> bool:
        """Whether ``ended`` has something to tell sooner or later."""
        return bool(self._holding)

    def admits(self, kind: Kind, now: float) -> bool:
        """Tell whether to log a line of this kind at ``now``; if not, it is counted."""
        level = kind[1]
        period = self._periods.get(kind)
        if period is None:
            kind, period = self._begin(kind, now)
        elif now >= period.ends and not period.held_back:
            period.ends = now + self._period
            period.admitted = 0
        if period.admitted < self._most and not period.held_back:
            period.admitted += 1
            return True
        period.held_back += 1
        period.level = max(period.level, level)
        self.held_back += 1
        self._holding[kind] = None
        return False

    def ended(self, now: float) -> list[tuple[Kind, int]]:
        """Return of each kind whose period is over how many lines were held back, if any.

        The kind of lines of no kind has an empty name and text, and the highest of their levels.
        """
        over = [kind for kind in self._holding if now >= self._periods[kind].ends]
        told: list[tuple[Kind, int]] = []
        for kind in over:
            del self._holding[kind]
            period = self._periods.pop(kind)
            told.append(((kind[0], period.level, kind[2]), period.held_back))
        return told

    def _begin(self, kind: Kind, now: float) -> tuple[Kind, _Period]:
        """Begin a kind's period; when there are too many kinds, that of all others together."""
        if len(self._periods) >= MOST_KINDS:
            quiet = [
                each
                for each, period in self._periods.items()
                if now >= period.ends and not period.held_back
            ]
            for each in quiet:
                del self._periods[each]
        if len(self._periods) >= MOST_KINDS:
            kind = _OTHERS
        period = self._periods.get(kind)
        if period is None:
            period = self._periods[kind] = _Period(now + self._period)
        return kind, period
