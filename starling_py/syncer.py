"""Threads for work that may have to wait for the disk, so that a slow disk never stalls the tick.

Such a thread is handed pieces of work, runs them one after the other, and makes a socket readable;
the tick then collects what is finished. It touches nothing but the work it was handed.
"""

import queue
import socket
import threading
from collections import deque
from collections.abc import Callable

from starling_py.journal.background import Work
from starling_py.journal.commit import Batch


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


class SyncThread:
    """Where batches of journals are synced."""

    def __init__(self) -> None:
        self._thread = WorkThread("sync")
        self.start = self._thread.start
        self.fileno = self._thread.fileno

    def submit(self, batch: Batch) -> None:
        """Begin to sync a batch."""
        self._thread.put(batch)

    def collect(self) -> list[Batch]:
        """Return the batches finished since the last call."""
        return [work for work in self._thread.take() if isinstance(work, Batch)]

    def close(self) -> list[Batch]:
        """Wait for what was submitted, end the thread, and return what finished last."""
        return [work for work in self._thread.end() if isinstance(work, Batch)]


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
