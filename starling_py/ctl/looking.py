"""The commands that look at queues and connections: ls, show, browse, consumers, ping."""

import argparse
import itertools
import time
from collections.abc import Callable

from starling_py.ctl import names
from starling_py.ctl.command import (
    Command,
    Context,
    queue_argument,
    queue_patterns,
    whole,
)
from starling_py.ctl.errors import DONE
from starling_py.ctl.output import count, size, span
from starling_py.ctl.reports import Listed, Queue, plain
from starling_py.keys import MAX_ITEM_ID

_SORTS: dict[str, Callable[[Queue], int]] = {
    key: lambda queue, key=key: -queue.number(key)  # type: ignore[misc]
    for key in ("items", "bytes", "age", "open_transactions", "waiters", "delayed", "logsize")
}
_SHOWN: tuple[tuple[str, str], ...] = (
    ("items", "items that wait"),
    ("delayed", "of them due later"),
    ("open_transactions", "open"),
    ("waiters", "clients that wait"),
    ("total_items", "put since the queue was made"),
    ("get_hits", "taken since the start"),
    ("expired_items", "expired since the start"),
    ("dead_lettered", "dead letters since the start"),
    ("discarded", "dropped since the start"),
    ("duplicates", "sent twice since the start"),
)


def ls(context: Context) -> int:
    """List queues, a line each."""
    options, output = context.options, context.output
    found = context.remote.queues(options.queues)
    if options.sort != "name":
        found = sorted(found, key=_SORTS[options.sort])
    chosen = found if options.limit is None else found[: options.limit]
    if output.as_json:
        for queue in chosen:
            output.json(queue.values())
        return DONE
    heads = ("QUEUE", "ITEMS", "OPEN", "DELAYED", "WAITERS", "AGE", "BYTES", "LAST GET", "")
    rows = [_row(queue) for queue in chosen]
    output.table(heads, [[*row[:-1], output.alarm(row[-1])] for row in rows], left=1)
    totals = f"{count(len(found), 'queue')}, {count(sum(q.number('items') for q in found), 'item')}"
    left_out = f"; the first {len(chosen)} are shown" if len(chosen) < len(found) else ""
    output.line(f"{totals}, {size(sum(q.number('bytes') for q in found))}{left_out}")
    return DONE


def _row(queue: Queue) -> list[str]:
    age, last = queue.number("age"), queue.number("last_get")
    has_age = queue.number("items") > queue.number("delayed")
    return [
        queue.shown,
        str(queue.number("items")),
        str(queue.number("open_transactions")),
        str(queue.number("delayed")),
        str(queue.number("waiters")),
        span(age) if has_age else "-",
        size(queue.number("bytes")),
        f"{span(last)} ago" if last >= 0 else "-",
        " ".join(marks(queue)),
    ]


def marks(queue: Queue) -> list[str]:
    """Return in words what is out of the ordinary with a queue."""
    told = [
        ("paused", "paused"),
        ("full", "full"),
        ("journal_broken", "journal-broken"),
        ("quarantined", "items-lost"),
        ("dead_lettered", "dead-letters"),
    ]
    return [word for key, word in told if queue.number(key)]


def show(context: Context) -> int:
    """Tell all that is known of queues."""
    remote, output = context.remote, context.output
    for queue in remote.in_full(remote.queues(context.options.queues)):
        reads = consumers = []
        settings: dict[str, int | str] = {}
        if names.is_sayable(queue.name):
            reads = remote.open_reads(queue.name)
            consumers = remote.consumers(queue.name)
            settings = remote.queue_settings(queue.name)
        if output.as_json:
            more = {"open_items": reads, "consumers": consumers, "settings": settings}
            output.json(queue.values() | more)
            continue
        _tell(context, queue)
        for read in reads:
            output.line(f"  open: item {_pairs(read)}")
        for consumer in consumers:
            output.line(f"  consumer: {_pairs(consumer)}")
        output.line(f"  settings: {_pairs(settings)}")
    return DONE


def _tell(context: Context, queue: Queue) -> None:
    output = context.output
    output.line(f"{queue.shown}: {', '.join(marks(queue)) or 'serving'}")
    told = [f"{queue.number(key)} {text}" for key, text in _SHOWN if queue.number(key)]
    output.line(f"  {', '.join(told) or 'nothing in it'}")
    if queue.number("items") > queue.number("delayed"):
        output.line(f"  the oldest item has waited {span(queue.number('age'))}")
    for key, text in (("last_put", "put"), ("last_get", "taken")):
        last = queue.number(key)
        output.line(
            f"  last {text}: " + (f"{span(last)} ago" if last >= 0 else "not since the start")
        )
    until = queue.number("paused_until")
    if until:
        output.line(f"  paused for {span(max(0, int((until - time.time()) * 1000)))} more")
    output.line(
        f"  {size(queue.number('bytes'))} of data, {size(queue.number('logsize'))} on disk, "
        f"{count(queue.number('loaded'), 'item')} in memory ({size(queue.number('mem_bytes'))})"
    )
    if queue.text("children"):
        output.line(f"  children: {queue.text('children')}")


def _pairs(values: dict[str, int | str]) -> str:
    return " ".join(f"{key}={value}" for key, value in values.items())


def browse(context: Context) -> int:
    """List items without their data."""
    options, output = context.options, context.output
    name = names.typed(options.queue)
    most = None if options.all else options.number
    found = (
        item
        for item in context.remote.browse(name, options.first, most)
        if options.state in (None, item.state)
    )
    if output.as_json:
        for item in found:
            output.json({"queue": names.shown(name)} | facts(item))
        return DONE
    first = list(itertools.islice(found, 1))  # before the heads: there may be no such queue
    heads = ("ID", "STATE", "BYTES", "FLAGS", "AGE", "DELIVERIES", "DUE", "EXPIRES", "CAME FROM")
    width = (8, 8, 6, 10, 8, 10, 10, 10, 9)
    output.line("  ".join(head.rjust(cells) for head, cells in zip(heads, width, strict=True)))
    for item in itertools.chain(first, found):  # a line as it comes: there may be millions
        row = zip(_item_row(item), width, strict=True)
        output.line("  ".join(cell.rjust(cells) for cell, cells in row).rstrip())
    return DONE


def _item_row(item: Listed) -> list[str]:
    now_ms = time.time_ns() // 1_000_000
    came = f"{item.origin} ({item.reason})" if item.origin else "-"
    return [
        str(item.id),
        item.state,
        size(item.size),
        str(item.flags),
        span(item.age_ms),
        str(item.deliveries),
        f"in {span(item.due_ms - now_ms)}" if item.due_ms > now_ms else "-",
        f"in {span(max(0, item.expiry_ms - now_ms))}" if item.expiry_ms else "-",
        came,
    ]


def facts(item: Listed) -> dict[str, int | str | None]:
    """Return what is known of an item without its data, for JSON."""
    return {
        "id": item.id,
        "size": item.size,
        "flags": item.flags,
        "state": item.state,
        "added_ms": time.time_ns() // 1_000_000 - item.age_ms,
        "due_ms": item.due_ms,
        "expiry_ms": item.expiry_ms,
        "deliveries": item.deliveries,
        "origin": item.origin or None,
        "reason": item.reason or None,
    }


def consumers(context: Context) -> int:
    """Tell who takes from queues, or of every connection."""
    remote, output = context.remote, context.output
    if not context.options.queues:
        found = [("", each) for each in remote.connections()]
    else:
        found = [
            (queue.shown, each)
            for queue in remote.queues(context.options.queues)
            if names.is_sayable(queue.name)
            for each in remote.consumers(queue.name)
        ]
    for queue, consumer in found:
        values = ({"queue": queue} if queue else {}) | consumer
        output.record(values, (f"{queue}: " if queue else "") + _pairs(consumer))
    if not found:
        output.line("nobody takes from there, or waits")
    return DONE


def ping(context: Context) -> int:
    """Ask for the version, and tell how long that took."""
    remote = context.remote
    before = time.monotonic()
    version = remote.connection.ask(b"version").removeprefix(b"VERSION ")
    took = (time.monotonic() - before) * 1000
    context.output.record(
        {"server": remote.where, "version": plain(version), "milliseconds": round(took, 3)},
        f"starling-py {version.decode(errors='backslashreplace')} at {remote.where}: {took:.1f} ms",
    )
    return DONE


def _ls_arguments(parser: argparse.ArgumentParser) -> None:
    queue_patterns(parser, at_least_one=False)
    parser.add_argument(
        "--sort", choices=["name", *_SORTS], default="name", help="the largest first; default: name"
    )
    parser.add_argument("--limit", type=whole(1, 10**9), metavar="N", help="show the first N alone")


def _browse_arguments(parser: argparse.ArgumentParser) -> None:
    queue_argument(parser)
    parser.add_argument(
        "-n", "--number", type=whole(1, 10**9), default=100, metavar="N", help="default: 100"
    )
    parser.add_argument("--all", action="store_true", help="list all items, however many")
    parser.add_argument(
        "--from",
        dest="first",
        type=whole(1, MAX_ITEM_ID),
        default=1,
        metavar="ID",
        help="begin with this id",
    )
    states = ("waiting", "delayed", "open", "moving", "expired")
    parser.add_argument("--state", choices=states, help="only items of this state")


COMMANDS = (
    Command("ls", "list queues", ls, _ls_arguments),
    Command(
        "show",
        "tell all about queues: numbers, open items, consumers, settings",
        show,
        lambda parser: queue_patterns(parser, at_least_one=True),
    ),
    Command("browse", "list the items of a queue, without their data", browse, _browse_arguments),
    Command(
        "consumers",
        "tell who takes from queues or waits for them; all connections without a name",
        consumers,
        lambda parser: queue_patterns(parser, at_least_one=False),
    ),
    Command("ping", "tell whether a server answers, and how fast", ping),
)
"""What this module brings."""
