"""What is done without anybody asking: sweeping, deleting what is idle, looking at room."""

from pathlib import Path

import pytest

from starling_py.journal.disk.files import Files
from starling_py.queues import housekeeping
from starling_py.queues.errors import NotNowRefused
from starling_py.queues.housekeeping import Housekeeping
from starling_py.queues.open_reads import ReadHolder
from starling_py.queues.persistent_queue import PersistentQueue
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


@pytest.fixture
def nobody_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no queue looked after to which nothing may have happened."""
    monkeypatch.setattr(housekeeping, "IN_TURN", 0)


def looked_after(queues: Queues, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Keep house; return which queues were looked after."""
    names: list[bytes] = []

    def look_after(self: Housekeeping, queue: PersistentQueue) -> None:
        names.append(queue.name)
        look(self, queue)

    look = Housekeeping._look_after
    with monkeypatch.context() as patch:
        patch.setattr(Housekeeping, "_look_after", look_after)
        keep_house(queues)
    return names


@pytest.mark.patches
def test_a_queue_that_nothing_happens_to_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nobody_in_turn: None
) -> None:
    queues = Queues(tmp_path / "spool")
    queues.put(b"idle", b"1", exptime=100)
    queues.put(b"busy", b"1")
    assert looked_after(queues, monkeypatch) == [b"idle", b"busy"]
    for number in range(10):
        queues.pass_time(1)
        assert looked_after(queues, monkeypatch) == ([b"busy"] if number % 2 else [])
        if not number % 2:
            queues.put(b"busy", b"2")
    queues.close()


@pytest.mark.patches
@pytest.mark.parametrize("jump", [False, True])
def test_items_die_in_time_in_queues_that_are_left_alone(
    tmp_path: Path, nobody_in_turn: None, jump: bool
) -> None:
    queues = Queues(tmp_path / "spool")
    queues.put(b"q", b"1", exptime=50)
    queues.put(b"q", b"2", exptime=5)
    queues.put(b"early", b"3", exptime=5)
    keep_house(queues)
    for _ in range(4):
        queues.pass_time(1)
        keep_house(queues)
    assert queues.numbers(b"early").items == 1
    queues.pass_time(2)
    keep_house(queues)
    assert queues.numbers(b"early").items == 0
    if jump:
        queues.clock.wall_ms += 60_000
    else:
        queues.pass_time(45)
    keep_house(queues)
    assert queues.numbers(b"q").items == 0
    queues.close()


@pytest.mark.patches
@pytest.mark.usefixtures("nobody_in_turn")
@pytest.mark.parametrize("use", ["nothing", "miss", "wait"])
def test_queues_left_alone_are_deleted_in_time_unless_used(tmp_path: Path, use: str) -> None:
    queues = Queues(tmp_path / "spool", IDLE)
    queues.put(b"q", b"1")
    queues.take(b"q")
    queues.commit()
    if use == "wait":
        queues.client().ask(b"get q/t=100000000\r\n")
    for _ in range(59):
        keep_house(queues)
        queues.pass_time(1)
        if use == "miss":
            assert queues.take(b"q") is None
    assert exists(queues)
    for _ in range(3):
        queues.pass_time(1)
        keep_house(queues)
        if use == "miss":
            assert queues.take(b"q") is None
    assert exists(queues) == (use != "nothing")
    queues.close()


@pytest.mark.patches
@pytest.mark.usefixtures("nobody_in_turn")
def test_no_more_queues_than_it_may_are_looked_after_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "EACH_TIME", 2)
    queues = Queues(tmp_path / "spool")
    names = [b"q%d" % number for number in range(5)]
    for name in names:
        queues.put(name, b"1")
    looks = [looked_after(queues, monkeypatch) for _ in range(4)]
    assert looks == [names[:2], names[2:4], names[4:], []]
    queues.close()


@pytest.mark.patches
@pytest.mark.parametrize("shrinks", [False, True])
def test_all_queues_have_their_turn_soonest_if_each_may_take_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shrinks: bool
) -> None:
    monkeypatch.setattr(housekeeping, "IN_TURN", 1)
    queues = Queues(tmp_path / "spool")
    names = [b"q%d" % number for number in range(5)]
    for name in names:
        queues.put(name, b"1")
    while len(looked_after(queues, monkeypatch)) > 1:
        pass
    if shrinks:
        queues.queues.directory.sizes.limit -= 1
    looks = [looked_after(queues, monkeypatch) for _ in range(10)]
    assert max(map(len, looks)) == (5 if shrinks else 1)
    assert set().union(*looks) == set(names)
    queues.close()


def test_what_a_queue_takes_in_memory_goes_with_it(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool")
    care = queues.queues.directory.care
    queues.put(b"gone", bytes(1000), exptime=1000)
    queues.put(b"stays", bytes(1000))
    keep_house(queues)
    both = care.bytes
    queues.queues.delete(b"gone")
    queues.commit()
    keep_house(queues)
    assert not exists(queues, b"gone")
    assert care.bytes == both // 2 > 1000
    queues.close()
