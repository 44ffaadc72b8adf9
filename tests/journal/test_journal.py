"""The journal as it is written: rotation, segments given up, and writes that fail."""

import errno
from collections.abc import Callable

import attrs
import pytest

from starling_py.journal import record
from starling_py.journal.journal import Durability, Journal, JournalError
from starling_py.journal.record import Item
from tests.journal.simulated_disk import CHANGES, SALT, Fault, SimulatedDisk
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
)

FIRST = f"{DIRECTORY}/0000000000000001.segment"
SECOND = f"{DIRECTORY}/0000000000000002.segment"


def item(item_id: int, data: bytes = b"data") -> Item:
    """Return an item."""
    return Item(item_id, NOW_MS, 0, 0, data)


def new_journal(disk: SimulatedDisk, *, syncs: bool = True, segment_size: int = 200) -> Journal:
    """Return the journal of a queue that does not exist yet."""
    durability = Durability(syncs, segment_size)
    return Journal(disk, DIRECTORY, NAME, durability, lambda _: None, [])


def after_crash(disk: SimulatedDisk) -> Items | None:
    """Let the process die and return what the next one finds in the queue."""
    return Harness(disk.after_process_death()).items()


# Writing.


def test_nothing_is_on_disk_before_the_first_write(disk: SimulatedDisk) -> None:
    journal = new_journal(disk)
    journal.push(item(1))
    assert not disk.calls
    journal.write()
    assert recovered_items(read_back(disk)) == ((1, b"data", 0),)


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
    journal = Journal(disk, DIRECTORY, NAME, Durability(True, 200), touched.append, [])
    for expected in (1, 2):
        journal.push(item(journal.next_id))
        journal.append(record.REMOVE, journal.next_id)
        assert len(touched) == expected
        journal.write()


def test_a_segment_gets_its_name_only_when_its_header_is_safe(disk: SimulatedDisk) -> None:
    journal = new_journal(disk)
    journal.push(item(1))
    journal.write()
    steps = [name for call in disk.calls if (name := call.split()[0]) in CHANGES]
    assert steps == [
        "make_directory", "sync_directory", "create", "write", "sync", "rename",
        "sync_directory", "write",
    ]  # fmt: skip


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
    harness = Harness(disk, segment_size=200)
    harness.put_all([b"x" * 30] * 20)
    segments = segments_of(disk)
    assert len(segments) > 4
    *full, _ = segments.values()
    assert all(200 <= len(data) < 200 + 30 + record.PUSH_HEADER_SIZE for data in full)
    queue = harness.queues.find(NAME)
    assert queue is not None
    assert queue.journal.rotations == len(segments) - 1
    assert queue.journal.size == sum(map(len, segments.values()))
    assert after_crash(disk) == harness.items()


def test_a_full_segment_is_safe_before_the_next_one_exists(disk: SimulatedDisk) -> None:
    harness = Harness(disk, segment_size=200, interval=3600)
    harness.put_all([b"x" * 30] * 20)
    after = disk.after_power_cut()
    *full, last = segments_of(disk)
    for path in full:
        assert segments_of(after)[path] == segments_of(disk)[path]
    assert last in segments_of(after)


def test_dead_segments_are_removed_oldest_first_and_only_after_a_safe_record_says_so(
    disk: SimulatedDisk,
) -> None:
    harness = Harness(disk, segment_size=200)
    harness.put_all([b"x" * 30] * 20)
    assert len(segments_of(disk)) > 4
    disk.calls.clear()
    for _ in range(20):
        harness.pop()
    harness.commit()
    unlinked = [call.split()[1] for call in disk.calls if call.startswith("unlink")]
    assert len(unlinked) >= 4
    assert unlinked == sorted(unlinked)
    before_first = disk.calls[: disk.calls.index(f"unlink {unlinked[0]}")]
    last_write = max(i for i, call in enumerate(before_first) if call.startswith("write"))
    assert any(call.startswith("sync ") for call in before_first[last_write:])
    last = list(segments_of(disk).values())[-1]
    assert record.bare(record.RECLAIM, len(unlinked) + 1, SALT) in last
    assert after_crash(disk) == ()


def test_a_segment_with_a_live_item_is_kept_with_all_that_follow_it(disk: SimulatedDisk) -> None:
    harness = Harness(disk, segment_size=200)
    harness.put_all([b"x" * 30] * 20)
    before = list(segments_of(disk))
    harness.pop_all(4)
    items = harness.items()
    after = list(segments_of(disk))
    assert before[0] not in after
    assert set(before[1:]) < set(after)
    assert after_crash(disk) == items


def test_a_dead_segment_that_cannot_be_removed_is_harmless_and_goes_at_the_next_start(
    disk: SimulatedDisk,
) -> None:
    harness = Harness(disk, segment_size=200)
    harness.put_all([b"x" * 30] * 12)
    disk.fault = Fault(1, errno.EIO, frozenset({"unlink"}), lasting=True)
    harness.pop_all(12)
    harness.put_all([b"new"])
    assert FIRST in segments_of(disk)
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
    queue = Harness(disk).queues.find(NAME)
    assert queue is not None
    assert queue.total_items == 24


def test_an_item_put_on_an_empty_queue_past_the_rotation_size_is_there_after_a_kill(
    disk: SimulatedDisk,
) -> None:
    # Starling removed the file that held the very record, as the queue looked empty still.
    harness = Harness(disk, segment_size=200, interval=60)
    harness.put_all([b"x" * 300])
    harness.pop_all(1)
    harness.put_all([b"the one item that matters" * 20])
    again = Harness(disk.after_process_death(), segment_size=200, interval=60)
    assert again.datas() == [b"the one item that matters" * 20]


def test_no_other_item_vanishes_after_a_drain_at_the_rotation_size_and_a_clean_stop(
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
        assert disk.open_descriptors <= 1


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
ANY = CHANGES | {"duplicate", "open", "list_directory"}
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
def test_whichever_call_fails_what_was_refused_is_not_there_and_what_was_accepted_is(
    trouble: Trouble, then: str, ops: list[Op]
) -> None:
    nth = 0
    struck = True
    while struck:
        nth += 1
        disk = empty_disk()
        harness = Harness(disk, segment_size=200)
        harness.put_all([b"old one", b"old two"])
        expected = harness.items()
        possible = [expected]
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
                refused = any(done.failed for done in harness.commit()[:1])
            if refused:
                # The queue is as if the operation had never been asked for.
                assert harness.items() == expected, f"call {nth}"
            else:
                assert harness.items() == attempted, f"call {nth}"
                expected = attempted
                broken = harness.commits.failures and any(
                    queue.journal.broken for queue in harness.queues._queues.values()
                )
                possible = [*possible, expected] if broken else [expected]
        struck = fault.struck
        disk.fault = None
        if then == "go on":
            if any(queue.journal.broken for queue in harness.queues._queues.values()):
                continue
            harness.put_all([b"after the trouble"])
            expected = harness.items()
            assert harness.datas()[-1:] == [b"after the trouble"]
        if then == "power cut":
            # A sync that failed leaves open what of it is safe, and nobody was told it is.
            found = Harness(disk.after_power_cut()).items() or ()
            assert found in [items or () for items in possible], f"call {nth}"
        # An empty queue may be left of one whose creation or removal went wrong.
        assert (after_crash(disk) or ()) == (expected or ()), f"call {nth}"
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
    queue = harness.queues.find(NAME)
    assert queue is not None
    assert done.failed == {queue.journal}
    assert queue.journal.broken is None
    assert segments_of(disk)[FIRST] == before
    disk.fault = None
    harness.put_all([b"c"])
    assert segments_of(disk)[FIRST].startswith(before)
    assert harness.items() == ((1, b"a", 0), (2, b"c", 0))
    assert after_crash(disk) == ((1, b"a", 0), (2, b"c", 0))


def test_a_half_record_that_cannot_be_cut_off_ends_the_writing_for_good(
    disk: SimulatedDisk,
) -> None:
    harness = Harness(disk, segment_size=10**6)
    harness.put_all([b"a", b"b"])
    harness.pop_all(1)
    calls = frozenset({"write", "truncate"})
    disk.fault = Fault(1, errno.EIO, calls, lasting=True, short=True)
    harness.put(b"c" * 100)
    (done,) = harness.commit()
    queue = harness.queues.find(NAME)
    assert queue is not None
    assert done.failed == {queue.journal}
    disk.fault = None
    before = disk.contents()
    assert queue.journal.broken is not None
    assert "cannot be cut off" in queue.journal.broken
    for op in (put(b"d"), Harness.pop, flush, lambda each: each.queues.delete(NAME)):
        with pytest.raises(JournalError, match="cannot be cut off"):
            op(harness)
        assert harness.items() == ((2, b"b", 0),)
        assert not harness.commits.pending
    assert disk.contents() == before
    assert after_crash(disk) == ((2, b"b", 0),)


def test_records_added_before_the_journal_broke_are_not_written_after(
    disk: SimulatedDisk,
) -> None:
    journal = new_journal(disk)
    journal.push(item(1))
    journal.write()
    journal.push(item(2))
    journal.end_sync(OSError(errno.EIO, "Input/output error"))
    before = disk.contents()
    with pytest.raises(JournalError):
        journal.write()
    assert disk.contents() == before


def test_everything_is_taken_back_in_its_old_order_when_a_commit_fails(
    disk: SimulatedDisk,
) -> None:
    harness = Harness(disk, segment_size=10**6)
    harness.put_all([b"a", b"b", b"c"])
    before = harness.items()
    queue = harness.queues.find(NAME)
    assert queue is not None
    snapshot = queue.snapshot(NOW_MS, 0)
    disk.fault = Fault(1, errno.ENOSPC, WRITING)
    harness.pop()
    harness.put(b"d")
    harness.queues.flush(NAME)
    harness.put(b"e")
    harness.pop()
    harness.put(b"f")
    harness.commit()
    assert harness.items() == before
    assert queue.snapshot(NOW_MS, 0) == snapshot
    assert after_crash(disk) == before


def test_a_queue_whose_creation_fails_does_not_exist_and_leaves_nothing(
    disk: SimulatedDisk,
) -> None:
    nth = 0
    struck = True
    while struck:
        nth += 1
        disk = empty_disk()
        harness = Harness(disk)
        fault = disk.fault = Fault(nth, errno.EIO, ANY)
        harness.put(b"a")
        (done, *_) = harness.commit()
        struck = fault.struck
        disk.fault = None
        if done.failed:
            assert harness.items() is None
            assert harness.queues.find(NAME) is None
            assert [each for each in disk.contents(SPOOL) if each.endswith(".segment")] == []
            harness.put_all([b"again"])
            assert harness.items() == ((1, b"again", 0),)
            assert Harness(disk.after_power_cut()).items() == ((1, b"again", 0),)
    assert nth > 8


def test_a_rotation_that_fails_lets_the_present_segment_go_on(disk: SimulatedDisk) -> None:
    for call in ("create", "rename"):
        disk = empty_disk()
        harness = Harness(disk, segment_size=100)
        harness.put_all([b"a" * 100])
        disk.fault = Fault(1, errno.ENOSPC, frozenset({call}), lasting=True)
        harness.put_all([b"b"])
        assert list(segments_of(disk)) == [FIRST]
        assert harness.datas() == [b"a" * 100, b"b"]
        disk.fault = None
        harness.put_all([b"c"])
        assert list(segments_of(disk)) == [FIRST, SECOND]
        assert Harness(disk.after_power_cut()).datas() == [b"a" * 100, b"b", b"c"]


def test_a_file_whose_sync_failed_never_becomes_a_segment(disk: SimulatedDisk) -> None:
    # Neither the sync nor the removal of the unfinished segment works; then all is well again.
    for first in (True, False):
        disk = empty_disk()
        harness = Harness(disk, segment_size=100)
        if not first:
            harness.put_all([b"a" * 100])
        calls = frozenset({"sync", "unlink"})
        # The second segment is begun after a sync of the first one, which is not to fail.
        disk.fault = Fault(1 if first else 2, errno.EIO, calls, lasting=True)
        harness.put(b"b")
        harness.commits.commit()
        assert disk.fault.struck
        disk.fault = None
        if any(queue.journal.broken for queue in harness.queues):
            continue
        harness.put_all([b"c"])
        assert Harness(disk.after_power_cut()).datas() == harness.datas()


def test_a_new_segment_whose_name_may_not_be_safe_is_never_left_behind_the_present_one(
    disk: SimulatedDisk,
) -> None:
    # The new name may be on disk or not; a torn tail before it would make the journal unreadable.
    harness = Harness(disk, segment_size=100)
    harness.put_all([b"a" * 100])
    disk.fault = Fault(1, errno.EIO, frozenset({"sync_directory", "unlink"}), lasting=True)
    harness.put(b"b" * 100)
    harness.commit()
    disk.fault = None
    state = Harness(disk.after_process_death())
    assert state.datas()[:1] == [b"a" * 100]
    segments = segments_of(disk)
    torn = segments[FIRST][:-1] if len(segments[FIRST]) > 200 else segments[FIRST]
    again = SimulatedDisk.holding(segments | {FIRST: torn})
    assert recovered_items(read_back(again)) is not None


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
