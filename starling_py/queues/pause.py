"""Whether gets of one queue are misses for now: by its settings, or because a client asked for it.

A pause that a client has begun is in the journal, so it holds over restarts, until its time is over
or a client ends it. Puts go on meanwhile, and so does whatever is open. Invariant: after each
commit, the pause is that of the journal's ledger.
"""

from typing import Protocol

from mypy_extensions import mypyc_attr

from starling_py.clock import Clock
from starling_py.journal.journal import Journal
from starling_py.journal.ledger import FOR_EVER
from starling_py.queues.deadlines import Deadline, Deadlines


class PausedQueue(Protocol):
    """The queue whose gets are misses."""

    def available(self) -> None:
        """Serve the clients that wait for an item."""


class PauseKeeper(Protocol):
    """What a pause needs of the directory that the queue is in."""

    deadlines: Deadlines
    clock: Clock


@mypyc_attr(allow_interpreted_subclasses=True)
class Pause:
    """The pause of one queue."""

    def __init__(
        self, queue: PausedQueue, journal: Journal, keeper: PauseKeeper, *, by_settings: bool
    ) -> None:
        """Begin with what the journal's ledger says; ``by_settings``: the settings pause it."""
        self._queue: PausedQueue | None = queue
        self._journal = journal
        self._keeper = keeper
        self._by_settings = by_settings
        self._deadline: Deadline | None = None
        self.until_ms = 0
        """Until when, as in ``Ledger.paused_ms``, if a client has begun it and it is not over."""
        self.holds = by_settings
        """Whether gets are misses; every get looks at this."""
        if journal.ledger.paused_ms:
            self.go_by_ledger()

    def go_by(self, *, paused: bool) -> None:
        """Follow other settings from now on."""
        self._by_settings = paused
        self.holds = paused or self.until_ms != 0

    def begin(self, until_ms: int) -> None:
        """Pause until a moment, in milliseconds since the Unix epoch, or ``FOR_EVER``.

        Raises ``JournalError``, and then nothing has changed.
        """
        self._journal.recorder.pause(until_ms)
        self._set(until_ms)

    def end(self) -> None:
        """End the pause that a client has begun. Raises ``JournalError``, as ``begin`` does.

        To serve who waits is left to the caller.
        """
        if self.until_ms:
            self._journal.recorder.pause(0)
            self._set(0)

    def forget(self) -> None:
        """Be no pause: the queue was deleted."""
        self._set(0)

    def go_by_ledger(self) -> None:
        """Be what the ledger says: at a start, or when a commit has failed."""
        until_ms = self._journal.ledger.paused_ms
        over = until_ms != FOR_EVER and until_ms <= self._keeper.clock.wall_ms
        self._set(0 if over else until_ms)

    def let_go(self) -> None:
        """Refer to the queue no more: it is gone."""
        self._set(0)
        self._queue = None

    def _set(self, until_ms: int) -> None:
        deadlines, clock = self._keeper.deadlines, self._keeper.clock
        if self._deadline is not None:
            deadlines.cancel(self._deadline)
            self._deadline = None
        self.until_ms = until_ms
        self.holds = self._by_settings or until_ms != 0
        if until_ms > 0:
            end = clock.monotonic + (until_ms - clock.wall_ms) / 1000
            self._deadline = deadlines.add(end, self._over, until_ms)

    def _over(self) -> None:
        self._set(0)
        if self._queue is not None:
            self._queue.available()
