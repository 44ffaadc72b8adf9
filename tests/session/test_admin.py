"""Commands that look after queues and the server, and what the settings must allow first."""

from pathlib import Path

import pytest

from starling_py.queues.open_reads import ReadHolder
from starling_py.queues.queue_directory import Rules
from starling_py.session.client import Policy
from starling_py.settings.queue_table import QueueTable
from tests.core import Client
from tests.protocol.packets import DELETE, DELETEQ, FLUSH, GET, ask, miss, seconds, unpack
from tests.queues.parts import Queues
from tests.session.parts import item


@pytest.fixture
def queues(tmp_path: Path) -> Queues:
    queues = Queues(tmp_path / "spool")
    queues.policy = Policy(1 << 20, True, True, True, True)
    return queues


@pytest.fixture
def client(queues: Queues) -> Client:
    return queues.client()


def test_what_could_do_harm_is_refused_unless_it_is_allowed(queues: Queues) -> None:
    queues.policy = Policy(1 << 20, False, False)
    queues.new_rules = Rules(QueueTable({"q": {"paused": True}}))
    client = queues.client()
    queues.put(b"q", b"1")
    reply = client.ask(b"shutdown\r\nreload\r\nstatus readonly\r\nflush_all\r\n")
    assert reply == (
        b"ERROR: shutdown not enabled\r\nERROR: reload not enabled\r\n"
        b"ERROR: status not enabled\r\nOK\r\n"
    )
    assert client.ask(b"status\r\nget q\r\n") == b"UP\r\nVALUE q 0 1\r\n1\r\nEND\r\n"
    assert not queues.stopped


def test_a_deletion_takes_open_items_too_and_a_flush_does_not(
    queues: Queues, client: Client
) -> None:
    queues.put(b"q", b"1", b"2")
    holder = ReadHolder()
    queues.open(b"q", holder)
    assert client.ask(b"flush q\r\n") == b"END\r\n"
    assert queues.numbers(b"q").open_transactions == 1
    assert client.ask(b"flush_all\r\n") == b"OK\r\n"
    assert len(holder) == 1
    assert client.ask(b"delete q\r\n") == b"DELETED\r\n"
    assert not holder
    assert client.ask(b"delete q\r\nflush q\r\nflush_all\r\n") == b"NOT_FOUND\r\nEND\r\nOK\r\n"


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (b"delete q\r\n", b"NOT_FOUND\r\n"),
        (b"delete q noreply\r\n", b""),
        (b"md q\r\n", b"NF\r\n"),
        (b"delete q+child\r\n", b"NOT_FOUND\r\n"),
    ],
)
def test_a_queue_that_refuses_deletes_says_not_found_and_keeps_all(
    queues: Queues, client: Client, command: bytes, reply: bytes
) -> None:
    queues.queues.reload(Rules(QueueTable({"q": {"refuse_delete": True}})))
    queues.queues.subscribe(b"q+child")
    queues.put(b"q", b"1", b"2")
    holder = ReadHolder()
    queues.open(b"q", holder)
    assert client.ask(command) == reply
    assert (queues.counters.delete_hits, queues.counters.delete_misses) == (0, 1)
    assert len(holder) == 1
    assert queues.take_all(b"q") == [b"2"]
    assert queues.take_all(b"q+child") == [b"1", b"2"]


def test_a_queue_that_refuses_deletes_says_not_found_in_binary_too(
    queues: Queues, client: Client
) -> None:
    queues.queues.reload(Rules(QueueTable({"q": {"refuse_delete": True}})))
    queues.put(b"q", b"1")
    assert unpack(client.ask(ask(DELETE, b"q") + ask(DELETEQ, b"q"))) == [
        miss(DELETE),
        miss(DELETEQ),
    ]
    assert queues.take_all(b"q") == [b"1"]


def test_refusing_deletes_forbids_no_flush_and_ends_with_a_reload(
    queues: Queues, client: Client
) -> None:
    queues.queues.reload(Rules(QueueTable({"*": {"refuse_delete": True}})))
    queues.put(b"q", b"1")
    assert client.ask(b"flush q\r\nget q\r\n") == b"END\r\nEND\r\n"
    queues.put(b"q", b"1")
    assert client.ask(b"flush_all\r\nget q\r\n") == b"OK\r\nEND\r\n"
    queues.queues.reload(Rules())
    assert client.ask(b"delete q\r\n") == b"DELETED\r\n"


def test_an_option_in_the_key_is_an_error_and_changes_nothing(
    queues: Queues, client: Client
) -> None:
    queues.put(b"q", b"1")
    for word in (b"delete", b"flush", b"flush_expired"):
        assert client.ask(b"%b q/open\r\n" % word).startswith(b"CLIENT_ERROR "), word
    for line in (b"touch q/open 1", b"monitor q/open 1", b"confirm q/open 1"):
        assert client.ask(line + b"\r\n").startswith(b"CLIENT_ERROR "), line
    assert queues.take_all(b"q") == [b"1"]


def test_the_dead_of_all_queues_are_counted_and_silently_if_wanted(
    queues: Queues, client: Client
) -> None:
    for name in (b"a", b"b"):
        queues.put(name, b"1", b"2", exptime=5)
    queues.clock.advance(6)
    assert client.ask(b"flush_expired a\r\nflush_expired none\r\n") == b"2\r\n0\r\n"
    assert client.ask(b"flush_all_expired\r\nflush_all_expired\r\n") == b"2\r\n0\r\n"


def test_a_server_that_is_readonly_gives_out_and_takes_nothing(
    queues: Queues, client: Client
) -> None:
    queues.put(b"q", b"1")
    assert client.ask(b"status READONLY\r\nstatus\r\n") == b"END\r\nREADONLY\r\n"
    for verb in (b"set", b"add", b"append", b"replace", b"prepend"):
        reply = client.ask(b"%b q/t=9000 0 0 1\r\nx\r\n" % verb)
        assert reply in (b"SERVER_ERROR draining: no puts are accepted\r\n", b"NOT_STORED\r\n")
    assert client.ask(b"get q/open\r\n") == b"VALUE q/open 0 1\r\n1\r\nEND\r\n"
    assert client.ask(b"get q/close\r\n") == b"END\r\n"
    assert client.ask(b"status down\r\n").startswith(b"CLIENT_ERROR ")
    assert client.ask(b"status up\r\nstatus\r\n") == b"END\r\nUP\r\n"
    assert client.ask(b"set q 0 0 1\r\nx\r\n") == b"STORED\r\n"


def test_a_reload_that_fails_says_why_and_leaves_the_rules(queues: Queues, client: Client) -> None:
    queues.new_rules = Rules(QueueTable({"q": {"max_items": 1}}))
    assert client.ask(b"reload\r\n") == b"Reloaded config.\r\n"
    queues.put(b"q", b"1")
    queues.new_rules = "the file is\r\nbad"
    reply = client.ask(b"reload\r\nset q 0 0 1\r\nx\r\n")
    assert reply.startswith(b"SERVER_ERROR the file is")
    assert reply.endswith(b"\r\nNOT_STORED\r\n")
    assert reply.count(b"\r\n") == 2


def test_reloading_serves_who_waits_for_a_queue_that_was_paused(
    queues: Queues, client: Client
) -> None:
    queues.queues.reload(Rules(QueueTable({"q": {"paused": True}})))
    queues.put(b"q", b"1")
    assert client.ask(b"get q\r\nget q/peek\r\nget q/t=9000\r\n") == b"END\r\nEND\r\n"
    queues.queues.reload(Rules())
    assert client.told() == b"VALUE q/t=9000 0 1\r\n1\r\nEND\r\n"


def test_the_settings_of_queues_have_kestrels_form(queues: Queues, client: Client) -> None:
    queues.put(b"a", b"1")
    queues.put(b"b", b"1")
    both = client.ask(b"dump_config\r\n")
    assert both.count(b"queue '") == 2
    assert both.endswith(b"}\r\nEND\r\n")
    one = client.ask(b"dump_config b\r\n")
    assert one.startswith(b"queue 'b' {\r\n  ")
    assert one.count(b"queue '") == 1
    assert client.ask(b"dump_config none\r\n") == b"END\r\n"


def test_a_flush_that_cannot_be_written_keeps_everything(queues: Queues, client: Client) -> None:
    queues.put(b"q", b"1", b"2")
    queues.failing.error = OSError(28, "No space left on device")
    for command in (b"flush q\r\n", b"delete q\r\n", b"flush_all\r\n"):
        assert client.ask(command).startswith(b"SERVER_ERROR "), command
    queues.failing.error = None
    queues.clock.advance(2)
    queues.commits.sync_if_due()
    queues.commit()
    assert queues.take_all(b"q") == [b"1", b"2"]
    assert queues.counters.delete_hits == 1


class TestFlushAllLater:
    def later(self, queues: Queues, seconds: float) -> None:
        queues.clock.advance(seconds)
        queues.queues.run_due()

    @pytest.mark.parametrize("in_unix_time", [False, True])
    def test_it_takes_effect_when_its_time_has_come(
        self, queues: Queues, client: Client, in_unix_time: bool
    ) -> None:
        delay = 3 + (queues.clock.wall_ms // 1000 if in_unix_time else 0)
        queues.put(b"q", b"1")
        assert client.ask(b"flush_all %d\r\n" % delay) == b"OK\r\n"
        queues.put(b"p", b"2")
        self.later(queues, 1.9)
        assert client.ask(b"get q/peek\r\n") == item(b"q/peek", b"1")
        self.later(queues, 1.1)
        assert client.ask(b"get q p\r\n") == b"END\r\n"
        queues.put(b"q", b"3")
        self.later(queues, 9)
        assert client.ask(b"get q\r\n") == item(b"q", b"3")

    @pytest.mark.parametrize("again", [b"flush_all", b"flush_all 0", b"flush_all -1"])
    def test_one_at_once_takes_its_place(
        self, queues: Queues, client: Client, again: bytes
    ) -> None:
        assert client.ask(b"flush_all 3\r\n%b\r\n" % again) == b"OK\r\nOK\r\n"
        queues.put(b"q", b"1")
        self.later(queues, 9)
        assert client.ask(b"get q\r\n") == item(b"q", b"1")

    def test_a_later_one_takes_its_place(self, queues: Queues, client: Client) -> None:
        queues.put(b"q", b"1")
        assert client.ask(b"flush_all 3\r\nflush_all 6 noreply\r\n") == b"OK\r\n"
        self.later(queues, 5)
        assert client.ask(b"get q/peek\r\n") == item(b"q/peek", b"1")
        self.later(queues, 1)
        assert client.ask(b"get q\r\n") == b"END\r\n"

    def test_where_it_is_not_allowed_nothing_happens_later_either(self, queues: Queues) -> None:
        queues.policy = Policy(1 << 20, False, False)
        client = queues.client()
        queues.put(b"q", b"1")
        assert client.ask(b"flush_all 3\r\n") == b"OK\r\n"
        self.later(queues, 9)
        assert client.ask(b"get q\r\n") == item(b"q", b"1")

    def test_in_the_binary_protocol_it_is_the_same(self, queues: Queues, client: Client) -> None:
        queues.put(b"q", b"1")
        client.ask(ask(FLUSH, extras=seconds(3)))
        self.later(queues, 2)
        assert unpack(client.ask(ask(GET, b"q"))) != [miss(GET)]
        queues.put(b"q", b"1")
        self.later(queues, 1)
        assert unpack(client.ask(ask(GET, b"q"))) == [miss(GET)]


def test_help_tells_a_person_of_the_commonest_commands(client: Client) -> None:
    for line in (b"help\r\n", b"help me\r\n"):
        told = client.ask(line)
        assert told.startswith(b"set Q 0 0 N")
        assert told.endswith(b"\r\nEND\r\n")
        assert told.isascii()
        assert max(map(len, told.split(b"\r\n"))) < 90
