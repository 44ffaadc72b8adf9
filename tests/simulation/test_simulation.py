"""Random lives of a spool, and proof that the model notices what must not be.

A seed that fails is replayed alone with

    SIMULATION_SEED=123 scripts/test tests/simulation -k replay
"""

import os
from collections import Counter
from pathlib import Path

import pytest

from starling_py.journal.blocks import Reading
from starling_py.journal.compaction import Compaction
from starling_py.journal.disk.background import DirectoryRemovals, Removal
from starling_py.journal.disk.reserve import Reserve
from starling_py.journal.healing import Healing
from starling_py.journal.segment_writer import SegmentWriter
from starling_py.journal.spool import Spool
from starling_py.queues.moves import Moves
from starling_py.queues.open_reads import OpenReads
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.queues.queue_collection import QueueCollection
from starling_py.queues.waiting_items import WaitingItems
from starling_py.session.replies import Replies
from tests.journal.simulated_disk import SimulatedDisk
from tests.planted import Search
from tests.simulation.model import Violation
from tests.simulation.plants import PLANTS, Plant
from tests.simulation.schedule import run
from tests.simulation.watched_queues import WatchedQueues

ENOUGH = 400
"""Seeds within which a planted defect must be noticed, and everything be reached."""
PLANTED = Search(
    PLANTS, run, (Violation,), enough=ENOUGH, file=Path(__file__).with_name("noticed.json")
)
BLOCK = 100
"""Seeds that one test runs."""
DEFAULT = 500
"""Seeds of the default run."""
LONG = 100_000
"""Seeds of the long run."""


def replay(seed: int) -> None:
    """Run one schedule; say how to run it again if it fails."""
    try:
        run(seed)
    except Exception as error:
        error.add_note(f"replay: SIMULATION_SEED={seed} scripts/test tests/simulation -k replay")
        raise


@pytest.mark.parametrize("first", range(ENOUGH, DEFAULT, BLOCK))
def test_no_schedule_of_operations_faults_and_crashes_breaks_a_promise(first: int) -> None:
    for seed in range(first, first + BLOCK):
        replay(seed)


@pytest.mark.long
@pytest.mark.parametrize("first", range(DEFAULT, LONG, 25 * BLOCK))
def test_no_schedule_of_very_many_breaks_a_promise(first: int) -> None:
    for seed in range(first, first + 25 * BLOCK):
        replay(seed)


FOUND = {
    105245: "a sync failed of what the log told, without a note of it: the next one was believed",
    21714: "an idle file was synced when it was closed for others; the error refused the next put",
    600098: "a token of a put that was not written yet counted on after its window",
    610163: "as the server ended, an open was written on top of the healing that had undone it",
    1012355: "a queue's directory was taken away while its first sync was under way",
    2002844: "a move into a queue that was taken away never ended, and its item was not seen again",
    4000567: "a get that waited to read items back was never answered after a flush",
    1012435: "a get of several keys told that a queue was empty that another key had changed",
}
"""Schedules that once broke a promise, and what they found."""


@pytest.mark.parametrize("seed", FOUND)
def test_what_a_schedule_once_found_is_mended(seed: int) -> None:
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


@pytest.mark.patches
def test_the_first_schedules_break_no_promise_and_reach_all_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: Counter[str] = Counter()

    def count(owner: type, name: str) -> None:
        original = getattr(owner, name)

        def counted(*args: object, **kwargs: object) -> object:
            seen[f"{owner.__name__}.{name}"] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, counted)

    reached = (
        (Compaction, "run"),
        (DirectoryRemovals, "run"),
        (Healing, "run"),
        (WaitingItems, "_fetched"),
        (Moves, "copy_is_undone"),
        (OpenReads, "_reopen"),
        (PersistentQueue, "drop_oldest"),
        (PersistentQueue, "exhausts"),
        (PersistentQueue, "give_back_later"),
        (QueueCollection, "_put_moved"),
        (Reading, "run"),
        (Removal, "run"),
        (Replies, "revoke"),
        (Reserve, "lend"),
        (SegmentWriter, "begin_segment"),
        (SimulatedDisk, "after_power_cut"),
        (SimulatedDisk, "forget_failed_syncs"),
        (Spool, "remove"),
        (WatchedQueues, "_serve_those_who_wait"),
    )
    for owner, name in reached:
        count(owner, name)
    for seed in range(ENOUGH):
        replay(seed)
    scarce = {f"{owner.__name__}.{name}" for owner, name in reached} - {
        name for name, count in seen.items() if count >= 4
    }
    assert not scarce, seen


@pytest.mark.patches
@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_defect_is_noticed(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    assert PLANTED.noticed_by(plant.__name__) is not None
