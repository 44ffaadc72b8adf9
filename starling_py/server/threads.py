"""The two threads that wait for the disk, so that a slow disk never stalls the tick.

One syncs journals; the other reads, copies and removes files. A thread is handed pieces of work,
runs them one after the other, and makes a socket readable for each; the tick then collects what is
finished. Invariant: a thread touches nothing but the work it was handed. Where every reply waits
for a sync, and the disk has shown that it is quick, the tick syncs itself: that takes less than
handing the work over, and all clients have to wait for it anyway.
"""

import contextlib
import queue
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starling_py.guard import Guard
from starling_py.journal.commit import Batch
from starling_py.journal.disk.background import Work
from starling_py.server.backoff import Backoff
from starling_py.stats import Histogram


class WorkThread:
    """A thread that runs one piece of work after the other.

    Nothing runs before ``start``, so that the process may fork until then.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._guard = Guard()
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
        """Hand a piece of work over; once the thread has started, it runs in its turn."""
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
        while self._run_one():
            pass

    def _run_one(self) -> bool:
        """Run the next piece of work; return whether there was one.

        On its own, so that no work, and no queue with it, is kept until the next one comes.
        """
        work = self._work.get()
        if work is None:
            return False
        try:
            work.run()
        except Exception:
            # Work keeps what goes wrong as its result. Whatever this was, the thread goes on.
            self._guard.caught(f"the {self._name} thread")
        self._finished.append(work)
        # If it is full, the tick has thousands of wake-ups to read already.
        with contextlib.suppress(BlockingIOError):
            self._wake.send(b"\0")
        return True


QUICK: Final = 0.0005
"""Seconds that a batch may take to be synced in the tick: about what it costs to hand it over, and
to go on with fewer replies at a time while it is under way (measured)."""
_BEFORE: Final = 15
"""Batches that are synced in the thread before one is first tried in the tick."""
_LATEST: Final = 16
"""About how many of the latest syncs the average covers."""


class Pace:
    """Decides whether a batch is synced in the tick, by how long the latest ones took.

    One file, a journal's or the log, is tried in the tick now and then, and more often the more
    often that was quick: only a try shows it, as a sync in the thread looks slower than the disk
    is. Several files could take long together, so they are tried only if the average of one,
    wherever it was synced, says that all of them are quick.
    """

    def __init__(self) -> None:
        self._in_tick = Backoff(_BEFORE)
        self._average = QUICK

    def is_tick_due(self, files: int) -> bool:
        """Tell whether to sync the next batch, of this many files, in the tick."""
        expected = files == 1 or (files > 1 and files * self._average < QUICK)
        return expected and self._in_tick.is_due()

    def took(self, seconds: float, files: int, *, in_tick: bool) -> None:
        """Note that a batch of this many files was synced, and how many seconds it took."""
        if files:
            self._average += (seconds / files - self._average) / _LATEST
        if in_tick:
            self._in_tick.note(paid=seconds < QUICK)


@dataclass
class _Sync:
    """A batch, and how long it took."""

    batch: Batch
    now: Callable[[], float]
    seconds: float = 0.0
    flush: Callable[[], None] | None = None
    void: bool = False
    """Whether it will never be known what became of it: another server is the owner."""

    def run(self) -> None:
        """Sync the batch, and time it."""
        begun = self.now()
        if self.flush is None:
            self.batch.run()
        else:
            self._flushed(self.flush)
        self.seconds = self.now() - begun

    def _flushed(self, flush: Callable[[], None]) -> None:
        """Run the batch when all before it is safe elsewhere, and make safe what it did itself."""
        try:
            flush()
            self.batch.run()
            flush()
        except OSError:
            self.void = True


class SyncThread:
    """Where batches of journals are synced: in a thread, or in the tick while the disk is quick."""

    def __init__(
        self,
        *,
        waits: bool,
        now: Callable[[], float] = time.perf_counter,
        flush: Callable[[], None] | None = None,
        gathers: bool | None = None,
    ) -> None:
        """Sync in the tick only if every reply ``waits``; ``now`` returns seconds.

        ``gathers``: whether a turn looks for more before it commits; by default, if it ``waits``.
        With ``flush``, never in the tick: that is called around each batch, and returns when what
        was done is safe elsewhere; it raises ``OSError`` if it never will be.
        """
        self._flush = flush
        self.waits = waits
        """Whether every reply waits for a sync, or may have to."""
        self.gathers = waits if gathers is None else gathers
        self._now = now
        self._pace = Pace()
        self._thread = WorkThread("sync")
        self._at_once: list[Batch] = []
        self.times = Histogram()
        """How long each batch took, in microseconds."""
        self.start = self._thread.start
        self.fileno = self._thread.fileno

    @property
    def synced_at_once(self) -> bool:
        """Whether a batch was synced when it was submitted, and waits to be collected."""
        return bool(self._at_once)

    def submit(self, batch: Batch) -> None:
        """Sync a batch at once if the disk was quick lately, else in the thread.

        ``collect`` returns it when it is done, either way. How quick the disk is, only a sync in
        the tick tells. When the disk is done, a sync in the thread still has to wait for the
        interpreter's lock, and the tick, which executes commands in the meantime, gives that up
        now and then only: such a sync looks slow on any disk. So its time does not count against
        trying one journal in the tick; for several it does, as they may take long together. What
        is more than to sync files, such as healing, is never quick and goes to the thread.
        """
        sync = _Sync(batch, self._now, flush=self._flush)
        if (
            self._flush is None
            and self.waits
            and batch.is_plain
            and self._pace.is_tick_due(batch.syncs)
        ):
            sync.run()
            self._pace.took(sync.seconds, batch.syncs, in_tick=True)
            self._count(sync)
            self._at_once.append(batch)
        else:
            self._thread.put(sync)

    def collect(self) -> list[Batch]:
        """Return the batches finished since the last call."""
        at_once, self._at_once = self._at_once, []
        return at_once + self._noted(self._thread.take())

    def close(self) -> list[Batch]:
        """Wait for what was submitted, end the thread, and return what was not collected yet."""
        return self._at_once + self._noted(self._thread.end())

    def _noted(self, finished: list[Work]) -> list[Batch]:
        syncs = [work for work in finished if isinstance(work, _Sync)]
        for sync in syncs:
            self._count(sync)
            if sync.batch.is_plain:
                self._pace.took(sync.seconds, sync.batch.syncs, in_tick=False)
        return [sync.batch for sync in syncs if not sync.void]

    def _count(self, sync: _Sync) -> None:
        if sync.batch.work:
            self.times.add(int(sync.seconds * 1_000_000))


class BackgroundThread:
    """Where files are read back, copied and removed."""

    def __init__(self) -> None:
        self._thread = WorkThread("background")
        self.start = self._thread.start
        self.fileno = self._thread.fileno
        self._done: dict[int, Callable[[], None]] = {}

    def submit(self, work: Work, done: Callable[[], None] | None = None) -> None:
        """Do a piece of work in the thread; ``collect`` calls ``done`` afterwards."""
        if done is not None:
            self._done[id(work)] = done
        self._thread.put(work)

    def collect(self, guard: Guard) -> None:
        """Call what was to be called for the work that is finished.

        ``guard`` is told if one of the calls fails; the others are made all the same.
        """
        for work in self._thread.take():
            done = self._done.pop(id(work), None)
            if done is not None:
                try:
                    done()
                except Exception:
                    guard.caught("what follows work in the background")

    def close(self) -> None:
        """Finish what was submitted, and end the thread; nothing is called for it any more."""
        self._thread.end()


class Threads:
    """Both threads of a server."""

    def __init__(
        self,
        *,
        waits: bool,
        flush: Callable[[], None] | None = None,
        gathers: bool | None = None,
    ) -> None:
        """Make them; ``waits``: whether every reply waits for a sync; the others: as there."""
        self.syncer = SyncThread(waits=waits, flush=flush, gathers=gathers)
        self.background = BackgroundThread()

    def start(self) -> None:
        """Start the threads; the process must not fork afterwards."""
        self.syncer.start()
        self.background.start()
