"""How long turns and commands take, counted once a turn and not once a command.

All commands of a turn are answered at its end, so what one of them took is what the turn took. If
the replies wait for a sync, it is the time until that is done. A command is counted in the turn in
which it is executed; what a client has waited for an item is no part of it.
"""

from collections import deque
from typing import Final

from starling_py.clock import Clock
from starling_py.stats import Counters, Histogram

_MOST_HELD: Final = 4096
"""Turns whose replies wait for a sync; of more, the oldest are not counted."""


class TurnTimes:
    """The times of a server's turns and of the commands in them, in microseconds."""

    def __init__(self, clock: Clock, counters: Counters) -> None:
        self._clock = clock
        self._counters = counters
        self._puts = counters.cmd_set
        self._gets = counters.cmd_get
        self._held: deque[tuple[int, float, int, int]] = deque(maxlen=_MOST_HELD)
        """The turns whose replies wait: for which ticket, since when, and of which commands."""
        self.ticket = 0
        """The ticket that this turn's replies wait for; 0 for none."""
        self.turns = Histogram()
        self.puts = Histogram()
        self.gets = Histogram()

    def end(self, finished: int) -> None:
        """Count the turn that ends now; ``finished`` is the last ticket whose sync is done."""
        clock, counters = self._clock, self._counters
        began, now = clock.monotonic, clock.now()
        took = int((now - began) * 1_000_000)
        self.turns.add(took)
        puts = max(0, counters.cmd_set - self._puts)  # they may have been reset
        gets = max(0, counters.cmd_get - self._gets)
        self._puts, self._gets = counters.cmd_set, counters.cmd_get
        if puts or gets:
            if self.ticket > finished:
                self._held.append((self.ticket, began, puts, gets))
            else:
                self._count(took, puts, gets)
        self.ticket = 0
        held = self._held
        while held and held[0][0] <= finished:
            _, began, puts, gets = held.popleft()
            self._count(int((now - began) * 1_000_000), puts, gets)

    def _count(self, took: int, puts: int, gets: int) -> None:
        if puts:
            self.puts.add(took, puts)
        if gets:
            self.gets.add(took, gets)
