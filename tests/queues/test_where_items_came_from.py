"""Where items came from: kept with each that was moved, however and how often, over restarts."""

from pathlib import Path

import pytest

from starling_py.journal.format.origin import BURIED, DELIVERIES, EXPIRED, MOVED, Origin
from starling_py.journal.format.record import Item, MarkedItem
from starling_py.session.origins import in_a_word, where_and_why
from tests.core import Client
from tests.queues.parts import Queues
from tests.session.parts import check_put, item

ENTRIES: dict[str, dict[str, object]] = {
    "q": {"dead_letter": "dead", "max_deliveries": 1, "expire_to": "late"},
    "other": {},
}


@pytest.fixture
def queues(tmp_path: Path) -> Queues:
    return Queues(tmp_path / "spool", ENTRIES, segment_size=4096)


@pytest.fixture
def client(queues: Queues) -> Client:
    return queues.client()


def origins(queues: Queues, name: bytes) -> list[tuple[Origin, int]]:
    """Return where each item at the head came from, and how often it was handed out before."""
    queues.patiently(lambda: queues.queue(name).peek(0))
    return [
        (each.origin, each.deliveries)
        for each in queues.queue(name).look(100, queues.clock.wall_ms)
        if isinstance(each, MarkedItem) and each.origin is not None
    ]


def test_each_reason_is_kept_over_restarts_and_copies(
    tmp_path: Path, queues: Queues, client: Client
) -> None:
    began = queues.clock.wall_ms
    check_put(client, b"1", b"2", b"3")
    queues.clock.advance(1)
    moved = queues.clock.wall_ms
    assert client.ask(b"get q/open\r\nget q/abort\r\n") == item(b"q/open", b"1") + b"END\r\n"
    assert client.ask(b"get q/open\r\nget q/bury\r\n") == item(b"q/open", b"2") + b"END\r\n"
    assert client.ask(b"move q other\r\n") == b"MOVED 1\r\n"
    client.ask(b"set q 0 1 1\r\n4\r\n")
    queues.clock.advance(2)
    assert client.ask(b"get q\r\n") == b"END\r\n"
    queues.commit()
    for _ in range(2):
        dead = [
            (Origin(b"q", began, b"q", moved, DELIVERIES), 1),
            (Origin(b"q", began, b"q", moved, BURIED), 1),
        ]
        assert origins(queues, b"dead") == dead
        assert origins(queues, b"other") == [(Origin(b"q", began, b"q", moved, MOVED), 0)]
        late = Origin(b"q", moved, b"q", moved + 2000, EXPIRED)
        assert origins(queues, b"late") == [(late, 0)]
        queues.put(b"other", *(b"." * 900 for _ in range(12)))
        queues.close()
        queues = Queues(tmp_path / "spool", ENTRIES, clock=queues.clock)


def test_what_is_moved_again_keeps_where_it_was_put_first(queues: Queues, client: Client) -> None:
    began = queues.clock.wall_ms
    check_put(client, b"1")
    queues.clock.advance(1)
    assert client.ask(b"move q other\r\n") == b"MOVED 1\r\n"
    queues.clock.advance(1)
    assert client.ask(b"move other third\r\n") == b"MOVED 1\r\n"
    assert origins(queues, b"third") == [(Origin(b"q", began, b"other", began + 2000, MOVED), 0)]


def test_children_and_routes_of_the_target_learn_it_too(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool", routes={"other": ["copy"]})
    client = queues.client()
    check_put(client, b"1")
    assert client.ask(b"get other+child\r\nmove q other\r\n") == b"END\r\nMOVED 1\r\n"
    for name in (b"other", b"other+child", b"copy"):
        assert [origin.source for origin, _ in origins(queues, name)] == [b"q"]


def test_a_client_is_told_of_it_in_meta_and_by_browse(queues: Queues, client: Client) -> None:
    began = queues.clock.wall_ms
    check_put(client, b"1")
    assert client.ask(b"get q/open\r\nget q/bury\r\n") == item(b"q/open", b"1") + b"END\r\n"
    assert client.ask(b"mg dead/peek v o\r\n") == b"VA 1 oq/buried/%d/q/%d/1\r\n1\r\n" % (
        began,
        began,
    )
    assert client.ask(b"browse dead\r\n") == b"ITEM 1 1 0 0 waiting 0 0 1 q buried\r\nEND\r\n"
    check_put(client, b"2")
    assert client.ask(b"mg q/peek o k\r\n") == b"HD o- kq/peek\r\n"


def test_names_are_told_as_one_token() -> None:
    moved = MarkedItem(1, 0, 0, 0, b"", origin=Origin(b"a b", 1, b"c\n", 2, 77))
    assert in_a_word(moved) == b"c\\x0a/77/2/a\\x20b/1/0"
    assert where_and_why(moved) == (b"c\\x0a", b"77")
    assert where_and_why(Item(1, 0, 0, 0, b"")) == (b"-", b"-")


def test_bury_without_a_queue_for_dead_letters_leaves_the_read_open(
    queues: Queues, client: Client
) -> None:
    check_put(client, b"1", queue=b"other")
    assert client.ask(b"get other/open\r\n") == item(b"other/open", b"1")
    reply = b"CLIENT_ERROR the queue has no dead_letter to bury an item in\r\n"
    assert client.ask(b"get other/bury\r\nget other/bury=1\r\n") == reply * 2
    assert client.ask(b"get other/close\r\n") == b"END\r\n"
    assert queues.numbers(b"other").bytes == 0


def test_bury_ends_the_read_that_is_named_and_opens_the_next(
    queues: Queues, client: Client
) -> None:
    check_put(client, b"1", b"2", b"3")
    client.ask(b"get q/open\r\nget q/open\r\n")
    assert client.ask(b"get q/bury=2/open\r\n") == item(b"q/bury=2/open", b"3")
    assert queues.take_all(b"dead") == [b"2"]
    assert client.ask(b"get q/bury=2\r\n") == b"CLIENT_ERROR item 2 is not open\r\n"
    assert client.ask(b"get q/bury q/close\r\nget q/bury\r\n") == b"END\r\nEND\r\n"
    assert queues.take_all(b"dead") == [b"1"]
    assert queues.numbers(b"q").dead_lettered == 2


@pytest.mark.parametrize("other", [b"peek", b"close", b"abort", b"delay=1", b"n=2", b"id=1"])
def test_bury_does_not_go_with_what_ends_or_looks(client: Client, other: bytes) -> None:
    check_put(client, b"1")
    assert client.ask(b"get q/open\r\n") == item(b"q/open", b"1")
    assert client.ask(b"get q/bury/%b\r\n" % other).startswith(b"CLIENT_ERROR ")
