"""What one connection holds: its open reads, by queue, oldest first.

A read is in here as long as it is open and was opened by this connection. It may end without the
connection's doing: its lease runs out, its queue is deleted, another connection confirms it; then
it is told to ``forget``. When a confirmation could not be written, the read is open again and
comes back with ``keep``.
"""

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starling_py.queues.open_reads import OpenRead


class Holder:
    """The open reads of one connection."""

    def __init__(self) -> None:
        self.by_name: dict[bytes, deque[OpenRead]] = {}
        """The open reads by their queues, none of them without any."""
        self.gone = False
        """Whether the connection is closed, so that nothing may be kept here."""

    def __len__(self) -> int:
        """Return how many reads are open."""
        return sum(len(reads) for reads in self.by_name.values())

    def count(self, name: bytes) -> int:
        """Return how many reads of a queue are open."""
        return len(self.by_name.get(name, ()))

    def oldest(self, name: bytes) -> "OpenRead | None":
        """Return the read of a queue that was opened first, of those that are open."""
        reads = self.by_name.get(name)
        return reads[0] if reads else None

    def reads(self, name: bytes | None = None) -> "list[OpenRead]":
        """Return all open reads, or those of a queue, oldest first."""
        if name is not None:
            return list(self.by_name.get(name, ()))
        return [read for reads in self.by_name.values() for read in reads]

    def keep(self, read: "OpenRead") -> None:
        """Take a read; one that comes back is put where it was."""
        reads = self.by_name.setdefault(read.queue.name, deque())
        reads.append(read)
        if len(reads) > 1 and reads[-2].serial > read.serial:
            self.by_name[read.queue.name] = deque(sorted(reads, key=lambda each: each.serial))

    def forget(self, read: "OpenRead") -> None:
        """Let go of a read; it is no error when it is not here."""
        reads = self.by_name.get(read.queue.name)
        if reads is None:
            return
        if reads[0] is read:
            reads.popleft()
        elif read in reads:
            reads.remove(read)
        if not reads:
            del self.by_name[read.queue.name]
