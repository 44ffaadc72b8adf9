"""The queues of one spool as a server has them, without the server: for tests of the journal."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import count

import attrs

from starling_py.clock import Clock
from starling_py.journal.blocks import Reading
from starling_py.journal.commit import Batch, Committed, GroupCommit
from starling_py.journal.directory_names import directory_name
from starling_py.journal.disk.files import Files
from starling_py.journal.errors import SpoolError
from starling_py.journal.format import end_mark
from starling_py.journal.format.record import Item
from starling_py.journal.ledger import Ledger
from starling_py.journal.recovery.examination import Recovered
from starling_py.journal.recovery.recovery import recover
from starling_py.queues.errors import NotLoaded
from starling_py.server.core import Core, InlineSyncer, Storage
from tests.core import PatientBackground, put
from tests.journal.simulated_disk import SALT, ProcessKilled, SimulatedDisk

SPOOL = "/spool"
NAME = b"jobs"
DIRECTORY = f"{SPOOL}/jobs"
NOW_MS = 1_700_000_000_000

Items = tuple[tuple[int, bytes, int], ...]
"""The id, the data and the flags of each item of a queue."""


class StandingClock(Clock):
    """A clock that a test moves itself."""

    __slots__ = ()

    def refresh(self) -> None:
        self.wall_ms = NOW_MS
        self.monotonic = 100.0

    def now(self) -> float:
        """Return the same moment each time: no slice of work is ever over."""
        return 100.0


class DeferredSyncer:
    """Keeps the batches until a test lets them be synced."""

    def __init__(self) -> None:
        self.commits: GroupCommit
        self.waiting: deque[Batch] = deque()

    def submit(self, batch: Batch) -> None:
        self.waiting.append(batch)

    def close(self) -> list[Batch]:
        """Return nothing: what waits is the test's."""
        return []

    def sync_one(self) -> Batch:
        """Sync the oldest batch and say that it is done."""
        batch = self.waiting.popleft()
        batch.run()
        self.commits.finish(batch)
        return batch


@attrs.frozen
class HarnessThreads:
    """Threads of a test's choice."""

    syncer: InlineSyncer | DeferredSyncer
    background: PatientBackground


class Harness:
    """A spool, its group commit and its queues."""

    def __init__(
        self,
        files: Files,
        *,
        segment_size: int = 200,
        interval: float | None = 0,
        path: str = SPOOL,
        deferred: bool = False,
        window_size: int = 1 << 20,
        quarantine: bool = False,
        refuses: bool = False,
        log_size: int = 0,
        open_files: int = 256,
    ) -> None:
        """``refuses``: whether queues may be refused; otherwise that raises ``SpoolError``.

        ``log_size``: bytes of each file of the log, which is made at once; 0 for none.
        """
        self.files = files
        self.clock = StandingClock()
        self.deferred = DeferredSyncer()
        self.background = PatientBackground()
        syncer = self.deferred if deferred else InlineSyncer()
        storage = Storage(
            path,
            interval,
            segment_size,
            window_size,
            quarantine=quarantine,
            open_files=open_files,
            log_size=log_size,
            log_worth=1,
        )
        core = Core.open(storage, self.clock, files, HarnessThreads(syncer, self.background))
        self.commits = self.deferred.commits = core.commits
        self.spool, self.queues = core.spool, core.queues
        self.background.do_all()
        if self.spool.refused and not refuses:
            self.spool.close()
            raise SpoolError("; ".join(self.spool.refused.values()))

    def put(self, data: bytes, name: bytes = NAME, flags: int = 0) -> None:
        """Put an item, without committing it."""
        put(self.queues, name, data, flags)

    def pop(self, name: bytes = NAME) -> bytes | None:
        """Pop an item, without committing that."""
        queue = self.queues.directory.find(name)
        if queue is None:
            return None
        while True:
            try:
                item = queue.pop(self.clock.wall_ms)
            except NotLoaded:
                assert self.background.waiting, "nobody reads on"
                self.background.do_all()
            else:
                return None if item is None else item.data

    def commit(self) -> list[Committed]:
        """Commit until nothing is left to commit, as one tick does."""
        done = []
        while self.commits.touched or self.background.waiting:
            done.append(self.commits.commit())
            self.background.do_all()
        return done

    def put_all(self, datas: Sequence[bytes], name: bytes = NAME) -> None:
        """Put and commit items one by one."""
        for data in datas:
            self.put(data, name)
            self.commit()

    def pop_all(self, count: int, name: bytes = NAME) -> list[bytes | None]:
        """Pop and commit items one by one."""
        popped = []
        for _ in range(count):
            popped.append(self.pop(name))
            self.commit()
        return popped

    def items(self, name: bytes = NAME) -> Items | None:
        """Return what is in a queue now; ``None`` when there is no such queue."""
        self.background.do_all()
        queue = self.queues.directory.find(name)
        if queue is None:
            return None
        assert not queue._window.behind, "the window does not hold everything"
        return brief(queue._window.items)

    def datas(self, name: bytes = NAME) -> list[bytes]:
        """Return the data of a queue's items."""
        return [data for _, data, _ in self.items(name) or ()]

    def close(self) -> None:
        """End in order."""
        self.commits.sync_everything()
        self.queues.directory.close()


def brief(items: Iterable[Item]) -> Items:
    """Return what tests compare items by."""
    return tuple((item.id, item.data, item.flags) for item in items)


def items_in(files: Files, state: Recovered) -> list[Item]:
    """Return the live items of a journal that was read back."""
    return live_items(files, state.salt, state.ledger)


def live_items(files: Files, salt: int, ledger: Ledger) -> list[Item]:
    """Return the live items of a journal, in the order of their ids."""
    found: list[Item] = []
    position, after_id = (0, 0), ledger.head - 1
    while True:
        reading = Reading(
            files, salt, ledger.segments, position, after_id, ledger.removed_ids, 1 << 30
        )
        reading.run()
        if reading.error is not None:
            raise reading.error
        found += [item for item in reading.items if ledger.is_live(item.id)]
        position = reading.position
        if reading.at_end:
            break
    assert len(found) == ledger.items, "the ledger counts what is there"
    assert sum(len(item.data) for item in found) == ledger.bytes
    return found


def recovered_items(files: Files, state: Recovered | None) -> Items | None:
    """Return what a journal was read back as; ``None`` when there is no queue."""
    return None if state is None or state.ledger.deleted else brief(items_in(files, state))


def empty_disk() -> SimulatedDisk:
    """Return a disk with an empty spool on it, safely."""
    return SimulatedDisk.holding({f"{SPOOL}/": b""})


def read_back(disk: SimulatedDisk, name: bytes = NAME) -> Recovered | None:
    """Recover one queue's journal."""
    return recover(disk, f"{SPOOL}/{directory_name(name)}")


def segments_of(disk: SimulatedDisk, name: bytes = NAME) -> dict[str, bytes]:
    """Return the segments of a queue, by path, oldest first, without their end marks."""
    contents = disk.contents(f"{SPOOL}/{directory_name(name)}")
    return {
        path: without_mark(data) for path, data in contents.items() if path.endswith(".segment")
    }


def without_mark(data: bytes, salt: int = SALT) -> bytes:
    """Return what counts of a segment: all but its end mark, if it has one."""
    is_marked = end_mark.decode(data[-end_mark.SIZE :], salt) is not None
    return data[: -end_mark.SIZE] if is_marked else data


def dying_deletions() -> Iterator[tuple[int, SimulatedDisk, bool, Items | None]]:
    """Delete a queue of five items in several segments, and die after no call, one, two, and so on.

    Yields after how many calls, the disk, whether that was before the end (the last time it is
    not), and what the queue held.
    """
    for calls in count():
        disk = empty_disk()
        harness = Harness(disk, segment_size=100)
        harness.put_all([b"x" * 60] * 5)
        whole = harness.items()
        disk.kill_process_after(calls)
        died = False
        harness.queues.delete(NAME)
        try:
            harness.commit()
        except ProcessKilled:
            died = True
        yield calls, disk, died, whole
        if not died:
            return
