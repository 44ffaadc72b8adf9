"""From two snapshots to the rows of a table: pure functions over frozen values.

Invariants: a rate is never negative; where the server does not tell, or a counter shrank because
of a restart, the value is None and shows as ``-``. A row whose queue did not change is not made
anew, so that a table of ten thousand queues costs what has changed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import TypeVar

from attrs import evolve, frozen

from starling_py.top.formats import format_age, format_bytes, format_count, format_rate, printable
from starling_py.top.snapshot import Queue, Snapshot, has_restarted

_Number = TypeVar("_Number", int, float)

# Columns give way to a name up to the second of these, if there is one so long.
_NARROWEST_NAME, _COMMON_NAME = 12, 18


@frozen
class Row:
    """One line of the table: a queue, or all of them.

    Rates are per second, ``age`` is in milliseconds as of ``told``, ``size`` and ``logsize`` in
    bytes. ``key`` is the queue's name as the server tells it. ``marks`` are what is wrong with it,
    the worst first; ``is_broken`` tells that the server cannot use its journal.
    """

    name: str
    items: int
    open: int | None = None
    waiters: int | None = None
    put_rate: float | None = None
    get_rate: float | None = None
    age: int | None = None
    size: int | None = None
    delayed: int | None = None
    logsize: int | None = None
    expired: int | None = None
    is_broken: bool = False
    key: bytes = b""
    told: float = 0.0
    marks: tuple[str, ...] = ()

    def at(self, now: float) -> "Row":
        """Return the row as it is later: the oldest item has aged."""
        if self.age is None or now <= self.told:
            return self
        return evolve(self, age=self.age + round((now - self.told) * 1000), told=now)


@frozen
class Table:
    """What one look shows: a row per queue, and rates of the server as a whole."""

    rows: Mapping[bytes, Row]
    put_rate: float | None
    get_rate: float | None
    restarted: bool


@frozen
class Column:
    """A column: ``key`` names it in ``--sort``; ``value`` is None for what is sorted as text."""

    key: str
    title: str
    width: int
    value: Callable[[Row], float | None] | None
    text: Callable[[Row], str]


def make_table(previous: Snapshot | None, current: Snapshot, before: Table | None = None) -> Table:
    """Compare two snapshots; without a previous one, or across a restart, no rate is known.

    ``before`` is the table of the previous snapshot, whose rows are used again.
    """
    restarted = previous is not None and has_restarted(previous, current)
    old = None if restarted else previous
    seconds = current.taken - old.taken if old else 0.0
    rows = {}
    for name, queue in current.queues.items():
        was = old.queues.get(name) if old else None
        known = before.rows.get(name) if before is not None and was is queue else None
        if known is not None and known.put_rate in (0, None) and known.get_rate in (0, None):
            rows[name] = known if known.put_rate == 0 else evolve(known, put_rate=0.0, get_rate=0.0)
        else:
            rows[name] = _row(name, queue, was, seconds)

    def server_rate(key: str) -> float | None:
        if old is None:
            return None
        return rate(old.number(key), current.number(key), seconds)

    def taken_rate() -> float | None:
        # Gets that only look are hits, too; this command itself looks at items.
        hits, looks = server_rate("get_hits"), server_rate("cmd_peek")
        return hits if hits is None or looks is None else max(0.0, hits - looks)

    return Table(rows, server_rate("total_items"), taken_rate(), restarted)


def total(rows: Sequence[Row], now: float) -> Row:
    """Add up some rows; the age is the greatest."""
    ages = (row.age + (now - row.told) * 1000 for row in rows if row.age is not None)
    oldest = max(ages, default=None)
    return Row(
        name=f"{len(rows)} queue{'' if len(rows) == 1 else 's'}",
        items=sum(row.items for row in rows),
        open=_sum(row.open for row in rows),
        waiters=_sum(row.waiters for row in rows),
        put_rate=_sum(row.put_rate for row in rows),
        get_rate=_sum(row.get_rate for row in rows),
        age=None if oldest is None else round(oldest),
        size=_sum(row.size for row in rows),
        delayed=_sum(row.delayed for row in rows),
        logsize=_sum(row.logsize for row in rows),
        expired=_sum(row.expired for row in rows),
        told=now,
    )


def rate(before: int | None, after: int | None, seconds: float) -> float | None:
    """Return how fast a counter grew, per second; None if it shrank or nothing can be said."""
    if before is None or after is None or after < before or seconds <= 0:
        return None
    return (after - before) / seconds


def _row(name: bytes, queue: Queue, old: Queue | None, seconds: float) -> Row:
    return Row(
        name=printable(name),
        items=queue.items,
        open=queue.open,
        waiters=queue.waiters,
        put_rate=rate(old.total_items, queue.total_items, seconds) if old else None,
        get_rate=_take_rate(old, queue, seconds) if old else None,
        # Without an item that is due there is no head to be old; the original Starling repeats the
        # age of the last one.
        age=queue.age if queue.due > 0 else None,
        size=queue.size,
        delayed=queue.delayed,
        logsize=queue.logsize,
        expired=queue.expired,
        is_broken=queue.is_broken,
        key=name,
        told=queue.told,
    )


def _take_rate(old: Queue, new: Queue, seconds: float) -> float | None:
    if old.get_hits is not None and new.get_hits is not None:
        return rate(old.get_hits, new.get_hits, seconds)
    # Older servers count no takes: what was put and is not there has gone. This takes expired and
    # flushed items for takes, and more items without a put (open reads given back) for none.
    put = rate(old.total_items, new.total_items, seconds)
    if put is None:
        return None
    return max(0.0, put - (new.items - old.items) / seconds)


def _sum(values: Iterable[_Number | None]) -> _Number | None:
    known = [value for value in values if value is not None]
    return sum(known[1:], start=known[0]) if known else None


_name = attrgetter("name")
_first = itemgetter(0)


def sort_rows(rows: Iterable[Row], column: Column, reverse: bool) -> list[Row]:
    """Sort text ascending and numbers descending, or the other way round if ``reverse``.

    Equal rows are in the order of their names; unknown values are last either way.
    """
    value = column.value
    if value is None:
        by_name = sorted(rows, key=lambda row: row.name, reverse=reverse and column is NAME)
        if column is NAME:
            return by_name
        # Rows without a mark have nothing to be sorted by.
        marked = [row for row in by_name if row.marks]
        marked.sort(key=lambda row: MARKS.index(row.marks[0]), reverse=reverse)
        return marked + [row for row in by_name if not row.marks]
    known: list[tuple[float, Row]] = []
    unknown: list[Row] = []
    for row in sorted(rows, key=_name):  # quick where they are in that order already
        number = value(row)
        if number is None:
            unknown.append(row)
        else:
            known.append((number, row))
    known.sort(key=_first, reverse=not reverse)
    return [row for _, row in known] + unknown


def matching(rows: Iterable[Row], pattern: str) -> list[Row]:
    """Return the rows whose names contain a text, in any case; marks can be asked for too."""
    wanted = pattern.casefold()
    if not wanted:
        return list(rows)
    return [row for row in rows if wanted in row.name.casefold() or wanted in row.marks]


def fit_columns(width: int, sort: Column, longest_name: int) -> list[tuple[Column, int]]:
    """Return the columns that fit into ``width`` cells, one cell between them, with their widths.

    The rightmost give way to the queue's name, but never the one that is sorted by. The name gets
    no more room than the longest one needs.
    """
    wanted = min(max(longest_name, _NARROWEST_NAME), _COMMON_NAME)

    def left_for_name() -> int:
        return width - sum(column.width + 1 for column in shown[1:])

    shown = list(COLUMNS)
    for column in reversed(COLUMNS[1:]):
        if left_for_name() < wanted and column is not sort:
            shown.remove(column)
    name_width = max(1, min(left_for_name(), max(longest_name, _NARROWEST_NAME)))
    return [(column, column.width or name_width) for column in shown]


MARKS = ("broken", "full", "stuck", "dying", "growing", "paused")
"""What can be wrong with a queue, the worst first."""

COLUMNS = (
    Column("queue", "QUEUE", 0, None, lambda row: row.name),
    Column("state", "STATE", 7, None, lambda row: row.marks[0] if row.marks else ""),
    Column("items", "ITEMS", 10, lambda row: row.items, lambda row: format_count(row.items)),
    Column("open", "OPEN", 5, lambda row: row.open, lambda row: format_count(row.open, 5)),
    Column("put", "PUT/S", 6, lambda row: row.put_rate, lambda row: format_rate(row.put_rate)),
    Column("get", "GET/S", 6, lambda row: row.get_rate, lambda row: format_rate(row.get_rate)),
    Column(
        "age",
        "AGE",
        5,
        lambda row: None if row.age is None else row.age - row.told * 1000,
        lambda row: format_age(row.age),
    ),
    Column("waiters", "WAITERS", 8, lambda row: row.waiters, lambda r: format_count(r.waiters, 8)),
    Column("bytes", "BYTES", 6, lambda row: row.size, lambda row: format_bytes(row.size)),
    Column("delayed", "DELAYED", 8, lambda row: row.delayed, lambda r: format_count(r.delayed, 8)),
    Column("log", "LOG", 5, lambda row: row.logsize, lambda row: format_bytes(row.logsize)),
    Column("expired", "EXPIRED", 8, lambda row: row.expired, lambda r: format_count(r.expired, 8)),
)
"""The table's columns, the most important on the left: in a narrow window those on the right go.

``width`` counts cells, and 0 is all that is left.
"""
NAME, STATE = COLUMNS[0], COLUMNS[1]
