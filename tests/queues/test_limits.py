"""Limits: what a queue takes, and that a put which is refused changes nothing."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starling_py.queues.delivery import Put
from starling_py.queues.errors import NotNowRefused, QueueFullRefused, QueueRefused, TooLargeRefused
from starling_py.queues.limits import ServerLimits
from starling_py.queues.open_reads import ReadHolder
from starling_py.queues.queue_directory import Rules
from starling_py.settings.queue_table import QueueTable
from tests.core import put_with_care
from tests.queues.parts import Queues


def test_open_items_do_not_count_as_items_but_their_bytes_do(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool", {"q": {"max_items": 2, "max_bytes": 30}})
    queues.put(b"q", bytes(10), bytes(10))
    with pytest.raises(QueueFullRefused):
        queues.put(b"q", b"x")
    holder = ReadHolder()
    queues.open(b"q", holder)
    queues.put(b"q", bytes(10))
    queues.open(b"q", holder)
    with pytest.raises(QueueFullRefused):
        queues.put(b"q", b"x")


def test_an_item_that_can_never_fit_is_too_large(
    tmp_path: Path,
) -> None:
    for discard in (False, True):
        rules: dict[str, dict[str, object]] = {
            "b": {"max_bytes": 10, "discard_old_when_full": discard},
            "i": {"max_item_size": 10, "discard_old_when_full": discard},
        }
        queues = Queues(tmp_path / f"spool{discard}", rules)
        for name in (b"b", b"i"):
            queues.put(name, bytes(10))
            with pytest.raises(TooLargeRefused):
                queues.put(name, bytes(11))
            assert queues.take_all(name) == [bytes(10)]


def test_nothing_is_dropped_where_that_would_not_make_enough_room(tmp_path: Path) -> None:
    rules: dict[str, dict[str, object]] = {
        "b": {"max_bytes": 100, "discard_old_when_full": True},
        "i": {"max_items": 2, "discard_old_when_full": True},
    }
    queues = Queues(tmp_path / "spool", rules)
    queues.put(b"b", bytes(90), *[b"x"] * 5)
    queues.open(b"b", ReadHolder())
    with pytest.raises(QueueFullRefused):
        queues.put(b"b", bytes(20))
    assert queues.numbers(b"b").items == 5
    due_ms = queues.clock.wall_ms + 60_000
    for data in (b"1", b"2"):
        put_with_care(queues.queues, Put(b"i", data, 0, 0, due_ms))
    queues.queues.reload(Rules())
    queues.put(b"i", b"3")
    queues.queues.reload(Rules(QueueTable(rules)))
    with pytest.raises(QueueFullRefused):
        queues.put(b"i", b"4")
    assert queues.numbers(b"i").items == 3


def test_the_whole_server_may_take_nothing_and_says_why() -> None:
    ServerLimits().check()
    for closed, word in (
        (ServerLimits(draining=True), "draining"),
        (ServerLimits(disk_low=True), "disk"),
        (ServerLimits(memory_high=True), "memory_max"),
    ):
        assert closed.closed
        with pytest.raises(NotNowRefused, match=word):
            closed.check()


@settings(max_examples=60)
@given(
    max_items=st.none() | st.integers(1, 5),
    max_bytes=st.none() | st.integers(1, 60),
    discard=st.booleans(),
    sizes=st.lists(st.integers(0, 40), max_size=25),
    opening=st.lists(st.booleans(), min_size=25, max_size=25),
)
def test_no_limit_is_ever_passed_and_whoever_drops_keeps_the_newest(
    tmp_path_factory: pytest.TempPathFactory,
    max_items: int | None,
    max_bytes: int | None,
    discard: bool,
    sizes: list[int],
    opening: list[bool],
) -> None:
    settings: dict[str, object] = {
        "max_items": max_items,
        "max_bytes": max_bytes,
        "discard_old_when_full": discard,
    }
    queues = Queues(tmp_path_factory.mktemp("spool"), {"q": settings})
    kept: list[bytes] = []
    held = 0
    holder = ReadHolder()
    for number, size in enumerate(sizes):
        data = bytes([number]) * size
        try:
            queues.put(b"q", data)
        except QueueRefused:
            if queues.queues.directory.find(b"q"):
                assert queues.numbers(b"q").items == len(kept)
        else:
            queue = queues.queue(b"q")
            kept.append(data)
            assert discard or len(queue) == len(kept)
            kept = kept[len(kept) - len(queue) :]
            assert queue.bytes == held + sum(len(each) for each in kept)
            assert max_items is None or len(queue) <= max_items
            assert max_bytes is None or queue.bytes <= max_bytes
            if opening[number]:
                assert queues.open(b"q", holder).item.data == kept[0]
                held += len(kept.pop(0))
    if queues.queues.directory.find(b"q"):
        assert queues.take_all(b"q") == kept
    queues.close()
