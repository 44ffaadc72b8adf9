"""What the parts of this server cost: the parser, the journal's appends, its replay.

Each is repeated for some rounds, and a small step of plain Python is measured in between: the
ratio to it says more than the time, as both depend on the machine alike.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import deque
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from bench.dialects import Text, Way
from bench.phrases import DIGITS
from starling_py.clock import Clock
from starling_py.journal.disk.files import Files
from starling_py.journal.format.record import Item
from starling_py.protocol.text import TextDialect
from starling_py.server.core import Core, InlineThreads, Storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starling_py.journal.commit import GroupCommit
    from starling_py.journal.journal import Journal

ITEMS, ROUNDS = 64_000, 5
TICK = 32  # requests or records of one tick
SEGMENT = 16 << 20  # the server's default
QUEUE = b"jobs"


@attrs.frozen
class Part:
    """Something that is measured."""

    name: str
    run: Callable[[int], None]
    """Do it so many times."""


def reference(count: int) -> None:
    """Do a small step of plain Python, so many times."""
    items: deque[bytes] = deque()
    for number in range(count):
        items.append(b"%08d" % number)


def parse(request: bytes) -> Callable[[int], None]:
    """Return what reads such requests, a tick's at a time."""
    data = request * TICK

    def run(count: int) -> None:
        dialect = TextDialect(1 << 20)
        for _ in range(count // TICK):
            dialect.feed(data)
            while dialect.next_command() is not None:
                pass

    return run


def append(directory: Path, size: int, *, removing: bool) -> Callable[[int], None]:
    """Return what writes puts to a journal, a tick's at a time, and with `removing` removals."""
    data = b"x" * size

    def run(count: int) -> None:
        with ExitStack() as stack:
            path = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=directory)))
            journal, commits = _journal(stack, path)
            first = journal.next_id
            for start in range(first, first + count, TICK):
                items = [Item(at, 0, 0, 0, data) for at in range(start, start + TICK)]
                for item in items:
                    journal.recorder.push(item)
                commits.commit()
                if removing:
                    for item in items:
                        journal.recorder.remove(item)
                    commits.commit()

    return run


def replay(stack: ExitStack, directory: Path, size: int, items: int) -> Callable[[int], None]:
    """Return what reads a journal back, as a start does, whatever the number of times."""
    path = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=directory)))
    with ExitStack() as writing:
        journal, commits = _journal(writing, path)
        first = journal.next_id
        for start in range(first, first + items, TICK):
            for at in range(start, start + TICK):
                journal.recorder.push(Item(at, 0, 0, 0, b"x" * size))
            commits.commit()

    def run(_: int) -> None:
        with ExitStack() as reading:
            (queue,) = _core(reading, path).queues.directory
            assert queue.items == items

    return run


def _core(stack: ExitStack, path: Path) -> Core:
    # Next to nothing is read back into memory: a replay is the ledger's.
    storage = Storage(str(path / "spool"), None, SEGMENT, window_size=1)
    core = Core.open(storage, Clock(), Files(), InlineThreads())
    stack.callback(core.spool.close)
    return core


def _journal(stack: ExitStack, path: Path) -> tuple[Journal, GroupCommit]:
    core = _core(stack, path)
    return core.spool.journal(QUEUE), core.commits


def parts(stack: ExitStack, directory: Path, items: int) -> Iterator[tuple[Part, int]]:
    """Yield what is measured, and the number of times in one round."""
    text = Text()
    for size in (64, 1024):
        put = text.put(QUEUE, size, 0)
        request = put.head + b"0" * DIGITS + put.tail
        yield Part(f"parse a set of {size} B", parse(request)), items
    yield Part("parse a get", parse(text.get(QUEUE, 64, 0, Way.POP).request)), items
    for size in (64, 1024):
        run = append(directory, size, removing=False)
        yield Part(f"append a put of {size} B", run), items
    yield Part("append a put and a removal", append(directory, 64, removing=True)), items
    # Below one segment all of it is read; beyond, only the last one.
    few = min(items, SEGMENT // 2 // 1024) // TICK * TICK
    yield Part("replay a journal, per put", replay(stack, directory, 1024, few)), few


def measure(directory: Path, items: int, rounds: int) -> Iterator[tuple[str, float, float]]:
    """Yield of each part its name, the seconds it takes, and that in small steps of Python."""
    with ExitStack() as stack:
        for part, count in parts(stack, directory, items // TICK * TICK):
            times, shares = [], []
            for _ in range(rounds):
                step = timed(reference, items)
                times.append(timed(part.run, count))
                shares.append(times[-1] / step)
            yield part.name, statistics.median(times), statistics.median(shares)


def timed(run: Callable[[int], None], count: int) -> float:
    """Return the CPU seconds of this process for one time of `count`."""
    began = time.process_time()
    run(count)
    return (time.process_time() - began) / count


def show(directory: Path) -> None:
    """Measure all parts and print them."""
    print(f"{'part':<34}{'CPU us':>8}{'steps':>8}   steps: of plain Python")
    for name, seconds, share in measure(directory, ITEMS, ROUNDS):
        print(f"{name:<34}{seconds * 1e6:>8.2f}{share:>8.1f}", flush=True)
