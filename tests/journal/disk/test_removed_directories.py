"""Directories of deleted queues go, whatever stands in the way of one file or of a renaming."""

import errno
import os
from random import Random

import pytest

from starling_py.journal.disk.removed_directories import REMOVED
from tests.journal.simulated_disk import ProcessKilled, SimulatedDisk
from tests.journal.spool_harness import DIRECTORY, NAME, SPOOL, Harness


class Mounted(SimulatedDisk):
    """A disk on which the directory of the queue ``jobs`` is a mount point."""

    error = errno.EBUSY

    def rename(self, old: str, new: str) -> None:
        if old == DIRECTORY:
            raise OSError(self.error, os.strerror(self.error), old)
        super().rename(old, new)


def deleting(disk: SimulatedDisk) -> Harness:
    """Return a server with a queue of five segments, which has deleted another one."""
    harness = Harness(disk, segment_size=100)
    harness.put_all([b"x"], b"first")
    harness.queues.delete(b"first")
    harness.commit()
    harness.put_all([b"x" * 60] * 5)
    return harness


def delete(harness: Harness) -> None:
    """Delete the queue."""
    harness.queues.delete(NAME)
    harness.commit()


def test_one_file_that_cannot_be_removed_keeps_no_other(disk: SimulatedDisk) -> None:
    harness = deleting(disk)
    disk.put(f"{DIRECTORY}/0/a directory/")
    delete(harness)
    assert disk.contents(SPOOL).keys() == {
        f"{SPOOL}/{each}"
        for each in (".ids", ".lock", ".reserve", f"jobs{REMOVED}2/0/a directory/")
    }


@pytest.mark.parametrize("error", [errno.EBUSY, errno.EXDEV])
def test_a_directory_that_cannot_be_renamed_is_emptied(error: int) -> None:
    disk = Mounted()
    disk.error = error
    disk.put(f"{SPOOL}/")
    harness = deleting(disk)
    delete(harness)
    assert disk.list_directory(DIRECTORY) == []
    harness.put_all([b"new"])
    assert Harness(disk.after_power_cut()).datas() == [b"new"]


@pytest.mark.parametrize("power", [False, True], ids=["process killed", "power cut"])
def test_a_death_while_it_is_emptied_in_its_place_brings_nothing_back(power: bool) -> None:
    for calls in range(100):
        disk = Mounted.holding({f"{SPOOL}/": b""})
        harness = deleting(disk)
        harness.queues.delete(NAME)
        disk.kill_process_after(calls)
        died = False
        try:
            harness.commit()
        except ProcessKilled:
            died = True
        cuts = [disk.after_power_cut(Random(seed)) for seed in range(10)]
        for left in cuts if power else [disk.after_process_death()]:
            found = Harness(left).items()
            assert found is None or (died and len(found) == 5), f"call {calls}"
        if not died:
            break
    assert 8 < calls < 99
