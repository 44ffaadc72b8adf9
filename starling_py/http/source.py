"""What is asked of the server around: the numbers that are told by HTTP.

A queue is looked at by what every queue has, and nothing of it is changed.
"""

from collections.abc import Sequence
from typing import Protocol

from starling_py.stats import Histogram, QueueMeasure, Snapshot


class Taken(Protocol):
    """How much was taken from a queue."""

    @property
    def get_hits(self) -> int:
        """Items taken."""


class Queue(Protocol):
    """A queue, as far as it shows cheaply whether anything has happened to it."""

    @property
    def name(self) -> bytes:
        """What it is called."""

    @property
    def next_id(self) -> int:
        """Grows with every put."""

    @property
    def items(self) -> int:
        """All items of it, open ones too."""

    @property
    def counted(self) -> Taken:
        """What happened to its items."""


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

    def queues(self) -> Sequence[Queue]:
        """Return all queues, in no order."""

    def measure(self, queue: Queue) -> QueueMeasure:
        """Return what is watched of a queue."""

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
