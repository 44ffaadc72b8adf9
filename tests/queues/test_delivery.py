"""A put goes to all the queues that it concerns or to none, by the rules of each."""

from pathlib import Path

import pytest

from starling_py.journal.errors import JournalError
from starling_py.keys import Request
from starling_py.queues.delivery import Put
from starling_py.queues.errors import QueueFullRefused, TooLargeRefused
from starling_py.queues.open_reads import ReadHolder
from tests.core import put, put_with_care
from tests.queues.parts import Queues


def subscribe(queues: Queues, *names: bytes) -> None:
    for name in names:
        queues.queues.subscribe(name)
    queues.commit()


def test_a_put_to_a_parent_is_once_in_every_child_and_routes_target(
    tmp_path: Path,
) -> None:
    queues = Queues(tmp_path / "spool", routes={"news": ["audit", "news+a"], "#": ["audit"]})
    subscribe(queues, b"news+a", b"news+b")
    queues.put(b"news", b"1")
    for name in (b"news", b"news+a", b"news+b", b"audit"):
        assert queues.take_all(name) == [b"1"], name


def test_a_put_to_a_child_is_for_that_child_alone(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool")
    subscribe(queues, b"news+a", b"news+b")
    queues.put(b"news+a", b"1")
    assert queues.take_all(b"news+a") == [b"1"]
    assert queues.take_all(b"news+b") == []
    assert queues.queues.directory.find(b"news") is None


def test_a_parent_that_keeps_nothing_feeds_its_children_and_needs_none(
    tmp_path: Path,
) -> None:
    queues = Queues(tmp_path / "spool", {"news": {"fanout_only": True}})
    queues.put(b"news", b"lost")
    assert list(queues.queues.directory) == []
    subscribe(queues, b"news+a")
    queues.put(b"news", b"1")
    assert queues.take_all(b"news+a") == [b"1"]
    assert queues.take_all(b"news") == []


@pytest.mark.parametrize("keeps", [True, False])
def test_what_is_routed_to_a_parent_reaches_its_children_too(tmp_path: Path, keeps: bool) -> None:
    queues = Queues(
        tmp_path, {"prices": {"fanout_only": not keeps}}, routes={"shares.*": ["prices"]}
    )
    subscribe(queues, b"prices+alice")
    queues.put(b"shares.a", b"7")
    assert queues.take_all(b"prices+alice") == [b"7"]
    assert queues.take_all(b"prices") == [b"7"] * keeps
    assert queues.take_all(b"shares.a") == [b"7"]


@pytest.mark.parametrize("refusing", [b"news", b"news+a", b"audit"])
def test_if_one_of_them_refuses_none_of_them_gets_it(tmp_path: Path, refusing: bytes) -> None:
    name = refusing.decode()
    queues = Queues(tmp_path / "spool", {name: {"max_items": 1}}, routes={"news": ["audit"]})
    subscribe(queues, b"news+a")
    queues.put(b"news", b"1")
    with pytest.raises(QueueFullRefused) as caught:
        queues.put(b"news", b"2")
    assert caught.value.name == refusing
    for each in (b"news", b"news+a", b"audit"):
        assert queues.take_all(each) == [b"1"], each


def test_if_one_of_them_is_broken_none_of_them_gets_it(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool")
    subscribe(queues, b"news+a")
    queues.queue(b"news+a").journal.recorder.broken = "it is broken"
    with pytest.raises(JournalError, match="it is broken"):
        put(queues.queues, b"news", b"1", 0, 0)
    assert queues.queues.directory.find(b"news") is None
    queues.queue(b"news+a").journal.recorder.broken = None


def test_a_refused_put_leaves_no_queue_behind(tmp_path: Path) -> None:
    rules: dict[str, dict[str, object]] = {"audit": {"max_item_size": 1}}
    queues = Queues(tmp_path / "spool", rules, routes={"#": ["audit"]})
    with pytest.raises(TooLargeRefused):
        queues.put(b"news", b"22")
    assert not queues.queues._by_name


def test_each_queue_has_its_own_rules_of_expiry(tmp_path: Path) -> None:
    rules: dict[str, dict[str, object]] = {
        "news": {"ignore_client_expiry": True},
        "news+a": {"max_age": 10, "ignore_client_expiry": False},
        "news+b": {"ignore_client_expiry": True, "max_age": 30},
        "news+c": {"ignore_client_expiry": False},
    }
    queues = Queues(tmp_path / "spool", rules)
    names = [b"news", b"news+a", b"news+b", b"news+c"]
    subscribe(queues, *names[1:])
    queues.put(b"news", b"1", exptime=20)
    lives = {b"news": None, b"news+a": 10, b"news+b": 30, b"news+c": 20}
    for name in names:
        item = queues.queue(name).peek(queues.clock.wall_ms)
        assert item is not None
        left = None if not item.expiry_ms else (item.expiry_ms - queues.clock.wall_ms) / 1000
        assert left == lives[name], name


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("window_size", [1 << 23, 1])
def test_what_is_put_in_front_comes_first_but_not_before_its_time(
    tmp_path: Path, restart: bool, window_size: int
) -> None:
    queues = Queues(tmp_path / "spool", window_size=window_size)
    due_ms = queues.clock.wall_ms + 10_000
    queues.put(b"q", b"1", b"2")
    for data, due, front in (
        (b"front", 0, True),
        (b"late front", due_ms, True),
        (b"late", due_ms, False),
        (b"first front", 0, True),
    ):
        put_with_care(queues.queues, Put(b"q", data, 0, 0, due, front))
        queues.commit()
    queues.put(b"q", b"3")
    if restart:
        queues.close()
        queues = Queues(tmp_path / "spool", clock=queues.clock, window_size=window_size)
    assert queues.take(b"q") == b"first front"
    assert queues.take(b"q") == b"front"
    assert queues.take(b"q") == b"1"
    queues.pass_time(10)
    assert queues.take_all(b"q") == [b"late front", b"2", b"late", b"3"]
    assert queues.numbers(b"q").items == 0


def test_a_copy_that_comes_serves_who_waits_for_it(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool")
    subscribe(queues, b"news+a")
    holder = ReadHolder()
    client = queues.client()
    assert client.ask(b"get news+a/open/t=1000\r\n") == b""
    put(queues.queues, b"news", b"1", 0, 0)
    assert client.told() == b"VALUE news+a/open/t=1000 0 1\r\n1\r\nEND\r\n"
    assert queues.queues.read(Request(b"news+a", b"news+a", open=True), holder) is None
