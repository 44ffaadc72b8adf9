"""Long work in slices: how much of it one turn does, and that all of it gets on."""

import logging
import weakref
from collections import deque
from pathlib import Path

import pytest

from starling_py.journal.errors import JournalError
from starling_py.queues.delivery import Put
from starling_py.queues.errors import NotLoaded
from starling_py.queues.slices import LATER, WRITING, Slices, Steps, one_by_one
from tests.queues.parts import Queues


@pytest.fixture
def queues(tmp_path: Path) -> Queues:
    return Queues(tmp_path / "spool")


@pytest.fixture
def slices(queues: Queues) -> Slices:
    slices = queues.queues.slices
    slices.allowance = 0.01
    return slices


def counting(done: list[str], name: str = "a", steps: int = 100) -> Steps:
    for _ in range(steps):
        done.append(name)
        yield None


def test_a_slice_ends_when_its_time_is_over_and_the_rest_comes_later(
    queues: Queues, slices: Slices
) -> None:
    done: list[str] = []
    queues.clock.step = 0.001
    slices.add(counting(done))
    slices.run()
    assert 5 <= len(done) <= 12
    while slices.line:
        slices.run()
    assert len(done) == 100


def test_all_work_gets_on_however_long_other_work_is(queues: Queues, slices: Slices) -> None:
    done: list[str] = []
    queues.clock.step = 0.02
    for name in "abc":
        slices.add(counting(done, name))
    for _ in range(6):
        slices.run()
    assert done == [*"abcabc"]


def test_what_a_slice_is_charged_and_what_must_be_written_is_part_of_it(
    queues: Queues, slices: Slices
) -> None:
    slices.begin()
    assert not slices.spent
    slices.charge(0.01)
    assert slices.spent
    slices.begin()
    assert not slices.spent
    for number in range(400):
        queues.put_uncommitted(b"q%d" % number)
    assert slices.spent
    queues.commit()


@pytest.mark.parametrize("kind", ["put", "delayed"])
def test_the_bytes_of_large_items_are_part_of_a_slice(
    queues: Queues, slices: Slices, kind: str
) -> None:
    body = b"x" * 1_000_000
    puts = 0
    slices.begin()
    while not slices.spent:
        if kind == "put":
            queues.put_uncommitted(b"q", body)
        else:
            what = Put(b"q", body, 0, 0, due_ms=queues.clock.wall_ms + 60_000)
            assert not [*queues.queues.put_with_care(what, [])][1:]
        puts += 1
        assert puts < 100
    assert puts <= slices.allowance / (len(body) * WRITING) + 1
    queues.commit()


def test_work_that_cannot_go_on_in_this_turn_gives_way(slices: Slices) -> None:
    done: list[str] = []

    def waiting() -> Steps:
        while len(done) < 100:
            yield LATER
        done.append("at last")

    slices.add(waiting())
    slices.add(counting(done))
    slices.run()
    assert done == ["a"] * 100
    slices.run()
    assert done[-1] == "at last"
    assert not slices.line


@pytest.mark.parametrize("failure", [None, JournalError("gone")])
def test_work_that_needs_something_from_disk_goes_on_when_it_is_there(
    slices: Slices, failure: JournalError | None
) -> None:
    asked: deque[object] = deque()
    done: list[object] = []

    def reading() -> Steps:
        try:
            yield NotLoaded(asked.append)
            done.append("read")
        except JournalError as problem:
            done.append(problem)

    slices.add(reading())
    slices.run()
    assert not slices.line
    (ask_again,) = asked
    assert callable(ask_again)
    ask_again(failure)
    slices.run()
    assert done == [failure or "read"]


def test_a_defect_ends_the_work_that_has_it_and_no_other(
    slices: Slices, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[str] = []

    def failing() -> Steps:
        yield None
        raise ZeroDivisionError

    slices.add(failing())
    slices.add(counting(done))
    with caplog.at_level(logging.ERROR):
        slices.run()
    assert len(done) == 100
    assert not slices.line
    assert "ZeroDivisionError" in caplog.text


def test_much_memory_is_freed_little_by_little(queues: Queues, slices: Slices) -> None:
    things = [b"%d" % number for number in range(5000)]
    queues.clock.step = 0.005
    slices.free(things)
    left = [len(things)]
    while slices.line:
        slices.run()
        assert left[-1] - len(things) <= 2000
        left.append(len(things))
    assert not things
    assert len(left) > 3


class Something:
    pass


def test_what_was_gone_through_is_not_kept_until_the_last_of_it() -> None:
    things = {number: Something() for number in range(5)}
    seen = []
    for thing in one_by_one(things.values()):
        seen.append(weakref.ref(thing))
        del things[len(seen) - 1], thing
        assert [each() for each in seen] == [None] * len(seen)
    assert len(seen) == 5
