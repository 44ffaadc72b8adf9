"""The memory that clients make the server hold, by real clients: bounded, and nobody else pays."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from tests.server.in_process import PATIENCE, Client, RunningServer, Servers, put
from tests.server.test_gate import hashed, token

LIMIT = 1 << 22
SIZE = 60_000
STORED = b"STORED\r\n"


async def a_small_server(start: Servers, **settings: object) -> RunningServer:
    settings |= {"client_memory": LIMIT, "item_size_max": "64k", "sync": "never"}
    return await start(None, **settings)


@contextlib.asynccontextmanager
async def many(running: RunningServer, count: int) -> AsyncIterator[list[Client]]:
    async with contextlib.AsyncExitStack() as stack:
        clients = [running.client(receive_buffer=4096) for _ in range(count)]
        yield [await stack.enter_async_context(each) for each in clients]


def used(running: RunningServer) -> int:
    return running.server._tick.connections.budget.total


async def until_used(running: RunningServer, least: int) -> None:
    with trio.fail_after(PATIENCE):
        while used(running) < least:
            await trio.sleep(0.01)


async def expect_service(running: RunningServer) -> None:
    """Check that somebody else is served as ever."""
    async with running.client() as client:
        await client.expect_reply(put(b"small", b"x" * 100), STORED)
        await client.expect_reply(
            b"get small\r\n", b"VALUE small 0 100\r\n" + b"x" * 100 + b"\r\nEND\r\n"
        )


BODIES = {
    "text": put(b"jobs", b"x" * SIZE),
    "meta": b"ms jobs %d\r\n%b\r\n" % (SIZE, b"x" * SIZE),
    "binary": b"\x80\x01\x00\x04\x08\x00\x00\x00%b%b%bjobs%b"
    % ((SIZE + 12).to_bytes(4, "big"), bytes(12), bytes(8), b"x" * SIZE),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_a_burst_of_uploads_beyond_the_budget_is_served_bit_by_bit(
    start: Servers, body: bytes
) -> None:
    running = await a_small_server(start)
    async with many(running, 120) as clients, trio.open_nursery() as nursery:
        for client in clients:
            client.say(body[: SIZE // 2])
        await until_used(running, LIMIT // 2)
        await expect_service(running)
        for client in clients:
            nursery.start_soon(client.send, body[SIZE // 2 :])
        for client in clients:
            assert await client.read(4)
            assert used(running) <= LIMIT
    async with running.client() as client:
        stats = await client.stats()
    assert stats["queue_jobs_items"] == "120"
    assert stats["clients_over_memory"] == stats["session_errors"] == "0"
    assert used(running) == 0


async def test_those_who_do_not_read_are_closed_when_it_is_too_much(start: Servers) -> None:
    running = await a_small_server(start)
    async with running.client() as client:
        await client.expect_reply(put(b"big", b"x" * SIZE), STORED)
        async with many(running, 30) as clients:
            for each in clients:
                each.say(b"get big/peek\r\n" * 300)
            with trio.fail_after(PATIENCE):
                while (await client.stats())["clients_over_memory"] == "0":
                    assert used(running) <= LIMIT + 2 * SIZE
            await expect_service(running)
            assert used(running) <= LIMIT
        await running.until_connected(1)
    assert used(running) == 0


async def test_those_who_read_get_all_of_what_does_not_fit_at_once(start: Servers) -> None:
    """Nine times the budget in replies: each is made when there is room, and none is lost."""
    running = await a_small_server(start)
    hit = b"VALUE big/peek 0 %d\r\n%b\r\nEND\r\n" % (SIZE, b"x" * SIZE)
    asked = 10
    async with running.client() as client:
        await client.expect_reply(put(b"big", b"x" * SIZE), STORED)

        async def read_all(each: Client) -> None:
            assert await each.read(asked * len(hit)) == asked * hit

        async with many(running, 60) as clients, trio.open_nursery() as nursery:
            for each in clients:
                each.say(b"get big/peek\r\n" * asked)
                nursery.start_soon(read_all, each)
        assert (await client.stats())["clients_over_memory"] == "0"


NAMES = b" ".join(b"%d" % number + b"n" * 56 for number in range(999))
SENT_AHEAD = b"get jobs/t=100000000\r\n" + b"version\r\n" * 25_000
WAITS = {
    "for many names": b"get x/t=100000000 %b\r\n" % NAMES,
    "with much sent ahead": SENT_AHEAD,
    "for room": b"set full/t=100000000 0 0 %d\r\n%b\r\n" % (SIZE, b"x" * SIZE),
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
async def test_waits_are_counted_and_those_who_wait_with_most_are_closed(
    start: Servers, wait: bytes
) -> None:
    running = await a_small_server(start, queues={"full": {"max_items": 1}})
    async with running.client() as client:
        await client.expect_reply(put(b"full", b"x"), STORED)
        async with many(running, 90) as clients, trio.open_nursery() as nursery:

            async def say(each: Client) -> None:
                with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    await each.send(wait)

            for each in clients:
                nursery.start_soon(say, each)
            with trio.fail_after(PATIENCE):
                while int((await client.stats())["clients_over_memory"]) < 2:
                    assert used(running) <= LIMIT + 65536
                    await trio.sleep(0.01)
            await expect_service(running)
            nursery.cancel_scope.cancel()
        await running.until_connected(1)
    assert used(running) == 0


async def test_a_client_that_sends_ahead_while_a_sync_lasts_is_bounded(start: Servers) -> None:
    """Its interest was never looked at while its output waited: it could send without end."""
    from tests.server.in_process import SlowSyncFiles

    files = SlowSyncFiles()
    running = await start(files, sync="always")
    async with running.client() as client:
        await client.expect_reply(put(b"jobs", b"x"), STORED)
        files.held = True
        begun = files.begun
        while files.begun == begun:  # until one is made beside the tick
            client.say(put(b"jobs", b"x"))
            await trio.sleep(0.01)
        sent = await client.send_what_is_taken(patience=0.5)
        assert sent < 20 << 20, "socket buffers, and a megabyte"
        assert used(running) <= (1 << 20) + 65536
        files.let_all_go()


async def test_what_came_before_is_not_kept_for_an_idle_client(start: Servers) -> None:
    running = await a_small_server(start)
    async with running.client() as client:
        await client.send(b"version\r\n" * 6000)
        await client.expect(b"VERSION 1.0.0\r\n" * 6000)
        (connection,) = running.server._tick.connections
        dialect = connection.session._dialect
        assert dialect is not None
        assert len(dialect._buffer) <= 4096  # type: ignore[attr-defined]


async def test_long_lines_that_never_end_are_counted_and_closed(start: Servers) -> None:
    running = await a_small_server(start)
    line = b"get" + b" key" * 100_000
    async with many(running, 3) as clients:
        for client in clients:
            await client.send(line)
        await until_used(running, 3 * len(line))
        assert used(running) < LIMIT
        await expect_service(running)
    await running.until_connected(0)
    assert used(running) == 0
    async with many(running, 30) as clients, trio.open_nursery() as nursery:

        async def say(each: Client) -> None:
            with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await each.send(line)

        for client in clients:
            nursery.start_soon(say, client)
        async with running.client() as observer:
            with trio.fail_after(PATIENCE):
                while int((await observer.stats())["clients_over_memory"]) < 1:
                    assert used(running) <= LIMIT + 65536
                    await trio.sleep(0.01)
        await expect_service(running)
        nursery.cancel_scope.cancel()
    await running.until_connected(0)
    assert used(running) == 0


async def test_a_user_has_a_budget_of_its_own(start: Servers, tmp_path: Path) -> None:
    users_file = tmp_path / "users"
    users_file.write_text("".join(f"{name}:{hashed('geheim')}\n" for name in ("anna", "bob")))
    rights = {"put": ["#"], "get": ["#"]}
    users = {"anna": {**rights, "client_memory": "256k"}, "bob": rights}
    running = await start(users_file=users_file, users=users)
    begun = b"set jobs 0 0 1000000\r\n" + b"x" * 600_000
    async with running.client() as anna, running.client() as other, running.client() as bob:
        for client, name in ((anna, "anna"), (other, "anna"), (bob, "bob")):
            await client.expect_reply(token(name), b"STORED\r\n")
        await bob.send(begun)
        with contextlib.suppress(trio.BrokenResourceError):
            await anna.send(begun)
        assert await anna.read_to_the_end() == b""
        await other.expect_reply(put(b"jobs", b"y" * 1000), b"STORED\r\n")
        await bob.send(b"x" * 400_000 + b"\r\n")
        await bob.expect(b"STORED\r\n")
        assert (await bob.stats())["clients_over_memory"] == "1"
        with trio.fail_after(PATIENCE):
            while running.server._tick.connections.budgets:
                await trio.sleep(0.001)
