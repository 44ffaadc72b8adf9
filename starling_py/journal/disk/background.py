"""Work on files that nobody waits for, done in another thread while the queues are served.

A piece of work is small, touches nothing but its own fields and the files, and notes what goes
wrong; whoever submitted it hears of it where the queues are served, never in the other thread.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import attrs

from starling_py.journal.disk.files import Files

log = logging.getLogger(__name__)


class Work(Protocol):
    """A piece of work."""

    def run(self) -> None:
        """Do it; safe in any thread, and raises nothing but for defects."""


class Background(Protocol):
    """Where such work is done, one piece after the other in the order of submission."""

    def submit(self, work: Work, done: Callable[[], None] | None = None) -> None:
        """Have a piece of work done; ``done`` is called afterwards, unless the server ends."""

    def close(self) -> None:
        """Finish what was submitted; nobody is told any more."""


@attrs.frozen
class Removal:
    """Files to be removed. One that stays behind is harmless: the next start removes it."""

    files: Files
    paths: Sequence[str]

    def run(self) -> None:
        """Remove them."""
        for path in self.paths:
            try:
                self.files.unlink(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                log.warning("%s: cannot be removed: %s", path, error)


@attrs.frozen
class DirectoryRemoval:
    """A deleted queue's directory, renamed already, to be removed with what is in it."""

    files: Files
    path: str
    syncs: bool
    """Whether it must first be sure to stay out of its place."""

    def run(self) -> None:
        """Remove it."""
        try:
            if self.syncs:
                self.files.sync_directory(self.path.rpartition("/")[0])
            for name in self.files.list_directory(self.path):
                self.files.unlink(f"{self.path}/{name}")
            self.files.remove_directory(self.path)
        except OSError as error:
            log.warning("%s: cannot be removed: %s", self.path, error)


Make = Callable[[], tuple[Work, Callable[[], None]]]
"""Makes a piece of work ready, and says whom to call when it is done."""


class Chores:
    """What is done, and what waits to be done, on the files of one journal.

    Reading, copying and removing happen in another thread, and healing in yet another; none of
    them may find that the files change under it. So each piece of work waits here until nothing
    else is done on this journal's files, and is only then made ready, from the state of that
    moment.
    """

    def __init__(
        self,
        background: Background,
        files: Files,
        heal: Callable[[], None],
        idle: Callable[[], None],
    ) -> None:
        """``heal`` is called when a healing that was put off can begin; ``idle`` after the last."""
        self._background = background
        self._files = files
        self._heal = heal
        self._idle = idle
        self._waiting: deque[Make] = deque()
        self._heals_next = False
        self.busy = False
        """Whether anything is done right now."""

    def submit(self, make: Make) -> None:
        """Have a piece of work done when its turn comes."""
        if self.busy:
            self._waiting.append(make)
            return
        self.busy = True
        work, done = make()

        def finished() -> None:
            done()  # what it asks for is done after what waits already
            self.free()

        self._background.submit(work, finished)

    def remove(self, paths: Sequence[str]) -> None:
        """Have files removed; until then the journal must stay where it is."""
        if paths:
            self.submit(lambda: (Removal(self._files, paths), lambda: None))

    def begin_healing(self) -> bool:
        """Keep everything else away for a healing; return whether it can begin at once.

        Otherwise ``heal`` is called when it can; ``free`` ends it.
        """
        if self.busy:
            self._heals_next = True
            return False
        self.busy = True
        return True

    def free(self) -> None:
        """Let the files be worked on by whoever waits for that; a healing comes first."""
        self.busy = False
        if self._heals_next:
            self._heals_next = False
            self._heal()
        elif self._waiting:
            self.submit(self._waiting.popleft())
        else:
            self._idle()
