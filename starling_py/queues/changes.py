"""Which queues have changed since somebody asked last, so that a monitor is told of those alone.

Queues note that they may have changed (``QueueDirectory.changed``), and whoever asks has each of
them given the next *change number*; so nothing is kept for those who ask. Invariant: who is told of
all changes above the last number that it knows has the numbers of every queue as they were at the
last look, but for the times, which grow by themselves. An answer costs what has changed, whatever
number of queues there is; the first one costs all of them.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from starling_py.queues import numbers
from starling_py.queues.queue_directory import REMEMBERED, QueueDirectory
from starling_py.queues.slices import Steps
from starling_py.queues.waiters import Waiters

_LOOKED_AT: Final = 64
"""Queues that are looked at in one step."""


@dataclass
class Found:
    """What a look has found."""

    queues: int = 0
    """How many queues there are."""
    items: int = 0
    size: int = 0
    """Items in all of them, and bytes of their data."""
    token: bytes = b""
    """What to ask with the next time."""
    anew: bool = False
    """Whether it is about all queues: the token that was asked with tells nothing."""
    left: int = 0
    """Queues that have changed too, and are told of the next time."""
    names: list[bytes] = field(default_factory=list)
    """The queues that have changed, the one first whose change is the oldest.

    Those that are gone are among them; ``Changes.numbers`` has nothing to tell of them."""


@dataclass
class _Known:
    """A queue as it was found last."""

    number: int
    """Its change number."""
    items: int
    bytes: int
    waiters: int


class Changes:
    """The queues of one directory, and when each was found changed."""

    def __init__(self, directory: QueueDirectory, waiters: Waiters) -> None:
        self._directory = directory
        self._waiters = waiters
        self._start = directory.clock.wall_ms
        self._last = 0
        """The last change number that was given."""
        self._known: dict[bytes, _Known] | None = None
        """What is known of each queue, in the order of the change numbers; before the first look
        nothing."""
        self._items = 0
        self._bytes = 0
        """Items and bytes of all of them."""
        self._waited: set[bytes] = set()
        """Queues that clients were found waiting for."""
        self._gone: deque[tuple[int, bytes]] = deque()
        """Queues that were found gone, and their change numbers."""
        self._forgotten = 0
        """Whoever knows no later number may know queues that are gone, and nobody tells."""
        self._seen_going = 0

    def look(self, token: bytes, most: int, found: Found) -> Steps:
        """Find up to ``most`` queues that have changed since ``token`` was given.

        A token that means nothing here, an empty one too, is for all queues.
        """
        yield from self._find_changed()
        assert self._known is not None, "it has just been found"
        since, last = self._number(token), self._last
        found.queues, found.items, found.size = len(self._known), self._items, self._bytes
        found.anew = since < self._forgotten
        changed = [] if found.anew else [each for each in self._gone if each[0] > since]
        yield from self._collect(-1 if found.anew else since, last, changed)
        found.left = max(0, len(changed) - most)
        found.names = [name for _, name in changed[:most]]
        found.token = b"%x-%d" % (self._start, changed[most - 1][0] if found.left else last)

    def numbers(self, name: bytes) -> tuple[int, ...] | None:
        """Return the numbers of ``stats.WATCHED`` of a queue, as they are now.

        ``None`` when it does not exist.
        """
        queue = self._directory.by_name.get(name)
        if queue is None or queue.deleted:
            return None
        # That is later than the look, and all that changes in between is noted but who waits.
        waiters = self._waiters.count(name)
        known = None if self._known is None else self._known.get(name)
        if known is not None and known.waiters != waiters:
            self._note(name, only_waiters=True)
            self._waited.add(name)
        return numbers.watched(queue, queue.now_ms, waiters)

    def _find_changed(self) -> Steps:
        """Give a number to each queue that may have changed since the last look."""
        directory = self._directory
        if self._known is None:
            self._known = {}
            directory.untold.update(dict.fromkeys(directory.by_name))
            self._seen_going = directory.gone
        went, self._seen_going = directory.gone - self._seen_going, directory.gone
        if went > len(directory.went):
            yield from self._note_all(list(self._known))  # nobody knows which ones
        elif went:
            yield from self._note_all(list(directory.went)[-went:])
        directory.share_changed()
        changed = list(directory.untold)
        directory.untold.clear()
        yield from self._note_all(changed)
        # Who begins or ceases to wait changes nothing of the queue.
        waited, self._waited = self._waited, set(self._waiters.names())
        yield from self._note_all([*(waited - self._waited), *self._waited], only_waiters=True)

    def _note_all(self, names: Sequence[bytes], *, only_waiters: bool = False) -> Steps:
        for start in range(0, len(names), _LOOKED_AT):
            for name in names[start : start + _LOOKED_AT]:
                self._note(name, only_waiters=only_waiters)
            yield None

    def _note(self, name: bytes, *, only_waiters: bool) -> None:
        """Give a queue the next change number, also if it is gone."""
        assert self._known is not None, "there was a look"
        queue, waiters = self._directory.by_name.get(name), self._waiters.count(name)
        known = self._known.get(name)
        if only_waiters and (known is None or known.waiters == waiters):
            return
        if known is not None:
            del self._known[name]  # so that it is the last again
            self._items -= known.items
            self._bytes -= known.bytes
        if queue is not None and not queue.deleted:
            self._last += 1
            known = _Known(self._last, len(queue), queue.bytes, waiters)
            self._known[name] = known
            self._items += known.items
            self._bytes += known.bytes
        elif known is not None:
            self._last += 1
            self._gone.append((self._last, name))
            if len(self._gone) > REMEMBERED:
                self._forgotten = self._gone.popleft()[0]

    def _number(self, token: bytes) -> int:
        """Return the change number that a token stands for; -1 if it was not given here."""
        start, _, number = token.partition(b"-")
        if start != b"%x" % self._start or not number.isdigit() or len(number) > 18:
            return -1
        return int(number) if int(number) <= self._last else -1

    def _collect(self, since: int, last: int, changed: list[tuple[int, bytes]]) -> Steps:
        """Add the queues with numbers above ``since`` to ``changed``, and bring it into order.

        What changes meanwhile gets a number above ``last``, and is for the next look.
        """
        assert self._known is not None, "there was a look"
        names = list(reversed(self._known))
        for start in range(0, len(names), _LOOKED_AT):
            for name in names[start : start + _LOOKED_AT]:
                known = self._known.get(name)
                if known is not None and known.number <= since:
                    changed.sort()
                    return
                if known is not None and known.number <= last:
                    changed.append((known.number, name))
            yield None
        changed.sort()
