"""How a client is given items that it waits for: in its turn, in time, and one item each."""

from pathlib import Path

import pytest

from tests.core import Client, CoreHarness
from tests.queues.parts import Queues
from tests.session.parts import check_put


def test_a_blocking_get_is_served_by_the_next_put(core: CoreHarness, client: Client) -> None:
    assert client.ask(b"get q/t=1000\r\n") == b""
    other = core.client()
    check_put(other, b"1")
    assert client.woken == 1
    assert client.told() == b"VALUE q/t=1000 0 1\r\n1\r\nEND\r\n"
    assert other.ask(b"get q\r\n") == b"END\r\n"


def test_nothing_more_is_executed_while_a_client_waits(core: CoreHarness, client: Client) -> None:
    client.send(b"get q/t=1000\r\nset p 0 0 1\r\nx\r\nversion\r\n")
    assert client.told() == b""
    assert list(core.queues.directory) == []
    check_put(core.client(), b"1")
    expected = b"VALUE q/t=1000 0 1\r\n1\r\nEND\r\nSTORED\r\nVERSION 1.0.0\r\n"
    assert client.told() == expected


def test_the_wait_ends_with_a_miss_when_its_time_is_over(core: CoreHarness, client: Client) -> None:
    client.ask(b"get q/t=1000\r\n")
    core.clock.advance(0.999)
    core.queues.run_due()
    assert client.told() == b""
    core.clock.advance(0.001)
    core.queues.run_due()
    assert not client.state.waiting
    assert client.told() == b"END\r\n"


def test_waiters_are_served_first_come_first_served_one_item_each(core: CoreHarness) -> None:
    clients = [core.client() for _ in range(5)]
    for each in clients:
        each.ask(b"get q/t=1000\r\n")
    check_put(core.client(), b"0", b"1", b"2")
    told = [each.told() for each in clients]
    assert told == [
        *(b"VALUE q/t=1000 0 1\r\n%d\r\nEND\r\n" % number for number in range(3)),
        b"",
        b"",
    ]


def test_a_waiter_that_has_gone_loses_nothing(core: CoreHarness, client: Client) -> None:
    client.ask(b"get q/t=1000\r\n")
    second = core.client()
    second.ask(b"get q/t=1000\r\n")
    client.session.disconnected()
    check_put(core.client(), b"1")
    assert client.told() == b""
    assert second.told() == b"VALUE q/t=1000 0 1\r\n1\r\nEND\r\n"


def test_a_wait_on_several_queues_is_served_by_the_first_to_have_any(
    core: CoreHarness, client: Client
) -> None:
    assert client.ask(b"get a b c/t=1000\r\n") == b""
    check_put(core.client(), b"1", queue=b"b")
    assert client.told() == b"VALUE b 0 1\r\n1\r\nEND\r\n"
    check_put(core.client(), b"2", queue=b"a")
    assert client.ask(b"get a\r\n") == b"VALUE a 0 1\r\n2\r\nEND\r\n"


def test_a_peek_can_wait_and_takes_nothing_from_who_waits_behind_it(
    core: CoreHarness, client: Client
) -> None:
    client.ask(b"get q/peek/t=1000\r\n")
    second = core.client()
    second.ask(b"get q/t=1000\r\n")
    check_put(core.client(), b"1")
    assert client.told() == b"VALUE q/peek/t=1000 0 1\r\n1\r\nEND\r\n"
    assert second.told() == b"VALUE q/t=1000 0 1\r\n1\r\nEND\r\n"


def test_a_waiting_session_gets_no_item_that_is_dead_on_arrival(
    core: CoreHarness, client: Client
) -> None:
    client.ask(b"get q/t=1000\r\n")
    core.client().ask(b"set q 0 -1 1\r\nx\r\n")
    assert client.told() == b""
    check_put(core.client(), b"1")
    assert client.told() == b"VALUE q/t=1000 0 1\r\n1\r\nEND\r\n"


def test_a_client_that_sends_nothing_more_waits_no_longer(client: Client) -> None:
    client.ask(b"get q/t=1000\r\nget q/t=1000\r\nversion\r\n")
    client.session.end_of_input()
    client.session.run()
    assert client.told() == b"END\r\nEND\r\nVERSION 1.0.0\r\n"
    assert client.state.closing


class TestWaitsBySetting:
    @pytest.fixture
    def queues(self, tmp_path: Path) -> Queues:
        by_queue: dict[str, dict[str, object]] = {
            "waits": {"default_wait": 1000},
            "brief": {"max_wait": 100},
            "both": {"default_wait": 1000, "max_wait": 100},
            "never": {"max_wait": 0},
            "full": {"max_items": 1, "max_wait": 100},
        }
        return Queues(tmp_path / "spool", by_queue)

    @pytest.mark.parametrize(
        ("line", "seconds"),
        [
            (b"get waits", 1.0),
            (b"get waits/open", 1.0),
            (b"mg waits v", 1.0),
            (b"get other waits", 1.0),
            (b"get waits/t=300", 0.3),
            (b"get brief/t=1000", 0.1),
            (b"get brief/t=50", 0.05),
            (b"get both", 0.1),
            (b"get waits both brief/t=500", 1.0),
        ],
    )
    def test_a_get_waits_as_long_as_key_and_queue_say(
        self, queues: Queues, line: bytes, seconds: float
    ) -> None:
        client = queues.client()
        assert client.ask(line + b"\r\n") == b""
        queues.clock.advance(seconds - 0.001)
        queues.queues.run_due()
        assert client.told() == b""
        queues.clock.advance(0.001)
        queues.queues.run_due()
        assert client.told() in (b"END\r\n", b"EN\r\n")

    @pytest.mark.parametrize(
        "line",
        [b"get waits/t=0", b"get waits/peek", b"mg waits", b"get waits/close", b"get never/t=500"],
    )
    def test_what_must_not_wait_is_answered_at_once(self, queues: Queues, line: bytes) -> None:
        assert queues.client().ask(line + b"\r\n") in (b"END\r\n", b"EN\r\n", b"HD\r\n")

    def test_a_put_waits_for_room_no_longer_than_the_queue_allows(self, queues: Queues) -> None:
        client = queues.client()
        check_put(client, b"1", queue=b"full")
        assert client.ask(b"set full/t=1000 0 0 1\r\n2\r\n") == b""
        queues.clock.advance(0.1)
        queues.queues.run_due()
        assert client.told() == b"NOT_STORED\r\n"
