"""Clients that wait until a queue's operations up to theirs are synced, whatever the policy.

Each is told exactly once: that all of it is synced, or why it cannot be.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from starling_py.journal.errors import JournalError
from starling_py.journal.journal import Journal

Tell = Callable[[JournalError | None], None]
"""Is given ``None`` when all is synced, and the reason if that failed."""

_NOBODY: Final[deque[tuple[int, Tell]]] = deque()
"""Is never added to: an empty deque takes 760 bytes, and most queues never need one."""


class SyncWaits:
    """The clients that wait for a sync of one journal, in order."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.waiting = _NOBODY
        """Whom to tell, each with the write that has to become safe."""

    def add(self, tell: Tell) -> None:
        """Call ``tell`` when everything up to now is synced, and hurry that sync."""
        self._add(self._journal.written + 1, tell)

    def add_written(self, tell: Tell) -> None:
        """Call ``tell`` when everything that is written by now is synced; hurry that."""
        if self._journal.safe >= self._journal.written and self._journal.broken is None:
            self.on_safe_for(tell)
            return
        self._add(self._journal.written, tell)

    def _add(self, write: int, tell: Tell) -> None:
        if self.waiting is _NOBODY:
            self.waiting = deque()
        self.waiting.append((write, tell))
        self._journal.hurry()

    def on_safe(self, writes: int) -> None:
        """Tell the clients whose operations are among the first ``writes`` writes.

        These are as safe as the policy makes them. Where it never syncs, that is not enough: the
        journal is synced for them.
        """
        while self.waiting and self.waiting[0][0] <= writes:
            self.on_safe_for(self.waiting.popleft()[1])

    def on_safe_for(self, tell: Tell) -> None:
        """Tell a client whose operations are as safe as the policy makes them."""
        if self._journal.syncs or self._journal.in_memory:
            tell(None)
        else:
            self._sync_for(tell)

    def failed(self, why: str) -> None:
        """Tell all of them why it cannot be synced."""
        waiting, self.waiting = self.waiting, _NOBODY
        for _, tell in waiting:
            tell(JournalError(why))

    def fail_if_broken(self) -> None:
        """Tell all of them that it failed if the journal is broken: that may last."""
        if self.waiting and self._journal.broken is not None:
            self.failed(self._journal.broken)

    def _sync_for(self, tell: Tell) -> None:
        """Sync the journal although the policy never does."""

        def synced(error: OSError | None) -> None:
            tell(None if error is None else JournalError(f"cannot be synced: {error.strerror}"))

        self._journal.sync_whole(synced)
