"""What one client is to be told: its replies in the order of its commands, until they are sent.

A reply may depend on the commit of a queue. Once that commit has failed, ``revoke`` puts an error
in the reply's place: nobody is told of an operation that is not in the journal. Where the client
wanted no reply, its failure is counted and logged instead.
"""

import logging
from collections.abc import Collection, Iterable

from starling_py.journal.journal import Journal
from starling_py.protocol.commands import Dialect, Outcome
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.queues.waiters import Hit
from starling_py.stats import Counters

log = logging.getLogger(__name__)

PUT, TAKEN, TAKEN_AMONG_OTHERS, CHANGED = range(4)
"""What a reply that depends on a commit tells of."""

_Dependence = tuple[PersistentQueue, int, int, int]
"""The queue, where its reply begins and ends among the chunks, and what the reply tells of."""


class Replies:
    """The replies that one client is still to be sent."""

    def __init__(self, counters: Counters, peer: str) -> None:
        self._counters = counters
        self._peer = peer
        self.dialect: Dialect
        """What the client speaks; set with its first byte."""
        self.chunks: list[bytes] = []
        """The bytes of all replies, in pieces."""
        self.size = 0
        """Bytes of those replies that may be large."""
        self.depends: list[_Dependence] = []
        """What depends on a commit that is not settled."""

    def take(self) -> list[bytes]:
        """Hand over everything."""
        chunks = self.chunks
        self.chunks = []
        self.size = 0
        return chunks

    def add(self, reply: bytes) -> None:
        """Give a whole reply."""
        self.chunks.append(reply)
        self.size += len(reply)

    def add_outcome(self, outcome: Outcome, *, quiet: bool = False) -> None:
        """Give a plain reply, unless the client wants none."""
        if not quiet:
            self.chunks.append(self.dialect.outcome(outcome))

    def add_for(
        self, queue: PersistentQueue, outcome: Outcome, told: int = CHANGED, *, quiet: bool = False
    ) -> None:
        """Give a plain reply that depends on the commit of a queue."""
        chunks = self.chunks
        start = len(chunks)
        if not quiet:
            chunks.append(self.dialect.outcome(outcome))
        self.depends.append((queue, start, len(chunks), told))

    def add_for_all(
        self, queues: Iterable[PersistentQueue | None], reply: bytes, *, quiet: bool
    ) -> None:
        """Give a reply that depends on the commits of several queues."""
        start = len(self.chunks)
        if not quiet:
            self.chunks.append(reply)
        self.depends += [
            (queue, start, len(self.chunks), CHANGED) for queue in queues if queue is not None
        ]

    def add_hit(self, hit: Hit, *, alone: bool, with_cas: bool) -> None:
        """Give an item; ``alone`` tells that the reply, which ``end_hits`` closes, has no other."""
        request, item, queue = hit
        chunks = self.chunks
        start = len(chunks)
        data = item.data
        chunks += self.dialect.hit(request.key, item.flags, data, item.id if with_cas else None)
        self.size += len(data)
        if not request.peek:
            end = len(chunks)
            told = (end + 1, TAKEN) if alone else (end, TAKEN_AMONG_OTHERS)
            self.depends.append((queue, start, *told))

    def end_hits(self) -> None:
        """Close the reply to a get."""
        self.chunks.append(self.dialect.end_of_hits())

    def add_error(self, error: bytes, reason: str, *, quiet: bool) -> None:
        """Give an error, or count it where the client wants no reply."""
        if quiet:
            self._count_silent(reason)
        else:
            self.chunks.append(error)

    def revoke(self, failed: Collection[Journal]) -> None:
        """Replace the replies that depend on failed journals; the others go on depending."""
        dependences, self.depends = self.depends, []
        for dependence in dependences:
            if dependence[0].journal in failed:
                self._replace(*dependence)
            else:
                self.depends.append(dependence)

    def settle(self) -> None:
        """Let the replies that depend on a commit stand; it has succeeded."""
        self.depends.clear()

    def _replace(self, queue: PersistentQueue, start: int, end: int, told: int) -> None:
        self._counters.total_items -= told == PUT
        self._counters.get_hits -= told in (TAKEN, TAKEN_AMONG_OTHERS)
        if start == end:
            self._count_silent(queue.journal.failure)
            return
        self.chunks[start:end] = [b""] * (end - start)
        if told != TAKEN_AMONG_OTHERS:
            self.chunks[start] = self.dialect.server_error(queue.journal.failure)

    def _count_silent(self, reason: str) -> None:
        self._counters.noreply_errors += 1
        log.info("%s: a command without reply failed: %s", self._peer, reason)
