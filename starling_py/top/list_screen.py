"""The first screen: the server, its queues as a table, their totals, and the keys.

Pure: from what there is to show to lines of exactly the window's width. Whole columns, fields and
keys give way where the window is narrow; the one that is sorted by stays.
"""

from collections.abc import Sequence

from attrs import frozen

from starling_py.top import cells
from starling_py.top.cells import Line
from starling_py.top.formats import format_bytes, format_count, format_rate, format_uptime
from starling_py.top.rows import NAME, STATE, Column, Row, Table, fit_columns, total
from starling_py.top.snapshot import Snapshot
from starling_py.top.wrong import membership

KEYS = (
    "q quit",
    "? help",
    "Enter look",
    "/ filter",
    "< > sort",
    "r reverse",
    "p pause",
    "m move",
    "o back to origin",
    "F flush",
    "D delete",
)
_BAD = ("broken", "full", "stuck")


@frozen
class Listed:
    """What the table shows: sorted rows, of which ``top`` is the first in the window."""

    rows: Sequence[Row]
    of: int
    """How many queues there are, filtered or not."""
    top: int
    cursor: int
    sort: Column
    reverse: bool
    longest_name: int
    now: float


def server_line(
    address: str, snapshot: Snapshot, restarted_at: str | None, behind: int, width: int
) -> Line:
    """Return what is known of the server."""
    found = [
        address,
        f"up {format_uptime(snapshot.number('uptime'))}",
        f"version {snapshot.text('version')}",
        *membership(snapshot),
    ]
    if restarted_at is not None:
        found.append(f"restarted at {restarted_at}")
    if behind:
        found.append(f"{behind} queues not told yet")
    return [("title", cells.begin(cells.fields(found, width) or f" {address}", width))]


def traffic_line(snapshot: Snapshot, table: Table, width: int) -> Line:
    """Return what the server as a whole has and does."""
    # The server's own count, if any: its list of queues may leave out untouched ones.
    items = snapshot.number("curr_items")
    if items is None:
        items = sum(row.items for row in table.rows.values())
    most = snapshot.number("max_connections")
    connections = snapshot.text("curr_connections") + (f" of {most}" if most else "")
    limit = snapshot.number("limit_maxbytes")
    size = format_bytes(snapshot.number("bytes"))
    found = [
        f"items {format_count(items)}",
        f"put/s {format_rate(table.put_rate)}",
        f"get/s {format_rate(table.get_rate)}",
        f"conns {connections}",
        f"bytes {size}" + (f" of {format_bytes(limit)}" if limit else ""),
        f"put since start {format_count(snapshot.number('total_items'))}",
    ]
    return [("", cells.begin(cells.fields(found, width), width))]


def filter_line(pattern: str, shown: int, of: int, width: int, *, editing: bool) -> Line:
    """Return what is filtered by, and how many queues that leaves."""
    count = f"  {shown} of {of} queues"
    room = width - len(count) - 2
    text = cells.end(pattern + ("_" if editing else ""), max(1, room))
    return [("filter", cells.begin(f"/{text}{count}", width))]


def head_line(listed: Listed, width: int) -> Line:
    """Return the headings, with a mark at the one that is sorted by."""
    line: Line = []
    up, down = ("▲", "▼") if cells.unicode() else ("^", "v")
    for column, room in fit_columns(width, listed.sort, listed.longest_name):
        as_text = column.value is None
        title, look = column.title, "heads"
        if column is listed.sort:
            mark = up if as_text != listed.reverse else down
            title, look = (f"{title} {mark}" if as_text else f"{mark}{title}"), "sorted"
        text = cells.begin(title, room) if as_text else cells.number(title, room)
        line += [(look, text), ("heads", " ")]
    return _filled(line[:-1], width, "heads")


def row_lines(listed: Listed, width: int, height: int) -> list[Line]:
    """Return the rows that are in the window."""
    columns = fit_columns(width, listed.sort, listed.longest_name)
    lines = []
    for place, row in enumerate(listed.rows[listed.top : listed.top + height], listed.top):
        base = "broken" if row.is_broken else ""
        at_cursor = place == listed.cursor
        lines.append(_row_line(row.at(listed.now), columns, width, base, at_cursor=at_cursor))
    return lines


def total_line(listed: Listed, width: int) -> Line:
    """Return the sum of all rows that are listed, in the window or not."""
    columns = fit_columns(width, listed.sort, listed.longest_name)
    row = total(listed.rows, listed.now)
    return _row_line(row, columns, width, "total", at_cursor=False)


def keys_line(keys: Sequence[str], width: int) -> Line:
    """Return what the keys do, as many as there is room for."""
    return [("keys", cells.begin(cells.fields(keys, width), width))]


def _row_line(
    row: Row, columns: Sequence[tuple[Column, int]], width: int, look: str, *, at_cursor: bool
) -> Line:
    line: Line = []
    for column, room in columns:
        text, own = column.text(row), look
        if column is NAME and look == "total":
            text = cells.begin(text if len(text) <= room else "", room)
        elif column is NAME:
            text = cells.name(text, room)
        elif column is STATE:
            own = look or ("bad" if text in _BAD else "mark" if text else "")
            text = cells.begin(text, room)
        else:
            text = cells.number(text, room)
        line += [("cursor" if at_cursor else own, text), ("cursor" if at_cursor else look, " ")]
    return _filled(line[:-1], width, "cursor" if at_cursor else look)


def _filled(line: Line, width: int, look: str) -> Line:
    """Return a line of exactly some cells: it may be too long in a window of a few cells."""
    filled: Line = []
    left = width
    for place, (own, text) in enumerate(line):
        piece = text
        if cells.width(text) > left:
            # Half of a name tells something, half of a number something else.
            piece = cells.begin(text if place == 0 else "", left)
        filled.append((own, piece))
        left -= cells.width(piece)
        if left <= 0:
            return filled
    return [*filled, (look, " " * left)]
