"""The figures of a spool's queues, as a start would find them.

Of each queue only the last segment is read, and a block of the first one for the age of the item at
the head. So this is quick on any spool, but finds no damage in the other segments.
"""

from collections.abc import Iterable, Sequence

import attrs

from starling_py import keys
from starling_py.journal.blocks import Reading
from starling_py.journal.disk.files import Files
from starling_py.journal.ledger import Ledger
from starling_py.journal.recovery.examination import Examination, Recovered
from starling_py.offline.spool_directory import QueueFiles

_COLUMNS = (
    ("items", "ITEMS"),
    ("bytes", "BYTES"),
    ("delivered", "DELIVERED"),
    ("next_id", "NEXT ID"),
    ("segments", "SEGMENTS"),
    ("disk_bytes", "DISK"),
    ("live_bytes", "LIVE"),
    ("dead_bytes", "DEAD"),
    ("age_ms", "AGE"),
    ("queue", "QUEUE"),
)


@attrs.frozen
class Figures:
    """One queue in figures."""

    queue: bytes
    items: int
    bytes: int
    """Of the live items' data."""
    delivered: int
    """Live items that were handed out before and not confirmed."""
    next_id: int | None
    """The id that the next item gets; ``None`` in a total."""
    segments: int
    disk_bytes: int
    """Of all files in the queue's directory."""
    live_bytes: int
    """Of the live items' records."""
    age_ms: int | None
    """How long the item at the head has waited, in milliseconds; ``None`` if there is none."""

    @property
    def dead_bytes(self) -> int:
        """Bytes on disk that are not of live items' records."""
        return self.disk_bytes - self.live_bytes

    def values(self) -> dict[str, int | str | None]:
        """Return the figures by name, for a JSON object."""
        values: dict[str, int | str | None] = {
            name: getattr(self, name) for name, _ in _COLUMNS if name != "queue"
        }
        return {"queue": self.queue.decode(errors="backslashreplace"), **values}


def measure(files: Files, directory: str, now_ms: int) -> Figures | None:
    """Return the figures of the queue in a directory; ``None`` if there is no queue in it.

    ``now_ms``: milliseconds since the Unix epoch, for the age. Raises ``OSError`` and
    ``JournalDamagedError``.
    """
    state = Examination(files, directory, quarantine=True).run()
    if state is None or state.ledger.deleted:
        return None
    if state.missing is not None:
        raise state.missing
    if state.lost:
        raise state.lost[0][1]
    ledger = state.ledger
    disk_bytes = sum(files.size(f"{directory}/{name}") for name in files.list_directory(directory))
    own = QueueFiles.read(files, directory)
    return Figures(
        state.queue,
        ledger.items,
        ledger.bytes,
        sum(each.deliveries > 0 for each in ledger.facts.values()),
        ledger.next_id,
        len(own.segments) + len(own.unfinished),
        disk_bytes,
        ledger.live_size,
        _age(files, state, ledger, now_ms),
    )


def _age(files: Files, state: Recovered, ledger: Ledger, now_ms: int) -> int | None:
    """Return how long the item at the head has waited, in milliseconds; ``None`` if there is none.

    Raises ``OSError`` and ``JournalDamagedError``.
    """
    if not ledger.items:
        return None
    reading = Reading(
        files, state.salt, ledger.segments, (0, 0), ledger.head - 1, ledger.removed_ids, room=1
    )
    reading.run()
    if reading.error is not None:
        raise reading.error
    return max(now_ms - reading.items[0].added_ms, 0) if reading.items else None


def total(figures: Iterable[Figures]) -> Figures:
    """Return the figures of all queues together."""
    all_of_them = list(figures)
    ages = [each.age_ms for each in all_of_them if each.age_ms is not None]
    return Figures(
        b"total",
        sum(each.items for each in all_of_them),
        sum(each.bytes for each in all_of_them),
        sum(each.delivered for each in all_of_them),
        None,
        sum(each.segments for each in all_of_them),
        sum(each.disk_bytes for each in all_of_them),
        sum(each.live_bytes for each in all_of_them),
        max(ages, default=None),
    )


def table(figures: Sequence[Figures]) -> list[str]:
    """Return the figures as lines of a table, with a head, and the total last."""
    rows = [[title for _, title in _COLUMNS]]
    rows += [_row(each, keys.printable(each.queue)) for each in figures]
    rows.append(_row(total(figures), "total"))
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [cell.rjust(width) for cell, width in zip(row[:-1], widths[:-1], strict=True)]
            + row[-1:]
        )
        for row in rows
    ]


def _row(each: Figures, name: str) -> list[str]:
    cells = [getattr(each, column) for column, _ in _COLUMNS[:-2]]
    age = "-" if each.age_ms is None else f"{each.age_ms / 1000:.1f}s"
    return [*("-" if cell is None else str(cell) for cell in cells), age, name]
