"""The replies to one client, in the order of its commands, until they are sent.

Invariant: no client is told of an operation that is not in the journal. A reply may depend on the
commits of some journals; if one of them fails, ``revoke`` puts an error in the reply's place.
Where the client wanted no reply, the failure is counted and logged. Nothing is sent from here.
"""

import logging
from collections.abc import Collection, Sequence
from typing import Final

from starling_py.journal.journal import Journal
from starling_py.protocol.writer import Outcome, Writer
from starling_py.queues.waiters import Hit
from starling_py.session.origins import MayTell, in_a_word
from starling_py.stats import Counters

log = logging.getLogger(__name__)

PUT, TAKEN, TAKEN_AMONG_OTHERS, CHANGED = range(4)
"""What a reply that depends on a commit tells of: a put; an item that is the whole reply; an item
among others in one reply; anything else. It decides what is counted and replaced if that fails."""

# Looking a member up in an enumeration costs as much as a function call.
STORED: Final = Outcome.STORED

_GONE: Final = bytearray()
"""What stands for a reply that was taken back; a reply of no bytes is another object."""

_Dependence = tuple[Journal, int, int, int, Writer]
"""The journal, where its reply begins and ends among the chunks, what it tells of, who wrote it.

A quiet command's ends where it begins."""


class Replies:
    """The replies that one client is still to be sent."""

    def __init__(self, counters: Counters, peer: str) -> None:
        self._counters = counters
        self.who = peer
        """The client's address, with its name if it has one: for the log."""
        self.writer: Writer
        """Writes the replies to the present command; set with the client's first byte."""
        self.chunks: list[bytes | bytearray] = []
        """The bytes of all replies, in pieces."""
        self.size = 0
        """Bytes of those replies that may be large."""
        self.may_tell: MayTell = None
        """Tells whether the client may know of a queue; ``None`` if it may know of all."""
        self._also: list[Journal] = []
        """Journals that the next reply depends on, beside those it is given for."""
        self.spoiled: str | None = None
        """Why the next reply must be an error; ``None`` if it need not."""
        self.depends: list[_Dependence] = []
        """The replies that depend on a commit of which it is not known that it succeeded."""

    @property
    def unsettled(self) -> bool:
        """Whether a reply depends on a commit, one given already or the next one."""
        return bool(self.depends or self._also)

    def take(self) -> list[bytes | bytearray]:
        """Hand over all replies to be sent: the commits that they depended on have succeeded."""
        chunks = self.chunks
        self.depends.clear()
        if self._also:
            self._also.clear()
        self.chunks = []
        self.size = 0
        return chunks

    def add(self, reply: bytes) -> None:
        """Give a whole reply."""
        self.chunks.append(reply)
        self.size += len(reply)

    def add_outcome(self, outcome: Outcome, *, quiet: bool = False) -> None:
        """Give a plain reply that depends on nothing, unless the client wants none."""
        if not quiet:
            self.chunks.append(self.writer.outcome(outcome))

    def add_for(
        self,
        journals: Sequence[Journal],
        outcome: Outcome,
        told: int = CHANGED,
        *,
        quiet: bool = False,
    ) -> None:
        """Give a plain reply that depends on the commits of some journals, perhaps of none.

        ``told`` is what it tells of: ``PUT`` or ``CHANGED``.
        """
        self._add(self.writer.outcome(outcome), journals, told, quiet=quiet)

    def add_number(self, journals: Sequence[Journal], number: int, *, quiet: bool) -> None:
        """Give a number that depends on the commits of some journals."""
        self._add(self.writer.number(number), journals, CHANGED, quiet=quiet)

    def add_part(self, part: bytes) -> None:
        """Give a part of a large reply that depends on nothing."""
        self.chunks.append(part)
        self.size += len(part)

    def _add(self, reply: bytes, journals: Sequence[Journal], told: int, *, quiet: bool) -> None:
        """Give a reply that depends on some journals, and on those that it was said to depend on.

        If one of the latter has failed already, an error is given instead.
        """
        if self.spoiled is not None:
            self.add_error(self.writer.server_error(self.spoiled), self.spoiled, quiet=quiet)
            return
        start = len(self.chunks)
        if not quiet:
            self.chunks.append(reply)
        end = len(self.chunks)
        for journal in (*journals, *self._also):
            self.depends.append((journal, start, end, told, self.writer))
            told = CHANGED  # what is told of several queues is counted once
        self._also.clear()

    def depend(self, journal: Journal) -> None:
        """Let the next reply depend on the commit of a journal, whatever that reply is."""
        self._also.append(journal)

    def stored(self, journal: Journal, item_id: int, *, quiet: bool) -> None:
        """Tell that an item was put, and with which id where the client asks for it."""
        writer, chunks = self.writer, self.chunks
        if writer.tells_id:
            writer.stored_as(item_id)
        start = len(chunks)
        if not quiet:
            chunks.append(writer.outcome(STORED))
        self.depends.append((journal, start, len(chunks), PUT, writer))

    def note_id(self, item_id: int) -> None:
        """Let the next outcome tell the id of an item that was put, if the client asks for it."""
        if self.writer.tells_id:
            self.writer.stored_as(item_id)

    def add_hit(self, hit: Hit, *, with_cas: bool, alone: bool) -> None:
        """Give an item; if it is ``alone``, close the reply, else ``end_hits`` must close it."""
        request, item, queue = hit
        data = item.data
        writer, chunks = self.writer, self.chunks
        start = len(chunks)
        if writer.detailed:
            now_ms, deliveries = queue.now_ms, queue.deliveries(item) - request.open
            origin = in_a_word(item, self.may_tell) if writer.tells_origin else b""
            chunks += writer.hit_in_detail(request.key, item, deliveries, now_ms, origin)
        else:
            chunks += writer.hit(request.key, item.flags, data, item.id if with_cas else None)
        self.size += len(data)
        if alone:
            if self._also or self.spoiled is not None:
                self.end_hits()
            else:
                chunks.append(writer.end_of_hits())
        if not request.peek:
            told = TAKEN if alone else TAKEN_AMONG_OTHERS
            self.depends.append((queue.journal, start, len(chunks), told, writer))

    def end_hits(self) -> None:
        """Close the reply to a get."""
        if self.spoiled is not None:
            self.chunks.append(self.writer.server_error(self.spoiled))
            self.spoiled = None
        else:
            self.chunks.append(self.writer.end_of_hits())
        if self._also:
            end = len(self.chunks)
            self.depends += [(each, end - 1, end, CHANGED, self.writer) for each in self._also]
            self._also.clear()

    def end_stream(self) -> None:
        """Close the reply to a monitor; an error goes before the end, and not in its place."""
        start = len(self.chunks)
        failed = self.spoiled is not None
        self.chunks.append(self.writer.server_error(self.spoiled or "") if failed else b"")
        self.spoiled = None
        for journal in self._also:
            self.depends.append((journal, start, start + 1, CHANGED, self.writer))
        self._also.clear()
        self.chunks.append(self.writer.end_of_hits())

    def add_error(self, error: bytes, reason: str, *, quiet: bool) -> None:
        """Give an error, or count it where the client wants no reply."""
        self._also.clear()  # an error tells of nothing that could fail
        self.spoiled = None
        if quiet:
            self._count_silent(reason)
        else:
            self.chunks.append(error)

    def revoke(self, failed: Collection[Journal]) -> None:
        """Put errors in place of the replies that depend on failed journals.

        The other replies are left, and go on to depend on their journals. No chunk is added or
        taken out: what else depends on a commit is found by its place among the chunks.
        """
        dependences, self.depends = self.depends, []
        for dependence in dependences:
            if dependence[0] in failed:
                self._replace(*dependence)
            else:
                self.depends.append(dependence)
        if self._also:
            for journal in self._also:
                if journal in failed:
                    self.spoiled = journal.failure
            self._also = [each for each in self._also if each not in failed]

    def settle(self) -> None:
        """Let all replies stand: the commits that they depended on have succeeded."""
        self.depends.clear()
        self._also.clear()

    def forget(self) -> None:
        """Drop everything: the client is gone."""
        self.chunks.clear()
        self.depends.clear()
        self._also.clear()
        self.size = 0

    def _replace(self, journal: Journal, start: int, end: int, told: int, writer: Writer) -> None:
        self._counters.total_items -= told == PUT
        self._counters.get_hits -= told in (TAKEN, TAKEN_AMONG_OTHERS)
        if start == end:
            self._count_silent(journal.failure)
            return
        if all(chunk is _GONE for chunk in self.chunks[start:end]):
            return  # it is a part of a reply that is an error already
        self.chunks[start:end] = [_GONE] * (end - start)
        # Without one item among others, the reply to a get is still whole.
        if told != TAKEN_AMONG_OTHERS:
            self.chunks[start] = writer.server_error(journal.failure)

    def _count_silent(self, reason: str) -> None:
        self._counters.noreply_errors += 1
        log.info("%s: a command without reply failed: %s", self.who, reason)
