"""The commands for whole queues: move, flush, delete, pause, resume."""

import argparse
from collections.abc import Callable, Iterable

from starling_py.ctl import names
from starling_py.ctl.command import (
    Command,
    Context,
    queue_argument,
    queue_patterns,
    seconds,
    whole,
)
from starling_py.ctl.errors import DONE, CommandRefused, UsageError
from starling_py.ctl.output import count, progress
from starling_py.ctl.reports import Queue
from starling_py.keys import MAX_ITEM_ID, MAX_SECONDS

_MOVED_AT_ONCE = 10_000
"""Items that one command moves; more than one is needed to tell how far it is."""


def move(context: Context) -> int:
    """Move items to another queue, or to where each came from."""
    options = context.options
    if options.origin and options.oldest is None and (options.target or "").isdecimal():
        options.target, options.oldest = None, options.target  # as in: move QUEUE N --origin
    if (options.target is None) is not options.origin:
        raise UsageError("say where to: a queue, or --origin for where each came from")
    options.number = _how_many(options)
    target = None if options.target is None else names.typed(options.target)
    found = _sayable(context)
    waiting = sum(queue.number("items") for queue in found)
    if any(map(names.is_pattern, options.queues)):
        where = "where they came from" if target is None else names.shown(target)
        what = f"{count(waiting, 'item')} of {_these(found)}"
        context.confirm(f"Move up to {what} to {where}?")
    most = waiting if options.number is None else options.number
    with progress(most, "items") as bar:
        for queue in found:
            if queue.name != target:
                moved = _moved(context, queue, target, bar.update)
                values = {"queue": queue.shown, "moved": moved}
                context.output.record(values, f"{queue.shown}: {count(moved, 'item')} moved")
    return DONE


def _how_many(options: argparse.Namespace) -> int | None:
    """Return the number that was given in one form or the other. Raises ``UsageError``."""
    if options.oldest is None or options.number is not None:
        if options.oldest is not None:
            raise UsageError("the number of items is given twice")
        number: int | None = options.number
        return number
    try:
        return whole(1, MAX_ITEM_ID)(options.oldest)
    except argparse.ArgumentTypeError as error:
        raise UsageError(str(error)) from error


def _moved(
    context: Context, queue: Queue, target: bytes | None, done: Callable[[int], object]
) -> int:
    """Move the items of one queue, as many as there were when it began."""
    number = context.options.number
    left = queue.number("items") if number is None else number
    moved = 0
    while left > 0:
        wanted = min(left, _MOVED_AT_ONCE)
        try:
            now = context.remote.move(queue.name, target, wanted)
        except CommandRefused as problem:
            if moved:
                problem = CommandRefused(f"{queue.shown}: after {count(moved, 'item')}: {problem}")
            raise problem from None
        moved, left = moved + now, left - now
        done(now)
        if now < wanted:
            break
    return moved


def flush(context: Context) -> int:
    """Remove all items of queues but the open ones."""
    found = _sayable(context)
    items = sum(queue.number("items") for queue in found)
    context.confirm(f"Flush {_these(found)} ({count(items, 'item')})?")
    for queue in found:
        context.remote.act("flush", queue.name)
        _tell(context, queue, "flushed")
    return DONE


def delete(context: Context) -> int:
    """Delete queues with all their items."""
    found = context.remote.queues(context.options.queues)
    items = sum(queue.number("items") + queue.number("open_transactions") for queue in found)
    context.confirm(f"Delete {_these(found)} ({count(items, 'item')})?")
    for queue in found:
        if not context.remote.delete(queue.name):
            raise CommandRefused(f"{queue.shown}: not deleted; it is gone, or refuse_delete is set")
        _tell(context, queue, "deleted")
    return DONE


def pause(context: Context) -> int:
    """Let gets of queues find nothing."""
    span = context.options.span
    words = [] if span is None else [max(1, round(span))]
    if words and words[0] > MAX_SECONDS:
        raise UsageError("a pause has an end within 30 days, or none")
    return _each(context, "pause", words, "paused")


def resume(context: Context) -> int:
    """End the pause of queues."""
    return _each(context, "resume", [], "resumed")


def _each(context: Context, verb: str, words: list[int], done: str) -> int:
    for queue in _sayable(context):
        context.remote.act(verb, queue.name, *words)
        _tell(context, queue, done)
    return DONE


def _sayable(context: Context) -> list[Queue]:
    """Return the queues that are meant, if a line can name them all.

    Found out before anything is done to one of them. Raises ``UsageError``.
    """
    found = context.remote.queues(context.options.queues)
    for queue in found:
        names.in_a_line(queue.name)
    return found


def _tell(context: Context, queue: Queue, done: str) -> None:
    text = f"{queue.shown}: {done}"
    if done in ("flushed", "deleted"):
        text += f", {count(queue.number('items'), 'item')}"
    context.output.record({"queue": queue.shown, done: True, "items": queue.number("items")}, text)


def _these(queues: Iterable[Queue]) -> str:
    """Return queues in a few words."""
    found = [queue.shown for queue in queues]
    return (
        ", ".join(found) if len(found) <= 3 else f"{', '.join(found[:2])} and {len(found) - 2} more"
    )


def _move_arguments(parser: argparse.ArgumentParser) -> None:
    queue_argument(parser, "queues", metavar="QUEUE", nargs=1, help="from; a pattern with --origin")
    queue_argument(parser, "target", metavar="TO", nargs="?", help="to; it is made if need be")
    parser.add_argument("oldest", metavar="N", nargs="?", help="the oldest N; all without")
    parser.add_argument("--origin", action="store_true", help="each to the queue that it came from")
    parser.add_argument("-n", "--number", type=whole(1, MAX_ITEM_ID), metavar="N", help="the same")


def _some(parser: argparse.ArgumentParser) -> None:
    queue_patterns(parser, at_least_one=True)


def _pause_arguments(parser: argparse.ArgumentParser) -> None:
    _some(parser)
    parser.add_argument(
        "--for", dest="span", type=seconds, metavar="SPAN", help="how long: 90, 5m, 2h"
    )


COMMANDS = (
    Command("move", "move the oldest items to another queue", move, _move_arguments),
    Command("flush", "remove all items of queues but the open ones", flush, _some),
    Command("delete", "delete queues with all their items", delete, _some),
    Command("pause", "let gets of queues find nothing", pause, _pause_arguments),
    Command("resume", "end a pause", resume, _some),
)
"""What this module brings."""
