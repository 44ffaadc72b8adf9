"""A whole journal synced on demand where the policy is to sync nothing, and what is said of it."""

import errno

import pytest

from starling_py.journal.format import segment
from starling_py.journal.journal import Journal
from tests.journal.parts import journal_of
from tests.journal.simulated_disk import Fault, SimulatedDisk
from tests.journal.spool_harness import DIRECTORY, Harness

SYNC = frozenset({"sync"})
FIRST = f"{DIRECTORY}/{segment.file_name(1)}"


def synced(harness: Harness, journal: Journal) -> OSError | None:
    """Sync a journal, and return why that failed."""
    told: list[OSError | None] = []
    journal.sync_whole(told.append)
    harness.background.do_all()
    assert len(told) == 1
    return told[0]


def several_segments(disk: SimulatedDisk) -> tuple[Harness, Journal]:
    """Return a server with a journal that nothing has ever been synced of."""
    harness = Harness(disk, interval=None, segment_size=300)
    harness.put_all([b"%d" % number * 100 for number in range(9)])
    journal = journal_of(harness)
    assert len(journal.ledger.segments) > 2
    assert Harness(disk.after_power_cut(), interval=None).items() is None
    return harness, journal


def test_everything_that_was_written_is_safe_afterwards(disk: SimulatedDisk) -> None:
    harness, journal = several_segments(disk)
    assert synced(harness, journal) is None
    before = harness.items()
    assert Harness(disk.after_power_cut(), interval=None).items() == before
    open_before = disk.open_descriptors
    harness.put_all([b"more"])
    assert synced(harness, journal) is None
    assert Harness(disk.after_power_cut(), interval=None).datas()[-1] == b"more"
    assert disk.open_descriptors == open_before


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_sync_that_fails_is_told_and_leaves_a_mark_for_the_next_start(
    disk: SimulatedDisk, nth: int
) -> None:
    harness, journal = several_segments(disk)
    open_before = disk.open_descriptors
    disk.fault = Fault(nth, errno.EIO, SYNC)
    error = synced(harness, journal)
    disk.fault = None
    assert error is not None
    assert error.errno == errno.EIO
    assert disk.open_descriptors == open_before
    bad = journal.ledger.segments[nth - 1].path
    assert [each for each in disk.contents() if each.endswith(".distrusted")] == [
        f"{bad}.distrusted"
    ]
    expected = harness.items()
    # A start that syncs does not believe the file, and what it serves stays.
    left = disk.for_next_process()
    assert Harness(left).items() == expected
    assert Harness(left.after_power_cut()).items() == expected


def test_what_a_failed_sync_was_of_is_never_called_safe_by_a_later_one(
    disk: SimulatedDisk,
) -> None:
    harness, journal = several_segments(disk)
    last = journal.ledger.segments[-1]
    size = last.size
    disk.fault = Fault(len(journal.ledger.segments), errno.EIO, SYNC)
    assert synced(harness, journal) is not None
    disk.fault = None
    for _ in range(2):
        assert synced(harness, journal) is not None
    harness.put_all([b"behind it"])
    assert journal.ledger.segments[-1].number == last.number + 1, "it is not written to again"
    assert last.size == size
    assert synced(harness, journal) is not None
    # As soon as nothing of it is needed, what else there is can be made safe.
    harness.pop_all(9)
    assert last not in journal.ledger.segments
    assert synced(harness, journal) is None
    assert Harness(disk.after_power_cut(), interval=None).datas() == [b"behind it"]


def test_a_directory_that_cannot_be_synced_is_told_and_tried_again(disk: SimulatedDisk) -> None:
    harness, journal = several_segments(disk)
    disk.fault = Fault(1, errno.EIO, frozenset({"sync_directory"}))
    assert synced(harness, journal) is not None
    assert not any(path.endswith(".distrusted") for path in disk.contents())
    assert synced(harness, journal) is None
    assert Harness(disk.after_power_cut(), interval=None).items() == harness.items()


def test_who_waits_for_safety_under_never_is_told_when_all_is_synced(disk: SimulatedDisk) -> None:
    harness = Harness(disk, interval=None)
    harness.put(b"a")
    queue = harness.queues.directory.find(b"jobs")
    assert queue is not None
    told: list[object] = []
    queue.sync_waits.add(told.append)
    harness.commits.commit()
    assert told == []
    harness.background.do_all()
    assert told == [None]
    assert Harness(disk.after_power_cut(), interval=None).datas() == [b"a"]
    disk.fault = Fault(1, errno.EIO, SYNC)
    harness.put(b"b")
    queue.sync_waits.add(told.append)
    harness.commit()
    assert "cannot be synced" in str(told[1])


def test_a_sync_waits_for_what_is_done_on_the_files(disk: SimulatedDisk) -> None:
    harness, journal = several_segments(disk)
    queue = harness.queues.directory.find(b"jobs")
    assert queue is not None
    queue.flush()
    harness.commits.commit()
    assert harness.background.waiting, "dead segments are being removed"
    told: list[OSError | None] = []
    journal.sync_whole(told.append)
    assert len(harness.background.waiting) == 1
    harness.background.do_all()
    assert told == [None]
    assert FIRST not in disk.contents()
