"""The reserve: a full disk refuses puts, never removals, and all goes on when there is room."""

import errno

import pytest

from starling_py.journal import record, reserve
from starling_py.journal.files import Files
from starling_py.journal.reserve import NAME, SLACK, STEP, Reserve
from starling_py.journal.trouble import JournalError
from tests.journal.parts import journal_of
from tests.journal.simulated_disk import Fault, SimulatedDisk
from tests.journal.spool_harness import SPOOL, Harness

PATH = f"{SPOOL}/{NAME}"
TO_BEGIN_WITH = SLACK + STEP


def reserved(disk: SimulatedDisk) -> int:
    """Return the bytes that the reserve takes from the disk."""
    return disk._file(PATH).reserved


@pytest.fixture
def small(disk: SimulatedDisk) -> SimulatedDisk:
    """Return a disk with little more room than the reserve takes."""
    disk.room = TO_BEGIN_WITH + 100_000
    return disk


def fill(harness: Harness, size: int = 5000) -> int:
    """Put until that is refused; return how many items were put."""
    for count in range(10_000):
        try:
            harness.put(b"x" * size)
        except JournalError as error:
            assert str(error) == "the disk is full"  # noqa: PT017 - the loop goes on otherwise
            return count
        if any(done.failed for done in harness.commit()):
            return count
    raise AssertionError("the disk is not full")


def test_room_for_the_removal_of_every_item_is_reserved(disk: SimulatedDisk) -> None:
    disk.room = 10**9
    harness = Harness(disk, segment_size=10**6)
    assert reserved(disk) >= SLACK
    items = (reserved(disk) - SLACK) // record.REMOVE_SIZE + 1000
    for _ in range(10):
        for _ in range(items // 10):
            harness.put(b"")
        harness.commit()
        assert reserved(disk) >= len(harness.queues.find(b"jobs") or ()) * record.REMOVE_SIZE
    assert reserved(disk) > TO_BEGIN_WITH
    again = Harness(disk.after_process_death(), segment_size=10**6)
    assert reserved(disk) >= items * record.REMOVE_SIZE
    again.queues.flush(b"jobs")
    again.commit()


def test_a_full_disk_refuses_puts_and_takes_the_removal_of_everything(
    small: SimulatedDisk,
) -> None:
    harness = Harness(small, segment_size=20_000)
    count = fill(harness)
    assert count > 10
    assert harness.spool.reserve.short
    with pytest.raises(JournalError, match="the disk is full"):
        harness.put(b"y")
    harness.put_all([])
    assert small.room is not None
    small.room = 0  # somebody else takes what is left
    assert harness.pop_all(count) == [b"x" * 5000] * count
    assert harness.items() == ()
    assert not harness.commits.broken
    assert Harness(small.after_power_cut()).items() == ()


def test_puts_are_taken_again_when_there_is_room_again(small: SimulatedDisk) -> None:
    harness = Harness(small, segment_size=20_000)
    count = fill(harness)
    with pytest.raises(JournalError, match="the disk is full"):
        harness.put(b"y")
    assert small.room is not None
    small.room += 10**6
    harness.put_all([b"again"])
    assert not harness.spool.reserve.short
    assert reserved(small) >= harness.spool.reserve.needed
    assert harness.datas()[-1] == b"again"
    assert len(harness.datas()) == count + 1


def test_a_disk_that_was_full_is_written_to_again_as_soon_as_items_have_gone(
    small: SimulatedDisk,
) -> None:
    harness = Harness(small, segment_size=20_000)
    count = fill(harness)
    for number in range(count):
        harness.pop()
        harness.commit()
        try:
            harness.put(b"new")
        except JournalError:
            continue
        harness.commit()
        assert 0 < number < count
        return
    raise AssertionError("nothing can be put though everything was taken")


def test_a_server_that_starts_on_a_full_disk_serves_what_there_is(small: SimulatedDisk) -> None:
    harness = Harness(small, segment_size=20_000)
    count = fill(harness)
    small.after_process_death()
    small.room = 0
    harness = Harness(small, segment_size=20_000)
    assert len(harness.datas()) == count
    with pytest.raises(JournalError, match="the disk is full"):
        harness.put(b"y")
    assert harness.pop_all(count) == [b"x" * 5000] * count


def test_what_is_not_needed_any_more_is_given_back(disk: SimulatedDisk) -> None:
    disk.room = 10**9
    own = Reserve(disk, SPOOL)
    assert own.restore()
    own.changed(200_000)
    large = reserved(disk)
    assert large >= 200_000 * record.REMOVE_SIZE
    own.tidy()
    assert reserved(disk) == large
    own.changed(-199_000)
    own.tidy()
    assert SLACK <= reserved(disk) < large / 4
    own.close()
    assert PATH not in disk.contents()
    assert disk.room == 10**9


def test_a_put_is_lent_only_what_no_removal_needs(disk: SimulatedDisk) -> None:
    disk.room = 10**9
    own = Reserve(disk, SPOOL)
    assert own.restore()
    own.changed(10_000)
    disk.room = 0
    while own.lend(5000, removals_only=False):
        disk.room = 0
    assert own.short
    assert reserved(disk) >= 10_000 * record.REMOVE_SIZE
    lent = 0
    while own.lend(record.REMOVE_SIZE, removals_only=True):
        lent += 1
        assert disk.room >= record.REMOVE_SIZE
        disk.room = 0
    assert lent > 5
    assert not own.restore()


def test_a_reserve_that_cannot_be_made_refuses_puts_and_says_so_once(
    disk: SimulatedDisk, caplog: pytest.LogCaptureFixture
) -> None:
    disk.room = 10**9
    own = Reserve(disk, SPOOL)
    assert own.restore()
    disk.fault = Fault(1, errno.ENOSPC, frozenset({"allocate"}), lasting=True)
    own.changed(10**6)
    assert own.short
    assert "no room can be reserved" in caplog.text
    caplog.clear()
    for _ in range(5):
        assert not own.restore()
    assert len(caplog.records) <= 1
    disk.fault = None
    assert own.restore()
    assert not own.short


def test_the_real_file_takes_room_and_gives_it_back(tmp_path: object) -> None:
    harness = Harness(Files(), path=str(tmp_path))
    path = f"{tmp_path}/{NAME}"
    files = Files()
    assert files.size(path) >= SLACK
    harness.put_all([b"x"])
    assert journal_of(harness).ledger.items == 1
    harness.close()
    with pytest.raises(FileNotFoundError):
        files.size(path)
    assert reserve.NAME not in files.list_directory(str(tmp_path))
