"""The end of a server: nobody is left hanging, nothing is lost, and it keeps its time (I10)."""

import contextlib
import threading

import pytest
import trio

from tests.server.in_process import PATIENCE, Servers, SlowSyncFiles, item, put

VERSION = b"VERSION 1.0.0\r\n"


async def test_a_stop_closes_idle_clients_at_once(start: Servers) -> None:
    running = await start(grace_time=60)
    async with running.client() as silent, running.client() as idle:
        await idle.expect_reply(b"version\r\n", VERSION)
        await running.until_connected(2)
        await running.stop()
        assert await silent.read_to_the_end() == b""
        assert await idle.read_to_the_end() == b""


async def test_a_stop_gives_waiters_their_miss(start: Servers) -> None:
    running = await start(grace_time=60)
    async with running.client() as waiter, running.client() as other:
        await waiter.send(b"get q/t=60000\r\n")
        await other.send(b"get a/t=60000 b/t=60000\r\n")
        await running.until_waiting(2)
        await running.stop()
        assert await waiter.read_to_the_end() == b"END\r\n"
        assert await other.read_to_the_end() == b"END\r\n"


async def test_commands_behind_a_wait_that_a_stop_ends_are_executed(start: Servers) -> None:
    running = await start(grace_time=60)
    async with running.client() as waiter:
        await waiter.send(b"get q/t=60000\r\n" + put(b"q", b"1") + b"get r/t=60000\r\nversion\r\n")
        await running.until_waiting(1)
        await running.stop()
        assert await waiter.read_to_the_end() == b"END\r\nSTORED\r\nEND\r\n" + VERSION
    running = await start()
    async with running.client() as client:
        await client.expect_reply(b"get q\r\n", item(b"q", b"1"))


async def test_a_command_that_was_half_sent_may_be_finished(start: Servers) -> None:
    running = await start(grace_time=60)
    async with running.client() as client:
        await client.send(b"set q 0 0 10\r\nhalf-")
        await running.until_connected(1)
        running.server.stop()
        await client.expect_nothing()
        await client.send(b"done!\r\n")
        assert await client.read_to_the_end() == b"STORED\r\n"
    await running.stop()
    running = await start()
    async with running.client() as client:
        await client.expect_reply(b"get q\r\n", item(b"q", b"half-done!"))


async def test_a_blocking_get_that_was_half_sent_does_not_wait_any_more(start: Servers) -> None:
    running = await start(grace_time=60)
    async with running.client() as client:
        await client.send(b"get q/t=600")
        await running.until_connected(1)
        running.server.stop()
        await client.expect_nothing()
        await client.send(b"00\r\n")
        assert await client.read_to_the_end() == b"END\r\n"
    await running.stop()


async def test_who_never_finishes_a_command_is_closed_after_the_grace_time(
    start: Servers,
) -> None:
    running = await start(grace_time="0.3")
    async with running.client() as client:
        await client.send(b"set q 0 0 10\r\nhalf-")
        await running.until_connected(1)
        assert await running.stop() >= 0.3
        assert await client.read_to_the_end() == b""


async def test_who_never_reads_is_closed_when_the_grace_time_is_over(start: Servers) -> None:
    running = await start(grace_time="0.3")
    async with running.client(receive_buffer=4096) as lazy:
        await lazy.send_what_is_taken(0.2)
        assert await running.stop() >= 0.3


async def test_who_reads_late_gets_everything_within_the_grace_time(start: Servers) -> None:
    running = await start(grace_time=60)
    body = b"x" * 1_000_000
    async with running.client(receive_buffer=4096) as lazy:
        for _ in range(5):
            await lazy.expect_reply(put(b"q", body), b"STORED\r\n")
        await lazy.send(b"get q\r\n" * 5)
        await running.until_connected(1)
        running.server.stop()
        assert await lazy.read_to_the_end() == item(b"q", body) * 5
    await running.stop()


async def test_what_was_sent_before_the_stop_is_answered_in_full(start: Servers) -> None:
    """Also when it is more than one read takes, and that read ends with a whole command."""
    running = await start(grace_time=60)
    command = b"version       \r\n"
    assert 65536 % len(command) == 0
    count = 65536 // len(command) + 500
    async with running.client() as client:
        await client.expect_reply(b"version\r\n", VERSION)
        client.say(command * count)
        running.server.stop()
        assert await client.read_to_the_end() == VERSION * count


async def test_a_second_stop_ends_the_grace_time(start: Servers) -> None:
    running = await start(grace_time=60)
    async with running.client() as client:
        await client.send(b"set q 0 0 10\r\nhalf-")
        await running.until_connected(1)
        running.server.stop()
        await client.expect_nothing()
        await running.stop()
        assert await client.read_to_the_end() == b""


async def test_no_new_client_is_accepted_during_the_grace_time(start: Servers) -> None:
    running = await start(grace_time=60)
    async with running.client() as client:
        await client.send(b"set q 0 0 10\r\nhalf-")
        await running.until_connected(1)
        running.server.stop()
        await client.expect_nothing()
        with pytest.raises(ConnectionRefusedError):
            running.client()
        await client.expect_reply(b"done!\r\n", b"STORED\r\n")


async def test_everything_acknowledged_is_there_after_a_stop_amid_puts(start: Servers) -> None:
    running = await start()
    acknowledged = 0

    async def produce() -> None:
        nonlocal acknowledged
        async with running.client() as producer:
            with contextlib.suppress(trio.BrokenResourceError):
                while True:
                    await producer.send(put(b"q", b"%d" % acknowledged))
                    if await producer.read(8) != b"STORED\r\n":
                        break
                    acknowledged += 1

    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(produce)
            while acknowledged < 200:
                await trio.lowlevel.checkpoint()
            await running.stop()
    running = await start()
    async with running.client() as client:
        for number in range(acknowledged):
            await client.expect_reply(b"get q\r\n", item(b"q", b"%d" % number))


async def test_a_stop_waits_for_the_sync_that_replies_depend_on(start: Servers) -> None:
    files = SlowSyncFiles()
    running = await start(files, sync="always", grace_time=60)
    async with running.client() as client:
        files.held = True
        await client.send(put(b"q", b"1"))
        await files.until_begun(1)
        running.server.stop()
        await client.expect_nothing()
        files.let_all_go()
        assert await client.read_to_the_end() == b"STORED\r\n"
    await running.stop()


async def test_what_was_not_synced_yet_is_synced_before_the_end(start: Servers) -> None:
    files = SlowSyncFiles()
    running = await start(files, sync="3600s")
    async with running.client() as client:
        await client.expect_reply(put(b"a", b"1") + put(b"b", b"1"), b"STORED\r\nSTORED\r\n")
    before = files.synced
    await running.stop()
    assert files.synced - before == 2


async def test_what_waits_for_its_sync_is_synced_though_the_grace_time_is_over(
    start: Servers,
) -> None:
    """One sync is under way and another queue waits for the next one when the time is over."""
    files = SlowSyncFiles()
    running = await start(files, sync="always", grace_time=0)
    async with running.client() as first, running.client() as second:
        await first.expect_reply(put(b"a", b"0"), b"STORED\r\n")
        await second.expect_reply(put(b"b", b"0"), b"STORED\r\n")
        files.held = True
        await first.send(put(b"a", b"1"))
        await files.until_begun(3)
        await second.send(put(b"b", b"1"))
        async with running.client() as observer:
            await observer.until_stat("queue_b_items", "2")
        before = files.synced
        running.server.stop()
        # The end waits for the thread, and this task cannot run meanwhile.
        threading.Timer(0.1, files.let_all_go).start()
        await running.stop()
        assert files.synced - before == 2


async def test_the_shutdown_command_stops_the_server_only_where_it_is_allowed(
    start: Servers,
) -> None:
    running = await start()
    async with running.client() as client:
        await client.expect_reply(
            b"shutdown\r\nversion\r\n", b"ERROR: shutdown not enabled\r\n" + VERSION
        )
    await running.stop()
    running = await start(allow_shutdown=True)
    async with running.client() as client, running.client() as other:
        await other.expect_reply(b"version\r\n", VERSION)
        await client.send(b"version\r\nshutdown\r\n")
        assert await client.read_to_the_end() == VERSION
        assert await other.read_to_the_end() == b""
        await running.until_ended()


async def test_several_clients_may_ask_for_the_shutdown_at_once(start: Servers) -> None:
    running = await start(allow_shutdown=True)
    clients = running.clients(3)
    for client in clients:
        await client.expect_reply(b"version\r\n", VERSION)
    for client in clients:
        client.say(b"version\r\nshutdown\r\n")
    for client in clients:
        assert await client.read_to_the_end() == VERSION
        client.hang_up()
    await running.until_ended()


async def test_the_spool_is_free_for_the_next_server_after_a_stop(start: Servers) -> None:
    for number in range(3):
        running = await start()
        async with running.client() as client:
            await client.expect_reply(put(b"q", b"%d" % number), b"STORED\r\n")
        await running.stop()
    running = await start()
    async with running.client() as client:
        for number in range(3):
            await client.expect_reply(b"get q\r\n", item(b"q", b"%d" % number))
