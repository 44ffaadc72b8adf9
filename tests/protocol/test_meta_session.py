"""Meta commands against real queues: the replies byte for byte."""

import errno
from pathlib import Path

import pytest

from starling_py.journal.disk.files import Files
from starling_py.queues.queue_directory import Rules
from starling_py.session.client import Policy
from starling_py.settings.queue_table import QueueTable
from tests.core import Client, CoreHarness

INVALID_FLAG = b"CLIENT_ERROR invalid flag\r\n"


def check_put(client: Client, *items: bytes, queue: bytes = b"q") -> None:
    for item in items:
        assert client.ask(b"ms %b %d\r\n%b\r\n" % (queue, len(item), item)) == b"HD\r\n"


class TestGet:
    def test_the_samples_of_memcached(self, client: Client) -> None:
        client.ask(b"ms a 1 F0\r\nx\r\n")
        assert client.ask(b"mg a v f k O12\r\n") == b"VA 1 f0 ka O12\r\nx\r\n"
        assert client.ask(b"mg a v\r\n") == b"EN\r\n"
        assert client.ask(b"ms a 1 q\r\nx\r\n") == b""
        assert client.ask(b"md a\r\nmd a\r\n") == b"HD\r\nNF\r\n"
        assert client.ask(b"mg a v z\r\n") == INVALID_FLAG

    def test_items_come_out_in_their_order_with_every_byte(self, client: Client) -> None:
        data = bytes(range(256)) + b"\r\nmg q v\r\n"
        check_put(client, data, b"")
        assert client.ask(b"mg q v\r\n") == b"VA %d\r\n%b\r\n" % (len(data), data)
        assert client.ask(b"mg q v s\r\n") == b"VA 0 s0\r\n\r\n"
        assert client.ask(b"mg q v\r\n") == b"EN\r\n"

    def test_what_a_get_tells_comes_in_the_order_asked_for(
        self, core: CoreHarness, client: Client
    ) -> None:
        client.ask(b"ms q 2 F7 T60\r\nhi\r\n")
        core.clock.advance(10)
        assert client.ask(b"mg q f k s t c O1 h l\r\n") == b"HD f7 kq s2 t50 c1 O1 h0 l10\r\n"
        reply = b"VA 2 l10 h0 Oab c1 t50 s2 kq f7\r\nhi\r\n"
        assert client.ask(b"mg q l h v Oab c t s k f\r\n") == reply

    def test_the_time_left_is_rounded_up_and_minus_one_for_ever(
        self, core: CoreHarness, client: Client
    ) -> None:
        client.ask(b"ms q 1 T2\r\na\r\nms q 1\r\nb\r\n")
        core.clock.advance(0.5)
        assert client.ask(b"mg q v t l\r\n") == b"VA 1 t2 l0\r\na\r\n"
        assert client.ask(b"mg q v t l\r\n") == b"VA 1 t-1 l0\r\nb\r\n"

    def test_without_v_nothing_is_ever_taken(self, client: Client) -> None:
        assert client.ask(b"mg q\r\nmg q q\r\nmg q k O1\r\n") == b"EN\r\nEN kq O1\r\n"
        check_put(client, b"a")
        for line in (b"mg q", b"mg q q", b"mg q/peek", b"mg q/t=5", b"MG q"):
            assert client.ask(line + b"\r\n") == b"HD\r\n"
        assert client.ask(b"mg q/open\r\n").startswith(b"CLIENT_ERROR mg without v takes no")
        assert client.ask(b"mg q/oepn\r\n") == b"CLIENT_ERROR unknown option /oepn\r\n"
        assert client.ask(b"mg q s\r\n") == b"HD s1\r\n"
        assert client.ask(b"mg q v\r\n") == b"VA 1\r\na\r\n"

    def test_a_miss_tells_key_and_opaque_and_quietly_nothing(self, client: Client) -> None:
        assert client.ask(b"mg q v f k s O7\r\n") == b"EN kq O7\r\n"
        assert client.ask(b"mg q v k O7 q\r\nmg q/peek q\r\nmn\r\n") == b"MN\r\n"

    def test_a_multi_get_of_dalli(self, client: Client) -> None:
        check_put(client, b"1", queue=b"a")
        check_put(client, b"3", queue=b"c")
        asked = b"".join(b"mg %b v f k q s\r\n" % key for key in (b"a", b"b", b"c")) + b"mn\r\n"
        assert client.ask(asked) == b"VA 1 f0 ka s1\r\n1\r\nVA 1 f0 kc s1\r\n3\r\nMN\r\n"

    def test_a_peek_with_v_looks_and_n_is_refused(self, client: Client) -> None:
        check_put(client, b"a", b"b")
        assert client.ask(b"mg q/peek v k\r\n" * 2) == b"VA 1 kq/peek\r\na\r\n" * 2
        assert client.ask(b"mg q/peek/n=2 v\r\n").startswith(b"CLIENT_ERROR mg gives one item")
        assert client.ask(b"mg q/peek/n=1 v\r\n") == b"VA 1\r\na\r\n"

    def test_a_wait_is_over_when_an_item_comes_or_the_time_is_up(
        self, core: CoreHarness, client: Client
    ) -> None:
        assert client.ask(b"mg q/t=500 v c k\r\nmn\r\n") == b""
        check_put(core.client(), b"a")
        assert client.ask(b"") == b"VA 1 c1 kq/t=500\r\na\r\nMN\r\n"
        for quiet, reply in ((b"", b"EN\r\n"), (b" q", b"")):
            assert client.ask(b"mg q/t=500 v%b\r\nmn\r\n" % quiet) == b""
            core.clock.advance(1)
            core.queues.run_due()
            assert client.told() == reply + b"MN\r\n"

    def test_without_v_one_may_wait_until_there_is_something(
        self, core: CoreHarness, client: Client
    ) -> None:
        assert client.ask(b"mg q/t=500 s\r\n") == b""
        check_put(core.client(), b"abc")
        assert client.told() == b"HD s3\r\n"
        assert client.ask(b"mg q v\r\n") == b"VA 3\r\nabc\r\n"


class TestReliableReads:
    def test_open_abort_open_close(self, client: Client) -> None:
        check_put(client, b"a")
        assert client.ask(b"mg q/open v c h\r\n") == b"VA 1 c1 h0\r\na\r\n"
        assert client.ask(b"mg q/abort\r\n") == b"HD\r\n"
        assert client.ask(b"mg q h\r\n") == b"HD h1\r\n"
        assert client.ask(b"mg q/open v c h\r\n") == b"VA 1 c1 h1\r\na\r\n"
        assert client.ask(b"mg q/close k O1 q\r\n") == b"HD kq/close O1\r\n"
        assert client.ask(b"mg q\r\n") == b"EN\r\n"

    def test_an_item_that_came_back_is_told_apart_when_it_is_taken(self, client: Client) -> None:
        check_put(client, b"a")
        client.ask(b"mg q/open v\r\nmg q/abort\r\n")
        assert client.ask(b"mg q v h\r\n") == b"VA 1 h1\r\na\r\n"

    def test_a_close_that_wants_a_value_gives_none(self, client: Client) -> None:
        assert client.ask(b"mg q/close v\r\nmg q/close v q\r\nmg q/close\r\n") == b"EN\r\nHD\r\n"

    def test_close_and_open_in_one(self, client: Client) -> None:
        check_put(client, b"a", b"b")
        assert client.ask(b"mg q/open v\r\nmg q/close/open v\r\n") == b"VA 1\r\na\r\nVA 1\r\nb\r\n"
        assert client.ask(b"mg q/close/open v\r\n") == b"EN\r\n"

    def test_an_item_of_somebody_else_is_closed_by_its_id(
        self, core: CoreHarness, client: Client
    ) -> None:
        check_put(client, b"a")
        assert client.ask(b"mg q/open/lease=9 v c\r\n") == b"VA 1 c1\r\na\r\n"
        assert core.client().ask(b"mg q/close=1\r\nmg q/close=1\r\n") == (
            b"HD\r\nCLIENT_ERROR item 1 is not open\r\n"
        )

    def test_a_lease_is_taken_touched_and_over(self, core: CoreHarness, client: Client) -> None:
        check_put(client, b"a")
        assert client.ask(b"mg q v T5\r\n") == b"VA 1\r\na\r\n"
        core.clock.advance(4)
        assert client.ask(b"mg q T5 k O1\r\n") == b"HD kq O1\r\n"
        core.clock.advance(4)
        core.queues.run_due()
        assert client.ask(b"mg q/peek v\r\n") == b"EN\r\n"
        core.clock.advance(2)
        core.queues.run_due()
        assert client.ask(b"mg q T5\r\nmg q T5 q\r\n") == b"EN\r\n"
        assert client.ask(b"mg q v h\r\n") == b"VA 1 h1\r\na\r\n"

    def test_a_lease_and_a_close_do_not_go_together(self, client: Client) -> None:
        reply = b"CLIENT_ERROR gat opens an item; this key does not\r\n"
        assert client.ask(b"mg q/close v T5\r\nmg q/peek v T5 q\r\n") == reply * 2

    def test_an_open_read_forbids_a_plain_get(self, client: Client) -> None:
        check_put(client, b"a", b"b")
        client.ask(b"mg q/open v\r\n")
        assert client.ask(b"mg q v q\r\n").startswith(b"CLIENT_ERROR a read of this queue is open")
        assert client.ask(b"mg q\r\n") == b"HD\r\n"


class TestStore:
    def test_the_id_is_the_items_own(self, client: Client) -> None:
        for number in range(1, 4):
            assert client.ask(b"ms q 1 c\r\na\r\n") == b"HD c%d\r\n" % number
        assert client.ask(b"ms q 1 c MP\r\nb\r\n") == b"HD c4\r\n"
        assert client.ask(b"ms q/sync 1 k c\r\nb\r\n") == b"HD kq/sync c5\r\n"
        assert client.ask(b"mg q v c\r\n" * 2) == b"VA 1 c4\r\nb\r\nVA 1 c1\r\na\r\n"

    def test_the_id_of_an_item_that_somebody_waited_for(
        self, core: CoreHarness, client: Client
    ) -> None:
        waiting = core.client()
        waiting.ask(b"mg q/t=500 v c\r\n")
        assert client.ask(b"ms q 1 c\r\na\r\n") == b"HD c1\r\n"
        assert waiting.told() == b"VA 1 c1\r\na\r\n"

    def test_what_a_store_tells_comes_in_the_order_asked_for(self, client: Client) -> None:
        assert client.ask(b"ms q 2 s O1 k c F5\r\nhi\r\n") == b"HD s2 O1 kq c1\r\n"
        assert client.ask(b"ms q 2 s k O1 ME\r\nhi\r\n") == b"NS s2 kq O1\r\n"

    def test_the_modes(self, client: Client) -> None:
        assert client.ask(b"ms q 1 MR\r\na\r\nms q 1 MA\r\na\r\n") == b"NS\r\n" * 2
        assert client.ask(b"ms q 1 ME\r\n2\r\nms q 1 ME\r\nx\r\n") == b"HD\r\nNS\r\n"
        assert client.ask(b"ms q 1 MS\r\n3\r\nms q 1 MP\r\n1\r\n") == b"HD\r\n" * 2
        assert client.ask(b"ms q 1 MR\r\n4\r\nms q 1 MA\r\n5\r\n") == b"HD\r\n" * 2
        got = client.ask(b"mg q v\r\n" * 6)
        assert got == b"".join(b"VA 1\r\n%d\r\n" % number for number in range(1, 6)) + b"EN\r\n"

    def test_what_is_appended_with_n_makes_the_queue(self, client: Client) -> None:
        assert client.ask(b"ms q 1 MA N0\r\n1\r\nms q 1 MA N0 T9\r\n2\r\n") == b"HD\r\n" * 2
        assert client.ask(b"ms q 1 MP N60\r\n0\r\nms q 1 N9\r\n3\r\n") == b"HD\r\n" * 2
        told = client.ask(b"mg q v t\r\n" * 4)
        assert told == b"VA 1 t60\r\n0\r\n" + b"".join(
            b"VA 1 t-1\r\n%d\r\n" % number for number in (1, 2, 3)
        )

    def test_a_compare_finds_nothing_and_stores_nothing(self, client: Client) -> None:
        check_put(client, b"a")
        assert client.ask(b"ms q 1 C1 O1\r\nb\r\nms q 1 C1 MP q\r\nb\r\n") == b"NF O1\r\nNF\r\n"
        assert client.ask(b"mg q v\r\nmg q\r\n") == b"VA 1\r\na\r\nEN\r\n"

    def test_a_quiet_store_is_told_only_of_what_went_wrong(self, tmp_path: Path) -> None:
        table = QueueTable({"q": {"max_items": 1}})
        core = CoreHarness(tmp_path / "full", rules=Rules(table))
        client = core.client()
        assert client.ask(b"ms q 1 q k O1\r\na\r\n") == b""
        assert client.ask(b"ms q 1 q k O1\r\nb\r\n") == b"NS kq O1\r\n"
        too_large = b"SERVER_ERROR object too large for cache\r\n"
        assert (
            client.ask(b"ms q 1048577 q\r\n%b\r\nmn\r\n" % bytes(1048577)) == too_large + b"MN\r\n"
        )
        assert client.ask(b"ms q/oepn 1 q\r\na\r\n") == b"CLIENT_ERROR unknown option /oepn\r\n"
        assert core.counters.noreply_errors == 0

    def test_i_is_refused_behind_the_body(self, client: Client) -> None:
        assert client.ask(b"ms q 6 I C1\r\nmd q\r\n\r\nmn\r\n") == INVALID_FLAG + b"MN\r\n"


class BrokenDisk(Files):
    """Files whose writes fail while told to."""

    failing = False

    def write(self, descriptor: int, data: bytes) -> int:
        if self.failing:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(descriptor, data)


def test_what_is_not_in_the_journal_is_an_error_for_a_quiet_request_too(tmp_path: Path) -> None:
    disk = BrokenDisk()
    client = CoreHarness(tmp_path / "spool", disk).client()
    check_put(client, b"a")
    disk.failing = True
    for line in (b"ms q 1 q\r\nb\r\n", b"ms q 1 c\r\nb\r\n", b"mg q v q\r\n", b"md q q\r\n"):
        told = client.ask(line)
        assert told.startswith(b"SERVER_ERROR ")
        assert told.endswith(b"\r\n")
        assert told.count(b"\r\n") == 1


class TestOthers:
    def test_delete(self, client: Client) -> None:
        check_put(client, b"a")
        assert client.ask(b"md q k O1\r\nmd q k O1\r\n") == b"HD kq O1\r\nNF kq O1\r\n"
        check_put(client, b"a")
        assert client.ask(b"md q q\r\nmd q q\r\nmn\r\n") == b"NF\r\nMN\r\n"
        assert client.ask(b"md q/peek q\r\n").startswith(b"CLIENT_ERROR this command takes no opt")

    def test_arithmetic_finds_no_number(self, core: CoreHarness, client: Client) -> None:
        assert client.ask(b"ma q v D1 MI\r\nma q MD q k t c O1\r\n") == b"NF\r\nNF kq O1\r\n"
        assert (core.counters.incr_misses, core.counters.decr_misses) == (1, 1)
        check_put(client, b"1")
        refused = b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
        assert client.ask(b"ma q v D1 MI\r\nma q MD q k t c O1\r\n") == refused * 2

    def test_a_delete_that_compares_finds_another_or_no_queue(self, client: Client) -> None:
        assert client.ask(b"md q C5 k O1\r\nmd q C5 q\r\n") == b"NF kq O1\r\nNF\r\n"
        check_put(client, b"1")
        assert client.ask(b"md q C5 k O1\r\nmd q C5 q\r\n") == b"EX kq O1\r\nEX\r\n"
        assert client.ask(b"mg q v\r\n") == b"VA 1\r\n1\r\n"

    @pytest.mark.parametrize("flag", [b"P", b"L", b"P1", b"Lpath/", b"P L2"])
    def test_what_is_meant_for_proxies_is_ignored(self, client: Client, flag: bytes) -> None:
        lines = b"ms q 1 %b\r\nx\r\nmg q v %b\r\nmg q T1 %b\r\nmd q %b\r\nma q %b\r\nme q %b\r\n"
        told = client.ask(lines.replace(b"%b", flag))
        assert told == b"HD\r\nVA 1\r\nx\r\nEN\r\nHD\r\nNF\r\nEN\r\n"

    def test_a_get_may_ask_not_to_count_as_one(self, client: Client) -> None:
        check_put(client, b"1")
        assert client.ask(b"mg q u v\r\nmg q u\r\n") == b"VA 1\r\n1\r\nEN\r\n"

    def test_debug(self, core: CoreHarness, client: Client) -> None:
        assert client.ask(b"me q\r\n") == b"EN\r\n"
        check_put(client, b"abc", b"de")
        core.clock.advance(1.5)
        assert client.ask(b"me q\r\n") == b"ME q items=2 bytes=5 open=0 age=1500\r\n"
        client.ask(b"mg q/open v\r\n")
        assert client.ask(b"me cQ== b\r\n").startswith(b"ME cQ== items=1 bytes=")
        assert b" open=1 " in client.ask(b"me q\r\n")

    def test_mn_comes_behind_everything(self, client: Client) -> None:
        assert client.ask(b"ms q 1\r\na\r\nmg q v\r\nmn\r\n") == b"HD\r\nVA 1\r\na\r\nMN\r\n"

    def test_base64_keys_are_the_same_queues(self, client: Client) -> None:
        assert client.ask(b"ms cQ== 1 b k O1\r\na\r\n") == b"HD kcQ== b O1\r\n"
        assert client.ask(b"mg q k\r\n") == b"HD kq\r\n"
        assert client.ask(b"mg cQ== b v k s\r\n") == b"VA 1 kcQ== b s1\r\na\r\n"
        assert client.ask(b"mg cQ== v b k\r\nmd cQ== b k\r\n") == b"EN kcQ== b\r\nHD kcQ== b\r\n"

    def test_options_may_be_in_base64_too(self, client: Client) -> None:
        check_put(client, b"a")
        assert client.ask(b"mg cS9wZWVr b v\r\n" * 2) == b"VA 1\r\na\r\n" * 2

    def test_a_name_with_blanks_stays_one_word_everywhere(self, client: Client) -> None:
        key = b"YSBiDQpTVEFUIHggMQ=="  # "a b", then what would be a line of its own
        assert client.ask(b"ms %b 1 b\r\nx\r\n" % key) == b"HD\r\n"
        told = client.ask(b"stats\r\n") + client.ask(b"dump_stats\r\ndump_config\r\n")
        assert b"queue_a\\x20b\\x0d\\x0aSTAT\\x20x\\x201_items 1\r\n" in told
        assert told.count(b"queue 'a\\x20b\\x0d\\x0aSTAT\\x20x\\x201' {\r\n") == 2
        assert b"STAT x 1" not in told
        assert client.ask(b"mg %b b v\r\n" % key) == b"VA 1\r\nx\r\n"

    def test_text_and_meta_take_turns(self, client: Client) -> None:
        told = client.ask(
            b"set q 3 0 1\r\na\r\nmg q v f\r\nms q 1 F4\r\nb\r\ngets q\r\nget q\r\nmg q v\r\n"
            b"version\r\nmn\r\nnonsense\r\n"
        )
        assert told == (
            b"STORED\r\nVA 1 f3\r\na\r\nHD\r\nVALUE q 4 1 2\r\nb\r\nEND\r\nEND\r\nEN\r\n"
            b"VERSION 1.0.0\r\nMN\r\nERROR\r\n"
        )

    def test_draining_and_policies_answer_as_in_text(self, tmp_path: Path) -> None:
        core = CoreHarness(tmp_path / "other", policy=Policy(10, False, False))
        client = core.client()
        core.drain(on=True)
        assert client.ask(b"ms q 1 q\r\na\r\n").startswith(b"SERVER_ERROR ")
        core.drain(on=False)
        assert client.ask(b"ms q 11\r\n12345678901\r\nmn\r\n") == (
            b"SERVER_ERROR object too large for cache\r\nMN\r\n"
        )
