"""What is on its way from and to one queue.

An item that leaves is put into its new queues first, and removed from its own only when it is safe
in all of them. Until then it waits for nobody. This module keeps the track of it, below the queue;
what is done about it is in ``moves``, above.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from starling_py.journal.format.record import Item
from starling_py.journal.journal import Journal


class MoveSource(Protocol):
    """The queue that an item leaves."""

    name: bytes
    journal: Journal
    traffic: "Traffic"

    def remove(self, item: Item) -> None:
        """Remove an item that does not wait any more. Raises ``JournalError``."""


class Move:
    """One item on its way."""

    def __init__(self, source: MoveSource, item: Item, target: bytes, deliveries: int) -> None:
        """``target`` is the name of the queue that it goes to.

        ``deliveries`` is how often it was handed out.
        """
        self.source = source
        self.item = item
        self.target = target
        self.deliveries = deliveries
        self.reached: frozenset[bytes] = frozenset()
        """The queues that it was put into."""
        self.unsafe = 0
        """In how many of them it is not safe yet."""
        self.missing: frozenset[bytes] = frozenset()
        """Queues that it has to be put into again, as that was undone."""
        self.write = 0
        """The write of its own queue's journal that must become safe."""

    @property
    def arrived(self) -> bool:
        """Whether it is safe wherever it goes."""
        return bool(self.reached) and not self.unsafe and not self.missing


@dataclass(eq=False)
class Copy:
    """An item that is moved, in one of the queues that it goes to."""

    move: Move
    queue: bytes
    """That queue's name."""
    id: int
    """The item's id there."""
    write: int
    """The write of that queue's journal that must become safe."""


class Mover(Protocol):
    """What is told how items get on that are on their way."""

    def begin_move(self, move: Move) -> None:
        """Move an item that has been taken out of what waits."""

    def copy_is_safe(self, copy: Copy) -> None:
        """Go on with an item that is safe in one of its new queues."""

    def copy_is_undone(self, copy: Copy) -> None:
        """Put an item again into one of its new queues, where it was taken back."""

    def finish_later(self, move: Move) -> None:
        """Remove an item from its old queue again, as that was undone."""


class Traffic:
    """What is on its way from and to one queue."""

    def __init__(self, mover: Mover) -> None:
        self._mover = mover
        self.leaving: dict[int, Move] = {}
        """What is still counted here, by id."""
        self.left: deque[Move] = deque()
        """What was removed here, while that is not safe."""
        self.arriving: deque[Copy] = deque()
        """What was put here, while that is not safe."""

    def on_safe(self, writes: int) -> None:
        """Take notice that so many writes of the queue's journal are safe."""
        while self.left and self.left[0].write <= writes:
            self.left.popleft()
        while self.arriving and self.arriving[0].write <= writes:
            self._mover.copy_is_safe(self.arriving.popleft())

    def on_rolled_back(self, is_live: Callable[[int], bool], next_id: int) -> None:
        """Begin anew with what was undone."""
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
