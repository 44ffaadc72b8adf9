"""How the files that the process may have open are shared out, before the first client comes.

Everything that is open takes one of them: connections, the segments of the queues, and a few that
the server needs for itself. A limit on one kind is no reservation for another, so all of it is
reckoned here together: clients that come and stay must never take what the queues need.
"""

from dataclasses import dataclass
from typing import Final

OWN: Final = 40
"""Files for everything else: the standard ones, the log, the listening sockets, the lock, threads,
trio, what is begun, read or copied in the background; and one to refuse clients with."""
GUESTS: Final = 4
"""Places beyond those of all clients, for whoever comes from this machine to see what is wrong."""
FEWEST_SEGMENTS: Final = 8
"""Segments that may be open in any case."""
FEWEST_CLIENTS: Final = 4
"""Clients that may be connected in any case."""
FEWEST: Final = OWN + GUESTS + FEWEST_SEGMENTS + FEWEST_CLIENTS
"""Files without which no server starts: clients that come would take what the queues need."""


@dataclass(frozen=True)
class Shares:
    """How many files there are for what."""

    clients: int
    segments: int


def share_out(limit: int, max_connections: int) -> Shares:
    """Share out ``limit`` files, where as many as ``max_connections`` are wanted for clients.

    ``limit`` is ``FEWEST`` at least.
    Segments get what the clients leave, from an eighth to a quarter of all files.
    """
    left = limit - OWN - GUESTS
    segments = max(min(limit // 4, left - max_connections), limit // 8, FEWEST_SEGMENTS)
    return Shares(min(max_connections, max(left - segments, FEWEST_CLIENTS)), segments)
