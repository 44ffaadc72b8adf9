"""A journal whose last segments were removed by hand: that is told of, not passed over."""

import logging
from random import Random

import pytest

from starling_py.journal.errors import JournalError
from starling_py.journal.format import end_mark
from tests.journal.simulated_disk import SALT, Fault, ProcessKilled, SimulatedDisk
from tests.journal.spool_harness import DIRECTORY, NAME, Harness, empty_disk, segments_of

DATAS = [b"%d" % number + b"x" * 60 for number in range(60)]
INTERVALS = pytest.mark.parametrize("interval", [0, 0.05, None], ids=["always", "50ms", "never"])


def written(interval: float | None = 0, *, closing: bool = False) -> SimulatedDisk:
    """Return a disk with a journal of many segments.

    ``closing``: whether idle files are closed all the while.
    """
    disk = empty_disk()
    harness = Harness(disk, interval=interval, segment_size=100)
    for data in DATAS:
        harness.put_all([data])
        harness.commits.sync_if_due()
        harness.clock.monotonic += 1
        harness.commits.sync_if_due()
        if closing:
            harness.spool.open_files.close_idle(100)
    harness.close()
    return disk.after_process_death()


@INTERVALS
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("closing", [False, True])
def test_last_segments_that_are_missing_are_told_of(
    interval: float | None, count: int, closing: bool, caplog: pytest.LogCaptureFixture
) -> None:
    disk = written(interval, closing=closing)
    paths = sorted(segments_of(disk))
    assert len(paths) > 5
    for path in paths[-count:]:
        disk.unlink(path)
    before = segments_of(disk)
    harness = Harness(disk, refuses=True, interval=interval)
    assert f"{paths[-count]}: damaged at byte 0: this segment is missing" in caplog.text
    with pytest.raises(JournalError, match="this segment is missing"):
        harness.pop()
    assert segments_of(disk) == before


def test_with_quarantine_the_rest_is_served_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    disk = written()
    disk.unlink(max(segments_of(disk)))
    harness = Harness(disk, quarantine=True)
    assert any(
        each.levelno == logging.CRITICAL and "is missing" in each.getMessage()
        for each in caplog.records
    )
    found = harness.datas()
    assert found == DATAS[: len(found)]
    assert len(found) > 40
    harness.put_all([b"more"])
    again = Harness(disk.after_power_cut())
    assert again.datas() == [*found, b"more"]


def test_marks_stand_behind_every_segment_but_the_last() -> None:
    disk = written()
    contents = [disk.contents()[path] for path in segments_of(disk)]
    marks = [end_mark.decode(each[-end_mark.SIZE :], SALT) for each in contents]
    assert marks == [*range(2, len(contents) + 1), None]


def test_a_mark_that_cannot_be_written_costs_nothing_else() -> None:
    disk = empty_disk()
    harness = Harness(disk, segment_size=100)
    for data in DATAS:
        harness.put(data)
        disk.fault = Fault(2, 28, frozenset({"write"}), lasting=True)
        harness.commit()
        disk.fault = None
    found = harness.datas()
    assert Harness(disk.after_power_cut()).datas() == found


@INTERVALS
def test_no_power_cut_and_no_death_makes_a_segment_look_missing(interval: float | None) -> None:
    for calls in range(0, 600, 11):
        disk = empty_disk()
        harness = Harness(disk, interval=interval, segment_size=100)
        disk.kill_process_after(calls)
        died = False
        try:
            for data in DATAS:
                harness.put_all([data])
                harness.clock.monotonic += 1
                harness.commits.sync_if_due()
        except ProcessKilled:
            died = True
        if interval is not None:
            for seed in range(5):
                Harness(disk.after_power_cut(Random(seed)), interval=interval)
        again = Harness(disk.after_process_death(), interval=interval)
        again.put_all([b"more"], NAME)
        assert Harness(disk.after_process_death(), interval=interval).datas()[-1] == b"more"
        if not died:
            break
    assert calls > 20
    assert disk.list_directory(DIRECTORY)
