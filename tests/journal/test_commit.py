"""Group commit: who may be told what, and when, under each policy."""

import errno

import pytest

from starling_py.journal import commit
from starling_py.journal.commit import Batch, GroupCommit
from starling_py.journal.journal import Durability, Journal, JournalError
from starling_py.journal.record import Item
from tests.journal.simulated_disk import Fault, ProcessKilled, SimulatedDisk
from tests.journal.spool_harness import (
    NAME,
    SPOOL,
    DeferredSyncer,
    Harness,
    StandingClock,
    empty_disk,
    segments_of,
)

SYNC = frozenset({"sync"})


def journal_of(harness: Harness, name: bytes = NAME) -> Journal:
    """Return the journal of a queue that exists."""
    queue = harness.queues.find(name)
    assert queue is not None
    return queue.journal


class Owner:
    """An owner that notes what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def committed(self) -> None:
        self.heard.append("committed")

    def rolled_back(self) -> None:
        self.heard.append("rolled back")

    def settled(self) -> None:
        self.heard.append("settled")


def pending(commits: GroupCommit) -> bool:
    """Tell whether there is anything to commit now."""
    return commits.pending


def unsynced(commits: GroupCommit) -> bool:
    """Tell whether anything is to be synced now."""
    return commits.unsynced


def lone_journal(
    disk: SimulatedDisk, interval: float | None = 0
) -> tuple[GroupCommit, DeferredSyncer, Journal]:
    """Return a group commit with one journal of a new queue."""
    syncer = DeferredSyncer(disk)
    commits = GroupCommit(interval, syncer, StandingClock())
    syncer.commits = commits
    durability = Durability(interval is not None, 200)
    journal = Journal(disk, f"{SPOOL}/jobs", NAME, durability, commits.touch, [])
    return commits, syncer, journal


# Any policy.


def test_a_commit_writes_what_was_touched_once_and_tells_each_owner(disk: SimulatedDisk) -> None:
    commits, syncer, journal = lone_journal(disk)
    owner = Owner()
    journal.owner = owner
    assert not pending(commits)
    journal.push(Item(1, 0, 0, 0, b"a"))
    journal.push(Item(2, 0, 0, 0, b"b"))
    assert pending(commits)
    commits.commit()
    assert not pending(commits)
    assert owner.heard == ["committed"]
    syncer.sync_one()
    assert owner.heard == ["committed", "settled"]


def test_a_journal_that_fails_takes_no_other_with_it(disk: SimulatedDisk) -> None:
    harness = Harness(disk)
    harness.put_all([b"a"], b"bad")
    harness.put_all([b"a"], b"good")
    harness.put(b"b", b"bad")
    harness.put(b"b", b"good")
    disk.fault = Fault(1, errno.ENOSPC, frozenset({"write"}))
    (done,) = harness.commit()
    assert done.failed == {journal_of(harness, b"bad")}
    assert harness.commits.failures == 1
    assert harness.datas(b"bad") == [b"a"]
    assert harness.datas(b"good") == [b"a", b"b"]
    assert Harness(disk.after_power_cut()).datas(b"good") == [b"a", b"b"]


def test_an_operation_that_is_written_is_not_called_failed_because_of_what_comes_after_it(
    disk: SimulatedDisk,
) -> None:
    # The record that gives dead segments up is written in a commit of its own. If only that one
    # fails, whoever was given an item must get it: it is in the journal as taken.
    harness = Harness(disk, segment_size=200)
    harness.put_all([b"a" * 200, b"b"])
    assert harness.pop() == b"a" * 200
    disk.fault = Fault(2, errno.ENOSPC, frozenset({"write"}), lasting=True)
    first, *others = harness.commit()
    assert not first.failed
    assert disk.fault.struck
    assert not any(done.failed for done in others)
    disk.fault = None
    harness.put_all([b"c"])
    assert Harness(disk.after_process_death()).datas() == [b"b", b"c"]


# always


def test_a_reply_waits_for_the_sync_of_its_write(disk: SimulatedDisk) -> None:
    harness = Harness(disk, deferred=True)
    harness.put(b"a")
    (done,) = harness.commit()
    assert done.ticket == 1
    assert harness.commits.finished == 0
    assert unsynced(harness.commits)
    harness.deferred.sync_one()
    assert harness.commits.finished == 1
    assert not unsynced(harness.commits)
    assert harness.commits.syncs == 1
    assert Harness(disk.after_power_cut()).datas() == [b"a"]


def test_a_second_batch_begins_only_when_the_first_is_finished(disk: SimulatedDisk) -> None:
    harness = Harness(disk, deferred=True)
    tickets = []
    for data in (b"a", b"b", b"c"):
        harness.put(data)
        tickets += [done.ticket for done in harness.commit()]
        assert len(harness.deferred.waiting) == 1
    assert tickets == [1, 2, 2]
    harness.deferred.sync_one()
    assert harness.commits.finished == 1
    assert len(harness.deferred.waiting) == 1
    harness.deferred.sync_one()
    assert harness.commits.finished == 2
    assert not harness.deferred.waiting
    assert Harness(disk.after_power_cut()).datas() == [b"a", b"b", b"c"]


def test_a_ticket_is_finished_only_after_a_sync_that_began_after_its_write() -> None:
    # Syncs are let through at every possible moment between the commits.
    for schedule in range(2**8):
        disk = empty_disk()
        harness = Harness(disk, deferred=True, segment_size=150)
        told: dict[int, list[bytes]] = {}
        expected: list[bytes] = []
        for step in range(4):
            data = b"%d" % step * 40
            harness.put(data)
            expected.append(data)
            tickets = [done.ticket for done in harness.commit()]
            told.setdefault(max(tickets), []).append(data)
            for turn in range(2):
                if schedule >> (2 * step + turn) & 1 and harness.deferred.waiting:
                    harness.deferred.sync_one()
            safe = Harness(disk.after_power_cut(), segment_size=150).datas()
            assert safe == expected[: len(safe)]
            for ticket, datas in told.items():
                if ticket <= harness.commits.finished:
                    assert set(datas) <= set(safe)
        while harness.deferred.waiting:
            harness.deferred.sync_one()
        assert max(told) <= harness.commits.finished
        assert Harness(disk.after_power_cut(), segment_size=150).datas() == expected


def test_one_sync_for_each_journal_covers_a_whole_commit(disk: SimulatedDisk) -> None:
    harness = Harness(disk)
    harness.put_all([b"a"], b"one")
    harness.put_all([b"a"], b"two")
    before = harness.commits.syncs
    for _ in range(10):
        harness.put(b"x", b"one")
        harness.put(b"y", b"two")
    (done,) = harness.commit()
    assert harness.commits.finished == done.ticket
    assert harness.commits.syncs == before + 2


def test_a_commit_that_fails_while_a_sync_is_under_way_gives_no_ticket_that_never_comes(
    disk: SimulatedDisk,
) -> None:
    harness = Harness(disk, deferred=True)
    harness.put_all([b"a"])
    disk.fault = Fault(1, errno.ENOSPC, frozenset({"write"}))
    harness.put(b"b")
    (done,) = harness.commit()
    assert done.failed
    while harness.deferred.waiting:
        harness.deferred.sync_one()
    assert harness.commits.finished >= done.ticket


def test_a_sync_that_fails_breaks_the_journal_for_good(disk: SimulatedDisk) -> None:
    harness = Harness(disk, segment_size=10**6)
    harness.put_all([b"a"])
    disk.fault = Fault(1, errno.EIO, SYNC)
    harness.put(b"b")
    (done,) = harness.commit()
    disk.fault = None
    journal = journal_of(harness)
    assert not done.failed
    assert harness.commits.finished == done.ticket
    assert harness.commits.failures == 1
    assert harness.commits.broken == {journal}
    assert journal.broken == "journal cannot be synced: Input/output error"
    with pytest.raises(JournalError, match="cannot be synced"):
        harness.put(b"c")
    with pytest.raises(JournalError, match="cannot be synced"):
        harness.pop()
    assert not harness.commits.pending


def test_whoever_waits_for_a_sync_that_fails_finds_the_journal_broken(disk: SimulatedDisk) -> None:
    harness = Harness(disk, deferred=True)
    harness.put_all([b"a"])
    harness.deferred.sync_one()
    harness.put_all([b"b"])
    harness.put_all([b"c"])
    disk.fault = Fault(1, errno.EIO, SYNC)
    while harness.deferred.waiting:
        harness.deferred.sync_one()
        assert harness.commits.finished < 2 or journal_of(harness).broken
    assert journal_of(harness) in harness.commits.broken


def test_a_file_is_never_synced_again_after_a_sync_that_failed(disk: SimulatedDisk) -> None:
    # The second sync would report success and make nothing safe.
    harness = Harness(disk, deferred=True, segment_size=10**6)
    harness.put_all([b"a"])
    harness.put_all([b"b"])
    disk.fault = Fault(1, errno.EIO, SYNC)
    harness.deferred.sync_one()
    disk.calls.clear()
    while harness.deferred.waiting:
        harness.deferred.sync_one()
    harness.commits.sync_everything()
    assert not [call for call in disk.calls if call.startswith("sync ")]


def test_a_journal_that_is_broken_gives_no_segment_up() -> None:
    for at in range(1, 12):
        disk = empty_disk()
        harness = Harness(disk, segment_size=150)
        harness.put_all([b"x" * 60] * 4)
        disk.fault = Fault(at, errno.EIO, SYNC)
        for step in range(8):
            try:
                harness.pop()
                harness.put(b"y%d" % step * 30)
            except JournalError:
                break
            harness.commit()
            if journal_of(harness).broken is not None:
                before = segments_of(disk)
                harness.commits.sync_everything()
                assert segments_of(disk) == before, f"sync {at}"
        Harness(disk.after_power_cut(), segment_size=150)


def test_a_late_good_sync_of_a_broken_journal_gives_no_segment_up(disk: SimulatedDisk) -> None:
    # As when the batch was under way while the sync at a rotation failed.
    harness = Harness(disk, segment_size=150, deferred=True)
    harness.put_all([b"x" * 60] * 4)
    while harness.deferred.waiting:
        harness.deferred.sync_one()
    before = segments_of(disk)
    for _ in range(3):
        harness.pop()
    harness.commit()
    harness.deferred.sync_one()
    assert len(harness.deferred.waiting) == 1, "the record that gives segments up is written"
    journal = journal_of(harness)
    journal.end_sync(OSError(errno.EIO, "Input/output error"))
    harness.deferred.sync_one()
    assert journal.broken is not None
    assert set(before) <= set(segments_of(disk))


@pytest.mark.parametrize("call", ["sync", "write and truncate"])
def test_a_journal_that_breaks_while_it_gives_segments_up_is_known_as_broken(call: str) -> None:
    # Whoever waits for what was written before must not be told that it is safe.
    disk = empty_disk()
    harness = Harness(disk, segment_size=150, deferred=True)
    harness.put_all([b"x" * 120, b"y"])
    while harness.deferred.waiting:
        harness.deferred.sync_one()
    harness.put(b"z" * 150)
    harness.pop()
    (first,) = [harness.commits.commit()]
    assert not first.failed
    assert pending(harness.commits), "the record that gives the first segment up"
    if call == "sync":
        disk.fault = Fault(1, errno.EIO, SYNC)
    else:
        disk.fault = Fault(1, errno.EIO, frozenset({"write", "truncate"}), lasting=True)
    harness.commits.commit()
    assert disk.fault.struck
    disk.fault = None
    while harness.deferred.waiting:
        harness.deferred.sync_one()
    journal = journal_of(harness)
    if journal.broken is not None:
        assert journal in harness.commits.broken
    assert harness.commits.failures > 0


def test_a_deletion_that_is_safe_only_at_a_rotation_disturbs_no_commit_under_way(
    disk: SimulatedDisk,
) -> None:
    harness = Harness(disk, interval=3600, segment_size=150)
    harness.put_all([b"x" * 50])
    harness.queues.delete(NAME)
    harness.commit()
    (full,) = segments_of(disk).values()
    assert len(full) >= 150, "the record of the deletion has filled the segment"
    harness.put(b"y")
    harness.queues.delete(NAME)
    harness.commit()
    assert harness.items() is None
    harness.put_all([b"last"])
    assert harness.datas() == [b"last"]
    assert Harness(disk.after_process_death(), interval=3600).datas() == [b"last"]


def test_an_error_on_closing_after_a_sync_is_that_syncs_error(disk: SimulatedDisk) -> None:
    harness = Harness(disk, deferred=True)
    harness.put_all([b"a"])
    disk.fault = Fault(1, errno.EIO, frozenset({"close"}))
    batch: Batch = harness.deferred.waiting[0]
    commit.sync(disk, batch)
    assert [type(error) for error in batch.errors] == [OSError]


def test_no_descriptor_to_sync_with_breaks_the_journal(disk: SimulatedDisk) -> None:
    harness = Harness(disk)
    harness.put_all([b"a"])
    disk.fault = Fault(1, errno.EMFILE, frozenset({"duplicate"}))
    harness.put(b"b")
    (done,) = harness.commit()
    assert harness.commits.finished == done.ticket
    assert journal_of(harness).broken is not None
    assert journal_of(harness) in harness.commits.broken


def test_a_queue_that_is_deleted_while_its_sync_is_under_way_disturbs_nobody(
    disk: SimulatedDisk,
) -> None:
    harness = Harness(disk, deferred=True)
    harness.put_all([b"a"])
    harness.put_all([b"a"], b"other")
    harness.queues.delete(NAME)
    harness.commit()
    while harness.deferred.waiting:
        harness.deferred.sync_one()
    harness.put_all([b"anew"])
    harness.deferred.sync_one()
    assert not unsynced(harness.commits)
    again = Harness(disk.after_power_cut())
    assert again.datas() == [b"anew"]
    assert again.datas(b"other") == [b"a"]


# An interval.


def test_under_an_interval_nobody_waits_and_the_sync_comes_when_it_is_due(
    disk: SimulatedDisk,
) -> None:
    harness = Harness(disk, interval=0.05, deferred=True)
    assert harness.commits.sync_due is None
    harness.put(b"a")
    (done,) = harness.commit()
    assert done.ticket == 0
    assert harness.commits.sync_due == pytest.approx(100.05)
    harness.clock.monotonic = 100.04
    harness.put_all([b"b"])
    assert harness.commits.sync_due == pytest.approx(100.05), "it is counted from the first write"
    harness.commits.sync_if_due()
    assert not harness.deferred.waiting
    harness.clock.monotonic = 100.06
    harness.commits.sync_if_due()
    assert len(harness.deferred.waiting) == 1
    assert harness.commits.sync_due is None
    harness.deferred.sync_one()
    assert Harness(disk.after_power_cut()).datas() == [b"a", b"b"]
    assert not unsynced(harness.commits)


def test_under_an_interval_a_slow_sync_is_waited_for_and_then_the_next_is_due(
    disk: SimulatedDisk,
) -> None:
    harness = Harness(disk, interval=0.05, deferred=True)
    harness.put_all([b"a"])
    harness.clock.monotonic = 100.06
    harness.commits.sync_if_due()
    harness.put_all([b"b"])
    harness.clock.monotonic = 107
    harness.commits.sync_if_due()
    assert len(harness.deferred.waiting) == 1
    assert harness.commits.sync_due is None, "nothing can begin while a sync is under way"
    harness.deferred.sync_one()
    assert harness.commits.sync_due == pytest.approx(100.11)
    harness.commits.sync_if_due()
    harness.deferred.sync_one()
    assert harness.commits.sync_due is None
    assert Harness(disk.after_power_cut()).datas() == [b"a", b"b"]


def test_under_an_interval_a_power_cut_costs_the_last_interval_at_most_and_a_crash_nothing(
    disk: SimulatedDisk,
) -> None:
    harness = Harness(disk, interval=0.05)
    for step in range(20):
        harness.clock.monotonic = 100 + step * 0.03
        harness.put_all([b"%d" % step])
        harness.commits.sync_if_due()
        safe = Harness(disk.after_power_cut(), interval=0.05).datas()
        assert len(safe) >= step - 2
        assert safe == [b"%d" % n for n in range(len(safe))]
    assert len(Harness(disk.after_process_death(), interval=0.05).datas()) == 20


@pytest.mark.parametrize("interval", [0.05, None], ids=["interval", "never"])
def test_what_was_committed_survives_the_death_of_the_process_at_any_call(
    interval: float | None,
) -> None:
    calls = 0
    died = True
    while died:
        calls += 1
        disk = empty_disk()
        harness = Harness(disk, interval=interval, segment_size=150)
        disk.kill_process_after(calls)
        safe: list[bytes] = []
        asked: list[bytes] = []
        died = False
        try:
            for step in range(12):
                asked.append(b"%d" % step * 40)
                harness.put(asked[-1])
                if step % 3 == 2:
                    assert harness.pop() == asked[0]
                    asked = asked[1:]
                harness.commit()
                safe = list(asked)
                harness.clock.monotonic += 0.04
                harness.commits.sync_if_due()
        except ProcessKilled:
            died = True
        again = Harness(disk.after_process_death(), interval=interval, segment_size=150)
        found = again.datas()
        # Of the commit under way, any part may be there: first the put, then the removal.
        assert found in (safe, [*safe, *asked[-1:]], asked), f"call {calls}"
        again.put_all([b"more"])
        assert again.datas() == [*found, b"more"]
        assert Harness(disk.after_process_death(), interval=interval).datas() == again.datas()
    assert calls > 40


# never, and the end.


def test_under_never_nothing_waits_nothing_is_due_and_nothing_is_synced(
    disk: SimulatedDisk,
) -> None:
    harness = Harness(disk, interval=None)
    harness.put(b"a")
    (done,) = harness.commit()
    assert done.ticket == 0
    assert harness.commits.sync_due is None
    assert not unsynced(harness.commits)
    harness.close()
    assert not [call for call in disk.calls if call.startswith("sync")]
    assert Harness(disk.after_process_death(), interval=None).datas() == [b"a"]


def test_at_the_end_everything_is_synced(disk: SimulatedDisk) -> None:
    harness = Harness(disk, interval=3600)
    for name in (b"one", b"two", b"three"):
        harness.put_all([b"x" * 150, b"y"], name)
    assert unsynced(harness.commits)
    harness.close()
    assert not unsynced(harness.commits)
    after = Harness(disk.after_power_cut())
    for name in (b"one", b"two", b"three"):
        assert after.datas(name) == [b"x" * 150, b"y"]


def test_a_sync_that_fails_at_the_end_is_reported_as_broken_and_the_others_are_synced(
    disk: SimulatedDisk,
) -> None:
    harness = Harness(disk, interval=3600)
    names = [b"one", b"two", b"three"]
    for name in names:
        harness.put_all([b"x"], name)
    disk.fault = Fault(1, errno.EIO, SYNC)
    harness.commits.sync_everything()
    assert sum(journal_of(harness, name).broken is not None for name in names) == 1
    after = Harness(disk.after_power_cut(), interval=3600)
    assert sum(after.datas(name) == [b"x"] for name in names) == 2
