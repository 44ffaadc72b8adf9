"""The server's threads and its readiness as the simulation has them: they work when told to."""

from collections import deque
from collections.abc import Callable

import attrs

from starling_py.guard import Guard
from starling_py.journal.commit import Batch
from starling_py.journal.disk.background import Work
from starling_py.server.readiness import Ready

SYNC, BACKGROUND = 1, 2
"""The descriptors of the two threads."""


class SimulatedSyncer:
    """Syncs a batch when it is told to, and says so when it is told to."""

    def __init__(self, *, waits: bool, at_once: bool) -> None:
        """``at_once``: batches are synced when they are submitted, as on a quick disk."""
        self.waits = self.gathers = waits
        self.waiting: deque[Batch] = deque()
        self.finished: list[Batch] = []
        self._at_once = at_once

    @property
    def synced_at_once(self) -> bool:
        return self._at_once and bool(self.finished)

    def fileno(self) -> int:
        return SYNC

    def submit(self, batch: Batch) -> None:
        self.waiting.append(batch)
        if self._at_once and batch.is_plain:
            self.run_one()

    def collect(self) -> list[Batch]:
        finished, self.finished = self.finished, []
        return finished

    def close(self) -> list[Batch]:
        while self.waiting:
            self.run_one()
        return self.collect()

    def run_one(self) -> None:
        """Do what the thread has to do."""
        batch = self.waiting.popleft()
        batch.run()
        self.finished.append(batch)


class SimulatedBackground:
    """Works when it is told to, and says so when it is told to."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[Work, Callable[[], None] | None]] = deque()
        self.finished: list[Callable[[], None]] = []

    def fileno(self) -> int:
        return BACKGROUND

    def submit(self, work: Work, done: Callable[[], None] | None = None) -> None:
        self.waiting.append((work, done))

    def collect(self, guard: Guard) -> None:
        finished, self.finished = self.finished, []
        for done in finished:
            done()

    def close(self) -> None:
        while self.waiting:
            self.run_one()

    def run_one(self) -> None:
        """Do the oldest piece of work."""
        work, done = self.waiting.popleft()
        work.run()
        if done is not None:
            self.finished.append(done)


@attrs.frozen
class SimulatedThreads:
    """Both of them."""

    syncer: SimulatedSyncer
    background: SimulatedBackground


class SimulatedReadiness:
    """The life says itself who is ready; only who becomes ready during a tick is found here."""

    def __init__(self) -> None:
        self.late: Ready = []

    def fileno(self) -> int:
        return 0

    def register(self, descriptor: int, interest: int) -> None:
        """Do nothing."""

    def modify(self, descriptor: int, interest: int) -> None:
        """Do nothing."""

    def unregister(self, descriptor: int) -> None:
        """Do nothing."""

    def set_aside(self, descriptor: int, interest: int, *, aside: bool) -> None:
        """Do nothing."""

    def ready(self, seconds: float = 0) -> Ready:
        late, self.late = self.late, []
        return late

    def close(self) -> None:
        """Do nothing."""
