"""What a server needs to know of its group, if it is in one; by default, it is alone."""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import attrs

HANDOVER_GRACE: Final = 0.3
"""Seconds that clients in the middle of something have, when another server is there for them."""


class Suspendable(Protocol):
    """A server that serves."""

    def suspend(self) -> None:
        """Drop the clients and accept none, but go on; ``resume`` ends that."""

    def resume(self) -> None:
        """Accept clients again."""

    def lose(self) -> None:
        """End at once, as another server has the queues."""


@attrs.frozen
class Membership:
    """A server's place in its group."""

    in_group: bool = False
    watch: Callable[[Suspendable], Awaitable[None]] | None = None
    """Looks after what the group has to do with the clients, beside the tick."""
    numbers: Callable[[], list[tuple[str, object]]] = list
    """Returns what ``stats`` tells of it."""
    standbys: Callable[[], list[str]] = list
    """Returns the addresses of the servers that could take over at once."""
    unready: Callable[[], str | None] = lambda: None
    """Returns why no client can be served now, if so."""

    def refusal(self) -> str | None:
        """Return why the queues cannot be handed over now; ``None`` if they can."""
        if not self.in_group:
            return "this server is in no group, so it hands nothing over"
        if not self.standbys():
            return "no other server is ready to take over; nothing has changed"
        return None

    def grace(self, wanted: float) -> float:
        """Return how many seconds a stop gives to clients, where ``wanted`` is what is set."""
        return min(wanted, HANDOVER_GRACE) if self.standbys() else wanted


ALONE: Final = Membership()
"""A server that is in no group."""
