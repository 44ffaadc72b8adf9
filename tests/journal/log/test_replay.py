"""A start that finds a log: each operation finds its own file, or none."""

import errno

import pytest

from starling_py.journal.errors import SpoolError
from starling_py.journal.log import batch, replay
from starling_py.journal.log.batch import Written
from tests.journal.log.test_log import LOGS, QUEUES, begun, put_everywhere
from tests.journal.simulated_disk import Fault, ProcessKilled, SimulatedDisk
from tests.journal.spool_harness import SPOOL, Harness, empty_disk, segments_of

SEGMENT = f"{SPOOL}/q00/0000000000000001.segment"


def cut_off(disk: SimulatedDisk) -> SimulatedDisk:
    """Return the disk after a power cut that took all that was not synced."""
    return disk.after_power_cut()


def left_by_a_power_cut(queues: int = 3) -> SimulatedDisk:
    """Return a disk on which the log alone has the third item of some queues."""
    disk = empty_disk()
    harness = begun(disk, queues=QUEUES[:queues])
    put_everywhere(harness, b"third", QUEUES[:queues])
    return cut_off(disk)


def test_a_start_writes_into_the_segments_what_the_log_tells() -> None:
    disk = left_by_a_power_cut()
    before = disk.contents()
    harness = Harness(disk)
    assert harness.datas(QUEUES[0]) == [b"first", b"first", b"third"]
    assert len(disk.contents()[SEGMENT]) > len(before[SEGMENT])
    assert not set(LOGS) & set(disk.contents())


def test_a_start_that_dies_after_any_call_loses_nothing() -> None:
    for calls in range(200):
        disk = left_by_a_power_cut()
        disk.kill_process_after(calls)
        try:
            Harness(disk)
        except ProcessKilled:
            died = True
        else:
            died = False
        again = Harness(cut_off(disk.for_next_process()))
        for name in QUEUES[:3]:
            assert again.datas(name) == [b"first", b"first", b"third"], calls
        if not died:
            return
    pytest.fail("the start does not end")


def test_a_queue_deleted_and_made_anew_gets_nothing_of_the_old_one() -> None:
    disk = empty_disk()
    harness = begun(disk, queues=QUEUES[:3])
    for _ in range(5):
        put_everywhere(harness, b"old", QUEUES[:3])
    harness.queues.delete(QUEUES[0])
    harness.commit()
    put_everywhere(harness, b"new", QUEUES[:1])
    again = Harness(disk.after_process_death())
    assert again.datas(QUEUES[0]) == [b"new"]
    assert again.datas(QUEUES[1])[-1] == b"old"


def test_a_log_that_goes_on_behind_a_gap_costs_its_queue_alone() -> None:
    disk = left_by_a_power_cut()
    content = disk.contents()[SEGMENT]
    disk.put(SEGMENT, content[:-5])
    harness = Harness(disk, refuses=True)
    assert list(harness.spool.refused) == ["q00"]
    assert "the log tells of what follows from byte" in harness.spool.refused["q00"]
    assert harness.datas(QUEUES[1]) == [b"first", b"first", b"third"]
    assert set(LOGS) <= set(disk.contents()), "it is still needed"
    disk.put(SEGMENT, content)
    found = harness.spool.recover_refused("q00")
    assert found is not None
    assert found[0].ledger.items == 3


def test_of_an_older_segment_the_end_may_be_missing() -> None:
    disk = empty_disk()
    harness = Harness(disk, segment_size=100)
    harness.put_all([b"a" * 300] * 4)
    harness.close()
    first = min(segments_of(disk))
    content = disk.contents()[first]
    salt = int.from_bytes(content[16:20], "little")
    told = Written("jobs", salt, 1, len(content) + 10, (b"not needed",), 10)
    disk.put(LOGS[0], batch.header(5) + batch.encode(1, 5, [told]))
    assert len(segments_of(disk)) > 1
    assert len(Harness(disk).datas()) == 4
    assert disk.contents()[first] == content


@pytest.mark.parametrize("quarantine", [False, True])
def test_damage_in_the_middle_of_the_log_is_refused_or_given_up(quarantine: bool) -> None:
    disk = empty_disk()
    harness = begun(disk, queues=QUEUES[:2])
    for number in range(3):
        put_everywhere(harness, b"%d" % number, QUEUES[:2])
    left = cut_off(disk)
    path = next(path for path in LOGS if batch.MARK in left.contents()[path])
    content = bytearray(left.contents()[path])
    content[batch.HEADER_SIZE + 30] ^= 1
    left.put(path, bytes(content))
    if quarantine:
        assert Harness(left, quarantine=True, refuses=True).items(QUEUES[0]) is not None
        return
    before = left.contents()
    with pytest.raises(SpoolError, match="a sound batch follows at byte"):
        Harness(left)
    after = left.contents()
    assert {**before, **after, f"{SPOOL}/.reserve": b""} == before, "nothing was changed"


def test_a_disk_that_fails_while_the_log_is_written_back_loses_nothing() -> None:
    for nth in range(1, 60):
        disk = left_by_a_power_cut()
        disk.fault = fault = Fault(nth, errno.EIO)
        try:
            Harness(disk, refuses=True)
        except SpoolError:
            assert fault.struck
        again = Harness(cut_off(disk.for_next_process()))
        for name in QUEUES[:3]:
            assert again.datas(name) == [b"first", b"first", b"third"], nth


def test_what_is_no_segment_of_the_journal_is_left_alone() -> None:
    disk = left_by_a_power_cut()
    found = replay.read(disk, SPOOL, [path.rpartition("/")[2] for path in LOGS])
    other = b"not a segment at all" * 20
    disk.put(SEGMENT, other)
    found.apply(disk, SPOOL, "q00")
    assert disk.contents()[SEGMENT] == other
