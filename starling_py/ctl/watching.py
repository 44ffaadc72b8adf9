"""The command watch: a line for each queue that has changed, again and again."""

import argparse
import time

from starling_py.ctl import names
from starling_py.ctl.command import Command, Context, queue_patterns, seconds, whole
from starling_py.ctl.errors import DONE
from starling_py.ctl.output import size, span
from starling_py.ctl.overview import Overview
from starling_py.ctl.reports import Queue


def watch(context: Context) -> int:
    """Print what changes, until it is interrupted or has looked so often."""
    options, output = context.options, context.output
    looked, last = 0, 0.0
    heads = f"{'TIME':8}  {'ITEMS':>9}  {'PUT/S':>8}  {'GET/S':>8}  {'AGE':>8}  {'BYTES':>6}  QUEUE"
    output.line(heads)
    output.flush()
    overview = Overview(context.remote)
    while options.times is None or looked < options.times:
        if looked:
            time.sleep(max(0.0, last + max(0.1, options.every) - time.monotonic()))
        before, now = dict(overview.queues), time.monotonic()
        for queue in overview.look():
            if not options.queues or names.matches(queue.shown, options.queues):
                _tell(context, queue, before.get(queue.name), now - last)
        output.flush()
        last, looked = now, looked + 1
    return DONE


def _tell(context: Context, queue: Queue, before: Queue | None, seconds_between: float) -> None:
    """Print a queue, unless nothing happened to it since the last look."""
    numbers = [queue.number(key) for key in ("total_items", "get_hits", "items")]
    rates = [0.0, 0.0]
    if before is not None:
        then = [before.number(key) for key in ("total_items", "get_hits", "items")]
        if then == numbers:
            return
        rates = [
            max(0, new - old) / seconds_between for new, old in zip(numbers[:2], then, strict=False)
        ]
    age = queue.number("age")
    values = queue.values() | {
        "time": round(time.time(), 3),
        "puts_per_second": round(rates[0], 3),
        "gets_per_second": round(rates[1], 3),
    }
    context.output.record(
        values,
        f"{time.strftime('%H:%M:%S')}  {numbers[2]:>9}  {rates[0]:>8.1f}  {rates[1]:>8.1f}  "
        f"{span(age):>8}  {size(queue.number('bytes')):>6}  {queue.shown}",
    )


def _arguments(parser: argparse.ArgumentParser) -> None:
    queue_patterns(parser, at_least_one=False)
    parser.add_argument(
        "--every", type=seconds, default=1.0, metavar="SPAN", help="between two looks; default: 1"
    )
    parser.add_argument(
        "--times", type=whole(1, 10**9), metavar="N", help="look so often; without end else"
    )


COMMANDS = (Command("watch", "print a line for each queue whenever it changes", watch, _arguments),)
"""What this module brings."""
