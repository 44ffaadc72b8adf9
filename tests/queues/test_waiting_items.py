"""What waits in a queue: one order, whether items are in memory, on disk, or came back."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starling_py.journal.errors import JournalError
from starling_py.keys import Request
from starling_py.queues.delivery import Put
from starling_py.queues.errors import NotLoaded
from starling_py.queues.open_reads import OpenRead, ReadHolder
from tests.core import put, put_with_care
from tests.queues.parts import Queues


def test_what_comes_back_to_a_queue_that_is_behind_comes_first(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool", window_size=1000)
    queues.put(b"q", *(b"%02d" % number + bytes(100) for number in range(20)))
    holder = ReadHolder()
    reads = [queues.open(b"q", holder) for _ in range(10)]
    assert queues.queue(b"q").waiting.window.behind
    for read in (reads[7], reads[2], reads[9]):
        queues.queue(b"q").give_back(read)
    taken = [int(data[:2]) for data in queues.take_all(b"q")]
    assert taken == [2, 7, 9, *range(10, 20)]


def test_an_item_that_was_taken_is_not_read_back_before_that_is_written(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool")
    queues.put(b"q", b"1")
    read = queues.open(b"q", ReadHolder())
    put(queues.queues, b"q", b"never written", 0, 0)
    queues.failing.error = OSError(28, "No space left on device")
    queues.commits.commit()
    queues.failing.error = None
    assert queues.background.waiting  # the queue is being read anew
    queues.queue(b"q").journal.recorder.broken = None
    queues.queue(b"q").give_back(read)
    hit = queues.queues.read(Request(b"q", b"q"))
    assert hit is not None
    assert hit[1].data == b"1"
    queues.background.do_all()
    assert queues.queue(b"q").waiting.oldest() is None
    assert queues.queue(b"q").items == 0


def test_an_item_that_is_due_later_is_read_back_in_its_turn_and_waits(
    tmp_path: Path,
) -> None:
    queues = Queues(tmp_path / "spool", window_size=1)
    now_ms = queues.clock.wall_ms
    for number in range(6):
        due_ms = now_ms + 10_000 if number % 2 else 0
        put_with_care(queues.queues, Put(b"q", b"%d" % number, 0, 0, due_ms))
        queues.commit()
    assert queues.numbers(b"q").items == 6
    assert queues.take_all(b"q") == [b"0", b"2", b"4"]
    assert queues.numbers(b"q").delayed == 3
    queues.pass_time(9)
    assert queues.take(b"q") is None
    queues.pass_time(1)
    assert queues.take_all(b"q") == [b"1", b"3", b"5"]


def test_a_delay_outlasts_no_jump_of_the_wall_clock(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool")
    put_with_care(queues.queues, Put(b"q", b"1", 0, 0, queues.clock.wall_ms + 10_000))
    queues.commit()
    queues.clock.wall_ms -= 1_000_000_000
    queues.clock.monotonic += 10
    queues.queues.run_due()
    assert queues.take_all(b"q") == [b"1"]


WEEK_MS = 7 * 86_400_000


def delayed(queues: Queues, how: str, seconds: int) -> None:
    """Put an item and let it be delayed: at its put, or when it comes back."""
    due_ms = queues.clock.wall_ms + 1000 * seconds
    if how == "put":
        put_with_care(queues.queues, Put(b"q", b"1", 0, 0, due_ms))
    else:
        queues.put(b"q", b"1")
        queues.queue(b"q").give_back_later(queues.open(b"q", ReadHolder()), due_ms)
    queues.commit()


def set_clock(queues: Queues, by_ms: int) -> None:
    """Set the wall clock, and let a turn notice that."""
    queues.clock.wall_ms += by_ms
    queues.queues.run_due()


@pytest.mark.parametrize("how", ["put", "abort"])
def test_a_delay_that_is_read_back_while_the_clock_is_behind_ends_in_time(
    tmp_path: Path, how: str
) -> None:
    queues = Queues(tmp_path / "spool")
    delayed(queues, how, 10)
    queues.close()
    queues.clock.wall_ms -= WEEK_MS
    again = Queues(tmp_path / "spool", clock=queues.clock)
    assert again.take(b"q") is None
    set_clock(again, WEEK_MS)
    assert again.take(b"q") is None
    assert again.numbers(b"q").delayed == 1
    again.clock.wall_ms += 10_000  # by the monotonic clock, nothing is over
    again.queues.run_due()
    assert again.take(b"q") == b"1"
    assert again.numbers(b"q").delayed == 0


@pytest.mark.parametrize("how", ["put", "abort"])
def test_a_delay_ends_when_the_wall_clock_has_jumped_past_its_end(tmp_path: Path, how: str) -> None:
    queues = Queues(tmp_path / "spool")
    delayed(queues, how, 3600)
    set_clock(queues, 3_599_000)
    assert queues.take(b"q") is None
    set_clock(queues, 1000)
    assert queues.take(b"q") == b"1"


def test_who_waits_is_served_when_a_jump_of_the_clock_ends_a_delay(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool")
    client = queues.client()
    delayed(queues, "put", 3600)
    assert client.ask(b"get q/t=60000\r\n") == b""
    set_clock(queues, 3_600_000)
    assert client.told() == b"VALUE q/t=60000 0 1\r\n1\r\nEND\r\n"


def test_a_jump_that_ends_no_delay_changes_none(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool")
    delayed(queues, "put", 10)
    for by_ms in (5_000, -WEEK_MS, WEEK_MS - 3_000, -WEEK_MS):
        set_clock(queues, by_ms)
        assert queues.take(b"q") is None
    queues.clock.monotonic += 10
    queues.queues.run_due()
    assert queues.take(b"q") == b"1"


def test_an_item_put_while_the_clock_was_ahead_waits_no_longer_than_asked(
    tmp_path: Path,
) -> None:
    queues = Queues(tmp_path / "spool")
    queues.clock.wall_ms += 52 * WEEK_MS
    delayed(queues, "put", 10)
    queues.close()
    queues.clock.wall_ms -= 52 * WEEK_MS
    again = Queues(tmp_path / "spool", clock=queues.clock)
    assert again.take(b"q") is None
    again.pass_time(9)
    assert again.take(b"q") is None
    again.pass_time(1)
    assert again.take(b"q") == b"1"


def test_looking_gives_the_live_ones_in_order_as_far_as_they_are_in_memory(
    tmp_path: Path,
) -> None:
    queues = Queues(tmp_path / "spool")
    queues.put(b"q", b"1")
    queues.put(b"q", b"dead soon", exptime=1)
    queues.put(b"q", b"2")
    put_with_care(queues.queues, Put(b"q", b"0", 0, 0, front=True))
    queues.commit()
    queues.clock.advance(2)
    found = queues.queue(b"q").waiting.look(3, queues.clock.wall_ms)
    assert [item.data for item in found] == [b"0", b"1", b"2"]
    assert len(queues.queue(b"q").waiting.look(2, queues.clock.wall_ms)) == 2


def test_where_the_ledger_and_the_disk_disagree_nothing_more_is_served(
    tmp_path: Path,
) -> None:
    queues = Queues(tmp_path / "spool", window_size=1)
    queues.put(b"q", b"1", b"2")
    assert queues.take(b"q") == b"1"
    queue = queues.queue(b"q")
    queue.items += 1  # one more than there are
    assert queues.take(b"q") == b"2"
    with pytest.raises(JournalError, match="1 items cannot be found"):
        queues.take(b"q")
    assert queues.numbers(b"q").journal_broken == 1


def test_who_waits_for_what_is_not_in_memory_is_called_once_it_is(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool", window_size=1)
    queues.put(b"q", b"1", b"2")
    queues.close()
    again = Queues(tmp_path / "spool", window_size=1)
    queue = again.queue(b"q")
    queue.waiting.reread()
    called: list[object] = []
    with pytest.raises(NotLoaded) as caught:
        queue.peek(again.clock.wall_ms)
    caught.value.when_loaded(called.append)
    assert not called
    again.background.do_all()
    assert called == [None]
    assert queue.peek(again.clock.wall_ms) is not None


def test_an_item_in_front_is_fetched_though_the_window_has_filled_up(
    tmp_path: Path,
) -> None:
    queues = Queues(tmp_path / "spool", window_size=1)
    queues.put(b"q", b"1", b"2", b"3")
    put_with_care(queues.queues, Put(b"q", b"0", 0, 0, front=True))
    queues.commit()
    queue = queues.queue(b"q")
    # What is asked for now is read when this is over, by the state of then.
    queue.journal.read(lambda: (0, None, 0, 1), lambda *_: None)
    queue.waiting.load()
    assert queues.queues.read(Request(b"q", b"q")) is not None
    queues.failing.error = OSError(28, "No space left on device")
    queues.commits.commit()
    queues.failing.error = None
    assert queue.waiting.missing, "taken back, it is only on disk"
    called: list[object] = []
    queue.waiting.when_loaded(called.append)
    queues.background.do_all()
    assert called == [None]
    assert queues.take_all(b"q") == [b"0", b"1", b"2", b"3"]


def test_who_waits_for_the_disk_is_called_if_nothing_is_read_any_more(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool", window_size=1)
    queues.put(b"q", b"1", b"2")
    queues.take(b"q")
    queues.background.do_all()
    queues.take(b"q")
    queue = queues.queue(b"q")
    for _ in range(3):
        put_with_care(queues.queues, Put(b"q", b"3", 0, 0))
    assert queues.queues.read(Request(b"q", b"q")) is not None
    with pytest.raises(NotLoaded) as caught:
        queues.queues.read(Request(b"q", b"q"))
    called: list[JournalError | None] = []
    caught.value.when_loaded(called.append)
    queues.background.do_all()
    assert not called, "what is not written yet cannot be read"
    queue.flush()
    assert called == [None]
    caught.value.when_loaded(called.append)
    assert called == [None, None]


def test_who_waits_for_the_disk_is_called_if_the_queue_goes(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool")
    queues.put(b"q", b"1")
    queue = queues.queue(b"q")
    called: list[JournalError | None] = []
    queue.waiting.reread()
    queue.waiting.when_loaded(called.append)
    queue.let_go()
    assert called == [None]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "front", "delay", "take", "open", "back", "later", "confirm"]),
        st.integers(0, 9),
    )
    | st.tuples(st.just("pass"), st.sampled_from([1, 5]))
    | st.tuples(st.sampled_from(["cut", "restart", "flush"]), st.just(0)),
    max_size=60,
)


@settings(max_examples=60)
@given(STEPS, st.sampled_from([1, 700, 2000]))
def test_a_small_window_makes_no_difference_to_what_is_taken(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]], window_size: int
) -> None:
    path = tmp_path_factory.mktemp("spools")
    assert taken_in(path / "small", steps, window_size) == taken_in(path / "large", steps, 1 << 23)


def taken_in(path: Path, steps: list[tuple[str, int]], window_size: int) -> list[object]:
    """Return what is taken, in these steps and then at the end."""
    queues = Queues(path, window_size=window_size)
    queues.put(b"q", b"first")
    holder = ReadHolder()
    taken: list[object] = []
    for number, (what, value) in enumerate(steps):
        data = b"%d" % number
        now_ms = queues.clock.wall_ms
        reads: list[OpenRead] = holder.reads()
        read = reads[value % len(reads)] if reads else None
        if what == "put":
            queues.put(b"q", data * (1 + 20 * value))
        elif what in ("front", "delay"):
            due_ms = now_ms + 1000 * value if what == "delay" and value else 0
            put_with_care(queues.queues, Put(b"q", data, 0, 0, due_ms, what == "front"))
        elif what == "take":
            taken.append(queues.take(b"q"))
        elif what == "open":
            opened = queues.try_to_open(b"q", holder)
            taken.append(opened and opened.item.data)
        elif what == "pass":
            queues.pass_time(value)
        elif what == "cut":
            queues.queues.keep_house()
        elif what == "flush":
            queues.queues.flush(b"q")
        elif what == "restart":
            queues.close()
            queues = Queues(path, window_size=window_size, clock=queues.clock)
            holder = ReadHolder()
        elif read is not None and what == "back":
            read.queue.give_back(read)
        elif read is not None and what == "later":
            read.queue.give_back_later(read, now_ms + 1000 * (1 + value))
        elif read is not None and what == "confirm":
            read.queue.confirm(read)
        queues.commit()
    taken += [read.item.id for read in holder.reads()]
    queues.pass_time(100)
    taken += queues.take_all(b"q")
    assert queues.queue(b"q").items == len(holder)
    queues.close()
    return taken


@pytest.mark.parametrize("size", [1000, 200_000])
def test_large_items_are_read_back_several_at_once_and_not_too_many(
    tmp_path: Path, size: int
) -> None:
    queues = Queues(tmp_path / "spool", window_size=1 << 26, segment_size=1 << 26)
    queues.put(b"q", *(b"%04d" % number + bytes(size) for number in range(400)))
    line = queues.queue(b"q").waiting
    line.reread()
    line.load()
    assert line.loaded == 0
    queues.background.do_one()
    assert 10 <= line.loaded <= 150
    assert [int(data[:4]) for data in queues.take_all(b"q")] == list(range(400))


def in_front(queues: Queues, data: bytes) -> None:
    put_with_care(queues.queues, Put(b"q", data, 0, 0, front=True))
    queues.commit()


def test_the_age_is_that_of_who_has_waited_longest_and_not_of_the_first(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool")
    queues.put(b"q", b"old")
    for number in range(3):
        queues.pass_time(10)
        in_front(queues, b"%d" % number)
    assert queues.numbers(b"q").age == 30_000
    read = queues.open(b"q", ReadHolder())
    assert read.item.data == b"2"
    assert queues.numbers(b"q").age == 30_000
    queues.queue(b"q").give_back(read)
    for left in (30_000, 30_000, 30_000, 30_000):
        assert queues.numbers(b"q").age == left
        queues.take(b"q")
    assert queues.numbers(b"q").age == 0


def test_the_age_after_a_start_waits_for_what_is_older_than_what_is_there(
    tmp_path: Path,
) -> None:
    queues = Queues(tmp_path / "spool")
    queues.put(b"q", b"1")
    in_front(queues, b"2")
    queues.put(b"q", b"3")
    queues.close()
    queues.clock.advance(7)
    queues = Queues(tmp_path / "spool", clock=queues.clock)
    in_front(queues, b"new")
    queues.pass_time(2)
    while (missing := queues.queues.to_be_loaded(b"q")) is not None:
        told: list[object] = []
        missing.when_loaded(told.append)
        while not told:
            queues.commit()
    assert queues.numbers(b"q").age == 9_000
