"""Which queues are to be looked after soon or at some time, and what their items take in memory.

A queue that nothing happens to costs nothing: it is looked after when it may have changed, and when
the time has come that a look before was told to plan. Besides, a few of all of them have their
turn each time, in a *circle*, for what nobody notes. Invariants: a queue has at most one plan, the
soonest that it was given; nothing is kept of a queue that is gone.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from starling_py.clock import Clock
from starling_py.guard import Guard
from starling_py.queues.deadlines import Deadline, Deadlines

_ALL: Final = 1 << 30


@dataclass
class _Known:
    """What is known of one queue."""

    bytes: int = 0
    """What its items take in memory, about, as of the latest look."""
    plan: Deadline | None = None


class Care:
    """Who is to be looked after, of the queues of one directory."""

    def __init__(self, clock: Clock, guard: Guard) -> None:
        self._clock = clock
        self._plans = Deadlines(guard)
        self._known: dict[bytes, _Known] = {}
        self._circle: list[bytes] = []
        """Those that have not had their turn yet, in reverse."""
        self.soon: dict[bytes, None] = {}
        """Queues to be looked after the next time."""
        self.bytes = 0
        """What the items of all queues take in memory, about."""

    def weigh(self, name: bytes, size: int) -> None:
        """Take down what a queue's items take in memory, in bytes."""
        known = self._of(name)
        self.bytes += size - known.bytes
        known.bytes = size

    def plan(self, name: bytes, when: float, wall_ms: int = 0) -> None:
        """Have a queue looked after at a time; both times are as in ``Deadlines.add``."""
        known = self._of(name)
        if known.plan is not None and known.plan.pending:
            if known.plan.when <= when:
                return
            self._plans.cancel(known.plan)
        known.plan = self._plans.add(when, lambda: self.soon.setdefault(name), wall_ms)

    def next(self, names: Iterable[bytes], most: int, in_turn: int) -> list[bytes]:
        """Return the queues to be looked after now, at most ``most``; the others keep their place.

        ``names`` are those of all queues, of which the next ``in_turn`` are among them.
        """
        now, wall_ms = self._clock.monotonic, self._clock.wall_ms
        if self._plans.soonest <= now:
            self._plans.run_due(now)
        if self._plans.soonest_by_wall <= wall_ms:
            self._plans.run_passed(wall_ms, now, _ALL)
        if not self._circle:
            self._circle = list(names)
            self._circle.reverse()
        chosen: dict[bytes, None] = {}
        while self._circle and len(chosen) < in_turn:
            chosen[self._circle.pop()] = None
        for name in self.soon:
            if len(chosen) >= most:
                break
            chosen[name] = None
        for name in chosen:
            self.soon.pop(name, None)
        return list(chosen)

    @property
    def circle_ends(self) -> bool:
        """Whether all queues have had their turn since the circle began."""
        return not self._circle

    def went(self, name: bytes) -> None:
        """Forget a queue that is gone."""
        self.soon.pop(name, None)
        known = self._known.pop(name, None)
        if known is not None:
            self.bytes -= known.bytes
            if known.plan is not None:
                self._plans.cancel(known.plan)

    def _of(self, name: bytes) -> _Known:
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = _Known()
        return known
