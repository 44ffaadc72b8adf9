"""What one client is told, in which order, and what happens to the queues meanwhile."""

import errno
import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from starling_py.journal.disk.files import Files
from starling_py.session.client import MAX_OUTPUT, Policy
from starling_py.session.session import MAX_COMMANDS
from tests.core import Client, CoreHarness
from tests.session.parts import check_put

NON_NUMERIC = b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"


class TestReading:
    def test_gets_give_items_in_the_order_they_were_put(self, client: Client) -> None:
        check_put(client, b"one", b"two")
        assert client.ask(b"get q\r\n") == b"VALUE q 0 3\r\none\r\nEND\r\n"
        assert client.ask(b"get q\r\n") == b"VALUE q 0 3\r\ntwo\r\nEND\r\n"
        assert client.ask(b"get q\r\n") == b"END\r\n"

    def test_flags_and_every_byte_of_the_data_come_back(self, client: Client) -> None:
        data = bytes(range(256)) + b"\r\nget q\r\n\0"
        client.ask(b"set q 4294967295 0 %d\r\n%b\r\n" % (len(data), data))
        expected = b"VALUE q 4294967295 %d\r\n%b\r\nEND\r\n" % (len(data), data)
        assert client.ask(b"get q\r\n") == expected

    def test_an_empty_item_is_an_item(self, client: Client) -> None:
        check_put(client, b"")
        assert client.ask(b"get q\r\n") == b"VALUE q 0 0\r\n\r\nEND\r\n"

    def test_gets_gives_the_items_id_which_grows(self, client: Client) -> None:
        check_put(client, b"a", b"b")
        assert client.ask(b"gets q\r\n") == b"VALUE q 0 1 1\r\na\r\nEND\r\n"
        assert client.ask(b"gats 5 q\r\n") == b"VALUE q 0 1 2\r\nb\r\nEND\r\n"

    def test_the_reply_repeats_the_key_with_its_options(self, client: Client) -> None:
        check_put(client, b"a")
        assert client.ask(b"get q/t=5/peek\r\n") == b"VALUE q/t=5/peek 0 1\r\na\r\nEND\r\n"
        assert client.ask(b"get q/t=0\r\n") == b"VALUE q/t=0 0 1\r\na\r\nEND\r\n"

    def test_a_peek_leaves_the_item_where_it_is(self, client: Client) -> None:
        check_put(client, b"a")
        for _ in range(3):
            assert client.ask(b"get q/peek\r\n") == b"VALUE q/peek 0 1\r\na\r\nEND\r\n"
        assert client.ask(b"get q\r\n") == b"VALUE q 0 1\r\na\r\nEND\r\n"

    def test_an_unknown_option_is_an_error_and_pops_nothing(self, client: Client) -> None:
        check_put(client, b"a")
        for key in (b"q/opne", b"q/", b"q/peek=1", b"q/t", b"q/t=", b"q/t=x", b"../x", b"/peek"):
            reply = client.ask(b"get %b\r\n" % key)
            assert reply.startswith(b"CLIENT_ERROR "), key
            assert client.ask(b"get q other %b\r\n" % key).startswith(b"CLIENT_ERROR ")
        assert client.ask(b"get q\r\n") == b"VALUE q 0 1\r\na\r\nEND\r\n"

    def test_many_keys_give_one_item_each_in_the_order_asked_for(self, client: Client) -> None:
        check_put(client, b"a1", b"a2", queue=b"a")
        check_put(client, b"c1", queue=b"c")
        expected = b"VALUE c 0 2\r\nc1\r\nVALUE a 0 2\r\na1\r\nEND\r\n"
        assert client.ask(b"get c nothing a\r\n") == expected

    def test_the_same_key_twice_is_served_once(self, client: Client) -> None:
        check_put(client, b"1", b"2")
        assert client.ask(b"get q q\r\n") == b"VALUE q 0 1\r\n1\r\nEND\r\n"
        assert client.ask(b"get q\r\n") == b"VALUE q 0 1\r\n2\r\nEND\r\n"

    def test_asking_for_unknown_queues_creates_nothing(
        self, core: CoreHarness, client: Client
    ) -> None:
        keys = b" ".join(b"unknown%d" % number for number in range(1000))
        assert client.ask(b"get %b\r\n" % keys) == b"END\r\n"
        assert client.ask(b"get ..\r\n") == b"END\r\n"
        assert list(core.queues.directory) == []

    def test_an_expired_item_is_never_given_out(self, core: CoreHarness, client: Client) -> None:
        client.ask(b"set q 0 10 3\r\nold\r\n")
        check_put(client, b"new")
        core.clock.advance(10)
        assert client.ask(b"get q\r\n") == b"VALUE q 0 3\r\nnew\r\nEND\r\n"
        client.ask(b"set q 0 -1 4\r\ndead\r\n")
        assert client.ask(b"get q\r\n") == b"END\r\n"
        assert b"STAT queue_q_expired_items 2\r\n" in client.ask(b"stats queue q\r\n")


class TestWriting:
    def test_add_stores_only_into_an_empty_queue(self, client: Client) -> None:
        assert client.ask(b"add q 0 0 1\r\n1\r\n") == b"STORED\r\n"
        assert client.ask(b"add q 0 0 1\r\n2\r\n") == b"NOT_STORED\r\n"
        client.ask(b"get q\r\n")
        assert client.ask(b"add q 0 0 1\r\n3\r\n") == b"STORED\r\n"

    @pytest.mark.parametrize(
        ("command", "reply"),
        [
            (b"replace absent 0 0 1\r\nx\r\n", b"NOT_STORED\r\n"),
            (b"append absent 0 0 1\r\nx\r\n", b"NOT_STORED\r\n"),
            (b"cas q 0 0 1 1\r\nx\r\n", b"NOT_FOUND\r\n"),
            (b"incr none 1\r\n", b"NOT_FOUND\r\n"),
            (b"decr none 1\r\n", b"NOT_FOUND\r\n"),
            (b"incr q 1\r\n", NON_NUMERIC),
            (b"decr q 1\r\n", NON_NUMERIC),
            (b"touch q 1\r\n", b"NOT_FOUND\r\n"),
        ],
    )
    def test_what_a_queue_cannot_do_gets_the_protocols_own_no(
        self, client: Client, command: bytes, reply: bytes
    ) -> None:
        check_put(client, b"1")
        assert client.ask(command) == reply
        assert client.ask(b"get q\r\n") == b"VALUE q 0 1\r\n1\r\nEND\r\n"

    def test_a_set_with_an_option_in_its_key_is_an_error(self, client: Client) -> None:
        assert client.ask(b"set q/peek 0 0 1\r\nx\r\n").startswith(b"CLIENT_ERROR ")
        assert client.ask(b"get q\r\n") == b"END\r\n"

    def test_noreply_silences_success_and_failure_and_failures_are_counted(
        self, core: CoreHarness, client: Client
    ) -> None:
        for command in (
            b"set q 0 0 1 noreply\r\nx\r\n",
            b"add q 0 0 1 noreply\r\nx\r\n",
            b"cas q 0 0 1 1 noreply\r\nx\r\n",
            b"delete unknown noreply\r\n",
            b"delete unknown 0 noreply\r\n",
            b"incr none 1 noreply\r\n",
            b"touch q 1 noreply\r\n",
            b"flush_all noreply\r\n",
            b"verbosity 1 noreply\r\n",
        ):
            assert client.ask(command) == b"", command
        assert core.counters.noreply_errors == 0
        too_large = 2 * core.policy.item_size_max
        assert client.ask(b"set q 0 0 %d noreply\r\n%b\r\n" % (too_large, bytes(too_large))) == b""
        assert client.ask(b"set q/no 0 0 1 noreply\r\nx\r\n") == b""
        assert client.ask(b"incr q 1 noreply\r\n") == b""
        assert core.counters.noreply_errors == 3
        assert client.ask(b"get q\r\n") == b"VALUE q 0 1\r\nx\r\nEND\r\n"

    def test_delete_removes_the_queue_and_a_put_makes_a_new_one(self, client: Client) -> None:
        check_put(client, b"1", b"2")
        assert client.ask(b"delete q\r\n") == b"DELETED\r\n"
        assert client.ask(b"delete q\r\n") == b"NOT_FOUND\r\n"
        assert client.ask(b"get q\r\n") == b"END\r\n"
        check_put(client, b"3")
        assert client.ask(b"delete q 0\r\nset q 0 0 1\r\n4\r\ndelete q\r\n") == (
            b"DELETED\r\nSTORED\r\nDELETED\r\n"
        )

    def test_flush_empties_one_queue_and_keeps_it(self, core: CoreHarness, client: Client) -> None:
        check_put(client, b"1", b"2")
        check_put(client, b"other", queue=b"p")
        assert client.ask(b"flush q\r\n") == b"END\r\n"
        assert client.ask(b"flush unknown\r\n") == b"END\r\n"
        assert client.ask(b"get q\r\nget p\r\n") == b"END\r\nVALUE p 0 5\r\nother\r\nEND\r\n"
        assert {queue.name for queue in core.queues.directory} == {b"q", b"p"}

    def test_flush_all_has_an_effect_only_if_the_settings_say_so(
        self, core: CoreHarness, client: Client, tmp_path: Path
    ) -> None:
        check_put(client, b"1")
        assert client.ask(b"flush_all\r\nflush_all 0\r\n") == b"OK\r\nOK\r\n"
        assert client.ask(b"get q/peek\r\n") != b"END\r\n"
        policy = replace(core.policy, allow_flush_all=True)
        other = CoreHarness(tmp_path / "other", policy=policy).client()
        check_put(other, b"1")
        assert other.ask(b"flush_all\r\n") == b"OK\r\n"
        assert other.ask(b"get q\r\n") == b"END\r\n"

    def test_flush_expired_counts_what_it_removed(self, core: CoreHarness, client: Client) -> None:
        client.ask(b"set a 0 1 1\r\nx\r\nset a 0 1 1\r\nx\r\nset b 0 1 1\r\nx\r\n")
        core.clock.advance(2)
        assert client.ask(b"flush_expired a\r\n") == b"2\r\n"
        assert client.ask(b"flush_all_expired\r\n") == b"1\r\n"


class TestBadInput:
    def test_the_first_byte_chooses_the_protocol_for_good(self, client: Client) -> None:
        noop = b"\x80\x0a" + bytes(22)
        assert client.ask(noop) == b"\x81\x0a" + bytes(22)
        assert client.ask(b"version\r\n" + noop) == b""
        assert client.state.closing

    def test_a_framing_error_closes_after_its_reply_and_runs_nothing_more(
        self, core: CoreHarness, client: Client
    ) -> None:
        check_put(client, b"1")
        reply = client.ask(b"set q 0 0 3\r\ntoolong\r\ndelete q\r\n")
        assert reply == b"CLIENT_ERROR bad data chunk\r\n"
        assert client.state.closing
        assert core.client().ask(b"get q\r\n") == b"VALUE q 0 1\r\n1\r\nEND\r\n"

    def test_other_errors_leave_the_connection_open(self, client: Client) -> None:
        for line in (b"nonsense", b"", b"get", b"delete", b"incr q x", b"get " + b"k" * 251):
            assert b"ERROR" in client.ask(line + b"\r\n")
        assert not client.state.closing

    def test_a_body_over_the_limit_is_swallowed_and_counted(
        self, core: CoreHarness, client: Client
    ) -> None:
        size = core.policy.item_size_max + 1
        reply = client.ask(b"set q 0 0 %d\r\n%b\r\nversion\r\n" % (size, bytes(size)))
        assert reply == b"SERVER_ERROR object too large for cache\r\nVERSION 1.0.0\r\n"
        assert core.counters.store_too_large == 1

    def test_shutdown_is_refused_unless_the_settings_allow_it(
        self, core: CoreHarness, client: Client, tmp_path: Path
    ) -> None:
        assert client.ask(b"shutdown\r\n") == b"ERROR: shutdown not enabled\r\n"
        assert not core.stopped
        other = CoreHarness(tmp_path / "other", policy=Policy(1, False, True))
        assert other.client().ask(b"shutdown\r\n") == b""
        assert other.stopped


class TestMuchAtOnce:
    def test_a_client_that_asks_for_much_must_read_before_it_gets_more(
        self, client: Client
    ) -> None:
        size = MAX_OUTPUT // 4
        check_put(client, *[bytes(size)] * 8)
        client.send(b"get q\r\n" * 8)
        assert client.session.stopped_early
        assert len(client.told()) < MAX_OUTPUT + 2 * size
        client.session.run()
        client.told()
        client.session.run()
        assert client.told() == b""
        assert client.ask(b"get q\r\n") == b"END\r\n"

    def test_other_clients_have_their_turn_between_many_commands(self, client: Client) -> None:
        client.send(b"version\r\n" * (2 * MAX_COMMANDS + 1))
        turns = [client.told().count(b"\r\n")]
        while client.session.stopped_early:
            client.session.run()
            turns.append(client.told().count(b"\r\n"))
        assert turns == [MAX_COMMANDS, MAX_COMMANDS, 1]


class BrokenDisk(Files):
    """Files whose writes fail for one queue while told to."""

    def __init__(self) -> None:
        self.failing: str | None = None
        self._paths: dict[int, str] = {}

    def create(self, path: str) -> int:
        descriptor = super().create(path)
        self._paths[descriptor] = path
        return descriptor

    def write(self, descriptor: int, data: bytes) -> int:
        if self.failing is not None and f"/{self.failing}/" in self._paths[descriptor]:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(descriptor, data)


class TestFailedCommits:
    @pytest.fixture
    def disk(self) -> BrokenDisk:
        return BrokenDisk()

    @pytest.fixture
    def core(self, tmp_path: Path, disk: BrokenDisk) -> CoreHarness:
        return CoreHarness(tmp_path / "spool", disk)

    def test_a_set_that_cannot_be_written_is_refused_and_leaves_nothing(
        self, disk: BrokenDisk, client: Client
    ) -> None:
        check_put(client, b"1")
        disk.failing = "q"
        reply = client.ask(b"set q 0 0 1\r\n2\r\n")
        assert reply == b"SERVER_ERROR journal cannot be written: No space left on device\r\n"
        disk.failing = None
        check_put(client, b"3")
        assert client.ask(b"get q\r\nget q\r\nget q\r\n").count(b"VALUE") == 2

    def test_a_get_whose_removal_cannot_be_written_leaves_the_item(
        self, disk: BrokenDisk, client: Client
    ) -> None:
        check_put(client, b"1")
        disk.failing = "q"
        assert client.ask(b"get q\r\n").startswith(b"SERVER_ERROR ")
        disk.failing = None
        assert client.ask(b"get q\r\n") == b"VALUE q 0 1\r\n1\r\nEND\r\n"

    def test_replies_that_do_not_depend_on_the_failed_queue_stand(
        self, disk: BrokenDisk, client: Client
    ) -> None:
        check_put(client, b"1", queue=b"p")
        check_put(client, b"1")
        disk.failing = "q"
        reply = client.ask(b"version\r\nget q p\r\nset q 0 0 1\r\nx\r\nset p 0 0 1\r\n2\r\n")
        lines = reply.split(b"\r\n")
        assert lines[:4] == [b"VERSION 1.0.0", b"VALUE p 0 1", b"1", b"END"]
        assert lines[4].startswith(b"SERVER_ERROR ")
        assert lines[5:] == [b"STORED", b""]

    def test_a_silent_set_that_fails_is_counted(
        self, core: CoreHarness, disk: BrokenDisk, client: Client
    ) -> None:
        check_put(client, b"1")
        disk.failing = "q"
        assert client.ask(b"set q 0 0 1 noreply\r\n2\r\n") == b""
        assert core.counters.noreply_errors == 1

    def test_a_new_queue_that_cannot_be_written_does_not_exist(
        self, core: CoreHarness, disk: BrokenDisk, client: Client
    ) -> None:
        disk.failing = "q"
        assert client.ask(b"set q 0 0 1\r\n2\r\n").startswith(b"SERVER_ERROR ")
        assert list(core.queues.directory) == []
        disk.failing = None
        check_put(client, b"3")


class TestReports:
    def test_every_line_of_stats_has_three_words(self, client: Client) -> None:
        check_put(client, b"1")
        for words in (b"", b" settings", b" queues", b" queue q", b" conns", b" sizes"):
            *lines, end, rest = client.ask(b"stats%b\r\n" % words).split(b"\r\n")
            assert (end, rest) == (b"END", b"")
            assert all(len(line.split(b" ")) == 3 for line in lines)

    def test_words_that_memcached_knows_are_answered_as_it_would(self, client: Client) -> None:
        for words in (b"items", b"slabs", b"cachedump 1 0", b"malloc", b"detail dump"):
            assert client.ask(b"stats %b\r\n" % words) == b"END\r\n"
        assert client.ask(b"stats detail on\r\nstats detail off\r\n") == b"OK\r\nOK\r\n"
        assert client.ask(b"stats reset\r\n") == b"RESET\r\n"
        assert client.ask(b"stats noreply\r\nstats foo\r\n") == b"ERROR\r\nERROR\r\n"

    def test_a_word_behind_the_one_that_stats_needs_is_ignored(self, client: Client) -> None:
        check_put(client, b"1")
        assert client.ask(b"stats reset x\r\n") == b"RESET\r\n"
        assert client.ask(b"stats sizes x\r\n") == client.ask(b"stats sizes\r\n")
        for words in (b"settings", b"conns", b"queues", b"queue q"):
            asked = client.ask(b"stats %b\r\n" % words)
            assert asked.endswith(b"END\r\n")
            assert client.ask(b"stats %b items\r\n" % words) == asked

    def test_the_numbers_of_a_queue_are_true(self, core: CoreHarness, client: Client) -> None:
        check_put(client, b"one", b"three")
        core.clock.advance(2.5)
        check_put(client, b"x")
        client.ask(b"get q\r\n")
        reply = client.ask(b"stats queue q\r\n")
        stats = dict(line.split()[1:] for line in reply.split(b"\r\n")[:-2])
        expected = {
            b"items": 2,
            b"bytes": 6,
            b"total_items": 3,
            b"age": 2500,
            b"get_hits": 1,
            b"waiters": 0,
            b"expired_items": 0,
            b"logsize": core.queues.directory.by_name[b"q"].journal.size,
        }
        assert {name: int(stats[b"queue_q_" + name]) for name in expected} == expected
        size_on_disk = sum(path.stat().st_size for path in Path(core_path(core)).iterdir())
        assert expected[b"logsize"] == size_on_disk

    def test_age_and_totals_survive_a_restart(self, tmp_path: Path) -> None:
        before = CoreHarness(tmp_path / "spool")
        check_put(before.client(), b"1", b"2")
        before.client().ask(b"get q\r\n")
        before.close()
        before.clock.advance(60)
        after = CoreHarness(tmp_path / "spool", clock=before.clock)
        after.commit()
        queue = after.queue_snapshot(b"q")
        assert queue is not None
        assert (queue.items, queue.total_items, queue.age) == (1, 2, 60_000)

    def test_kestrels_forms_are_blocks_of_values(self, client: Client) -> None:
        check_put(client, b"1")
        for command in (b"dump_stats", b"dump_stats q", b"dump_config"):
            lines = client.ask(command + b"\r\n").split(b"\r\n")
            assert lines[0] == b"queue 'q' {"
            assert lines[-3:] == [b"}", b"END", b""]
            assert all(line.startswith(b"  ") and line.count(b"=") == 1 for line in lines[1:-3])
        assert client.ask(b"status\r\n") == b"UP\r\n"


def core_path(core: CoreHarness) -> str:
    """Return the directory of the only queue's journal."""
    (queue,) = core.queues.directory
    return queue.journal.path


def test_replies_keep_the_order_of_commands(client: Client) -> None:
    commands = b"".join(
        b"set q 0 0 3\r\n%03d\r\nget q\r\nversion\r\n" % number for number in range(100)
    )
    expected = b"".join(
        b"STORED\r\nVALUE q 0 3\r\n%03d\r\nEND\r\nVERSION 1.0.0\r\n" % number
        for number in range(100)
    )
    client.send(commands)
    assert client.told() == expected


def test_two_clients_producers_order_is_kept(core: CoreHarness) -> None:
    producers = [core.client(), core.client()]
    for number, producer in itertools.product(range(50), producers):
        check_put(producer, b"%d" % number)
    consumer = core.client()
    got = [int(consumer.ask(b"get q\r\n").split(b"\r\n")[1]) for _ in range(100)]
    assert got == [number for number in range(50) for _ in producers]
