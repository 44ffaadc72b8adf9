"""Ids of queues that went away are never given again, whatever fails while they go."""

import errno
from random import Random

import pytest

from starling_py.journal.disk.id_floor import NAME, STEP, IdFloor
from starling_py.journal.disk.removed_directories import REMOVED
from starling_py.journal.errors import JournalDamagedError, SpoolError
from starling_py.journal.format import record
from tests.journal.parts import heal
from tests.journal.simulated_disk import CHANGES, SALT, Fault, SimulatedDisk
from tests.journal.spool_harness import NAME as QUEUE
from tests.journal.spool_harness import SPOOL, Harness, dying_deletions, empty_disk, segments_of

PATH = f"{SPOOL}/{NAME}"
OTHER = b"other"


def first_id(harness: Harness, name: bytes = OTHER) -> int:
    """Return the id of the first item of a new queue."""
    harness.put_all([b"new"], name)
    items = harness.items(name)
    assert items is not None
    return items[-1][0]


def delete(harness: Harness, name: bytes = QUEUE) -> None:
    """Delete a queue."""
    harness.queues.delete(name)
    harness.commit()


def with_deleted(disk: SimulatedDisk, items: int = 5) -> Harness:
    """Return a server that has deleted a queue of so many items."""
    harness = Harness(disk, segment_size=100)
    harness.put_all([b"x" * 60] * items)
    delete(harness)
    return harness


# Where the ids of a new queue begin.


def test_as_long_as_nothing_was_deleted_every_queue_begins_with_1(disk: SimulatedDisk) -> None:
    harness = Harness(disk)
    harness.put_all([b"a", b"b"])
    assert first_id(harness) == 1
    assert NAME not in disk.list_directory(SPOOL)


def test_a_queue_made_anew_begins_behind_all_ids_of_the_deleted_one(
    disk: SimulatedDisk,
) -> None:
    harness = with_deleted(disk)
    harness.put_all([b"new"])
    assert harness.items() == ((6, b"new", 0),)
    assert first_id(harness) == 6


def test_it_is_the_queue_that_had_come_farthest_that_counts(disk: SimulatedDisk) -> None:
    harness = with_deleted(disk, 9)
    harness.put_all([b"new"])
    delete(harness)
    assert first_id(harness) == 11


def test_after_a_restart_ids_begin_behind_whatever_was_deleted(disk: SimulatedDisk) -> None:
    with_deleted(disk)
    for survivor in (disk.after_power_cut(), disk.after_process_death()):
        again = Harness(survivor)
        assert first_id(again) == STEP + 1
        delete(again, OTHER)
        assert first_id(again) == STEP + 2


def test_a_restart_before_a_deleted_queues_files_go_changes_nothing() -> None:
    # The directory of a queue whose deletion was written, and nothing more.
    disk = empty_disk()
    harness = Harness(disk, segment_size=100)
    harness.put_all([b"x" * 60] * 5)
    contents = segments_of(disk)
    contents[max(contents)] += record.bare(record.DELETE, 5, SALT)
    again = Harness(SimulatedDisk.holding(contents))
    assert again.items() is None
    assert first_id(again, QUEUE) == 6


def test_the_items_ever_put_are_counted_from_the_making_of_the_queue(disk: SimulatedDisk) -> None:
    harness = with_deleted(disk)
    harness.put_all([b"x" * 60] * 3)
    for _ in range(2):
        queue = harness.queues.directory.find(QUEUE)
        assert queue is not None
        assert queue.total_items == 3
        harness = Harness(disk.after_process_death())


def test_a_queue_deleted_and_made_anew_in_one_commit_counts_anew(disk: SimulatedDisk) -> None:
    harness = Harness(disk, segment_size=100)
    harness.put_all([b"x" * 60] * 5)
    harness.queues.delete(QUEUE)
    harness.put(b"new")
    harness.commit()
    harness.put_all([b"x" * 60] * 4)
    for _ in range(2):
        queue = harness.queues.directory.find(QUEUE)
        assert queue is not None
        assert (queue.total_items, queue.next_id) == (5, 11)
        harness = Harness(disk.after_process_death())


def test_a_queue_healed_before_anything_was_safe_keeps_its_first_id(
    disk: SimulatedDisk,
) -> None:
    with_deleted(disk)
    harness = Harness(disk.after_process_death())
    harness.put(b"refused")
    disk.fault = Fault(1, errno.EIO, frozenset({"sync"}))
    harness.commit()
    assert disk.fault.struck
    heal(harness)
    assert first_id(harness, QUEUE) == STEP + 1


# What is written, and when.


def test_the_file_is_written_once_for_very_many_deletions(disk: SimulatedDisk) -> None:
    harness = with_deleted(disk)
    before = disk.contents()[PATH]
    disk.calls.clear()
    for _ in range(100):
        harness.put_all([b"x"])
        delete(harness)
    assert disk.contents()[PATH] == before
    assert not [call for call in disk.calls if NAME in call]


def test_what_is_written_is_above_what_is_given_out(disk: SimulatedDisk) -> None:
    floor = IdFloor(disk, SPOOL, syncs=True)
    for next_id in (2, STEP, STEP + 1, STEP + 2, 7 * STEP, 7 * STEP + 2):
        floor.raise_to(next_id)
        assert floor.first_id == next_id
        again = IdFloor(disk.after_power_cut(), SPOOL, syncs=True)
        assert next_id <= again.first_id <= next_id + STEP
    floor.raise_to(5)
    assert floor.first_id == 7 * STEP + 2


@pytest.mark.parametrize("syncs", [True, False])
def test_nothing_is_synced_where_nothing_ever_is(disk: SimulatedDisk, syncs: bool) -> None:
    IdFloor(disk, SPOOL, syncs=syncs).raise_to(2)
    assert any(call.startswith("sync") for call in disk.calls) == syncs


# What fails.


@pytest.mark.parametrize("power", [False, True], ids=["process killed", "power cut"])
def test_a_death_at_any_call_of_a_deletion_gives_no_id_again(power: bool) -> None:
    for calls, disk, _, _ in dying_deletions():
        cuts = [disk.after_power_cut(Random(seed)) for seed in range(10)]
        for survivor in cuts if power else [disk.after_process_death()]:
            again = Harness(survivor)
            assert again.items() is not None or first_id(again, QUEUE) >= 6, f"call {calls}"
            assert Harness(survivor.after_power_cut()).queues.directory.find(QUEUE) is not None
    assert calls + 1 > 12


@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EROFS])
def test_whichever_call_of_a_deletion_fails_no_id_is_given_again(error: int, lasting: bool) -> None:
    nth = 0
    struck = True
    while struck:
        nth += 1
        disk = empty_disk()
        harness = Harness(disk, segment_size=100)
        harness.put_all([b"x" * 60] * 5)
        fault = disk.fault = Fault(nth, error, CHANGES, lasting)
        delete(harness)
        struck = fault.struck
        disk.fault = None
        heal(harness)
        harness.queues.keep_house()
        harness.commit()
        if harness.items() is None:
            assert first_id(harness, QUEUE) >= 6, f"call {nth}"
        for survivor in (disk.after_power_cut(), disk.after_process_death()):
            again = Harness(survivor)
            if again.items() is None:
                assert first_id(again, QUEUE) >= 6, f"call {nth}"
    assert nth > 8


def test_a_deletion_whose_ids_cannot_be_noted_is_done_and_files_go_at_once(
    disk: SimulatedDisk, caplog: pytest.LogCaptureFixture
) -> None:
    harness = Harness(disk, segment_size=10_000)
    harness.put_all([b"x" * 60] * 5)
    disk.fault = Fault(1, errno.EIO, frozenset({"create"}))
    delete(harness)
    for _ in range(3):
        disk.fault = Fault(1, errno.EIO, frozenset({"create"}))
        harness.queues.keep_house()
        assert disk.fault.struck
    assert harness.items() is None
    assert caplog.text.count("/spool: ids cannot be noted for now: ") == 1
    assert disk.contents()[f"{SPOOL}/jobs{REMOVED}1-6/"] == b"", "empty"
    disk.fault = None
    harness.queues.keep_house()
    harness.background.do_all()
    assert not [path for path in disk.contents() if QUEUE.decode() in path]
    assert first_id(harness, QUEUE) == 6


@pytest.mark.parametrize("power", [False, True], ids=["process killed", "power cut"])
@pytest.mark.parametrize("later", [False, True], ids=["noted at the start", "noted later"])
def test_ids_that_only_the_name_of_a_directory_tells_are_not_given_again(
    disk: SimulatedDisk, power: bool, later: bool
) -> None:
    harness = Harness(disk)
    harness.put_all([b"x"] * 5)
    disk.fault = Fault(1, errno.ENOSPC, frozenset({"create"}), lasting=True)
    delete(harness)
    left = disk.after_power_cut() if power else disk.after_process_death()
    left.fault = Fault(1, errno.ENOSPC, frozenset({"create"}), lasting=True) if later else None
    again = Harness(left)
    left.fault = None
    again.queues.keep_house()
    again.background.do_all()
    assert first_id(again, QUEUE) >= 6
    assert not [path for path in left.contents() if REMOVED in path]
    assert first_id(Harness(left.after_process_death()), OTHER) > STEP


def test_a_full_disk_keeps_no_queue_from_being_deleted(disk: SimulatedDisk) -> None:
    disk.room = 1_000_000
    harness = Harness(disk, segment_size=10_000)
    harness.put_all([b"x" * 1000] * 20)
    disk.room = 0
    delete(harness)
    assert not [path for path in disk.contents() if QUEUE.decode() in path]
    assert disk.contents()[PATH]
    assert disk.room > 20_000


def test_a_file_that_was_not_finished_is_not_used_and_in_nobodys_way(disk: SimulatedDisk) -> None:
    disk.put(f"{PATH}.new", b"anything")
    harness = with_deleted(disk)
    assert first_id(harness) == 6
    assert f"{NAME}.new" not in disk.list_directory(SPOOL)


def test_a_start_on_a_file_that_was_not_finished_says_nothing_of_it(
    disk: SimulatedDisk, caplog: pytest.LogCaptureFixture
) -> None:
    with_deleted(disk)
    disk.put(f"{PATH}.new", b"anything")
    Harness(disk.after_process_death())
    assert NAME not in caplog.text


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "behind", "foreign", "newer"])
def test_a_damaged_file_of_ids_prevents_the_start_and_is_left_as_it_is(
    disk: SimulatedDisk, damage: str
) -> None:
    with_deleted(disk)
    content = disk.contents()[PATH]
    broken = {
        "cut": content[:-3],
        "bit": content.replace(b"1000001", b"1000000"),
        "empty": b"",
        "behind": content + b"\n",
        "foreign": b"\xff\x00 something else",
        "newer": content.replace(b"ids 1 ", b"ids 2 "),
    }[damage]
    disk.after_process_death().put(PATH, broken)
    with pytest.raises(JournalDamagedError, match=r"^/spool/\.ids: damaged at byte 0: "):
        IdFloor(disk, SPOOL, syncs=True)
    with pytest.raises(SpoolError) as problem:
        Harness(disk)
    text = str(problem.value)
    assert text.startswith(f"{PATH}: damaged at byte 0: ")
    assert "put back a copy of it, or remove it" in text
    assert "\n" not in text
    assert disk.contents()[PATH] == broken
    disk.unlink(PATH)
    assert first_id(Harness(disk)) == 1


def test_a_file_that_cannot_be_read_keeps_the_server_from_starting(disk: SimulatedDisk) -> None:
    with_deleted(disk)
    disk.after_process_death().fault = Fault(1, errno.EIO, frozenset({"read"}))
    with pytest.raises(SpoolError, match=r"^/spool/\.ids: Input/output error\. "):
        Harness(disk)
    assert disk.open_descriptors == 0
    assert first_id(Harness(disk.after_process_death())) == STEP + 1
