"""Queues that are larger than their window: read behind, in order, whatever happens meanwhile."""

import errno
from collections import deque
from random import Random

import pytest

from starling_py.journal.blocks import OVERHEAD
from starling_py.journal.errors import JournalError
from starling_py.journal.format.record import Item
from starling_py.keys import Request
from starling_py.queues import numbers
from starling_py.queues.errors import NotLoaded
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.queues.waiters import Hit, Waiter
from starling_py.queues.window import Window, WindowSizes
from tests.journal.simulated_disk import Fault, SimulatedDisk
from tests.journal.spool_harness import DIRECTORY, NAME, NOW_MS, Harness, empty_disk

WINDOW = 4096
FIRST = f"{DIRECTORY}/0000000000000001.segment"


def data(number: int, size: int = 100) -> bytes:
    """Return an item's data that tells which one it is."""
    return (b"%d." % number).ljust(size, b"x")


def server(disk: SimulatedDisk, **options: object) -> Harness:
    """Return a server with small windows."""
    settings: dict[str, object] = {"window_size": WINDOW, "segment_size": 2000} | options
    return Harness(disk, **settings)  # type: ignore[arg-type]


def queue_of(harness: Harness) -> PersistentQueue:
    """Return the queue under test."""
    queue = harness.queues.directory.find(NAME)
    assert queue is not None
    return queue


def memory(queue: PersistentQueue) -> int:
    """Return what the window takes."""
    items = queue._window.items
    return sum(len(each.data) for each in items) + OVERHEAD * len(items)


@pytest.fixture
def disk() -> SimulatedDisk:
    """Return a disk with an empty spool on it."""
    return empty_disk()


def test_a_queue_larger_than_its_window_keeps_only_the_head_in_memory(
    disk: SimulatedDisk,
) -> None:
    harness = server(disk)
    harness.put_all([data(number) for number in range(300)])
    queue = queue_of(harness)
    snapshot = numbers.snapshot(queue, NOW_MS, 0, "")
    assert (snapshot.items, snapshot.bytes) == (300, 30_000)
    assert 1 < snapshot.loaded < 20
    for number in range(300):
        assert memory(queue) <= 2 * WINDOW
        assert harness.pop_all(1) == [data(number)]
    assert harness.pop_all(1) == [None]
    assert queue.items == queue.bytes == 0


def test_a_queue_is_read_back_a_window_at_a_time_after_a_start(disk: SimulatedDisk) -> None:
    server(disk).put_all([data(number) for number in range(300)])
    harness = server(disk.after_process_death())
    queue = queue_of(harness)
    assert len(queue) == 300
    assert memory(queue) <= 2 * WINDOW
    assert harness.pop_all(301) == [*(data(number) for number in range(300)), None]


def test_an_item_larger_than_the_window_is_served(disk: SimulatedDisk) -> None:
    harness = server(disk)
    sizes = [10, 10_000, 20, 50_000, 9000, 30]
    harness.put_all([data(number, size) for number, size in enumerate(sizes)])
    assert harness.pop_all(7) == [
        *(data(number, size) for number, size in enumerate(sizes)),
        None,
    ]


def test_what_is_not_loaded_is_said_to_be_and_changes_nothing(disk: SimulatedDisk) -> None:
    server(disk).put_all([data(number) for number in range(100)])
    harness = Harness(disk.after_process_death(), window_size=WINDOW)
    queue = queue_of(harness)
    queue.waiting.clear()
    queue.waiting.window.reread(0)
    for ask in (queue.pop, queue.peek):
        with pytest.raises(NotLoaded) as answer:
            ask(NOW_MS)
        assert answer.value.when_loaded == queue.waiting.when_loaded
        assert (queue.items, queue.counted.get_hits) == (100, 0)
    asked: list[int] = []

    def ask_again(problem: JournalError | None) -> None:
        assert problem is None
        asked.append(len(queue._window.items))

    queue.waiting.when_loaded(ask_again)
    assert not asked
    assert len(harness.background.waiting) == 1, "it is read once"
    harness.background.do_all()
    assert len(asked) == 1
    assert asked[0] > 0
    item = queue.pop(NOW_MS)
    assert item is not None
    assert item.data == data(0)


def test_more_is_put_and_taken_in_one_tick_than_the_window_holds(disk: SimulatedDisk) -> None:
    harness = server(disk)
    for number in range(100):
        harness.put(data(number))
    queue = queue_of(harness)
    taken = []
    while True:
        try:
            item = queue.pop(NOW_MS)
        except NotLoaded:
            break
        assert item is not None
        taken.append(item.data)
    assert 0 < len(taken) < 100
    harness.commit()
    rest = harness.pop_all(101 - len(taken))
    assert [*taken, *rest] == [*(data(number) for number in range(100)), None]
    assert server(disk.after_process_death()).pop_all(1) == [None]


def test_a_flush_and_a_deletion_take_what_is_not_in_memory_too(disk: SimulatedDisk) -> None:
    for delete in (False, True):
        disk = empty_disk()
        harness = server(disk)
        harness.put_all([data(number) for number in range(100)])
        harness.pop_all(5)
        queue_of(harness).waiting.load()
        if delete:
            harness.queues.delete(NAME)
        else:
            harness.queues.flush(NAME)
        harness.put(b"new")
        harness.commit()
        assert harness.pop_all(2) == [b"new", None]
        harness.put_all([data(number) for number in range(100)])
        again = server(disk.after_process_death())
        assert again.pop_all(101) == [*(data(number) for number in range(100)), None]


def test_a_failed_commit_takes_back_what_happened_to_a_queue_read_behind(
    disk: SimulatedDisk,
) -> None:
    harness = server(disk)
    harness.put_all([data(number) for number in range(100)])
    for _ in range(3):
        for number in range(5):
            assert harness.pop() == data(number)
            harness.put(b"never written")
        disk.fault = Fault(1, errno.ENOSPC, frozenset({"write"}), lasting=True)
        (done, *_) = harness.commit()
        disk.fault = None
        assert done.failed
        assert len(queue_of(harness)) == 100
    assert harness.pop_all(101) == [*(data(number) for number in range(100)), None]


@pytest.mark.parametrize("interval", [0, 3600, None], ids=["always", "interval", "never"])
def test_any_traffic_gives_every_item_once_and_in_order(interval: float | None) -> None:
    for seed in range(30):
        _check_traffic(Random(seed), interval, steps=120)


@pytest.mark.long
@pytest.mark.parametrize("interval", [0, 3600, None], ids=["always", "interval", "never"])
def test_very_much_traffic_gives_every_item_once_and_in_order(interval: float | None) -> None:
    for seed in range(1000, 2000):
        _check_traffic(Random(seed), interval, steps=300)


def _check_traffic(random: Random, interval: float | None, steps: int) -> None:
    disk = empty_disk()
    harness = server(disk, interval=interval, segment_size=1200)
    model: deque[bytes] = deque()
    committed: list[bytes] = []
    number = 0
    for _ in range(steps):
        do = random.choices(
            ("put", "pop", "commit", "work", "fail", "flush", "restart"),
            (35, 30, 25, 25, 2, 1, 1),
        )[0]
        if do == "put":
            for _ in range(random.randint(1, 12)):
                number += 1
                model.append(data(number, random.choice((8, 100, 700))))
                harness.put(model[-1])
        elif do == "pop":
            queue = harness.queues.directory.find(NAME)
            for _ in range(random.randint(1, 8)):
                try:
                    item = None if queue is None else queue.pop(NOW_MS)
                except NotLoaded:
                    assert model
                    break
                assert (None if item is None else item.data) == (model.popleft() if model else None)
        elif do == "commit":
            assert not harness.commits.commit().failed
            committed = list(model)
        elif do == "work" and harness.background.waiting:
            harness.background.do_one()
        elif do == "fail" and harness.commits.touched:
            disk.fault = Fault(1, errno.ENOSPC, frozenset({"write"}), lasting=True)
            assert harness.commits.commit().failed
            disk.fault = None
            model = deque(committed)
        elif do == "flush" and model:
            harness.queues.flush(NAME)
            model.clear()
        elif do == "restart":
            harness = server(disk.after_process_death(), interval=interval, segment_size=1200)
            model = deque(committed)
        queue = harness.queues.directory.find(NAME)
        assert (0 if queue is None else len(queue)) == len(model)
        if queue is not None:
            assert queue.bytes == sum(map(len, model))
            assert memory(queue) <= 3 * WINDOW
    harness.commit()
    assert harness.pop_all(len(model) + 1) == [*model, None]


def test_whoever_waits_is_served_as_soon_as_the_queue_is_read(disk: SimulatedDisk) -> None:
    server(disk).put_all([data(number) for number in range(100)])
    harness = Harness(disk.after_process_death(), window_size=WINDOW)
    queue = queue_of(harness)
    queue.waiting.clear()
    queue.waiting.window.reread(0)
    served: list[Item] = []

    def serve(hit: Hit) -> None:
        served.append(hit[1])

    request = Request(NAME, NAME, peek=False)
    with pytest.raises(NotLoaded):
        harness.queues.read(request)
    harness.queues.wait(Waiter((request,), None, serve, lambda: None), 1000)
    harness.queues.wait(Waiter((request,), None, serve, lambda: None), 1000)
    assert not served
    harness.background.do_all()
    assert [each.data for each in served] == [data(0), data(1)]


def test_a_window_that_is_too_large_is_cut_and_nothing_is_lost(disk: SimulatedDisk) -> None:
    harness = server(disk)
    harness.put_all([data(number) for number in range(12)])
    queue = queue_of(harness)
    assert len(queue._window.items) == 12 - queue._window.behind * (12 - len(queue._window.items))
    harness.queues.directory.sizes.limit = 700
    harness.queues.keep_house()
    assert len(queue._window.items) < 4
    assert harness.pop_all(13) == [*(data(number) for number in range(12)), None]


def test_the_memory_of_all_windows_is_shared_among_the_queues() -> None:
    sizes = WindowSizes(each=1000, total=5000)
    assert sizes.limit == 1000
    sizes.share(10)
    assert sizes.limit == 500
    sizes.share(3)
    assert sizes.limit == 1000
    sizes.share(0)
    assert sizes.limit == 1000


def test_segments_that_are_replaced_while_they_are_read_cost_nothing() -> None:
    for seed in range(20):
        random = Random(seed)
        disk = empty_disk()
        harness = server(disk, segment_size=1500, window_size=1500)
        harness.put_all([data(number, 90) for number in range(60)])
        expected = deque(data(number, 90) for number in range(60))
        queue = queue_of(harness)
        number = 60
        for _ in range(250):
            if random.random() < 0.5:
                try:
                    item = queue.pop(NOW_MS)
                except NotLoaded:
                    item = None
                if item is not None:
                    assert item.data == expected.popleft()
            elif random.random() < 0.3:
                expected.append(data(number, 90))
                harness.put(expected[-1])
                number += 1
            harness.commits.commit()
            if harness.background.waiting and random.random() < 0.6:
                harness.background.do_one()
        harness.commit()
        assert harness.pop_all(len(expected) + 1) == [*expected, None]


def test_a_segment_that_gets_its_name_while_it_is_read_is_read_on(
    disk: SimulatedDisk,
) -> None:
    harness = server(disk, deferred=True, segment_size=10**6)
    for number in range(60):
        harness.put(data(number))
    harness.commits.commit()
    batch = harness.deferred.waiting.popleft()
    batch.run()  # it has its name, but nobody knows yet
    queue = queue_of(harness)
    queue.waiting.clear()
    queue.waiting.window.reread(0)
    queue.waiting.load()
    harness.background.do_all()
    harness.commits.finish(batch)
    for number in range(60):
        assert harness.pop() == data(number)


def test_damage_stops_a_queue_at_its_place_and_what_is_before_is_served(
    disk: SimulatedDisk,
) -> None:
    server(disk, segment_size=10**6).put_all([data(number) for number in range(100)])
    content = bytearray(disk.contents()[FIRST])
    where = content.index(data(60))
    content[where] ^= 1
    # It was hit after the start, which would have seen it.
    again = SimulatedDisk.holding(disk.contents())
    harness = server(again, segment_size=10**6)
    again.put(FIRST, bytes(content))
    for number in range(60):
        assert harness.pop() == data(number)
        harness.commit()
    with pytest.raises(JournalError, match=rf"{FIRST}: damaged at byte \d+: ") as refusal:
        harness.pop()
    offset = int(str(refusal.value).partition("byte ")[2].partition(":")[0])
    assert where - 37 == offset
    assert numbers.snapshot(queue_of(harness), NOW_MS, 0, "").journal_broken == 1
    harness.put_all([b"puts are still taken"])
    assert len(queue_of(harness)) == 41


def test_a_disk_unreadable_for_a_while_stops_a_queue_for_that_while(
    disk: SimulatedDisk,
) -> None:
    server(disk).put_all([data(number) for number in range(100)])
    disk.after_process_death()
    harness = server(disk)
    queue = queue_of(harness)
    disk.fault = Fault(1, errno.EIO, frozenset({"read_at"}), lasting=True)
    taken = 0
    try:
        while queue.pop(NOW_MS) is not None:
            taken += 1
            harness.commit()
    except NotLoaded:
        assert 0 < taken < 100
    problems: list[JournalError | None] = []
    queue.waiting.when_loaded(problems.append)
    harness.background.do_all()
    (problem,) = problems
    assert problem is not None
    assert "Input/output error" in str(problem)
    assert len(queue) == 100 - taken
    disk.fault = None
    rest = [data(number) for number in range(taken, 100)]
    assert harness.pop_all(101 - taken) == [*rest, None]


def test_small_items_are_counted_with_what_they_take_in_memory(disk: SimulatedDisk) -> None:
    server(disk).put_all([b"%d" % number for number in range(500)])
    harness = server(disk.after_process_death())
    queue = queue_of(harness)
    for number in range(500):
        assert memory(queue) <= 2 * WINDOW
        assert harness.pop_all(1) == [b"%d" % number]


def test_what_is_taken_uncommitted_is_not_given_up_again_with_its_segment(
    disk: SimulatedDisk,
) -> None:
    server(disk, segment_size=1200).put_all([data(number, 200) for number in range(20)])
    disk.after_process_death()
    content = bytearray(disk.contents()[FIRST])
    content[-1] ^= 1
    disk.put(FIRST, bytes(content))
    harness = Harness(disk, segment_size=1200, window_size=600, quarantine=True)
    queue = queue_of(harness)
    served: list[bytes] = []
    while True:
        # Nothing is committed before everything is taken that can be taken.
        try:
            item = queue.pop(NOW_MS)
        except NotLoaded:
            assert harness.background.waiting
            harness.background.do_one()
            continue
        if item is None:
            break
        served.append(item.data)
        if len(served) % 7 == 0:
            harness.commits.commit()
    harness.commit()
    assert served == sorted(served, key=lambda each: int(each.partition(b".")[0]))
    assert queue.items == queue.bytes == 0
    assert len(served) + queue.quarantined_items == 20
    assert queue.journal.ledger.items == 0
    assert queue.journal.ledger.bytes == 0
    assert Harness(disk.after_process_death()).pop_all(1) == [None]


def test_the_window_alone_keeps_the_order_and_knows_its_size() -> None:
    window = Window()
    window.reread(7)
    assert window.behind
    assert (window.last_id, window.position, len(window.items)) == (7, None, 0)
    assert window.size == 0


def test_items_behind_an_id_are_found_from_the_nearer_end() -> None:
    window = Window()
    window.add([Item(number, 0, 0, 0, b"") for number in range(2, 202, 2)])
    for item_id in (0, 1, 2, 50, 51, 150, 199, 200, 500):
        for count in (0, 1, 7, 1000):
            found = [item.id for item in window.behind_id(item_id, count)]
            assert found == [each for each in range(2, 202, 2) if each > item_id][:count]
