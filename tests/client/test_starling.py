"""The client with the methods of Ruby's Starling class, against real servers."""

import contextlib
import inspect
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trio

from starling_py.client import AsyncStarling, Starling, StarlingError
from starling_py.client import servers as client_servers
from starling_py.client import starling as client_starling
from starling_py.client.queue_commands import QueueCommands
from tests.process.server_process import PATIENCE, ServerProcess, wait_until


@pytest.fixture
def server(server: ServerProcess) -> Iterator[ServerProcess]:
    """Return a server that must stop in order at the end."""
    yield server
    assert server.stop() == 0


@pytest.fixture
def starling(server: ServerProcess) -> Iterator[Starling]:
    """Return a client of it."""
    with Starling(f"127.0.0.1:{server.port}", timeout=PATIENCE) as client:
        yield client


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starling]:
    """Return a client for what leaves nothing behind, of a server that all such tests share."""
    with (
        ServerProcess(tmp_path_factory.mktemp("shared") / "spool") as process,
        Starling(f"127.0.0.1:{process.port}", timeout=PATIENCE) as client,
    ):
        yield client


VALUES = [b"bytes \x00\xff", "text", 7, 1.5, None, True, ["a", {"b": [1, 2]}], {"pid": 1}, b"", ""]


@pytest.mark.parametrize("value", VALUES)
def test_a_value_comes_out_as_it_went_in(shared: Starling, value: object) -> None:
    shared.set("q", value)
    assert shared.get("q", timeout=5) == value
    assert shared.sizeof("q") == 0


@pytest.mark.parametrize(("value", "data"), [("grüße", "grüße".encode()), (7, b"7"), (b"x", b"x")])
def test_a_raw_value_is_the_bytes_of_its_text(shared: Starling, value: object, data: bytes) -> None:
    shared.set("q", value, 0, True)
    assert shared.get("q") == data


def test_values_come_in_the_order_in_which_they_were_put(starling: Starling) -> None:
    for number in range(20):
        starling.set("q", number)
    assert [starling.get("q") for _ in range(20)] == list(range(20))
    assert starling.fetch("q") is None


def test_a_get_waits_no_longer_than_it_was_told_to(starling: Starling) -> None:
    assert starling.get("q", timeout=0.01) is None
    assert starling.fetch("q") is None


def test_flush_hands_everything_over_and_leaves_nothing(starling: Starling) -> None:
    for number in range(5):
        starling.set("q", number)
    seen: list[int] = []
    assert starling.flush("q", seen.append) == 5
    assert seen == list(range(5))
    assert starling.flush("q") == 0
    starling.set("q", "again")
    assert starling.flush("q") == 1


def test_flush_does_not_wait_for_what_nobody_can_take(
    server: ServerProcess, starling: Starling
) -> None:
    for number in range(3):
        starling.set("q", number)
    with contextlib.closing(server.client()) as holder:
        assert holder.get("q/open") == b"0"
        assert starling.flush("q") == 2
        assert holder.get("q/abort") is None
    assert starling.flush("q") == 1


def test_a_put_is_tried_again_until_the_queue_has_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_starling, "SET_RETRIES", 1000)
    config = tmp_path / "starling.yml"
    config.write_text("queues: {q: {max_items: 1}}")
    with (
        ServerProcess(tmp_path / "spool", "--config", config) as server,
        Starling(f"127.0.0.1:{server.port}") as starling,
        Starling(f"127.0.0.1:{server.port}") as other,
        ThreadPoolExecutor(1) as pool,
    ):
        starling.set("q", 1)
        putting = pool.submit(starling.set, "q", 2)
        wait_until(lambda: other.stats().popitem()[1]["cmd_set"] > 1)
        assert other.get("q") == 1
        putting.result()
        assert other.get("q") == 2


def test_sizes_and_names_tell_of_one_queue_or_of_all(starling: Starling) -> None:
    assert starling.sizeof() == {}
    assert starling.sizeof("q") == 0
    starling.set("q", 1)
    starling.set("q", 2)
    starling.set("a_items", 3)
    assert starling.sizeof("q") == 2
    assert starling.sizeof() == {"q": 2, "a_items": 1}
    assert starling.available_queues() == ["a_items", "q"]
    assert starling.delete("q") is True
    assert starling.delete("q") is False
    assert starling.sizeof("q") == 0


def test_stats_are_those_of_each_server(server: ServerProcess, starling: Starling) -> None:
    starling.set("q", 1)
    ((name, stats),) = starling.stats().items()
    assert name == f"127.0.0.1:{server.port}"
    assert stats["queue_q_items"] == 1
    assert stats["version"] == "1.0.0"
    assert isinstance(stats["rusage_user"], float)


def test_an_item_that_dies_is_not_delivered(starling: Starling) -> None:
    starling.set("q", "dead on arrival", expiry=-1)
    assert starling.fetch("q") is None


def test_several_servers_share_the_items_and_a_dead_one_is_left_alone(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_servers, "RETRY_DELAY", 3600)
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(ServerProcess(tmp_path / f"spool-{number}")) for number in range(2)
        ]
        names = [f"127.0.0.1:{each.port}" for each in servers]
        names.append(f"127.0.0.1:{port}")
        starling = stack.enter_context(Starling(names, timeout=PATIENCE))
        for number in range(40):
            starling.set("q", number)
        sizes = [stats["queue_q_items"] for stats in starling.stats().values()]
        assert sum(sizes) == starling.sizeof("q") == 40
        assert len(sizes) == 2
        assert min(sizes) > 0
        taken = {starling.get("q", timeout=10) for _ in range(30)}
        servers[0].kill()
        left: list[int] = []
        starling.flush("q", left.append)
        assert len(taken) == 30
        assert not taken & set(left)
        # A connection that ended may have been idle; only who refuses one is left alone.
        assert len(starling.stats()) == 1
        servers[0].start()
        # Before the time is over it is not asked, unless nobody else is left.
        assert len(starling.stats()) == 1
        assert [starling.delete("q") for _ in range(2)] == [True, False]


def test_a_server_that_was_restarted_is_asked_again(
    server: ServerProcess, starling: Starling
) -> None:
    starling.set("q", 1)
    server.kill()
    server.start()
    assert starling.get("q") == 1


def test_without_a_server_every_call_says_so(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setattr(client_starling, "WAIT_TIME", 0.01)
    with Starling(f"127.0.0.1:{port}", timeout=1) as starling:
        with pytest.raises(StarlingError, match=r"q: 127\.0\.0\.1:\d+: .*refused"):
            starling.set("q", 1)
        with pytest.raises(StarlingError, match="refused"):
            starling.get("q", timeout=1)
        for ask in (starling.stats, starling.sizeof, starling.available_queues):
            with pytest.raises(StarlingError, match="refused"):
                ask()
        for ask_about in (starling.delete, starling.fetch, starling.flush):
            with pytest.raises(StarlingError, match="refused"):
                ask_about("q")


@pytest.mark.parametrize("servers", ["host:port", [], ["a:1", "b:"]])
def test_servers_that_are_none_are_refused(servers: str | list[str]) -> None:
    with pytest.raises(ValueError, match=r"HOST:PORT|a port|no servers"):
        Starling(servers)


async def test_the_client_for_trio_does_the_same(server: ServerProcess) -> None:
    starling = AsyncStarling(f"127.0.0.1:{server.port}", timeout=PATIENCE)
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:

            async def put() -> None:
                await starling.set("q", "first")
                await starling.set("q", "second")

            nursery.start_soon(put)
            assert await starling.get("q") == "first"
        assert await starling.sizeof() == {"q": 1}
        assert await starling.available_queues() == ["q"]
        seen: list[str] = []
        assert await starling.flush("q", seen.append) == 1
        assert seen == ["second"]
        assert await starling.flush("q") == 0
        assert await starling.fetch("q") is None
        assert await starling.get("q", timeout=0.01) is None
        await starling.set("q", 1, 0, True)
        assert await starling.get("q", timeout=5) == b"1"
        with trio.move_on_after(0.05) as scope:
            await starling.get("q")
        assert scope.cancelled_caught
        assert await starling.delete("q") is True
        assert len(await starling.stats()) == 1
        await starling.aclose()


async def test_the_client_for_trio_acts_on_queues_as_well(server: ServerProcess) -> None:
    starling = AsyncStarling(f"127.0.0.1:{server.port}", timeout=PATIENCE, name="trio")
    with trio.fail_after(PATIENCE):
        for _ in range(2):
            await starling.set("low", 1, once="order-17")
        await starling.set("low", 2)
        assert await starling.pause("low", 60)
        assert await starling.first(["high", "low"]) is None
        assert await starling.resume("low")
        assert [each.id for each in await starling.browse("low")] == [1, 2]
        assert await starling.move("low", "parked", 1) == 1
        assert await starling.move("parked") == 1
        assert await starling.drop("low", 2)
        assert await starling.first(iter(["high", "low"]), 5) == ("low", 1)
        (consumer,) = await starling.consumers("low")
        assert (consumer.name, consumer.takes, consumer.waits) == ("trio", 1, False)
        await starling.aclose()


def test_every_method_that_acts_on_queues_is_there_for_trio_too() -> None:
    acts = {name for name in vars(QueueCommands) if not name.startswith("_")} - {"ask_raw"}
    assert acts | {"first", "set"} <= vars(AsyncStarling).keys()
    for name in acts | {"first", "set"}:
        ours = inspect.signature(getattr(AsyncStarling, name)).parameters
        assert ours == inspect.signature(getattr(Starling, name)).parameters
