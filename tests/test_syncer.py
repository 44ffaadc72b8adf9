"""Where a sync is done: in its thread, and in the tick only while the disk is quick."""

import errno
import select
from collections.abc import Iterator

import pytest

from starling_py.journal.commit import Batch
from starling_py.journal.healing import Healing
from starling_py.journal.journal import Journal
from starling_py.journal.segment_writer import Syncing
from starling_py.syncer import QUICK, Pace, SyncThread
from tests.journal.parts import item, new_journal
from tests.journal.simulated_disk import Fault, SimulatedDisk
from tests.journal.spool_harness import empty_disk

PATIENCE = 10.0
ENOUGH = 16
"""Syncs after which a disk is known."""


class Stopwatch:
    """A clock that goes on by so much with each look at it."""

    def __init__(self) -> None:
        self.step = QUICK / 10
        self._now = 0.0

    def __call__(self) -> float:
        self._now += self.step
        return self._now


@pytest.fixture
def watch() -> Stopwatch:
    return Stopwatch()


@pytest.fixture
def syncer(watch: Stopwatch) -> Iterator[SyncThread]:
    """Return the syncer of a server whose replies wait."""
    syncer = SyncThread(waits=True, now=watch)
    syncer.start()
    yield syncer
    syncer.close()


def batch_of(journals: int = 1, *, new: bool = False) -> Batch:
    """Return a batch of journals; ``new``: their files have yet to get their names."""
    work: list[tuple[Journal, Syncing | Healing]] = []
    for _ in range(journals):
        journal = new_journal(empty_disk())
        for number in (1, 2):
            journal.push(item(number))
            journal.write()
            syncing = journal.begin_sync()
            assert isinstance(syncing, Syncing)
            if new or number == 2:
                break
            syncing.run()
            journal.end_sync(syncing, None)
        assert syncing is not None
        work.append((journal, syncing))
    return Batch(1, work)


def sync(syncer: SyncThread, batch: Batch) -> bool:
    """Have a batch synced; return whether that was done at once."""
    syncer.submit(batch)
    at_once = bool(syncer.synced_at_once)
    if not at_once:
        assert select.select([syncer.fileno()], [], [], PATIENCE)[0]
    assert syncer.collect() == [batch]
    assert len(batch.errors) == len(batch.work)
    assert not syncer.synced_at_once
    return at_once


def proven(syncer: SyncThread) -> SyncThread:
    """Return a syncer whose disk was quick for long enough."""
    for _ in range(10 * ENOUGH):
        if sync(syncer, batch_of()):
            return syncer
    raise AssertionError("it never is")


def test_a_disk_that_was_quick_for_long_enough_is_waited_for(syncer: SyncThread) -> None:
    for _ in range(ENOUGH):
        assert not sync(syncer, batch_of())
    for _ in range(ENOUGH):
        assert sync(syncer, batch_of())


def test_a_slow_disk_never_is(syncer: SyncThread, watch: Stopwatch) -> None:
    watch.step = 1.1 * QUICK
    for _ in range(10 * ENOUGH):
        assert not sync(syncer, batch_of())


def test_one_slow_sync_and_the_others_have_to_make_up_for_it(
    syncer: SyncThread, watch: Stopwatch
) -> None:
    proven(syncer)
    watch.step = 30 * QUICK
    assert sync(syncer, batch_of())
    watch.step = QUICK / 10
    assert not sync(syncer, batch_of())
    proven(syncer)
    assert sync(syncer, batch_of())


def test_many_journals_take_too_long_together(syncer: SyncThread) -> None:
    proven(syncer)
    assert sync(syncer, batch_of(2))
    assert not sync(syncer, batch_of(11))


def test_nothing_but_a_sync_of_one_file_is_done_at_once(syncer: SyncThread) -> None:
    proven(syncer)
    assert not sync(syncer, batch_of(new=True))
    assert sync(syncer, batch_of())


def test_where_nobody_waits_the_tick_does_not_either(watch: Stopwatch) -> None:
    syncer = SyncThread(waits=False, now=watch)
    syncer.start()
    for _ in range(10 * ENOUGH):
        assert not sync(syncer, batch_of())
    syncer.close()


def test_a_sync_that_fails_at_once_is_told_of(syncer: SyncThread) -> None:
    proven(syncer)
    batch = batch_of()
    journal, work = batch.work[0]
    assert isinstance(work, Syncing)
    disk = work.place.files
    assert isinstance(disk, SimulatedDisk)
    disk.fault = Fault(1, errno.EIO, frozenset({"sync"}))
    assert sync(syncer, batch)
    assert isinstance(batch.errors[0], OSError)
    assert journal.broken is None, "only its owner is told, in the tick"


def test_what_was_synced_at_once_and_not_collected_is_told_of_at_the_end(
    syncer: SyncThread,
) -> None:
    proven(syncer)
    batch = batch_of()
    syncer.submit(batch)
    assert syncer.synced_at_once
    assert syncer.close() == [batch]


def test_the_pace_is_no_guess() -> None:
    pace = Pace()
    for _ in range(ENOUGH - 1):
        pace.took(QUICK / 10, 1)
    assert not pace.is_quick(1)
    pace.took(9, 0)  # a batch of nothing
    assert not pace.is_quick(1)
    pace.took(QUICK / 10, 1)
    assert pace.is_quick(1)
    assert not pace.is_quick(1000)
