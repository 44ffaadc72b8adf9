"""Where a sync is done: in its thread, and in the tick only while the disk is quick."""

import errno
from collections.abc import Iterator

import pytest

from starling_py.journal.commit import Batch
from starling_py.journal.healing import Healing
from starling_py.journal.journal import Journal
from starling_py.journal.syncing import Syncing
from starling_py.server.backoff import SELDOM
from starling_py.server.threads import QUICK, Pace, SyncThread
from tests.journal.parts import item, new_journal
from tests.journal.simulated_disk import Fault, SimulatedDisk
from tests.journal.spool_harness import empty_disk
from tests.readable import is_readable

PATIENCE = 60.0
ENOUGH = 16
"""Syncs of which the last is the first to be tried in the tick."""


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
            journal.recorder.push(item(number))
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


def check_sync(syncer: SyncThread, batch: Batch) -> bool:
    """Have a batch synced; return whether that was done at once."""
    syncer.submit(batch)
    at_once = bool(syncer.synced_at_once)
    if not at_once:
        assert is_readable(syncer.fileno(), PATIENCE)
    assert syncer.collect() == [batch]
    assert len(batch.errors) == len(batch.work)
    assert not syncer.synced_at_once
    return at_once


def proven(syncer: SyncThread) -> SyncThread:
    """Return a syncer whose disk was quick for long enough."""
    for _ in range(2 * ENOUGH):
        check_sync(syncer, batch_of())
    assert check_sync(syncer, batch_of())
    return syncer


def test_a_disk_that_is_found_to_be_quick_is_waited_for(syncer: SyncThread) -> None:
    outcomes = [check_sync(syncer, batch_of()) for _ in range(4 * ENOUGH)]
    assert not any(outcomes[: ENOUGH - 1])
    assert all(outcomes[2 * ENOUGH :])


def test_a_slow_disk_is_hardly_ever_waited_for(syncer: SyncThread, watch: Stopwatch) -> None:
    watch.step = 1.1 * QUICK
    outcomes = [check_sync(syncer, batch_of()) for _ in range(SELDOM)]
    assert 0 < sum(outcomes) <= 6


def test_one_slow_sync_makes_little_difference(syncer: SyncThread, watch: Stopwatch) -> None:
    proven(syncer)
    watch.step = 30 * QUICK
    assert check_sync(syncer, batch_of())
    watch.step = QUICK / 10
    assert [check_sync(syncer, batch_of()) for _ in range(4)] == [False, True, True, True]


def test_what_the_thread_takes_does_not_tell_what_the_tick_would(
    syncer: SyncThread, watch: Stopwatch
) -> None:
    """The thread has to wait for the processor while the tick works."""
    watch.step = 10 * QUICK
    for _ in range(ENOUGH - 1):
        assert not check_sync(syncer, batch_of())
    watch.step = QUICK / 10
    assert check_sync(syncer, batch_of())


def test_many_journals_take_too_long_together(syncer: SyncThread) -> None:
    proven(syncer)
    assert check_sync(syncer, batch_of(2))
    assert not check_sync(syncer, batch_of(11))


def test_several_journals_are_not_tried_before_one_has_been_timed(
    syncer: SyncThread, watch: Stopwatch
) -> None:
    watch.step = QUICK
    for _ in range(3 * ENOUGH):
        assert not check_sync(syncer, batch_of(2))


def test_nothing_but_a_sync_of_one_file_is_done_at_once(syncer: SyncThread) -> None:
    proven(syncer)
    assert not check_sync(syncer, batch_of(new=True))
    assert check_sync(syncer, batch_of())


def test_where_nobody_waits_the_tick_does_not_either(watch: Stopwatch) -> None:
    syncer = SyncThread(waits=False, now=watch)
    syncer.start()
    for _ in range(10 * ENOUGH):
        assert not check_sync(syncer, batch_of())
    syncer.close()


def test_a_sync_that_fails_at_once_is_told_of(syncer: SyncThread) -> None:
    proven(syncer)
    batch = batch_of()
    journal, work = batch.work[0]
    assert isinstance(work, Syncing)
    disk = work.place.files
    assert isinstance(disk, SimulatedDisk)
    disk.fault = Fault(1, errno.EIO, frozenset({"sync"}))
    assert check_sync(syncer, batch)
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


def test_a_batch_of_nothing_tells_nothing_of_the_disk() -> None:
    pace = Pace()
    for _ in range(2 * ENOUGH):
        assert not pace.is_tick_due(0)
        pace.took(QUICK / 10, 1, in_tick=False)
        pace.took(9, 0, in_tick=False)
    for _ in range(ENOUGH - 1):
        assert not pace.is_tick_due(2)
    assert pace.is_tick_due(2)
