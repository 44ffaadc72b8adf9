"""What operators do to queues, and who may."""

from pathlib import Path

import pytest

from starling_py.queues.errors import NotLoaded
from starling_py.session.client import Policy
from starling_py.session.permission import Permission
from tests.core import Client, CoreHarness
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
    reply = b"ERROR: browse not enabled\r\nERROR: drop not enabled\r\n"
    assert client.ask(b"browse q\r\ndrop q 1\r\n") == reply
    assert client.ask(b"pause q noreply\r\nget q\r\n") == item(b"q", b"1")
    assert queues.counters.noreply_errors == 1


def test_browse_tells_of_each_item_on_a_line_and_takes_none(queues: Queues, client: Client) -> None:
    check_put(client, b"first")
    client.ask(b"set q/delay=60 7 100 6\r\nsecond\r\n")
    now_ms = queues.clock.wall_ms
    assert client.ask(b"get q/open\r\n") == item(b"q/open", b"first")
    queues.clock.advance(2)
    due, dies = now_ms + 60_000, now_ms + 100_000
    lines = (
        b"ITEM 1 5 0 2000 open 0 0 1 - -\r\n",
        b"ITEM 2 6 7 2000 delayed %d %d 0 - -\r\n" % (due, dies),
    )
    assert client.ask(b"browse q\r\n") == b"".join(lines) + b"END\r\n"
    assert client.ask(b"browse q 2\r\nbrowse q 1 1\r\n") == b"END\r\n".join(
        (lines[1], lines[0], b"")
    )
    assert client.ask(b"browse q 3\r\n") == b"END\r\n"
    assert client.ask(b"get q/abort\r\n") == b"END\r\n"
    assert client.ask(b"get q\r\n") == item(b"q", b"first")


def test_browse_and_a_look_at_an_item_work_while_paused(client: Client) -> None:
    check_put(client, b"1", b"2")
    assert (
        client.ask(b"pause q\r\nbrowse q 2\r\n")
        == b"OK\r\nITEM 2 1 0 0 waiting 0 0 0 - -\r\nEND\r\n"
    )
    assert client.ask(b"get q/peek/id=2\r\n") == item(b"q/peek/id=2", b"2")


def test_a_look_at_an_item_by_its_id_takes_nothing(queues: Queues, client: Client) -> None:
    check_put(client, b"1", b"2", b"3")
    assert client.ask(b"get q/open\r\n") == item(b"q/open", b"1")
    other = queues.client()
    for number in (b"1", b"2", b"3"):
        key = b"q/peek/id=" + number
        assert other.ask(b"get %b\r\n" % key) == item(key, number)
    assert other.ask(b"gets q/id=2/peek\r\n") == item(b"q/id=2/peek", b"2", 2)
    assert other.ask(b"mg q/peek/id=3 v c\r\n") == b"VA 1 c3\r\n3\r\n"
    assert other.ask(b"get q/peek/id=4 x/peek/id=1\r\n") == b"END\r\n"
    assert queues.counters.cmd_peek == 5
    assert queues.take_all(b"q") == [b"2", b"3"]


@pytest.mark.parametrize(
    "key",
    [b"q/id=1", b"q/peek/id=0", b"q/peek/id=", b"q/peek/id=1/n=2", b"q/open/id=1", b"q/id=1/close"],
)
def test_an_id_goes_with_a_look_and_nothing_else(client: Client, key: bytes) -> None:
    check_put(client, b"1")
    assert client.ask(b"get %b\r\n" % key).startswith(b"CLIENT_ERROR ")
    assert client.ask(b"get q\r\n") == item(b"q", b"1")


def test_drop_removes_one_item_that_waits_or_is_delayed(queues: Queues, client: Client) -> None:
    check_put(client, b"1", b"2", b"3")
    client.ask(b"set q/delay=60 0 0 1\r\n4\r\n")
    assert client.ask(b"drop q 2\r\ndrop q 2\r\n") == b"DELETED\r\nNOT_FOUND\r\n"
    assert client.ask(b"drop q 4 noreply\r\ndrop q 4\r\n") == b"NOT_FOUND\r\n"
    numbers = queues.numbers(b"q")
    assert (numbers.items, numbers.bytes, numbers.delayed, numbers.discarded) == (2, 2, 0, 2)
    queues.pass_time(61)
    assert queues.take_all(b"q") == [b"1", b"3"]


def test_drop_leaves_what_is_open(client: Client) -> None:
    check_put(client, b"1")
    assert client.ask(b"get q/open\r\ndrop q 1\r\n") == item(b"q/open", b"1") + b"NOT_FOUND\r\n"
    assert client.ask(b"get q/abort\r\nget q\r\n") == b"END\r\n" + item(b"q", b"1")


def test_a_drop_that_is_not_written_leaves_the_item(queues: Queues, client: Client) -> None:
    check_put(client, b"1", b"2")
    assert on_a_full_disk(queues, client, b"drop q 1\r\n") == NO_ROOM
    assert queues.take_all(b"q") == [b"1", b"2"]


def test_what_is_only_on_disk_is_listed_shown_and_dropped(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool", window_size=4096)
    client = queues.client()
    check_put(client, *(b"%d" % number * 30 for number in range(200)))
    assert queues.queue(b"q").waiting.on_disk > 100
    told = client.ask(b"browse q 1 1000\r\n").splitlines()
    assert [line.split()[1] for line in told[:-1]] == [b"%d" % number for number in range(1, 201)]
    assert client.ask(b"get q/peek/id=150\r\n") == item(b"q/peek/id=150", b"149" * 30)
    assert client.ask(b"drop q 150\r\nget q/peek/id=150\r\n") == b"DELETED\r\nEND\r\n"
    taken = queues.take_all(b"q")
    assert len(taken) == 199
    assert b"149" * 30 not in taken


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"browse nosuch", b"NOT_FOUND\r\n"),
        (b"drop nosuch 1", b"NOT_FOUND\r\n"),
        (b"browse", b"ERROR\r\n"),
        (b"browse q 1 2 3", b"ERROR\r\n"),
        (
            b"browse q x",
            b"CLIENT_ERROR browse takes an item's id from 0 to 18446744073709551615\r\n",
        ),
        (b"browse q 1 1001", b"CLIENT_ERROR browse takes a number of items from 1 to 1000\r\n"),
        (b"browse q/peek", b"CLIENT_ERROR this command takes no option in its key\r\n"),
        (b"drop q", b"ERROR\r\n"),
        (b"drop q 1 2", b"ERROR\r\n"),
        (b"drop q 0", b"CLIENT_ERROR drop takes an item's id from 1 to 18446744073709551615\r\n"),
        (b"drop q/open 1", b"CLIENT_ERROR this command takes no option in its key\r\n"),
        (b"drop " + b"q" * 251 + b" 1", b"CLIENT_ERROR bad command line format\r\n"),
    ],
)
def test_what_is_wrong_with_a_browse_or_drop_is_told(
    client: Client, line: bytes, reply: bytes
) -> None:
    check_put(client, b"1")
    assert client.ask(line + b"\r\n") == reply
    assert client.ask(b"get q\r\n") == item(b"q", b"1")


def put_of(client: Client, line: bytes, data: bytes) -> None:
    assert client.ask(b"%b %d\r\n%b\r\n" % (line, len(data), data)) == b"STORED\r\n"


def test_move_takes_the_oldest_that_wait_and_keeps_flags_and_expiry(
    queues: Queues, client: Client
) -> None:
    put_of(client, b"set q 7 100", b"1")
    put_of(client, b"set q/delay=60 8 0", b"2")
    put_of(client, b"set q 9 0", b"3")
    put_of(client, b"set q 9 0", b"4")
    dies = queues.clock.wall_ms + 100_000
    assert client.ask(b"move q other 2\r\n") == b"MOVED 2\r\n"
    queues.clock.advance(1)
    assert client.ask(b"browse other\r\n") == (
        b"ITEM 1 1 7 1000 waiting 0 %d 0 q moved\r\n" % dies
        + b"ITEM 2 1 9 1000 waiting 0 0 0 q moved\r\nEND\r\n"
    )
    assert client.ask(b"move q other\r\nmove q other\r\n") == b"MOVED 1\r\nMOVED 0\r\n"
    assert queues.take_all(b"other") == [b"1", b"3", b"4"]
    assert queues.numbers(b"q").delayed == 1


def test_move_origin_sends_each_item_back_and_leaves_the_others(
    queues: Queues, client: Client
) -> None:
    put_of(client, b"set dead 0 0", b"own")
    for name in (b"a", b"b"):
        put_of(client, b"set %b 0 0" % name, b"of " + name)
        assert client.ask(b"move %b dead\r\n" % name) == b"MOVED 1\r\n"
    put_of(client, b"set dead 0 0", b"own too")
    assert client.ask(b"move dead origin 1\r\nmove dead origin\r\n") == b"MOVED 1\r\nMOVED 1\r\n"
    assert queues.take_all(b"a") == [b"of a"]
    assert queues.take_all(b"b") == [b"of b"]
    assert queues.take_all(b"dead") == [b"own", b"own too"]


def test_move_obeys_the_limits_of_the_target_and_says_how_far_it_came(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool", {"full": {"max_items": 2}, "small": {"max_item_size": 1}})
    client = queues.client()
    check_put(client, b"first", b"second", b"third")
    assert client.ask(b"move q full\r\n") == b"MOVED 2\r\n"
    assert (
        client.ask(b"move q full\r\n") == b"SERVER_ERROR nothing was moved: the queue is full\r\n"
    )
    reply = b"SERVER_ERROR nothing was moved: object too large for cache\r\n"
    assert client.ask(b"move q small\r\n") == reply
    assert queues.take_all(b"q") == [b"third"]
    assert queues.take_all(b"full") == [b"first", b"second"]


def test_a_large_queue_is_moved_in_its_order_from_disk_too(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool", window_size=4096, interval=0.05)
    client = queues.client()
    items = [b"%d" % number * 30 for number in range(500)]
    check_put(client, *items)
    client.send(b"move q other\r\n")
    told = b""
    for _ in range(100):
        told += client.told()
        queues.clock.advance(0.1)
        queues.commits.sync_if_due()
        queues.commit()
    assert told == b"MOVED 500\r\n"
    assert queues.take_all(b"other") == items
    assert client.ask(b"browse q\r\n") == b"END\r\n"


def test_who_waits_at_the_target_is_served_by_a_move(queues: Queues, client: Client) -> None:
    check_put(client, b"1", b"2")
    other = queues.client()
    assert other.ask(b"get other/t=100000\r\n") == b""
    assert client.ask(b"move q other\r\n") == b"MOVED 2\r\n"
    assert other.told() == item(b"other/t=100000", b"1")


def test_a_queue_deleted_in_the_middle_of_a_move_ends_it(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool", interval=0.05)
    client = queues.client()
    check_put(client, b"1", b"2")
    client.send(b"move q other\r\n")
    queues.queues.delete(b"q")
    queues.commit()
    assert client.told() == b"MOVED 0\r\n"


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"move nosuch q", b"NOT_FOUND\r\n"),
        (b"move q q", b"CLIENT_ERROR a queue is not moved into itself\r\n"),
        (b"move q", b"ERROR\r\n"),
        (b"move q other 1 2", b"ERROR\r\n"),
        (
            b"move q other 0",
            b"CLIENT_ERROR move takes a number of items from 1 to 18446744073709551615\r\n",
        ),
        (b"move q other/open", b"CLIENT_ERROR this command takes no option in its key\r\n"),
        (b"move q " + b"x" * 251, b"CLIENT_ERROR bad command line format\r\n"),
    ],
)
def test_what_is_wrong_with_a_move_is_told(client: Client, line: bytes, reply: bytes) -> None:
    check_put(client, b"1")
    assert client.ask(line + b"\r\n") == reply
    assert client.ask(b"get q\r\n") == item(b"q", b"1")


@pytest.mark.parametrize("name", [b"worker-7", b"x" * 64, b"!~"])
def test_a_client_can_say_what_it_is_called(client: Client, name: bytes) -> None:
    assert client.ask(b"hello %b\r\n" % name) == b"OK\r\n"
    assert client.state.name == name.decode()
    assert client.state.peer == "127.0.0.1:1"


def test_the_log_knows_a_client_by_its_name(
    queues: Queues, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    check_put(client, b"1")
    client.ask(b"hello worker-7\r\npause q\r\nset q/open 0 0 1 noreply\r\nx\r\n")
    told = [line for line in caplog.messages if line.startswith("127.0.0.1:1 (worker-7): ")]
    assert len(told) == 2
    assert "queue q paused" in told[0]
    assert "a command without reply failed" in told[1]


@pytest.mark.parametrize("words", [b"", b"a b", b"x" * 65, b"\xc3\xa4", b"a\tb", b"a\x7f"])
def test_a_name_that_cannot_be_printed_is_refused(client: Client, words: bytes) -> None:
    assert client.ask(b"hello %b\r\n" % words).split()[0] in (b"ERROR", b"CLIENT_ERROR")
    assert client.state.name == ""


@pytest.mark.parametrize("words", [b"stats", b"stats queues", b"stats queue q", b"dump_stats q"])
def test_the_age_is_true_from_the_first_moment_after_a_start(tmp_path: Path, words: bytes) -> None:
    queues = Queues(tmp_path / "spool")
    for name in (b"a", b"q", b"z"):
        queues.put(name, b"1")
    queues.close()
    queues.clock.advance(7)
    core = CoreHarness(tmp_path / "spool", clock=queues.clock)
    assert core.queues.queue_snapshot(b"q") is not None
    told = core.client().ask(words + b"\r\n").replace(b"  age=", b"STAT queue_q_age ")
    assert b"STAT queue_q_age 7000\r\n" in told
    assert b"age 0\r\n" not in told
    core.close()


def test_numbers_of_a_queue_that_cannot_be_read_are_told_all_the_same(queues: Queues) -> None:
    queues.put(b"q", b"1")
    queues.queue(b"q").waiting.reread()
    for segment in queues.queue(b"q").journal.ledger.segments:
        Path(segment.path).unlink()
    assert b"STAT queue_q_items 1\r\n" in queues.client().ask(b"stats queues\r\n")


def test_a_snapshot_has_what_its_client_has_put_before_it(queues: Queues, tmp_path: Path) -> None:
    queues.policy = Policy(1 << 20, False, False, permission=Permission(admin=True))
    client = queues.client()
    assert client.ask(b"set q 0 0 1\r\n1\r\nsnapshot one\r\n") == b"STORED\r\nOK\r\n"
    queues.close()
    found = Queues(tmp_path / "spool" / ".snapshots" / "one")
    assert found.client().ask(b"get q\r\n") == item(b"q", b"1")


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"snapshot", b"ERROR\r\n"),
        (b"snapshot a b", b"ERROR\r\n"),
        (b"snapshot one", b"CLIENT_ERROR there is a snapshot of this name\r\n"),
        *(
            (
                b"snapshot " + name,
                b"CLIENT_ERROR snapshot takes a name of up to 100 letters, digits, _, - and .\r\n",
            )
            for name in (b".", b"..", b".unfinished-x", b"a/b", b"-rf", b"\xc3\xa4", b"x" * 101)
        ),
    ],
)
def test_what_is_wrong_with_a_snapshot_is_told_and_none_is_made(
    client: Client, tmp_path: Path, line: bytes, reply: bytes
) -> None:
    assert client.ask(b"snapshot one\r\n") == b"OK\r\n"
    assert client.ask(line + b"\r\n") == reply
    assert [each.name for each in (tmp_path / "spool" / ".snapshots").iterdir()] == ["one"]


def test_a_snapshot_that_cannot_be_made_is_told_of(client: Client, tmp_path: Path) -> None:
    (tmp_path / "spool" / ".snapshots").write_bytes(b"in the way")
    reply = client.ask(b"snapshot one\r\n")
    assert reply.startswith(b"SERVER_ERROR ")
    assert b"Not a directory" in reply
    check_put(client, b"1")


def test_nobody_has_snapshots_made_who_may_not(queues: Queues, tmp_path: Path) -> None:
    verbs = {"snapshot": False}
    queues.policy = Policy(1 << 20, False, False, permission=Permission(True, verbs))
    assert queues.client().ask(b"snapshot one\r\n") == b"ERROR: snapshot not enabled\r\n"
    assert not (tmp_path / "spool" / ".snapshots").exists()


class Hasty(CoreHarness):
    """A core in which others take the oldest item as soon as it is loaded, some times."""

    tries = 0
    taken = 0

    def to_be_loaded(self, name: bytes) -> NotLoaded | None:
        self.tries += 1
        return NotLoaded(lambda ask_again: ask_again(None)) if self.tries <= self.taken else None


@pytest.mark.parametrize(("taken", "tries"), [(0, 1), (2, 3), (1000, 3)])
@pytest.mark.parametrize("words", [b"stats queue q", b"dump_stats q"])
def test_the_oldest_item_is_waited_for_again_if_it_is_taken_meanwhile(
    tmp_path: Path, words: bytes, taken: int, tries: int
) -> None:
    core = Hasty(tmp_path / "spool")
    client = core.client()
    check_put(client, b"1")
    core.taken = taken
    assert client.ask(words + b"\r\n").endswith(b"END\r\n")
    assert core.tries == tries
