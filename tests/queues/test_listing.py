"""Items listed by their ids, from memory and from disk, and taken by that from nobody."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starling_py.journal.errors import JournalError
from starling_py.journal.format.record import Item
from starling_py.queues.delivery import Put
from starling_py.queues.listing import Listing, find, listed
from starling_py.queues.open_reads import ReadHolder
from starling_py.queues.slices import DONE, LATER, Steps, next_step
from tests.core import put_with_care
from tests.queues.parts import Queues


def finish(queues: Queues, steps: Steps, failure: JournalError | None = None) -> None:
    """Do all steps, as a session does; ``failure`` is why what they wait for is not there."""
    step = next_step(steps, failure)
    while step is not DONE:
        if step is LATER:
            queues.commit()
        elif step is not None:
            asked: list[object] = []
            step.when_loaded(asked.append)
            while not asked:
                queues.commit()
        step = next_step(steps)


def ids(queues: Queues, after: int = 0, count: int = 1000, name: bytes = b"q") -> list[int]:
    found: list[Item] = []
    finish(queues, Listing(queues.queue(name), after, count, found.append).steps())
    return [item.id for item in found]


def states(queues: Queues, name: bytes = b"q") -> dict[int, str]:
    queue = queues.queue(name)
    found: list[Item] = []
    finish(queues, Listing(queue, 0, 1000, found.append).steps())
    return {item.id: listed(queue, item).state for item in found}


def behind(tmp_path: Path, items: int = 200, interval: float | None = None) -> Queues:
    """Return queues of which one is mostly on disk."""
    path = tmp_path / "spool"
    queues = Queues(path, window_size=4096, segment_size=4096, interval=interval)
    queues.put(b"q", *(b"%d" % number * 20 for number in range(items)))
    assert queues.queue(b"q").waiting.on_disk > items // 2
    return queues


def test_items_in_memory_and_on_disk_are_listed_and_stay(tmp_path: Path) -> None:
    queues = behind(tmp_path)
    assert ids(queues) == [*range(1, 201)]
    assert ids(queues, after=150, count=7) == [*range(151, 158)]
    assert ids(queues, after=200) == []
    assert len(queues.take_all(b"q")) == 200
    assert ids(queues) == []


@pytest.mark.parametrize("fails", [False, True])
def test_what_is_not_written_yet_when_its_turn_comes_is_waited_for(
    tmp_path: Path, fails: bool
) -> None:
    queues = behind(tmp_path, interval=0)
    queues.put_uncommitted(b"q")
    found: list[Item] = []
    steps = Listing(queues.queue(b"q"), 199, 10, found.append).steps()
    assert next_step(steps) is LATER
    told: list[JournalError | None] = []
    missing = next_step(steps)
    assert missing is not None
    assert missing is not DONE
    missing.when_loaded(told.append)
    assert not told
    queues.fail_commit() if fails else queues.commit()
    (failure,) = told
    assert (failure is not None) == fails
    finish(queues, steps, failure)
    assert [item.id for item in found] == ([200] if fails else [200, 201])


def test_the_states_of_items_are_told(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool")
    queues.put(b"q", b"1", b"2", b"3")
    queues.put(b"q", b"4", exptime=5)
    put_with_care(queues.queues, Put(b"q", b"5", 0, 0, due_ms=queues.clock.wall_ms + 60_000))
    put_with_care(queues.queues, Put(b"q", b"6", 0, 0, front=True))
    queues.open(b"q", ReadHolder())
    queues.clock.advance(6)
    told = {1: "waiting", 2: "waiting", 3: "waiting", 4: "expired", 5: "delayed", 6: "open"}
    assert states(queues) == told


def test_one_item_is_found_by_its_id_wherever_it_stands(tmp_path: Path) -> None:
    queues = behind(tmp_path)
    queue = queues.queue(b"q")
    for item_id in (1, 2, 100, 200):
        found: list[Item] = []
        finish(queues, find(queue, item_id, found))
        assert [item.data for item in found] == [b"%d" % (item_id - 1) * 20]
    for item_id in (201, 5000):
        found = []
        finish(queues, find(queue, item_id, found))
        assert found == []


def test_a_flush_or_deletion_in_the_middle_ends_the_list_early(tmp_path: Path) -> None:
    for word in ("flush", "delete"):
        queues = behind(tmp_path / word)
        found: list[Item] = []
        steps = Listing(queues.queue(b"q"), 0, 1000, found.append).steps()
        while not found:
            next(steps)
        getattr(queues.queues, word)(b"q")
        queues.commit()
        finish(queues, steps)
        assert len(found) < 200


def test_segments_that_are_replaced_meanwhile_lose_no_item(tmp_path: Path) -> None:
    queues = behind(tmp_path, 400)
    found: list[Item] = []
    steps = Listing(queues.queue(b"q"), 0, 1000, found.append).steps()
    seen = 0
    for step in steps:
        if len(found) > 150 and not seen:
            seen = len(found)
            for item_id in range(200, 390):
                if item_id % 10 == 0:
                    continue
                dropped: list[Item] = []
                finish(queues, find(queues.queue(b"q"), item_id, dropped))
                queues.queue(b"q").drop(dropped[0])
                queues.commit()
        if step is not None:
            asked: list[object] = []
            step.when_loaded(asked.append)
            queues.commit()
    left = {*range(1, 200), *range(200, 390, 10), *range(390, 401)}
    assert queues.queue(b"q").journal.compactions
    assert left <= {item.id for item in found}


@pytest.mark.parametrize("window_size", [4096, 1 << 23])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_after_any_traffic_the_list_has_what_is_there(
    window_size: int, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("spool")
    queues = Queues(path / "spool", window_size=window_size, segment_size=4096)
    there: dict[int, bytes] = {}
    number = 0
    for step in data.draw(st.lists(st.sampled_from("pppfdtoxr"), min_size=1, max_size=40)):
        if step in "pf":
            for _ in range(6):
                number += 1
                body = b"%d:" % number + b"." * 150
                put_with_care(queues.queues, Put(b"q", body, 0, 0, front=step == "f"))
                there[queues.queue(b"q").next_id - 1] = body
        elif there and step == "d":
            item_id = data.draw(st.sampled_from(sorted(there)))
            found: list[Item] = []
            finish(queues, find(queues.queue(b"q"), item_id, found))
            assert found[0].data == there[item_id]
            if not queues.queue(b"q").is_elsewhere(item_id):
                queues.queue(b"q").drop(found[0])
                del there[item_id]
        elif there and step == "t":
            taken = queues.take(b"q")
            there = {key: body for key, body in there.items() if body != taken}
        elif there and step == "o":
            queues.try_to_open(b"q", ReadHolder(), 10.0)
        elif there and step == "x":
            queues.queues.keep_house()
        elif there:
            queues.pass_time(11)
        if data.draw(st.booleans()):
            queues.commit()
    if number:
        assert ids(queues) == sorted(there)[:1000]
        queues.pass_time(11)
        assert set(queues.take_all(b"q")) == set(there.values())
    queues.close()


def test_the_next_list_goes_on_reading_where_the_last_one_ended(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool", window_size=4096, segment_size=1 << 22)
    queues.put_many(b"q", 20_000)
    counted: list[int] = []
    read = queues.failing.read_at

    def read_at(path: str, offset: int, size: int) -> bytes:
        counted.append(size)
        return read(path, offset, size)

    queues.failing.read_at = read_at  # type: ignore[method-assign]
    listed_ids: list[int] = []
    while page := ids(queues, after=listed_ids[-1] if listed_ids else 0):
        listed_ids += page
    assert listed_ids == [*range(1, 20_001)]
    size = queues.queue(b"q").journal.size
    assert sum(counted) < 5 * size
    assert ids(queues, after=500, count=2) == [501, 502]
    queues.close()
