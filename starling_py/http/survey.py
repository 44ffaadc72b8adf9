"""What the page shows of all queues, kept up to date by what has changed.

One look a second serves all who watch. It costs what has changed, whatever number of queues there
is, and what is shown costs what is shown and a look at the rows for their order. Nothing is kept
when nobody watches.
"""

import heapq
from collections.abc import Callable, Iterator
from typing import Final

import attrs

from starling_py.http.source import Numbers, Source, text_of
from starling_py.stats import WATCHED

MOST_LOOKED_AT: Final = 2000
"""Queues that one look takes in; of more that have changed, the next one does."""
MOST_ROWS: Final = 200
"""Rows that are shown at the most."""
STUCK: Final = 60.0
"""Seconds without a get after which a queue with items, for which nobody waits, is stuck."""
GROWING: Final = 1.0
"""Items a second that a queue must grow by, on the average of half a minute, to be growing."""
_AVERAGED: Final = 30.0
_AT_ONCE: Final = 32
"""Queues that are looked at in one step."""

_AT: Final = {name: index for index, name in enumerate(WATCHED)}
_ITEMS, _PUTS, _GETS = _AT["items"], _AT["total_items"], _AT["get_hits"]
_AGE, _LAST_GET, _WAITERS = _AT["age"], _AT["last_get"], _AT["waiters"]


@attrs.define(eq=False)
class Row:
    """One queue."""

    name: bytes
    text: str
    numbers: Numbers
    at: float
    """When the numbers were taken, on the monotonic clock."""
    puts: float = 0.0
    """Items put a second, between the last two looks; the same of those taken."""
    gets: float = 0.0
    growth: float = 0.0
    """Items a second that it grows by, averaged."""

    def age(self, now: float) -> float:
        """Return how many seconds the oldest item has waited by now; -1 while that is unknown."""
        age = self.numbers[_AGE] / 1000
        return age + now - self.at if age > 0 else age

    def marks(self, now: float, uptime: float) -> list[str]:
        """Return what is wrong with the queue, in single words.

        What nobody has taken from since the start may have been taken from before.
        """
        numbers = self.numbers
        marks = [mark for mark, name in _MARKS if numbers[_AT[name]]]
        idle = numbers[_LAST_GET] / 1000 + now - self.at
        if numbers[_LAST_GET] < 0:
            idle = min(self.age(now), uptime)
        if numbers[_ITEMS] and not numbers[_WAITERS] and idle > STUCK:
            marks.append("stuck")
        if self.growth > GROWING:
            marks.append("growing")
        return marks


_MARKS: Final = (("broken", "journal_broken"), ("paused", "paused"), ("full", "full"))


@attrs.frozen
class Wish:
    """What somebody wants to see."""

    sort: str = "items"
    rising: bool = False
    part: str = ""
    """A part that names must have, whatever their case."""
    rows: int = 50


_Order = Callable[[Row, float], "float | str"]
ORDERS: Final[dict[str, _Order]] = {
    "items": lambda row, _: row.numbers[_ITEMS],
    "bytes": lambda row, _: row.numbers[_AT["bytes"]],
    "puts": lambda row, _: row.puts,
    "gets": lambda row, _: row.gets,
    "age": Row.age,
    "open": lambda row, _: row.numbers[_AT["open_transactions"]],
    "waiters": lambda row, _: row.numbers[_WAITERS],
    "dead": lambda row, _: row.numbers[_AT["dead_lettered"]],
    "name": lambda row, _: row.text,
}
"""What rows can be sorted by."""


class Survey:
    """All queues, as they were at the last look."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.forget()

    def forget(self) -> None:
        """Keep nothing: nobody watches."""
        self.rows: dict[bytes, Row] = {}
        self._token = b""
        self._moving: set[Row] = set()
        """Those whose rates are not 0."""
        self.at = 0.0
        """When the last look was, on the monotonic clock; 0 if there was none."""
        self.queues = self.items = self.bytes = 0

    def look(self) -> Iterator[None]:
        """Look, in short steps, what has changed."""
        source = self._source
        changed = yield from source.changed(self._token, MOST_LOOKED_AT)
        if changed.anew:
            self.rows.clear()
            self._moving.clear()
        self._token, before = changed.token, self.at
        self.at = now = source.now()
        seconds = max(now - before, 0.1) if before else _AVERAGED
        self.queues, self.items, self.bytes = changed.queues, changed.items, changed.bytes
        moving = set()
        for start in range(0, len(changed.names), _AT_ONCE):
            for name in changed.names[start : start + _AT_ONCE]:
                row = self._take_in(name, now, seconds)
                if row is not None and (row.puts or row.gets):
                    moving.add(row)
            yield None
        for row in self._moving - moving:
            row.puts = row.gets = 0.0
        for row in list(self._moving | moving):
            _average(row, seconds)
            if row.puts or row.gets or abs(row.growth) > GROWING / 10:
                moving.add(row)
            else:
                row.growth = 0.0
        self._moving = moving

    def _take_in(self, name: bytes, now: float, seconds: float) -> Row | None:
        numbers = self._source.numbers(name)
        row = self.rows.get(name)
        if numbers is None:
            self.rows.pop(name, None)
            return None
        if row is None:
            row = self.rows[name] = Row(name, text_of(name), numbers, now)
            return row
        # What was deleted and made again begins anew.
        row.puts = max(0, numbers[_PUTS] - row.numbers[_PUTS]) / seconds
        row.gets = max(0, numbers[_GETS] - row.numbers[_GETS]) / seconds
        row.numbers, row.at = numbers, now
        return row

    def shown(self, wish: Wish) -> tuple[int, list[Row]]:
        """Return how many queues a wish is about, and those of them that come first."""
        rows, part, now = self.rows.values(), wish.part.casefold(), self.at
        found = [row for row in rows if part in row.text.casefold()] if part else list(rows)
        order = ORDERS[wish.sort]
        first = heapq.nsmallest if wish.rising else heapq.nlargest
        return len(found), first(wish.rows, found, key=lambda row: order(row, now))

    @property
    def rates(self) -> tuple[float, float]:
        """Items put and taken a second, of all queues."""
        return (
            sum(row.puts for row in self._moving),
            sum(row.gets for row in self._moving),
        )


def _average(row: Row, seconds: float) -> None:
    part = min(1.0, seconds / _AVERAGED)
    row.growth += (row.puts - row.gets - row.growth) * part
