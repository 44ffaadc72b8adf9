"""A spool of queues against the simplest model of them: lists of things and what became of each.

The machine puts at either end, with delays and expiry, takes, looks, opens, confirms, aborts,
hangs up, flushes, deletes, lets time pass, lets writes fail, restarts and crashes, in any order.
After each step the queues hold what the model holds; after a failed write or a crash, what it
held at the last commit (invariants I2, I3, I5 and I6).
"""

import copy
import errno
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from starling_py.journal.disk.files import Files
from starling_py.keys import Request
from starling_py.queues.delivery import Put
from starling_py.queues.errors import NotLoaded
from starling_py.queues.open_reads import OpenRead, ReadHolder
from starling_py.queues.queue_collection import QueueCollection
from tests.core import Answer, CoreHarness, ManualClock, put_with_care
from tests.core import put as put_item

NAMES = st.sampled_from([b"jobs", b"Jobs", b"a+b", b"..", b"\xff\x01"])
DATA = st.binary(max_size=40) | st.binary(min_size=900, max_size=1100)
HOLDERS = st.sampled_from([1, 2])


@attrs.define
class Thing:
    """An item as the model has it."""

    number: int
    data: bytes
    flags: int = 0
    dies_ms: int = 0
    due_ms: int = 0
    front: bool = False
    deliveries: int = 0
    open_by: int | None = None
    """Who has it open."""

    @property
    def place(self) -> int:
        return -self.number if self.front else self.number


@attrs.define
class Model:
    """A queue as the model has it."""

    things: dict[int, Thing] = attrs.field(factory=dict)
    put: int = 0
    last_id: int = 0

    def next(self, now_ms: int) -> Thing | None:
        """Return the first that waits, dead or alive."""
        return min(
            (each for each in self.things.values() if not each.open_by and each.due_ms <= now_ms),
            key=lambda each: each.place,
            default=None,
        )

    def drop_one(self, now_ms: int) -> bool:
        """Drop what is at the head if it is dead; return whether it was."""
        thing = self.next(now_ms)
        if thing is None or not 0 < thing.dies_ms <= now_ms:
            return False
        del self.things[thing.number]
        return True

    def head(self, now_ms: int) -> Thing | None:
        """Drop what is dead at the head and return the next that can be taken."""
        while self.drop_one(now_ms):
            pass
        return self.next(now_ms)

    def opened(self, holder: int) -> list[Thing]:
        return [each for each in self.things.values() if each.open_by == holder]


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


class QueuesAgainstModels(RuleBasedStateMachine):
    """Drives a spool and the model side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.path = Path(tempfile.mkdtemp())
        self.files = FullDisk()
        self.clock = ManualClock()
        self.model: dict[bytes, Model] = {}
        self.committed: dict[bytes, Model] = {}
        self.used: dict[bytes, int] = {}
        """The highest id that an item of a queue that is gone had, by its name."""
        self.start()

    def start(self) -> None:
        """Start on what is on the disk; nobody is connected yet."""
        self.core = CoreHarness(
            self.path, self.files, self.clock, segment_size=400, window_size=1000
        )
        self.holders = {1: ReadHolder(), 2: ReadHolder()}
        for model in (self.model, self.committed):
            for queue in model.values():
                for thing in queue.things.values():
                    thing.open_by = None

    def teardown(self) -> None:
        self.core.close()
        shutil.rmtree(self.path)

    @property
    def queues(self) -> QueueCollection:
        return self.core.queues

    def patiently(self, ask: Callable[[], Answer]) -> Answer:
        """Ask until what was asked for is in memory; that may need what was asked before."""
        try:
            return ask()
        except NotLoaded:
            self.core.background.do_all()
        while True:
            try:
                return ask()
            except NotLoaded:
                self.drop_what_was_found_dead()
                self.commit()

    def drop_what_was_found_dead(self) -> None:
        """Drop the dead that a read has removed already, though it has to wait for more."""
        for name, queue in self.model.items():
            found = self.queues.directory.find(name)
            while found is not None and len(queue.things) > found.items:
                before = len(queue.things)
                queue.drop_one(self.clock.wall_ms)
                assert len(queue.things) == before - 1

    def head(self, name: bytes) -> Thing | None:
        return self.model.get(name, Model()).head(self.clock.wall_ms)

    @rule(
        name=NAMES,
        data=DATA,
        flags=st.integers(0, 2**32 - 1),
        exptime=st.sampled_from([0, 0, 0, 5, -1]),
        delay=st.sampled_from([0, 0, 0, 1, 5]),
        front=st.sampled_from([False, False, True]),
    )
    def put(
        self, name: bytes, data: bytes, flags: int, exptime: int, delay: int, front: bool
    ) -> None:
        now_ms = self.clock.wall_ms
        due_ms = now_ms + 1000 * delay if delay else 0
        if due_ms or front:
            put = Put(name, data, flags, exptime, due_ms, front)
            self.patiently(lambda: put_with_care(self.queues, put))
        else:
            put_item(self.queues, name, data, flags, exptime)
        dies = 1 if exptime < 0 else exptime and now_ms + 1000 * exptime
        self.was_put(name, Thing(0, data, flags, dies, due_ms, front))

    def was_put(self, name: bytes, thing: Thing) -> None:
        """Count what was put; a new queue begins with an id that none of its name had."""
        queue = self.model.get(name)
        if queue is None:
            found = self.queues.directory.find(name)
            assert found is not None
            queue = self.model[name] = Model(last_id=found.next_id - 2)
            assert queue.last_id >= self.used.get(name, 0)
        queue.put += 1
        queue.last_id += 1
        thing.number = queue.last_id
        queue.things[thing.number] = thing

    @rule(name=NAMES, data=DATA)
    def add(self, name: bytes, data: bytes) -> None:
        empty = self.patiently(lambda: self.queues.is_empty(name))
        self.head(name)
        assert empty == (not self.model.get(name, Model()).things)
        if empty:
            put_item(self.queues, name, data)
            self.was_put(name, Thing(0, data))

    def read(self, request: Request, holder: ReadHolder | None = None) -> Thing | None:
        """Read, and insist that it is what the model says."""
        hit = self.patiently(lambda: self.queues.read(request, holder))
        expected = self.head(request.name)
        if expected is None:
            assert hit is None
            return None
        assert hit is not None
        item = hit[1]
        assert (item.id, item.data, item.flags) == (
            expected.number,
            expected.data,
            expected.flags,
        )
        return expected

    @rule(name=NAMES)
    def take(self, name: bytes) -> None:
        thing = self.read(Request(name, name))
        if thing is not None:
            del self.model[name].things[thing.number]

    @rule(name=NAMES)
    def look(self, name: bytes) -> None:
        self.read(Request(name, name, peek=True))

    @rule(name=NAMES, who=HOLDERS)
    def open(self, name: bytes, who: int) -> None:
        thing = self.read(Request(name, name, open=True), self.holders[who])
        if thing is not None:
            thing.open_by = who
            thing.deliveries += 1

    def opened(self, name: bytes, who: int, pick: int) -> tuple[Thing, OpenRead] | None:
        """Return one of the reads that somebody has open."""
        reads = self.holders[who].reads(name)
        things = self.model.get(name, Model()).opened(who)
        assert sorted(read.item.id for read in reads) == sorted(each.number for each in things)
        if not reads:
            return None
        read = reads[pick % len(reads)]
        thing = self.model[name].things[read.item.id]
        assert (read.is_open, read.item.data, read.deliveries) == (
            True,
            thing.data,
            thing.deliveries,
        )
        return thing, read

    @rule(name=NAMES, who=HOLDERS, pick=st.integers(0, 3))
    def confirm(self, name: bytes, who: int, pick: int) -> None:
        found = self.opened(name, who, pick)
        if found is not None:
            found[1].queue.confirm(found[1])
            del self.model[name].things[found[0].number]

    @rule(name=NAMES, who=HOLDERS, pick=st.integers(0, 3), delay=st.sampled_from([0, 0, 1, 5]))
    def abort(self, name: bytes, who: int, pick: int, delay: int) -> None:
        found = self.opened(name, who, pick)
        if found is not None:
            thing, read = found
            thing.open_by = None
            if delay:
                thing.due_ms = self.clock.wall_ms + 1000 * delay
                read.queue.give_back_later(read, thing.due_ms)
            else:
                read.queue.give_back(read)

    @rule(who=HOLDERS)
    def hang_up(self, who: int) -> None:
        holder, self.holders[who] = self.holders[who], ReadHolder()
        holder.closed = True
        for read in holder.reads():
            read.queue.give_back(read)
        for queue in self.model.values():
            for thing in queue.opened(who):
                thing.open_by = None
        # What was confirmed, should that not be written, is nobody's any more.
        for queue in self.committed.values():
            for thing in queue.opened(who):
                thing.open_by = None

    @rule(name=NAMES)
    def flush(self, name: bytes) -> None:
        assert (self.queues.flush(name) is not None) == (name in self.model)
        if name in self.model:
            things = self.model[name].things
            for number in [each for each in things if things[each].open_by is None]:
                del things[number]

    @rule(name=NAMES)
    def delete(self, name: bytes) -> None:
        assert (self.queues.delete(name) is not None) == (name in self.model)
        gone = self.model.pop(name, None)
        if gone is not None:
            self.used[name] = gone.last_id
        self.commit()

    @rule(seconds=st.sampled_from([1, 6]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)
        self.queues.run_due()

    @rule()
    def commit(self) -> None:
        self.core.commit()
        self.committed = copy.deepcopy(self.model)

    @rule()
    def commit_on_a_full_disk(self) -> None:
        self.files.full = True
        touched = bool(self.core.commits.touched)
        failed = self.core.commits.commit().failed
        self.files.full = False
        assert bool(failed) == touched
        touched_queues = {journal.queue for journal in failed}
        for name in self.model.keys() - self.committed.keys():
            assert name in touched_queues
        self.take_back()
        self.core.commit()
        self.committed = copy.deepcopy(self.model)

    def take_back(self) -> None:
        """Go back to the last commit, but for what needs none: an item that came back is back."""
        now, self.model = self.model, copy.deepcopy(self.committed)
        for name, queue in self.model.items():
            for thing in queue.things.values():
                after = now.get(name, Model()).things.get(thing.number)
                if after is None:
                    continue
                if after.open_by != thing.open_by or after.deliveries != thing.deliveries:
                    thing.open_by = None
                if after.due_ms > thing.due_ms and after.open_by is None:
                    thing.due_ms = after.due_ms

    @precondition(lambda self: not self.core.commits.touched)
    @rule()
    def restart(self) -> None:
        self.core.close()
        self.start()

    @rule()
    def crash(self) -> None:
        self.core.close()
        self.model = copy.deepcopy(self.committed)
        self.start()

    @invariant()
    def the_queues_hold_what_the_model_holds(self) -> None:
        found = [self.queues.queue_snapshot(name) for name in self.queues.names()]
        snapshots = {each.name: each for each in found if each is not None}
        assert snapshots.keys() == self.model.keys()
        for name, queue in self.model.items():
            things = queue.things.values()
            is_open = [thing for thing in things if thing.open_by is not None]
            snapshot = snapshots[name]
            assert snapshot.items == len(things) - len(is_open)
            assert snapshot.open_transactions == len(is_open)
            assert snapshot.bytes == sum(len(thing.data) for thing in things)
            assert snapshot.total_items == queue.put


TestQueuesAgainstModels = QueuesAgainstModels.TestCase
TestQueuesAgainstModels.settings = settings(max_examples=100, stateful_step_count=40)
