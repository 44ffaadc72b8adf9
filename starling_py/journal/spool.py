"""The spool: the directory that holds every queue's journal, and the lock on it.

It gives each queue a directory of its own under a file-safe name, so no queue's name ever
reaches the file system as it is, and it keeps a second server out. What it did not make, it
leaves alone.
"""

import errno
import logging
import re

import attrs

from starling_py import names
from starling_py.journal.commit import GroupCommit
from starling_py.journal.files import Files
from starling_py.journal.journal import Durability, Journal
from starling_py.journal.recovery import JournalDamaged, Recovered, recover

log = logging.getLogger(__name__)

LOCK = ".lock"
REMOVED = "~removed-"
"""Marks a directory that is being removed; ``~`` is in no directory name of a queue."""
_REMOVED_NAME = re.compile(rf"[^~]+{REMOVED}([0-9]+)\Z")


class SpoolProblem(Exception):
    """The spool cannot be used; the text is one line that says what and where."""


@attrs.define
class Spool:
    """One directory of journals, locked for this process while it is open."""

    files: Files
    path: str
    durability: Durability
    commits: GroupCommit
    lock: int
    """The descriptor that holds the lock."""
    _removed: int = 0

    @classmethod
    def open(cls, files: Files, path: str, durability: Durability, commits: GroupCommit) -> "Spool":
        """Create the directory if it is missing and lock it. Raises ``SpoolProblem``."""
        try:
            _make_path(files, path, durability)
            lock = files.lock(f"{path}/{LOCK}")
        except BlockingIOError as error:
            raise SpoolProblem(f"{path}: another server is using this spool") from error
        except OSError as error:
            raise SpoolProblem(f"{path}: {error.strerror or error}") from error
        return cls(files, path, durability, commits, lock)

    def close(self) -> None:
        """Release the lock."""
        self.files.close(self.lock)

    def recover(self) -> list[tuple[Recovered, Journal]]:
        """Read every journal of the spool back, in the order of their directories' names.

        Raises ``SpoolProblem`` when one is damaged: better no server than one that lost items.
        """
        found = []
        path = self.path
        try:
            entries = self.files.list_directory(path)
            leftovers = [match for entry in entries if (match := _REMOVED_NAME.match(entry))]
            self._removed = max((int(match[1]) for match in leftovers), default=0)
            for entry in (entry for entry in entries if entry != LOCK):
                path = f"{self.path}/{entry}"
                state = self._recover(entry, path)
                if state is not None:
                    found.append((state, self._journal(path, state)))
            path = self.path
            if found and self.durability.syncs:
                self.files.sync_directory(path)
        except JournalDamaged as damage:
            raise SpoolProblem(
                f"{damage}. Nothing was changed; move {path} out of the spool to start without"
                " this queue, or put back a copy of it"
            ) from damage
        except OSError as error:
            raise SpoolProblem(f"{path}: {error.strerror or error}") from error
        return found

    def journal(self, queue: bytes) -> Journal:
        """Return the journal of a new queue; nothing is on disk before its first write."""
        return Journal(
            self.files,
            f"{self.path}/{names.directory_name(queue)}",
            queue,
            self.durability,
            self.commits.touch,
            [],
            salt=self.files.random_bits(),
        )

    def remove(self, journal: Journal) -> bool:
        """Remove the journal of a deleted queue; return whether it is out of its place.

        What stays behind goes at the next start.
        """
        aside = self._aside(journal.path)
        on_disk = journal.size > 0
        try:
            journal.remove(aside)
        except OSError as error:
            log.warning("%s: cannot be removed: %s", journal.path, error)
            return False
        if on_disk:
            self._remove_directory(aside)
        return True

    def _recover(self, entry: str, path: str) -> Recovered | None:
        """Read one directory back, unless it is not a queue's."""
        if _REMOVED_NAME.match(entry) and self.files.is_directory(path):
            self._remove_directory(path)
            return None
        if not names.is_directory_name(entry) or not self.files.is_directory(path):
            log.warning("%s: not a journal of this server; left alone", path)
            return None
        state = recover(
            self.files,
            path,
            is_right=lambda queue: names.directory_name(queue) == entry,
            syncs=self.durability.syncs,
        )
        if state is None:
            self._remove_if_empty(path)
        elif state.deleted:
            aside = self._aside(path)
            self.files.rename(path, aside)
            self._remove_directory(aside)
            return None
        return state

    def _journal(self, path: str, state: Recovered) -> Journal:
        return Journal(
            self.files,
            path,
            state.queue,
            self.durability,
            self.commits.touch,
            state.segments,
            state.next_id,
            state.oldest,
            state.salt,
        )

    def _aside(self, path: str) -> str:
        self._removed += 1
        return f"{path}{REMOVED}{self._removed}"

    def _remove_directory(self, aside: str) -> None:
        """Remove a directory that is out of its place, once it is sure to stay out of it."""
        try:
            if self.durability.syncs:
                self.files.sync_directory(self.path)
            for name in self.files.list_directory(aside):
                self.files.unlink(f"{aside}/{name}")
            self.files.remove_directory(aside)
        except OSError as error:
            log.warning("%s: cannot be removed: %s", aside, error)

    def _remove_if_empty(self, path: str) -> None:
        try:
            self.files.remove_directory(path)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            log.warning("%s: holds no journal; left alone", path)


def _make_path(files: Files, path: str, durability: Durability) -> None:
    """Create a directory and those above it, each of them safely if anything is to be safe."""
    parent = path.rpartition("/")[0]
    try:
        if files.is_directory(path):
            return
    except FileNotFoundError:
        if parent:
            _make_path(files, parent, durability)
    files.make_directory(path)
    if durability.syncs:
        files.sync_directory(parent or "/")
