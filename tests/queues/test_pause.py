"""Pauses: gets are misses for a while, puts go on, and a restart changes nothing of that."""

from pathlib import Path

import pytest

from starling_py.journal.errors import JournalError
from starling_py.journal.ledger import FOR_EVER
from starling_py.queues.queue_directory import Rules
from starling_py.settings.queue_table import QueueTable
from tests.core import ManualClock
from tests.queues.parts import Queues


@pytest.fixture
def queues(tmp_path: Path) -> Queues:
    return Queues(tmp_path / "spool")


def again(queues: Queues, path: Path) -> Queues:
    """Start anew on what is there, a second later."""
    queues.close()
    queues.clock.advance(1)
    return Queues(path / "spool", clock=queues.clock)


def test_a_pause_without_end_holds_over_restarts(tmp_path: Path, queues: Queues) -> None:
    queues.put(b"q", b"1")
    queues.queue(b"q").pause.begin(FOR_EVER)
    queues.commit()
    for _ in range(2):
        queues = again(queues, tmp_path)
        assert queues.take(b"q") is None
        assert (queues.numbers(b"q").paused, queues.numbers(b"q").paused_until) == (1, 0)
    queues.queue(b"q").pause.end()
    queues.commit()
    queues = again(queues, tmp_path)
    assert queues.take(b"q") == b"1"
    assert queues.numbers(b"q").paused == 0


def test_a_pause_with_an_end_is_over_then_in_the_next_process_too(
    tmp_path: Path, queues: Queues
) -> None:
    queues.put(b"q", b"1")
    until_ms = queues.clock.wall_ms + 10_000
    queues.queue(b"q").pause.begin(until_ms)
    queues.commit()
    queues = again(queues, tmp_path)
    assert queues.numbers(b"q").paused_until == until_ms // 1000
    queues.pass_time(8.9)
    assert queues.take(b"q") is None
    queues.pass_time(0.2)
    assert queues.take(b"q") == b"1"
    queues = again(queues, tmp_path)
    assert queues.numbers(b"q").paused == 0


def test_a_pause_that_ended_between_two_processes_is_over(tmp_path: Path, queues: Queues) -> None:
    queues.put(b"q", b"1")
    queues.queue(b"q").pause.begin(queues.clock.wall_ms + 500)
    queues.commit()
    assert again(queues, tmp_path).take(b"q") == b"1"


def test_a_jump_of_the_wall_clock_ends_the_pause_that_it_passes(queues: Queues) -> None:
    queues.put(b"q", b"1")
    queues.queue(b"q").pause.begin(queues.clock.wall_ms + 60_000)
    queues.commit()
    queues.clock.wall_ms += 60_000
    queues.pass_time(0)
    assert queues.take(b"q") == b"1"


def test_a_pause_is_in_the_checkpoint_of_the_next_segments(tmp_path: Path, queues: Queues) -> None:
    queues.put(b"q", b"1")
    queues.queue(b"q").pause.begin(FOR_EVER)
    queues.put(b"q", *(b"." * 1000 for _ in range(20)))
    assert len(queues.queue(b"q").journal.ledger.segments) > 2
    assert again(queues, tmp_path).take(b"q") is None


def test_a_pause_that_cannot_be_written_is_none(queues: Queues) -> None:
    queues.put(b"q", b"1")
    queues.queue(b"q").pause.begin(FOR_EVER)
    queues.fail_commit()
    assert queues.take(b"q") == b"1"


def test_an_end_that_cannot_be_written_leaves_the_pause(queues: Queues) -> None:
    queues.put(b"q", b"1")
    queues.queue(b"q").pause.begin(FOR_EVER)
    queues.commit()
    queues.queue(b"q").pause.end()
    assert not queues.queue(b"q").pause.holds
    queues.fail_commit()
    assert queues.take(b"q") is None


def test_a_broken_journal_refuses_a_pause_and_nothing_changes(queues: Queues) -> None:
    queues.put(b"q", b"1")
    queues.queue(b"q").journal.recorder.broken = "it is broken"
    with pytest.raises(JournalError, match="it is broken"):
        queues.queue(b"q").pause.begin(FOR_EVER)
    assert not queues.queue(b"q").pause.holds


@pytest.mark.parametrize("flushes", [0, 1])
def test_a_flush_leaves_the_pause_and_a_deletion_ends_it(
    tmp_path: Path, queues: Queues, flushes: int
) -> None:
    queues.put(b"q", b"1")
    queues.queue(b"q").pause.begin(FOR_EVER)
    for _ in range(flushes):
        queues.queues.flush(b"q")  # in the same commit
    queues.commit()
    queues.put(b"q", b"2")
    queues = again(queues, tmp_path)
    assert queues.take(b"q") is None
    queues.queues.delete(b"q")
    queues.put_uncommitted(b"q", b"3")
    queues.commit()
    assert again(queues, tmp_path).take(b"q") == b"3"


def test_the_pause_of_the_settings_is_another_one(queues: Queues) -> None:
    queues.put(b"q", b"1")
    queues.queue(b"q").pause.begin(FOR_EVER)
    queues.queues.reload(Rules(QueueTable({"q": {"paused": True}})))
    queues.queue(b"q").pause.end()
    queues.commit()
    assert queues.take(b"q") is None
    queues.queues.reload(Rules())
    assert queues.take(b"q") == b"1"


def test_a_paused_queue_is_not_deleted_though_nobody_uses_it(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool", {"q": {"idle_expire": 2}}, clock=ManualClock())
    queues.put(b"q", b"1")
    queues.take(b"q")
    queues.queue(b"q").pause.begin(FOR_EVER)
    queues.commit()
    for _ in range(4):
        queues.queues.keep_house()
        queues.pass_time(3)
    assert queues.numbers(b"q").paused == 1
    queues.queue(b"q").pause.end()
    for _ in range(4):
        queues.queues.keep_house()
        queues.pass_time(3)
    assert queues.queues.directory.find(b"q") is None
