"""An error ends no more than what it belongs to: on a server with real sockets."""

from typing import Any

import pytest
import trio

from starling_py.queues.persistent_queue import PersistentQueue
from tests.server.in_process import PATIENCE, FailingFiles, RunningServer, Servers, item, put

STORED = b"STORED\r\n"


async def expect_service(running: RunningServer) -> None:
    """Check that a new client is served, and puts and gets go on."""
    async with running.client() as client:
        await client.expect_reply(put(b"other", b"x"), STORED)
        await client.expect_reply(b"get other\r\n", item(b"other", b"x"))


def broken(*_: object, **__: object) -> Any:  # noqa: ANN401 - whatever it stands for returns
    raise RecursionError("for the test")


@pytest.mark.parametrize("sync", ["never", "50ms", "always"])
async def test_no_memory_for_a_write_costs_one_queue_an_error_and_heals(
    start: Servers, sync: str
) -> None:
    files = FailingFiles()
    running = await start(files, sync=sync)
    async with running.client() as client:
        await client.expect_reply(put(b"jobs", b"1"), STORED)
        files.only = "/jobs"
        files.error = MemoryError()  # type: ignore[assignment]
        await client.send(put(b"jobs", b"2"))
        assert (await client.read_line()).startswith(b"SERVER_ERROR")
        await expect_service(running)
        files.error = None
        with trio.fail_after(PATIENCE):
            reply = b""
            while reply != b"STORED":
                await client.send(put(b"jobs", b"3"))
                reply = await client.read_line()
        await client.expect_reply(b"get jobs\r\n", item(b"jobs", b"1"))
        await client.expect_reply(b"get jobs\r\n", item(b"jobs", b"3"))


@pytest.mark.patches
@pytest.mark.parametrize("method", ["on_committed", "on_safe"])
@pytest.mark.parametrize("sync", ["never", "50ms", "always"])
async def test_an_error_after_a_write_keeps_nobody_from_the_truth(
    start: Servers, sync: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await start(sync=sync)
    async with running.client() as client:
        await client.expect_reply(put(b"jobs", b"1"), STORED)
        monkeypatch.setattr(PersistentQueue, method, broken)
        await client.expect_reply(put(b"jobs", b"2"), STORED)
        await client.expect_reply(b"get jobs\r\n", item(b"jobs", b"1"))
        await expect_service(running)
        with trio.fail_after(PATIENCE):
            while (await client.stats())["internal_errors"] == "0":
                await trio.sleep(0.01)
        monkeypatch.undo()
        await client.expect_reply(b"get jobs\r\n", item(b"jobs", b"2"))
        assert (await client.stats())["session_errors"] == "0"


@pytest.mark.patches
@pytest.mark.parametrize("part", ["run_due", "offer_room", "keep_house"])
async def test_an_error_in_what_is_done_for_all_is_counted_and_tried_again(
    start: Servers, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await start(queues={"full": {"max_items": 1}})
    queues = running.core.queues
    async with running.client() as client, running.client() as waits:
        await client.expect_reply(put(b"full", b"x"), STORED)
        await waits.send(put(b"full/t=100000000", b"y"))
        monkeypatch.setattr(type(queues), part, broken)
        with trio.fail_after(PATIENCE):
            while (await client.stats())["internal_errors"] == "0":
                await trio.sleep(0.01)
        await expect_service(running)
        monkeypatch.undo()
        await client.expect_reply(b"get full\r\n", item(b"full", b"x"))
        await waits.expect(STORED)


@pytest.mark.patches
async def test_items_of_a_client_that_is_gone_come_back_though_one_fails(
    start: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await start()
    give_back = PersistentQueue.give_back

    def fails_for_one(queue: PersistentQueue, read: Any, **how: bool) -> None:  # noqa: ANN401
        if queue.name == b"bad":
            raise MemoryError
        give_back(queue, read, **how)

    monkeypatch.setattr(PersistentQueue, "give_back", fails_for_one)
    async with running.client() as client:
        await client.expect_reply(put(b"bad", b"x") + put(b"good", b"y"), STORED * 2)
        async with running.client() as reader:
            await reader.expect_reply(b"get bad/open\r\n", item(b"bad/open", b"x"))
            await reader.expect_reply(b"get good/open\r\n", item(b"good/open", b"y"))
        await client.expect_reply(b"get good/t=30000\r\n", item(b"good/t=30000", b"y"))
        await running.until_connected(1)
        assert (await client.stats())["internal_errors"] == "1"


@pytest.mark.patches
async def test_no_memory_for_what_one_client_says_costs_that_client(start: Servers) -> None:
    running = await start()

    class NoMemory:
        """A socket whose client says something that there is no memory for."""

        def __init__(self, real: Any) -> None:  # noqa: ANN401
            self.real = real

        def recv(self, size: int) -> bytes:
            raise MemoryError

        def __getattr__(self, name: str) -> Any:  # noqa: ANN401
            return getattr(self.real, name)

    async with running.client() as client, running.client() as other:
        await client.expect_reply(put(b"jobs", b"1"), STORED)
        first = next(iter(running.server._tick.connections))
        first.socket = NoMemory(first.socket)
        await client.send(b"version\r\n")
        assert await client.read_to_the_end() == b""
        await other.expect_reply(b"get jobs\r\n", item(b"jobs", b"1"))
        assert (await other.stats())["session_errors"] == "1"


async def test_a_client_of_this_machine_gets_in_when_all_places_are_taken(start: Servers) -> None:
    """If it says something: who connects and is silent is refused after a while."""
    running = await start(max_connections=3)
    idle = running.clients(3)
    await idle[0].until_stat("curr_connections", "3")
    operator, silent = running.client(), running.client()
    assert (await operator.stats())["max_connections"] == "3"
    assert await silent.read_to_the_end() == b"ERROR Too many open connections\r\n"
    assert (await operator.stats())["rejected_connections"] == "1"
    for each in (*idle, operator, silent):
        each.hang_up()
