"""The reserve: a full disk refuses puts, never removals, and all goes on when there is room."""

import errno

import pytest

from starling_py.journal.disk import reserve
from starling_py.journal.disk.files import Files
from starling_py.journal.disk.reserve import NAME, SLACK, STEP, Reserve
from starling_py.journal.errors import JournalError
from starling_py.journal.format import record
from starling_py.queues.persistent_queue import PersistentQueue
from tests.journal.parts import journal_of
from tests.journal.simulated_disk import Fault, SimulatedDisk
from tests.journal.spool_harness import NAME as NAME_OF_QUEUE
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
        assert (
            reserved(disk) >= len(harness.queues.directory.find(b"jobs") or ()) * record.REMOVE_SIZE
        )
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


def test_a_full_disk_is_written_to_again_as_soon_as_items_have_gone(
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


def full_of_small_items(disk: SimulatedDisk) -> tuple[Harness, PersistentQueue, int]:
    """Return a server on a full disk, with more items than there is room to open."""
    disk.room = 10**9
    harness = Harness(disk, segment_size=10**7, window_size=1 << 26)
    for _ in range(30_000):
        harness.put(b"x")
    harness.commit()
    disk.room = 0
    harness.put(b"x")
    harness.commit()
    disk.room = 0
    assert harness.spool.reserve.short
    queue = harness.queues.directory.find(NAME_OF_QUEUE)
    assert queue is not None
    return harness, queue, 30_001


def open_all(harness: Harness, queue: PersistentQueue, at_once: int, most: int = 30_000) -> int:
    """Open items until none can be, or there are enough; return how many were opened."""
    count, before = 0, -1
    while before < count < most:
        before = count
        try:
            for _ in range(at_once):
                assert queue.open(harness.clock.wall_ms, None, None) is not None
                count += 1
        except JournalError as error:
            assert str(error) == "the disk is full"  # noqa: PT017 - what follows is the rest
        assert not any(done.failed for done in harness.commit())
    return count


@pytest.mark.parametrize("at_once", [1, 700, 100_000])
def test_opens_on_a_full_disk_never_take_the_room_of_removals(
    disk: SimulatedDisk, at_once: int
) -> None:
    harness, queue, count = full_of_small_items(disk)
    opened = open_all(harness, queue, at_once)
    assert 100 < opened < count
    needed = count * record.REMOVE_SIZE
    assert reserved(disk) >= needed
    read = next(iter(queue.open_reads))
    with pytest.raises(JournalError, match="the disk is full"):
        queue.give_back_later(read, harness.clock.wall_ms + 1000)
    with pytest.raises(JournalError, match="the disk is full"):
        queue.open(harness.clock.wall_ms, None, None)
    assert queue.open_reads.get(read.item.id) is read
    # Everything can still be confirmed and taken, a few at a time.
    confirmed = list(queue.open_reads)
    for number, each in enumerate(confirmed):
        queue.confirm(each)
        if number % 50 == 0:
            assert not any(done.failed for done in harness.commit())
    assert not any(done.failed for done in harness.commit())
    for number in range(count - opened):
        assert harness.pop() == b"x"
        if number % 50 == 0:
            assert not any(done.failed for done in harness.commit())
    assert not any(done.failed for done in harness.commit())
    assert harness.items() == ()
    assert not harness.commits.broken
    assert Harness(disk.after_power_cut()).items() == ()


def test_opens_go_on_when_there_is_room_again(disk: SimulatedDisk) -> None:
    harness, queue, _ = full_of_small_items(disk)
    opened = open_all(harness, queue, 500)
    disk.room = 10**7
    for read in list(queue.open_reads):
        queue.give_back(read)
    for _ in range(opened + 100):
        assert queue.open(harness.clock.wall_ms, None, None) is not None
    harness.put(b"and puts too")
    assert not any(done.failed for done in harness.commit())
    assert not harness.spool.reserve.short


def test_a_flush_on_a_full_disk_is_taken_unless_it_leaves_most_items_open(
    disk: SimulatedDisk,
) -> None:
    harness, queue, _ = full_of_small_items(disk)
    opened = open_all(harness, queue, 500, 9000)
    harness.queues.flush(NAME_OF_QUEUE)
    assert not any(done.failed for done in harness.commit())
    assert queue.items == opened
    # Now a flush would cost room each time, and give none back.
    refused = False
    for _ in range(200):
        disk.room = 0
        try:
            harness.queues.flush(NAME_OF_QUEUE)
        except JournalError:
            refused = True
            break
        # What is refused only when it is written changes nothing either.
        harness.commit()
        assert reserved(disk) >= opened * record.REMOVE_SIZE
    assert refused or harness.spool.reserve.can_spare(0)
    for read in list(queue.open_reads):
        queue.confirm(read)
    disk.room = 0
    assert not any(done.failed for done in harness.commit())
    assert queue.items == 0


def test_on_a_full_disk_not_every_write_begins_a_large_checkpoint(
    disk: SimulatedDisk,
) -> None:
    disk.room = 10**9
    harness = Harness(disk, segment_size=10**7, window_size=1 << 26)
    for _ in range(16_000):
        harness.put(b"x")
    harness.commit()
    for _ in range(10_000):
        harness.pop()
    queue = harness.queues.directory.find(NAME_OF_QUEUE)
    assert queue is not None
    while queue.open(harness.clock.wall_ms, None, None) is not None:
        pass
    harness.commit()
    assert len(queue.journal.ledger.facts) == 6000
    harness.spool.reserve.lend(1, removals_only=True)
    before = queue.journal.rotations
    disk.room = 10**6
    disk.fault = Fault(1, errno.ENOSPC, frozenset({"allocate"}), lasting=True)
    for read in list(queue.open_reads)[:300]:
        queue.confirm(read)
        harness.commit()
    assert harness.spool.reserve.short
    assert before < queue.journal.rotations <= before + 2


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
