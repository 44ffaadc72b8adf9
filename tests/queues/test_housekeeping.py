"""What is done without anybody asking: sweeping, deleting what is idle, looking at room."""

from pathlib import Path

import pytest

from starling_py.journal.disk.files import Files
from starling_py.queues import housekeeping
from starling_py.queues.errors import NotNowRefused
from starling_py.queues.open_reads import ReadHolder
from tests.queues.parts import Queues

IDLE: dict[str, dict[str, object]] = {"*": {"idle_expire": 60}}


def keep_house(queues: Queues) -> None:
    queues.queues.keep_house()
    queues.commit()


def exists(queues: Queues, name: bytes = b"q") -> bool:
    return queues.queues.directory.find(name) is not None


def test_dead_items_at_the_head_go_without_being_asked_for(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool")
    queues.put(b"q", b"1", b"2", exptime=5)
    queues.put(b"q", b"3")
    queues.pass_time(6)
    keep_house(queues)
    assert queues.numbers(b"q").items == 1
    assert queues.numbers(b"q").expired_items == 2


def test_an_empty_queue_that_nobody_uses_is_deleted_after_its_time(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool", IDLE)
    queues.put(b"q", b"1")
    queues.take(b"q")
    for _ in range(7):
        assert exists(queues)
        keep_house(queues)
        queues.pass_time(10)
    keep_house(queues)
    assert not exists(queues)
    assert not list((tmp_path / "spool").glob("q*"))


@pytest.mark.parametrize("use", ["item", "open", "miss", "put and take", "wait"])
def test_a_queue_that_is_used_stays(tmp_path: Path, use: str) -> None:
    queues = Queues(tmp_path / "spool", IDLE)
    queues.put(b"q", b"1")
    client = queues.client()
    if use == "open":
        queues.open(b"q", ReadHolder())
    elif use != "item":
        queues.take(b"q")
    if use == "wait":
        client.ask(b"get q/t=100000000\r\n")
    for _ in range(20):
        keep_house(queues)
        queues.pass_time(10)
        if use == "miss":
            assert queues.take(b"q") is None
        elif use == "put and take":
            queues.put(b"q", b"2")
            assert queues.take(b"q") == b"2"
    assert exists(queues)
    assert queues.numbers(b"q").total_items == (21 if use == "put and take" else 1)


def test_puts_are_refused_while_the_items_in_memory_take_too_much(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool", memory_max=10_000)
    queues.put(b"q", *[bytes(1000)] * 12)
    keep_house(queues)
    with pytest.raises(NotNowRefused):
        queues.put(b"q", b"1")
    queues.take_all(b"q")
    keep_house(queues)
    queues.put(b"q", b"1")


def test_puts_are_refused_while_too_little_of_the_disk_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queues = Queues(tmp_path / "spool", disk_free_min=1000)
    free = [999]
    monkeypatch.setattr(Files, "free_space", lambda self, path: free[0])
    queues.put(b"q", b"0")
    keep_house(queues)
    with pytest.raises(NotNowRefused):
        queues.put(b"q", b"1")
    assert queues.take_all(b"q") == [b"0"]
    free[0] = 1000
    keep_house(queues)
    queues.put(b"q", b"1")


def test_who_waits_for_a_sync_that_cannot_be_is_told(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool", interval=0)
    queues.put(b"q", b"0")
    told: list[object] = []
    queues.queue(b"q").sync_waits.add(told.append)
    queues.queue(b"q").journal.recorder.broken = "cannot be synced"
    keep_house(queues)
    assert [str(each) for each in told] == ["cannot be synced"]
    queues.queue(b"q").journal.recorder.broken = None


@pytest.mark.patches
def test_many_queues_are_looked_after_with_rests_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "EACH_TIME", 2)
    queues = Queues(tmp_path / "spool")
    for number in range(5):
        queues.put(b"q%d" % number, b"dies", exptime=5)
    keep_house(queues)
    queues.pass_time(6)
    left = []
    for _ in range(4):
        keep_house(queues)
        left.append(sum(queues.numbers(b"q%d" % number).items for number in range(5)))
    assert left == [5, 5, 0, 0]
