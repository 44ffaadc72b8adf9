"""What one client has taken, by queue: for those who look after the queues.

The quick way of a get counts here by itself, while it stays with one queue; a change of queues
comes through ``turn_to``.
"""

from typing import Final

_MOST: Final = 100
"""Queues that are remembered of one client, the latest ones."""


class Takes:
    """How often a client has taken from which queue, and when last."""

    def __init__(self) -> None:
        self.name = b""
        """The queue that it took from last."""
        self.count = 0
        """How often it took from that queue."""
        self.last = 0.0
        """When it took last, on the monotonic clock."""
        self._others: dict[bytes, tuple[int, float]] = {}

    def took(self, name: bytes, now: float) -> None:
        """Count an item that was taken from a queue."""
        if name != self.name:
            self.turn_to(name)
        self.count += 1
        self.last = now

    def turn_to(self, name: bytes) -> None:
        """Begin to count for another queue."""
        others = self._others
        if self.count:
            others[self.name] = self.count, self.last
            if len(others) > _MOST:
                del others[next(iter(others))]
        self.name = name
        self.count, self.last = others.pop(name, (0, 0.0))

    def of(self, name: bytes) -> tuple[int, float]:
        """Return how often it took from a queue, and when last, on the monotonic clock."""
        return (self.count, self.last) if name == self.name else self._others.get(name, (0, 0.0))
