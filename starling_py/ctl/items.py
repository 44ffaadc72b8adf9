"""The commands for single items: put, get, peek, drop, bury."""

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from starling_py.ctl import names
from starling_py.ctl.command import Command, Context, queue_argument, seconds, whole
from starling_py.ctl.errors import (
    DONE,
    NOT_FOUND,
    CommandRefused,
    CtlError,
    NotFoundError,
    UsageError,
)
from starling_py.ctl.output import count, data_fields, safe, size, span, warn
from starling_py.ctl.remote import HowPut, Item, Remote
from starling_py.ctl.reports import Listed
from starling_py.keys import MAX_ITEM_ID, MAX_PEEK, MAX_SECONDS, MAX_TOKEN

_SHOWN = 2000
"""Bytes of an item's data that a terminal is shown."""
_AT_ONCE = 64
"""Puts under way at the same time."""


def put(context: Context) -> int:
    """Put items: arguments, the whole input, or each of its lines."""
    options, output = context.options, context.output
    name = names.typed(options.queue)
    how = HowPut(_put_options(options), options.flags, round(options.expire), options.front)
    remote = context.remote
    stored = under_way = 0
    try:
        for data in _given(options):
            remote.send_put(name, data, how)
            under_way += 1
            if under_way >= _AT_ONCE:
                stored += _read_stored(context, name)
                under_way -= 1
        while under_way:
            stored += _read_stored(context, name)
            under_way -= 1
    except CtlError:
        if options.lines:
            warn(f"{count(stored, 'item')} put, and perhaps some of the {under_way} behind them")
        raise
    if stored != 1:
        output.line(f"{count(stored, 'item')} put")
    return DONE


def _read_stored(context: Context, name: bytes) -> int:
    item_id = context.remote.read_put()
    shown = names.shown(name)
    if item_id is None:
        raise CtlError(f"{shown}: not stored; the queue is full, or one that copies go to is")
    if context.output.as_json or not context.options.lines:
        context.output.record({"queue": shown, "id": item_id}, f"{shown}: item {item_id} put")
    return 1


def _put_options(options: argparse.Namespace) -> bytes:
    told = b""
    if options.delay:
        told += b"/delay=%.3f" % options.delay
    if options.once:
        token = names.typed(options.once)
        if len(token) > MAX_TOKEN:
            raise UsageError(f"a token has {MAX_TOKEN} bytes at most")
        told += b"/once=%b" % token
    if options.sync:
        told += b"/sync"
    return told


def _given(options: argparse.Namespace) -> Iterator[bytes]:
    """Yield the data of each item. Raises ``UsageError``."""
    if options.data and options.data != ["-"]:
        if options.file or options.lines:
            raise UsageError("give the data, or where it is to be read from")
        yield from (each.encode(errors="surrogateescape") for each in options.data)
        return
    try:
        with contextlib.ExitStack() as stack:
            source: IO[bytes] = sys.stdin.buffer
            if options.file is not None:
                source = stack.enter_context(Path(options.file).open("rb"))
            if not options.lines:
                yield source.read()
                return
            for line in source:
                yield line.removesuffix(b"\n")
    except OSError as error:
        raise UsageError(f"{options.file or 'standard input'}: {error.strerror}") from error


def get(context: Context) -> int:
    """Take items: each is confirmed only when it has been written."""
    options, output = context.options, context.output
    name = names.typed(options.queue)
    options.timeout += options.wait  # the server is silent while it waits
    ask = b"/open/t=%d" % round(options.wait * 1000) if options.wait else b"/open/t=0"
    taken = 0
    for _ in range(options.number):
        item = context.remote.get(name, ask)
        if item is None:
            break
        taken += 1
        _write(context, name, item)
        output.flush()
        context.remote.end_read(name, b"close", item.id)
    if not taken:
        raise NotFoundError(f"{names.shown(name)}: nothing to take")
    return DONE


def peek(context: Context) -> int:
    """Show items with their data, and leave them."""
    options, remote = context.options, context.remote
    name = names.typed(options.queue)
    if options.id is not None:
        item = remote.get(name, b"/peek/id=%d" % options.id)
        if item is None:
            raise NotFoundError(f"{names.shown(name)}: there is no item {options.id}")
        found = [item]
    else:
        found = remote.peek(name, options.number)
    for item in found:
        told = None if options.raw else _listed(remote, name, item.id)
        if not (options.raw or context.output.as_json):
            context.output.line(_heading(item, told))
        _write(context, name, item, told)
    if not found:
        raise NotFoundError(f"{names.shown(name)}: nothing waits there")
    return DONE


def _listed(remote: Remote, name: bytes, item_id: int) -> Listed | None:
    """Return what else is known of an item, as far as this client may ask for it."""
    if not names.is_sayable(name):
        return None
    try:
        return remote.listed(name, item_id)
    except (CommandRefused, NotFoundError):
        return None


def _heading(item: Item, told: Listed | None) -> str:
    parts = [f"item {item.id}: {size(len(item.data))}"]
    if item.flags:
        parts.append(f"flags {item.flags}")
    if told is not None:
        parts += [told.state, f"{span(told.age_ms)} old"]
        if told.deliveries:
            parts.append(f"handed out {count(told.deliveries, 'time')}")
        if told.origin:
            parts.append(f"from {told.origin} ({told.reason})")
    return ", ".join(parts)


def _write(context: Context, name: bytes, item: Item, told: Listed | None = None) -> None:
    """Write an item: as JSON, as it is, or as text that does a terminal no harm."""
    output = context.output
    if output.as_json:
        values: dict[str, object] = {
            "queue": names.shown(name),
            "id": item.id,
            "size": len(item.data),
            "flags": item.flags,
        }
        if told is not None:
            values |= {"deliveries": told.deliveries, "state": told.state, "age_ms": told.age_ms}
            values |= {"origin": told.origin, "reason": told.reason} if told.origin else {}
        output.json(values | data_fields(item.data))
    elif context.options.raw:
        output.raw(item.data)
    elif output.is_terminal or context.options.command == "peek":
        output.line(safe(item.data, _SHOWN))
    else:
        output.raw(item.data + b"\n")


def drop(context: Context) -> int:
    """Remove items by their ids."""
    options = context.options
    name = names.typed(options.queue)
    shown = names.shown(name)
    context.confirm(f"Drop {count(len(options.ids), 'item')} of {shown}?")
    missing = 0
    for item_id in options.ids:
        try:
            context.remote.act("drop", name, item_id)
        except NotFoundError as problem:
            missing += 1
            values = {"queue": shown, "id": item_id, "dropped": False}
            context.output.record(values, str(problem))
            continue
        values = {"queue": shown, "id": item_id, "dropped": True}
        context.output.record(values, f"{shown}: item {item_id} dropped")
    return NOT_FOUND if missing else DONE


def bury(context: Context) -> int:
    """Move an item to the queue for dead letters: the head, or one that is open."""
    options, remote = context.options, context.remote
    name = names.typed(options.queue)
    shown = names.shown(name)
    item_id = options.id
    if names.is_sayable(name) and remote.queue_settings(name).get("dead_letter") == "none":
        # Asked first, as an item that is taken and given back counts as delivered.
        raise CtlError(f"{shown}: the queue has no dead_letter to bury an item in")
    taken = item_id is None or _is_head(remote, name, item_id)
    if taken:
        item = remote.get(name, b"/open")
        if item is None:
            raise NotFoundError(f"{shown}: nothing waits there")
        if item_id not in (None, item.id):
            remote.end_read(name, b"abort", item.id)
            raise CtlError(f"{shown}: item {item_id} was taken meanwhile")
        item_id = item.id
    elif (told := remote.listed(name, options.id)) is None:
        raise NotFoundError(f"{shown}: there is no item {item_id}")
    elif told.state != "open":
        raise CtlError(
            f"{shown}: item {item_id} is {told.state} and not the next one: only that one, or one "
            "that is open with a lease, can be buried; move those before it away, or drop it"
        )
    try:
        remote.end_read(name, b"bury", item_id)
    except CommandRefused as problem:
        if taken:
            remote.end_read(name, b"abort", item_id)
        raise CommandRefused(f"{shown}: item {item_id} was not buried: {problem}") from problem
    context.output.record(
        {"queue": shown, "id": item_id, "buried": True}, f"{shown}: item {item_id} buried"
    )
    return DONE


def _is_head(remote: Remote, name: bytes, item_id: int) -> bool:
    return any(item.id == item_id for item in remote.peek(name, 1))


def _put_arguments(parser: argparse.ArgumentParser) -> None:
    queue_argument(parser)
    parser.add_argument(
        "data",
        metavar="DATA",
        nargs="*",
        help="each is an item; without, or with -, standard input",
    )
    parser.add_argument("--file", metavar="FILE", help="the data is in this file")
    parser.add_argument("--lines", action="store_true", help="each line of the input is an item")
    parser.add_argument(
        "--flags", type=whole(0, 2**32 - 1), default=0, metavar="N", help="the client's flags"
    )
    parser.add_argument(
        "--expire", type=seconds, default=0, metavar="SPAN", help="when it dies: 90, 5m, 2h, 30d"
    )
    parser.add_argument(
        "--delay", type=_within, default=0, metavar="SPAN", help="nobody gets it before: 1.5s, 5m"
    )
    parser.add_argument("--once", metavar="TOKEN", help="store it once, however often it is sent")
    parser.add_argument("--front", action="store_true", help="in front of all others")
    parser.add_argument("--sync", action="store_true", help="wait until no power cut undoes it")


def _within(text: str) -> float:
    value = seconds(text)
    if value > MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is more than 30 days")
    return value


def _get_arguments(parser: argparse.ArgumentParser) -> None:
    queue_argument(parser)
    parser.add_argument(
        "-n", "--number", type=whole(1, 10**9), default=1, metavar="N", help="so many; default: 1"
    )
    parser.add_argument(
        "--wait", type=seconds, default=0, metavar="SPAN", help="how long to wait for each"
    )
    parser.add_argument("--raw", action="store_true", help="nothing but the bytes of the data")


def _peek_arguments(parser: argparse.ArgumentParser) -> None:
    queue_argument(parser)
    parser.add_argument(
        "number", metavar="N", nargs="?", type=whole(1, MAX_PEEK), default=1, help="default: 1"
    )
    parser.add_argument(
        "--id", type=whole(1, MAX_ITEM_ID), help="this item, wherever in the queue it stands"
    )
    parser.add_argument("--raw", action="store_true", help="nothing but the bytes of the data")


def _drop_arguments(parser: argparse.ArgumentParser) -> None:
    queue_argument(parser)
    parser.add_argument("ids", metavar="ID", nargs="+", type=whole(1, MAX_ITEM_ID))


def _bury_arguments(parser: argparse.ArgumentParser) -> None:
    queue_argument(parser)
    parser.add_argument(
        "id",
        metavar="ID",
        nargs="?",
        type=whole(1, MAX_ITEM_ID),
        help="an item that is open with a lease, or the next one; the next one without",
    )


COMMANDS = (
    Command("put", "put items", put, _put_arguments),
    Command("get", "take items and print their data", get, _get_arguments),
    Command("peek", "show items with their data, and leave them", peek, _peek_arguments),
    Command("drop", "remove single items, by their ids", drop, _drop_arguments),
    Command("bury", "move an item to the queue for dead letters", bury, _bury_arguments),
)
"""What this module brings."""
