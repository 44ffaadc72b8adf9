"""Scripted scenes of the live screen, drawn without a terminal: what the snapshots show.

``python -m tests.top.scenes`` draws all of them anew into ``tests/top/screens``. Look at what has
changed before you commit it.
"""

from collections.abc import Callable
from pathlib import Path

import urwid

from starling_py.top.detail import Consumer, Detail, Holder, Item
from starling_py.top.monitor import Monitor
from starling_py.top.rows import COLUMNS
from starling_py.top.snapshot import Snapshot, take_changes

SCREENS = Path(__file__).parent / "screens"
SIZES = ((40, 12), (60, 24), (80, 24), (120, 30), (200, 30))

TELL = (
    b"items,total_items,get_hits,open_transactions,delayed,waiters,bytes,logsize,age,"
    b"expired_items,dead_lettered,paused,full,journal_broken,last_put,last_get"
)


def server(second: int) -> dict[bytes, bytes]:
    """Return the server's own numbers, some seconds after the first look."""
    return {
        b"pid": b"7",
        b"version": b"2.0.0",
        b"uptime": b"%d" % (93_784 + second),
        b"curr_items": b"%d" % (28_738 + 130 * second),
        b"total_items": b"%d" % (1_000_000 + 250 * second),
        b"get_hits": b"%d" % (900_000 + 120 * second),
        b"curr_connections": b"9",
        b"max_connections": b"4096",
        b"bytes": b"3145728",
        b"limit_maxbytes": b"1073741824",
        b"accepting_conns": b"1",
    }


def queue(items: int, puts: int, takes: int, age: int, **other: int) -> bytes:
    """Return the numbers of a queue, in the order of ``TELL``."""
    numbers = {
        **dict.fromkeys(TELL.decode().split(","), 0),
        "items": items,
        "total_items": puts,
        "get_hits": takes,
        "age": age,
        "bytes": items * 114,
        "logsize": items * 139 + 4096,
        "last_put": 100,
        "last_get": 100,
        **other,
    }
    return b",".join(b"%d" % numbers[name] for name in TELL.decode().split(","))


def queues(second: int) -> dict[bytes, bytes]:
    """Return what the server tells of the queues, some seconds after the first look."""
    return {
        b"queue_jobs": queue(
            28_000 + 130 * second,
            900_000 + 230 * second,
            800_000 + 100 * second,
            95_000,
            open_transactions=2,
        ),
        b"queue_mail": queue(
            412,
            5000 + 20 * second,
            4588 + 20 * second,
            1200,
            open_transactions=3,
            dead_lettered=second,
            delayed=40,
        ),
        b"queue_mail.dead": queue(35, 35 + second, 0, 86_400_000 * 3, last_get=-1),
        b"queue_limited": queue(5, 5, 0, 4000, full=1),
        b"queue_reports.monthly.for.the.accountants.of.the.north": queue(
            9, 9, 0, 7_200_000, last_get=-1
        ),
        b"queue_reports.monthly.for.the.accountants.of.the.south": queue(0, 9, 9, 0),
        "queue_日本語の待ち行列".encode(): queue(3, 3, 0, 2000, paused=1),
        b"queue_\xff\x1b[31mred": queue(1, 1, 0, 900),
        b"queue_spoiled": queue(17, 17, 0, 600, journal_broken=1),
        b"queue_sessions": queue(0, 50, 50, 0, waiters=4),
    }


def look(previous: Snapshot | None, second: int, own: dict[bytes, bytes] | None = None) -> Snapshot:
    """Return what is known at a second of the scene."""
    changes = {
        b"changes": b"1-%d" % (second + 1),
        b"changes_anew": b"%d" % (previous is None),
        b"changes_left": b"0",
        b"changes_tell": TELL,
    }
    found = take_changes(
        previous, {**server(second), **changes, **queues(second), **(own or {})}, 1000.0 + second
    )
    assert found is not None
    return found


def watched(seconds: int = 90, sort: str = "items") -> Monitor:
    """Return a monitor that has watched for some time."""
    column = next(each for each in COLUMNS if each.key == sort)
    monitor = Monitor("queues.example:22122", column)
    found = None
    for second in range(seconds):
        found = look(found, second)
        monitor.show(found, f"12:{second // 60:02}:{second % 60:02}")
    return monitor


def item(
    number: int, state: str = "waiting", deliveries: int = 0, origin: str = "-", reason: str = "-"
) -> Item:
    """Return an item of 38 bytes."""
    return Item(number, 38, 0, 95_000 - number, state, 0, 0, deliveries, origin, reason)


DETAIL = Detail(
    b"mail",
    consumers=(
        Consumer("10.1.2.3:50112", "mailer-1", 4211, 300, 2, False),
        Consumer("10.1.2.4:40000", "-", 377, 4100, 1, False),
        Consumer("10.1.2.5:40001", "idler", 0, -1, 0, True),
    ),
    items=(
        item(4601, "open", deliveries=1),
        item(4602, "open", deliveries=2),
        item(4700),
        item(4701, deliveries=2),
        item(4702, "delayed"),
        item(4703, origin="jobs", reason="moved"),
    ),
    holders={
        4601: Holder("10.1.2.3:50112", "mailer-1", 12.4),
        4602: Holder("10.1.2.4:40000", "-", None),
    },
    dead_letter=b"mail.dead",
    dead=(item(7, origin="mail", reason="deliveries", deliveries=5),),
    data={
        4601: b'{"to": "someone@example.com", "n": 1}',
        4700: "Grüße aus Köln, 日本語".encode(),
        4701: b"\x1b[2J\x1b[31mred",
        4702: bytes(range(200, 238)),
    },
)


def of_a_table() -> Monitor:
    """Return the table, sorted by items."""
    return watched()


def of_a_filter() -> Monitor:
    """Return a filter that is being typed, and the cursor on the second row."""
    monitor = watched(sort="age")
    for key in ("/", *"re", "down"):
        monitor.press(key)
    monitor.press("/")
    return monitor


def of_trouble() -> Monitor:
    """Return what shows while the disk is full and the server drains."""
    monitor = watched()
    own = {b"disk_full": b"1", b"accepting_conns": b"0"}
    monitor.show(look(monitor.snapshot, 90, own), "12:01:30")
    return monitor


def of_a_loss() -> Monitor:
    """Return what shows while the server cannot be reached."""
    monitor = of_trouble()
    monitor.show_error("Connection refused", "12:01:31")
    return monitor


def of_a_queue() -> Monitor:
    """Return one queue in depth."""
    monitor = watched()
    for key in ("down", "enter"):
        monitor.press(key)
    monitor.show_detail(DETAIL)
    return monitor


def of_a_question() -> Monitor:
    """Return what is asked before a queue is emptied."""
    monitor = of_a_queue()
    for key in ("F", *"mai"):
        monitor.press(key)
    return monitor


def of_help() -> Monitor:
    """Return what the keys do."""
    monitor = watched(2)
    monitor.press("?")
    return monitor


SCENES: dict[str, Callable[[], Monitor]] = {
    "table": of_a_table,
    "filter": of_a_filter,
    "trouble": of_trouble,
    "loss": of_a_loss,
    "queue": of_a_queue,
    "question": of_a_question,
    "help": of_help,
}


def drawn(monitor: Monitor, width: int, height: int) -> str:
    """Return a window as text: how each line looks, and what it says.

    In front of each line stands how its pieces look, a dot for plain.
    """
    lines = []
    for line in monitor.lines(width, height):
        looks = [look for look, text in line if text.strip()]
        lines.append(f"{' '.join(dict.fromkeys(look or '.' for look in looks)):14.14}|")
        lines[-1] += "".join(text for _, text in line) + "|"
    return "\n".join(lines) + "\n"


def main() -> None:
    """Draw all scenes anew."""
    urwid.set_encoding("utf-8")
    SCREENS.mkdir(exist_ok=True)
    for name, scene in SCENES.items():
        for width, height in SIZES:
            path = SCREENS / f"{name}-{width}x{height}.txt"
            path.write_text(drawn(scene(), width, height))


if __name__ == "__main__":
    main()
