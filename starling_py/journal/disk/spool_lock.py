"""The locks that keep a second server out of a spool: on a file in it, and on the directory itself.

The file alone would not do: somebody may remove it, and the next server would make another. The
directory alone would not do either: older versions and the offline tools know of the file, and not
every file system locks directories.
"""

import contextlib
import errno
import logging

from starling_py.journal.disk.files import Files

log = logging.getLogger(__name__)

NAME = ".lock"
RESTORED = ".restored"
"""A directory in a spool with what a restore has not moved into its place yet."""


class SpoolLock:
    """The locks on one spool, held until ``close``."""

    def __init__(self, files: Files, path: str) -> None:
        """Lock the spool's directory ``path``.

        Raises ``BlockingIOError`` if another process has it, and ``OSError``.
        """
        self._files = files
        self._directory = path
        self._path = f"{path}/{NAME}"
        self._file = files.lock(self._path)
        self._identity = files.identity_of(self._file)
        self._directory_identity = files.identity(path)
        self._on_directory: int | None = None
        try:
            self._on_directory = files.lock_directory(path)
        except OSError:
            files.close(self._file)
            raise

    @property
    def descriptors(self) -> list[int]:
        """What holds the locks."""
        return [self._file] if self._on_directory is None else [self._file, self._on_directory]

    def sync_all(self) -> bool:
        """Make safe everything in the file system of the spool; return whether that can be told.

        Safe in any thread. Raises ``OSError``.
        """
        if self._on_directory is None:
            return False
        return self._files.sync_all_beside(self._on_directory)

    @property
    def device(self) -> int:
        """The number of the file system that the spool is on."""
        return self._directory_identity[0]

    def is_held(self) -> bool:
        """Tell whether the spool at its path is the one that is locked; safe in any thread."""
        files = self._files
        try:
            directory, file = files.identity(self._directory), files.identity(self._path)
        except OSError:
            return False
        return directory == self._directory_identity and file == self._identity

    def mend(self) -> bool:
        """Make anew and lock what was removed or replaced; return whether there was any.

        Raises ``BlockingIOError`` if another process has it now, or has left queues there, and
        ``OSError``; the old locks are held then.
        """
        files = self._files
        same_directory = False
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            same_directory = files.identity(self._directory) == self._directory_identity
            if same_directory and files.identity(self._path) == self._identity:
                return False
        if not same_directory:
            files.make_directory(self._directory)
            if any(not name.startswith(".") for name in files.list_directory(self._directory)):
                # Somebody else's queues: nothing of ours may be mixed with them.
                raise BlockingIOError(errno.EWOULDBLOCK, "not empty", self._directory)
            new = SpoolLock(files, self._directory)
            self.close()
            self._file, self._on_directory = new._file, new._on_directory
            self._identity, self._directory_identity = new._identity, new._directory_identity
        else:
            file = files.lock(self._path)
            files.close(self._file)
            self._file, self._identity = file, files.identity_of(file)
        return True

    def close(self) -> None:
        """Release the locks."""
        for descriptor in self.descriptors:
            self._files.close(descriptor)
