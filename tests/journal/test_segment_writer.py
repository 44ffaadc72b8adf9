"""The open file of a journal's last segment: begun, appended to, synced, spoiled, closed."""

import errno
import threading
from collections.abc import Callable

import pytest

from starling_py.journal import checkpoint
from starling_py.journal.disk.files import Files
from starling_py.journal.disk.open_files import OpenFiles
from starling_py.journal.errors import FileSpoiledError, JournalError
from starling_py.journal.format import record, segment
from starling_py.journal.ledger import Ledger
from starling_py.journal.recovery.replay import open_segment, read_checkpoint
from starling_py.journal.segment_writer import SegmentWriter
from starling_py.journal.syncing import Syncing
from tests.journal.parts import ledger_facts, place_on
from tests.journal.simulated_disk import SALT, Fault, SimulatedDisk
from tests.journal.spool_harness import DIRECTORY, NAME

FIRST = f"{DIRECTORY}/0000000000000001.segment"
SECOND = f"{DIRECTORY}/0000000000000002.segment"
WRITE = frozenset({"write"})


def writer_on(disk: SimulatedDisk, *, syncs: bool = True) -> tuple[SegmentWriter, Ledger]:
    """Return a writer that has begun a journal."""
    writer = SegmentWriter(place_on(disk, syncs=syncs), OpenFiles(10), 600)
    ledger = Ledger(deleted=True)
    writer.begin_first_segment(ledger)
    return writer, ledger


def sync(writer: SegmentWriter, ledger: Ledger) -> None:
    """Make everything safe."""
    last = ledger.segments[-1]
    work = writer.begin_sync(last)
    if work is not None:
        work.run()
        writer.end_sync(last, work, unchanged=True)


def test_a_segment_begins_with_its_header_and_the_ledger_of_that_moment(
    disk: SimulatedDisk,
) -> None:
    writer, ledger = writer_on(disk)
    ledger.pushed(3, 500, 4)
    ledger.removed(2, 100)
    facts = ledger_facts(ledger.copy())
    sync(writer, ledger)
    writer.begin_segment(ledger, 77)
    (path,) = (path for path in disk.contents(DIRECTORY) if path.startswith(SECOND))
    data = memoryview(disk.contents()[path])
    opened = open_segment(path, data, 2, None)
    assert opened is not None
    assert opened.header == segment.Header(NAME, 2, 4, 2, SALT)
    read = read_checkpoint(opened, data)
    assert read is not None
    assert read[1] == len(data) == ledger.segments[-1].size
    assert read[0].previous_end == 77
    assert ledger_facts(read[0].ledger) == facts


def test_a_segment_that_cannot_be_begun_leaves_and_changes_nothing() -> None:
    for call in ("create", "write", "rename"):
        disk = SimulatedDisk.holding({f"{DIRECTORY}/": b""})
        writer, ledger = writer_on(disk, syncs=False)
        before, open_before = disk.contents(), disk.open_descriptors
        disk.fault = Fault(1, errno.EIO, frozenset({call}))
        with pytest.raises(OSError, match="Input/output"):
            writer.begin_segment(ledger, ledger.segments[-1].size)
        disk.fault = None
        assert disk.contents() == before
        assert disk.open_descriptors == open_before
        assert len(ledger.segments) == 1
        writer.append(ledger.segments[-1], b"goes on")
        assert disk.contents()[FIRST].endswith(b"goes on")
        writer.begin_segment(ledger, ledger.segments[-1].size)
        assert ledger.segments[-1].number == 2


def test_a_file_left_by_a_segment_that_was_not_begun_is_not_used_again(
    disk: SimulatedDisk,
) -> None:
    writer, ledger = writer_on(disk)
    sync(writer, ledger)
    disk.fault = Fault(1, errno.EIO, frozenset({"write", "unlink"}), lasting=True)
    with pytest.raises(OSError, match="Input/output"):
        writer.begin_segment(ledger, ledger.segments[-1].size)
    disk.fault = None
    assert f"{SECOND}.new" in disk.contents()
    disk.calls.clear()
    writer.begin_segment(ledger, ledger.segments[-1].size)
    name = f"{SECOND}.new".rpartition("/")[2]
    assert disk.calls[:2] == [f"unlink {name}", f"create {name}"]


def test_a_journal_is_not_begun_where_there_is_one(disk: SimulatedDisk) -> None:
    disk.put(f"{DIRECTORY}/0000000000000007.segment", b"somebody's")
    writer = SegmentWriter(place_on(disk), OpenFiles(10), 600)
    before = disk.contents()
    with pytest.raises(JournalError, match="is there already"):
        writer.begin_first_segment(Ledger())
    assert disk.contents() == before


@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT])
def test_a_file_is_as_before_after_a_write_that_failed_on_a_full_disk(
    disk: SimulatedDisk, error: int, short: bool
) -> None:
    writer, ledger = writer_on(disk)
    last = ledger.segments[-1]
    writer.append(last, b"good")
    before, size = disk.contents(), last.size
    disk.fault = Fault(1, error, WRITE, lasting=True, short=short)
    with pytest.raises(OSError, match=r"space|quota") as refusal:
        writer.append(last, b"half of this" * 9)
    assert not isinstance(refusal.value, FileSpoiledError)
    disk.fault = None
    assert disk.contents() == before
    assert last.size == size
    writer.append(last, b"more")
    sync(writer, ledger)
    assert disk.after_power_cut().contents()[FIRST].endswith(b"goodmore")


@pytest.mark.parametrize("calls", [WRITE, WRITE | {"truncate"}, WRITE | {"sync"}])
def test_a_file_is_spoiled_by_other_failures_or_if_it_cannot_be_cut_back(
    disk: SimulatedDisk, calls: frozenset[str]
) -> None:
    writer, ledger = writer_on(disk)
    last = ledger.segments[-1]
    error = errno.EIO if calls == WRITE else errno.ENOSPC
    disk.fault = Fault(1, error, calls, lasting=True, short=True)
    with pytest.raises(FileSpoiledError):
        writer.append(last, b"half of this" * 9)


def test_half_of_what_was_refused_is_not_there_after_a_power_cut(disk: SimulatedDisk) -> None:
    writer, ledger = writer_on(disk)
    last = ledger.segments[-1]
    writer.append(last, b"good")
    sync(writer, ledger)
    safe = disk.after_power_cut().contents()
    disk.fault = Fault(1, errno.ENOSPC, WRITE, lasting=True, short=True)
    with pytest.raises(OSError, match="space"):
        writer.append(last, b"half of this" * 9)
    assert disk.after_power_cut().contents()[FIRST] == safe[FIRST] == disk.contents()[FIRST]


def with_a_sync_under_way(disk: SimulatedDisk) -> tuple[SegmentWriter, Ledger, Syncing]:
    """Return a writer that has begun a segment, and the sync that is to give it its name."""
    writer, ledger = writer_on(disk)
    sync(writer, ledger)
    writer.begin_segment(ledger, ledger.segments[-1].size)
    work = writer.begin_sync(ledger.segments[-1])
    assert work is not None
    return writer, ledger, work


def expect_refused(
    writer: SegmentWriter, ledger: Ledger, disk: SimulatedDisk, calls: frozenset[str]
) -> None:
    """Let a write take half of its bytes on a full disk, and let such calls fail from then on."""
    disk.fault = Fault(1, errno.ENOSPC, calls, lasting=True, short=True)
    with pytest.raises(OSError, match=r"space|cut off"):
        writer.append(ledger.segments[-1], b"half of this" * 9)
    disk.fault = None


def test_a_segment_spoiled_while_it_was_synced_does_not_get_its_name(
    disk: SimulatedDisk,
) -> None:
    writer, ledger, work = with_a_sync_under_way(disk)
    expect_refused(writer, ledger, disk, WRITE | {"sync"})
    # The error was told to who cut the file back; the sync under way hears of success.
    with pytest.raises(OSError, match="cut off"):
        work.run()
    assert SECOND not in disk.contents()


def test_a_sync_under_way_goes_on_where_a_file_could_be_cut_back(disk: SimulatedDisk) -> None:
    writer, ledger, work = with_a_sync_under_way(disk)
    expect_refused(writer, ledger, disk, WRITE)
    work.run()
    assert SECOND in disk.after_power_cut().contents()


def test_a_sync_gives_a_segment_its_name_only_after_the_end_of_a_cut(
    disk: SimulatedDisk,
) -> None:
    writer, ledger, work = with_a_sync_under_way(disk)
    outcome: list[OSError] = []

    def run() -> None:
        try:
            work.run()
        except OSError as error:
            outcome.append(error)

    thread = threading.Thread(target=run)

    def when_it_is_cut() -> None:
        if disk.calls[-1].startswith("truncate"):
            disk.after_call = None
            before = len(disk.calls)
            thread.start()
            while thread.is_alive() and not any("sync" in each for each in disk.calls[before:]):
                thread.join(0.001)
            disk.fault = Fault(1, errno.EIO, frozenset({"sync"}))

    disk.after_call = when_it_is_cut
    expect_refused(writer, ledger, disk, WRITE)
    thread.join(10)
    assert len(outcome) == 1
    assert SECOND not in disk.contents()


def test_a_write_that_takes_only_some_bytes_is_gone_on_with() -> None:
    class Slow(Files):
        def __init__(self) -> None:
            self.taken = b""

        def write(self, descriptor: int, data: bytes) -> int:
            self.taken += data[:3]
            return min(3, len(data))

    slow = Slow()
    slow.write_all(1, b"all of this")
    assert slow.taken == b"all of this"


def test_there_is_nothing_to_sync_before_and_after_everything_is(disk: SimulatedDisk) -> None:
    writer, ledger = writer_on(disk)
    last = ledger.segments[-1]
    assert writer.begin_sync(last) is not None
    writer.append(last, b"x")
    sync(writer, ledger)
    assert writer.idle
    writer.close()
    assert writer.begin_sync(last) is None
    assert disk.open_descriptors == 0
    writer.append(last, b"opened again")
    assert not writer.idle
    assert disk.contents()[FIRST].endswith(b"xopened again")


def is_due(writer: SegmentWriter, ledger: Ledger) -> bool:
    """Tell whether the next segment is to be begun."""
    return ledger.segments[-1].size >= writer.full_at


def test_a_segment_is_due_when_the_one_before_is_full_and_has_its_name(
    disk: SimulatedDisk,
) -> None:
    writer, ledger = writer_on(disk)
    writer.append(ledger.segments[-1], bytes(600))
    assert not is_due(writer, ledger), "it has no name"
    sync(writer, ledger)
    assert is_due(writer, ledger)
    writer.put_off(ledger.segments[-1].size)
    assert not is_due(writer, ledger)
    writer.append(ledger.segments[-1], bytes(150))
    assert is_due(writer, ledger)


def step_write(writer: SegmentWriter, ledger: Ledger) -> None:
    writer.append(ledger.segments[-1], record.bare(record.FLUSH, 0, SALT))


def step_begin(writer: SegmentWriter, ledger: Ledger) -> None:
    writer.begin_segment(ledger, ledger.segments[-1].size)


def test_a_power_cut_never_leaves_half_a_segment_with_its_name() -> None:
    steps: list[Callable[[SegmentWriter, Ledger], None]] = [
        step_write, sync, step_begin, step_write, step_write, sync, step_write, step_begin, sync,
    ]  # fmt: skip
    disk = SimulatedDisk.holding({"/spool/": b""})

    def check() -> None:
        for path, data in disk.after_power_cut().contents().items():
            if path.endswith(".segment"):
                _, start = segment.decode(memoryview(data))
                found = next(record.walk(memoryview(data), start, SALT))
                assert found[0] == record.CHECKPOINT
                read = checkpoint.decode(memoryview(data[start + record.HEADER_SIZE : found[3]]))
                assert read is not None

    disk.after_call = check
    writer, ledger = writer_on(disk)
    for step in steps:
        step(writer, ledger)


def test_a_closed_file_was_synced_before_and_the_next_sync_tells_its_error(
    disk: SimulatedDisk,
) -> None:
    writer, ledger = writer_on(disk)
    last = ledger.segments[-1]
    writer.append(last, b"x")
    assert writer.evict()
    assert disk.open_descriptors == 0
    work = writer.begin_sync(last)
    assert work is not None, "its name is still to be made safe"
    work.run()
    writer.end_sync(last, work, unchanged=True)
    assert disk.after_power_cut().contents()[FIRST].endswith(b"x")

    writer.append(last, b"y")
    disk.fault = Fault(1, errno.EIO, frozenset({"sync"}))
    assert writer.evict()
    disk.fault = None
    work = writer.begin_sync(last)
    assert work is not None
    with pytest.raises(OSError, match="Input/output"):
        work.run()


def test_files_are_not_closed_while_a_sync_of_them_is_under_way(disk: SimulatedDisk) -> None:
    writer, ledger = writer_on(disk)
    last = ledger.segments[-1]
    work = writer.begin_sync(last)
    assert work is not None
    assert not writer.evict()
    assert not writer.idle
    work.run()
    writer.end_sync(last, work, unchanged=True)
    assert writer.evict()


def test_a_sync_covers_what_came_during_the_last_though_a_segment_began(
    disk: SimulatedDisk,
) -> None:
    writer, ledger = writer_on(disk)
    sync(writer, ledger)
    first = ledger.segments[-1]
    writer.append(first, b"before")
    work = writer.begin_sync(first)
    assert work is not None
    work.run()
    writer.append(first, b"meanwhile")
    writer.begin_segment(ledger, first.size)
    writer.end_sync(ledger.segments[-1], work, unchanged=False)
    last = ledger.segments[-1]
    writer.append(last, b"last")
    work = writer.begin_sync(last)
    assert work is not None
    work.run()
    writer.end_sync(last, work, unchanged=True)
    left = disk.after_power_cut().contents()
    assert left[FIRST].endswith(b"beforemeanwhile")
    assert left[SECOND].endswith(b"last")
    assert disk.open_descriptors == 1
