"""The table as text for people who look once: no colours, every queue, every number in full."""

import unicodedata

from attrs import evolve

from starling_py.top.course import History
from starling_py.top.formats import format_bytes, format_count, format_uptime
from starling_py.top.rows import (
    COLUMNS,
    NAME,
    STATE,
    Column,
    make_table,
    sort_rows,
    total,
)
from starling_py.top.snapshot import Snapshot
from starling_py.top.wrong import alerts, marks, membership

_RATES = ("put", "get")
"""What one look cannot tell."""


def table(snapshot: Snapshot, sort: Column, reverse: bool, width: int | None) -> str:
    """Return the lines; ``width`` cells at most, but for names, or as wide as they are."""
    history = History()
    rows = [
        evolve(row, marks=marks(name, snapshot, history))
        for name, row in make_table(None, snapshot).rows.items()
    ]
    ordered = sort_rows(rows, sort, reverse)
    columns = [column for column in COLUMNS if column.key not in _RATES]
    cells = [[column.text(row) for column in columns] for row in ordered]
    last = [column.text(total(ordered, snapshot.taken)) for column in columns]
    heads = [column.title for column in columns]
    widths = [max(map(_width, each)) for each in zip(heads, last, *cells, strict=True)]
    while width is not None and sum(widths) + 2 * len(widths) - 2 > width and len(columns) > 3:
        place = max(at for at, column in enumerate(columns) if column not in (NAME, STATE, sort))
        del columns[place], heads[place], last[place], widths[place]
        for texts in cells:
            del texts[place]
    lines = [_server(snapshot), *(f"!! {alert}" for alert in alerts(snapshot)), ""]
    for each in (heads, *cells, last):
        padded = [
            text + " " * (room - _width(text)) if column in (NAME, STATE) else text.rjust(room)
            for column, text, room in zip(columns, each, widths, strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines) + "\n"


def _width(text: str) -> int:
    """Return how many cells a text takes; without urwid, which takes long to load."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(each) in "WF" for each in text)
    return len(text) + wide - sum(bool(unicodedata.combining(each)) for each in text)


def _server(snapshot: Snapshot) -> str:
    items = snapshot.number("curr_items")
    found = [
        f"version {snapshot.text('version')}",
        f"up {format_uptime(snapshot.number('uptime'))}",
        *([] if items is None else [f"items {format_count(items, 20)}"]),
        f"bytes {format_bytes(snapshot.number('bytes'))}",
        f"conns {snapshot.text('curr_connections')}",
        *membership(snapshot),
    ]
    return "   ".join(found)
