"""Where syncs run: one thread of its own, so that a slow disk never stalls the tick.

The thread is handed a batch, syncs it, and makes a socket readable; the tick then collects what
is finished. It touches nothing but the descriptors in the batch, which are its own.
"""

import queue
import socket
import threading
from collections import deque

from starling_py.journal import commit
from starling_py.journal.commit import Batch
from starling_py.journal.files import Files


class SyncThread:
    """A thread that syncs one batch after the other.

    Nothing runs before ``start``, so that the process may fork until then.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._batches: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._finished: deque[Batch] = deque()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._signal, self._wake = socket.socketpair()
        self._signal.setblocking(False)
        self._wake.setblocking(False)
        # Made only now: a thread object does not survive a fork either.
        self._thread = threading.Thread(target=self._run, name="sync", daemon=True)
        self._thread.start()

    def fileno(self) -> int:
        """Return the descriptor that is readable when a batch is finished."""
        return self._signal.fileno()

    def submit(self, batch: Batch) -> None:
        """Begin to sync a batch."""
        self._batches.put(batch)

    def collect(self) -> list[Batch]:
        """Return the batches finished since the last call."""
        try:
            self._signal.recv(4096)
        except BlockingIOError:
            return []
        finished = []
        while self._finished:
            finished.append(self._finished.popleft())
        return finished

    def close(self) -> list[Batch]:
        """Wait for what was submitted, end the thread, and return what finished last."""
        if self._thread is not None:
            self._batches.put(None)
            self._thread.join()
            self._signal.close()
            self._wake.close()
        return list(self._finished)

    def _run(self) -> None:
        while (batch := self._batches.get()) is not None:
            commit.sync(self._files, batch)
            self._finished.append(batch)
            try:
                self._wake.send(b"\0")
            except BlockingIOError:  # the tick has thousands of wake-ups to read already
                continue
