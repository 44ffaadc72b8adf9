"""Those who wait until what a queue was asked for is synced, whatever its policy is.

Each is told once: when it is safe, or that it cannot be, for now or for good.
"""

from collections import deque
from collections.abc import Callable

from starling_py.journal.errors import JournalError
from starling_py.journal.journal import Journal

Tell = Callable[[JournalError | None], None]
"""Takes ``None`` when it is safe, and the reason if that failed."""


class SyncWaits:
    """Who waits for the safety of one journal's writes, in order."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.waiting: deque[tuple[int, Tell]] = deque()
        """Whom to tell, each with the write that has to become safe."""

    def add(self, tell: Tell) -> None:
        """Have a function called when everything up to now is synced, and have that be soon."""
        self.waiting.append((self._journal.written + 1, tell))
        self._journal.hurry()

    def on_safe(self, writes: int) -> None:
        """Take notice that so many writes are as safe as the policy makes them."""
        while self.waiting and self.waiting[0][0] <= writes:
            tell = self.waiting.popleft()[1]
            if self._journal.syncs or self._journal.in_memory:
                tell(None)
            else:
                self._sync_for(tell)

    def failed(self, why: str) -> None:
        """Tell everybody that it cannot be."""
        waiting, self.waiting = self.waiting, deque()
        for _, tell in waiting:
            tell(JournalError(why))

    def fail_if_broken(self) -> None:
        """Let nobody go on waiting while the journal can neither be synced nor healed."""
        if self.waiting and self._journal.broken is not None:
            self.failed(self._journal.broken)

    def _sync_for(self, tell: Tell) -> None:
        """Sync where the policy is to sync nothing."""

        def synced(error: OSError | None) -> None:
            tell(None if error is None else JournalError(f"cannot be synced: {error.strerror}"))

        self._journal.sync_whole(synced)
