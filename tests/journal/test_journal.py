"""The journal as it is written: rotation, segments given up, and writes that fail."""

import errno
from collections.abc import Callable

import attrs
import pytest

from starling_py.journal.errors import JournalError
from starling_py.journal.format import record, segment
from starling_py.journal.journal import Journal
from starling_py.queues import numbers
from tests.journal.parts import (
    background_of,
    heal,
    is_broken,
    item,
    journal_of,
    new_journal,
    sync,
    sync_all,
)
from tests.journal.simulated_disk import CHANGES, Fault, SimulatedDisk
from tests.journal.spool_harness import (
    DIRECTORY,
    NAME,
    NOW_MS,
    SPOOL,
    Harness,
    Items,
    empty_disk,
    read_back,
    recovered_items,
    segments_of,
    without_mark,
)

FIRST = f"{DIRECTORY}/0000000000000001.segment"
SECOND = f"{DIRECTORY}/0000000000000002.segment"


def after_crash(disk: SimulatedDisk) -> Items | None:
    """Let the process die and return what the next one finds in the queue."""
    return Harness(disk.after_process_death()).items()


# Writing.


def test_nothing_is_on_disk_before_the_first_write(disk: SimulatedDisk) -> None:
    journal = new_journal(disk)
    journal.recorder.push(item(1))
    assert not disk.calls
    journal.write()
    assert recovered_items(disk, read_back(disk)) == ((1, b"data", 0),)


def test_all_records_of_a_commit_are_one_write(disk: SimulatedDisk) -> None:
    harness = Harness(disk)
    harness.put_all([b"first"])
    disk.calls.clear()
    for _ in range(5):
        harness.put(b"x")
    harness.pop()
    harness.commit()
    assert len([call for call in disk.calls if call.startswith("write")]) == 1


def test_the_journal_touches_its_commit_once_for_each_write(disk: SimulatedDisk) -> None:
    touched: list[Journal] = []
    journal = new_journal(disk, touch=touched.append)
    for expected in (1, 2):
        pushed = item(journal.next_id)
        journal.recorder.push(pushed)
        journal.recorder.remove(pushed)
        journal.recorder.flush()
        assert len(touched) == expected
        journal.write()


def test_a_write_waits_for_no_sync_and_a_safe_segment_gets_its_name(
    disk: SimulatedDisk,
) -> None:
    journal = new_journal(disk)
    journal.recorder.push(item(1))
    journal.write()
    assert changes_in(disk) == ["make_directory", "create", "write", "write"]
    assert list(disk.contents(DIRECTORY)) == [f"{FIRST}.new"]
    disk.calls.clear()
    sync(journal)
    assert changes_in(disk) == ["sync", "rename", "sync_directory", "sync_directory"]
    assert list(disk.contents(DIRECTORY)) == [FIRST]


def test_a_segment_gets_its_name_when_it_and_the_one_before_are_safe(
    disk: SimulatedDisk,
) -> None:
    journal = new_journal(disk, segment_size=600)
    journal.recorder.push(item(1, b"x" * 600))
    journal.write()
    sync(journal)
    journal.recorder.push(item(2, b"more"))
    journal.write()
    disk.calls.clear()
    journal.recorder.push(item(3, b"y" * 700))
    journal.write()
    journal.recorder.push(item(4, b"no third segment is begun before the second has its name"))
    journal.write()
    assert not [call for call in disk.calls if call.split()[0] in ("sync", "create", "rename")]
    assert set(disk.contents(DIRECTORY)) == {FIRST, f"{SECOND}.new"}
    disk.calls.clear()
    sync(journal)
    assert changes_in(disk) == ["sync", "sync", "rename", "sync_directory", "write"]
    assert set(disk.contents(DIRECTORY)) == {FIRST, SECOND}
    assert segments_of(disk.after_power_cut()) == segments_of(disk)


def test_without_syncs_a_segment_has_its_name_at_once(disk: SimulatedDisk) -> None:
    journal = new_journal(disk, syncs=False, segment_size=600)
    journal.recorder.push(item(1, b"x" * 600))
    journal.write()
    assert set(disk.contents(DIRECTORY)) == {FIRST}
    journal.recorder.push(item(2))
    journal.write()
    assert set(disk.contents(DIRECTORY)) == {FIRST, SECOND}


def changes_in(disk: SimulatedDisk) -> list[str]:
    """Return the calls that changed something."""
    return [name for call in disk.calls if (name := call.split()[0]) in CHANGES]


def test_without_syncs_nothing_is_ever_synced(disk: SimulatedDisk) -> None:
    harness = Harness(disk, interval=None)
    harness.put_all([b"x" * 60] * 12)
    harness.pop_all(12)
    harness.put_all([b"y"])
    harness.queues.delete(NAME)
    harness.commit()
    harness.close()
    assert not [call for call in disk.calls if call.startswith("sync")]


# Rotation, and segments given up.


def test_a_segment_is_begun_when_the_last_one_is_full(disk: SimulatedDisk) -> None:
    harness = Harness(disk, segment_size=2000)
    harness.put_all([b"x" * 30] * 160)
    segments = segments_of(disk)
    assert len(segments) > 4
    *full, _ = segments.values()
    assert all(2000 <= len(data) < 2000 + 30 + record.PUSH_HEADER_SIZE for data in full)
    journal = journal_of(harness)
    assert journal.rotations == len(segments) - 1
    assert journal.size == sum(map(len, segments.values()))
    assert after_crash(disk) == harness.items()


def test_a_segment_opens_with_a_checkpoint_of_what_was_live_before_it(
    disk: SimulatedDisk,
) -> None:
    harness = Harness(disk, segment_size=1000)
    harness.put_all([b"x" * 30] * 3)
    harness.pop_all(1)
    harness.put_all([b"y" * 900] * 3)
    segments = segments_of(disk)
    assert len(segments) > 1
    for data in segments.values():
        _, start = segment.decode(memoryview(data))
        checkpoints = [
            offset
            for record_type, _, offset, _ in record.walk(memoryview(data), start, 0xC0FFEE)
            if record_type == record.CHECKPOINT
        ]
        assert checkpoints == [start]


def test_full_segments_are_safe_after_the_sync_that_names_the_next_one(
    disk: SimulatedDisk,
) -> None:
    harness = Harness(disk, segment_size=600, interval=3600)
    for _ in range(5):
        harness.put_all([b"x" * 100] * 8)
        harness.commits.sync_everything()
        harness.commits._closing = False
        *full, last = segments_of(disk)
        after = segments_of(disk.after_power_cut())
        assert [after[path] for path in full] == [segments_of(disk)[path] for path in full]
        assert last in after


def test_dead_segments_are_removed_in_the_background_and_only_after_a_sync(
    disk: SimulatedDisk,
) -> None:
    journal = new_journal(disk, segment_size=600)
    for number in range(1, 21):
        journal.recorder.push(item(number, b"x" * 300))
        journal.write()
        sync(journal)
    before = segments_of(disk)
    assert len(before) > 4
    for number in range(1, 21):
        journal.recorder.remove(item(number, b"x" * 300))
    journal.write()
    work = journal.begin_sync()
    assert work is not None
    disk.calls.clear()
    work.run()
    journal.end_sync(work, None)
    assert set(before) <= set(segments_of(disk)), "nothing is removed while queues are served"
    background_of(journal).do_all()
    unlinked = [call.split()[1] for call in disk.calls if call.startswith("unlink")]
    assert len(unlinked) >= 4
    assert unlinked == sorted(unlinked)
    assert any(
        call.startswith("sync ") for call in disk.calls[: disk.calls.index(f"unlink {unlinked[0]}")]
    )
    assert len(segments_of(disk)) <= 2
    assert after_crash(disk) == ()


def test_a_power_cut_before_the_death_of_segments_is_safe_finds_them_all(
    disk: SimulatedDisk,
) -> None:
    harness = Harness(disk, segment_size=600, interval=3600)
    harness.put_all([b"x" * 1000] * 10)
    harness.commits.sync_everything()
    harness.commits._closing = False
    whole = harness.items()
    harness.pop_all(10)
    assert Harness(disk.after_power_cut()).items() == whole
    assert after_crash(disk) == ()


def test_a_segment_is_kept_for_one_live_item_and_those_around_it_go(disk: SimulatedDisk) -> None:
    journal = new_journal(disk, segment_size=600)
    for number in range(1, 21):
        journal.recorder.push(item(number, b"x" * 300))
        journal.write()
        sync(journal)
    kept = journal.ledger.segment_of(9).path
    assert 1 < list(segments_of(disk)).index(kept) < len(segments_of(disk)) - 2
    for number in (*range(1, 9), *range(10, 20)):
        journal.recorder.remove(item(number, b"x" * 300))
    journal.write()
    sync(journal)
    assert kept in segments_of(disk)
    assert len(segments_of(disk)) <= 3
    state = read_back(disk.after_power_cut())
    assert recovered_items(disk, state) == ((9, b"x" * 300, 0), (20, b"x" * 300, 0))


def test_a_dead_segment_that_cannot_be_removed_goes_at_the_next_start(
    disk: SimulatedDisk,
) -> None:
    harness = Harness(disk, segment_size=200)
    harness.put_all([b"x" * 30] * 12)
    disk.fault = Fault(1, errno.EIO, frozenset({"unlink"}), lasting=True)
    harness.pop_all(12)
    harness.put_all([b"new"])
    assert FIRST in segments_of(disk)
    assert not is_broken(harness)
    assert Harness(disk.after_process_death()).datas() == [b"new"]
    assert FIRST not in segments_of(disk)


@pytest.mark.parametrize("interval", [0, 60, None], ids=["always", "interval", "never"])
def test_ids_grow_for_ever_over_drains_rotations_and_restarts(
    disk: SimulatedDisk, interval: float | None
) -> None:
    last_id = 0
    for _ in range(8):
        harness = Harness(disk, segment_size=150, interval=interval)
        harness.put_all([b"x" * 20] * 3)
        for item_id, _, _ in harness.items() or ():
            assert item_id > last_id
            last_id = item_id
        harness.pop_all(3)
        assert harness.items() == ()
        disk.after_process_death()
    assert last_id == 24
    assert FIRST not in segments_of(disk)
    queue = Harness(disk).queues.directory.find(NAME)
    assert queue is not None
    assert queue.total_items == 24


def test_an_item_put_past_the_rotation_size_is_there_after_a_kill(
    disk: SimulatedDisk,
) -> None:
    # Starling removed the file that held the very record, as the queue looked empty still.
    harness = Harness(disk, segment_size=200, interval=60)
    harness.put_all([b"x" * 300])
    harness.pop_all(1)
    harness.put_all([b"the one item that matters" * 20])
    again = Harness(disk.after_process_death(), segment_size=200, interval=60)
    assert again.datas() == [b"the one item that matters" * 20]


def test_a_drain_at_the_rotation_size_and_a_clean_stop_lose_no_other_item(
    disk: SimulatedDisk,
) -> None:
    # In Starling, the pop that was left over cancelled the next item when it was read back.
    harness = Harness(disk, segment_size=200, interval=60)
    harness.put_all([b"A" * 300])
    assert harness.pop_all(1) == [b"A" * 300]
    harness.put_all([b"B"])
    harness.close()
    harness = Harness(disk, segment_size=200, interval=60)
    assert harness.datas() == [b"B"]
    harness.put_all([b"C"])
    harness.close()
    assert Harness(disk, segment_size=200, interval=60).datas() == [b"B", b"C"]


def test_disk_use_is_bounded_while_a_queue_stays_short(disk: SimulatedDisk) -> None:
    harness = Harness(disk, segment_size=200)
    for _ in range(100):
        harness.put_all([b"x" * 30] * 2)
        harness.pop_all(2)
        assert len(segments_of(disk)) <= 2
        assert disk.open_descriptors <= 2, "the last segment and the reserve"


# Writes that fail.

Op = Callable[[Harness], object]


def put(data: bytes) -> Op:
    """Return an operation that puts an item."""
    return lambda harness: harness.put(data)


def flush(harness: Harness) -> None:
    """Remove all items."""
    harness.queues.flush(NAME)


def delete(harness: Harness) -> None:
    """Delete the queue."""
    harness.queues.delete(NAME)


def delete_and_put(harness: Harness) -> None:
    """Delete the queue and put an item, in one commit."""
    harness.queues.delete(NAME)
    harness.put(b"anew")


def pop_and_put(harness: Harness) -> None:
    """Take an item and put one, in one commit."""
    harness.pop()
    harness.put(b"put after a pop")


# They rotate, give segments up, and do everything there is.
OPS: list[Op] = [
    put(b"a" * 50), put(b"b" * 50), Harness.pop, put(b"c" * 90), put(b"d" * 20), pop_and_put,
    Harness.pop, flush, put(b"e" * 120), put(b"f"), delete_and_put, put(b"g" * 90), Harness.pop,
    put(b"h" * 200), put(b"i"),
]  # fmt: skip
OPS_WITH_DELETION = [*OPS, delete, put(b"j" * 90), put(b"k")]


@attrs.frozen
class Trouble:
    """A way in which calls fail."""

    error: int
    short: bool = False
    lasting: bool = False
    calls: frozenset[str] = CHANGES


WRITING = frozenset({"write"})
# An error on closing is another matter: see the tests of its own.
ANY = CHANGES | {"open", "list_directory"}
TROUBLES = {
    "full disk": Trouble(errno.ENOSPC, calls=WRITING),
    "full disk for good": Trouble(errno.ENOSPC, lasting=True, calls=WRITING),
    "short write": Trouble(errno.ENOSPC, short=True, calls=WRITING),
    "short write, then a full disk": Trouble(errno.ENOSPC, True, True, WRITING),
    "full disk, files and all": Trouble(
        errno.ENOSPC, True, True, frozenset({"write", "create", "make_directory", "rename"})
    ),
    "one call of any kind": Trouble(errno.EIO, calls=ANY),
    "everything from one call on": Trouble(errno.EIO, lasting=True, calls=ANY),
    "failing syncs": Trouble(errno.EIO, calls=frozenset({"sync", "sync_directory"})),
}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
@pytest.mark.parametrize("then", ["kill", "power cut", "go on"])
@pytest.mark.parametrize("ops", [OPS, OPS_WITH_DELETION], ids=["one life", "deleted between"])
def test_whichever_call_fails_what_was_accepted_is_there_and_no_more(
    trouble: Trouble, then: str, ops: list[Op]
) -> None:
    nth = 0
    struck = True
    while struck:
        nth += 1
        disk = empty_disk()
        harness = Harness(disk, segment_size=200, deferred=True)
        for old in (b"old one", b"old two"):
            harness.put_all([old])
            sync_all(harness)
        expected = harness.items()
        open_ones: list[Items | None] = []
        fault = disk.fault = Fault(
            nth, trouble.error, trouble.calls, trouble.lasting, trouble.short
        )
        for op in ops:
            try:
                op(harness)
            except JournalError:
                refused = True
            else:
                attempted = harness.items()
                # A miss needs no commit, and is true of a state that may yet be taken back.
                refused = not harness.commits.touched
                refused = any(done.failed for done in harness.commit()) or refused
                refused = bool(sync_all(harness)) or refused
                if refused and is_broken(harness):
                    # Until the journal is healed, it is open whether that happened.
                    open_ones.append(attempted)
            if is_broken(harness) and nth % 2:
                heal(harness)
            if not is_broken(harness):
                open_ones = []
            if not refused:
                expected = attempted
            assert (harness.items() or ()) in [each or () for each in (expected, *open_ones)], (
                f"call {nth}"
            )
        struck = fault.struck
        disk.fault = None
        if then == "go on":
            heal(harness)
            assert not is_broken(harness)
            assert (harness.items() or ()) == (expected or ()), f"call {nth}"
            harness.put_all([b"after the trouble"])
            assert not sync_all(harness)
            expected = harness.items()
            open_ones = []
            assert harness.datas()[-1:] == [b"after the trouble"]
        # An empty queue may be left of one whose creation or removal went wrong.
        possible = [each or () for each in (expected, *open_ones)]
        if then != "kill":
            assert (Harness(disk.after_power_cut()).items() or ()) in possible, f"call {nth}"
        assert (after_crash(disk) or ()) in possible, f"call {nth}"
    assert nth > 5


def test_a_record_cut_short_by_a_full_disk_is_never_followed_by_good_ones(
    disk: SimulatedDisk,
) -> None:
    harness = Harness(disk, segment_size=10**6)
    harness.put_all([b"a"])
    before = segments_of(disk)[FIRST]
    disk.fault = Fault(1, errno.ENOSPC, WRITING, lasting=True, short=True)
    harness.put(b"b" * 100)
    (done,) = harness.commit()
    queue = harness.queues.directory.find(NAME)
    assert queue is not None
    assert done.failed == {queue.journal}
    assert queue.journal.broken is None
    assert segments_of(disk)[FIRST] == before
    disk.fault = None
    harness.put_all([b"c"])
    assert segments_of(disk)[FIRST].startswith(before)
    assert harness.items() == ((1, b"a", 0), (2, b"c", 0))
    assert after_crash(disk) == ((1, b"a", 0), (2, b"c", 0))


def test_behind_half_a_record_nothing_is_written_but_a_fresh_segment(
    disk: SimulatedDisk,
) -> None:
    harness = Harness(disk, segment_size=10**6)
    harness.put_all([b"a", b"b"])
    harness.pop_all(1)
    calls = frozenset({"write", "truncate"})
    disk.fault = Fault(1, errno.EIO, calls, lasting=True, short=True)
    harness.put(b"c" * 100)
    (done, *_) = harness.commit()
    journal = journal_of(harness)
    assert done.failed == {journal}
    disk.fault = None
    before = disk.contents()
    assert journal.broken is not None
    assert "cannot be cut off" in journal.broken
    for op in (put(b"d"), Harness.pop, flush, lambda each: each.queues.delete(NAME)):
        with pytest.raises(JournalError, match="cannot be cut off"):
            op(harness)
        assert harness.items() == ((2, b"b", 0),)
        assert not harness.commits.touched
    assert disk.contents() == before
    copy = SimulatedDisk.holding(before)
    assert Harness(copy).items() == ((2, b"b", 0),)

    heal(harness)
    assert not is_broken(harness)
    assert harness.items() == ((2, b"b", 0),)
    harness.put_all([b"e"])
    spoiled = segments_of(disk)[FIRST]
    assert spoiled == before[FIRST], "a spoiled file is not written to any more"
    assert Harness(disk.after_power_cut()).items() == ((2, b"b", 0), (3, b"e", 0))
    assert after_crash(disk) == ((2, b"b", 0), (3, b"e", 0))


def test_a_write_error_other_than_a_full_disk_breaks_the_journal(
    disk: SimulatedDisk,
) -> None:
    harness = Harness(disk, segment_size=10**6)
    harness.put_all([b"a"])
    disk.fault = Fault(1, errno.EIO, WRITING)
    harness.put(b"b")
    (done, *_) = harness.commit()
    journal = journal_of(harness)
    assert done.failed == {journal}
    assert journal.broken == "journal cannot be written: Input/output error"
    assert harness.items() == ((1, b"a", 0),)
    heal(harness)
    assert harness.items() == ((1, b"a", 0),)
    harness.put_all([b"c"])
    assert Harness(disk.after_power_cut()).datas() == [b"a", b"c"]


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT])
def test_a_write_that_fails_on_a_full_disk_breaks_nothing(disk: SimulatedDisk, error: int) -> None:
    harness = Harness(disk, segment_size=10**6)
    harness.put_all([b"a"])
    disk.fault = Fault(1, error, WRITING, lasting=True)
    harness.put(b"b")
    (done, *_) = harness.commit()
    assert done.failed == {journal_of(harness)}
    assert not is_broken(harness)
    disk.fault = None
    harness.put_all([b"c"])
    assert Harness(disk.after_power_cut()).datas() == [b"a", b"c"]


def test_records_added_before_the_journal_broke_are_not_written_after(
    disk: SimulatedDisk,
) -> None:
    journal = new_journal(disk)
    journal.recorder.push(item(1))
    journal.write()
    work = journal.begin_sync()
    assert work is not None
    journal.recorder.push(item(2))
    journal.end_sync(work, OSError(errno.EIO, "Input/output error"))
    before = disk.contents()
    with pytest.raises(JournalError):
        journal.write()
    assert disk.contents() == before
    with pytest.raises(JournalError):
        journal.recorder.push(item(2))


def test_everything_is_taken_back_in_its_old_order_when_a_commit_fails(
    disk: SimulatedDisk,
) -> None:
    harness = Harness(disk, segment_size=10**6)
    harness.put_all([b"a", b"b", b"c"])
    before = harness.items()
    queue = harness.queues.directory.find(NAME)
    assert queue is not None
    snapshot = numbers.snapshot(queue, NOW_MS, 0, "")
    disk.fault = Fault(1, errno.ENOSPC, WRITING, lasting=True)
    harness.pop()
    harness.put(b"d")
    harness.queues.flush(NAME)
    harness.put(b"e")
    harness.pop()
    harness.put(b"f")
    harness.commit()
    disk.fault = None
    assert harness.items() == before
    assert numbers.snapshot(queue, NOW_MS, 0, "") == snapshot
    assert after_crash(disk) == before


def test_a_queue_whose_creation_fails_does_not_exist_and_leaves_nothing(
    disk: SimulatedDisk,
) -> None:
    nth = 0
    struck = True
    while struck:
        nth += 1
        disk = empty_disk()
        harness = Harness(disk, deferred=True)
        fault = disk.fault = Fault(nth, errno.EIO, ANY)
        harness.put(b"a")
        (done, *_) = harness.commit()
        failed = sync_all(harness) | done.failed
        struck = fault.struck
        disk.fault = None
        if failed:
            heal(harness)
            assert harness.items() is None, f"call {nth}"
            assert harness.queues.directory.find(NAME) is None
            assert [each for each in disk.contents(SPOOL) if ".segment" in each] == []
            harness.put_all([b"again"])
            assert not sync_all(harness)
            assert harness.items() == ((1, b"again", 0),)
            assert Harness(disk.after_power_cut()).items() == ((1, b"again", 0),)
    assert nth > 8


def test_a_rotation_that_fails_lets_the_present_segment_go_on(disk: SimulatedDisk) -> None:
    for call, interval in (("create", 0), ("write", 0), ("create", None), ("rename", None)):
        # Not for want of room, which the reserve would lend.
        disk = empty_disk()
        harness = Harness(disk, segment_size=600, interval=interval)
        harness.put_all([b"a" * 600])
        disk.fault = Fault(1, errno.EIO, frozenset({call}))
        harness.put_all([b"b"])
        assert disk.fault.struck
        assert list(disk.contents(DIRECTORY)) == [FIRST]
        assert harness.datas() == [b"a" * 600, b"b"]
        disk.fault = None
        harness.put_all([b"c" * 150])
        assert list(disk.contents(DIRECTORY)) == [FIRST], "it is not tried with every write"
        harness.put_all([b"d"])
        assert list(disk.contents(DIRECTORY)) == [FIRST, SECOND]
        assert journal_of(harness).rotations == 1
        assert after_crash(disk) == harness.items()


def test_a_file_whose_sync_failed_is_never_written_to_or_read_again(disk: SimulatedDisk) -> None:
    for nth in range(1, 8):
        disk = empty_disk()
        harness = Harness(disk, segment_size=100, deferred=True)
        harness.put_all([b"a" * 100])
        assert not sync_all(harness)
        disk.fault = Fault(nth, errno.EIO, frozenset({"sync", "unlink"}), lasting=nth % 2 == 0)
        harness.put_all([b"b"])
        failed = sync_all(harness)
        disk.fault = None
        heal(harness)
        assert not is_broken(harness)
        expected = [b"a" * 100] if failed else [b"a" * 100, b"b"]
        assert harness.datas() == expected
        harness.put_all([b"c"])
        assert not sync_all(harness)
        assert Harness(disk.after_power_cut()).datas() == [*expected, b"c"]


def test_a_segment_begun_behind_one_that_lost_its_end_is_set_aside(
    disk: SimulatedDisk,
) -> None:
    # Neither was synced: a power cut may keep the later one and take the end of the one before.
    harness = Harness(disk, segment_size=600, interval=3600)
    harness.put_all([b"first", b"a" * 600])
    harness.commits.sync_everything()
    harness.commits._closing = False
    contents = disk.contents()
    harness.put_all([b"b", b"c"])
    later = disk.contents()
    assert f"{SECOND}.new" in later
    whole, begun = later[FIRST], later[f"{SECOND}.new"]
    assert contents[FIRST] == whole
    harness = Harness(SimulatedDisk.holding(later | {FIRST: whole[:-1]}))
    assert harness.datas() == [b"first"]
    assert isinstance(harness.files, SimulatedDisk)
    kept = [data for path, data in harness.files.contents().items() if ".torn" in path]
    assert begun in kept


def test_an_error_on_closing_the_old_segment_does_not_lose_the_new_one(
    disk: SimulatedDisk,
) -> None:
    harness = Harness(disk, segment_size=100, interval=None)
    harness.put_all([b"a" * 100])
    disk.fault = Fault(1, errno.EIO, frozenset({"close"}))
    harness.put_all([b"b"])
    harness.put_all([b"c"])
    assert harness.datas() == [b"a" * 100, b"b", b"c"]
    assert after_crash(disk) == harness.items()


def test_no_descriptor_is_left_open_by_a_call_that_fails() -> None:
    nth = 0
    struck = True
    while struck:
        nth += 1
        disk = empty_disk()
        harness = Harness(disk, segment_size=200)
        fault = disk.fault = Fault(nth, errno.EIO, ANY)
        for op in OPS:
            try:
                op(harness)
            except JournalError:
                continue
            harness.commit()
        struck = fault.struck
        disk.fault = None
        harness.close()
        assert disk.open_descriptors == 0, f"call {nth}"


# Disk use, and the end of a server.


def test_the_size_counts_what_is_on_disk_until_it_is_to_be_removed(
    disk: SimulatedDisk,
) -> None:
    def found(disk: SimulatedDisk) -> list[bytes]:
        return [without_mark(data) for data in disk.contents(DIRECTORY).values()]

    journal = new_journal(disk, segment_size=300)
    for number in range(1, 30):
        journal.recorder.push(item(number, b"x" * 60))
        if number > 3:
            journal.recorder.remove(item(number - 3, b"x" * 60))
        journal.write()
        assert journal.size == sum(map(len, found(disk)))
        work = journal.begin_sync()
        assert work is not None
        assert journal.size == sum(map(len, found(disk)))
        work.run()
        journal.end_sync(work, None)
        background_of(journal).do_all()
        assert journal.size == sum(map(len, found(disk)))


def test_a_journal_that_is_sealed_is_read_from_a_fresh_segment(disk: SimulatedDisk) -> None:
    touched: list[Journal] = []
    journal = new_journal(disk, segment_size=10**6, touch=touched.append)
    for number in range(1, 5):
        journal.recorder.push(item(number, b"x" * 100))
    journal.write()
    sync(journal)
    touched.clear()
    journal.seal(10**4)
    assert not touched
    journal.seal(100)
    assert touched == [journal], "a commit is asked for"
    journal.write()
    sync(journal)
    journal.close()
    assert list(disk.contents(DIRECTORY)) == [FIRST, SECOND]
    disk.calls.clear()
    state = read_back(disk)
    assert [call for call in disk.calls if call.startswith("read ")] == [
        "read 0000000000000002.segment"
    ]
    assert [each[0] for each in recovered_items(disk, state) or ()] == [1, 2, 3, 4]


def test_a_journal_that_cannot_be_sealed_is_as_good_as_before(disk: SimulatedDisk) -> None:
    journal = new_journal(disk, segment_size=10**6)
    journal.recorder.push(item(1, b"x" * 100))
    journal.write()
    sync(journal)
    disk.fault = Fault(1, errno.EIO, frozenset({"create"}))
    journal.seal(10)
    with pytest.raises(JournalError):
        journal.write()
    assert journal.broken is None
    sync(journal)
    journal.close()
    assert recovered_items(disk, read_back(disk)) == ((1, b"x" * 100, 0),)
