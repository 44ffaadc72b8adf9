"""A server's parts with a stream in memory below them, whose follower must have the same files.

With ``STARLING_TEST_STREAM`` in the environment, the servers of ``tests/server`` are made so.
"""

import os
import tempfile
import threading
from pathlib import Path

import attrs

from starling_py.clock import Clock
from starling_py.journal.commit import GroupCommit, Syncer
from starling_py.journal.disk.files import Files
from starling_py.replica.follower import Follower, shared_files
from starling_py.replica.outbox import Outbox
from starling_py.replica.position import PositionFile
from starling_py.replica.shipped_commit import ShippedCommit
from starling_py.replica.shipped_files import ShippedFiles
from starling_py.server.core import Core, Storage
from starling_py.server.threads import Threads
from tests.replica.shipping import STARTED, STREAM

WANTED = bool(os.environ.get("STARLING_TEST_STREAM"))


@attrs.define
class Answering:
    """A cluster that always answers."""

    is_late: bool = False
    is_stalled: bool = False
    is_over: bool = False


class SyncedFiles(ShippedFiles):
    """Files that are synced as well, as tests hold syncs or let them fail."""

    def sync(self, descriptor: int) -> None:
        self._inner.sync(descriptor)

    def sync_directory(self, path: str) -> None:
        self._inner.sync_directory(path)


class StreamInMemory:
    """Takes what an owner's outbox has, and applies it to a follower's files."""

    def __init__(self, files: Files, storage: Storage) -> None:
        self.spool = storage.path
        self._copy = tempfile.TemporaryDirectory(prefix="starling-follower-")
        copy = self._copy.name
        position = PositionFile(Files(), copy, STARTED)
        self._follower = Follower(Files(), copy, position, STREAM)
        self._follower.start(1, 0)
        self._woken, self._ends = threading.Event(), threading.Event()
        self.outbox = Outbox(wake=self._woken.set)
        self._sequence = 0
        self._error: Exception | None = None
        Path(self.spool).mkdir(parents=True, exist_ok=True)
        self.files = SyncedFiles(files, self.spool, self.outbox)
        self._follower.whole_at = 1 << 60  # until it has all that was there before
        for path in shared_files(Files(), self.spool):
            for _ in self.files.restate(path):
                self._send()
        self._follower.whole_at = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def threads(self, storage: Storage) -> Threads:
        """Return the threads of a server whose batches wait for the stream."""
        return Threads(waits=True, flush=self.outbox.flush, gathers=storage.waits)

    def open(self, storage: Storage, threads: Threads) -> Core:
        """Read the queues back."""

        def commits(interval: float | None, syncer: Syncer, clock: Clock) -> GroupCommit:
            return ShippedCommit(interval, syncer, clock, Answering())

        storage = attrs.evolve(storage, log_size=0)
        return Core.open(storage, Clock(), self.files, threads, make_commits=commits)

    def check(self) -> None:
        """Expect the follower's files to be the owner's; called when the server has ended."""
        self._ends.set()
        self._woken.set()
        self._thread.join()
        if self._error is not None:
            raise self._error
        self._send()
        mine, copy = self._files(self.spool), self._files(self._copy.name)
        self._follower.close()
        self._copy.cleanup()
        assert copy == mine

    def _files(self, spool: str) -> dict[str, bytes]:
        files = Files()
        return {
            each: files.read(f"{spool}/{each}")
            for each in shared_files(files, spool)
            if files.kind(f"{spool}/{each}") == "a regular file"
        }

    def _run(self) -> None:
        while not self._ends.is_set():
            self._woken.wait()
            self._woken.clear()
            try:
                self._send()
            except Exception as error:
                # Nobody must wait for an answer that will not come.
                self._error = error
                self.outbox.close("the follower has failed")
                return

    def _send(self) -> None:
        while (message := self.outbox.take(all_of_it=True)) is not None:
            self._sequence += 1
            self._follower.apply(self._sequence, message.encode())
            self.outbox.answer(message)
