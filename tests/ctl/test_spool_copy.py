"""A copy of a spool is whole under its name, or not there, and nothing is written over."""

import os
from pathlib import Path

import pytest

from starling_py.ctl import spool_copy
from starling_py.ctl.errors import CtlError, UsageError
from starling_py.journal.disk.files import Files
from starling_py.journal.disk.spool_lock import RESTORED, SpoolLock
from starling_py.journal.errors import SpoolError
from tests.core import CoreHarness


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """Return what looks like a backup of two queues."""
    made = tmp_path / "backup"
    for name in ("jobs", "mail"):
        (made / name).mkdir(parents=True)
        (made / name / "0000000000000001.segment").write_bytes(name.encode() * 100)
    (made / ".ids").write_bytes(b"ids")
    (made / ".lock").touch()
    (made / "jobs" / "0000000000000001.segment").chmod(0o640)
    return made


def told(path: Path) -> dict[str, bytes]:
    files = [each for each in path.rglob("*") if each.is_file() and each.name != ".lock"]
    return {str(each.relative_to(path)): each.read_bytes() for each in files}


def nothing(_: int) -> None:
    """Count nothing."""


def test_a_backup_has_every_byte_and_the_modes(backup: Path, tmp_path: Path) -> None:
    counted: list[int] = []
    target = tmp_path / "copy"
    target.mkdir()  # an empty one may be there
    spool_copy.back_up(backup, target, counted.append)
    assert told(target) == told(backup)
    assert spool_copy.sizes(target) == spool_copy.sizes(backup) == (2, sum(counted))
    assert (target / "jobs/0000000000000001.segment").stat().st_mode & 0o777 == 0o640


def test_a_backup_that_fails_leaves_nothing(backup: Path, tmp_path: Path) -> None:
    os.mkfifo(backup / "jobs/pipe")
    with pytest.raises(CtlError, match="pipe: neither a file nor a directory"):
        spool_copy.back_up(backup, tmp_path / "copy", nothing)
    assert [each.name for each in tmp_path.iterdir()] == ["backup"]


def test_a_backup_never_follows_a_link(backup: Path, tmp_path: Path) -> None:
    (backup / "jobs/link").symlink_to("/etc/passwd")
    with pytest.raises(CtlError, match="link: neither a file nor a directory"):
        spool_copy.back_up(backup, tmp_path / "copy", nothing)


def test_a_restore_fills_a_spool_that_is_new_or_empty(backup: Path, tmp_path: Path) -> None:
    for name in ("new", "empty"):
        spool = tmp_path / name
        if name == "empty":
            spool.mkdir()
            for own in (".lock", ".ids", ".reserve"):
                (spool / own).touch()
        spool_copy.restore(backup, spool, nothing)
        assert told(spool).items() >= told(backup).items()
        assert not any(each.name.startswith(".rest") for each in spool.iterdir())


@pytest.mark.parametrize("name", ["jobs", ".log.1", "notes.txt"])
def test_a_spool_that_is_not_empty_is_left_alone(backup: Path, tmp_path: Path, name: str) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    (spool / name).touch()
    with pytest.raises(UsageError, match="not empty"):
        spool_copy.restore(backup, spool, nothing)
    assert {each.name for each in spool.iterdir()} == {name, ".lock"}


def test_nothing_is_restored_into_a_spool_that_is_in_use(backup: Path, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    lock = SpoolLock(Files(), str(spool))
    try:
        with pytest.raises(UsageError, match="a server is using this spool; stop it first"):
            spool_copy.restore(backup, spool, nothing)
        with pytest.raises(UsageError, match="a server is using this; make a backup"):
            spool_copy.look_like_a_spool(spool)
    finally:
        lock.close()


def test_no_server_can_begin_while_a_restore_is_under_way(backup: Path, tmp_path: Path) -> None:
    spool = tmp_path / "spool"

    def begin(_: int) -> None:
        with pytest.raises(BlockingIOError):
            SpoolLock(Files(), str(spool))

    spool_copy.restore(backup, spool, begin)


def test_a_restore_that_was_killed_is_done_by_the_same_command(
    backup: Path, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    (spool / spool_copy.STAGING / "half").mkdir(parents=True)
    spool_copy.restore(backup, spool, nothing)
    # Killed between two moves: the first queue is in its place, the rest is not.
    (spool / RESTORED).mkdir()
    (spool / "mail").rename(spool / RESTORED / "mail")
    with pytest.raises(SpoolError, match="a restore was killed here; give its command again"):
        CoreHarness(spool)
    spool_copy.restore(backup, spool, nothing)
    assert told(spool) == told(backup)


def test_what_is_no_backup_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="this is no backup of a spool"):
        spool_copy.look_like_a_spool(tmp_path)
    with pytest.raises(UsageError, match="No such file or directory"):
        spool_copy.look_like_a_spool(tmp_path / "nosuch")


def test_a_backup_is_not_restored_into_a_spool_around_it(backup: Path) -> None:
    with pytest.raises(UsageError, match=" is in "):
        spool_copy.restore(backup, backup.parent, nothing)
