"""Starts of spools with many queues: what is synced before anything of it is handed out."""

import errno
from pathlib import Path

from starling_py.journal.disk.files import Files
from starling_py.journal.spool import MANY
from tests.journal.simulated_disk import Fault, SimulatedDisk
from tests.journal.spool_harness import Harness, empty_disk

QUEUES = [b"q%03d" % number for number in range(MANY + 6)]


def left_by_a_dead_process(*, queues: int = len(QUEUES)) -> SimulatedDisk:
    """Return a disk on which each queue has two items, the second of them not synced."""
    disk = empty_disk()
    harness = Harness(disk, interval=1000.0, segment_size=1 << 20)
    for data in (b"safe", b"not safe"):
        for name in QUEUES[:queues]:
            harness.put(data, name)
        harness.commit()
        if data == b"safe":
            harness.commits.sync_everything()
    return disk.after_process_death()


def expect_all_after_a_power_cut(disk: SimulatedDisk) -> None:
    """Check that what a start has read outlasts a power cut."""
    again = Harness(disk.after_power_cut())
    for name in QUEUES:
        assert again.datas(name) == [b"safe", b"not safe"]


def test_a_start_with_many_queues_syncs_them_with_one_call() -> None:
    disk = left_by_a_dead_process()
    del disk.calls[:]
    Harness(disk, interval=1000.0)
    syncs = [call for call in disk.calls if call.startswith("sync ")]
    assert not syncs
    assert sum(call.startswith("sync_file_system") for call in disk.calls) == 1
    expect_all_after_a_power_cut(disk)


def test_a_start_with_few_queues_syncs_each_by_itself() -> None:
    disk = left_by_a_dead_process(queues=3)
    del disk.calls[:]
    Harness(disk, interval=1000.0)
    assert not any(call.startswith("sync_file_system") for call in disk.calls)
    assert sum(call.startswith("sync ") for call in disk.calls) == 3


def test_where_that_call_fails_each_queue_is_synced_by_itself() -> None:
    disk = left_by_a_dead_process()
    disk.fault = Fault(1, errno.EIO, frozenset({"sync_file_system"}))
    Harness(disk, interval=1000.0)
    assert disk.fault.struck
    expect_all_after_a_power_cut(disk)


def test_under_never_a_start_syncs_nothing() -> None:
    disk = left_by_a_dead_process()
    del disk.calls[:]
    Harness(disk, interval=None)
    assert not any(call.startswith("sync") for call in disk.calls)


def test_what_a_start_repairs_after_that_call_is_safe_as_well() -> None:
    disk = left_by_a_dead_process()
    for name in QUEUES[:2]:
        path = f"/spool/{name.decode()}/0000000000000001.segment"
        disk.put(path, disk.contents()[path] + b"torn")
    harness = Harness(disk, interval=1000.0)
    harness.commits.sync_everything()
    expect_all_after_a_power_cut(disk)


def test_a_real_file_system_is_synced_or_says_that_it_cannot(tmp_path: Path) -> None:
    assert Files().sync_file_system(str(tmp_path)) in (True, False)


class MountedDisk(SimulatedDisk):
    """A disk on which the directory of one queue is a mount point."""

    def identity(self, path: str) -> tuple[int, int]:
        device, file = super().identity(path)
        return (2 if "/q007" in path else device), file

    def sync_file_system(self, path: str) -> bool:
        self._call("sync_file_system", path)
        return True


def test_a_queue_on_a_file_system_of_its_own_is_synced_by_itself() -> None:
    disk = MountedDisk()
    disk.put("/spool/")
    harness = Harness(disk, interval=1000.0, segment_size=1 << 20)
    for name in QUEUES:
        harness.put(b"1", name)
    harness.commit()
    del disk.calls[:]
    harness.commits.sync_everything()
    assert sum(call.startswith("sync ") for call in disk.calls) == 1
    assert "sync_directory q007" in disk.calls
    again = disk.after_process_death()
    del again.calls[:]
    Harness(again, interval=1000.0)
    assert sum(call.startswith("sync ") for call in again.calls) == 1
