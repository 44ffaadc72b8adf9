"""What is asked of the server around: the numbers that are told by HTTP.

Nothing of it is changed.
"""

from collections.abc import Generator, Mapping, Sequence
from typing import Protocol

import attrs

from starling_py.stats import Histogram, Snapshot

Numbers = tuple[int, ...]
"""The numbers of a queue, in the order of ``stats.WATCHED``."""


@attrs.frozen
class Changed:
    """What has changed since a look before."""

    token: bytes
    """What to look with the next time."""
    anew: bool
    """Whether nothing that was known before counts any more."""
    names: Sequence[bytes]
    """The queues that have changed; of some, the next look tells."""
    queues: int
    """How many queues there are, with their items and the bytes of these."""
    items: int
    bytes: int


class Source(Protocol):
    """The server, as what is told by HTTP sees it."""

    @property
    def version(self) -> str:
        """The server's version."""

    @property
    def form(self) -> str:
        """``compiled`` or ``pure``."""

    @property
    def since_turn(self) -> float:
        """Seconds since the latest turn began."""

    @property
    def unready(self) -> str | None:
        """Why no work should be sent here now; ``None`` if it should."""

    def now(self) -> float:
        """Return seconds on the monotonic clock."""

    def snapshot(self) -> Snapshot:
        """Return the state of the server, without its queues."""

    def disk_free(self) -> int | None:
        """Return how many bytes of the spool's disk are free; ``None`` if that is not known."""

    def resident(self) -> int | None:
        """Return how many bytes of memory the process has; ``None`` if that is not known."""

    def names(self) -> Sequence[bytes]:
        """Return the names of all queues, in no order."""

    def numbers(self, name: bytes) -> Numbers | None:
        """Return the numbers of a queue, in the order of ``stats.WATCHED``.

        The age is -1 while it is not known. ``None`` when there is no such queue.
        """

    def changed(self, token: bytes, most: int) -> Generator[None, None, Changed]:
        """Look, in steps, which queues have changed since ``token`` was given; at most so many.

        An empty token is for all of them.
        """

    def histograms(self) -> "Histograms":
        """Return how long what takes."""


class Histograms(Protocol):
    """How long what takes."""

    @property
    def waits(self) -> Histogram:
        """What items had waited when they were handed out, in milliseconds."""

    @property
    def puts(self) -> Histogram:
        """What commands that put have taken, in microseconds; so are the others."""

    @property
    def gets(self) -> Histogram:
        """Commands that get."""

    @property
    def turns(self) -> Histogram:
        """Turns of the server."""

    @property
    def syncs(self) -> Histogram:
        """Batches forced to disk."""


def standbys(group: Mapping[str, object]) -> int:
    """Return how many servers could take over at once, of what ``stats`` tells of a group."""
    return len([each for each in str(group["replica_standbys"]).split(",") if each])


def text_of(name: bytes) -> str:
    """Return a queue's name as text; bytes that are no UTF-8 as a backslash, ``x`` and digits."""
    return name.decode("utf-8", "backslashreplace")
