"""One client as the commands see it: waiting, going on when its turn comes, and what it is told."""

from pathlib import Path

import pytest

from starling_py.journal.errors import JournalError
from starling_py.keys import RequestError
from starling_py.queues.errors import NotNowRefused
from tests.core import Client
from tests.queues.parts import Queues


@pytest.fixture
def queues(tmp_path: Path) -> Queues:
    return Queues(tmp_path / "spool", window_size=1)


@pytest.fixture
def client(queues: Queues) -> Client:
    client = queues.client()
    client.ask(b"version\r\n")
    return client


def not_loaded(queues: Queues) -> None:
    """Have nothing of the queue in memory."""
    queues.put(b"q", b"1", b"2")
    queues.queue(b"q").waiting.reread()


def test_what_ends_a_wait_goes_on_only_in_the_clients_own_turn(client: Client) -> None:
    done: list[str] = []
    client.state.go_on(lambda: done.append("done"))
    assert not done
    assert client.woken == 1
    client.session.run()
    client.session.run()
    assert done == ["done"]


def test_a_command_that_needs_what_is_on_disk_is_done_when_it_is_there(
    queues: Queues, client: Client
) -> None:
    not_loaded(queues)
    client.send(b"get q\r\nversion\r\n")
    assert client.state.waiting
    assert client.state.waiting_on == ""
    assert client.told() == b"VALUE q 0 1\r\n1\r\nEND\r\nVERSION 1.0.0\r\n"


def test_a_client_that_goes_while_something_is_read_for_it_takes_nothing(
    queues: Queues, client: Client
) -> None:
    not_loaded(queues)
    client.send(b"get q\r\n")
    client.session.disconnected()
    assert client.told() == b""
    assert queues.take_all(b"q") == [b"1", b"2"]


def test_what_cannot_be_read_is_an_error_and_nothing_is_taken(
    queues: Queues, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    not_loaded(queues)

    def fail(path: str, offset: int, size: int) -> bytes:
        raise OSError(5, "Input/output error", path)

    monkeypatch.setattr(queues.failing, "read_at", fail)
    for command in (b"get q\r\n", b"get q/open\r\n", b"get q none\r\n", b"add q 0 0 1\r\nx\r\n"):
        assert client.ask(command).startswith(b"SERVER_ERROR the queue cannot be read on"), command
    assert client.ask(b"monitor q 0\r\n").startswith(b"SERVER_ERROR ")
    assert client.ask(b"add q 0 0 1 noreply\r\nx\r\nversion\r\n") == b"VERSION 1.0.0\r\n"
    assert queues.counters.noreply_errors == 1
    monkeypatch.undo()
    assert client.ask(b"get q\r\n") == b"VALUE q 0 1\r\n1\r\nEND\r\n"


def test_an_error_of_the_client_is_told_from_one_of_the_server(
    queues: Queues, client: Client
) -> None:
    client.state.fail(RequestError("wrong key"))
    client.state.fail(JournalError("no room"))
    client.state.fail(NotNowRefused("draining"))
    client.state.fail(RequestError("quiet"), quiet=True)
    assert client.told() == (
        b"CLIENT_ERROR wrong key\r\nSERVER_ERROR no room\r\nSERVER_ERROR draining\r\n"
    )
    assert queues.counters.protocol_errors == 2
    assert queues.counters.noreply_errors == 1


@pytest.mark.parametrize("command", [b"get q/t=1000\r\n", b"monitor q 10\r\n"])
def test_a_client_that_has_hung_up_waits_for_nothing(
    queues: Queues, client: Client, command: bytes
) -> None:
    client.session.stop_waiting()
    assert client.ask(command) == b"END\r\n"
    assert not queues.queues.waiters.waiting
    assert not client.state.waiting
