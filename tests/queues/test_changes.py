"""What has changed: whoever asks again and again knows as much as who asks for everything."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starling_py.queues import queue_directory
from starling_py.queues.changes import Found
from starling_py.queues.queue_directory import Rules
from starling_py.settings.queue_table import QueueTable
from starling_py.stats import WATCHED
from tests.core import Client
from tests.queues.parts import Queues
from tests.simulation.watcher import TIMES, Watcher

RULES: dict[str, dict[str, object]] = {
    "full": {"max_items": 2},
    "tried": {"max_deliveries": 1, "dead_letter": "dead"},
    "short": {"expire_to": "dead"},
}


class Monitor(Watcher):
    """Somebody who asks what has changed; ``told`` is of which queues it was told last."""

    @property
    def told(self) -> list[bytes]:
        return self.found.names

    def expect_all(self, queues: Queues) -> None:
        """Expect it to know everything."""
        assert self.differs(queues.queues) == ""


def test_the_times_are_the_last_of_what_is_told() -> None:
    assert WATCHED[-len(TIMES) :] == TIMES


def test_what_is_told_of_a_queue_is_what_its_statistics_say(tmp_path: Path) -> None:
    queues = Queues(tmp_path)
    queues.put(b"jobs", b"one", b"two")
    queues.pass_time(2)
    queues.take(b"jobs")
    numbers = queues.queues.changes.numbers(b"jobs")
    assert numbers is not None
    assert dict(zip(WATCHED, numbers, strict=True)) == {
        name: getattr(queues.numbers(b"jobs"), name) for name in WATCHED
    }
    queues.close()


def test_only_what_has_changed_is_told(tmp_path: Path) -> None:
    queues = Queues(tmp_path)
    for number in range(10):
        queues.put(b"q%d" % number, b"x")
    monitor = Monitor(queues.queues.changes)
    assert monitor.look().anew
    assert len(monitor.told) == 10
    assert not monitor.look().anew
    assert monitor.told == []
    queues.put(b"q3", b"x")
    queues.take(b"q1")
    monitor.look()
    assert sorted(monitor.told) == [b"q1", b"q3"]
    queues.close()


def test_a_look_takes_as_long_as_what_has_changed_needs(tmp_path: Path) -> None:
    queues = Queues(tmp_path)
    for number in range(1000):
        queues.put(b"q%d" % number, b"x")
    monitor = Monitor(queues.queues.changes)
    monitor.look()
    queues.put(b"q7", b"x")
    steps = sum(1 for _ in monitor.changes.look(monitor.token, 1000, Found()))
    assert steps <= 3
    queues.close()


def test_what_does_not_go_into_one_answer_comes_in_the_next_ones(tmp_path: Path) -> None:
    queues = Queues(tmp_path)
    for number in range(10):
        queues.put(b"q%d" % number, b"x")
    monitor = Monitor(queues.queues.changes)
    assert monitor.look(4).left == 6
    first = monitor.told
    queues.put(first[0], b"x")  # it goes behind those that were not told yet
    assert monitor.look(4).left == 3
    assert not {*first} & {*monitor.told}
    monitor.expect_all(queues)
    queues.close()


def test_a_token_that_was_not_given_here_gets_everything(tmp_path: Path) -> None:
    queues = Queues(tmp_path)
    queues.put(b"jobs", b"x")
    monitor = Monitor(queues.queues.changes)
    monitor.look()
    start, _, _ = monitor.token.partition(b"-")
    wrong = [b"", b"x", b"-", b"1-1", start, start + b"-", start + b"-99", start + b"-" + b"9" * 50]
    for monitor.token in [*wrong, start + "-²".encode(), start + b"--1"]:
        assert monitor.look().anew
        assert monitor.told == [b"jobs"]
    queues.close()


def test_a_restart_makes_every_token_mean_nothing(tmp_path: Path) -> None:
    queues = Queues(tmp_path)
    queues.put(b"jobs", b"x")
    monitor = Monitor(queues.queues.changes)
    monitor.look()
    queues.close()
    queues.clock.advance(1)
    queues = Queues(tmp_path, clock=queues.clock)
    monitor.changes = queues.queues.changes
    assert monitor.look().anew
    monitor.expect_all(queues)
    queues.close()


def test_who_has_missed_too_many_queues_that_went_is_told_everything(tmp_path: Path) -> None:
    queues = Queues(tmp_path)
    queues.put(b"stays", b"x")
    monitor, other = Monitor(queues.queues.changes), Monitor(queues.queues.changes)
    monitor.look()
    for number in range(queue_directory.REMEMBERED + 1):
        name = b"q%d" % (number % 7)
        queues.put(name, b"x")
        if number % 100 == 0:
            other.look()
        queues.queues.delete(name)
        queues.commit()
    assert len(queues.queues.directory.changed) <= 8
    monitor.expect_all(queues)
    other.expect_all(queues)
    assert list(monitor.known) == [b"stays"]
    queues.close()


SILENT = {
    "a hang-up gives back": (b"set plain 0 0 1\r\nx\r\nget plain/open\r\n", "hang up"),
    "a lease ends": (b"set plain 0 0 1\r\nx\r\nget plain/open/lease=1\r\n", "time passes"),
    "a delay ends": (b"set plain/delay=1 0 0 1\r\nx\r\n", "time passes"),
    "a pause ends": (b"set plain 0 0 1\r\nx\r\npause plain 1\r\n", "time passes"),
    "a limit comes": (b"set full 0 0 1\r\nx\r\n", "reload"),
    "a journal breaks": (b"set plain 0 0 1\r\nx\r\n", "break"),
    "it is healed": (b"set plain 0 0 1\r\nx\r\n", "fail"),
    "somebody waits": (b"set plain 0 0 1\r\nx\r\nget plain\r\n", "wait"),
    "nobody waits": (b"set plain 0 0 1\r\nx\r\nget plain\r\nget plain/t=60000\r\n", "hang up"),
    "an item moves": (b"set tried 0 0 1\r\nx\r\nget tried/open/lease=1\r\n", "move"),
}


@pytest.mark.parametrize("case", SILENT)
def test_what_changes_without_a_record_is_told_too(case: str, tmp_path: Path) -> None:
    before, what = SILENT[case]
    queues = Queues(tmp_path, RULES)
    client = Client(queues)
    client.ask(before)
    monitor = Monitor(queues.queues.changes)
    monitor.expect_all(queues)
    known = dict(monitor.known)
    if what == "move":
        # Until the copy is safe the item is on its way, so nothing is committed here.
        queues.clock.advance(1.5)
        queues.queues.run_due()
    elif what == "break":
        queues.queue(b"plain").journal._break("cannot be synced", OSError(5, "I/O error"))
    else:
        do(queues, client, what)
    monitor.expect_all(queues)
    assert monitor.known != known or what == "fail"
    queues.commit()
    monitor.expect_all(queues)


def do(queues: Queues, client: Client, step: bytes | str) -> Client:
    """Do one thing; return the client to go on with."""
    if step == "wait":
        client.ask(b"get plain/t=60000\r\n")
    elif isinstance(step, bytes):
        client.ask(step)
        if client.state.closing or client.state.parked is not None:
            return Client(queues)
    elif step == "hang up":
        client.session.disconnected()
        return Client(queues)
    elif step == "time passes":
        queues.pass_time(1.5)
    elif step == "fail":
        queues.put_uncommitted(b"plain")
        queues.fail_commit()
    elif step == "reload":
        queues.queues.reload(Rules(QueueTable({**RULES, "full": {"max_items": 1}})))
        queues.commit()
    return client


STEPS = st.one_of(
    st.sampled_from(
        [
            *(b"set %b 0 0 1\r\nx\r\n" % name for name in (b"full", b"tried", b"short", b"plain")),
            b"set short 0 1 1\r\nx\r\n",
            b"set plain/delay=2 0 0 1\r\nx\r\n",
            *(b"get %b\r\n" % name for name in (b"full", b"tried", b"short", b"plain", b"dead")),
            *(b"get %b/open\r\n" % name for name in (b"full", b"tried", b"plain")),
            b"get tried/open/lease=2\r\n",
            *(b"get %b/abort\r\n" % name for name in (b"full", b"tried", b"plain")),
            *(b"get %b/close\r\n" % name for name in (b"tried", b"plain")),
            b"get plain/abort/delay=2\r\n",
            b"get tried/bury\r\n",
            b"get plain/t=2000\r\n",
            b"get nowhere/t=2000\r\n",
            b"flush full\r\n",
            *(b"delete %b\r\n" % name for name in (b"full", b"plain", b"dead")),
            b"pause plain 2\r\n",
            b"pause tried\r\n",
            b"resume tried\r\n",
            b"move plain dead 1\r\n",
            b"move dead origin\r\n",
            b"drop plain 1\r\n",
        ]
    ),
    st.sampled_from(["second look", "time passes", "hang up", "fail", "reload"]),
)


@settings(max_examples=50)
@given(st.lists(STEPS, max_size=25))
def test_who_asks_what_has_changed_knows_what_is_so(steps: list[bytes | str]) -> None:
    with TemporaryDirectory() as path:
        queues = Queues(Path(path) / "spool", RULES)
        client = Client(queues)
        monitors = [Monitor(queues.queues.changes), Monitor(queues.queues.changes)]
        for step in steps:
            client = do(queues, client, step)
            monitors[0].expect_all(queues)
            if step == "second look":
                monitors[1].expect_all(queues)
        for monitor in monitors:
            monitor.expect_all(queues)
        queues.close()
