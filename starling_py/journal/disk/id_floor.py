"""The floor of the ids: whatever was deleted, no item gets an id that another one had.

Clients may remember the id of an item that they opened, and confirm it from anywhere. A queue that
was deleted leaves nothing behind that tells how far its ids had come; so a queue that is made
begins behind all of those that went away. One small file in the spool says how high that may be
by now. It is written before a queue goes, and then says much more than is needed: so it is
written once for very many deletions, and a start skips the ids in between.
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
"""Ids that are put by for deletions to come, at the most."""
_CONTENT = re.compile(rb"(starling ids 1 ([1-9][0-9]{0,18}) )([0-9a-f]{8})\n\Z")


class IdFloor:
    """The id that a new queue begins with, in memory and on disk."""

    def __init__(self, files: Files, directory: str, *, syncs: bool) -> None:
        """Read the file in the spool's directory, if there is one.

        ``syncs``: whether anything is ever synced. Raises ``OSError`` and ``JournalDamagedError``.
        """
        self._files = files
        self._directory = directory
        self._path = f"{directory}/{NAME}"
        self._syncs = syncs
        self._noted = self._read()
        """What the file says: no id of a queue that has gone is as high as this."""
        self.first_id = self._noted
        """The id of the first item of a new queue."""

    def raise_to(self, next_id: int) -> None:
        """Give no id below this one to an item of a queue that is made from now on.

        Raises ``OSError`` when that could not be noted, and then nothing is changed.
        """
        if next_id > self._noted:
            noted = -(-next_id // STEP) * STEP + 1
            self._write(noted)
            self._noted = noted
        self.first_id = max(self.first_id, next_id)

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
        told = b"starling ids 1 %d " % noted
        with contextlib.suppress(FileNotFoundError):
            files.unlink(unfinished)  # never to be used again: a sync of it may have failed
        try:
            with files.closing(files.create(unfinished)) as descriptor:
                files.write_all(descriptor, b"%b%08x\n" % (told, zlib.crc32(told)))
                if self._syncs:
                    files.sync(descriptor)
            files.rename(unfinished, self._path)
        except OSError:
            with contextlib.suppress(OSError):
                files.unlink(unfinished)
            raise
        if self._syncs:
            files.sync_directory(self._directory)
