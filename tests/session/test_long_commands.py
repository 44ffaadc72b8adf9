"""Commands that concern many queues or items: spread over turns, nothing lost or mixed up."""

from pathlib import Path

import pytest

from tests.core import Client
from tests.queues.parts import Queues
from tests.session.parts import check_put, item, value

CHILDREN = 30


@pytest.fixture
def queues(tmp_path: Path) -> Queues:
    queues = Queues(tmp_path / "spool", {"q": {"max_open_reads": 1000}}, max_children=CHILDREN)
    queues.queues.slices.allowance = 0.0
    queues.queues.slices.at_once = 2
    return queues


@pytest.fixture
def client(queues: Queues) -> Client:
    return queues.client()


def make_children(client: Client) -> list[bytes]:
    names = [b"p+%d" % number for number in range(CHILDREN)]
    for name in names:
        assert client.ask(b"get %b\r\n" % name) == b"END\r\n"
    return names


def turn(queues: Queues, *clients: Client) -> None:
    """Do what one turn of the server does."""
    slices = queues.queues.slices
    slices.run()
    for client in clients:
        if client.session.stopped_early or client.woken:
            client.woken = 0
            slices.begin()
            client.session.run()
    queues.commits.commit()


class TestPutsWithManyCopies:
    def test_it_is_answered_when_all_have_it_and_not_before(
        self, queues: Queues, client: Client
    ) -> None:
        names = make_children(client)
        client.send(b"set p 0 0 1\r\nx\r\nversion\r\n")
        turns = 0
        while client.session.stopped_early and not client.state.replies.chunks:
            turn(queues, client)
            turns += 1
            have = [queues.queue(name).items for name in names]
            assert have == sorted(have, reverse=True)
        assert turns > CHILDREN
        assert client.told() == b"STORED\r\nVERSION 1.0.0\r\n"
        assert all(queues.take_all(name) == [b"x"] for name in [b"p", *names])

    def test_all_queues_have_the_items_of_several_clients_in_one_order(
        self, queues: Queues, client: Client
    ) -> None:
        names = make_children(client)
        clients = [queues.client() for _ in range(4)]
        for number, each in enumerate(clients):
            for put in range(2):
                each.send(b"set p 0 0 3\r\n%d.%d\r\n" % (number, put))
        while any(each.session.stopped_early for each in clients):
            turn(queues, *clients)
        assert [each.told() for each in clients] == [b"STORED\r\n" * 2] * 4
        taken = [queues.take_all(name) for name in [b"p", *names]]
        assert taken == [taken[0]] * (CHILDREN + 1)
        for number in range(4):
            own = [data for data in taken[0] if data.startswith(b"%d." % number)]
            assert own == sorted(own)

    def test_it_is_finished_though_its_client_hangs_up(
        self, queues: Queues, client: Client
    ) -> None:
        names = make_children(client)
        client.send(b"set p 0 0 1\r\nx\r\n")
        for _ in range(CHILDREN + 10):
            turn(queues, client)
        assert 0 < sum(queues.queue(name).items for name in names) < CHILDREN
        client.session.disconnected()
        queues.commit()
        assert all(queues.take_all(name) == [b"x"] for name in [b"p", *names])
        assert not queues.queues.directory.deliveries

    def test_a_child_that_is_deleted_meanwhile_gets_no_copy_and_stays_away(
        self, queues: Queues, client: Client
    ) -> None:
        names = make_children(client)
        client.send(b"set p 0 0 1\r\nx\r\n")
        turn(queues, client)
        other = queues.client()
        assert other.ask(b"delete %b\r\n" % names[-1]) == b"DELETED\r\n"
        assert client.told() == b"STORED\r\n"
        assert queues.queues.directory.find(names[-1]) is None
        assert all(queues.take_all(name) == [b"x"] for name in names[:-1])

    def test_a_commit_that_fails_in_the_middle_is_told_of_at_the_end(
        self, queues: Queues, client: Client
    ) -> None:
        make_children(client)
        client.send(b"set p 0 0 1\r\nx\r\nversion\r\n")
        while not queues.commits.touched:
            turn(queues)
            client.session.run()
        queues.failing.error = OSError(28, "No space left on device")
        client.session.revoke(queues.commits.commit().failed)
        queues.failing.error = None
        told = client.told()
        assert told.startswith(b"SERVER_ERROR ")
        assert told.endswith(b"\r\nVERSION 1.0.0\r\n")
        assert told.count(b"\r\n") == 2
        assert queues.counters.total_items == 0

    def test_one_child_that_is_full_keeps_it_from_all(self, tmp_path: Path) -> None:
        queues = Queues(tmp_path / "full", {"p+29": {"max_items": 1}})
        client = queues.client()
        names = make_children(client)
        queues.queues.slices.allowance, queues.queues.slices.at_once = 0.0, 2
        check_put(client, b"in the way", queue=names[-1])
        assert client.ask(b"set p 0 0 1\r\nx\r\n") == b"NOT_STORED\r\n"
        assert not any(queues.queue(name).items for name in names[:-1])
        assert queues.queues.directory.find(b"p") is None

    def test_clients_make_no_more_children_than_there_may_be(
        self, queues: Queues, client: Client
    ) -> None:
        make_children(client)
        refused = b"SERVER_ERROR the queue has 30 children, and may have no more\r\n"
        assert client.ask(b"get p+more\r\n") == refused
        assert client.ask(b"set p+more 0 0 1\r\nx\r\n") == refused
        assert client.ask(b"get p+1\r\n") == b"END\r\n"
        assert client.ask(b"get other+more\r\n") == b"END\r\n"


class TestGetsOfManyKeys:
    def test_each_key_is_served_over_many_turns(self, queues: Queues, client: Client) -> None:
        names = [b"k%d" % number for number in range(40)]
        for name in names[::2]:
            check_put(client, name, queue=name)
        client.turns = 0
        reply = client.ask(b"get %b\r\n" % b" ".join(names))
        assert reply == b"".join(value(name, name) for name in names[::2]) + b"END\r\n"
        assert client.turns > 40
        counters = queues.counters
        assert (counters.cmd_get, counters.get_hits, counters.get_misses) == (40, 20, 20)

    def test_what_it_closes_is_closed_though_each_close_is_a_step(
        self, queues: Queues, client: Client
    ) -> None:
        check_put(client, *[b"%d" % number for number in range(20)])
        for _ in range(20):
            client.ask(b"get q/open\r\n")
        asked = b"get " + b"q/close " * 19 + b"none\r\n"
        assert client.ask(asked) == b"END\r\n"
        assert [read.item.data for read in client.state.holder.reads()] == [b"19"]

    def test_a_wrong_key_at_the_end_is_found_before_anything_is_done(
        self, queues: Queues, client: Client
    ) -> None:
        check_put(client, b"1", b"2")
        client.ask(b"get q/open\r\n")
        asked = b"get q/close " + b" ".join(b"k%d" % each for each in range(20)) + b" x/opne\r\n"
        assert client.ask(asked).startswith(b"CLIENT_ERROR ")
        assert client.state.holder.count(b"q") == 1

    def test_a_get_waits_for_a_bounded_number_of_queues(self, client: Client) -> None:
        names = [b"k%d" % number for number in range(1001)]
        reply = client.ask(b"get k0/t=1000 %b\r\n" % b" ".join(names[1:]))
        assert reply == b"CLIENT_ERROR a get can wait for 1000 queues at most\r\n"
        assert client.ask(b"get k0/t=1000 %b\r\n" % b" ".join(names[1:1000])) == b""
        assert client.state.waiting

    def test_what_comes_while_it_looks_is_not_waited_for(
        self, queues: Queues, client: Client
    ) -> None:
        names = [b"k%d" % number for number in range(20)]
        client.send(b"get k0/t=1000 %b\r\n" % b" ".join(names[1:]))
        while client.session.stopped_early:
            turn(queues, client)
            if not queues.queues.directory.find(b"k0"):
                queues.put_uncommitted(b"k0")
        assert client.told() == value(b"k0/t=1000", b"x") + b"END\r\n"

    def test_a_peek_goes_no_faster_than_the_client_reads(
        self, queues: Queues, client: Client
    ) -> None:
        queues.queues.slices.allowance = float("inf")
        datas = [b"%03d" % number + bytes(100_000) for number in range(50)]
        queues.put(b"big", *datas)
        client.send(b"get big/peek/n=50\r\n")
        assert client.state.replies.size < 5_000_000
        assert client.session.stopped_early
        key = b"big/peek/n=50"
        assert client.told() == b"".join(value(key, data) for data in datas) + b"END\r\n"

    def test_a_get_of_large_items_gives_all_of_them(self, queues: Queues, client: Client) -> None:
        names = [b"k%d" % number for number in range(4)]
        for name in names:
            queues.put(name, name + bytes(600_000))
        reply = client.ask(b"get %b\r\n" % b" ".join(names))
        assert reply == b"".join(value(name, name + bytes(600_000)) for name in names) + b"END\r\n"


class TestAllQueues:
    def test_flush_all_empties_one_queue_after_the_other(self, tmp_path: Path) -> None:
        queues = Queues(tmp_path / "spool")
        queues.policy = type(queues.policy)(1 << 20, True, False)
        client = queues.client()
        names = [b"k%d" % number for number in range(30)]
        for name in names:
            check_put(client, b"1", queue=name)
        queues.queues.slices.allowance, queues.queues.slices.at_once = 0.0, 2
        client.send(b"flush_all\r\n")
        turn(queues, client)
        assert 0 < sum(queues.queue(name).items for name in names) < 30
        assert client.told() == b"OK\r\n"
        assert not any(queues.queue(name).items for name in names)

    @pytest.mark.parametrize("question", [b"stats", b"stats queues", b"dump_stats", b"dump_config"])
    def test_a_report_is_the_same_in_slices(
        self, queues: Queues, client: Client, question: bytes
    ) -> None:
        for number in range(30):
            check_put(client, b"1", queue=b"k%d" % number)
        client.turns = 0
        sliced = client.ask(question + b"\r\n")
        assert client.turns > 30
        queues.queues.slices.allowance = float("inf")
        assert client.ask(question + b"\r\n") == sliced

    def test_dead_items_go_in_slices_and_are_all_counted(
        self, queues: Queues, client: Client
    ) -> None:
        for _ in range(30):
            queues.put(b"e", b"dead", exptime=1)
        queues.put(b"e", b"alive")
        queues.clock.advance(2)
        assert client.ask(b"flush_expired e\r\n") == b"30\r\n"
        assert client.ask(b"get e\r\n") == item(b"e", b"alive")

    def test_a_get_waits_until_the_dead_items_before_its_own_are_gone(
        self, queues: Queues, client: Client
    ) -> None:
        for _ in range(30):
            queues.put(b"e", b"dead", exptime=1)
        queues.put(b"e", b"alive")
        queues.clock.advance(2)
        client.turns = 0
        assert client.ask(b"get e\r\n") == item(b"e", b"alive")
        assert client.turns > 3
        assert queues.numbers(b"e").expired_items == 30


def test_what_a_client_had_open_that_is_gone_comes_back_in_its_order(
    queues: Queues, client: Client
) -> None:
    datas = [b"%d" % number for number in range(20)]
    check_put(client, *datas)
    for _ in range(20):
        client.ask(b"get q/open\r\n")
    client.session.disconnected()
    assert queues.queue(b"q").open_reads
    queues.commit()
    assert queues.take_all(b"q") == datas
