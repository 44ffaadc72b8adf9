"""The spool: the directory that holds every queue's journal, and the lock on it.

It gives each queue a directory of its own under a file-safe name, so no queue's name ever
reaches the file system as it is, and it keeps a second server out.
"""

import errno
import logging

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
            files.make_directory(path)
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
        for entry in self.files.list_directory(self.path):
            path = f"{self.path}/{entry}"
            if entry == LOCK:
                continue
            try:
                if REMOVED in entry:
                    self._remove_directory(path)
                    continue
                if not self.files.is_directory(path):
                    log.warning("%s: not a journal of this server; left alone", path)
                    continue
                state = recover(self.files, path)
                if state is None:
                    self._remove_empty(path)
                elif state.deleted:
                    self._remove_directory(path)
                elif names.directory_name(state.queue) != entry:
                    raise JournalDamaged(path, 0, f"this is the journal of {state.queue!r}")
                else:
                    found.append((state, self._journal(path, state)))
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
        path = f"{self.path}/{names.directory_name(queue)}"
        return Journal(self.files, path, queue, self.durability, self.commits.touch, [])

    def remove(self, journal: Journal) -> None:
        """Remove the journal of a deleted queue; what stays behind goes at the next start."""
        self._removed += 1
        try:
            journal.remove(f"{journal.path}{REMOVED}{self._removed}")
        except OSError as error:
            log.warning("%s: cannot be removed: %s", journal.path, error)

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
        )

    def _remove_directory(self, path: str) -> None:
        for name in self.files.list_directory(path):
            self.files.unlink(f"{path}/{name}")
        self.files.remove_directory(path)

    def _remove_empty(self, path: str) -> None:
        try:
            self.files.remove_directory(path)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            log.warning("%s: holds no journal; left alone", path)
