"""Group commit: who may be told what, and when, under each policy."""

import errno
from collections.abc import Sequence

import attrs
import pytest

from starling_py.journal.commit import AT_ONCE, HEAL_AGAIN, GroupCommit
from starling_py.journal.errors import JournalError
from starling_py.journal.format.record import Item
from starling_py.journal.format.segment import Segment
from starling_py.journal.healing import Healing
from starling_py.journal.journal import Journal
from starling_py.journal.ledger import Ledger
from tests.journal.parts import heal, is_broken, journal_of, place_on, surroundings, sync_all
from tests.journal.simulated_disk import Fault, ProcessKilled, SimulatedDisk
from tests.journal.spool_harness import (
    DIRECTORY,
    NAME,
    SPOOL,
    DeferredSyncer,
    Harness,
    StandingClock,
    empty_disk,
    segments_of,
)

SYNC = frozenset({"sync"})


class Owner:
    """An owner that notes what it hears."""

    deleted = True

    def __init__(self) -> None:
        self.heard: list[str] = []

    def on_committed(self) -> None:
        self.heard.append("committed")

    def on_rolled_back(self) -> None:
        self.heard.append("rolled back")

    def on_broken(self) -> None:
        self.heard.append("broken")

    def on_safe(self) -> None:
        pass

    def on_all_safe(self) -> None:
        self.heard.append("all safe")

    def on_never_safe(self) -> None:
        self.heard.append("never safe")

    def items_in_memory(self) -> list[Item]:
        return []

    def on_items_lost(self, items: int) -> None:
        self.heard.append(f"{items} lost")

    def on_compacted(self, segments: Sequence[Segment], replacement: Segment) -> None:
        self.heard.append("compacted")


def pending(commits: GroupCommit) -> bool:
    """Tell whether there is anything to commit now."""
    return bool(commits.touched)


def unsynced(harness: Harness) -> bool:
    """Tell whether anything is being synced, or is to be."""
    return bool(harness.deferred.waiting) or harness.commits.sync_due is not None


def lone_journal(
    disk: SimulatedDisk, interval: float | None = 0
) -> tuple[GroupCommit, DeferredSyncer, Journal]:
    """Return a group commit with one journal of a new queue."""
    syncer = DeferredSyncer()
    commits = GroupCommit(interval, syncer, StandingClock())
    syncer.commits = commits
    around = surroundings(
        disk, syncs=interval is not None, waits=interval == 0, touch=commits.touch
    )
    around = attrs.evolve(around, broke=commits.broke)
    place = place_on(disk, syncs=interval is not None)
    return commits, syncer, Journal(around, place, Ledger(deleted=True))


# Any policy.


def test_a_commit_writes_what_was_touched_once_and_tells_each_owner(disk: SimulatedDisk) -> None:
    commits, syncer, journal = lone_journal(disk)
    owner = Owner()
    journal.owner = owner
    assert not pending(commits)
    journal.recorder.push(Item(1, 0, 0, 0, b"a"))
    journal.recorder.push(Item(2, 0, 0, 0, b"b"))
    assert pending(commits)
    commits.commit()
    assert not pending(commits)
    assert owner.heard == ["committed"]
    syncer.sync_one()
    assert owner.heard == ["committed", "all safe"]


def test_a_journal_that_fails_takes_no_other_with_it(disk: SimulatedDisk) -> None:
    harness = Harness(disk)
    harness.put_all([b"a"], b"bad")
    harness.put_all([b"a"], b"good")
    harness.put(b"b", b"bad")
    harness.put(b"b", b"good")
    disk.fault = Fault(1, errno.EIO, frozenset({"write"}))
    done, *_ = harness.commit()
    assert done.failed == {journal_of(harness, b"bad")}
    assert harness.commits.failures == 1
    heal(harness)
    assert harness.datas(b"bad") == [b"a"]
    assert harness.datas(b"good") == [b"a", b"b"]
    assert Harness(disk.after_power_cut()).datas(b"good") == [b"a", b"b"]


@pytest.mark.parametrize("interval", [0, 3600])
def test_a_segment_begun_by_a_failed_write_is_synced_all_the_same(
    disk: SimulatedDisk, interval: float
) -> None:
    harness = Harness(disk, interval=interval, deferred=True, segment_size=200)
    harness.put_all([b"a" * 1000])
    harness.clock.monotonic += 3600
    harness.commits.sync_if_due()
    sync_all(harness)
    harness.put(b"b")
    disk.fault = Fault(2, errno.ENOSPC, frozenset({"write"}), lasting=True)
    done, *_ = harness.commit()
    disk.fault = None
    assert done.failed
    assert journal_of(harness).end_path.endswith(".new"), "it was begun"
    assert unsynced(harness)
    harness.clock.monotonic += 3600
    harness.commits.sync_if_due()
    sync_all(harness)
    assert not journal_of(harness).end_path.endswith(".new")
    assert not unsynced(harness)


# always


def test_a_reply_waits_for_the_sync_of_its_write(disk: SimulatedDisk) -> None:
    harness = Harness(disk, deferred=True)
    harness.put(b"a")
    (done,) = harness.commit()
    assert done.ticket == 1
    assert harness.commits.finished == 0
    assert unsynced(harness)
    harness.deferred.sync_one()
    assert harness.commits.finished == 1
    assert not unsynced(harness)
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


def test_a_commit_that_fails_during_a_sync_leaves_no_ticket_open_for_ever(
    disk: SimulatedDisk,
) -> None:
    harness = Harness(disk, deferred=True)
    harness.put_all([b"a"])
    disk.fault = Fault(1, errno.EIO, frozenset({"write"}))
    harness.put(b"b")
    (done, *_) = harness.commit()
    assert done.failed
    while harness.deferred.waiting:
        harness.deferred.sync_one()
    assert harness.commits.finished >= done.ticket


def test_a_failed_sync_undoes_what_waited_and_breaks_until_the_healing(
    disk: SimulatedDisk,
) -> None:
    harness = Harness(disk, segment_size=10**6, deferred=True)
    harness.put_all([b"a"])
    assert not sync_all(harness)
    disk.fault = Fault(1, errno.EIO, SYNC)
    harness.put(b"b")
    (done,) = harness.commit()
    journal = journal_of(harness)
    assert sync_all(harness) == {journal}
    disk.fault = None
    assert not done.failed
    assert harness.commits.finished == done.ticket
    assert harness.commits.failures == 1
    assert set(harness.commits.broken) == {journal}
    assert journal.broken == "journal cannot be synced: Input/output error"
    with pytest.raises(JournalError, match="cannot be synced"):
        harness.put(b"c")
    with pytest.raises(JournalError, match="cannot be synced"):
        harness.pop()
    assert not harness.commits.touched

    assert harness.commits.sync_due == harness.clock.monotonic, "it is healed at once"
    heal(harness)
    assert journal.broken is None
    assert not harness.commits.broken
    assert harness.commits.healed == 1
    assert harness.commits.sync_due is None
    assert harness.datas() == [b"a"]
    harness.put_all([b"c"])
    assert not sync_all(harness)
    assert Harness(disk.after_power_cut()).items() == ((1, b"a", 0), (2, b"c", 0))


@pytest.mark.parametrize("interval", [0.05, 3600])
def test_under_an_interval_a_sync_that_fails_undoes_nothing(
    disk: SimulatedDisk, interval: float
) -> None:
    harness = Harness(disk, segment_size=300, deferred=True, interval=interval)
    harness.put_all([b"a" * 30, b"b" * 30])
    harness.clock.monotonic += interval
    harness.commits.sync_if_due()
    assert not sync_all(harness)
    harness.pop_all(1)
    harness.put_all([b"c" * 300, b"d"])
    expected = harness.items()
    disk.fault = Fault(1, errno.EIO, SYNC)
    harness.clock.monotonic += interval
    harness.commits.sync_if_due()
    harness.put_all([b"written while the sync was under way"])
    assert sync_all(harness) == set(), "nobody waits"
    disk.fault = None
    assert is_broken(harness)
    expected = (*(expected or ()), (5, b"written while the sync was under way", 0))
    assert harness.items() == expected
    heal(harness)
    assert not is_broken(harness)
    assert harness.items() == expected
    assert Harness(disk.after_power_cut()).items() == expected, "healing makes all of it safe"


def test_whoever_waits_for_a_sync_that_fails_is_told_so(disk: SimulatedDisk) -> None:
    harness = Harness(disk, deferred=True)
    harness.put_all([b"a"])
    harness.deferred.sync_one()
    harness.put_all([b"b"])
    harness.put_all([b"c"])
    disk.fault = Fault(1, errno.EIO, SYNC)
    batch = harness.deferred.waiting.popleft()
    batch.run()
    assert harness.commits.finish(batch) == {journal_of(harness)}
    assert harness.commits.finished == batch.ticket
    sync_all(harness)
    assert harness.datas() == [b"a"], "also what was written after that sync began is undone"
    assert Harness(disk.after_power_cut()).datas() == [b"a"]


def test_what_waits_for_its_sync_has_failed_when_its_journal_breaks(
    disk: SimulatedDisk,
) -> None:
    # Another queue's sync is under way, so the sync that it waits for has not even begun.
    harness = Harness(disk, deferred=True, segment_size=10**6)
    harness.put_all([b"a"])
    assert not sync_all(harness)
    harness.put_all([b"x"], b"other")
    harness.put(b"b")
    (done,) = harness.commit()
    journal = journal_of(harness)
    journal._break("cannot be synced", OSError(errno.EIO, "as when a copy cannot be made safe"))
    failed: set[Journal] = set()
    while harness.deferred.waiting:
        batch = harness.deferred.waiting.popleft()
        batch.run()
        failed |= harness.commits.finish(batch)
        if harness.commits.finished >= done.ticket:
            safe = Harness(disk.after_power_cut()).datas()
            assert journal in failed or safe == [b"a", b"b"]
    assert harness.datas(b"other") == [b"x"]


def test_after_a_failed_sync_a_file_is_never_synced_or_written_again(
    disk: SimulatedDisk,
) -> None:
    # The second sync would report success and make nothing safe.
    harness = Harness(disk, deferred=True, segment_size=10**6)
    harness.put_all([b"a"])
    harness.put_all([b"b"])
    (descriptor,) = harness.deferred.waiting[0].work[0][1].descriptors  # type: ignore[union-attr]
    disk.fault = Fault(1, errno.EIO, SYNC)
    harness.deferred.sync_one()
    disk.fault = None
    disk.calls.clear()
    sync_all(harness)
    heal(harness)
    harness.put_all([b"c"])
    assert not sync_all(harness)
    assert f"sync {descriptor}" not in disk.calls
    assert f"write {descriptor}" not in disk.calls
    assert Harness(disk.after_power_cut()).datas() == [b"c"]


def test_a_journal_that_is_broken_gives_no_segment_up() -> None:
    for at in range(1, 12):
        disk = empty_disk()
        harness = Harness(disk, segment_size=250, deferred=True)
        for _ in range(4):
            harness.put_all([b"x" * 60])
            sync_all(harness)
        expected = harness.datas()
        disk.fault = Fault(at, errno.EIO, SYNC)
        for step in range(8):
            harness.pop()
            harness.put(b"y%d" % step * 30)
            harness.commit()
            before = set(segments_of(disk))
            if sync_all(harness):
                assert set(segments_of(disk)) == before, f"sync {at}"
                break
            expected = harness.datas()
        disk.fault = None
        assert Harness(disk.after_power_cut()).datas() == expected
        heal(harness)
        assert harness.datas() == expected
        assert Harness(disk.after_power_cut()).datas() == expected


def test_a_failed_healing_is_tried_again_after_a_while_until_it_works(
    disk: SimulatedDisk,
) -> None:
    harness = Harness(disk, deferred=True)
    harness.put_all([b"a"])
    assert not sync_all(harness)
    disk.fault = Fault(1, errno.EIO, frozenset({"sync", "write", "create"}), lasting=True)
    harness.put_all([b"b"])
    sync_all(harness)
    for _ in range(5):
        assert is_broken(harness)
        assert harness.commits.sync_due is not None
        harness.clock.monotonic = harness.commits.sync_due
        harness.commits.sync_if_due()
        assert isinstance(harness.deferred.waiting[0].work[0][1], Healing)
        assert not sync_all(harness)
        assert harness.commits.sync_due == pytest.approx(harness.clock.monotonic + HEAL_AGAIN)
        with pytest.raises(JournalError):
            harness.put(b"c")
    assert harness.commits.healed == 0
    disk.fault = None
    harness.clock.monotonic += HEAL_AGAIN / 2
    harness.commits.sync_if_due()
    assert not harness.deferred.waiting
    heal(harness)
    assert harness.commits.healed == 1
    harness.put_all([b"c"])
    assert not sync_all(harness)
    assert Harness(disk.after_power_cut()).datas() == harness.datas() == [b"a", b"c"]


def test_others_are_served_and_synced_while_a_journal_is_broken(disk: SimulatedDisk) -> None:
    harness = Harness(disk, deferred=True)
    harness.put_all([b"a"])
    harness.put_all([b"a"], b"other")
    assert not sync_all(harness)
    disk.fault = Fault(1, errno.EIO, SYNC)
    harness.put_all([b"b"])
    assert sync_all(harness) == {journal_of(harness)}
    disk.fault = None
    for data in (b"b", b"c"):
        harness.put(data, b"other")
        (done,) = harness.commit()
        assert not done.failed
        assert not sync_all(harness)
        assert harness.commits.finished >= done.ticket
    assert Harness(disk.after_power_cut()).datas(b"other") == [b"a", b"b", b"c"]


def test_under_never_a_file_that_is_spoiled_is_left_and_nothing_is_lost(
    disk: SimulatedDisk,
) -> None:
    harness = Harness(disk, deferred=True, interval=None)
    harness.put_all([b"a", b"b", b"c"])
    harness.pop_all(1)
    disk.fault = Fault(1, errno.EIO, frozenset({"write"}), short=True, lasting=True)
    harness.put(b"d" * 50)
    (done, *_) = harness.commit()
    assert done.failed
    disk.fault = None
    assert is_broken(harness)
    heal(harness)
    assert harness.datas() == [b"b", b"c"]
    harness.put_all([b"e"])
    assert not [call for call in disk.calls if call.startswith("sync")]
    assert Harness(disk.after_process_death()).datas() == [b"b", b"c", b"e"]


def test_a_late_good_sync_of_a_broken_journal_gives_no_segment_up(disk: SimulatedDisk) -> None:
    # As when the batch was under way while a write could not be cut back.
    harness = Harness(disk, segment_size=250, deferred=True)
    for _ in range(4):
        harness.put_all([b"x" * 60])
        sync_all(harness)
    before = segments_of(disk)
    for _ in range(3):
        harness.pop()
    harness.commit()
    journal = journal_of(harness)
    disk.fault = Fault(1, errno.EIO, frozenset({"write", "truncate"}), lasting=True)
    harness.put(b"z")
    (done, *_) = harness.commit()
    assert done.failed == {journal}
    disk.fault = None
    batch = harness.deferred.waiting.popleft()
    batch.run()
    assert harness.commits.finish(batch) == {journal}
    assert journal.broken is not None
    assert set(before) <= set(segments_of(disk))


def test_a_deletion_made_safe_by_a_rotation_disturbs_no_commit(
    disk: SimulatedDisk,
) -> None:
    harness = Harness(disk, interval=3600, segment_size=150)
    harness.put_all([b"x" * 50])
    harness.clock.monotonic += 4000
    harness.commits.sync_if_due()  # else it would be gone at once
    harness.queues.delete(NAME)
    harness.commit()
    (full,) = disk.contents(DIRECTORY).values()
    assert len(full) >= 150, "the record of the deletion has filled the segment"
    harness.put(b"y")
    harness.queues.delete(NAME)
    harness.commit()
    assert harness.items() is None
    harness.put_all([b"last"])
    assert harness.datas() == [b"last"]
    assert Harness(disk.after_process_death(), interval=3600).datas() == [b"last"]


def test_a_queue_deleted_while_its_sync_is_under_way_disturbs_nobody(
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
    assert not unsynced(harness)
    again = Harness(disk.after_power_cut())
    assert again.datas() == [b"anew"]
    assert again.datas(b"other") == [b"a"]


@pytest.mark.parametrize("interval", [0, 3600])
def test_a_queue_put_into_and_deleted_at_once_stays_until_it_is_safe(
    disk: SimulatedDisk, interval: float
) -> None:
    harness = Harness(disk, interval=interval, deferred=True)
    harness.put(b"a")
    (queue,) = harness.queues.directory
    harness.commit()
    harness.clock.monotonic += 4000
    harness.commits.sync_if_due()
    assert harness.deferred.waiting
    # The batch under way does not cover what makes it a queue that never existed.
    harness.put(b"a", b"other")
    other = harness.queues.directory.find(b"other")
    assert other is not None
    harness.queues.delete(b"other")
    harness.commit()
    for name, each in ((NAME, queue), (b"other", other)):
        # As a put does that is refused.
        harness.queues.directory.unmake(each)
        assert harness.queues.directory.by_name.get(name) is each
    harness.deferred.sync_one()
    harness.clock.monotonic += 4000
    harness.commits.sync_if_due()
    if harness.deferred.waiting:
        harness.queues.directory.unmake(other)
        batch = harness.deferred.sync_one()
        assert batch.errors == [None]
    assert not harness.commits.broken
    assert b"other" not in harness.queues.directory.by_name
    again = Harness(disk.after_power_cut())
    assert again.queues.names() == [NAME]
    assert again.datas() == [b"a"]


def test_no_directory_leaves_its_place_while_its_sync_is_under_way(disk: SimulatedDisk) -> None:
    harness = Harness(disk, interval=3600, deferred=True, open_files=1)
    names = [NAME, b"other"]
    for name in names:
        harness.put(b"a", name)
    harness.commit()
    journal = harness.queues.directory.by_name[NAME].journal
    harness.clock.monotonic += 4000
    harness.commits.sync_if_due()
    # The file is closed by now, and once more after another write: what is left are the names.
    for name in names:
        harness.put(b"b", name)
        harness.commit()
    assert not harness.spool.remove(journal)
    batch = harness.deferred.sync_one()
    assert batch.errors == [None, None]
    assert Harness(disk.after_power_cut()).queues.names() == names


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
    assert not unsynced(harness)


def test_under_an_interval_a_hurry_has_the_next_commit_synced_at_once(
    disk: SimulatedDisk,
) -> None:
    harness = Harness(disk, interval=30, deferred=True)
    harness.put_all([b"a"])
    now = harness.clock.monotonic
    assert harness.commits.sync_due == now + 30
    harness.put(b"b")
    harness.commits.hurry()
    harness.commit()
    assert harness.commits.sync_due == now
    harness.commits.sync_if_due()
    # While that is under way, the next hurry is for the sync after it.
    batch = harness.deferred.waiting.popleft()
    batch.run()
    harness.put(b"c")
    harness.commits.hurry()
    harness.commit()
    assert harness.commits.sync_due is None
    harness.commits.finish(batch)
    assert Harness(disk.after_power_cut()).datas() == [b"a", b"b"]
    assert harness.commits.sync_due == now
    harness.commits.sync_if_due()
    harness.deferred.sync_one()
    assert Harness(disk.after_power_cut()).datas() == [b"a", b"b", b"c"]
    harness.put_all([b"d"])
    assert harness.commits.sync_due == now + 30, "nobody is in a hurry any more"


def test_a_hurry_that_had_nothing_to_be_synced_hurries_nobody_else(disk: SimulatedDisk) -> None:
    harness = Harness(disk, interval=30, deferred=True)
    in_memory = harness.spool.journal_in_memory(b"other", 0)
    in_memory.recorder.push(Item(1, 0, 0, 0, b"x"))
    in_memory.hurry()
    harness.commit()
    assert harness.commits.sync_due is None
    harness.put_all([b"a"])
    assert harness.commits.sync_due == harness.clock.monotonic + 30


@pytest.mark.parametrize("interval", [0, 30, None], ids=["always", "interval", "never"])
def test_whoever_asks_is_told_when_all_is_safe_whatever_the_policy(
    disk: SimulatedDisk, interval: float | None
) -> None:
    harness = Harness(disk, interval=interval, deferred=True)
    harness.put(b"a")
    queue = harness.queues.directory.find(NAME)
    assert queue is not None
    told: list[object] = []
    queue.sync_waits.add(told.append)
    harness.commits.commit()
    assert told == []
    harness.commits.sync_if_due()
    sync_all(harness)
    assert told == [None]
    assert Harness(disk.after_power_cut(), interval=interval).datas() == [b"a"]


def test_under_an_interval_a_slow_sync_ends_before_the_next_is_due(
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


def test_a_power_cut_costs_at_most_the_last_interval_and_a_crash_nothing(
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
    assert not unsynced(harness)
    harness.close()
    assert not [call for call in disk.calls if call.startswith("sync")]
    assert Harness(disk.after_process_death(), interval=None).datas() == [b"a"]


def test_at_the_end_everything_is_synced(disk: SimulatedDisk) -> None:
    harness = Harness(disk, interval=3600)
    for name in (b"one", b"two", b"three"):
        harness.put_all([b"x" * 150, b"y"], name)
    assert unsynced(harness)
    harness.close()
    assert not unsynced(harness)
    after = Harness(disk.after_power_cut())
    for name in (b"one", b"two", b"three"):
        assert after.datas(name) == [b"x" * 150, b"y"]


def test_a_sync_that_fails_at_the_end_is_healed_at_once(disk: SimulatedDisk) -> None:
    harness = Harness(disk, interval=3600)
    names = [b"one", b"two", b"three"]
    for name in names:
        harness.put_all([b"x"], name)
    disk.fault = Fault(1, errno.EIO, SYNC)
    harness.commits.sync_everything()
    assert not is_broken(harness)
    after = Harness(disk.after_power_cut(), interval=3600)
    assert [after.datas(name) for name in names] == [[b"x"]] * 3


def test_what_a_failed_sync_at_the_end_undoes_is_not_written_later(disk: SimulatedDisk) -> None:
    harness = Harness(disk, deferred=True)
    harness.put_all([b"a"])
    assert not sync_all(harness)
    harness.put(b"b")
    harness.commit()
    harness.put(b"c")  # the batch under way does not cover it, so it is not written yet
    disk.fault = Fault(1, errno.EIO, SYNC)
    batch = harness.deferred.waiting.popleft()
    batch.run()
    harness.commits.sync_everything([batch])
    harness.commit()
    assert harness.items() == ((1, b"a", 0),)
    queue = harness.queues.directory.find(NAME)
    assert queue is not None
    assert (queue.items, queue.next_id) == (1, 2) == (queue.journal.ledger.items, 2)
    assert Harness(disk.after_process_death()).items() == ((1, b"a", 0),)


def test_at_the_end_a_failing_sync_breaks_its_journals_and_no_others(
    disk: SimulatedDisk,
) -> None:
    harness = Harness(disk, interval=3600)
    names = [b"one", b"two", b"three"]
    for name in names:
        harness.put_all([b"x"], name)
    disk.fault = Fault(2, errno.EIO, SYNC, lasting=True)
    harness.commits.sync_everything()
    assert sum(journal_of(harness, name).broken is not None for name in names) == 2
    after = Harness(disk.after_power_cut(), interval=3600)
    assert [after.datas(name) for name in names] == [[b"x"], [], []]


def test_few_journals_at_a_time_are_synced_where_nobody_waits(
    disk: SimulatedDisk,
) -> None:
    harness = Harness(disk, interval=1, deferred=True)
    names = [b"q%d" % number for number in range(2 * AT_ONCE + 5)]
    for name in names:
        harness.put(b"item", name)
    harness.commit()
    commits = harness.commits
    batches = []
    while commits.sync_due is not None:
        harness.clock.monotonic = commits.sync_due
        commits.sync_if_due()
        (batch,) = harness.deferred.waiting
        batches.append([journal for journal, _ in batch.work])
        harness.deferred.sync_one()
    assert [len(each) for each in batches] == [AT_ONCE, AT_ONCE, 5]
    assert len({journal for each in batches for journal in each}) == len(names)


def many(disk: SimulatedDisk, count: int, *, interval: float = 3600) -> Harness:
    """Return a server that has made so many queues, none of which is synced."""
    harness = Harness(disk, interval=interval)
    for number in range(count):
        harness.put(b"1", b"queue-%d" % number)
    harness.commit()
    return harness


def test_many_new_queues_are_made_safe_with_two_calls(disk: SimulatedDisk) -> None:
    harness = many(disk, 40)
    calls = len(disk.calls)
    harness.commits.sync_everything()
    made = disk.calls[calls:]
    assert sum(call.startswith("sync") for call in made) == 2
    assert sum(call.startswith("sync_file_system") for call in made) == 2
    found = Harness(disk.after_power_cut())
    assert len(found.queues.names()) == 40


def test_where_that_fails_each_is_synced_and_one_bad_file_is_one_queues(
    disk: SimulatedDisk,
) -> None:
    harness = many(disk, 40)
    disk.fault = Fault(1, errno.EIO, frozenset({"sync_file_system"}), lasting=True)
    harness.clock.monotonic += 4000
    harness.commits.sync_if_due()
    assert not harness.commits.broken
    found = Harness(disk.after_power_cut())
    assert len(found.queues.names()) == 40


def test_a_queue_deleted_before_its_first_sync_takes_none_to_go(disk: SimulatedDisk) -> None:
    harness = Harness(disk, interval=3600)
    for _ in range(3):
        harness.put(b"1")
        harness.commit()
        assert harness.pop() == b"1"
        harness.queues.delete(NAME)
        harness.commit()
        assert "jobs" not in disk.list_directory(SPOOL)
    syncs = [call for call in disk.calls if call.startswith("sync ")]
    assert len(syncs) == 1, "only how far the ids had come"
    harness.put(b"2")
    harness.commit()
    assert harness.items() == ((4, b"2", 0),)


def test_directories_of_deleted_queues_go_with_one_sync_for_many(disk: SimulatedDisk) -> None:
    harness = many(disk, 100)
    harness.commits.sync_everything()
    harness.commits._closing = False
    for number in range(100):
        harness.queues.delete(b"queue-%d" % number)
    harness.commits.commit()
    calls = len(disk.calls)
    harness.commits.sync_everything()
    harness.background.do_all()
    assert sum(call == "sync_directory spool" for call in disk.calls[calls:]) <= 5
    assert [name for name in disk.list_directory(SPOOL) if not name.startswith(".")] == []
