"""What a get does for one client: many keys, peeks, and children that are asked for."""

from pathlib import Path

import pytest

from tests.core import Client
from tests.queues.parts import Queues
from tests.session.parts import item, value


@pytest.fixture
def queues(tmp_path: Path) -> Queues:
    return Queues(tmp_path / "spool", {"few": {"max_open_reads": 2}})


@pytest.fixture
def client(queues: Queues) -> Client:
    return queues.client()


class TestManyKeys:
    def test_each_is_served_once_in_the_order_of_its_first_naming(
        self, queues: Queues, client: Client
    ) -> None:
        queues.put(b"a", b"a1", b"a2")
        queues.put(b"b", b"b1", b"b2")
        reply = client.ask(b"get a/open b/open a/open\r\n")
        assert reply == value(b"a/open", b"a1") + item(b"b/open", b"b1")
        reply = client.ask(b"get b/close a/close/open\r\n")
        assert reply == item(b"a/close/open", b"a2")
        assert [read.item.data for read in client.state.holder.reads()] == [b"a2"]

    def test_a_queue_that_must_be_read_from_disk_first_does_not_look_empty(
        self, queues: Queues, client: Client
    ) -> None:
        queues.put(b"a", b"1")
        queues.put(b"b", b"2")
        queues.queue(b"b").waiting.reread()
        assert client.ask(b"get a b\r\n") == value(b"a", b"1") + item(b"b", b"2")

    @pytest.mark.parametrize("wanted", [b"late", b"late/open", b"late/peek"])
    def test_a_queue_that_changes_as_others_are_read_does_not_look_empty(
        self, tmp_path: Path, wanted: bytes
    ) -> None:
        entries: dict[str, dict[str, object]] = {
            "early": {"expire_to": "late", "max_age": 1},
            "late": {"max_bytes": 700, "discard_old_when_full": True},
        }
        queues = Queues(tmp_path / "spool", entries, window_size=300)
        queues.put(b"first", b"1")
        queues.put(b"late", b"2" * 400, b"3" * 200)
        queues.put(b"early", b"4" * 400)
        queues.clock.advance(2)
        client = queues.client()
        # What has died in "early" takes the place of the one item of "late" that is in memory.
        reply = client.ask(b"get first %b early\r\n" % wanted)
        assert reply == value(b"first", b"1") + item(wanted, b"3" * 200)
        assert client.ask(b"get first\r\n") == b"END\r\n"

    def test_none_looks_empty_behind_an_item_by_its_id_that_is_on_disk(
        self, tmp_path: Path
    ) -> None:
        client, queues = self._client_that_finds_one_on_disk(tmp_path)
        queues.queue(b"c").waiting.reread()
        assert client.told() == value(b"a", b"1") + self.FOUND + item(b"c", b"1")

    def test_what_was_taken_before_one_by_its_id_depends_on_its_commit(
        self, tmp_path: Path
    ) -> None:
        client, queues = self._client_that_finds_one_on_disk(tmp_path)
        queues.failing.error = OSError(28, "No space left on device")
        client.session.revoke(queues.commits.commit().failed)
        queues.failing.error = None
        assert client.told() == self.FOUND + item(b"c", b"1")
        assert client.ask(b"get a\r\n") == item(b"a", b"1")

    FOUND = value(b"b/peek/id=3", b"3" * 400)

    @staticmethod
    def _client_that_finds_one_on_disk(path: Path) -> tuple[Client, Queues]:
        """Return one that has taken an item, and waits for one that is looked for by its id."""
        queues = Queues(path / "spool", window_size=300)
        queues.put(b"a", b"1")
        queues.put(b"b", b"1" * 400, b"2" * 400, b"3" * 400)
        queues.put(b"c", b"1")
        client = queues.client()
        client.send(b"get a b/peek/id=3 c\r\n")
        assert queues.queue(b"a").items == 0
        assert client.state.next is not None
        return client, queues

    def test_a_queue_that_cannot_be_read_now_keeps_back_no_other(
        self, queues: Queues, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        queues.put(b"a", b"1")
        queues.put(b"b", b"2")
        queues.queue(b"b").waiting.reread()

        def fail(path: str, offset: int, size: int) -> bytes:
            raise OSError(5, "Input/output error", path)

        monkeypatch.setattr(queues.failing, "read_at", fail)
        assert client.ask(b"get a b\r\n") == item(b"a", b"1")
        monkeypatch.undo()
        assert client.ask(b"get a b\r\n") == item(b"b", b"2")

    def test_behind_a_queue_that_cannot_be_read_now_none_looks_empty(
        self, queues: Queues, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in (b"a", b"broken", b"c"):
            queues.put(name, b"1")
        for name in (b"broken", b"c"):
            queues.queue(name).waiting.reread()
        original = queues.failing.read_at

        def fail(path: str, offset: int, size: int) -> bytes:
            if "broken" in path:
                raise OSError(5, "Input/output error", path)
            return original(path, offset, size)

        monkeypatch.setattr(queues.failing, "read_at", fail)
        assert client.ask(b"get a broken c\r\n") == value(b"a", b"1") + item(b"c", b"1")

    def test_a_look_gives_nothing_where_what_was_put_in_front_cannot_be_read(
        self, queues: Queues, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        queues.put(b"q", b"2")
        client.ask(b"prepend q 0 0 1\r\n1\r\nprepend q 0 0 1\r\n0\r\n")
        assert queues.queues.read(Queues.request(b"q")) is not None
        queues.failing.error = OSError(28, "No space left on device")
        queues.commits.commit()
        queues.failing.error = None

        def fail(path: str, offset: int, size: int) -> bytes:
            raise OSError(5, "Input/output error", path)

        monkeypatch.setattr(queues.failing, "read_at", fail)
        assert client.ask(b"get q/peek/n=3\r\n").startswith(
            b"SERVER_ERROR the queue cannot be read"
        )
        monkeypatch.undo()
        key = b"q/peek/n=3"
        assert client.ask(b"get q/peek/n=3\r\n") == b"".join(
            (value(key, b"0"), value(key, b"1"), item(key, b"2"))
        )

    def test_a_wrong_key_is_found_before_anything_is_done_for_another(
        self, queues: Queues, client: Client
    ) -> None:
        queues.put(b"a", b"1", b"2")
        queues.put(b"b", b"1")
        client.ask(b"get a/open\r\n")
        for keys in (b"a/close b/opne", b"b a", b"b/open a/close=9", b"b new+child a/peek/open"):
            assert client.ask(b"get %b\r\n" % keys).startswith(b"CLIENT_ERROR ")
        assert client.state.holder.count(b"a") == 1
        assert queues.numbers(b"b").items == 1
        assert queues.queues.directory.find(b"new+child") is None


class TestLooking:
    def test_a_peek_at_several_gives_them_in_order_and_leaves_them(
        self, queues: Queues, client: Client
    ) -> None:
        queues.put(b"q", b"1", b"2", b"3")
        key = b"q/peek/n=2"
        assert client.ask(b"gets %b\r\n" % key) == value(key, b"1", 1) + item(key, b"2", 2)
        assert queues.numbers(b"q").items == 3
        assert client.ask(b"get none/peek/n=5\r\n") == b"END\r\n"

    def test_asking_for_a_child_makes_it_and_asking_to_end_a_read_does_not(
        self, queues: Queues, client: Client
    ) -> None:
        client.ask(b"get p+a/close\r\nget p+a/abort\r\nget p\r\n")
        assert not list(queues.queues.directory)
        client.ask(b"get p+a/peek\r\nmonitor p+b 0\r\n")
        assert {queue.name for queue in queues.queues.directory} == {b"p+a", b"p+b"}


def long_get(*names: bytes, verb: bytes = b"get") -> bytes:
    """Return a get whose line is so long that it is read a few keys at a time."""
    return b"%b %b\r\n" % (verb, b" ".join([*names, *(b"none%d" % each for each in range(400))]))


class TestLongLines:
    def test_every_queue_is_served_once_in_the_order_of_its_naming(
        self, queues: Queues, client: Client
    ) -> None:
        names = [b"q%d" % each for each in range(300)]
        for name in names[::3]:
            queues.put(name, name, b"left")
        told = client.ask(long_get(*names, *names))
        assert told == b"".join(value(name, name) for name in names[::3]) + b"END\r\n"
        assert queues.numbers(b"q0").items == 1

    def test_with_gets_and_gat_each_has_its_form(self, queues: Queues, client: Client) -> None:
        queues.put(b"a", b"1", b"2", b"3")
        assert client.ask(long_get(b"a", verb=b"gets")) == item(b"a", b"1", 1)
        assert client.ask(long_get(b"a", verb=b"gat 60")) == item(b"a", b"2")
        assert queues.numbers(b"a").open_transactions == 1
        assert client.ask(long_get(b"a/close/open", verb=b"gats 60")) == item(
            b"a/close/open", b"3", 3
        )

    @pytest.mark.parametrize("wrong", [b"a/opne", b"k" * 251, b"a/close=9", b"/"])
    def test_a_wrong_key_at_the_end_of_a_line_is_found_first(
        self, queues: Queues, client: Client, wrong: bytes
    ) -> None:
        queues.put(b"a", b"1")
        line = long_get(b"a").removesuffix(b"\r\n") + b" " + wrong + b"\r\n"
        assert client.ask(line).startswith(b"CLIENT_ERROR ")
        assert queues.numbers(b"a").items == 1
        assert client.ask(b"get a\r\n") == item(b"a", b"1")

    def test_no_more_than_a_thousand_queues_are_waited_for(self, client: Client) -> None:
        names = [b"q%d" % each for each in range(1000)]
        told = client.ask(long_get(b"q/t=5", *names))
        assert told == b"CLIENT_ERROR a get can wait for 1000 queues at most\r\n"
        client.ask(b"get %b q/t=5\r\n" % b" ".join(names[1:]))
        assert client.state.waiting

    def test_what_it_takes_is_counted_while_it_is_read_and_freed_bit_by_bit(
        self, queues: Queues, client: Client
    ) -> None:
        queues.queues.slices.allowance = 0.0
        names = [b"q%d" % each for each in range(20_000)]
        client.send(long_get(*names))
        client.go_on(200)
        before = client.session.weight
        assert client.state.next is not None
        client.go_on(2000)
        assert client.session.weight > before > 100_000
        freed = len(client.state.hoard[0])
        assert freed > 500
        client.session.disconnected()
        assert len(queues.queues.slices.line) == 1
        assert client.state.hoard == []

    def test_nothing_is_counted_when_it_is_done(self, queues: Queues, client: Client) -> None:
        queues.put(b"a", b"1")
        assert client.ask(long_get(b"a")) == item(b"a", b"1")
        assert client.session.weight == 0
        assert client.state.hoard == []


class TestOneInAll:
    def test_the_first_named_queue_that_has_an_item_gives_it(
        self, queues: Queues, client: Client
    ) -> None:
        queues.put(b"low", b"l1", b"l2")
        queues.put(b"normal", b"n")
        ask = b"get high/first normal low\r\n"
        assert client.ask(ask) == item(b"normal", b"n")
        assert client.ask(ask) == item(b"low", b"l1")
        queues.put(b"high", b"h")
        assert client.ask(ask) == item(b"high/first", b"h")
        assert client.ask(ask) == item(b"low", b"l2")
        assert client.ask(ask) == b"END\r\n"
        counters = queues.counters
        assert (counters.cmd_get, counters.get_hits, counters.get_misses) == (5, 4, 1)

    def test_it_goes_with_ids_open_reads_leases_and_looks(
        self, queues: Queues, client: Client
    ) -> None:
        queues.put(b"low", b"1", b"2", b"3", b"4")
        assert client.ask(b"gets high low/first\r\n") == item(b"low/first", b"1", 1)
        assert client.ask(b"get high/peek/first low/peek\r\n") == item(b"low/peek", b"2")
        assert client.ask(b"get high/open/first low/open\r\n") == item(b"low/open", b"2")
        assert client.ask(b"gat 60 high/first low\r\n") == item(b"low", b"3")
        assert len(client.state.holder.reads()) == 2
        again = b"get high/close/open/first low/close/open\r\n"
        assert client.ask(again) == item(b"low/close/open", b"4")
        assert queues.numbers(b"low").open_transactions == 2

    def test_a_waiter_is_served_by_the_first_put_into_any_of_them(
        self, queues: Queues, client: Client
    ) -> None:
        other = queues.client()
        assert client.ask(b"get high/first low/t=100000\r\n") == b""
        assert other.ask(b"get low/first/t=100000 high\r\n") == b""
        queues.put(b"low", b"1")
        assert client.told() == item(b"low/t=100000", b"1")
        assert other.told() == b""
        queues.put(b"high", b"2")
        assert other.told() == item(b"high", b"2")

    def test_what_must_be_read_from_disk_first_still_goes_first(
        self, queues: Queues, client: Client
    ) -> None:
        queues.put(b"high", b"h")
        queues.put(b"low", b"l")
        queues.queue(b"high").waiting.reread()
        assert client.ask(b"get high/first low\r\n") == item(b"high/first", b"h")

    def test_a_paused_queue_is_passed_over_and_a_broken_one_too(
        self, queues: Queues, client: Client
    ) -> None:
        for name in (b"high", b"normal", b"low"):
            queues.put(name, name)
        assert client.ask(b"pause high\r\n") == b"OK\r\n"
        queues.queue(b"normal").waiting.unreadable = "it is gone"
        queues.queue(b"normal").waiting.window.clear()
        assert client.ask(b"get high/first normal low\r\n") == item(b"low", b"low")

    def test_it_looks_at_very_many_queues_in_their_order(
        self, queues: Queues, client: Client
    ) -> None:
        names = [b"q%d" % number for number in range(3000)]
        queues.put(b"q2500", b"1")
        queues.put(b"q2900", b"2")
        ask = b"get q/first " + b" ".join(names) + b"\r\n"
        assert client.ask(ask) == item(b"q2500", b"1")
        assert client.ask(ask) == item(b"q2900", b"2")
        assert client.ask(ask) == b"END\r\n"

    @pytest.mark.parametrize("key", [b"q/first=1", b"q/peek/n=2/first", b"q/peek/id=1/first"])
    def test_it_goes_with_no_more_than_one_item(self, client: Client, key: bytes) -> None:
        assert client.ask(b"get %b r\r\n" % key).startswith(b"CLIENT_ERROR ")
