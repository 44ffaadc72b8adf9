"""Work on files that nobody waits for, done in another thread while the queues are served.

A piece of work is small, touches nothing but its own fields and the files, and notes what goes
wrong; whoever submitted it hears of it where the queues are served, never in the other thread.
"""

import logging
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
