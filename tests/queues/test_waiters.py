"""Those who wait: first come, first served, each once, for an item or for room."""

from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from starling_py.keys import Request
from starling_py.queues.deadlines import Deadlines
from starling_py.queues.queue_directory import Rules
from starling_py.queues.slices import DONE, Steps
from starling_py.queues.waiters import Room, RoomWaiter, Waiter, Waiters
from starling_py.settings.queue_table import QueueTable
from tests.queues.parts import Queues

QUEUES = [b"a", b"b", b"c"]


def waiter(*names: bytes, over: Callable[[], None] = lambda: None) -> Waiter:
    return Waiter(tuple(Request(each, each) for each in names), None, lambda _: None, over)


def at_once(steps: Steps) -> None:
    for _ in steps:
        pass


def lines_of(deadlines: Deadlines) -> Waiters:
    return Waiters(deadlines, at_once)


def test_who_waits_for_several_queues_leaves_all_of_their_lines_at_once() -> None:
    waiters = lines_of(Deadlines())
    both, one = waiter(b"a", b"b"), waiter(b"b")
    waiters.add(both, 10.0)
    waiters.add(one, 10.0)
    assert waiters.first(b"a") is waiters.first(b"b") is both
    waiters.remove(both)
    waiters.remove(both)
    assert (waiters.count(b"a"), waiters.count(b"b")) == (0, 1)
    assert waiters.first(b"a") is None
    assert waiters.first(b"b") is one
    assert list(waiters.waiting) == [one]


def test_the_end_of_a_wait_is_told_once_and_only_to_who_still_waits() -> None:
    deadlines = Deadlines()
    waiters = lines_of(deadlines)
    told: list[str] = []
    stays, leaves = (
        waiter(b"a", b"b", over=lambda: told.append("stays")),
        waiter(b"a", over=lambda: told.append("leaves")),
    )
    waiters.add(stays, 5.0)
    waiters.add(leaves, 5.0)
    waiters.remove(leaves)
    deadlines.run_due(4.0)
    assert not told
    deadlines.run_due(5.0)
    deadlines.run_due(9.0)
    assert told == ["stays"]
    assert not waiters.waiting
    assert not waiters._by_name


def test_the_request_of_a_waiter_is_the_one_for_the_queue() -> None:
    both = waiter(b"a", b"b")
    assert both.request_for(b"b").name == b"b"


@given(
    st.lists(
        st.tuples(st.just("add"), st.lists(st.sampled_from(QUEUES), min_size=1, unique=True))
        | st.tuples(st.just("remove"), st.integers(0, 50))
        | st.tuples(st.just("run"), st.integers(0, 50))
        | st.tuples(st.just("give up"), st.integers(1, 3)),
        max_size=60,
    ),
    st.integers(1, 3),
)
def test_any_coming_and_going_leaves_the_lines_in_order(
    steps: list[tuple[str, object]], few: int
) -> None:
    deadlines = Deadlines()
    giving_up: list[Steps] = []
    waiters = Waiters(deadlines, giving_up.append, few)
    over: list[Waiter] = []
    came: list[tuple[float, Waiter]] = []
    waiting: list[Waiter] = []
    for what, value in steps:
        if what == "add":
            assert isinstance(value, list)
            new = waiter(*value)
            new.over = lambda new=new: over.append(new)  # type: ignore[misc]
            when = float(len(came) * 7 % 50)
            waiters.add(new, when)
            came.append((when, new))
            waiting.append(new)
        elif what == "remove" and came:
            assert isinstance(value, int)
            leaving = came[value % len(came)][1]
            waiters.remove(leaving)
            waiting = [each for each in waiting if each is not leaving]
        elif what == "run":
            assert isinstance(value, int)
            due = {each for when, each in came if each in waiting and when <= value}
            over.clear()
            deadlines.run_due(float(value))
            assert set(over) == due
            waiting = [each for each in waiting if each not in due]
        elif what == "give up":
            assert isinstance(value, int)
            giving_up[:] = advanced(giving_up, value)
        assert list(waiters.waiting) == waiting
        for name in QUEUES:
            line = [each for each in waiting if any(r.name == name for r in each.requests)]
            assert waiters.count(name) == len(line)
            assert (name in waiters.names()) == bool(line)
            assert waiters.first(name) is (line[0] if line else None)
    waiters.end_all()
    while giving_up:
        giving_up[:] = advanced(giving_up, 1)
    assert not waiters._by_name
    assert not waiters._leaving


def advanced(some: list[Steps], steps: int) -> list[Steps]:
    """Do some steps of each, and return those that are not done."""
    return [each for each in some if all(next(each, DONE) is not DONE for _ in range(steps))]


def test_hundreds_who_wait_for_many_queues_take_no_time_to_leave() -> None:
    giving_up: list[Steps] = []
    waiters = Waiters(Deadlines(), giving_up.append)
    names = [b"%d" % number for number in range(1000)]
    crowd = [waiter(*names) for _ in range(200)]
    for each in crowd:
        waiters.add(each, 10.0)
    for each in crowd:
        waiters.remove(each)
    assert len(waiters._by_name) == len(names), "none of their places is given up yet"
    assert waiters.count(b"0") == 0
    assert waiters.names() == []
    new = waiter(b"0", b"999")
    waiters.add(new, 10.0)
    assert waiters.first(b"0") is waiters.first(b"999") is new
    for steps in giving_up:
        assert sum(1 for _ in steps) >= len(names) // 50
    assert set(waiters._by_name) == {b"0", b"999"}


def room_waiter(name: bytes, told: list[str], what: str, size: int = 1) -> RoomWaiter:
    return RoomWaiter(name, size, lambda: told.append(what), lambda: told.append(f"{what} over"))


def test_room_is_offered_to_who_has_waited_longest_and_to_each_once() -> None:
    deadlines = Deadlines()
    room = Room(deadlines)
    told: list[str] = []
    for number in range(3):
        room.add(room_waiter(b"q", told, str(number), size=number), 10.0)
    assert room.first(b"q") == 0
    room.offer(b"q")
    assert (told, room.first(b"q")) == (["0"], 1)
    again = room_waiter(b"q", told, "again", size=9)
    room.add(again, 10.0, first=True)
    assert room.first(b"q") == 9
    room.remove(again)
    room.remove(again)
    deadlines.run_due(10.0)
    assert told == ["0", "1 over", "2 over"]
    assert not room.waiting
    assert not room.waiting
    assert room.first(b"q") is None


def test_at_the_end_everybody_is_told_that_the_time_is_over() -> None:
    deadlines = Deadlines()
    room, waiters = Room(deadlines), lines_of(deadlines)
    told: list[str] = []
    room.add(room_waiter(b"q", told, "room"), 10.0)
    waiters.add(waiter(b"a", b"b", over=lambda: told.append("item over")), 10.0)
    room.end_all()
    waiters.end_all()
    assert told == ["room over", "item over"]
    assert deadlines.next is None


def test_who_waits_for_two_queues_is_served_once_if_one_moves_to_the_other(
    tmp_path: Path,
) -> None:
    entries: dict[str, dict[str, object]] = {"late": {}, "q": {"expire_to": "late"}}
    paused = {name: {**entry, "paused": True} for name, entry in entries.items()}
    queues = Queues(tmp_path / "spool", paused)
    queues.put(b"q", b"dead", exptime=5)
    queues.put(b"q", b"live")
    served: list[bytes] = []
    requests = (queues.request(b"late"), queues.request(b"q"))
    waiter = Waiter(requests, None, lambda hit: served.append(hit[1].data), lambda: None)
    queues.queues.wait(waiter, 60_000)
    queues.clock.advance(6)
    queues.queues.reload(Rules(QueueTable(entries)))
    queues.commit()
    assert len(served) == 1, "or one of them is taken, and nobody has it"
    left = queues.take_all(b"late") + queues.take_all(b"q")
    assert sorted(served + left) == [b"dead", b"live"]


def test_two_queues_that_can_give_nothing_yet_do_not_serve_each_other(
    tmp_path: Path,
) -> None:
    queues = Queues(tmp_path / "spool")
    served: list[bytes] = []
    requests = (queues.request(b"a"), queues.request(b"b"))
    queues.put(b"a", b"1")
    queues.put(b"b", b"2")
    for name in (b"a", b"b"):
        queues.queue(name).waiting.reread()  # as after a healing: it has to be read back first
    waiter = Waiter(requests, None, lambda hit: served.append(hit[1].data), lambda: None)
    queues.queues.wait(waiter, 60_000)
    queues.queue(b"a").available()
    assert served == []
    queues.background.do_all()
    queues.commit()
    assert served == [b"1"]
    assert queues.take_all(b"b") == [b"2"]


def test_who_waits_gets_what_moved_while_its_other_queue_was_read(tmp_path: Path) -> None:
    entries: dict[str, dict[str, object]] = {"late": {}, "q": {"expire_to": "late"}}
    paused = {name: {**entry, "paused": True} for name, entry in entries.items()}
    queues = Queues(tmp_path / "spool", paused)
    queues.put(b"q", b"dead", exptime=5)
    served: list[bytes] = []
    requests = (queues.request(b"late"), queues.request(b"q"))
    waiter = Waiter(requests, None, lambda hit: served.append(hit[1].data), lambda: None)
    queues.queues.wait(waiter, 60_000)
    queues.clock.advance(6)
    queues.queues.reload(Rules(QueueTable(entries)))
    queues.commit()
    assert served == [b"dead"]
