"""What operators do to queues through the Python client, against a real server."""

from collections.abc import Iterator

import pytest

from starling_py.client import Consumer, QueueItem, Starling, StarlingError
from tests.process.server_process import PATIENCE, ServerProcess


@pytest.fixture
def starling(server: ServerProcess) -> Iterator[Starling]:
    """Return a client of a server that must stop in order at the end."""
    with Starling(f"127.0.0.1:{server.port}", timeout=PATIENCE) as client:
        yield client
    assert server.stop() == 0


def test_a_queue_is_paused_and_resumed(starling: Starling) -> None:
    starling.set("q", 1)
    assert starling.pause("q")
    assert starling.fetch("q") is None
    assert starling.resume("q")
    assert starling.fetch("q") == 1
    assert starling.pause("q", 60)
    assert not starling.pause("nosuch")
    assert not starling.resume("nosuch")


def test_items_are_listed_moved_there_and_back_and_dropped(
    starling: Starling, server: ServerProcess
) -> None:
    for number in range(3):
        starling.set("q", number)
    assert starling.move("q", "other", 2) == 2
    first, second = starling.browse("other")
    assert first == QueueItem(
        f"127.0.0.1:{server.port}", 1, 1, 1, first.age, "waiting", 0, 0, 0, "q", "moved"
    )
    assert starling.browse("other", 2, 1)[0].id == second.id == 2
    assert starling.drop("other", 2)
    assert not starling.drop("other", 2)
    assert starling.move("other") == 1
    assert starling.browse("other") == starling.browse("nosuch") == []
    assert [starling.fetch("q"), starling.fetch("q")] == [2, 0]


def test_one_value_comes_from_the_first_queue_that_has_one(starling: Starling) -> None:
    starling.set("low", "l")
    starling.set("high", "h")
    assert starling.first(["high", "normal", "low"]) == ("high", "h")
    assert starling.first(iter(("high", "normal", "low")), 5) == ("low", "l")
    assert starling.first(["high"], 0.01) is None


def test_a_value_with_a_token_is_stored_once(starling: Starling) -> None:
    for _ in range(3):
        starling.set("q", 1, once="order-17")
    assert starling.sizeof("q") == 1
    with pytest.raises(StarlingError):
        starling.set("q", 1, once="x" * 101)


def test_what_a_server_refuses_is_an_error(starling: Starling) -> None:
    with pytest.raises(StarlingError, match="pause takes seconds"):
        starling.pause("q", 0)
    assert starling.fetch("q") is None


def test_who_takes_from_a_queue_is_told_by_its_name(server: ServerProcess) -> None:
    address = f"127.0.0.1:{server.port}"
    with Starling(address, name="worker-7") as worker, Starling(address) as other:
        assert worker.consumers("q") == []
        worker.set("q", 1)
        assert worker.fetch("q") == 1
        (consumer,) = other.consumers("q")
        assert consumer == Consumer(
            address, consumer.address, "worker-7", 1, consumer.last_take, 0, False
        )
        assert consumer.last_take is not None
        worker.close()
        worker.set("q", 2)
        assert worker.fetch("q") == 2
        assert [each.name for each in other.consumers("q")] == ["worker-7"]
    assert server.stop() == 0


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "\x7f", "grüße", "a\r\nb"])
def test_a_client_cannot_be_called_what_the_server_refuses(name: str) -> None:
    with pytest.raises(ValueError, match="printable"):
        Starling(name=name)


@pytest.mark.parametrize("name", ["", "q 1", "q\r\nflush_all", "q\t"])
def test_a_name_that_would_be_several_words_reaches_no_server(name: str, port: int) -> None:
    with Starling(f"127.0.0.1:{port}") as starling:
        for ask in (starling.pause, starling.resume, starling.move, starling.browse):
            with pytest.raises(ValueError, match="no blanks"):
                ask(name)
        with pytest.raises(ValueError, match="no blanks"):
            starling.move("q", name)
        with pytest.raises(ValueError, match="no blanks"):
            starling.drop(name, 1)
        with pytest.raises(ValueError, match="no queues"):
            starling.first([])


def test_names_beyond_ascii_are_names_of_queues_too(starling: Starling) -> None:
    assert not starling.pause("grüße")
    assert not starling.browse("grüße")
    assert not starling.consumers("grüße")
