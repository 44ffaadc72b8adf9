"""What the tests of queues start from: a core with rules, and what its queues hold."""

from functools import partial
from pathlib import Path

from starling_py.keys import Request
from starling_py.queues.open_reads import OpenRead, ReadHolder
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.queues.queue_directory import Rules
from starling_py.settings.queue_table import QueueTable
from starling_py.settings.routes import Routes
from starling_py.stats import QueueSnapshot
from tests.core import CoreHarness, ManualClock, put
from tests.server.in_process import FailingFiles


class Queues(CoreHarness):
    """A core whose queues are asked directly, without clients."""

    def __init__(
        self,
        path: Path,
        entries: dict[str, dict[str, object]] | None = None,
        *,
        routes: dict[str, list[str]] | None = None,
        clock: ManualClock | None = None,
        files: FailingFiles | None = None,
        interval: float | None = None,
        window_size: int = 1 << 23,
        segment_size: int = 4096,
        **rules: int,
    ) -> None:
        self.failing = FailingFiles() if files is None else files
        super().__init__(
            path,
            self.failing,
            clock,
            interval=interval,
            window_size=window_size,
            segment_size=segment_size,
            rules=Rules(QueueTable(entries or {}), Routes(routes or {}), **rules),
        )
        self.commit()

    def put(self, name: bytes, *datas: bytes, exptime: int = 0) -> None:
        """Put items, and commit each."""
        for data in datas:
            self.patiently(partial(put, self.queues, name, data, 0, exptime))
            self.commit()

    def put_many(self, name: bytes, count: int) -> None:
        """Put so many items, and commit all of them at once."""
        for _ in range(count):
            put(self.queues, name, b"x")
        self.commit()

    def put_uncommitted(self, name: bytes, data: bytes = b"x") -> None:
        """Put an item, and commit nothing."""
        put(self.queues, name, data)

    def take(self, name: bytes) -> bytes | None:
        """Take an item's data, and commit that."""
        hit = self.patiently(lambda: self.queues.read(Request(name, name)))
        self.commit()
        return None if hit is None else hit[1].data

    def take_all(self, name: bytes) -> list[bytes]:
        """Take everything that can be taken."""
        taken = []
        while (data := self.take(name)) is not None:
            taken.append(data)
        return taken

    def open(
        self, name: bytes, holder: ReadHolder, lease: float | None = None, *, commit: bool = True
    ) -> OpenRead:
        """Open an item, which must be there."""
        read = self.try_to_open(name, holder, lease)
        assert read is not None
        if commit:
            self.commit()
        return read

    def try_to_open(
        self, name: bytes, holder: ReadHolder, lease: float | None = None
    ) -> OpenRead | None:
        """Open an item if there is one."""
        request = Request(name, name, open=True, lease=lease)
        hit = self.patiently(lambda: self.queues.read(request, holder))
        return None if hit is None else hit[2].open_reads.get(hit[1].id)

    @staticmethod
    def request(name: bytes) -> Request:
        """Return what a plain get of a queue asks for."""
        return Request(name, name)

    def queue(self, name: bytes) -> PersistentQueue:
        """Return a queue, which must exist."""
        queue = self.queues.directory.find(name)
        assert queue is not None
        return queue

    def numbers(self, name: bytes) -> QueueSnapshot:
        """Return a queue's numbers."""
        found = self.queues.queue_snapshot(name)
        assert found is not None
        return found

    def fail_commit(self, *, only: str = "") -> None:
        """Commit while nothing can be written, then let everything be healed."""
        self.failing.error, self.failing.only = OSError(28, "No space left on device"), only
        self.commits.commit()
        self.failing.error = None
        for _ in range(3):
            self.background.do_all()
            self.clock.monotonic += 2
            self.commits.sync_if_due()
            self.commit()

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and happen what is due by then."""
        self.clock.advance(seconds)
        self.queues.run_due()
        self.commit()
