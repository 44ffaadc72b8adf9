"""Healing: what was acknowledged goes on in a fresh segment, whatever happened to the old one."""

import errno
from random import Random

import pytest

from starling_py.journal.checkpoint import UNLINKED
from starling_py.journal.format import segment
from starling_py.journal.format.record import MarkedItem
from starling_py.journal.ledger import Facts
from starling_py.journal.recovery.replay import open_segment, read_checkpoint
from tests.journal.parts import heal, is_broken, journal_of, sync_all
from tests.journal.simulated_disk import Fault, ProcessKilled, SimulatedDisk
from tests.journal.spool_harness import (
    DIRECTORY,
    NAME,
    Harness,
    Items,
    empty_disk,
    read_back,
)

SYNC = frozenset({"sync"})
POLICIES = [0, 3600, None]
POLICY_NAMES = ["always", "interval", "never"]


def due(harness: Harness) -> set[object]:
    """Let the time of the next sync come, and let that happen."""
    harness.clock.monotonic += 3600
    harness.commits.sync_if_due()
    return set(sync_all(harness))


def broken(disk: SimulatedDisk, interval: float | None) -> tuple[Harness, Items | None]:
    """Return a server with a journal of several segments that broke, and what it should hold."""
    harness = Harness(disk, segment_size=700, interval=interval, deferred=True)
    for number in range(12):
        harness.put_all([b"%d" % number * 60])
        sync_all(harness)
    harness.pop_all(3)
    sync_all(harness)
    due(harness)
    safe = harness.items()
    if interval is None:
        harness.put_all([b"more" * 30])
        expected = harness.items()
        disk.fault = Fault(1, errno.EIO, frozenset({"write"}), lasting=True, short=True)
        harness.put(b"refused" * 9)
        harness.commit()
    else:
        disk.fault = Fault(1, errno.EIO, SYNC)
        for data in (b"more" * 200, b"and more"):
            harness.put(data)
        assert harness.pop() is not None
        harness.commit()
        expected = safe if interval == 0 else harness.items()
        sync_all(harness)
        if interval:
            due(harness)
    disk.fault = None
    assert is_broken(harness)
    return harness, expected


@pytest.mark.parametrize("interval", POLICIES, ids=POLICY_NAMES)
def test_a_journal_that_broke_goes_on_with_what_was_acknowledged(
    disk: SimulatedDisk, interval: float | None
) -> None:
    harness, expected = broken(disk, interval)
    last = journal_of(harness).ledger.segments[-1].number
    heal(harness)
    assert not is_broken(harness)
    assert harness.items() == expected
    fresh = journal_of(harness).ledger.segments[-1]
    assert fresh.number > last
    data = memoryview(disk.contents()[fresh.path])
    opened = open_segment(fresh.path, data, fresh.number, None)
    assert opened is not None
    read = read_checkpoint(opened, data)
    assert read is not None
    assert read[0].previous_end == UNLINKED
    if interval is not None:
        assert Harness(disk.after_power_cut()).items() == expected
    copy = SimulatedDisk.holding(disk.contents())
    assert Harness(copy).items() == expected
    harness.put_all([b"on and on"])
    assert harness.pop_all(1)[0] is not None
    sync_all(harness)
    due(harness)
    expected = harness.items()
    assert Harness(disk.after_process_death()).items() == expected


@pytest.mark.parametrize("interval", POLICIES, ids=POLICY_NAMES)
def test_nothing_but_the_segments_that_are_needed_is_left_after_a_healing(
    disk: SimulatedDisk, interval: float | None
) -> None:
    harness, _ = broken(disk, interval)
    heal(harness)
    needed = {each.path for each in journal_of(harness).ledger.segments}
    assert set(disk.contents(DIRECTORY)) == needed
    # What was not safe of the file that was left is still there, but does not count.
    assert journal_of(harness).size <= sum(map(len, disk.contents(DIRECTORY).values()))
    assert disk.open_descriptors == 2, "the last segment and the reserve"


@pytest.mark.parametrize("interval", POLICIES, ids=POLICY_NAMES)
def test_a_healing_that_dies_in_any_file_call_costs_nothing(interval: float | None) -> None:
    calls, died = 0, True
    while died:
        disk = empty_disk()
        harness, expected = broken(disk, interval)
        unhealed = harness.items()
        disk.kill_process_after(calls)
        died = False
        try:
            heal(harness)
        except ProcessKilled:
            died = True
        # Before it is healed, what the failed sync was of may be there or not.
        possible = [expected, unhealed]
        if interval == 0:
            for seed in range(5):
                left = disk.after_power_cut(Random(seed) if seed else None)
                found = Harness(left).items()
                assert found in possible or set(found or ()) <= set(unhealed or ()) | set(
                    expected or ()
                ), f"call {calls}, cut {seed}"
                if not died:
                    assert found == expected
        again = Harness(disk.after_process_death())
        assert again.items() in possible, f"call {calls}"
        again.put_all([b"on"])
        assert Harness(disk.after_power_cut()).items() == again.items(), f"call {calls}"
        assert Harness(disk.after_process_death()).items() == again.items()
        calls += 1
    assert calls > 8


@pytest.mark.parametrize("interval", POLICIES, ids=POLICY_NAMES)
def test_whichever_call_of_a_healing_fails_it_is_tried_again_later(
    interval: float | None,
) -> None:
    nth, struck = 0, True
    calls = frozenset(
        {"create", "write", "sync", "sync_directory", "rename", "make_directory", "unlink",
         "list_directory", "read", "read_at"}
    )  # fmt: skip
    while struck:
        nth += 1
        disk = empty_disk()
        harness, expected = broken(disk, interval)
        fault = disk.fault = Fault(nth, errno.EIO, calls)
        harness.clock.monotonic += 5
        harness.commits.sync_if_due()
        batch = harness.deferred.waiting.popleft()
        batch.run()
        assert not harness.commits.finish(batch)
        struck = fault.struck
        disk.fault = None
        if struck and is_broken(harness):
            heal(harness)
        harness.background.do_all()
        assert not is_broken(harness)
        assert harness.items() == expected, f"call {nth}"
        if interval is not None:
            assert Harness(disk.after_power_cut()).items() == expected, f"call {nth}"
        assert Harness(disk.after_process_death()).items() == expected, f"call {nth}"
    assert nth > 5


@pytest.mark.parametrize("interval", POLICIES, ids=POLICY_NAMES)
@pytest.mark.parametrize("call", ["create", "write", "sync", "rename", "sync_directory"])
def test_a_healing_that_keeps_failing_leaves_nothing_behind_at_each_try(
    disk: SimulatedDisk, interval: float | None, call: str
) -> None:
    harness, expected = broken(disk, interval)
    before = set(disk.contents(DIRECTORY))
    open_before = disk.open_descriptors
    for _ in range(4):
        disk.fault = Fault(1, errno.ENOSPC, frozenset({call}))
        heal(harness)
        if not is_broken(harness):
            assert not disk.fault.struck, "never syncs nothing"
            break
        left = set(disk.contents(DIRECTORY)) - before
        # Where only the syncing of its name failed, what holds everything is not taken away.
        assert len(left) <= (call == "sync_directory")
        assert not any(path.endswith(".new") for path in left)
        assert disk.open_descriptors == open_before
    disk.fault = None
    if is_broken(harness):
        heal(harness)
    assert harness.items() == expected
    needed = {each.path for each in journal_of(harness).ledger.segments}
    assert set(disk.contents(DIRECTORY)) == needed


@pytest.mark.parametrize("interval", POLICIES, ids=POLICY_NAMES)
def test_what_is_known_of_the_items_is_healed_too(
    disk: SimulatedDisk, interval: float | None
) -> None:
    harness = Harness(disk, interval=interval, deferred=True)
    harness.put_all([b"a", b"b", b"c"])
    queue = harness.queues.directory.find(NAME)
    assert queue is not None
    now_ms = harness.clock.wall_ms
    queue.put_marked(MarkedItem(4, now_ms, 0, 0, b"in front", 0, 2, front=True))
    harness.commit()
    sync_all(harness)
    assert queue.open(now_ms, None, None) is not None
    harness.commit()
    sync_all(harness)
    due(harness)
    read = queue.open(now_ms, None, None)
    assert read is not None
    harness.commit()
    if interval is None:
        disk.fault = Fault(1, errno.EIO, frozenset({"write"}), lasting=True, short=True)
        harness.put(b"refused" * 9)
        harness.commit()
    else:
        disk.fault = Fault(1, errno.EIO, SYNC)
        sync_all(harness)
        if interval:
            due(harness)
    disk.fault = None
    assert is_broken(harness)
    heal(harness)
    assert not is_broken(harness)
    marks = {4: Facts(3, 0, front=True)}
    if interval != 0:  # where it was told
        marks[1] = Facts(1)
    assert journal_of(harness).ledger.facts == marks
    for left in disk.after_process_death(), disk.after_power_cut():
        if interval is not None or left is disk:
            state = read_back(left)
            assert state is not None
            assert state.ledger.facts == marks


def test_a_journal_that_broke_before_anything_of_it_was_safe_is_healed(
    disk: SimulatedDisk,
) -> None:
    harness = Harness(disk, interval=3600, deferred=True)
    disk.fault = Fault(1, errno.EIO, SYNC)
    harness.put_all([b"a", b"b"])
    harness.pop_all(1)
    due(harness)
    disk.fault = None
    assert is_broken(harness)
    heal(harness)
    assert harness.datas() == [b"b"]
    assert Harness(disk.after_power_cut()).items() == ((2, b"b", 0),)


def test_a_queue_that_was_never_safe_is_undone_as_a_whole(disk: SimulatedDisk) -> None:
    harness = Harness(disk, deferred=True)
    disk.fault = Fault(1, errno.EIO, SYNC)
    harness.put_all([b"a", b"b"])
    assert sync_all(harness)
    disk.fault = None
    heal(harness)
    assert harness.items() is None
    harness.put_all([b"c"])
    assert not sync_all(harness)
    assert Harness(disk.after_power_cut()).items() == ((1, b"c", 0),)


def test_a_journal_heals_again_and_again(disk: SimulatedDisk) -> None:
    harness = Harness(disk, interval=3600, deferred=True, segment_size=700)
    expected = []
    for number in range(6):
        expected.append(b"%d" % number * 50)
        harness.put_all([expected[-1]])
        disk.fault = Fault(1, errno.EIO, SYNC)
        due(harness)
        disk.fault = None
        assert is_broken(harness)
        heal(harness)
        assert harness.datas() == expected
        assert Harness(disk.after_power_cut()).datas() == expected
    assert harness.commits.healed == 6
    assert disk.open_descriptors == 2


def test_a_deletion_that_was_acknowledged_is_not_undone_by_a_healing(
    disk: SimulatedDisk,
) -> None:
    harness = Harness(disk, interval=3600, deferred=True)
    harness.put_all([b"a", b"b"])
    due(harness)
    harness.queues.delete(NAME)
    harness.commit()
    disk.fault = Fault(1, errno.EIO, SYNC)
    due(harness)
    disk.fault = None
    heal(harness)
    assert harness.items() is None
    assert Harness(disk.after_power_cut()).items() is None
    harness.put_all([b"new"])
    due(harness)
    assert Harness(disk.after_power_cut()).datas() == harness.datas() == [b"new"]


def test_a_queue_that_is_deleted_and_gone_is_not_healed_back(disk: SimulatedDisk) -> None:
    harness = Harness(disk, deferred=True)
    harness.put_all([b"a"])
    sync_all(harness)
    harness.queues.delete(NAME)
    harness.commit()
    sync_all(harness)
    harness.put_all([b"new"])
    sync_all(harness)
    heal(harness)
    assert not harness.commits.broken
    assert Harness(disk.after_power_cut()).items() == ((2, b"new", 0),)


def test_a_journal_that_lost_bytes_it_had_made_safe_is_not_healed(disk: SimulatedDisk) -> None:
    harness = Harness(disk, interval=3600, deferred=True)
    harness.put_all([b"a", b"b", b"c"])
    due(harness)
    harness.put_all([b"d"])
    disk.fault = Fault(1, errno.EIO, SYNC)
    due(harness)
    disk.fault = None
    assert is_broken(harness)
    path = f"{DIRECTORY}/{segment.file_name(1)}"
    descriptor = disk.open(path)
    disk.truncate(descriptor, journal_of(harness)._safety.end[1] - 10)  # type: ignore[index]
    disk.close(descriptor)
    before = disk.contents(DIRECTORY)
    heal(harness)
    assert is_broken(harness), "half of what was safe is not taken for all of it"
    assert disk.contents(DIRECTORY) == before


def test_a_healing_may_run_beside_the_copying_of_segments(disk: SimulatedDisk) -> None:
    for pieces in range(8):
        disk = empty_disk()
        harness = Harness(disk, interval=3600, deferred=True, segment_size=700)
        for number in range(12):
            harness.put_all([b"%d" % number * 60])
            due(harness)
        for _ in range(10):
            harness.pop()
        harness.commits.commit()
        harness.clock.monotonic += 3600
        harness.commits.sync_if_due()
        harness.deferred.sync_one()
        for _ in range(min(pieces, len(harness.background.waiting))):
            harness.background.do_one()
        harness.put(b"new")
        harness.commits.commit()
        disk.fault = Fault(1, errno.EIO, SYNC)
        harness.clock.monotonic += 3600
        harness.commits.sync_if_due()
        while harness.deferred.waiting:
            harness.deferred.sync_one()
        disk.fault = None
        harness.clock.monotonic += 5
        harness.commits.sync_if_due()
        while harness.deferred.waiting:
            batch = harness.deferred.waiting.popleft()
            batch.run()
            for _ in range(pieces):
                if harness.background.waiting:
                    harness.background.do_one()
            harness.commits.finish(batch)
        harness.background.do_all()
        heal(harness)
        expected = [b"10" * 60, b"11" * 60, b"new"]
        assert harness.datas() == expected, f"after {pieces} pieces"
        due(harness)
        assert Harness(disk.after_power_cut()).datas() == expected
