"""The floor of the ids: no item of a new queue gets an id that an item of a deleted queue had.

A client may remember the id of an item that it opened, and confirm it from any connection, much
later: under that id there must never be another item. A deleted queue leaves nothing behind that
tells how far its ids came, so a new queue begins above the ids of all queues that were deleted. One
small file in the spool holds that floor, and is written before a queue's directory goes. Its number
is rounded up to the next million: so it is written once for very many deletions, and a start skips
the ids in between.
"""

import contextlib
import re
import zlib

from starling_py.journal.disk.files import Files
from starling_py.journal.errors import JournalDamagedError

NAME = ".ids"
UNFINISHED = NAME + ".new"
"""The file that takes the other's place when it is whole."""
STEP = 1_000_000
"""The file's number is rounded up to a multiple of this, plus 1, for deletions to come."""
_CONTENT = re.compile(rb"(starling ids 1 ([1-9][0-9]{0,18}) )([0-9a-f]{8})\n\Z")


def encode(noted: int) -> bytes:
    """Return the content of a file that says: every id of a deleted queue is below ``noted``."""
    told = b"starling ids 1 %d " % noted
    return b"%b%08x\n" % (told, zlib.crc32(told))


class IdFloor:
    """The lowest id that a new queue may begin with, in memory and on disk."""

    def __init__(self, files: Files, directory: str, *, syncs: bool) -> None:
        """Read the file in the spool's ``directory``, if there is one.

        ``syncs``: whether the policy ever syncs. Raises ``OSError`` and ``JournalDamagedError``.
        """
        self._files = files
        self._directory = directory
        self._path = f"{directory}/{NAME}"
        self._syncs = syncs
        self._noted = self._read()
        """The number in the file: every id of a deleted queue is below it."""
        self.first_id = self._noted
        """The id of the first item of a new queue."""

    @property
    def noted(self) -> int:
        """A number that every id of a deleted queue is below; that in the file if it holds."""
        return max(self._noted, self.first_id)

    def raise_to(self, next_id: int) -> None:
        """Begin queues that are made from now on with ``next_id`` or a higher id.

        Raises ``OSError`` when the file could not be written: the floor holds until this process
        ends, and something else has to tell the next one of it.
        """
        self.first_id = max(self.first_id, next_id)
        if next_id > self._noted:
            noted = -(-next_id // STEP) * STEP + 1
            self._write(noted)
            self._noted = noted

    def mend(self) -> bool:
        """Write the file anew if somebody has removed it; return whether that was so.

        Raises ``OSError``.
        """
        with contextlib.suppress(FileNotFoundError):
            self._files.size(self._path)
            return False
        if self._noted == 1:
            return False
        self._write(self._noted)
        return True

    def _read(self) -> int:
        try:
            content = self._files.read(self._path)
        except FileNotFoundError:
            return 1
        found = _CONTENT.match(content)
        if found is None or int(found[3], 16) != zlib.crc32(found[1]):
            raise JournalDamagedError(self._path, 0, "this is not what a server has written there")
        return int(found[2])

    def _write(self, noted: int) -> None:
        files = self._files
        unfinished = f"{self._directory}/{UNFINISHED}"
        with contextlib.suppress(FileNotFoundError):
            # A leftover is never written to again: a sync of it may have failed.
            files.unlink(unfinished)
        try:
            with files.closing(files.create(unfinished)) as descriptor:
                files.write_all(descriptor, encode(noted))
                if self._syncs:
                    files.sync(descriptor)
            files.rename(unfinished, self._path)
        except OSError:
            with contextlib.suppress(OSError):
                files.unlink(unfinished)
            raise
        if self._syncs:
            files.sync_directory(self._directory)
