"""Every file system call of the journal, and nothing else.

Tests put a simulated disk in its place to inject faults: a short write, a full disk, a failing
fsync, a crash between any two calls. It knows nothing of segments or records, and it never hides an
error: every method raises ``OSError`` as the system reported it.

Where a file is meant, nothing else is opened: no link is followed, and ``NotPlainError`` tells of a
link, a FIFO, a socket, a device or a directory in its place. No open waits for another process.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterator
from typing import Final

from mypy_extensions import mypyc_attr

from starling_py.journal.errors import NotPlainError

NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""The errors of a disk that has no room: for bytes, or for one more file."""
# A FIFO would be waited for, and a link is opened only to be refused.
_PLAIN: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS: Final = (
    (stat.S_ISREG, "a regular file"),
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISLNK, "a link"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
)
Identity = tuple[int, int]
"""The numbers of a file system and of a file in it."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Files:
    """The calls. Paths are strings, open files are descriptors, sizes and offsets are bytes."""

    def make_directory(self, path: str) -> None:
        """Create one directory, unless it is there already."""
        try:
            os.mkdir(path, mode=0o750)  # noqa: PTH102 - paths are strings here
        except FileExistsError:
            if not self.is_directory(path):
                raise

    def list_directory(self, path: str) -> list[str]:
        """Return the names in a directory, sorted."""
        return sorted(os.listdir(path))  # noqa: PTH208

    def is_directory(self, path: str) -> bool:
        """Tell whether the path is a directory itself; a link to one is none."""
        return stat.S_ISDIR(os.lstat(path).st_mode)

    def leads_to_directory(self, path: str) -> bool:
        """Tell whether the path is a directory, or a link to one."""
        return stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116

    def kind(self, path: str) -> str:
        """Return what is at a path, in words: ``a regular file``, ``a link`` and so on."""
        return _kind(os.lstat(path).st_mode)

    def create(self, path: str) -> int:
        """Create a file, or empty the one that is there; open for appending.

        A file that has another name as well is not emptied: that raises ``NotPlainError``.
        """
        return self._emptied(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)

    def open(self, path: str) -> int:
        """Open an existing file for appending."""
        return _open(path, os.O_RDWR | os.O_APPEND)

    def open_unshared(self, path: str) -> int:
        """Open an existing file for appending, unless it has another name as well."""
        descriptor = self.open(path)
        try:
            self._refuse_shared(descriptor, path)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def open_placed(self, path: str, *, new: bool) -> int:
        """Open a file for ``write_at``; with ``new``, create it, or empty the one that is there."""
        if not new:
            return _open(path, os.O_RDWR)
        return self._emptied(path, os.O_RDWR | os.O_CREAT)

    def read(self, path: str) -> bytes:
        """Return a whole file's bytes."""
        descriptor = _open(path, os.O_RDONLY)
        try:
            size = os.fstat(descriptor).st_size
            # One byte more, so that one call tells of the end as well.
            data = os.read(descriptor, size + 1)
            while len(data) != size and (more := os.read(descriptor, size + 1)):
                data += more
            return data
        finally:
            os.close(descriptor)

    def read_at(self, path: str, offset: int, size: int) -> bytes:
        """Return ``size`` bytes of a file from ``offset`` on; fewer only where the file ends."""
        descriptor = _open(path, os.O_RDONLY)
        try:
            data = os.pread(descriptor, size, offset)
            while len(data) < size and (
                more := os.pread(descriptor, size - len(data), offset + len(data))
            ):
                data += more
            return data
        finally:
            os.close(descriptor)

    def size(self, path: str) -> int:
        """Return a file's size in bytes; of a link, that of the link itself."""
        return os.lstat(path).st_size

    def identity(self, path: str) -> Identity:
        """Return what tells the file or directory that a path leads to from every other one."""
        found = os.stat(path)  # noqa: PTH116
        return found.st_dev, found.st_ino

    def identity_of(self, descriptor: int) -> Identity:
        """Return the identity of an open file: no other has it as long as it is open."""
        found = os.fstat(descriptor)
        return found.st_dev, found.st_ino

    def free_space(self, path: str) -> int:
        """Return how many bytes the file system that holds ``path`` has free for this process."""
        room = os.statvfs(path)
        return room.f_bavail * room.f_frsize

    def disk_size(self, path: str) -> int:
        """Return how many bytes the file system that holds ``path`` has."""
        room = os.statvfs(path)
        return room.f_blocks * room.f_frsize

    def link(self, old: str, new: str) -> None:
        """Give a file another name beside the one it has."""
        os.link(old, new)

    def duplicate(self, descriptor: int) -> int:
        """Return another descriptor of an open file, which is closed on its own."""
        return os.dup(descriptor)

    def read_open(self, descriptor: int, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes of an open file from ``offset`` on; none where it ends."""
        return os.pread(descriptor, size, offset)

    def allocate(self, descriptor: int, size: int) -> None:
        """Make a file ``size`` bytes large, with room on the disk for all of them."""
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, size)
        else:
            while (missing := size - os.fstat(descriptor).st_size) > 0:
                os.write(descriptor, bytes(min(missing, 1 << 16)))

    def write(self, descriptor: int, data: bytes) -> int:
        """Append bytes; return how many were written, which may be fewer than given."""
        return os.write(descriptor, data)

    def write_all(self, descriptor: int, data: bytes) -> None:
        """Append all bytes, in several calls if need be."""
        written = self.write(descriptor, data)
        while written < len(data):
            written += self.write(descriptor, data[written:])

    def write_at(self, descriptor: int, offset: int, data: bytes) -> None:
        """Write all bytes to a place in a file that ``open_placed`` has opened."""
        written = os.pwrite(descriptor, data, offset)
        while written < len(data):
            written += os.pwrite(descriptor, memoryview(data)[written:], offset + written)

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut a file to ``size`` bytes."""
        os.ftruncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        """Return when the file's data and size are on stable storage."""
        os.fdatasync(descriptor) if hasattr(os, "fdatasync") else os.fsync(descriptor)

    def sync_directory(self, path: str) -> None:
        """Return when the names in a directory are on stable storage."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def sync_file_system(self, path: str) -> bool:
        """Return when everything in the file system that holds ``path`` is on stable storage.

        Returns ``False`` where there is no such call, or where it would not tell of failures.
        """
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return self.sync_all_beside(descriptor)
        finally:
            os.close(descriptor)

    def sync_all_beside(self, descriptor: int) -> bool:
        """Do what ``sync_file_system`` does, for the file system that holds an open directory.

        It tells of every failure since the directory was opened that it has not told of.
        """
        if _SYNC_FILE_SYSTEM is None:
            return False
        if _SYNC_FILE_SYSTEM(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return True

    def close(self, descriptor: int) -> None:
        """Close an open file."""
        os.close(descriptor)

    @contextlib.contextmanager
    def closing(self, descriptor: int) -> Iterator[int]:
        """Close an open file at the end of the ``with`` block, also after an exception.

        That exception is what is raised then, whatever the closing itself comes to.
        """
        try:
            yield descriptor
        except BaseException:
            with contextlib.suppress(OSError):
                self.close(descriptor)
            raise
        self.close(descriptor)

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, replacing the file that had it."""
        os.replace(old, new)  # noqa: PTH105

    def unlink(self, path: str) -> None:
        """Remove a file."""
        os.unlink(path)  # noqa: PTH108

    def remove_directory(self, path: str) -> None:
        """Remove an empty directory."""
        os.rmdir(path)  # noqa: PTH106

    def random_bits(self) -> int:
        """Return 32 random bits that a client cannot guess."""
        return int.from_bytes(os.urandom(4), "little")

    def lock_directory(self, path: str) -> int | None:
        """Lock a directory for this process alone, as ``lock`` does a file.

        Returns ``None`` where the file system locks no directories.
        """
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise
        except OSError:
            os.close(descriptor)
            return None
        return descriptor

    def lock(self, path: str) -> int:
        """Create a file if it is missing and lock it for this process alone.

        Returns the descriptor that holds the lock: closing it, or the end of every process that
        inherited it, releases it. Raises ``BlockingIOError`` when another process has it.
        """
        descriptor = _open(path, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def _emptied(self, path: str, flags: int) -> int:
        """Open a file and empty it, unless it has another name: then ``NotPlainError``.

        A new file is left as it is: ext4 begins to write a file that was ever cut to nothing when
        it is closed, which was half of the time that a queue takes to come and go.
        """
        descriptor = _open(path, flags)
        try:
            self._refuse_shared(descriptor, path)
            if os.fstat(descriptor).st_size > 0:
                os.ftruncate(descriptor, 0)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def _refuse_shared(self, descriptor: int, path: str) -> None:
        """Raise ``NotPlainError`` if an open file has another name beside the one at ``path``."""
        if os.fstat(descriptor).st_nlink > 1:
            raise NotPlainError(errno.EMLINK, "this file has another name as well", path)


def _find_sync_file_system() -> Callable[[int], int] | None:
    """Return the system's ``syncfs``, or ``None``: Linux before 5.8 reports no failures by it."""
    told = os.uname()
    version = tuple(int(part) for part in re.findall("[0-9]+", told.release)[:2])
    if told.sysname != "Linux" or version < (5, 8):
        return None
    library = ctypes.CDLL(None, use_errno=True)
    return getattr(library, "syncfs", None)


_SYNC_FILE_SYSTEM: Final = _find_sync_file_system()


def _open(path: str, flags: int) -> int:
    """Open a regular file. Raises ``NotPlainError`` if something else is there, ``OSError``."""
    try:
        descriptor = os.open(path, flags | _PLAIN, 0o640)
    except OSError as error:
        # What a link and a socket give; the system's words for it would puzzle.
        if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.EISDIR):
            _refuse_kind(os.lstat(path).st_mode, path)
        raise
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        _refuse_kind(mode, path)
    return descriptor


def _refuse_kind(mode: int, path: str) -> None:
    if not stat.S_ISREG(mode):
        raise NotPlainError(errno.EINVAL, f"this is {_kind(mode)}, not a regular file", path)


def _kind(mode: int) -> str:
    return next((words for is_it, words in _KINDS if is_it(mode)), "a device")
