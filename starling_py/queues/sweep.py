"""The removal of dead items at the head of a queue, where there are too many for one turn.

Whoever looks at the head removes the dead items that stand before the first live one. When that
takes too long, ``NotSwept`` says so: the rest is removed in slices, and whoever asked is told when
to ask again. Who waits for an item of the queue is served afterwards.
"""

from collections.abc import Callable
from typing import Protocol

from starling_py.journal.errors import JournalError
from starling_py.journal.format.record import Item
from starling_py.queues.errors import NotLoaded, NotSwept
from starling_py.queues.slices import LATER, Slices, Steps
from starling_py.queues.traffic import Mover


class SweptQueue(Protocol):
    """The queue whose head is looked at."""

    deleted: bool

    @property
    def now_ms(self) -> int:
        """The time on the wall clock, in milliseconds since the Unix epoch."""

    def peek(self, now_ms: int) -> Item | None:
        """Remove the dead items at the head. Raises ``JournalError`` and ``NotLoaded``."""

    def available(self) -> None:
        """Serve the clients that wait for an item."""


class SweepKeeper(Protocol):
    """What a sweep needs of the directory that the queue is in."""

    slices: Slices
    moves: Mover


class Sweep:
    """Removes the dead items of one queue in slices."""

    def __init__(self, queue: SweptQueue, keeper: SweepKeeper) -> None:
        self._queue: SweptQueue | None = queue
        self._keeper = keeper
        self._under_way = False
        self._asked: list[Callable[[JournalError | None], None]] = []

    def check(self, dead: int, *, moves: bool) -> None:
        """Raise ``NotSwept`` if no more dead items should be removed for now.

        ``dead`` were removed already; ``moves``: they are moved to another queue, where so many may
        be on their way that no more should begin.
        """
        slices = self._keeper.slices
        crowded = moves and self._keeper.moves.crowded
        if crowded or (dead >= max(1, slices.at_once // 4) and slices.spent):
            if not self._under_way:
                self._under_way = True
                slices.add(self._steps())
            raise NotSwept(self._asked.append)

    def let_go(self) -> None:
        """Refer to the queue no more: it is gone."""
        self._queue = None

    def _steps(self) -> Steps:
        failure = None
        try:
            while (queue := self._queue) is not None and not queue.deleted:
                try:
                    queue.peek(queue.now_ms)
                except NotSwept:
                    yield LATER
                except NotLoaded as missing:
                    yield missing
                else:
                    break
        except JournalError as problem:
            failure = problem
        self._under_way = False
        asked = self._asked[:]
        self._asked.clear()
        for ask_again in asked:
            ask_again(failure)
            yield None
        if self._queue is not None:
            self._queue.available()
