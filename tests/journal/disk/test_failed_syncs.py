"""A segment whose sync failed, and a process that died before it was healed: who reads on is safe.

The system may have dropped what it could not write, and shows it all the same; a later sync of the
file reports success and makes nothing safe.
"""

import errno
from collections.abc import Callable
from itertools import count
from random import Random

import pytest

from starling_py.journal.disk.open_files import OpenFiles
from starling_py.journal.errors import FileSpoiledError, JournalDamagedError, SpoolError
from starling_py.journal.format import segment
from starling_py.journal.ledger import Ledger
from starling_py.journal.recovery.recovery import recover
from starling_py.journal.segment_writer import SegmentWriter
from starling_py.queues.queue_directory import Rules
from tests.journal.parts import heal, is_broken, journal_of, place_on, sync_all
from tests.journal.simulated_disk import CHANGES, Fault, ProcessKilled, SimulatedDisk
from tests.journal.spool_harness import (
    DIRECTORY,
    NAME,
    Harness,
    Items,
    empty_disk,
    read_back,
)

SYNC = frozenset({"sync"})
SIZE = 400
"""Bytes of a segment, unless its beginning needs more."""
FIRST = f"{DIRECTORY}/{segment.file_name(1)}"
SECOND = f"{DIRECTORY}/{segment.file_name(2)}"


def marks(disk: SimulatedDisk) -> list[str]:
    """Return the marks on a disk."""
    return [path for path in disk.contents() if path.endswith(".distrusted")]


def due(harness: Harness) -> None:
    """Let the time of the next sync come, and let that happen."""
    harness.clock.monotonic += 3600
    harness.commits.sync_if_due()
    sync_all(harness)


def fails(harness: Harness, disk: SimulatedDisk, nth: int = 1) -> None:
    """Let a sync fail, the ``nth`` of what is synced together."""
    disk.fault = Fault(nth, errno.EIO, SYNC)
    due(harness)
    assert disk.fault.struck
    disk.fault = None
    assert is_broken(harness)


def in_the_last_segment(disk: SimulatedDisk) -> Harness:
    harness = Harness(disk, interval=3600, deferred=True)
    harness.put_all([b"a", b"b"])
    due(harness)
    harness.put_all([b"c"])
    harness.pop_all(1)
    fails(harness, disk)
    return harness


def in_the_first_segment(disk: SimulatedDisk) -> Harness:
    harness = Harness(disk, interval=3600, deferred=True)
    harness.put_all([b"a", b"b"])
    fails(harness, disk)
    return harness


def _two_segments(disk: SimulatedDisk) -> Harness:
    """Return a server that has begun a segment, and neither that nor the one before is synced."""
    harness = Harness(disk, interval=3600, deferred=True, segment_size=SIZE)
    harness.put_all([b"a" * 200])
    due(harness)
    harness.put_all([b"b" * 500, b"c" * 30])
    harness.pop_all(1)
    assert [each.path for each in journal_of(harness).ledger.segments] == [FIRST, f"{SECOND}.new"]
    return harness


def in_the_segment_before(disk: SimulatedDisk) -> Harness:
    harness = _two_segments(disk)
    fails(harness, disk)
    return harness


def in_the_segment_begun(disk: SimulatedDisk) -> Harness:
    harness = _two_segments(disk)
    fails(harness, disk, nth=2)
    return harness


Failing = Callable[[SimulatedDisk], Harness]
FAILING = [
    in_the_last_segment,
    in_the_first_segment,
    in_the_segment_before,
    in_the_segment_begun,
]


def died(failing: Failing) -> tuple[SimulatedDisk, Items | None]:
    """Return what a process left that died after a sync failed, and what it had served."""
    disk = empty_disk()
    served = failing(disk).items()
    return disk.for_next_process(), served


def started(disk: SimulatedDisk) -> Items | None:
    """Start a server, and return what it serves."""
    return Harness(disk, interval=3600).items()


@pytest.mark.parametrize("failing", FAILING)
def test_what_is_served_after_a_failed_sync_and_death_survives_a_power_cut(
    failing: Failing,
) -> None:
    disk, served = died(failing)
    assert started(disk) == served
    assert started(disk.after_power_cut()) == served
    assert not marks(disk)


@pytest.mark.parametrize("failing", FAILING)
def test_a_start_on_a_distrusted_segment_may_die_anywhere_without_loss(
    failing: Failing,
) -> None:
    for calls in count():
        disk, served = died(failing)
        disk.kill_process_after(calls)
        try:
            started(disk)
        except ProcessKilled:
            pass
        else:
            break
        cuts = [disk.after_power_cut(Random(seed) if seed else None) for seed in range(5)]
        for cut in cuts:
            found = started(cut)  # what was never safe may be gone, but then for good
            assert started(cut.after_power_cut()) == found, f"call {calls}"
        disk = disk.for_next_process()
        assert started(disk) == served, f"call {calls}"
        assert started(disk.after_power_cut()) == served, f"call {calls}"
        assert not marks(disk)
    assert calls > 15


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("failing", FAILING)
def test_a_distrusted_segment_is_served_or_refused_whichever_call_fails(
    failing: Failing, error: int
) -> None:
    for nth in count(1):
        disk, served = died(failing)
        fault = disk.fault = Fault(nth, error, CHANGES | {"read", "read_at", "open", "close"})
        try:
            read_back(disk)
        except OSError:
            assert fault.struck
        disk = disk.for_next_process()
        assert started(disk) == served, f"call {nth}"
        assert started(disk.after_power_cut()) == served, f"call {nth}"
        if not fault.struck:
            break
    assert nth > 10


@pytest.mark.parametrize("failing", FAILING)
def test_what_the_system_drops_amid_a_start_is_not_served_and_lost_later(
    failing: Failing,
) -> None:
    dropped = set()
    for calls in count():
        for seed in range(4):
            disk, served = died(failing)
            left = calls

            def drop(disk: SimulatedDisk = disk, seed: int = seed) -> None:
                nonlocal left
                if left == 0:
                    disk.forget_failed_syncs(Random(seed))
                left -= 1

            disk.before_call = drop
            found = started(disk)
            dropped.add(found != served)
            disk.before_call = None
            assert started(disk.after_power_cut()) == found, f"call {calls}, drop {seed}"
        if left > 0:
            break
    assert dropped == {True, False}


@pytest.mark.parametrize("failing", FAILING)
def test_a_mark_goes_when_its_journal_is_healed(failing: Failing) -> None:
    disk = empty_disk()
    harness = failing(disk)
    served = harness.items()
    assert len(marks(disk)) == 1
    heal(harness)
    assert harness.items() == served
    assert not marks(disk)


@pytest.mark.parametrize("call", ["create", "close"])
def test_a_mark_that_cannot_be_made_changes_nothing(
    disk: SimulatedDisk, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    harness = Harness(disk, interval=3600, deferred=True)
    harness.put_all([b"a", b"b"])
    disk.fault = Fault(1, errno.EIO, frozenset({"sync", call}), lasting=True)
    due(harness)
    disk.fault = None
    assert is_broken(harness)
    assert "cannot be marked" in caplog.text
    heal(harness)
    assert harness.datas() == [b"a", b"b"]
    assert Harness(disk.after_power_cut()).datas() == [b"a", b"b"]


def test_a_mark_without_its_segment_is_removed() -> None:
    harness = Harness(disk := empty_disk())
    harness.put_all([b"a"])
    disk.put(f"{DIRECTORY}/{segment.file_name(7)}.distrusted")
    disk.put(f"/spool/other/{segment.file_name(1)}.distrusted")
    again = Harness(disk.after_process_death())
    assert again.datas() == [b"a"]
    assert not marks(disk)
    assert "/spool/other/" not in disk.contents()


def test_a_start_whose_own_sync_fails_distrusts_the_segment_as_well() -> None:
    harness = Harness(disk := empty_disk(), interval=3600, deferred=True)
    harness.put_all([b"a"])
    disk = disk.for_next_process()
    disk.fault = Fault(1, errno.EIO, SYNC)
    with pytest.raises(SpoolError):
        started(disk)
    assert marks(disk) == [f"{FIRST}.distrusted"]
    disk = disk.for_next_process()
    found = started(disk)
    assert found == ((1, b"a", 0),)
    assert started(disk.after_power_cut()) == found


@pytest.mark.parametrize("calls", [("create",), ("create", "close"), ("close",)])
def test_a_queue_whose_failed_sync_has_no_note_is_copied_by_a_reload(
    calls: tuple[str, ...],
) -> None:
    harness = Harness(disk := empty_disk(), interval=3600, deferred=True)
    harness.put_all([b"a"])
    disk = disk.for_next_process()
    disk.fault = Fault(1, errno.EIO, frozenset({"sync", *calls}), lasting=True)
    harness = Harness(disk, refuses=True)
    harness.queues.reload(Rules())
    assert harness.queues.directory.refused == 1
    disk.fault = None
    harness.queues.reload(Rules())
    harness.put_all([b"b"])
    assert harness.datas() == [b"a", b"b"]
    assert not marks(disk)
    disk = disk.for_next_process()
    disk.forget_failed_syncs(Random(1))
    assert Harness(disk).datas() == [b"a", b"b"]


def test_a_start_that_is_refused_leaves_every_byte_of_a_distrusted_segment() -> None:
    disk, _ = died(in_the_last_segment)
    damaged = bytearray(disk.contents()[FIRST])
    damaged[len(damaged) // 2] ^= 1
    descriptor = disk.open(FIRST)
    disk.truncate(descriptor, 0)
    disk.write(descriptor, bytes(damaged))
    disk.close(descriptor)
    for _ in range(2):
        with pytest.raises(JournalDamagedError):
            read_back(disk)
        assert disk.contents(DIRECTORY) == {FIRST: bytes(damaged)}
        disk = disk.after_power_cut()


def test_a_torn_tail_of_a_distrusted_segment_is_kept_aside_and_cut_off() -> None:
    disk, _ = died(in_the_last_segment)
    descriptor = disk.open(FIRST)
    disk.write(descriptor, b"half a record")
    disk.close(descriptor)
    found = started(disk)
    assert found == ((2, b"b", 0), (3, b"c", 0))
    assert started(disk.after_power_cut()) == found
    (aside,) = (path for path in disk.contents() if ".torn-" in path)
    assert disk.contents()[aside] == b"half a record"


def test_under_never_a_distrusted_segment_is_written_anew_as_well() -> None:
    disk, _ = died(in_the_last_segment)
    state = recover(disk, DIRECTORY, syncs=False)
    assert state is not None
    assert state.queue == NAME
    assert not marks(disk)


def writer_on(disk: SimulatedDisk) -> tuple[SegmentWriter, Ledger]:
    """Return a writer that has begun a journal."""
    writer = SegmentWriter(place_on(disk), OpenFiles(10), 600)
    ledger = Ledger(deleted=True)
    writer.begin_first_segment(ledger)
    return writer, ledger


def test_a_segment_whose_sync_failed_on_closing_is_distrusted(
    disk: SimulatedDisk,
) -> None:
    writer, ledger = writer_on(disk)
    writer.append(ledger.segments[-1], b"x")
    disk.fault = Fault(1, errno.EIO, SYNC)
    assert writer.evict()
    assert marks(disk) == [f"{FIRST}.distrusted"]


def test_a_segment_is_distrusted_whose_sync_failed_after_it_was_cut_back(
    disk: SimulatedDisk,
) -> None:
    writer, ledger = writer_on(disk)
    disk.fault = Fault(1, errno.ENOSPC, frozenset({"write", "sync"}), lasting=True, short=True)
    with pytest.raises(FileSpoiledError):
        writer.append(ledger.segments[-1], b"half of this" * 9)
    assert marks(disk) == [f"{FIRST}.distrusted"]


def test_a_segment_that_was_opened_again_is_distrusted_by_its_own_name(
    disk: SimulatedDisk,
) -> None:
    writer, ledger = writer_on(disk)
    last = ledger.segments[-1]
    work = writer.begin_sync(last)
    assert work is not None
    work.run()
    writer.end_sync(last, work, unchanged=True)
    writer.close()
    writer.append(last, b"x")
    disk.fault = Fault(1, errno.EIO, SYNC)
    work = writer.begin_sync(last)
    assert work is not None
    with pytest.raises(OSError, match="Input/output"):
        work.run()
    assert marks(disk) == [f"{FIRST}.distrusted"]
