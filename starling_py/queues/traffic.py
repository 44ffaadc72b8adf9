"""Items on their way from and to one queue.

An item that leaves is put into its new queues first, and removed from its own only when it is safe
in all of them; until then it does not wait. This module only keeps track of that, and the queue
imports it; the work is done in ``moves``, which imports the queue.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from starling_py.journal.errors import JournalError
from starling_py.journal.format.record import Item
from starling_py.journal.journal import Journal
from starling_py.queues.slices import Steps


class MoveSource(Protocol):
    """The queue that an item leaves."""

    name: bytes
    journal: Journal
    traffic: "Traffic"

    @property
    def now_ms(self) -> int:
        """The time on the wall clock, in milliseconds since the Unix epoch."""

    def note_change(self) -> None:
        """Note that the queue's numbers are others: fewer items wait."""

    def remove(self, item: Item) -> None:
        """Remove an item that does not wait any more. Raises ``JournalError``."""

    def come_back(self, item: Item) -> None:
        """Let an item wait in its old place, and serve those who wait."""


class Move:
    """One item on its way."""

    def __init__(
        self, source: MoveSource, item: Item, target: bytes, deliveries: int, reason: int
    ) -> None:
        """``target`` is the name of the queue that the item goes to.

        ``deliveries`` is how often it was handed out, so that this is not forgotten there.
        ``reason`` is one of ``journal.format.origin``: what is moved by hand returns if it is
        refused.
        """
        self.reason = reason
        self.began_ms = source.now_ms
        """When it began, in milliseconds since the Unix epoch."""
        self.settled = False
        """Whether it was removed from its own queue, and that is safe."""
        self.refused = ""
        """Why it returned, as it was refused; empty if it was not."""
        self.source = source
        self.item = item
        self.target = target
        self.deliveries = deliveries
        self.reached: frozenset[bytes] = frozenset()
        """Names of the queues that it was put into."""
        self.unsafe = 0
        """In how many of them it is not safe yet."""
        self.missing: frozenset[bytes] = frozenset()
        """Names of the queues that it must be put into again, as that was undone."""
        self.delivering = False
        """Whether its copies are being put just now, which may take several turns."""
        self.write = 0
        """The write of its own queue's journal that removes it."""

    @property
    def arrived(self) -> bool:
        """Whether it is safe in all its new queues."""
        return bool(self.reached) and not (self.unsafe or self.missing or self.delivering)


@dataclass(eq=False)
class Copy:
    """A moved item in one of its new queues."""

    move: Move
    queue: bytes
    """That queue's name."""
    id: int
    """The item's id there."""
    write: int
    """The write of that queue's journal that puts it there."""


class Mover(Protocol):
    """Does the work of moving, and is told how the copies get on."""

    @property
    def crowded(self) -> bool:
        """Whether so many moves wait that no more should begin for now."""

    def begin_move(self, move: Move) -> None:
        """Move an item that was taken out of what waits."""

    def copy_is_safe(self, copy: Copy) -> None:
        """Go on with an item that is safe in one of its new queues."""

    def copy_is_undone(self, copy: Copy) -> None:
        """Put an item again into one of its new queues, where it was taken back."""

    def finish_later(self, move: Move) -> None:
        """Remove an item from its own queue again, as its removal was undone."""


# An empty deque takes 760 bytes, and most queues never need one: these are never added to.
_NONE_LEFT: Final[deque[Move]] = deque()
_NONE_ARRIVE: Final[deque[Copy]] = deque()


class Traffic:
    """The moves from and to one queue whose outcome is not safe yet."""

    def __init__(self, mover: Mover) -> None:
        self._mover = mover
        self.leaving: dict[int, Move] = {}
        """Items that are being moved away and are still counted here, by id."""
        self.left = _NONE_LEFT
        """Items that were removed here, until that is safe."""
        self.arriving = _NONE_ARRIVE
        """Copies that were put here, until that is safe."""
        self.watchers: list[Callable[[JournalError | None], None]] = []
        """Called, once, when an item that leaves has left for good, returned, or is gone."""

    def add_left(self, move: Move) -> None:
        """Learn that an item was removed here."""
        if self.left is _NONE_LEFT:
            self.left = deque()
        self.left.append(move)

    def add_arriving(self, copy: Copy) -> None:
        """Learn that a copy was put here."""
        if self.arriving is _NONE_ARRIVE:
            self.arriving = deque()
        self.arriving.append(copy)

    def tell(self) -> None:
        """Call those who wait for what becomes of the items that leave."""
        watchers = self.watchers[:]
        self.watchers.clear()
        for watcher in watchers:
            watcher(None)

    def abandon(self) -> None:
        """Forget what leaves: the queue is deleted."""
        self.leaving.clear()
        self.tell()

    def on_safe(self, writes: int) -> Steps:
        """Go on with the moves: the first ``writes`` writes of the queue's journal are safe."""
        while self.left and self.left[0].write <= writes:
            self.left.popleft().settled = True
            yield None
        if self.watchers:
            self.tell()
        while self.arriving and self.arriving[0].write <= writes:
            self._mover.copy_is_safe(self.arriving.popleft())
            yield None

    def on_rolled_back(self, is_live: Callable[[int], bool], next_id: int) -> None:
        """Have done again what was undone: removals here, and copies put here.

        ``is_live`` and ``next_id`` are those of the journal's ledger, which tells what was.
        """
        left, self.left = self.left, deque()
        for move in left:
            if is_live(move.item.id):
                self.leaving[move.item.id] = move
                self._mover.finish_later(move)
            elif move.item.id < next_id:
                self.left.append(move)  # its removal is written, and may be undone yet
        for item_id in [each for each in self.leaving if not is_live(each)]:
            del self.leaving[item_id]
        undone = [copy for copy in self.arriving if copy.id >= next_id]
        self.arriving = deque(copy for copy in self.arriving if copy.id < next_id)
        for copy in undone:
            self._mover.copy_is_undone(copy)
        self.tell()
