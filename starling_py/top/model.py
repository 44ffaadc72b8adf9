"""From two replies to ``stats`` to the rows of a table: pure functions over frozen values.

Invariants: a rate is never negative; where the server does not tell, or a counter shrank because
of a restart, the value is None and shows as ``-``. Text made for a terminal holds only printable
characters, whatever bytes a queue's name has. Nothing here reads a clock, a socket or a screen.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from attrs import frozen

_Number = TypeVar("_Number", int, float)

# A number of more than 20 digits is no counter, and would overflow the arithmetic on floats.
_COUNTER = re.compile(rb"\d{1,20}")
_INTEGER = re.compile(rb"-?(0|[1-9]\d{0,19})")
_DECIMAL = re.compile(rb"-?\d{1,20}\.\d{1,20}")
_PREFIX, _ITEMS = b"queue_", b"_items"
# What a ``queue_Q_items`` key may end in because it is another counter of a shorter-named queue.
_COUNTERS_ENDING_IN_ITEMS = (b"_total", b"_expired", b"_mem")
# Columns give way to a name up to the second of these, if there is one so long.
_NARROWEST_NAME, _COMMON_NAME = 12, 18
# Global counters that only grow while a server runs.
_GROWING = ("uptime", "total_items", "total_connections", "cmd_get", "cmd_set", "get_hits")


@frozen
class Queue:
    """One queue's counters at one moment; None is what the server does not tell.

    ``age`` is in milliseconds, ``bytes`` and ``logsize`` in bytes; ``get_hits`` counts the items
    taken. ``open`` counts the items handed out and not confirmed, ``delayed`` those of ``items``
    that cannot be taken yet.
    """

    items: int
    total_items: int | None = None
    open: int | None = None
    waiters: int | None = None
    get_hits: int | None = None
    age: int | None = None
    bytes: int | None = None
    delayed: int | None = None
    logsize: int | None = None
    expired: int | None = None
    is_broken: bool = False


@frozen
class Snapshot:
    """One reply to ``stats``, and when it came: ``taken`` is in seconds of a monotonic clock."""

    taken: float
    stats: Mapping[bytes, bytes]
    queues: Mapping[bytes, Queue]

    def number(self, key: str) -> int | None:
        """Return the global counter ``key``, or None if it is missing or not a whole number ≥ 0."""
        return _counter(self.stats.get(key.encode()))

    def text(self, key: str) -> str:
        """Return the value of ``key`` as printable text, ``-`` if it is missing."""
        return printable(self.stats.get(key.encode(), b"-"))


@frozen
class Row:
    """One line of the table: a queue, or all of them.

    Rates are per second, ``age`` is in milliseconds, ``bytes`` and ``logsize`` in bytes.
    ``is_broken`` tells that the server cannot use the queue's journal.
    """

    name: str
    items: int
    open: int | None = None
    waiters: int | None = None
    put_rate: float | None = None
    get_rate: float | None = None
    age: int | None = None
    bytes: int | None = None
    delayed: int | None = None
    logsize: int | None = None
    expired: int | None = None
    is_broken: bool = False


@frozen
class Table:
    """What one poll shows: a row per queue, their totals, and rates of the server as a whole."""

    rows: tuple[Row, ...]
    total: Row
    put_rate: float | None
    get_rate: float | None
    restarted: bool


@frozen
class Column:
    """A column: ``key`` names it in ``--sort``; ``value`` is None for the queue's name."""

    key: str
    title: str
    width: int
    value: Callable[[Row], float | None] | None
    text: Callable[[Row], str]


def take_snapshot(stats: Mapping[bytes, bytes], taken: float) -> Snapshot:
    """Find the queues in a reply to ``stats`` that came at ``taken`` (monotonic seconds)."""
    queues = {}
    for key, value in stats.items():
        items = _counter(value)
        name = key[len(_PREFIX) : -len(_ITEMS)]
        if key == _PREFIX + name + _ITEMS and name and items is not None and _is_queue(name, stats):
            queues[name] = Queue(
                items=items,
                total_items=_queue_counter(stats, name, b"_total_items"),
                open=_open_items(name, stats),
                waiters=_queue_counter(stats, name, b"_waiters"),
                get_hits=_queue_counter(stats, name, b"_get_hits"),
                age=_queue_counter(stats, name, b"_age"),
                bytes=_queue_counter(stats, name, b"_bytes"),
                delayed=_queue_counter(stats, name, b"_delayed"),
                logsize=_queue_counter(stats, name, b"_logsize"),
                expired=_queue_counter(stats, name, b"_expired_items"),
                is_broken=bool(_queue_counter(stats, name, b"_journal_broken")),
            )
    return Snapshot(taken, stats, queues)


def _is_queue(name: bytes, stats: Mapping[bytes, bytes]) -> bool:
    """Tell a queue called ``jobs_total`` from the counter ``total_items`` of a queue ``jobs``.

    The queue has a ``total_items`` of its own. Where both queues exist, two lines of the reply have
    the same key and nobody can tell them apart.
    """
    if _PREFIX + name + b"_total_items" in stats:
        return True
    return not any(
        name.endswith(ending) and _PREFIX + name.removesuffix(ending) + _ITEMS in stats
        for ending in _COUNTERS_ENDING_IN_ITEMS
    )


def _open_items(name: bytes, stats: Mapping[bytes, bytes]) -> int | None:
    """Return how many items of ``jobs`` are open; None if there is a queue ``jobs_open``.

    For that one has a counter ``transactions``, and two lines of the reply have the same key.
    """
    if _PREFIX + name + b"_open" + _ITEMS in stats:
        return None
    return _queue_counter(stats, name, b"_open_transactions")


def _counter(value: bytes | None) -> int | None:
    return int(value) if value is not None and _COUNTER.fullmatch(value) else None


def _queue_counter(stats: Mapping[bytes, bytes], name: bytes, suffix: bytes) -> int | None:
    return _counter(stats.get(_PREFIX + name + suffix))


def make_table(previous: Snapshot | None, current: Snapshot) -> Table:
    """Compare two snapshots; without a previous one, or across a restart, no rate is known."""
    restarted = previous is not None and has_restarted(previous, current)
    before = None if restarted else previous
    rows = tuple(
        _row(name, queue, before.queues.get(name) if before else None, before, current)
        for name, queue in current.queues.items()
    )
    total = Row(
        name=f"{len(rows)} queue{'' if len(rows) == 1 else 's'}",
        items=sum(row.items for row in rows),
        open=_sum(row.open for row in rows),
        waiters=_sum(row.waiters for row in rows),
        put_rate=_sum(row.put_rate for row in rows),
        get_rate=_sum(row.get_rate for row in rows),
        age=max((row.age for row in rows if row.age is not None), default=None),
        bytes=_sum(row.bytes for row in rows),
        delayed=_sum(row.delayed for row in rows),
        logsize=_sum(row.logsize for row in rows),
        expired=_sum(row.expired for row in rows),
    )

    def server_rate(key: str) -> float | None:
        if before is None:
            return None
        return rate(before.number(key), current.number(key), current.taken - before.taken)

    return Table(rows, total, server_rate("total_items"), server_rate("get_hits"), restarted)


def alerts(snapshot: Snapshot) -> list[str]:
    """Return what is wrong with the server, or keeps it from accepting puts, in a few words each.

    A window may cut the end off, so the one that can be long is the last.
    """
    found = []
    if snapshot.number("disk_full"):
        found.append("disk full")
    if snapshot.number("disk_low"):
        found.append("disk nearly full")
    if snapshot.number("memory_high"):
        found.append("memory_max reached")
    if snapshot.number("clients_paused"):
        found.append("client_memory used up")
    if lost := snapshot.number("files_lost"):
        found.append("files lost" if lost == 1 else f"files lost {lost} times")
    if snapshot.stats.get(b"replica_role") == b"follower":
        owner = printable(snapshot.stats.get(b"replica_owner", b""))
        found.append(f"follows {owner}, {snapshot.number('replica_lag')} messages behind")
    elif snapshot.number("accepting_conns") == 0:
        found.append("draining")
    if silent := (snapshot.number("replica_silent_ms") or 0) // 1000:
        found.append(f"the cluster is silent for {silent} s")
    broken = [printable(name) for name, queue in snapshot.queues.items() if queue.is_broken]
    if broken:
        what = "journal broken" if len(broken) == 1 else f"{len(broken)} journals broken"
        found.append(f"{what}: {', '.join(sorted(broken))}")
    return found


def has_restarted(previous: Snapshot, current: Snapshot) -> bool:
    """Tell whether the two snapshots come from two runs of the server."""
    if previous.stats.get(b"pid") != current.stats.get(b"pid"):
        return True
    pairs = ((previous.number(key), current.number(key)) for key in _GROWING)
    return any(old is not None and new is not None and new < old for old, new in pairs)


def rate(before: int | None, after: int | None, seconds: float) -> float | None:
    """Return how fast a counter grew, per second; None if it shrank or nothing can be said."""
    if before is None or after is None or after < before or seconds <= 0:
        return None
    return (after - before) / seconds


def _row(
    name: bytes, queue: Queue, old: Queue | None, before: Snapshot | None, current: Snapshot
) -> Row:
    seconds = current.taken - before.taken if before else 0.0
    return Row(
        name=printable(name),
        items=queue.items,
        open=queue.open,
        waiters=queue.waiters,
        put_rate=rate(old.total_items, queue.total_items, seconds) if old else None,
        get_rate=_pop_rate(old, queue, seconds) if old else None,
        # Without an item that is due there is no head to be old; the original Starling repeats the
        # age of the last one.
        age=queue.age if queue.items > (queue.delayed or 0) else None,
        bytes=queue.bytes,
        delayed=queue.delayed,
        logsize=queue.logsize,
        expired=queue.expired,
        is_broken=queue.is_broken,
    )


def _pop_rate(old: Queue, new: Queue, seconds: float) -> float | None:
    if old.get_hits is not None and new.get_hits is not None:
        return rate(old.get_hits, new.get_hits, seconds)
    # Older servers count no pops: what was put and is not there has gone. This takes expired and
    # flushed items for pops, and more items without a put (open reads given back) for none.
    put = rate(old.total_items, new.total_items, seconds)
    if put is None:
        return None
    return max(0.0, put - (new.items - old.items) / seconds)


def _sum(values: Iterable[_Number | None]) -> _Number | None:
    known = [value for value in values if value is not None]
    return sum(known[1:], start=known[0]) if known else None


def sort_rows(rows: Iterable[Row], column: Column, reverse: bool) -> list[Row]:
    """Sort names ascending and numbers descending, or the other way round if ``reverse``.

    Equal rows are in the order of their names; unknown values are last either way.
    """
    value = column.value
    if value is None:
        return sorted(rows, key=lambda row: row.name, reverse=reverse)
    known: list[tuple[float, Row]] = []
    unknown: list[Row] = []
    for row in sorted(rows, key=lambda row: row.name):
        number = value(row)
        if number is None:
            unknown.append(row)
        else:
            known.append((number, row))
    known.sort(key=lambda pair: pair[0], reverse=not reverse)
    return [row for _, row in known] + unknown


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


def printable(value: bytes) -> str:
    r"""Decode UTF-8; bytes that are none, and characters unfit for a terminal, become ``\x1b``."""
    text = value.decode(errors="backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def json_value(key: bytes, value: bytes) -> int | float | str:
    """Return a number for what is written like one, otherwise the text; a version is text."""
    if key != b"version":
        if _INTEGER.fullmatch(value):
            return int(value)
        if _DECIMAL.fullmatch(value):
            return float(value)
    return value.decode(errors="backslashreplace")


def format_count(count: int | None, cells: int = 10) -> str:
    """Write a number in full if it fits into ``cells`` cells, else in ``k``, ``M`` and so on."""
    if count is None:
        return "-"
    text, units = str(count), iter("kMGTPEZ")
    while len(text) > cells:
        count //= 1000
        text = f"{count}{next(units)}"
    return text


def format_rate(per_second: float | None) -> str:
    """Write a rate with up to two decimals where it is small, in thousands from 100,000 on."""
    if per_second is None:
        return "-"
    if per_second >= 99_999.5:
        return f"{per_second / 1000:.0f}k"
    if per_second == 0 or per_second >= 9.95:
        return f"{per_second:.0f}"
    return f"{per_second:.1f}" if per_second >= 0.995 else f"{per_second:.2f}"


def format_age(milliseconds: int | None) -> str:
    """Write an age in its largest fitting unit: ``1.2s``, ``45s``, ``3m``, ``2h``, ``5d``."""
    if milliseconds is None:
        return "-"
    seconds = milliseconds / 1000
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "m"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds // 86_400)}d"


def format_bytes(size: int | None) -> str:
    """Write bytes with at most four digits and a binary unit: ``512B``, ``1.5K``, ``23M``."""
    if size is None:
        return "-"
    if size < 1024:
        return f"{size}B"
    scaled, units = size / 1024, iter("KMGTPEZ")
    unit = next(units)
    while scaled >= 1023.5:
        scaled, unit = scaled / 1024, next(units)
    return f"{scaled:.1f}{unit}" if scaled < 9.95 else f"{scaled:.0f}{unit}"


def format_uptime(seconds: int | None) -> str:
    """Write a time the server has been up in its two largest units: ``3h 4m``."""
    if seconds is None:
        return "-"
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}h {minutes}m"
    return f"{minutes}m {seconds}s" if minutes else f"{seconds}s"


COLUMNS = (
    Column("queue", "QUEUE", 0, None, lambda row: row.name),
    Column("items", "ITEMS", 10, lambda row: row.items, lambda row: format_count(row.items)),
    Column("open", "OPEN", 5, lambda row: row.open, lambda row: format_count(row.open, 5)),
    Column("waiters", "WAITERS", 8, lambda row: row.waiters, lambda r: format_count(r.waiters, 8)),
    Column("put", "PUT/S", 6, lambda row: row.put_rate, lambda row: format_rate(row.put_rate)),
    Column("get", "GET/S", 6, lambda row: row.get_rate, lambda row: format_rate(row.get_rate)),
    Column("age", "AGE", 5, lambda row: row.age, lambda row: format_age(row.age)),
    Column("bytes", "BYTES", 6, lambda row: row.bytes, lambda row: format_bytes(row.bytes)),
    Column("delayed", "DELAYED", 8, lambda row: row.delayed, lambda r: format_count(r.delayed, 8)),
    Column("log", "LOG", 5, lambda row: row.logsize, lambda row: format_bytes(row.logsize)),
    Column("expired", "EXPIRED", 8, lambda row: row.expired, lambda r: format_count(r.expired, 8)),
)
"""The table's columns, the most important on the left: in a narrow window those on the right go.

``width`` counts cells, and 0 is all that is left.
"""
