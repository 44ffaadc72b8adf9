"""Open reads through real sockets: what comes back when, to whom, and who wakes up for it.

An item that is open is nobody else's until its read ends; however that happens, nothing is lost,
and whoever waits is served at once, whatever else the server has to do or has not.
"""

import pytest
import trio

from starling_py.server import server
from tests.server.in_process import (
    PATIENCE,
    Client,
    FailingFiles,
    Servers,
    SlowSyncFiles,
    item,
    put,
)
from tests.server.test_commits import NO_ROOM, disk_full

VERSION = b"VERSION 1.0.0\r\n"


async def fill(client: Client, *datas: bytes, queue: bytes = b"q") -> None:
    """Put items."""
    await client.expect_reply(
        b"".join(put(queue, data) for data in datas), b"STORED\r\n" * len(datas)
    )


async def test_an_open_item_is_nobody_elses_until_it_is_closed(start: Servers) -> None:
    running = await start()
    async with running.client() as worker, running.client() as other:
        await fill(other, b"1")
        await worker.expect_reply(b"get q/open\r\n", item(b"q/open", b"1"))
        await other.expect_reply(b"get q\r\nget q/peek\r\n", b"END\r\nEND\r\n")
        stats = await other.stats(b"stats queue q")
        assert (stats["queue_q_items"], stats["queue_q_open_transactions"]) == ("0", "1")
        await worker.expect_reply(b"get q/close\r\n", b"END\r\n")
        worker.hang_up()
        await running.until_connected(1)
        await other.expect_reply(b"get q\r\n", b"END\r\n")


async def test_a_disconnect_gives_back_in_the_old_order_and_wakes_those_who_wait(
    start: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_HOUSEKEEPING", 3600)
    running = await start(sync="never")
    async with running.client() as worker, running.client() as other:
        await fill(other, b"1", b"2", b"3", b"4")
        await worker.expect_reply(
            b"get q/open\r\n" * 4, b"".join(item(b"q/open", b"%d" % each) for each in range(1, 5))
        )
        first, second = running.clients(2)
        await first.send(b"get q/t=9000\r\n")
        await running.until_waiting(1)
        await second.send(b"get q/t=9000/open\r\n")
        await running.until_waiting(2)
        worker.hang_up()
        # Nothing else happens on the server now: it must think of them by itself.
        await first.expect(item(b"q/t=9000", b"1"))
        await second.expect(item(b"q/t=9000/open", b"2"))
        await other.expect_reply(b"get q\r\nget q\r\n", item(b"q", b"3") + item(b"q", b"4"))
        for each in (first, second):
            each.hang_up()


@pytest.mark.parametrize("end", ["reset", "quit", "idle"])
async def test_however_a_connection_ends_whoever_waits_gets_what_it_held(
    start: Servers, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    if end != "idle":
        monkeypatch.setattr(server, "_HOUSEKEEPING", 3600)
    running = await start(sync="never", timeout=2 if end == "idle" else 0)
    async with running.client() as worker, running.client() as waiter:
        await fill(waiter, b"1")
        await worker.expect_reply(b"get q/open\r\n", item(b"q/open", b"1"))
        await waiter.send(b"get q/t=9000\r\n")
        await running.until_waiting(1)
        if end == "reset":
            worker.reset()
        elif end == "quit":
            await worker.send(b"quit\r\n")
            assert await worker.read_to_the_end() == b""
            worker.hang_up()
        await waiter.expect(item(b"q/t=9000", b"1"))


async def test_an_abort_wakes_the_one_who_waits(start: Servers) -> None:
    running = await start()
    async with running.client() as worker, running.client() as waiter:
        await fill(worker, b"1")
        await worker.expect_reply(b"get q/open\r\n", item(b"q/open", b"1"))
        await waiter.send(b"get q/open/t=9000\r\n")
        await running.until_waiting(1)
        await worker.expect_reply(b"get q/abort\r\n", b"END\r\n")
        await waiter.expect(item(b"q/open/t=9000", b"1"))


async def test_an_item_given_to_a_blocking_open_is_back_when_its_client_is_gone(
    start: Servers,
) -> None:
    running = await start()
    async with running.client() as worker, running.client() as other:
        await worker.send(b"get q/open/t=9000\r\n")
        await running.until_waiting(1)
        await fill(other, b"1")
        await worker.expect(item(b"q/open/t=9000", b"1"))
        worker.hang_up()
        await other.expect_reply(b"get q/t=5000\r\n", item(b"q/t=5000", b"1"))


async def test_the_end_of_a_lease_wakes_the_one_who_waits_by_itself(start: Servers) -> None:
    running = await start()
    async with running.client() as worker, running.client() as waiter:
        await fill(worker, b"1")
        await worker.expect_reply(b"get q/open/lease=0.2\r\n", item(b"q/open/lease=0.2", b"1"))
        await waiter.expect_reply(b"get q/t=9000\r\n", item(b"q/t=9000", b"1"))
        # The one whose lease it was still has a connection, and its late close does no harm.
        await worker.expect_reply(b"get q/close\r\n", b"END\r\n")


async def test_a_lease_outlives_its_connection_and_anybody_may_close_it(start: Servers) -> None:
    running = await start()
    async with running.client() as worker, running.client() as other:
        await fill(other, b"1", b"2")
        await worker.expect_reply(b"gats 60 q\r\n", b"VALUE q 0 1 1\r\n1\r\nEND\r\n")
        worker.hang_up()
        await running.until_connected(1)
        await other.expect_reply(b"get q/peek\r\n", item(b"q/peek", b"2"))
        await other.expect_reply(b"get q/close=1\r\n", b"END\r\n")
        await other.expect_reply(b"get q/close=1\r\n", b"CLIENT_ERROR item 1 is not open\r\n")
        await other.expect_reply(b"get q\r\nget q\r\n", item(b"q", b"2") + b"END\r\n")


async def test_a_delay_ends_by_itself_and_wakes_the_one_who_waits(start: Servers) -> None:
    running = await start()
    async with running.client() as waiter, running.client() as other:
        # In one turn of the server, so that the time cannot be over before the get.
        await other.expect_reply(put(b"q/delay=0.2", b"late") + b"get q\r\n", b"STORED\r\nEND\r\n")
        await waiter.expect_reply(b"get q/t=9000\r\n", item(b"q/t=9000", b"late"))
        await fill(other, b"again")
        await other.expect_reply(b"get q/open\r\n", item(b"q/open", b"again"))
        await other.expect_reply(b"get q/abort/delay=0.2\r\nget q\r\n", b"END\r\nEND\r\n")
        await waiter.expect_reply(b"get q/t=9000\r\n", item(b"q/t=9000", b"again"))


async def test_a_plain_get_with_an_open_read_is_an_error_that_closes_nothing(
    start: Servers,
) -> None:
    running = await start()
    async with running.client() as client:
        await fill(client, b"1", b"2")
        await client.expect_reply(b"get q/open\r\n", item(b"q/open", b"1"))
        refusal = b"CLIENT_ERROR a read of this queue is open; close or abort it first\r\n"
        await client.expect_reply(b"get q\r\nget p q\r\nversion\r\n", refusal * 2 + VERSION)
        await client.expect_reply(b"get q/peek\r\n", item(b"q/peek", b"2"))
        await client.expect_reply(b"get q/close/open\r\n", item(b"q/close/open", b"2"))


@pytest.mark.parametrize(
    "key",
    [
        b"q/peek/open",
        b"q/peek/close",
        b"q/peek/abort",
        b"q/abort/open",
        b"q/abort/close",
        b"q/open/open",
        b"q/lease=5",
        b"q/delay=5",
        b"q/n=2",
        b"q/open=1",
        b"q/open/lease=0",
        b"q/close=0",
        b"q/close=77",
        b"q/opne",
        b"/open",
    ],
)
async def test_what_makes_no_sense_pops_nothing_and_ends_no_read(
    start: Servers, key: bytes
) -> None:
    running = await start()
    async with running.client() as client:
        await fill(client, b"1", b"2")
        await client.expect_reply(b"get q/open\r\n", item(b"q/open", b"1"))
        await client.send(b"get q/close %b\r\n" % key)
        assert (await client.read_line()).startswith(b"CLIENT_ERROR ")
        stats = await client.stats(b"stats queue q")
        assert (stats["queue_q_items"], stats["queue_q_open_transactions"]) == ("1", "1")


async def test_what_cannot_be_written_is_told_once_and_the_read_is_open_again(
    start: Servers,
) -> None:
    files = FailingFiles()
    running = await start(files)
    async with running.client() as client:
        await fill(client, b"1", b"2")
        await client.expect_reply(b"get q/open\r\n", item(b"q/open", b"1"))
        files.error = disk_full()
        await client.expect_reply(b"get q/close\r\nversion\r\n", NO_ROOM + VERSION)
        await client.expect_reply(b"get q/close/open\r\nversion\r\n", NO_ROOM + VERSION)
        await client.expect_reply(b"get q/open\r\nversion\r\n", NO_ROOM + VERSION)
        await client.expect_reply(b"confirm q 1\r\nversion\r\n", NO_ROOM + VERSION)
        files.error = None
        stats = await client.stats(b"stats queue q")
        assert (stats["queue_q_items"], stats["queue_q_open_transactions"]) == ("1", "1")
        await client.expect_reply(b"get q/close/open\r\n", item(b"q/close/open", b"2"))
        await client.expect_reply(b"get q/close\r\nget q/open\r\n", b"END\r\nEND\r\n")


async def test_a_failed_close_is_told_though_its_client_waited_for_another_item(
    start: Servers,
) -> None:
    files = FailingFiles()
    running = await start(files)
    async with running.client() as client, running.client() as other:
        await fill(client, b"1")
        await client.expect_reply(b"get q/open\r\n", item(b"q/open", b"1"))
        files.error, files.only = disk_full(), "/q/"
        await client.send(b"get q/close/open/t=9000\r\n")
        assert (await client.read_line()).startswith(b"SERVER_ERROR ")
        files.error = None
        await client.expect_reply(b"version\r\n", VERSION)
        await client.expect_reply(b"get q/close\r\n", b"END\r\n")
        await other.expect_reply(b"get q\r\n", b"END\r\n")


async def test_under_always_a_close_waits_for_its_sync_and_is_undone_if_it_fails(
    start: Servers,
) -> None:
    files = SlowSyncFiles()
    running = await start(files, sync="always")
    async with running.client() as client, running.client() as other:
        await fill(client, b"1")
        await client.expect_reply(b"get q/open\r\n", item(b"q/open", b"1"))
        files.held = True
        begun = files.begun
        await client.send(b"get q/close\r\n")
        await files.until_begun(begun + 1)
        await client.expect_nothing(0.05)
        files.error = OSError(5, "Input/output error")
        files.let_go(1)
        assert (await client.read_line()).startswith(b"SERVER_ERROR ")
        files.error = None
        files.let_all_go()
        await other.until_stat("queue_q_journal_broken", "0")
        await client.expect_reply(b"get q/close\r\n", b"END\r\n")
        await other.expect_reply(b"get q\r\n", b"END\r\n")


async def test_under_always_a_close_waits_for_its_sync_though_a_wait_ends_before(
    start: Servers,
) -> None:
    files = SlowSyncFiles()
    running = await start(files, sync="always")
    async with running.client() as client:
        await fill(client, b"1")
        await client.expect_reply(b"get q/open\r\n", item(b"q/open", b"1"))
        files.held = True
        await client.send(b"get q/close/open/t=20\r\n")
        await client.expect_nothing(0.1)
        files.let_all_go()
        await client.expect(b"END\r\n")


# Monitor and confirm


async def test_a_monitor_gives_each_item_as_it_comes_and_an_end_when_it_is_over(
    start: Servers,
) -> None:
    running = await start()
    async with running.client() as client, running.client() as other:
        await fill(other, b"1")
        await client.send(b"monitor q 60 3\r\n")
        await client.expect(item(b"q", b"1"))
        await fill(other, b"2")
        await client.expect(item(b"q", b"2"))
        await client.expect_nothing(0.05)
        await fill(other, b"3", b"4")
        await client.expect(item(b"q", b"3") + b"END\r\n")
        await client.expect_reply(b"confirm q 4\r\n", b"ERROR\r\n")
        await client.expect_reply(b"confirm q 0\r\n", b"ERROR\r\n")
        await client.expect_reply(b"confirm q 2\r\n", b"END\r\n")
        client.hang_up()
        await running.until_connected(1)
        await other.expect_reply(b"get q\r\n" * 3, item(b"q", b"3") + item(b"q", b"4") + b"END\r\n")


async def test_a_monitor_that_is_not_read_gets_all_later_in_bounded_memory(
    start: Servers,
) -> None:
    running = await start(queues={"q": {"max_open_reads": 1000}})
    size, count = 60_000, 200
    async with running.client(receive_buffer=4096) as lazy, running.client() as other:
        for number in range(count):
            await other.expect_reply(put(b"q", b"%03d" % number + bytes(size)), b"STORED\r\n")
        lazy.say(b"monitor q 60 %d\r\n" % count)
        with trio.fail_after(PATIENCE):
            opened, before = 0, -1
            while opened != before:
                await trio.sleep(0.1)
                stats = await other.stats(b"stats queue q")
                before, opened = opened, int(stats["queue_q_open_transactions"])
        # What the server and the system hold for it: one bound of output, and what is under way.
        assert 0 < opened < count // 2
        for number in range(count):
            await lazy.expect(item(b"q", b"%03d" % number + bytes(size)))
        await lazy.expect_reply(b"confirm q %d\r\n" % count, b"END\r\nEND\r\n")
        assert (await other.stats())["curr_items"] == "0"


async def test_a_monitor_ends_with_the_server_and_with_its_client(start: Servers) -> None:
    running = await start()
    async with running.client() as client, running.client() as other:
        await client.send(b"monitor q 60\r\n")
        await other.send(b"monitor q 60\r\n")
        await running.until_waiting(2)
        other.hang_up()
        await running.until_waiting(1)
        await running.stop()
        assert await client.read_to_the_end() == b"END\r\n"
