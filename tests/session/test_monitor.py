"""Kestrel's monitor: items as they come, up to a count, a limit and a time."""

from pathlib import Path

import pytest

from tests.core import Client
from tests.queues.parts import Queues
from tests.session.parts import item


@pytest.fixture
def queues(tmp_path: Path) -> Queues:
    return Queues(tmp_path / "spool", {"few": {"max_open_reads": 2}})


@pytest.fixture
def client(queues: Queues) -> Client:
    return queues.client()


def test_a_monitor_stops_at_its_count_the_limit_of_reads_and_its_time(
    queues: Queues, client: Client
) -> None:
    queues.put(b"few", b"1", b"2", b"3")
    assert client.ask(b"monitor few 60 1\r\n") == item(b"few", b"1") + b"END\r\n"
    assert client.ask(b"monitor few 60\r\n") == item(b"few", b"2") + b"END\r\n"
    assert client.ask(b"monitor few 60\r\n") == b"END\r\n"
    assert client.ask(b"confirm few 2\r\n") == b"END\r\n"
    assert client.ask(b"monitor few 60\r\n") == item(b"few", b"3")
    queues.clock.advance(60)
    queues.queues.run_due()
    assert client.told() == b"END\r\n"


def test_an_item_that_comes_back_reaches_a_monitor_in_its_turn(
    queues: Queues, client: Client
) -> None:
    other = queues.client()
    queues.put(b"q", b"1")
    other.ask(b"get q/open\r\n")
    assert client.ask(b"monitor q 60 2\r\n") == b""
    other.ask(b"get q/abort\r\n")
    assert client.told() == item(b"q", b"1")
    queues.put(b"q", b"2")
    assert client.told() == item(b"q", b"2") + b"END\r\n"
