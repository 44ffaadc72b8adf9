"""A disk without room: sets are refused, removals go on, and all heals by itself.

Whoever wants to make room must take items out, so taking one may never need room that is not
there. What was answered ``STORED`` is there after a kill on the full disk, and nothing else.
"""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.mounted_disk import (
    MountedDisk,
    ServerOnDisk,
    mounted_image,
    mounted_tmpfs,
    needs,
)
from tests.process.server_process import settings_file, wait_until
from tests.process.told import Told

FREE = 2048
"""Kibibytes of a disk that are free at first."""
SMALL, LARGE = 64, 10 * 1024
"""Bytes of an item."""
QUICK = ((SMALL, "16m", "tmpfs"), (LARGE, "4k", "ext4"))
"""What every run meets; long ones meet the others."""
disks = pytest.mark.parametrize(
    ("size", "segment_size", "system"),
    [
        pytest.param(*each, marks=[needs(each[2]), *([] if each in QUICK else [pytest.mark.long])])
        for each in itertools.product((SMALL, LARGE), ("16m", "4k"), ("tmpfs", "ext4"))
    ],
)
systems = pytest.mark.parametrize(
    "system", [pytest.param(each, marks=needs(each)) for each in ("tmpfs", "ext4")]
)


@contextlib.contextmanager
def small_disk(folder: Path, system: str) -> Iterator[MountedDisk]:
    """Make a disk that is soon full."""
    if system == "tmpfs":
        with mounted_tmpfs(folder, FREE) as disk:
            yield disk
    else:
        # A full ext4 flushes its log again and again before it says so; in memory that is quick.
        memory = Path("/dev/shm")
        with mounted_image(folder, system, 8, memory if memory.is_dir() else None) as disk:
            disk.fill(leave=FREE << 10)
            yield disk


@contextlib.contextmanager
def serving(
    folder: Path, system: str, segment_size: str = "16m", sync: str = "50ms"
) -> Iterator[ServerOnDisk]:
    """Start a server whose spool is on a small disk."""
    conf = settings_file(folder, segment_size=segment_size)
    with (
        small_disk(folder, system) as disk,
        ServerOnDisk(disk, "-f", conf, "--sync", sync) as server,
    ):
        yield server


def items(server: ServerOnDisk) -> int:
    """Return how many items there are."""
    return server.stat("curr_items")


@disks
def test_on_a_full_disk_all_can_be_taken_and_none_is_back_after_a_kill(
    tmp_path: Path, system: str, size: int, segment_size: str
) -> None:
    with serving(tmp_path, system, segment_size) as server:
        told = Told(server, size)
        told.fill_to_the_last_byte()
        assert len(told.stored) > 50
        assert items(server) == len(told.stored)
        told.check_take(len(told.stored) // 2)
        assert items(server) == len(told.stored)
        server.restart()
        assert items(server) == len(told.stored)
        told.check_take_all()
        server.restart()
        told.check_take_all()
        assert items(server) == 0


@disks
def test_a_full_queue_that_is_drained_stores_again_without_a_restart(
    tmp_path: Path, system: str, size: int, segment_size: str
) -> None:
    with serving(tmp_path, system, segment_size) as server:
        told = Told(server, size)
        told.fill_to_the_last_byte()
        half = len(told.stored) // 2
        told.check_take_all()

        def there_is_as_much_room() -> bool:
            told.fill(half - len(told.stored))
            return len(told.stored) == half

        wait_until(there_is_as_much_room)
        assert items(server) == half
        server.restart()
        told.check_take_all()


@disks
def test_a_server_killed_on_a_full_disk_has_everything_and_can_be_drained(
    tmp_path: Path, system: str, size: int, segment_size: str
) -> None:
    with serving(tmp_path, system, segment_size) as server:
        told = Told(server, size)
        told.fill_to_the_last_byte()
        server.restart()
        assert items(server) == len(told.stored)
        told.check_take_all()


@systems
def test_what_is_stored_after_a_refusal_is_there_after_a_kill(tmp_path: Path, system: str) -> None:
    """A large item is refused and leaves nothing half-written in front of smaller ones."""
    with serving(tmp_path, system) as server:
        told = Told(server, LARGE)
        told.fill()
        while told.put(SMALL):
            pass
        assert not told.put()
        server.restart()
        assert items(server) == len(told.stored)
        told.check_take_all()


@disks
def test_a_disk_that_others_have_filled_takes_removals_and_heals_by_itself(
    tmp_path: Path, system: str, size: int, segment_size: str
) -> None:
    with serving(tmp_path, system, segment_size) as server:
        told = Told(server, size)
        told.fill((3 << 18) // size)
        ballast = server.disk.fill()
        told.fill_to_the_last_byte()
        third = len(told.stored) // 3
        told.check_take(third)
        assert items(server) == len(told.stored)
        server.restart()
        told.check_take(third)
        ballast.unlink()
        wait_until(told.put)
        assert items(server) == len(told.stored)
        told.check_take(len(told.stored) - 1)
        server.restart()
        told.check_take_all()


@needs("tmpfs")
@pytest.mark.parametrize("sync", ["never", "always"])
def test_every_removal_works_on_a_full_disk_under_any_policy(tmp_path: Path, sync: str) -> None:
    with serving(tmp_path, "tmpfs", "4k", sync) as server:
        told = Told(server, LARGE)
        told.fill_to_the_last_byte()
        told.check_take_all()
        wait_until(told.put)


@systems
def test_a_queue_that_finds_no_room_leaves_the_others_alone(tmp_path: Path, system: str) -> None:
    with serving(tmp_path, system, "4k") as server:
        old, other = Told(server, SMALL, b"old"), Told(server, LARGE, b"other")
        old.fill(1000)
        other.fill_to_the_last_byte()
        assert len(old.stored) == 1000
        new = sum(Told(server, LARGE, b"new%d" % number).put() for number in range(20))
        old.check_take(500)
        other.check_take_all()
        last = Told(server, LARGE, b"last")
        wait_until(last.put)
        server.restart()
        assert items(server) == 500 + new + 1
        old.check_take_all()
        last.check_take_all()


@systems
def test_a_queue_can_be_flushed_and_deleted_on_a_full_disk(tmp_path: Path, system: str) -> None:
    with serving(tmp_path, system, "4k") as server:
        flushed, deleted = Told(server, SMALL, b"flushed"), Told(server, LARGE, b"deleted")
        flushed.fill(1000)
        deleted.fill_to_the_last_byte()
        with contextlib.closing(server.client()) as client:
            assert client.raw_command(b"flush flushed") == b"END"
            assert client.delete("deleted")
        wait_until(Told(server, LARGE).put)
        server.restart()
        assert items(server) == 1
