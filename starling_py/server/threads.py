"""Threads for work that may have to wait for the disk, so that a slow disk never stalls the tick.

Such a thread is handed pieces of work, runs them one after the other, and makes a socket readable;
the tick then collects what is finished. It touches nothing but the work it was handed. Where every
reply waits for a sync, and the disk has shown that it is quick, the tick does the sync itself: that
takes less than handing it over, and everybody has to wait for it anyway.
"""

import queue
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starling_py.journal.commit import Batch
from starling_py.journal.disk.background import Work
from starling_py.server.backoff import Backoff


class WorkThread:
    """A thread that runs one piece of work after the other.

    Nothing runs before ``start``, so that the process may fork until then.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._work: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._finished: deque[Work] = deque()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._signal, self._wake = socket.socketpair()
        self._signal.setblocking(False)
        self._wake.setblocking(False)
        # Made only now: a thread object does not survive a fork either.
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def fileno(self) -> int:
        """Return the descriptor that is readable when work is finished."""
        return self._signal.fileno()

    def put(self, work: Work) -> None:
        """Have a piece of work done."""
        self._work.put(work)

    def take(self) -> list[Work]:
        """Return the work that is finished since the last call."""
        try:
            self._signal.recv(4096)
        except BlockingIOError:
            return []
        finished = []
        while self._finished:
            finished.append(self._finished.popleft())
        return finished

    def end(self) -> list[Work]:
        """Wait for what was put, end the thread, and return what finished last."""
        if self._thread is not None:
            self._work.put(None)
            self._thread.join()
            self._signal.close()
            self._wake.close()
        return list(self._finished)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work.run()
            self._finished.append(work)
            try:
                self._wake.send(b"\0")
            except BlockingIOError:  # the tick has thousands of wake-ups to read already
                continue


QUICK: Final = 0.0005
"""Seconds that a batch may take if it is synced in the tick: about what it costs to hand it over,
and to go on with fewer replies at a time while it is under way (measured)."""
_BEFORE: Final = 15
"""Batches that are synced in the thread before the first is tried in the tick."""
_LATEST: Final = 16
"""How many of the latest syncs the average is of, about."""


class Pace:
    """Whether batches are quick enough to be synced in the tick.

    A sync in a thread takes longer than the disk needs, as the tick wants the processor meanwhile.
    So one journal is synced in the tick whenever that was quick, and now and then otherwise; of
    several, which could take long together, it is expected after what one took, wherever it was.
    """

    def __init__(self) -> None:
        self._in_tick = Backoff(_BEFORE)
        self._average = QUICK

    def is_tick_due(self, journals: int) -> bool:
        """Tell whether a batch of so many journals is to be synced in the tick."""
        expected = journals == 1 or (journals > 1 and journals * self._average < QUICK)
        return expected and self._in_tick.is_due()

    def took(self, seconds: float, journals: int, *, in_tick: bool) -> None:
        """Take notice of a batch of so many journals that was synced in so much time."""
        if journals:
            self._average += (seconds / journals - self._average) / _LATEST
        if in_tick:
            self._in_tick.note(paid=seconds < QUICK)


@dataclass
class _Sync:
    """A batch, and how long it took."""

    batch: Batch
    now: Callable[[], float]
    seconds: float = 0.0

    def run(self) -> None:
        """Sync."""
        begun = self.now()
        self.batch.run()
        self.seconds = self.now() - begun


class SyncThread:
    """Where batches of journals are synced: in a thread, or at once while the disk is quick."""

    def __init__(self, *, waits: bool, now: Callable[[], float] = time.perf_counter) -> None:
        """Sync at once only if every reply ``waits``; ``now`` is in seconds."""
        self.waits = waits
        """Whether every reply waits for a sync."""
        self._now = now
        self._pace = Pace()
        self._thread = WorkThread("sync")
        self._at_once: list[Batch] = []
        self.start = self._thread.start
        self.fileno = self._thread.fileno

    @property
    def synced_at_once(self) -> bool:
        """Whether a batch was synced when it was submitted, and is to be collected."""
        return bool(self._at_once)

    def submit(self, batch: Batch) -> None:
        """Begin to sync a batch; perhaps do it."""
        sync = _Sync(batch, self._now)
        if self.waits and batch.is_plain and self._pace.is_tick_due(len(batch.work)):
            sync.run()
            self._pace.took(sync.seconds, len(batch.work), in_tick=True)
            self._at_once.append(batch)
        else:
            self._thread.put(sync)

    def collect(self) -> list[Batch]:
        """Return the batches finished since the last call."""
        at_once, self._at_once = self._at_once, []
        return at_once + self._noted(self._thread.take())

    def close(self) -> list[Batch]:
        """Wait for what was submitted, end the thread, and return what finished last."""
        return self._at_once + self._noted(self._thread.end())

    def _noted(self, finished: list[Work]) -> list[Batch]:
        syncs = [work for work in finished if isinstance(work, _Sync)]
        for sync in syncs:
            if sync.batch.is_plain:
                self._pace.took(sync.seconds, len(sync.batch.work), in_tick=False)
        return [sync.batch for sync in syncs]


class BackgroundThread:
    """Where files are read back, copied and removed."""

    def __init__(self) -> None:
        self._thread = WorkThread("background")
        self.start = self._thread.start
        self.fileno = self._thread.fileno
        self._done: dict[int, Callable[[], None]] = {}

    def submit(self, work: Work, done: Callable[[], None] | None = None) -> None:
        """Have a piece of work done; ``collect`` calls ``done`` afterwards."""
        if done is not None:
            self._done[id(work)] = done
        self._thread.put(work)

    def collect(self) -> None:
        """Tell of what is finished."""
        for work in self._thread.take():
            done = self._done.pop(id(work), None)
            if done is not None:
                done()

    def close(self) -> None:
        """Finish what was submitted, and end the thread; nobody is told any more."""
        self._thread.end()


class Threads:
    """Both threads of a server."""

    def __init__(self, *, waits: bool) -> None:
        """Make them; ``waits``: whether every reply waits for a sync."""
        self.syncer = SyncThread(waits=waits)
        self.background = BackgroundThread()

    def start(self) -> None:
        """Start the threads; the process must not fork afterwards."""
        self.syncer.start()
        self.background.start()
