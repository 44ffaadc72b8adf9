"""What operators do to queues, and who may."""

from pathlib import Path

import pytest

from starling_py.session.client import Policy
from starling_py.session.permission import Permission
from tests.core import Client
from tests.queues.parts import Queues
from tests.session.parts import NO_ROOM, check_put, item, on_a_full_disk


@pytest.fixture
def queues(tmp_path: Path) -> Queues:
    return Queues(tmp_path / "spool")


@pytest.fixture
def client(queues: Queues) -> Client:
    return queues.client()


def test_while_paused_gets_are_misses_and_puts_go_on(queues: Queues, client: Client) -> None:
    check_put(client, b"1")
    assert client.ask(b"pause q\r\nget q q/peek\r\nget q/open\r\n") == b"OK\r\nEND\r\nEND\r\n"
    check_put(client, b"2")
    assert client.ask(b"resume q\r\nget q\r\n") == b"OK\r\n" + item(b"q", b"1")


def test_what_is_open_can_be_closed_while_paused(queues: Queues, client: Client) -> None:
    check_put(client, b"1")
    assert client.ask(b"get q/open\r\n") == item(b"q/open", b"1")
    assert client.ask(b"pause q\r\nget q/close\r\n") == b"OK\r\nEND\r\n"
    assert queues.numbers(b"q").bytes == 0


def test_who_waits_is_served_when_the_queue_is_resumed(queues: Queues, client: Client) -> None:
    check_put(client, b"1")
    other = queues.client()
    assert client.ask(b"pause q 60\r\n") == b"OK\r\n"
    assert other.ask(b"get q/t=100000\r\n") == b""
    check_put(client, b"2")
    assert other.told() == b""
    assert client.ask(b"resume q noreply\r\nresume q\r\n") == b"OK\r\n"
    assert other.told() == item(b"q/t=100000", b"1")


def test_a_pause_ends_by_itself_and_serves_who_waits(queues: Queues, client: Client) -> None:
    check_put(client, b"1")
    other = queues.client()
    assert client.ask(b"pause q 60 noreply\r\n") == b""
    assert other.ask(b"get q/t=100000\r\n") == b""
    queues.pass_time(59)
    assert other.told() == b""
    queues.pass_time(2)
    assert other.told() == item(b"q/t=100000", b"1")


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"pause nosuch", b"NOT_FOUND\r\n"),
        (b"resume nosuch", b"NOT_FOUND\r\n"),
        (b"pause", b"ERROR\r\n"),
        (b"resume", b"ERROR\r\n"),
        (b"resume q 5", b"ERROR\r\n"),
        (b"pause q 5 6", b"ERROR\r\n"),
        (b"pause q 0", b"CLIENT_ERROR pause takes seconds from 1 to 2592000\r\n"),
        (b"pause q -1", b"CLIENT_ERROR pause takes seconds from 1 to 2592000\r\n"),
        (b"pause q 1.5", b"CLIENT_ERROR pause takes seconds from 1 to 2592000\r\n"),
        (b"pause q x noreply", b""),
        (b"pause " + b"q" * 251, b"CLIENT_ERROR bad command line format\r\n"),
        (b"pause q/open", b"CLIENT_ERROR this command takes no option in its key\r\n"),
    ],
)
def test_what_is_wrong_with_a_pause_is_told_and_changes_nothing(
    queues: Queues, client: Client, line: bytes, reply: bytes
) -> None:
    check_put(client, b"1")
    assert client.ask(line + b"\r\n") == reply
    assert client.ask(b"get q\r\n") == item(b"q", b"1")


def test_nobody_is_told_of_a_pause_that_was_not_written(queues: Queues, client: Client) -> None:
    check_put(client, b"1")
    assert on_a_full_disk(queues, client, b"pause q\r\n") == NO_ROOM
    assert client.ask(b"get q\r\n") == item(b"q", b"1")


def test_commands_of_operators_are_refused_where_they_are_not_allowed(queues: Queues) -> None:
    queues.policy = Policy(1 << 20, False, False, permission=Permission(admin=False))
    client = queues.client()
    check_put(client, b"1")
    assert client.ask(b"pause q\r\nresume q\r\n") == b"ERROR: pause not enabled\r\n" * 2
    assert client.ask(b"pause q noreply\r\nget q\r\n") == item(b"q", b"1")
    assert queues.counters.noreply_errors == 1
