"""What the storage commands do: verbs, delays, limits, waiting for room, and safety on demand."""

from pathlib import Path

import pytest

from tests.core import Client, CoreHarness
from tests.queues.parts import Queues

RULES: dict[str, dict[str, object]] = {
    "full": {"max_items": 1},
    "small": {"max_item_size": 3},
    "none": {"fanout_only": True},
    "p+c": {"max_items": 1},
}


@pytest.fixture
def queues(tmp_path: Path) -> Queues:
    return Queues(tmp_path / "spool", RULES)


@pytest.fixture
def client(queues: Queues) -> Client:
    return queues.client()


def store(verb: bytes, key: bytes, data: bytes, exptime: int = 0) -> bytes:
    return b"%b %b 0 %d %d\r\n%b\r\n" % (verb, key, exptime, len(data), data)


class TestVerbs:
    @pytest.mark.parametrize("verb", [b"replace", b"append"])
    def test_replace_and_append_put_at_the_end_of_a_queue_that_exists(
        self, queues: Queues, client: Client, verb: bytes
    ) -> None:
        assert client.ask(store(verb, b"q", b"1")) == b"NOT_STORED\r\n"
        assert not list(queues.queues.directory)
        queues.put(b"q", b"1")
        assert client.ask(store(verb, b"q", b"2")) == b"STORED\r\n"
        assert queues.take_all(b"q") == [b"1", b"2"]
        assert client.ask(store(verb, b"q", b"3")) == b"STORED\r\n"

    def test_prepend_puts_in_front_and_makes_the_queue(
        self, queues: Queues, client: Client
    ) -> None:
        for data in (b"2", b"1", b"0"):
            assert client.ask(store(b"prepend", b"q", data)) == b"STORED\r\n"
        queues.put(b"q", b"3")
        assert queues.take_all(b"q") == [b"0", b"1", b"2", b"3"]

    def test_add_puts_only_where_nothing_is_not_even_open_or_due_later(
        self, queues: Queues, client: Client
    ) -> None:
        assert client.ask(store(b"add", b"q", b"1")) == b"STORED\r\n"
        client.ask(b"get q/open\r\n")
        assert client.ask(store(b"add", b"q", b"2")) == b"NOT_STORED\r\n"
        client.ask(b"get q/close\r\n")
        assert client.ask(store(b"add", b"q/delay=5", b"3")) == b"STORED\r\n"
        assert client.ask(store(b"add", b"q", b"4")) == b"NOT_STORED\r\n"
        queues.pass_time(5)
        assert queues.take_all(b"q") == [b"3"]
        client.ask(store(b"set", b"q", b"dead", exptime=-1))
        assert client.ask(store(b"add", b"q", b"5")) == b"STORED\r\n"

    def test_cas_is_always_a_miss(self, queues: Queues, client: Client) -> None:
        queues.put(b"q", b"1")
        assert client.ask(b"cas q 0 0 1 1\r\nx\r\n") == b"NOT_FOUND\r\n"
        assert queues.counters.cas_misses == 1

    @pytest.mark.parametrize(
        "key", [b"q/open", b"q/t", b"q/t=x", b"q/delay=-1", b"q/sync=1", b"q/sync/sync", b"/sync"]
    )
    def test_an_option_that_makes_no_sense_stores_nothing(
        self, queues: Queues, client: Client, key: bytes
    ) -> None:
        for verb in (b"set", b"add", b"replace", b"append", b"prepend"):
            assert client.ask(store(verb, key, b"1")).startswith(b"CLIENT_ERROR ")
        assert not list(queues.queues.directory)


class TestDelay:
    def test_a_delayed_item_comes_at_its_time_in_its_place(
        self, queues: Queues, client: Client
    ) -> None:
        client.ask(store(b"set", b"q/delay=1.5", b"late") + store(b"set", b"q", b"now"))
        client.ask(store(b"prepend", b"q/delay=1.5", b"late front"))
        assert client.ask(b"get q\r\nget q\r\n") == b"VALUE q 0 3\r\nnow\r\nEND\r\nEND\r\n"
        assert queues.numbers(b"q").delayed == 2
        queues.put(b"q", b"after")
        queues.pass_time(1.5)
        assert queues.take_all(b"q") == [b"late front", b"late", b"after"]


class TestLimits:
    def test_what_is_full_is_not_stored_and_what_is_too_large_is_an_error(
        self, queues: Queues, client: Client
    ) -> None:
        queues.put(b"full", b"1")
        for verb in (b"set", b"append", b"replace", b"prepend"):
            assert client.ask(store(verb, b"full", b"2")) == b"NOT_STORED\r\n"
        reply = client.ask(store(b"set", b"small", b"1234"))
        assert reply == b"SERVER_ERROR object too large for cache\r\n"
        assert queues.queues.directory.find(b"small") is None
        assert client.ask(store(b"set", b"small/t=9000", b"1234")) == reply

    def test_a_quiet_put_that_is_refused_is_counted(self, queues: Queues, client: Client) -> None:
        queues.put(b"full", b"1")
        assert client.ask(b"set full 0 0 1 noreply\r\n2\r\nversion\r\n") == b"VERSION 1.0.0\r\n"
        assert queues.counters.noreply_errors == 1


class TestWaitingForRoom:
    def test_puts_get_room_in_order_of_arrival_whatever_comes_in_between(
        self, queues: Queues, client: Client
    ) -> None:
        queues.put(b"full", b"0")
        first, second = queues.client(), queues.client()
        for each, data in ((first, b"1"), (second, b"2")):
            assert each.ask(store(b"set", b"full/t=1000", data)) == b""
        assert first.state.waiting_on == "full"
        # Somebody takes the room that was offered to the first, who keeps its place.
        client.send(b"get full\r\n")
        queues.queues.offer_room()
        client.send(store(b"set", b"full", b"barged in"))
        assert client.told() == b"VALUE full 0 1\r\n0\r\nEND\r\nSTORED\r\n"
        assert first.told() + second.told() == b""
        assert queues.take(b"full") == b"barged in"
        queues.queues.offer_room()
        assert (first.told(), second.told()) == (b"STORED\r\n", b"")
        assert queues.take(b"full") == b"1"
        assert second.told() == b""
        queues.queues.offer_room()
        assert second.told() == b"STORED\r\n"

    def test_of_many_queues_with_room_some_are_offered_it_in_a_slice(self, tmp_path: Path) -> None:
        names = [b"q%d" % number for number in range(40)]
        queues = Queues(tmp_path / "many", {name.decode(): {"max_items": 1} for name in names})
        clients = [queues.client() for _ in names]
        for client, name in zip(clients, names, strict=True):
            queues.put(name, b"0")
            assert client.ask(store(b"set", name + b"/t=9000", b"1")) == b""
        for name in names:
            queues.queues.flush(name)
        queues.commit()
        queues.queues.slices.allowance = 0.0
        offered = []
        for _ in range(3):
            whole = queues.queues.offer_room()
            offered.append((whole, sum(client.woken for client in clients)))
        assert offered == [(False, 16), (False, 32), (True, 40)]
        assert {client.told() for client in clients} == {b"STORED\r\n"}

    def test_the_wait_ends_with_not_stored_at_its_time_and_when_input_ends(
        self, queues: Queues, client: Client
    ) -> None:
        queues.put(b"full", b"0")
        assert client.ask(store(b"set", b"full/t=1000", b"1")) == b""
        queues.pass_time(1)
        assert client.told() == b"NOT_STORED\r\n"
        client.ask(store(b"set", b"full/t=1000", b"1"))
        client.session.end_of_input()
        client.session.run()
        assert client.told() == b"NOT_STORED\r\n"
        assert not queues.queues.room.waiting

    def test_a_client_that_is_gone_puts_nothing(self, queues: Queues, client: Client) -> None:
        queues.put(b"full", b"0")
        client.ask(store(b"set", b"full/t=1000", b"1"))
        client.session.disconnected()
        assert queues.take_all(b"full") == [b"0"]
        assert not queues.queues.room.waiting

    def test_a_put_waits_for_room_in_a_child_and_a_delay_begins_when_it_is_put(
        self, queues: Queues, client: Client
    ) -> None:
        client.ask(b"get p+c\r\n")
        assert client.ask(store(b"set", b"p", b"0")) == b"STORED\r\n"
        assert client.ask(store(b"set", b"p/t=9000/delay=10", b"1")) == b""
        assert client.state.waiting_on == "p+c"
        queues.pass_time(5)
        assert queues.take(b"p+c") == b"0"
        queues.queues.offer_room()
        assert client.told() == b"STORED\r\n"
        queues.pass_time(9)
        assert queues.take_all(b"p") == [b"0"]
        queues.pass_time(1)
        assert (queues.take_all(b"p"), queues.take_all(b"p+c")) == ([b"1"], [b"1"])

    def test_the_room_of_a_deleted_queue_is_room(self, queues: Queues, client: Client) -> None:
        queues.put(b"full", b"0")
        client.ask(store(b"set", b"full/t=9000", b"1"))
        queues.queues.delete(b"full")
        assert client.told() == b"STORED\r\n"
        assert queues.take_all(b"full") == [b"1"]


class TestSync:
    @pytest.mark.parametrize("interval", [None, 0, 3600])
    def test_the_answer_waits_for_the_sync_and_nothing_more_is_done_before(
        self, tmp_path: Path, interval: float | None
    ) -> None:
        core = CoreHarness(tmp_path / "spool", interval=interval)
        client = core.client()
        client.send(store(b"set", b"q/sync", b"1") + b"version\r\n")
        assert client.state.waiting
        assert not client.state.replies.chunks
        core.commits.commit()
        core.commits.sync_if_due()
        assert client.told() == b"STORED\r\nVERSION 1.0.0\r\n"

    def test_a_write_that_fails_is_told_of_once(self, queues: Queues, client: Client) -> None:
        queues.failing.error = OSError(28, "No space left on device")
        reply = client.ask(store(b"set", b"q/sync", b"1") + b"version\r\n")
        assert reply.startswith(b"SERVER_ERROR ")
        assert reply.endswith(b"\r\nVERSION 1.0.0\r\n")
        assert reply.count(b"\r\n") == 2
        assert queues.counters.total_items == 0
        queues.failing.error = None

    def test_where_nobody_keeps_it_there_is_nothing_to_wait_for(
        self, queues: Queues, client: Client
    ) -> None:
        for key in (b"none/sync", b"none", b"none/delay=1"):
            assert client.ask(store(b"set", key, b"1")) == b"STORED\r\n"
        assert client.ask(b"set none 0 0 1 noreply\r\n1\r\nversion\r\n") == b"VERSION 1.0.0\r\n"
        assert not queues.queues._by_name
