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
