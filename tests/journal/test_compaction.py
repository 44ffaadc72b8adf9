"""Copying forward: what is live stays, wherever it dies in between, and the disk stays bounded."""

import errno
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starling_py.journal import compaction
from starling_py.journal.format import segment
from starling_py.journal.format.record import PUSH_HEADER_SIZE, MarkedItem
from starling_py.journal.format.segment import Segment
from starling_py.journal.journal import Journal
from starling_py.journal.ledger import Ledger
from tests.journal.parts import background_of, item, new_journal, sync
from tests.journal.simulated_disk import Fault, ProcessKilled, SimulatedDisk
from tests.journal.spool_harness import (
    DIRECTORY,
    Harness,
    empty_disk,
    read_back,
    recovered_items,
    segments_of,
    without_mark,
)

SEGMENT_SIZE = 1000
SMALL = 400
"""Bytes of segments that are copied more often."""
State = dict[int, bytes]


class Traffic:
    """A journal that is put to and removed from in any order, and what should be live in it."""

    def __init__(
        self,
        disk: SimulatedDisk,
        *,
        syncs: bool = True,
        waits: bool = False,
        segment_size: int = SEGMENT_SIZE,
    ) -> None:
        self.disk = disk
        self.journal: Journal = new_journal(
            disk, syncs=syncs, waits=waits, segment_size=segment_size
        )
        self.live: State = {}
        self.next_id = 1
        self.safe: State = {}
        self.states: list[State] = [{}]
        """What it may be found as: the last that is safe, and all since."""

    def push(self, data: bytes, *, marked: bool = False) -> None:
        if marked:
            self.journal.recorder.push_marked(
                MarkedItem(self.next_id, 1, 0, 0, data, 5, 2, front=True)
            )
        else:
            self.journal.recorder.push(item(self.next_id, data))
        self.live = {**self.live, self.next_id: data}
        self.states.append(self.live)
        self.next_id += 1

    def remove(self, item_id: int) -> None:
        data = self.live[item_id]
        self.journal.recorder.remove(item(item_id, data))
        self.live = {each: data for each, data in self.live.items() if each != item_id}
        self.states.append(self.live)

    def flush(self) -> None:
        self.journal.recorder.flush()
        self.live = {}
        self.states.append(self.live)

    def write(self) -> None:
        self.journal.write()

    def sync(self) -> None:
        """Make everything safe and do all that follows."""
        work = self.journal.begin_sync()
        if work is not None:
            work.run()
            self.states = [self.live]
            self.journal.end_sync(work, None)
        background_of(self.journal).do_all()

    def step(self, random: Random) -> None:
        """Do something, in one commit."""
        for _ in range(random.randint(1, 4)):
            if self.live and random.random() < 0.55:
                head = random.random() < 0.3
                self.remove(min(self.live) if head else random.choice(list(self.live)))
            else:
                size = random.choice((0, 10, 60, 200))
                self.push(random.randbytes(size), marked=random.random() < 0.2)
        if self.live and random.random() < 0.2:
            opened = random.choice(list(self.live))
            self.journal.recorder.open(item(opened))
            self.journal.recorder.delay(item(opened), 7)
        if random.random() < 0.01:
            self.flush()
        self.write()


def found_on(disk: SimulatedDisk) -> State:
    """Read the journal back, if there is any."""
    if not any(path.startswith(DIRECTORY) for path in disk.contents()):
        return {}
    items = recovered_items(disk, read_back(disk))
    return {each[0]: each[1] for each in items or ()}


@pytest.mark.parametrize("syncs", [True, False], ids=["synced", "never synced"])
def test_whatever_is_removed_in_whatever_order_the_rest_is_read_back(syncs: bool) -> None:
    compactions = 0
    for seed in range(25):
        random = Random(seed)
        traffic = Traffic(empty_disk(), syncs=syncs, segment_size=SMALL)
        for number in range(60):
            traffic.step(random)
            if syncs and random.random() < 0.6:
                traffic.sync()
                assert found_on(traffic.disk.after_power_cut()) == traffic.live
            elif not syncs:
                traffic.journal.after_safe()
                background_of(traffic.journal).do_all()
            if number % 7 == 0:
                copy = SimulatedDisk.holding(traffic.disk.contents())
                assert found_on(copy) == traffic.live
                state = read_back(copy)
                marks = traffic.journal.ledger.facts
                assert (Ledger() if state is None else state.ledger).facts == marks
                assert set(marks) <= set(traffic.live)
        compactions += traffic.journal.compactions
    assert compactions > 100


@pytest.mark.parametrize("power", [False, True], ids=["process killed", "power cut"])
def test_a_death_in_any_file_call_of_copying_forward_costs_nothing(power: bool) -> None:
    calls, died = 0, True
    while died:
        random = Random(4)
        disk = empty_disk()
        traffic = Traffic(disk, segment_size=SMALL)
        disk.kill_process_after(calls)
        died = False
        try:
            for _ in range(35):
                traffic.step(random)
                traffic.sync()
        except ProcessKilled:
            died = True
        if power:
            for seed in range(4):
                left = disk.after_power_cut(Random(seed) if seed else None)
                assert found_on(left) in traffic.states, f"call {calls}, cut {seed}"
        left = disk.after_process_death()
        found = found_on(left)
        assert found in traffic.states, f"call {calls}"
        # Read again, it says the same, and nothing is left over.
        if found and (state := read_back(left)) is not None:
            names = {each.path for each in state.ledger.segments}
            assert {path for path in left.contents(DIRECTORY) if ".torn" not in path} == names
        assert found_on(left) == found
        calls += 3 if power else 1
    assert calls > 100
    assert traffic.journal.compactions >= 3


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), pinned=st.integers(1, 3))
def test_the_disk_holds_no_more_than_twice_what_is_live_and_two_segments(
    seed: int, pinned: int
) -> None:
    random = Random(seed)
    traffic = Traffic(empty_disk())
    journal = traffic.journal
    kept: list[int] = []
    largest = 0
    for number in range(150):
        if number % 50 == 0 and len(kept) < pinned:
            kept.append(traffic.next_id)
        before = journal.ledger.size
        for _ in range(random.randint(1, 5)):
            traffic.push(random.randbytes(random.choice((0, 30, 150))))
        # Nearly all of it goes, but some old items are never taken.
        removable = [each for each in traffic.live if each not in kept]
        keep = 0 if random.random() < 0.8 else 10
        for item_id in removable[: max(0, len(removable) - keep)]:
            if random.random() < 0.95:
                traffic.remove(item_id)
        traffic.write()
        largest = max(largest, journal.ledger.size - before)
        traffic.sync()
        size = sum(len(without_mark(data)) for data in traffic.disk.contents(DIRECTORY).values())
        assert size == journal.size
        bound = 2 * journal.ledger.live_size + 2 * SEGMENT_SIZE + largest
        assert size <= bound, f"commit {number}: {journal.ledger.segments}"
    assert set(kept) <= set(traffic.live)
    assert found_on(traffic.disk.after_power_cut()) == traffic.live


def with_waste(disk: SimulatedDisk, *, waits: bool = False) -> Traffic:
    """Return a journal that is about to copy forward, as soon as it is synced."""
    traffic = Traffic(disk, waits=waits)
    for number in range(16):
        traffic.push(b"%d" % number * 100)
        traffic.write()
        traffic.sync()
    for number in (*range(2, 9), *range(11, 16)):
        traffic.remove(number)
    traffic.write()
    return traffic


@given(size=st.integers(200, 800), batch=st.integers(1, 12))
def test_a_queue_that_is_only_taken_from_its_head_is_not_copied(size: int, batch: int) -> None:
    segment_size = 16_000
    traffic = Traffic(empty_disk(), syncs=False, segment_size=segment_size)
    count = 3 * segment_size // size
    for item_id in range(1, count):
        traffic.journal.recorder.push(item(item_id, b"x" * size))
        traffic.write()
    for item_id in range(1, count):
        traffic.journal.recorder.remove(item(item_id, b"x" * size))
        if item_id % batch == 0:
            traffic.write()
            traffic.journal.after_safe()
            background_of(traffic.journal).do_all()
    assert traffic.journal.rotations > 2
    assert traffic.journal.compactions == 0


def test_a_copy_stands_for_the_segments_that_it_replaces(disk: SimulatedDisk) -> None:
    traffic = with_waste(disk)
    before = segments_of(disk)
    traffic.sync()
    assert traffic.journal.compactions == 1
    copies = [each for each in traffic.journal.ledger.segments if each.compacted]
    assert len(copies) == 1
    (copy,) = copies
    header, _ = segment.decode(memoryview(disk.contents()[copy.path]))
    assert header.compacted
    assert header.number == copy.number
    assert header.oldest <= copy.number
    assert len(disk.contents()[copy.path]) == copy.size
    assert sum(map(len, segments_of(disk).values())) < sum(map(len, before.values()))
    assert found_on(disk.after_power_cut()) == traffic.live


def test_replaced_segments_that_reappear_in_any_combination_change_nothing(
    disk: SimulatedDisk,
) -> None:
    traffic = with_waste(disk)
    ever = dict(segments_of(disk))
    traffic.sync()
    now = segments_of(disk)
    assert traffic.journal.compactions
    gone = sorted(set(ever) - set(now))
    assert gone
    for choice in range(2 ** len(gone)):
        back = {path: ever[path] for bit, path in enumerate(gone) if choice >> bit & 1}
        again = SimulatedDisk.holding(now | back)
        assert found_on(again) == traffic.live
        assert again.contents() == now
    # The same if nothing of the copying has lasted, not even its name.
    assert found_on(SimulatedDisk.holding(ever | {max(now): now[max(now)]})) == traffic.live


def test_items_that_are_removed_while_they_are_copied_stay_removed(disk: SimulatedDisk) -> None:
    traffic = with_waste(disk)
    background = background_of(traffic.journal)
    work = traffic.journal.begin_sync()
    assert work is not None
    work.run()
    traffic.journal.end_sync(work, None)
    pieces = 0
    while background.waiting:
        background.do_one()
        pieces += 1
        if pieces == 1:
            for number in (1, 9):
                traffic.remove(number)
            traffic.write()
    assert pieces > 2
    assert traffic.journal.compactions == 1
    assert found_on(SimulatedDisk.holding(disk.contents())) == traffic.live
    traffic.sync()
    assert found_on(disk.after_power_cut()) == traffic.live


def test_everything_may_go_while_it_is_copied(disk: SimulatedDisk) -> None:
    for moment in range(8):
        disk = empty_disk()
        traffic = with_waste(disk)
        background = background_of(traffic.journal)
        work = traffic.journal.begin_sync()
        assert work is not None
        work.run()
        traffic.journal.end_sync(work, None)
        for _ in range(min(moment, len(background.waiting))):
            background.do_one()
        traffic.flush()
        traffic.push(b"new")
        traffic.write()
        traffic.sync()
        traffic.push(b"newer")
        traffic.write()
        traffic.sync()
        assert found_on(disk.after_power_cut()) == traffic.live
        assert traffic.journal.size == sum(map(len, disk.contents(DIRECTORY).values()))


def make_safe(traffic: Traffic) -> None:
    """Make everything safe, and only begin what follows from that."""
    work = traffic.journal.begin_sync()
    assert work is not None
    work.run()
    traffic.journal.end_sync(work, None)


def test_what_died_while_it_was_copied_goes_without_another_write(
    disk: SimulatedDisk,
) -> None:
    traffic = with_waste(disk)
    background = background_of(traffic.journal)
    make_safe(traffic)
    background.do_one()
    for number in list(traffic.live):
        traffic.remove(number)
    traffic.write()
    make_safe(traffic)
    assert len(traffic.journal.ledger.segments) > 1, "they must not go while they are copied"
    background.do_all()
    assert len(traffic.journal.ledger.segments) == 1
    assert len(disk.contents(DIRECTORY)) == 1
    assert traffic.journal.size == sum(map(len, disk.contents(DIRECTORY).values()))


def test_a_copy_that_fails_at_any_call_costs_nothing_and_is_made_later() -> None:
    nth, struck = 0, True
    while struck:
        nth += 1
        disk = empty_disk()
        traffic = with_waste(disk)
        work = traffic.journal.begin_sync()
        assert work is not None
        work.run()
        traffic.journal.end_sync(work, None)
        calls = frozenset({"create", "write", "sync", "close", "rename", "unlink", "read_at"})
        fault = disk.fault = Fault(nth, errno.EIO, calls)
        background_of(traffic.journal).do_all()
        struck = fault.struck
        disk.fault = None
        assert traffic.journal.broken is None
        assert found_on(disk.after_power_cut()) == traffic.live, f"call {nth}"
        assert found_on(SimulatedDisk.holding(disk.contents())) == traffic.live
        for _ in range(2):
            traffic.push(b"x")
            traffic.write()
            traffic.sync()
        assert traffic.journal.compactions >= 1, f"call {nth}"
        assert found_on(disk.after_power_cut()) == traffic.live, f"call {nth}"
    assert nth > 5


def test_a_copy_whose_sync_failed_is_not_used_again(disk: SimulatedDisk) -> None:
    traffic = with_waste(disk)
    work = traffic.journal.begin_sync()
    assert work is not None
    work.run()
    traffic.journal.end_sync(work, None)
    disk.fault = Fault(1, errno.EIO, frozenset({"sync"}))
    background_of(traffic.journal).do_all()
    assert disk.fault.struck
    disk.fault = None
    for _ in range(3):
        traffic.push(b"x")
        traffic.write()
        traffic.sync()
        assert found_on(disk.after_power_cut()) == traffic.live
    assert traffic.journal.compactions >= 1


def test_a_compaction_is_in_force_though_its_last_directory_sync_fails(
    disk: SimulatedDisk,
) -> None:
    harness = Harness(disk, segment_size=SEGMENT_SIZE, deferred=True)
    harness.put_all([b"%d" % number * 100 for number in range(8)])
    harness.deferred.sync_one()
    while harness.deferred.waiting:
        harness.deferred.sync_one()
    for _ in range(5):
        harness.pop()
    queue = harness.queues.directory.find(b"jobs")
    assert queue is not None
    harness.commit()
    while harness.deferred.waiting:
        harness.deferred.sync_one()
    disk.fault = Fault(1, errno.EIO, frozenset({"sync_directory"}))
    harness.background.do_all()
    disk.fault = None
    harness.clock.monotonic += 5
    harness.commits.sync_if_due()
    while harness.deferred.waiting:
        harness.deferred.sync_one()
    harness.background.do_all()
    assert queue.journal.broken is None
    assert harness.datas() == [b"%d" % number * 100 for number in range(5, 8)]
    assert Harness(disk.after_power_cut()).datas() == harness.datas()
    assert Harness(disk.after_process_death()).datas() == harness.datas()


segments = st.builds(
    lambda items, size, waste, compacted: Segment(
        0, "", 0, items * (size + PUSH_HEADER_SIZE) + waste, items, items * size, compacted
    ),
    st.integers(1, 20),
    st.integers(0, 100),
    st.integers(0, 2000),
    st.booleans(),
)


@given(st.lists(segments, min_size=1, max_size=12))
def test_what_is_chosen_are_neighbours_and_never_the_last_one(found: list[Segment]) -> None:
    for number, each in enumerate(found, 1):
        each.number = number
    items, size = sum(each.items for each in found), sum(each.bytes for each in found)
    ledger = Ledger(segments=found, items=items, bytes=size)
    chosen = compaction.choose(ledger, SEGMENT_SIZE)
    numbers = [each.number for each in chosen]
    older = found[:-1]
    waste = sum(each.waste for each in older)
    live = sum(each.size for each in older) - waste
    total = sum(each.size for each in found) > 1.5 * (ledger.live_size + SEGMENT_SIZE)
    assert bool(chosen) == (total and waste > live // 2 + SEGMENT_SIZE // 2)
    if chosen:
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        assert found[-1].number not in numbers
        assert max(older, key=lambda each: each.waste).waste in [each.waste for each in chosen]
        if len(chosen) > 1:
            assert sum(each.size - each.waste for each in chosen) <= SEGMENT_SIZE // 2


def test_nothing_is_copied_while_little_is_waste(disk: SimulatedDisk) -> None:
    traffic = Traffic(disk)
    for number in range(30):
        traffic.push(b"x" * 200)
        if number % 8 == 7:
            traffic.remove(number)
        traffic.write()
        traffic.sync()
    assert traffic.journal.compactions == 0
    sync(traffic.journal)
