"""A spool of queues against the simplest model of them: a deque each.

The machine puts, takes, looks, flushes, deletes, lets time pass, lets writes fail, restarts and
crashes, in any order. After each step the queues hold what the model holds; after a failed write
or a crash, what it held at the last commit (invariants I2, I3, I5 and I6).
"""

import copy
import errno
import shutil
import tempfile
from collections import deque
from collections.abc import Callable
from pathlib import Path

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from starling_py.journal.files import Files
from starling_py.names import Request
from starling_py.queues.window import NotLoaded
from tests.core import Answer, Core, ManualClock

NAMES = st.sampled_from([b"jobs", b"Jobs", b"a+b", b"..", b"\xff\x01"])
DATA = st.binary(max_size=40) | st.binary(min_size=900, max_size=1100)


@attrs.frozen
class Thing:
    """An item as the model has it."""

    number: int
    data: bytes
    flags: int
    dies_ms: int


@attrs.define
class Model:
    """A queue as the model has it."""

    things: deque[Thing] = attrs.field(factory=deque)
    put: int = 0


class FullDisk(Files):
    """Files whose writes can be made to fail, half of the data having been written."""

    def __init__(self) -> None:
        self.full = False

    def write(self, descriptor: int, data: bytes) -> int:
        """Write, unless the disk is full: then what fits, and the error next time."""
        if not self.full:
            return super().write(descriptor, data)
        if len(data) < 8:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(descriptor, data[: len(data) // 2])


class QueuesAgainstDeques(RuleBasedStateMachine):
    """Drives a spool and the model side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.path = Path(tempfile.mkdtemp())
        self.files = FullDisk()
        self.clock = ManualClock()
        self.core = Core(self.path, self.files, self.clock, segment_size=400, window_size=1000)
        self.model: dict[bytes, Model] = {}
        self.committed: dict[bytes, Model] = {}

    def teardown(self) -> None:
        self.core.close()
        shutil.rmtree(self.path)

    def patiently(self, ask: Callable[[], Answer]) -> Answer:
        """Ask until what was asked for is in memory; that may need what was asked before."""
        try:
            return ask()
        except NotLoaded:
            self.core.background.do_all()
        try:
            return ask()
        except NotLoaded:
            self.commit()
            return self.core.patiently(ask)

    def head(self, name: bytes) -> Thing | None:
        """Drop what is dead at the head of a model's queue and return the next."""
        queue = self.model.get(name, Model())
        while queue.things and 0 < queue.things[0].dies_ms <= self.clock.wall_ms:
            queue.things.popleft()
        return queue.things[0] if queue.things else None

    @rule(
        name=NAMES,
        data=DATA,
        flags=st.integers(0, 2**32 - 1),
        exptime=st.sampled_from([0, 0, 0, 5, -1]),
    )
    def put(self, name: bytes, data: bytes, flags: int, exptime: int) -> None:
        self.core.queues.put(name, data, flags, exptime)
        queue = self.model.setdefault(name, Model())
        queue.put += 1
        dies = 1 if exptime < 0 else exptime and self.clock.wall_ms + 1000 * exptime
        queue.things.append(Thing(queue.put, data, flags, dies))

    @rule(name=NAMES, data=DATA)
    def add(self, name: bytes, data: bytes) -> None:
        stored = self.patiently(lambda: self.core.queues.add(name, data, 0, 0))
        assert (stored is not None) == (self.head(name) is None)
        if stored is not None:
            queue = self.model.setdefault(name, Model())
            queue.put += 1
            queue.things.append(Thing(queue.put, data, 0, 0))

    @rule(name=NAMES, peek=st.booleans())
    def read(self, name: bytes, peek: bool) -> None:
        hit = self.patiently(lambda: self.core.queues.read(Request(name, name, peek=peek)))
        expected = self.head(name)
        if expected is None:
            assert hit is None
            return
        assert hit is not None
        item = hit[1]
        assert (item.id, item.data, item.flags) == (
            expected.number,
            expected.data,
            expected.flags,
        )
        if not peek:
            self.model[name].things.popleft()

    @rule(name=NAMES)
    def flush(self, name: bytes) -> None:
        assert (self.core.queues.flush(name) is not None) == (name in self.model)
        if name in self.model:
            self.model[name].things.clear()

    @rule(name=NAMES)
    def delete(self, name: bytes) -> None:
        assert (self.core.queues.delete(name) is not None) == (name in self.model)
        self.core.commit()
        self.model.pop(name, None)
        self.committed = copy.deepcopy(self.model)

    @rule(seconds=st.sampled_from([1, 6]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule()
    def commit(self) -> None:
        self.core.commit()
        self.committed = copy.deepcopy(self.model)

    @rule()
    def commit_on_a_full_disk(self) -> None:
        self.files.full = True
        touched = self.core.commits.pending
        failed = self.core.commits.commit().failed
        self.files.full = False
        assert bool(failed) == touched
        self.model = copy.deepcopy(self.committed)
        self.core.commit()

    @precondition(lambda self: not self.core.commits.pending)
    @rule()
    def restart(self) -> None:
        self.core.close()
        self.core = Core(self.path, self.files, self.clock, segment_size=400, window_size=1000)

    @rule()
    def crash(self) -> None:
        self.core.close()
        self.core = Core(self.path, self.files, self.clock, segment_size=400, window_size=1000)
        self.model = copy.deepcopy(self.committed)

    @invariant()
    def the_queues_hold_what_the_model_holds(self) -> None:
        snapshots = {each.name: each for each in self.core.queues.snapshot()}
        assert snapshots.keys() == self.model.keys()
        for name, queue in self.model.items():
            assert snapshots[name].items == len(queue.things)
            assert snapshots[name].bytes == sum(len(thing.data) for thing in queue.things)
            assert snapshots[name].total_items == queue.put


TestQueuesAgainstDeques = QueuesAgainstDeques.TestCase
TestQueuesAgainstDeques.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
