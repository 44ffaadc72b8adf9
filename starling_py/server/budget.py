"""The budget: what clients make the server hold is bounded, for all of them together.

Counted is what a client can make large: input that is no whole command yet or was sent ahead,
replies that it does not read, what it waits for. While that is below three quarters of the budget,
each client takes what it needs. Beyond, the memory is *crowded*: those that hold more than their
share are not read from, but for as many as can finish what they have begun within the budget, the
first and the last to come in turns; small commands of everybody else go on. If it stays crowded,
those that stand still, and those that have held the most for the longest, are closed, and if nobody
has room to finish, so many that one has; at the budget itself, at once. A share is what every
client that holds anything could have of the last quarter, so those within it never exceed it.

Nothing here knows sockets. Invariants: ``total`` is the sum of what the clients hold; who is paused
is not promised anything. Each call costs the same however many clients there are, but for those
that choose whom to close.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

PATIENCE: Final = 5.0
"""Seconds for which a client may hold more than its share while the memory is crowded."""
STANDSTILL: Final = 1.5
"""The same for one that neither sends nor reads anything meanwhile; and for how long the memory is
crowded before any client is closed for it."""


@dataclass(eq=False)
class _Holding:
    """What one client makes the server hold."""

    bytes: int = 0
    missing: int = 0
    """The most bytes that it has to send until it holds less."""
    since: float | None = None
    """When it began to hold more than its share, in monotonic time; ``None`` while it does not.
    The time for which it was not read from is left out."""
    moved: float = 0.0
    """When it held another number of bytes, or was not read from, last."""
    paused_at: float | None = None
    """Since when it is not read from; ``None`` while it is."""
    promised: int = 0
    """Bytes that it may still send although the memory is crowded."""

    def seconds(self, now: float) -> float:
        """Return for how long it has held more than its share by its own doing."""
        if self.since is None:
            return 0.0
        return (now if self.paused_at is None else self.paused_at) - self.since

    def is_late(self, now: float) -> bool:
        """Tell whether it is time to close the client, if the memory is crowded."""
        if self.seconds(now) >= PATIENCE:
            return True
        reads = self.since is not None and self.paused_at is None
        return reads and now - self.moved >= STANDSTILL


class Budget:
    """What all clients hold; a client is known by a number."""

    def __init__(self, limit: int) -> None:
        """``limit`` is in bytes."""
        self._full = limit
        self.limit = limit
        """Bytes that all clients may hold: less than was asked for after the system had no more."""
        self.total = 0
        """Bytes that all clients hold."""
        self.peak = 0
        """The most bytes that they held since this was last set."""
        self._promised = 0
        self._crowded_since: float | None = None
        self._holdings: dict[int, _Holding] = {}
        self.paused: dict[int, None] = {}
        """Those that are not read from, in the order in which they exceeded their share."""

    @property
    def _roomy(self) -> int:
        """Bytes up to which everybody takes what it needs."""
        return self.limit - self.limit // 4

    def lower(self) -> None:
        """Allow less than is held now: the system has no more."""
        self.limit = max(min(self.limit, self.total) * 3 // 4, self._full // 64)

    def recover(self) -> None:
        """Allow a little more, up to what it was: ask for this twice a second."""
        if self.limit < self._full:
            self.limit = min(self._full, self.limit + self._full // 256)

    @property
    def crowded(self) -> bool:
        """Whether so much is held that not everybody may take what it needs."""
        return self._crowded_since is not None

    @property
    def share(self) -> int:
        """The bytes that each client may hold, however crowded the memory is."""
        return (self.limit - self._roomy) // max(len(self._holdings), 1)

    def weight_of(self, client: int) -> int:
        """Return how many bytes a client holds."""
        holding = self._holdings.get(client)
        return 0 if holding is None else holding.bytes

    def note(self, client: int, weight: int, missing: int, now: float) -> bool:
        """Note a client's weight, the bytes it holds; return whether to read on from it.

        ``missing``: the most bytes that it has to send until it holds less. ``now`` is monotonic.
        """
        if not weight:
            self.forget(client, now)
            return True
        holding = self._holdings.get(client)
        if holding is None:
            holding = self._holdings[client] = _Holding()
        if weight != holding.bytes:
            holding.moved = now
            self._change(weight - holding.bytes, now)
            holding.bytes = weight
        holding.missing = missing
        if holding.promised:
            self._promise(holding, missing)
        if weight <= self.share:
            self._read_on(client, holding, now)
            holding.since = None
            return True
        if holding.since is None:
            holding.since = now
        if self._crowded_since is None:
            self._read_on(client, holding, now)
            return True
        if client in self.paused:
            return False
        if holding.promised:
            return True
        if self._fits(missing):
            self._promise(holding, missing)
            return True
        holding.paused_at = now
        self.paused[client] = None
        return False

    def forget(self, client: int, now: float) -> None:
        """Drop a client that holds nothing any more."""
        holding = self._holdings.pop(client, None)
        if holding is not None:
            self.paused.pop(client, None)
            self._promised -= holding.promised
            self._change(-holding.bytes, now)

    def resume(self, client: int, now: float) -> None:
        """Read on from a client in any case: it sends nothing more, and is soon done with."""
        holding = self._holdings.get(client)
        if holding is not None:
            self._read_on(client, holding, now)
            self._promise(holding, max(holding.missing, 1))

    def resumed(self, now: float) -> list[int]:
        """Let go on whom there is room for again; return them.

        The first and the last to come are let go on in turns. Were it the first alone, who comes
        behind many that never finish would have to wait until all of these are closed.
        """
        resumed: list[int] = []
        waiting = deque(self.paused)
        while waiting:
            client = waiting.pop() if len(resumed) % 2 else waiting.popleft()
            holding = self._holdings[client]
            if self._crowded_since is not None:
                if not self._fits(holding.missing):
                    break
                self._promise(holding, holding.missing)
            self._read_on(client, holding, now)
            resumed.append(client)
        return resumed

    def excess(self, now: float) -> list[int]:
        """Return whom to close at once, so that the budget is kept with an eighth to spare."""
        if self.total <= self.limit:
            return []
        return self._largest(self._holdings, self.total - (self.limit - self.limit // 8), now)

    def overdue(self, now: float) -> list[int]:
        """Return whom to close as the memory has been crowded for too long."""
        since = self._crowded_since
        if since is None or now - since < STANDSTILL:
            return []
        late = [each for each, it in self._holdings.items() if it.is_late(now)]
        return self._largest(late, self.total - self._roomy, now) or self._in_the_way(now)

    def _in_the_way(self, now: float) -> list[int]:
        """Return whom to close as nobody can go on: each has more to come than there is room for.

        Those make room for the first to come, or it is too large for the budget itself.
        """
        first = next(iter(self.paused), None)
        holdings = self._holdings
        if first is None or any(it.since and it.paused_at is None for it in holdings.values()):
            return []
        holding = holdings[first]
        if holding.paused_at is None or now - holding.paused_at < STANDSTILL:
            return []
        others = [each for each in self.paused if each != first]
        surplus = self.total + holding.missing - self.limit
        return self._largest(others, surplus, now) or [first]

    def _largest(self, clients: Iterable[int], surplus: int, now: float) -> list[int]:
        """Return clients that hold a surplus of bytes together: those most to blame first.

        That is who has held the most beyond its share for the longest. Who is just being served
        holds much too, but not for long.
        """
        share, holdings = self.share, self._holdings
        blame = {
            each: (holdings[each].seconds(now) + 0.001) * holdings[each].bytes
            for each in clients
            if holdings[each].bytes > share
        }
        chosen = []
        for each in sorted(blame, key=lambda each: -blame[each]):
            if surplus <= 0:
                break
            chosen.append(each)
            surplus -= holdings[each].bytes
        return chosen

    def _change(self, size: int, now: float) -> None:
        self.total += size
        self.peak = max(self.peak, self.total)
        if self.total <= self._roomy:
            self._crowded_since = None
        elif self._crowded_since is None:
            self._crowded_since = now

    def _fits(self, missing: int) -> bool:
        return self.total + self._promised + missing <= self.limit

    def _promise(self, holding: _Holding, size: int) -> None:
        self._promised += size - holding.promised
        holding.promised = size

    def _read_on(self, client: int, holding: _Holding, now: float) -> None:
        if holding.paused_at is not None:
            if holding.since is not None:
                holding.since += now - holding.paused_at
            holding.paused_at = None
            holding.moved = now
            del self.paused[client]
