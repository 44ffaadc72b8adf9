"""Directories of deleted queues, on their way out of the spool.

A directory leaves its place by one rename, and its files are removed in the background afterwards.
If files vanished one by one from their place, a power cut could leave the older ones without the
record of the deletion.

Giving room back needs none. How far the ids of the queue had come is to be noted before its
directory is gone (see ``id_floor``). Where no file can be written for that, the directory's new
name tells it: its files go at once, and the empty directory stays until the number is noted. A
directory that cannot be renamed, as it is a mount point, is emptied in its place.
"""

import errno
import logging
import re
from collections.abc import Iterable
from typing import Final

from starling_py.journal.disk.background import Background, DirectoryRemovals
from starling_py.journal.disk.files import NO_ROOM, Files
from starling_py.journal.disk.id_floor import IdFloor
from starling_py.journal.disk.reserve import Reserve
from starling_py.journal.format import segment

log = logging.getLogger(__name__)

AT_ONCE: Final = 64
"""Directories that are removed in one go, before others have the thread."""
REMOVED: Final = "~removed-"
"""Stands, with a number, behind the name of a directory that is being removed; ``~`` is in no
directory name of a queue. Where the ids are not noted, ``-`` and the next id follow."""
_NAME: Final = re.compile(rf"[^~]+{REMOVED}([0-9]{{1,18}})(?:-([0-9]{{1,19}}))?\Z")
_STAYS_IN_PLACE: Final = frozenset({errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM})
"""The errors of renaming a mount point, what another layer of the file system holds, and what is
in a directory that may not be written to."""


class RemovedDirectories:
    """The directories of one spool that are being removed."""

    def __init__(
        self,
        files: Files,
        spool: str,
        background: Background,
        reserve: Reserve,
        ids: IdFloor,
        *,
        syncs: bool,
    ) -> None:
        """``spool`` is its path. ``syncs``: whether the policy ever syncs."""
        self._files = files
        self._spool = spool
        self._background = background
        self._reserve = reserve
        self._ids = ids
        self._syncs = syncs
        self._waiting: list[tuple[str, bool]] = []
        """What is to be removed; see ``DirectoryRemovals``."""
        self._busy = False
        self._highest = 0
        """The highest number given to such a directory."""
        self._unnoted: dict[str, int] = {}
        """Directories that stay as their names alone tell how far ids have come; the next ids."""

    def take_up(self, entries: Iterable[str]) -> list[str]:
        """Go on with the directories that a process before this one has left.

        ``entries`` are the names in the spool. Returns those that are none of these.
        """
        others = []
        for entry in entries:
            match = _NAME.match(entry)
            path = f"{self._spool}/{entry}"
            if match is not None:
                self._highest = max(self._highest, int(match[1]))
            if match is None or not self._is_directory(path):
                others.append(entry)
                continue
            next_id = int(match[2] or 0)
            if self._note(next_id):
                self._remove(path)
            else:
                self._keep(path, next_id)
        return others

    def take_away(self, path: str, next_id: int) -> None:
        """Remove a deleted queue's directory, whose next item would have got the id ``next_id``.

        Raises ``OSError``; the directory is still in its place then.
        """
        noted = self._note(next_id)
        aside = f"{path}{REMOVED}{self._highest + 1}" + ("" if noted else f"-{next_id}")
        try:
            self._rename(path, aside)
        except OSError as error:
            if not noted or error.errno not in _STAYS_IN_PLACE:
                raise
            self._empty(path)
            return
        self._highest += 1
        if noted:
            self._remove(aside)
        else:
            self._keep(aside, next_id)

    def tidy(self) -> None:
        """Try again to note the ids that only names of directories tell."""
        for path, next_id in list(self._unnoted.items()):
            if not self._note(next_id):
                break
            del self._unnoted[path]
            self._remove(path)

    def _raise_ids_to(self, next_id: int) -> None:
        """Raise the floor of the ids, on a full disk with reserved room. Raises ``OSError``."""
        try:
            self._ids.raise_to(next_id)
        except OSError as error:
            if error.errno not in NO_ROOM or not self._reserve.lend(0, removals_only=True):
                raise
            self._ids.raise_to(next_id)

    def _note(self, next_id: int) -> bool:
        """Raise the floor of the ids; return whether that is on disk."""
        try:
            self._raise_ids_to(next_id)
        except OSError as error:
            if not self._unnoted:
                log.warning("%s: ids cannot be noted for now: %s", self._spool, error)
            return False
        return True

    def _rename(self, path: str, aside: str) -> None:
        try:
            self._files.rename(path, aside)
        except OSError as error:
            # The spool's own directory may have to grow for a longer name.
            if error.errno not in NO_ROOM or not self._reserve.lend(0, removals_only=True):
                raise
            self._files.rename(path, aside)

    def _remove(self, aside: str) -> None:
        self._add(aside, keep=False)

    def _keep(self, aside: str, next_id: int) -> None:
        self._unnoted[aside] = next_id
        self._add(aside, keep=True)

    def close(self) -> None:
        """Remove what waits for its turn: the server ends."""
        while self._waiting:
            self._next().run()

    def _add(self, aside: str, *, keep: bool) -> None:
        """Have a directory removed in the background: one sync is for all that wait meanwhile."""
        self._waiting.append((aside, keep))
        if not self._busy:
            self._begin()

    def _begin(self) -> None:
        self._busy = bool(self._waiting)
        if self._busy:
            self._background.submit(self._next(), self._begin)

    def _next(self) -> DirectoryRemovals:
        paths = self._waiting[:AT_ONCE]
        del self._waiting[:AT_ONCE]
        return DirectoryRemovals(self._files, self._spool, self._syncs, paths)

    def _empty(self, path: str) -> None:
        """Remove what is in a directory that must stay in its place. Raises ``OSError``.

        The last segment goes last, when it is safe that the others are gone: it has the record of
        the deletion.
        """
        files = self._files
        names = files.list_directory(path)
        segments = [each for each in names if segment.number_of(each) is not None]
        last = segments[-1:]
        for some in ([each for each in names if each not in last], last):
            for name in some:
                if name in segments or not self._is_directory(f"{path}/{name}"):
                    files.unlink(f"{path}/{name}")
            if self._syncs:
                files.sync_directory(path)
        log.info("%s: cannot be moved, and was emptied in its place", path)

    def _is_directory(self, path: str) -> bool:
        try:
            return self._files.is_directory(path)
        except OSError:
            return False  # gone, or not for us to look at
