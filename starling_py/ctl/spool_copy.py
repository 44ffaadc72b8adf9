"""Copies spools that no server is using: a snapshot to a backup, a backup into a new spool.

Invariants: a copy is whole and on the disk, or it is not there under its name; nothing that exists
is written over; what is copied is only read, and no link in it is followed.
"""

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from starling_py.ctl.errors import CtlError, UsageError
from starling_py.journal.disk.files import Files
from starling_py.journal.disk.spool_lock import RESTORED, SpoolLock

STAGING: Final = ".restoring"
"""What a restore copies into, in the spool; a server leaves it alone.

When all is in it, it is called ``RESTORED``: from then on it is only moved into its place, and no
server starts before that is done.
"""
UNFINISHED: Final = ".unfinished"
"""What the name of a backup ends in until it is whole."""
_OF_AN_EMPTY_SPOOL: Final = frozenset({".lock", ".ids", ".reserve", ".snapshots", STAGING})
_BLOCK: Final = 1 << 20

Count = Callable[[int], object]
"""Is told of bytes that were copied."""


def sizes(path: Path) -> tuple[int, int]:
    """Return how many queues there are in a spool, and the bytes of all its files."""
    queues = size = 0
    for entry in _entries(path):
        if entry.is_dir(follow_symlinks=False):
            queues += not entry.name.startswith(".")
            size += sizes(Path(entry.path))[1]
        else:
            size += entry.stat(follow_symlinks=False).st_size
    return queues, size


def look_like_a_spool(path: Path) -> None:
    """Make sure that a directory is a copy of a spool, and no spool in use.

    Raises ``UsageError``.
    """
    try:
        names = {entry.name for entry in _entries(path)}
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    if ".lock" not in names and ".ids" not in names:
        raise UsageError(f"{path}: this is no backup of a spool")
    if _is_in_use(path):
        raise UsageError(f"{path}: a server is using this; make a backup of it first")


def _is_in_use(path: Path) -> bool:
    if not (path / ".lock").is_file():
        return False
    try:
        SpoolLock(Files(), str(path)).close()
    except BlockingIOError:
        return True
    except OSError:  # as on a medium that cannot be written
        return False
    return False


def back_up(source: Path, target: Path, count: Count) -> None:
    """Copy a snapshot to a directory that is not there yet. Raises ``OSError``."""
    unfinished = target.with_name(target.name + UNFINISHED)
    if unfinished.exists():
        shutil.rmtree(unfinished)
    try:
        _copy_tree(source, unfinished, count)
        if target.exists():
            target.rmdir()  # it is empty, or this fails
        unfinished.rename(target)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    _sync(target.parent)


def restore(source: Path, spool: Path, count: Count) -> None:
    """Copy a backup into a spool that has nothing in it, and that no server is using.

    If it is killed, the same command does the rest. Raises ``UsageError`` and ``OSError``.
    """
    if source.resolve() == spool.resolve() or spool.resolve() in source.resolve().parents:
        raise UsageError(f"{source} is in {spool}")
    spool.mkdir(mode=0o750, exist_ok=True)
    try:
        lock = SpoolLock(Files(), str(spool))
    except BlockingIOError as error:
        raise UsageError(f"{spool}: a server is using this spool; stop it first") from error
    try:
        if not (spool / RESTORED).exists():
            others = {entry.name for entry in _entries(spool)} - _OF_AN_EMPTY_SPOOL
            if others:
                some = ", ".join(sorted(others)[:3])
                raise UsageError(f"{spool}: not empty; there is {some}. Restore into an empty one")
            if (spool / STAGING).exists():
                shutil.rmtree(spool / STAGING)
            _copy_tree(source, spool / STAGING, count)
            (spool / STAGING).rename(spool / RESTORED)
            _sync(spool)
        _move_into_place(spool)
    finally:
        lock.close()


def _move_into_place(spool: Path) -> None:
    """Move what is whole into the spool; what an empty spool had is replaced but for its lock."""
    for entry in sorted(_entries(spool / RESTORED), key=lambda entry: entry.name):
        if entry.name != ".lock":
            Path(entry.path).replace(spool / entry.name)
    shutil.rmtree(spool / RESTORED)
    _sync(spool)


def _copy_tree(source: Path, target: Path, count: Count) -> None:
    """Copy directories and files, with their modes and, as root, their owners; sync them."""
    target.mkdir(mode=0o750)
    for entry in _entries(source):
        new = target / entry.name
        if entry.is_dir(follow_symlinks=False):
            _copy_tree(Path(entry.path), new, count)
        elif entry.is_file(follow_symlinks=False):
            _copy_file(Path(entry.path), new, count)
        else:
            raise CtlError(f"{entry.path}: neither a file nor a directory")
    _take_after(target, source.stat())
    _sync(target)


def _copy_file(source: Path, target: Path, count: Count) -> None:
    with source.open("rb") as old, target.open("xb") as new:
        while block := old.read(_BLOCK):
            new.write(block)
            count(len(block))
        new.flush()
        os.fsync(new.fileno())
    _take_after(target, source.stat())


def _take_after(target: Path, like: os.stat_result) -> None:
    target.chmod(stat.S_IMODE(like.st_mode))
    if os.geteuid() == 0:
        os.chown(target, like.st_uid, like.st_gid)


def _entries(path: Path) -> Iterator["os.DirEntry[str]"]:
    with os.scandir(path) as entries:
        yield from entries


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems sync no directory
            raise
    finally:
        os.close(descriptor)
