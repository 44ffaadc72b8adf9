"""The commands export and import: items as lines of JSON, out of queues and into them.

An export takes nothing: what is put or taken meanwhile may be in it or not. An import puts new
items; what it cannot bring back (ids, ages, deliveries) the documentation says.
"""

import argparse
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from starling_py.ctl import lines, names
from starling_py.ctl.command import Command, Context, queue_argument, queue_patterns, whole
from starling_py.ctl.errors import DONE, FAILED, CtlError, UsageError
from starling_py.ctl.lines import Carried, WrongLineError
from starling_py.ctl.output import Steps, count, progress, warn
from starling_py.ctl.remote import HowPut, Item, Remote
from starling_py.ctl.reports import Listed, Queue
from starling_py.keys import MAX_PEEK

_AT_ONCE = 64
"""Puts under way at the same time."""
_IN_A_PAGE = 1000
_PAGE_SIZE = 1 << 23
"""Items whose data is asked for at once, and bytes of it."""


def export(context: Context) -> int:
    """Write items as lines, each queue's in the order in which they would be taken."""
    options, remote = context.options, context.remote
    chosen = remote.queues(options.queues)
    found = [queue for queue in chosen if names.is_sayable(queue.name)]
    total = sum(queue.number("items") + queue.number("open_transactions") for queue in found)
    with ExitStack() as stack:
        target = _opened(stack, options.output, "w") if options.output else sys.stdout
        bar = stack.enter_context(progress(total, "items"))
        written = sum(_export_one(remote, queue, target, bar) for queue in found)
        target.flush()
    if options.output:
        text = f"{count(written, 'item')} of {count(len(found), 'queue')} in {options.output}"
        context.output.record({"items": written, "queues": len(found)}, text)
    for queue in chosen:
        if queue not in found:
            warn(f"{queue.shown}: left out, as the protocol has no line for this name")
    return DONE if len(found) == len(chosen) else FAILED


def _export_one(remote: Remote, queue: Queue, target: IO[str], bar: Steps) -> int:
    """Write the items of one queue; return how many."""
    name = queue.name
    written = 0
    for page in pages(_in_order(remote, name)):
        now_ms = time.time_ns() // 1_000_000
        data = _data_of(remote, name, page)
        for told in page:
            if told.id in data:  # else it was taken meanwhile
                target.write(lines.encode(name, data[told.id], told, now_ms) + "\n")
                written += 1
        bar.update(len(page))
    return written


def _data_of(remote: Remote, name: bytes, page: Sequence[Listed]) -> dict[int, Item]:
    """Return the items of a page by their ids.

    One look has nearly all of them; those behind others that are no part of it, or that stand in
    another order, are asked for one by one.
    """
    first = min(told.id for told in page)
    found = {item.id: item for item in remote.look(name, first, max(2, len(page)))}
    for told in page:
        if told.id not in found:
            item = remote.get(name, b"/peek/id=%d" % told.id)
            if item is not None:
                found[item.id] = item
    return found


def _in_order(remote: Remote, name: bytes) -> Iterator[Listed]:
    """Yield the items of a queue in the order in which they would be taken.

    What was put in front or came back stands at the head, and has an id like any other. So the
    head is asked for first, as far as one command tells of it.
    """
    head = [item.id for item in remote.peek(name, MAX_PEEK)] if names.is_sayable(name) else []
    first = head[: _out_of_order(head)]
    seen = set(first)
    for item_id in first:
        told = remote.listed(name, item_id)
        if told is not None:
            yield told
    yield from (each for each in remote.browse(name) if each.id not in seen)


def _out_of_order(ids: list[int]) -> int:
    """Return how many ids at the head are not in the order of their numbers with all behind."""
    least = ids[-1] if ids else 0
    for position in range(len(ids) - 1, -1, -1):
        if ids[position] > least:
            return position + 1
        least = ids[position]
    return 0


def pages(items: Iterable[Listed]) -> Iterator[list[Listed]]:
    """Yield items in lists that are neither long nor, but for one large item, large."""
    page: list[Listed] = []
    size = 0
    for item in items:
        if page and (len(page) >= _IN_A_PAGE or size + item.size > _PAGE_SIZE):
            yield page
            page, size = [], 0
        page.append(item)
        size += item.size
    if page:
        yield page


def import_(context: Context) -> int:
    """Put the items of lines into queues."""
    options = context.options
    with ExitStack() as stack:
        source = sys.stdin.buffer
        size = None
        if options.file not in (None, "-"):
            path = Path(options.file)
            source = _opened(stack, options.file, "rb")
            size = path.stat().st_size if path.is_file() else None
        bar = stack.enter_context(progress(size, "bytes"))
        return Import(context, bar).run(source)


class Import:
    """One import, from its first line to its last."""

    def __init__(self, context: Context, bar: Steps) -> None:
        self._context = context
        self._bar = bar
        self._now_ms = time.time_ns() // 1_000_000
        options = context.options
        self._to = None if options.to is None else names.typed(options.to)
        self._under_way: deque[tuple[int, bytes]] = deque()
        self.put = 0
        self.dead = 0
        self._line = 0
        self._safe_line = options.skip

    def run(self, source: IO[bytes]) -> int:
        """Read all lines, and put what they tell of; return the exit status."""
        try:
            for line in source:
                self._line += 1
                self._bar.update(len(line))
                if self._line > self._context.options.skip:
                    self._take(line)
            while self._under_way:
                self._settle()
        except (CtlError, KeyboardInterrupt) as problem:
            self._give_up(problem)
            raise
        text = f"{count(self.put, 'item')} put"
        if self.dead:
            text += f", {count(self.dead, 'item')} left out that had expired"
        self._context.output.record({"put": self.put, "expired": self.dead}, text)
        return DONE

    def _take(self, line: bytes) -> None:
        try:
            item = lines.decode(line)
            if item is None:
                return
            name = item.queue if self._to is None else self._to
            if name is None:
                raise WrongLineError("it names no queue: say --to QUEUE")
        except UsageError as problem:
            raise WrongLineError(f"line {self._line}: {problem}") from problem
        if item.is_dead(self._now_ms):
            self.dead += 1
            return
        self._context.remote.send_put(name, item.data, self._how(item))
        self._under_way.append((self._line, name))
        if len(self._under_way) >= _AT_ONCE:
            self._settle()

    def _how(self, item: Carried) -> HowPut:
        delay = item.delay(self._now_ms)
        options = b"/delay=%.3f" % delay if delay else b""
        return HowPut(options, item.flags, item.expiry)

    def _settle(self) -> None:
        """Read the reply to the oldest put that is under way."""
        line, name = self._under_way[0]
        try:
            item_id = self._context.remote.read_put()
        except CtlError as problem:
            raise type(problem)(f"line {line}: {names.shown(name)}: {problem}") from problem
        if item_id is None:
            raise CtlError(f"line {line}: {names.shown(name)}: not stored; the queue is full")
        self._under_way.popleft()
        self._safe_line = line
        self.put += 1

    def _give_up(self, problem: BaseException) -> None:
        """Tell how to go on; puts behind the one that failed may have been stored all the same."""
        if isinstance(problem, WrongLineError):
            while self._under_way:  # those are fine
                self._settle()
        warn(f"{count(self.put, 'item')} put; go on with --skip {self._safe_line}")
        behind = len(self._under_way)
        if behind:
            warn(f"the {count(behind, 'line')} behind that had been sent: some may be stored")


def _opened(stack: ExitStack, path: str, mode: str) -> IO:  # type: ignore[type-arg]
    try:
        encoding = None if "b" in mode else "utf-8"
        return stack.enter_context(Path(path).open(mode, encoding=encoding))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    queue_patterns(parser, at_least_one=False)
    parser.add_argument("-o", "--output", metavar="FILE", help="default: standard output")


def _import_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", nargs="?", help="standard input without, or with -")
    queue_argument(parser, "--to", help="put all of them into this queue, whatever the lines say")
    parser.add_argument(
        "--skip", type=whole(0, 10**12), default=0, metavar="N", help="begin behind line N"
    )


COMMANDS = (
    Command(
        "export",
        "write the items of queues as lines of JSON, and take none",
        export,
        _export_arguments,
        "Data that is text stands in `text`, other data in `data`, in base64.",
    ),
    Command(
        "import",
        "put the items of such lines, or of starling-journal dump --live --json",
        import_,
        _import_arguments,
    ),
)
"""What this module brings."""
