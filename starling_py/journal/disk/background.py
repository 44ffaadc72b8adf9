"""File work in another thread: items read back, segments copied, files removed.

A piece of work is small, touches nothing but its own fields and the files, and keeps its error as
one of its results. The journal that submitted it takes these in the tick, never in the other
thread. ``Background`` is that thread, shared by all journals; ``Chores`` does the work on one
journal's files one piece at a time, and keeps it apart from a healing.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

import attrs

from starling_py.journal.disk.files import Files

log = logging.getLogger(__name__)


class Work(Protocol):
    """A piece of work on files."""

    def run(self) -> None:
        """Do it, in any thread. What the disk refuses is kept as a result, not raised."""


class Background(Protocol):
    """The thread for such work: what is submitted first is done first, one piece at a time."""

    def submit(self, work: Work, done: Callable[[], None] | None = None) -> None:
        """Queue ``work``; ``done`` is called in the tick afterwards, unless the server ends."""

    def close(self) -> None:
        """Wait for what was submitted. No ``done`` is called any more."""


@attrs.frozen
class Removal:
    """Removes files. One that stays behind is harmless: the next start removes it."""

    files: Files
    paths: Sequence[str]

    def run(self) -> None:
        """Remove the files, and log those that cannot be removed."""
        for path in self.paths:
            try:
                self.files.unlink(path)
            except FileNotFoundError:
                continue
            except (OSError, MemoryError) as error:
                log.warning("%s: cannot be removed: %s", path, error)


@attrs.frozen
class DirectoryRemovals:
    """Removes directories of deleted queues, which were renamed out of their places before."""

    files: Files
    spool: str
    syncs: bool
    """Whether to sync the renaming first. Else a power cut could bring a directory back into its
    place with some of its files missing: with old items, but without the record of the deletion."""
    paths: Sequence[tuple[str, bool]]
    """The directories, and whether one itself stays, as its name tells something that is noted
    nowhere else."""

    def run(self) -> None:
        """Remove the files in them, then the directories themselves; log what cannot be removed.

        One file that stays behind keeps no other one.
        """
        files = self.files
        try:
            if self.syncs:
                files.sync_directory(self.spool)
        except (OSError, MemoryError) as error:
            log.warning("%s: deleted queues cannot be removed: %s", self.spool, error)
            return
        for path, keep in self.paths:
            try:
                names = files.list_directory(path)
                Removal(files, [f"{path}/{name}" for name in names]).run()
                if not keep:
                    files.remove_directory(path)
            except (OSError, MemoryError) as error:
                log.warning("%s: cannot be removed: %s", path, error)


def _nothing() -> None:
    """Tell nobody: the journal was removed."""


class Hold:
    """Whether files must stay as they are, as a snapshot is taken, and what waits for its end."""

    def __init__(self) -> None:
        self.held = False
        """Whether nothing may be removed, or replaced by a copy that leaves out what is dead."""
        self._waiting: list[Callable[[], None]] = []

    def begin(self) -> None:
        """Let files stay as they are from now on."""
        self.held = True

    def when_over(self, call: Callable[[], None]) -> None:
        """Call something as soon as files may be removed again."""
        self._waiting.append(call)

    def end(self) -> None:
        """Let files be removed, and begin with those that were to be removed meanwhile."""
        self.held = False
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each()


Make = Callable[[], tuple[Work, Callable[[], None]]]
"""Builds a piece of work when its turn has come; returns it and what to call when it is done."""


class Chores:
    """The work on the files of one journal: one piece under way, the others in a queue.

    Reading, copying and removing run in the background thread, healing runs where syncs run; none
    of them may find that the files change under it. So each piece waits here until nothing else is
    done on this journal's files. Only then is it built, from the ledger of that moment: a segment
    that it would have read when it was asked for may have been replaced since.
    """

    def __init__(
        self,
        background: Background,
        files: Files,
        heal: Callable[[], None],
        idle: Callable[[], None],
        hold: Hold,
    ) -> None:
        """``heal`` is called when a healing that had to wait can begin.

        ``idle`` is called when work ends and none is left. ``hold`` tells whether files may be
        removed.
        """
        self._hold = hold
        self._background = background
        self._files = files
        self._heal = heal
        self._idle = idle
        self._waiting: list[Make] = []
        self._heals_next = False
        self.busy = False
        """Whether work or a healing is under way."""

    def submit(self, make: Make) -> None:
        """Begin a piece of work, or queue it behind what is under way."""
        if self.busy:
            self._waiting.append(make)
            return
        self.busy = True
        work, done = make()

        def finished() -> None:
            # While this is still busy: what it submits has to go behind what waits already.
            try:
                done()
            finally:
                self.free()  # or everything that waits for these files would wait for ever

        self._background.submit(work, finished)

    def let_go(self) -> None:
        """Refer to the journal no more: it was removed, and nothing is under way."""
        self._heal = self._idle = _nothing

    def remove(self, paths: Sequence[str]) -> None:
        """Remove files in their turn. Until then the journal's directory must stay in its place."""
        if self._hold.held:
            self._hold.when_over(lambda: self.remove(paths))
        elif paths:
            self.submit(lambda: (Removal(self._files, paths), lambda: None))

    def begin_healing(self) -> bool:
        """Claim the files for a healing; return whether it can begin at once.

        If not, ``heal`` is called when it can. ``free`` ends a healing.
        """
        if self.busy:
            self._heals_next = True
            return False
        self.busy = True
        return True

    def free(self) -> None:
        """End what was under way and begin what waits: a healing first, as its queue is refused."""
        self.busy = False
        if self._heals_next:
            self._heals_next = False
            self._heal()
        elif self._waiting:
            self.submit(self._waiting.pop(0))
        else:
            self._idle()
