"""The screen of one queue: what it does, since when, by whom, and what is in it.

Pure: from what there is to show to lines of exactly the window's width. The upper part stands
still; below it are sections whose lines can be gone through, and those of items can be acted on.
"""

from collections.abc import Sequence

from attrs import frozen

from starling_py.top import cells
from starling_py.top.cells import Line
from starling_py.top.course import SPAN, Course
from starling_py.top.detail import Consumer, Detail, Item
from starling_py.top.formats import (
    format_age,
    format_bytes,
    format_count,
    format_rate,
    format_uptime,
    shown_data,
    sparkline,
)
from starling_py.top.rows import Row

KEYS = (
    "Esc back",
    "? help",
    "up down choose",
    "p pause",
    "m move",
    "b bury",
    "d drop",
    "o back to origin",
    "F flush",
    "D delete",
)
PIECES = 60
"""Pieces of time that are drawn; fewer in a narrow window."""
_LABEL = 8


@frozen
class Entry:
    """A line of the lower part; ``item`` is what can be acted on there."""

    line: Line
    item: Item | None = None


def upper_lines(row: Row, course: Course, drain: str, width: int) -> list[Line]:
    """Return what the queue has and does now, and what it did over the last minutes."""
    marks = " ".join(row.marks)
    room = max(1, width - (len(marks) + 3 if marks else 1))
    name = cells.name(row.name, min(room, cells.width(row.name)))
    title: Line = [("title", " " + name)]
    if marks and cells.width(name) + len(marks) + 3 <= width:
        title.append(("bad", "  " + marks))
    numbers = [
        f"items {format_count(row.items)}",
        f"open {format_count(row.open)}",
        f"delayed {format_count(row.delayed)}",
        f"waiters {format_count(row.waiters)}",
        f"bytes {format_bytes(row.size)}",
        f"journal {format_bytes(row.logsize)}",
        f"expired {format_count(row.expired)}",
    ]
    lines = [
        padded(title, width),
        padded([("", cells.fields(numbers, width))], width),
        padded([("", cells.fields([f"age {format_age(row.age)}", drain], width))], width),
    ]
    drawn = [
        ("put/s", course.puts, format_rate(row.put_rate)),
        ("get/s", course.takes, format_rate(row.get_rate)),
        ("age", course.ages, format_age(row.age)),
    ]
    for label, values, now in drawn:
        lines.append(_chart(label, values, now, width))
    return lines


def pieces(width: int) -> int:
    """Return in how many pieces the last minutes can be drawn."""
    return max(1, min(PIECES, width - _LABEL - 10))


def drain_time(row: Row, put: float | None, take: float | None) -> str:
    """Say when the queue will be empty, at the rates of the last minute, per second."""
    if not row.items:
        return "empty"
    if put is None or take is None:
        return "drains: not known yet"
    if take > put:
        return f"empty in {format_uptime(round(row.items / (take - put)))}"
    return "never empty: nothing is taken" if take == 0 else "never empty at this rate"


def entries(detail: Detail | None, width: int) -> list[Entry]:
    """Return the sections: consumers, open items, those at the head, dead letters."""
    if detail is None:
        return [Entry(padded([("keys", " asking the server")], width))]
    found = [Entry(padded([("broken", f" {why}")], width)) for why in detail.missing]
    consumers = detail.consumers
    found.append(_head("CONSUMERS", width))
    found += [Entry(_consumer_line(each, width)) for each in consumers] or [_none(width)]
    items = [item for item in detail.items if item.state == "open"]
    waiting = [item for item in detail.items if item.state != "open"]
    if items:
        found.append(_head("OPEN", width))
        found += [Entry(_open_line(item, detail, width), item) for item in items]
    found.append(_head("NEXT ITEMS", width))
    found += [Entry(_item_line(item, detail, width), item) for item in waiting] or [_none(width)]
    if detail.dead_letter:
        found.append(_head(f"DEAD LETTERS in {detail.dead_letter.decode()}", width))
        found += [Entry(_item_line(item, detail, width)) for item in detail.dead] or [_none(width)]
    return found


def padded(line: Line, width: int, look: str = "") -> Line:
    """Return a line of exactly some cells; what is too long is marked."""
    done: Line = []
    left = width
    for own, text in line:
        piece = text if cells.width(text) <= left else cells.begin(cells.cut(text, left), left)
        done.append((own, piece))
        left -= cells.width(piece)
    return [*done, (look, " " * left)] if left > 0 else done


def _chart(label: str, values: Sequence[float | None], now: str, width: int) -> Line:
    bars = sparkline(values, unicode=cells.unicode())
    span = f"{round(SPAN / 60)}m"
    line: Line = [("", f" {label:<{_LABEL}}")]
    if len(bars) + _LABEL + 9 <= width:
        line += [("chart", bars), ("", f" {now:>6}")]
        if len(bars) + _LABEL + 9 + len(span) + 2 <= width and label == "put/s":
            line.append(("keys", f"  {span}"))
    else:
        line.append(("", now))
    return padded(line, width)


def _head(title: str, width: int) -> Entry:
    return Entry(padded([("heads", f" {title}")], width, "heads"))


def _none(width: int) -> Entry:
    return Entry(padded([("keys", " none")], width))


def _consumer_line(consumer: Consumer, width: int) -> Line:
    name = consumer.name if consumer.name not in ("-", "") else consumer.address
    last = "never" if consumer.last_take < 0 else f"{format_age(consumer.last_take)} ago"
    what = [
        cells.cut(name, 30),
        f"took {format_count(consumer.takes)}",
        f"last {last}",
        f"open {consumer.open_reads}",
        *(["waits"] if consumer.waits else []),
        *([consumer.address] if name != consumer.address else []),
    ]
    return padded([("", cells.fields(what, width))], width)


def _open_line(item: Item, detail: Detail, width: int) -> Line:
    holder = detail.holders.get(item.id)
    who = "-"
    lease = ""
    if holder is not None:
        who = holder.name if holder.name not in ("-", "") else holder.address
        lease = "no lease" if holder.lease is None else f"lease {format_age(_ms(holder.lease))}"
    what = [
        f"{item.id}",
        cells.cut(who, 30),
        *([lease] if lease else []),
        f"age {format_age(item.age)}",
        f"delivery {item.deliveries}",
        format_bytes(item.size),
    ]
    return _with_data(what, item, detail, width)


def _item_line(item: Item, detail: Detail, width: int) -> Line:
    what = [
        f"{item.id}",
        format_bytes(item.size),
        f"age {format_age(item.age)}",
        *([item.state] if item.state != "waiting" else []),
        *([f"delivered {item.deliveries}"] if item.deliveries else []),
        *([f"{item.reason} from {cells.cut(item.origin, 20)}"] if item.reason != "-" else []),
    ]
    return _with_data(what, item, detail, width)


def _with_data(what: Sequence[str], item: Item, detail: Detail, width: int) -> Line:
    begin = cells.fields(what, width, between="  ")
    data = detail.data.get(item.id)
    room = width - cells.width(begin) - 2
    if data is None or room < 4:
        return padded([("", begin)], width)
    return padded([("", begin + "  "), ("data", cells.cut(shown_data(data, room), room))], width)


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))
