"""What ends an open read, and its lease: close, abort, touch, confirm, and that they may fail."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starling_py.queues.open_reads import ReadHolder
from tests.core import Client
from tests.queues.parts import Queues
from tests.session.parts import NO_ROOM, item, on_a_full_disk, value


@pytest.fixture
def queues(tmp_path: Path) -> Queues:
    return Queues(tmp_path / "spool", {"few": {"max_open_reads": 2}})


@pytest.fixture
def client(queues: Queues) -> Client:
    return queues.client()


class TestSharedConnection:
    """Behind a proxy, one connection has the reads of several clients."""

    @pytest.fixture
    def queues(self, tmp_path: Path) -> Queues:
        return Queues(tmp_path / "spool", {"q": {"close_by_id": True}})

    @pytest.mark.parametrize(
        "command",
        [b"get q/close", b"get q/abort", b"get q/close/open", b"touch q 0", b"confirm q 1"],
    )
    def test_it_is_not_guessed_whose_read_is_meant(
        self, queues: Queues, client: Client, command: bytes
    ) -> None:
        queues.put(b"q", b"1", b"2", b"3")
        client.ask(b"get q/open\r\nget q/open\r\n")
        refused = b"CLIENT_ERROR 2 reads of this queue are open; name the item by its id\r\n"
        assert client.ask(command + b"\r\n") == refused
        assert [read.item.data for read in client.state.holder.reads()] == [b"1", b"2"]

    def test_an_id_or_a_single_read_leaves_nothing_to_guess(
        self, queues: Queues, client: Client
    ) -> None:
        queues.put(b"q", b"1", b"2")
        client.ask(b"get q/open\r\nget q/open\r\n")
        assert client.ask(b"get q/close=2\r\nget q/close\r\n") == b"END\r\n" * 2
        assert client.state.holder.reads() == []

    def test_without_the_setting_the_oldest_is_meant(self, client: Client, queues: Queues) -> None:
        queues.put(b"other", b"1", b"2")
        client.ask(b"get other/open\r\nget other/open\r\n")
        assert client.ask(b"get other/close\r\n") == b"END\r\n"
        assert [read.item.data for read in client.state.holder.reads()] == [b"2"]


class TestClosing:
    def test_close_confirms_the_oldest_and_says_end_also_when_there_is_none(
        self, queues: Queues, client: Client
    ) -> None:
        queues.put(b"q", b"1", b"2")
        assert client.ask(b"get q/close\r\nget none/close\r\n") == b"END\r\n" * 2
        client.ask(b"get q/open\r\nget q/open\r\n")
        assert client.ask(b"get q/close\r\n") == b"END\r\n"
        client.session.disconnected()
        assert queues.take_all(b"q") == [b"2"]

    def test_close_and_open_closes_also_when_nothing_is_left(
        self, queues: Queues, client: Client
    ) -> None:
        queues.put(b"q", b"1")
        client.ask(b"get q/open\r\n")
        assert client.ask(b"get q/close/open\r\n") == b"END\r\n"
        client.session.disconnected()
        assert queues.numbers(b"q").items == 0

    def test_with_an_id_any_read_of_the_client_can_be_closed_or_aborted(
        self, queues: Queues, client: Client
    ) -> None:
        queues.put(b"q", b"1", b"2", b"3")
        client.ask(b"get q/open\r\n" * 3)
        assert client.ask(b"get q/close=2\r\nget q/abort=3\r\n") == b"END\r\n" * 2
        assert client.ask(b"get q/close=2\r\n") == b"CLIENT_ERROR item 2 is not open\r\n"
        assert queues.take_all(b"q") == [b"3"]
        assert client.state.holder.count(b"q") == 1

    def test_a_read_without_a_lease_is_nobody_elses_to_end(
        self, queues: Queues, client: Client
    ) -> None:
        queues.put(b"q", b"1", b"2")
        client.ask(b"get q/open\r\nget q/open/lease=60\r\n")
        other = queues.client()
        reply = other.ask(b"get q/close=1\r\nget q/abort=1\r\nget q/close=2\r\n")
        refusal = b"CLIENT_ERROR item 1 was opened elsewhere, without a lease\r\n"
        assert reply == refusal * 2 + b"END\r\n"
        assert client.state.holder.count(b"q") == 1

    def test_closing_one_by_its_id_makes_room_for_another_read(
        self, queues: Queues, client: Client
    ) -> None:
        queues.put(b"few", b"1", b"2", b"3")
        client.ask(b"get few/open\r\n" * 2)
        assert client.ask(b"get few/open\r\n").startswith(b"CLIENT_ERROR 2 reads ")
        key = b"few/close=2/open"
        assert client.ask(b"get %b\r\n" % key) == item(key, b"3")
        assert client.ask(b"get few/close/open\r\n") == b"END\r\n"

    @pytest.mark.parametrize("option", [b"close", b"abort"])
    @pytest.mark.parametrize("journal", [True, False], ids=["on disk", "in memory"])
    @pytest.mark.parametrize("restart", [False, True], ids=["same server", "after a restart"])
    def test_an_id_of_a_queue_that_is_gone_ends_no_read_of_the_next_one(
        self, tmp_path: Path, option: bytes, journal: bool, restart: bool
    ) -> None:
        entries: dict[str, dict[str, object]] = {"gone": {"journal": journal}}
        queues = Queues(tmp_path / "gone", entries)
        queues.put(b"gone", b"old")
        old_id = queues.open(b"gone", ReadHolder(), 60).item.id
        if journal or not restart:
            assert queues.client().ask(b"delete gone\r\n") == b"DELETED\r\n"
        if restart:
            queues.clock.advance(0.001)
            queues.close()
            queues = Queues(tmp_path / "gone", entries, clock=queues.clock)
        queues.put(b"gone", b"new")
        queues.open(b"gone", ReadHolder(), 60)
        reply = queues.client().ask(b"get gone/%b=%d\r\n" % (option, old_id))
        assert reply == b"CLIENT_ERROR item %d is not open\r\n" % old_id
        queues.pass_time(60)
        assert queues.take_all(b"gone") == [b"new"]

    def test_an_id_that_is_named_twice_ends_nothing(self, queues: Queues, client: Client) -> None:
        queues.put(b"q", b"1")
        client.ask(b"get q/open\r\n")
        for keys in (b"q/close=1 q/close=1", b"q/close q/abort=1", b"q/close q/close=7"):
            assert client.ask(b"get %b\r\n" % keys).startswith(b"CLIENT_ERROR item ")
            assert client.state.holder.count(b"q") == 1
        assert client.ask(b"get q/close q/close\r\n") == b"END\r\n"
        assert not client.state.holder

    def test_a_disconnect_gives_back_what_has_no_lease(
        self, queues: Queues, client: Client
    ) -> None:
        queues.put(b"q", b"1", b"2", b"3")
        client.ask(b"get q/open\r\nget q/open/lease=60\r\nget q/open\r\n")
        client.session.disconnected()
        assert queues.take_all(b"q") == [b"1", b"3"]
        queues.pass_time(60)
        assert queues.take_all(b"q") == [b"2"]

    def test_a_disconnect_serves_who_waits_in_the_order_of_the_items(
        self, queues: Queues, client: Client
    ) -> None:
        queues.put(b"q", b"1", b"2")
        other = queues.client()
        other.ask(b"get q/open\r\n")
        client.ask(b"get q/open\r\n")
        other.ask(b"get q/abort\r\n")
        client.ask(b"get q/open\r\n")
        waiting = [queues.client() for _ in range(2)]
        for each in waiting:
            each.ask(b"get q/t=1000\r\n")
        client.session.disconnected()
        assert [each.told() for each in waiting] == [
            item(b"q/t=1000", b"1"),
            item(b"q/t=1000", b"2"),
        ]


class TestFailures:
    def test_a_close_and_an_open_that_fail_together_get_one_error(
        self, queues: Queues, client: Client
    ) -> None:
        queues.put(b"q", b"1", b"2")
        client.ask(b"get q/open\r\n")
        reply = on_a_full_disk(queues, client, b"get q/close/open\r\nversion\r\n")
        assert reply == NO_ROOM + b"VERSION 1.0.0\r\n"
        assert [read.item.data for read in client.state.holder.reads()] == [b"1"]
        assert queues.counters.get_hits == 1
        assert client.ask(b"get q/close/open\r\n") == item(b"q/close/open", b"2")

    def test_a_failed_close_takes_no_other_queues_item_from_the_client(
        self, queues: Queues, client: Client
    ) -> None:
        queues.put(b"a", b"1")
        queues.put(b"b", b"2")
        client.ask(b"get a/open\r\n")
        reply = on_a_full_disk(queues, client, b"get a/close b\r\n", only="/a/")
        assert reply == value(b"b", b"2") + NO_ROOM
        assert client.state.holder.count(b"a") == 1

    def test_a_close_that_failed_before_is_not_told_of_in_a_later_reply(
        self, queues: Queues, client: Client
    ) -> None:
        queues.put(b"a", b"1")
        queues.put(b"b", b"1")
        client.ask(b"get a/open\r\nget b/open\r\n")
        queues.queue(b"b").journal.recorder.broken = "b is broken"
        command = b"get a/close b/close\r\nget none/close\r\n"
        reply = on_a_full_disk(queues, client, command, only="/a/")
        assert reply == b"SERVER_ERROR b is broken\r\nEND\r\n"

    def test_a_close_that_fails_while_the_client_waits_ends_the_wait(
        self, queues: Queues, client: Client
    ) -> None:
        queues.put(b"q", b"1")
        client.ask(b"get q/open\r\n")
        command = b"get q/close/open/t=60000\r\nversion\r\n"
        reply = on_a_full_disk(queues, client, command)
        assert reply == NO_ROOM + b"VERSION 1.0.0\r\n"
        assert not queues.queues.waiters.waiting

    def test_a_safe_close_is_not_undone_by_what_fails_while_its_client_waits(
        self, queues: Queues, client: Client
    ) -> None:
        queues.put(b"q", b"1")
        client.ask(b"get q/open\r\n")
        assert client.ask(b"get q/close/open/t=60000\r\n") == b""
        queues.queue(b"q").make()
        assert on_a_full_disk(queues, client, b"") == b""
        queues.put(b"q", b"2")
        assert client.told() == item(b"q/close/open/t=60000", b"2")


class TestLeases:
    @pytest.mark.parametrize(
        ("command", "key"),
        [
            (b"gat 10 q", b"q"),
            (b"get q/open/lease=10", b"q/open/lease=10"),
            (b"gat 99 q/open/lease=10", b"q/open/lease=10"),
            (b"gat 1700000010 q", b"q"),
        ],
    )
    def test_a_lease_is_given_in_many_ways(
        self, queues: Queues, client: Client, command: bytes, key: bytes
    ) -> None:
        queues.put(b"q", b"1")
        assert client.ask(command + b"\r\n") == item(key, b"1")
        queues.pass_time(9.5)
        assert queues.take(b"q") is None
        queues.pass_time(0.5)
        assert queues.take(b"q") == b"1"

    @pytest.mark.parametrize("again", [b"", b"touch q 1700000020"])
    def test_a_lease_up_to_a_unix_time_ends_then_though_the_clock_was_behind(
        self, queues: Queues, client: Client, again: bytes
    ) -> None:
        queues.put(b"q", b"1")
        queues.clock.wall_ms -= 7 * 86_400_000
        client.ask(b"gat 1700000010 q\r\n")
        if again:
            assert client.ask(again + b"\r\n") == b"TOUCHED\r\n"
        ends = 20 if again else 10
        queues.clock.wall_ms += 7 * 86_400_000 + ends * 1000 - 1
        queues.pass_time(0)
        assert queues.take(b"q") is None
        queues.clock.wall_ms += 1
        queues.pass_time(0)
        assert queues.take(b"q") == b"1"

    def test_a_lease_of_some_seconds_lasts_so_long_though_the_clock_jumps(
        self, queues: Queues, client: Client
    ) -> None:
        queues.put(b"q", b"1")
        client.ask(b"get q/open/lease=10\r\n")
        queues.clock.wall_ms += 86_400_000
        queues.pass_time(9.9)
        assert queues.take(b"q") is None
        queues.pass_time(0.1)
        assert queues.take(b"q") == b"1"

    @pytest.mark.parametrize("key", [b"q/peek", b"q/close", b"q/abort", b"q/close=1"])
    def test_a_gat_that_would_open_nothing_is_an_error(
        self, queues: Queues, client: Client, key: bytes
    ) -> None:
        queues.put(b"q", b"1", b"2")
        client.ask(b"get q/open\r\n")
        assert client.ask(b"gat 10 %b\r\n" % key).startswith(b"CLIENT_ERROR ")
        assert client.state.holder.count(b"q") == 1

    def test_touch_gives_the_oldest_read_a_new_lease_or_ends_it(
        self, queues: Queues, client: Client
    ) -> None:
        queues.put(b"q", b"1", b"2")
        assert client.ask(b"touch q 10\r\n") == b"NOT_FOUND\r\n"
        client.ask(b"gat 10 q\r\nget q/open\r\n")
        queues.pass_time(9)
        assert client.ask(b"touch q 10\r\n") == b"TOUCHED\r\n"
        queues.pass_time(9)
        assert client.state.holder.count(b"q") == 2
        assert client.ask(b"touch q 0\r\n") == b"TOUCHED\r\n"
        queues.pass_time(1000)
        assert client.state.holder.count(b"q") == 2
        assert client.ask(b"touch q -1 noreply\r\n") == b""
        assert queues.take_all(b"q") == [b"1"]
        assert client.ask(b"touch q/open 1\r\n").startswith(b"CLIENT_ERROR ")
        counters = queues.counters
        assert (counters.touch_hits, counters.touch_misses, counters.cmd_touch) == (3, 1, 5)


def test_confirm_takes_the_oldest_so_many_or_none(queues: Queues, client: Client) -> None:
    queues.put(b"q", b"1", b"2", b"3")
    client.ask(b"monitor q 0\r\n")
    assert client.ask(b"confirm q 4\r\nconfirm q 0\r\n") == b"ERROR\r\n" * 2
    assert on_a_full_disk(queues, client, b"confirm q 2\r\n") == NO_ROOM
    assert client.state.holder.count(b"q") == 3
    assert client.ask(b"confirm q 2\r\n") == b"END\r\n"
    client.session.disconnected()
    assert queues.take_all(b"q") == [b"3"]


KEYS = st.sampled_from(
    ["q", "q/open", "q/close", "q/close/open", "q/abort", "q/peek", "q/close=%d", "q/abort=%d"]
)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 2), KEYS, st.integers(1, 5)), max_size=40))
def test_whatever_clients_open_and_end_no_item_is_lost_or_given_to_two(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, str, int]]
) -> None:
    queues = Queues(tmp_path_factory.mktemp("spool"))
    queues.put(b"q", *(b"%d" % number for number in range(1, 6)))
    clients = [queues.client() for _ in range(3)]
    waiting, done = [1, 2, 3, 4, 5], set[int]()
    held: list[list[int]] = [[], [], []]
    for who, key, number in steps:
        asked = (key % number if "%" in key else key).encode()
        reply = clients[who].ask(b"get %b\r\n" % asked)
        own = held[who]
        named = "=" in key
        takes, opens = key in ("q", "q/open", "q/close/open"), "open" in key
        if (named and number not in own) or (key == "q" and own):
            assert reply.startswith(b"CLIENT_ERROR "), (key, reply)
            continue
        if ("close" in key or "abort" in key) and own:
            ended = number if named else own[0]
            own.remove(ended)
            if "close" in key:
                done.add(ended)
            else:
                waiting = sorted([*waiting, ended])
        if (takes or "peek" in key) and waiting:
            assert reply == item(asked, b"%d" % waiting[0])
            if takes:
                (own.append if opens else done.add)(waiting.pop(0))
        else:
            assert reply == b"END\r\n"
    for client in clients:
        client.session.disconnected()
    assert queues.take_all(b"q") == [b"%d" % each for each in range(1, 6) if each not in done]
    queues.close()
