"""Random lives of a spool, and proof that the model notices what must not be.

A seed that fails is replayed alone with

    SIMULATION_SEED=123 scripts/test tests/simulation -k replay
"""

import os
from collections import Counter
from collections.abc import Callable

import pytest

from starling_py.journal import compaction, healing, segment_writer
from starling_py.journal.background import DirectoryRemoval, Removal
from starling_py.journal.blocks import Reading
from starling_py.journal.commit import GroupCommit
from starling_py.journal.compaction import Compaction
from starling_py.journal.healing import Healing
from starling_py.journal.journal import Journal
from starling_py.journal.ledger import Ledger
from starling_py.journal.record import Item
from starling_py.journal.reserve import Reserve
from starling_py.journal.segment_writer import SegmentWriter, Syncing
from starling_py.journal.spool import Spool
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.queues.queue_collection import QueueCollection
from starling_py.replies import Replies
from tests.journal.simulated_disk import SimulatedDisk
from tests.simulation.model import Violation
from tests.simulation.schedule import run
from tests.simulation.world import WatchedQueues

BLOCK = 250
"""Seeds that one test runs."""
DEFAULT = 2500
"""Seeds of the default run."""
LONG = 100_000
"""Seeds of the long run."""
ENOUGH = 400
"""Seeds within which a planted defect must be noticed."""


def replay(seed: int) -> None:
    """Run one schedule; say how to run it again if it fails."""
    try:
        run(seed)
    except Exception as error:
        error.add_note(f"replay: SIMULATION_SEED={seed} scripts/test tests/simulation -k replay")
        raise


@pytest.mark.parametrize("first", range(0, DEFAULT, BLOCK))
def test_no_schedule_of_operations_faults_and_crashes_breaks_a_promise(first: int) -> None:
    for seed in range(first, first + BLOCK):
        replay(seed)


@pytest.mark.long
@pytest.mark.parametrize("first", range(DEFAULT, LONG, 10 * BLOCK))
def test_no_schedule_of_very_many_breaks_a_promise(first: int) -> None:
    for seed in range(first, first + 10 * BLOCK):
        replay(seed)


def test_replay_of_the_seed_that_was_asked_for() -> None:
    replay(int(os.environ.get("SIMULATION_SEED", "0")))


def test_the_same_seed_makes_the_same_file_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []
    original = SimulatedDisk._call

    def call(disk: SimulatedDisk, name: str, where: str | int) -> None:
        calls[-1].append(f"{name} {where}")
        original(disk, name, where)

    monkeypatch.setattr(SimulatedDisk, "_call", call)
    for _ in range(2):
        calls.append([])
        for seed in range(5):
            replay(seed)
    assert len(calls[0]) > 500
    assert calls[0] == calls[1]


def test_the_schedules_reach_whatever_there_is_to_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: Counter[str] = Counter()

    def count(owner: type, name: str) -> None:
        original = getattr(owner, name)

        def counted(*args: object, **kwargs: object) -> object:
            seen[f"{owner.__name__}.{name}"] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, counted)

    reached = (
        (Compaction, "run"),
        (DirectoryRemoval, "run"),
        (Healing, "run"),
        (Reading, "run"),
        (Removal, "run"),
        (Replies, "revoke"),
        (Reserve, "lend"),
        (SegmentWriter, "begin"),
        (SimulatedDisk, "after_power_cut"),
        (SimulatedDisk, "forget_failed_syncs"),
        (Spool, "remove"),
        (WatchedQueues, "restored"),
    )
    for owner, name in reached:
        count(owner, name)
    for seed in range(150):
        replay(seed)
    scarce = {f"{owner.__name__}.{name}" for owner, name in reached} - {
        name for name, count in seen.items() if count >= 10
    }
    assert not scarce, seen


Plant = Callable[[pytest.MonkeyPatch], None]


def replies_before_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the replies stand when the commit fails."""
    monkeypatch.setattr(Replies, "revoke", lambda self, failed: None)


def replies_before_the_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no reply wait for the sync under ``always``."""
    original = GroupCommit.commit

    def commit(self: GroupCommit) -> object:
        committed = original(self)
        return type(committed)(committed.failed, 0)

    monkeypatch.setattr(GroupCommit, "commit", commit)


def forgets_a_removal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out every fifth record of a removal."""
    original = Journal.remove
    count = 0

    def remove(self: Journal, item: Item) -> None:
        nonlocal count
        original(self, item)
        count += 1
        if count % 5 == 0:
            self._unwritten.records.pop()

    monkeypatch.setattr(Journal, "remove", remove)


def syncs_no_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make no name safe while the server runs."""

    def run_it(self: Syncing) -> None:
        files = self.place.files
        for descriptor in self.descriptors:
            files.sync(descriptor)
        if self.unfinished is not None:
            files.rename(self.unfinished, self.unfinished.removesuffix(".new"))

    monkeypatch.setattr(Syncing, "run", run_it)


def syncs_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make nothing but names safe."""
    monkeypatch.setattr(SimulatedDisk, "sync", lambda self, descriptor: None)


def heals_without_what_was_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Go on as of the last sync when a file went bad, whatever was told since."""
    original = Healing.run

    def run_it(self: Healing) -> None:
        self._acknowledged = []
        original(self)

    monkeypatch.setattr(Healing, "run", run_it)


def goes_on_after_a_failed_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a sync that failed for one that succeeded."""
    original = Journal.end_sync

    def end_sync(self: Journal, work: Syncing | Healing, error: OSError | None) -> None:
        original(self, work, None)

    monkeypatch.setattr(Journal, "end_sync", end_sync)


def leaves_half_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not cut off what was written of a record before the error."""
    monkeypatch.setattr(SegmentWriter, "_cut_back", lambda self, descriptor, size: None)


def names_a_segment_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name a segment before it or the one before it is safe."""
    monkeypatch.setattr(segment_writer, "UNFINISHED_SUFFIX", "")
    monkeypatch.setattr(healing, "UNFINISHED_SUFFIX", "")


def reads_out_of_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hand out what is read back in the wrong order."""
    original = Reading.run

    def run_it(self: Reading) -> None:
        original(self)
        self.items.reverse()

    monkeypatch.setattr(Reading, "run", run_it)


def skips_the_roll_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the queue in memory as it is after a commit that failed."""
    monkeypatch.setattr(PersistentQueue, "rolled_back", lambda self: None)


def copies_too_little_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out live items when segments are replaced."""
    monkeypatch.setattr(Compaction, "_is_live", lambda self, item_id: item_id % 3 == 0)


def keeps_dead_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let segments take up room for ever: neither remove the dead ones nor copy anything."""
    monkeypatch.setattr(Ledger, "take_dead", lambda self, but=(): [])
    monkeypatch.setattr(compaction, "choose", lambda ledger, segment_size: [])


def lends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse removals on a full disk."""
    monkeypatch.setattr(Reserve, "lend", lambda self, size, removals_only: False)


def serves_nobody_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everybody wait until the time is over."""
    monkeypatch.setattr(QueueCollection, "_serve", lambda self, queue: None)


def never_heals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse a queue for ever once its file went bad."""
    monkeypatch.setattr(Healing, "run", lambda self: setattr(self, "error", OSError()))


def gives_expired_items(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take nothing for dead."""
    original = PersistentQueue.peek
    monkeypatch.setattr(PersistentQueue, "peek", lambda self, now_ms: original(self, 0))


def waits_for_no_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never sync under an interval."""
    monkeypatch.setattr(GroupCommit, "sync_if_due", lambda self: None)


PLANTS = (
    replies_before_the_commit,
    replies_before_the_sync,
    forgets_a_removal,
    syncs_no_directory,
    syncs_no_file,
    heals_without_what_was_acknowledged,
    goes_on_after_a_failed_sync,
    leaves_half_a_record,
    names_a_segment_too_early,
    reads_out_of_order,
    skips_the_roll_back,
    copies_too_little_forward,
    keeps_dead_segments,
    lends_nothing,
    serves_nobody_who_waits,
    never_heals,
    gives_expired_items,
    waits_for_no_interval,
)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_defect_is_noticed(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    for seed in range(ENOUGH):
        try:
            run(seed)
        except Violation:
            return
    pytest.fail(f"{plant.__name__} goes unnoticed in {ENOUGH} schedules")
