"""The rules of queues through real sockets: limits, room, fan-out, pauses, draining, reloading."""

from collections.abc import Callable

import pytest
import trio

from starling_py.server import server
from starling_py.settings.errors import ConfigError
from starling_py.settings.server_settings import Settings
from tests.server.in_process import (
    PATIENCE,
    FailingFiles,
    RunningServer,
    Servers,
    SlowSyncFiles,
    item,
    put,
)
from tests.server.test_commits import disk_full

VERSION = b"VERSION 1.0.0\r\n"


def read_by(running: RunningServer, read: Callable[[], Settings]) -> None:
    """Have the server read its settings in this way when it is told to."""
    running.server._host._read_settings = read


# Limits


async def test_a_full_queue_refuses_a_put_and_takes_it_when_there_is_room(start: Servers) -> None:
    running = await start(queues={"q": {"max_items": 2}})
    async with running.client() as client:
        await client.expect_reply(put(b"q", b"1") * 3, b"STORED\r\n" * 2 + b"NOT_STORED\r\n")
        await client.expect_reply(b"get q/open\r\n", item(b"q/open", b"1"))
        await client.expect_reply(put(b"q", b"2") * 2, b"STORED\r\nNOT_STORED\r\n")


async def test_puts_that_wait_for_room_get_it_in_the_order_of_their_coming(start: Servers) -> None:
    running = await start(queues={"q": {"max_items": 1}})
    first, second = running.clients(2)
    async with first, second, running.client() as reader:
        await reader.expect_reply(put(b"q", b"0"), b"STORED\r\n")
        await first.send(put(b"q/t=9000", b"1") + b"version\r\n")
        await running.until_waiting(1)
        await second.send(put(b"q/t=9000", b"2"))
        await running.until_waiting(2)
        await first.expect_nothing(0.02)
        await reader.expect_reply(b"get q\r\n", item(b"q", b"0"))
        await first.expect(b"STORED\r\n" + VERSION)
        await second.expect_nothing(0.02)
        await reader.expect_reply(b"get q\r\n", item(b"q", b"1"))
        await second.expect(b"STORED\r\n")
        await reader.expect_reply(b"get q\r\nget q\r\n", item(b"q", b"2") + b"END\r\n")


async def test_a_put_that_waited_in_vain_or_whose_client_went_is_not_stored(
    start: Servers,
) -> None:
    running = await start(queues={"q": {"max_items": 1}})
    async with running.client() as gone, running.client() as late, running.client() as reader:
        await reader.expect_reply(put(b"q", b"0"), b"STORED\r\n")
        await late.expect_reply(
            put(b"q/t=50", b"late") + b"version\r\n", b"NOT_STORED\r\n" + VERSION
        )
        await gone.send(put(b"q/t=9000", b"gone"))
        await running.until_waiting(1)
        gone.hang_up()
        await running.until_waiting(0)
        await reader.expect_reply(b"get q\r\nget q\r\n", item(b"q", b"0") + b"END\r\n")


async def test_room_that_comes_with_time_is_noticed(
    start: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dead items are swept without anybody asking, and that makes room."""
    monkeypatch.setattr(server, "_HOUSEKEEPING", 0.02)
    running = await start(sync="never", queues={"q": {"max_items": 1, "max_age": 0.1}})
    async with running.client() as client:
        await client.expect_reply(put(b"q", b"0"), b"STORED\r\n")
        await client.expect_reply(put(b"q/t=9000", b"1"), b"STORED\r\n")


async def test_what_is_moved_by_the_housekeeping_reaches_who_waits_for_it(
    start: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_HOUSEKEEPING", 0.02)
    running = await start(sync="never", queues={"q": {"max_age": 0.1, "expire_to": "late"}})
    async with running.client() as client, running.client() as waiter:
        await client.expect_reply(put(b"q", b"0"), b"STORED\r\n")
        await waiter.expect_reply(b"get late/t=9000\r\n", item(b"late/t=9000", b"0"))


async def test_an_item_that_comes_back_too_often_goes_to_the_dead_letters(start: Servers) -> None:
    running = await start(queues={"q": {"max_deliveries": 2, "dead_letter": "dead"}})
    async with running.client() as client, running.client() as waiter:
        await client.expect_reply(
            put(b"q", b"bad", flags=7) + put(b"q", b"good"), b"STORED\r\n" * 2
        )
        await waiter.send(b"get dead/t=9000\r\n")
        await running.until_waiting(1)
        for _ in range(2):
            await client.expect_reply(b"get q/open\r\n", item(b"q/open", b"bad", flags=7))
            await client.expect_reply(b"get q/abort\r\n", b"END\r\n")
        await client.expect_reply(b"get q\r\n", item(b"q", b"good"))
        await waiter.expect(item(b"dead/t=9000", b"bad", flags=7))
        await client.until_stat("curr_items", "0")
        assert (await client.stats())["queue_q_dead_lettered"] == "1"


async def test_waiting_for_several_queues_ends_with_the_first_that_has_something(
    start: Servers,
) -> None:
    running = await start(queues={"b": {"paused": True}})
    async with running.client() as waiter, running.client() as other:
        await other.expect_reply(put(b"b", b"paused"), b"STORED\r\n")
        await waiter.send(b"get a b c/t=9000\r\n")
        await running.until_waiting(1)
        await other.expect_reply(put(b"c", b"1"), b"STORED\r\n")
        await waiter.expect(item(b"c/t=9000", b"1"))
        await waiter.expect_reply(b"get a b/t=50 c\r\n", b"END\r\n")


# Safety on demand


@pytest.mark.parametrize("sync", ["always", "3600s", "never"])
async def test_a_put_with_sync_is_answered_after_its_sync_under_every_policy(
    start: Servers, sync: str
) -> None:
    files = SlowSyncFiles()
    running = await start(files, sync=sync)
    async with running.client() as client, running.client() as other:
        files.held = True
        begun = files.begun
        await client.send(put(b"q/sync", b"1") + b"version\r\n")
        with trio.fail_after(PATIENCE):
            # A sync of the whole is done in the background thread, and waits there as well.
            while files.begun == begun:
                await trio.sleep(0.001)
        await client.expect_nothing(0.05)
        await other.expect_reply(b"get q/peek\r\n", item(b"q/peek", b"1"))
        files.let_all_go()
        await client.expect(b"STORED\r\n" + VERSION)


@pytest.mark.parametrize("sync", ["always", "3600s", "never"])
async def test_a_put_with_sync_that_cannot_be_synced_is_an_error(start: Servers, sync: str) -> None:
    files = SlowSyncFiles()
    running = await start(files, sync=sync)
    async with running.client() as client:
        await client.expect_reply(put(b"q/sync", b"0"), b"STORED\r\n")
        files.error = OSError(5, "Input/output error")
        await client.send(put(b"q/sync", b"1"))
        assert (await client.read_line()).startswith(b"SERVER_ERROR ")
        await client.expect_reply(b"version\r\n", VERSION)
        assert (await client.stats())["total_items"] == "1"
        files.error = None


async def test_a_put_with_sync_that_nobody_keeps_is_answered_at_once(start: Servers) -> None:
    running = await start(queues={"q": {"fanout_only": True}, "m": {"journal": False}})
    async with running.client() as client:
        await client.expect_reply(put(b"q/sync", b"1") + put(b"q", b"1"), b"STORED\r\n" * 2)
        await client.expect_reply(
            put(b"m/sync", b"1") + b"get m\r\n", b"STORED\r\n" + item(b"m", b"1")
        )


# Fan-out


async def test_a_child_gets_a_copy_of_what_is_put_after_it_came(start: Servers) -> None:
    running = await start()
    async with running.client() as client, running.client() as waiter:
        await client.expect_reply(put(b"news", b"old"), b"STORED\r\n")
        await client.expect_reply(b"get news+a\r\n", b"END\r\n")
        await waiter.send(b"get news+b/open/t=9000\r\n")
        await running.until_waiting(1)
        await client.expect_reply(put(b"news", b"new", flags=3), b"STORED\r\n")
        await waiter.expect(item(b"news+b/open/t=9000", b"new", flags=3))
        await client.expect_reply(b"get news+a\r\n", item(b"news+a", b"new", flags=3))
        await client.expect_reply(
            b"get news\r\nget news\r\n", item(b"news", b"old") + item(b"news", b"new", 3)
        )
        assert (await client.stats())["queue_news_children"] == "news+a,news+b"
    await running.stop()
    running = await start()
    async with running.client() as client:
        await client.expect_reply(
            put(b"news", b"x") + b"get news+a\r\n", b"STORED\r\n" + item(b"news+a", b"x")
        )


async def test_a_child_whose_journal_fails_fails_the_put(start: Servers) -> None:
    files = FailingFiles()
    running = await start(files)
    async with running.client() as client:
        await client.expect_reply(b"get news+a news+b\r\n", b"END\r\n")
        files.error, files.only = disk_full(), "%2ba/"
        await client.send(put(b"news", b"1"))
        assert (await client.read_line()).startswith(b"SERVER_ERROR ")
        files.error = None
        await client.expect_reply(put(b"news", b"2") + b"version\r\n", b"STORED\r\n" + VERSION)
        await client.expect_reply(b"get news+a\r\n", item(b"news+a", b"2"))
        await client.expect_reply(
            b"get news+b\r\n", item(b"news+b", b"1")
        )  # once more, not once less


async def test_a_route_brings_a_copy_to_queues_that_need_not_exist(start: Servers) -> None:
    running = await start(routes={"orders.*": ["audit", "billing"]})
    async with running.client() as client:
        await client.expect_reply(put(b"orders.eu", b"1"), b"STORED\r\n")
        both = b"VALUE audit 0 1\r\n1\r\nVALUE billing 0 1\r\n1\r\nEND\r\n"
        await client.expect_reply(
            b"get audit billing\r\nget orders.eu\r\n", both + item(b"orders.eu", b"1")
        )


# Pausing, draining, reloading


async def test_a_paused_queue_gives_nothing_until_the_rules_are_reloaded(
    start: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_HOUSEKEEPING", 3600)
    running = await start(sync="never", queues={"q": {"paused": True}})
    async with running.client() as client, running.client() as waiter:
        await client.expect_reply(put(b"q", b"1"), b"STORED\r\n")
        await client.expect_reply(b"get q\r\nget q/open\r\nget q/peek\r\n", b"END\r\n" * 3)
        await waiter.send(b"get q/t=9000\r\n")
        await running.until_waiting(1)
        read_by(running, Settings)
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert running.server._host.reload() is None
        await waiter.expect(item(b"q/t=9000", b"1"))


async def test_a_bad_file_changes_nothing_and_is_told_of(start: Servers) -> None:
    running = await start(allow_reload=True, queues={"q": {"max_items": 1}})

    def bad() -> Settings:
        raise ConfigError(["file.yml:3: max_items: must be\na number", "file.yml:4: worse"])

    read_by(running, bad)
    async with running.client() as client:
        await client.send(b"reload\r\n")
        line = await client.read_line()
        assert line.startswith(b"SERVER_ERROR file.yml:3")
        assert b"file.yml:4: worse" in line
        await client.expect_reply(put(b"q", b"1") * 2, b"STORED\r\nNOT_STORED\r\n")
        read_by(running, lambda: Settings(queues={"q": {"max_items": 2}}))
        await client.send(b"reload\r\n")
        assert (await client.read_line()).startswith(
            b"Reloaded config. This needs a restart: port: "
        )
        await client.expect_reply(put(b"q", b"1") * 2, b"STORED\r\nNOT_STORED\r\n")
        await client.send(b"dump_config q\r\n")
        assert b"  max_items=2\r\n" in await client.read_until(b"END\r\n")


async def test_who_waits_for_room_gets_it_when_a_limit_is_lifted(
    start: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_HOUSEKEEPING", 3600)
    running = await start(sync="never", queues={"q": {"max_items": 1}})
    read_by(running, Settings)
    async with running.client() as client:
        await client.expect_reply(put(b"q", b"1"), b"STORED\r\n")
        await client.send(put(b"q/t=9000", b"2"))
        await running.until_waiting(1)
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert running.server._host.reload() is None
        await client.expect(b"STORED\r\n")


async def test_a_server_that_drains_gives_out_and_takes_nothing(start: Servers) -> None:
    running = await start(allow_drain=True)
    refusal = b"SERVER_ERROR draining: no puts are accepted\r\n"
    async with running.client() as client:
        await client.expect_reply(put(b"q", b"1") + b"status\r\n", b"STORED\r\nUP\r\n")
        await client.expect_reply(b"status readonly\r\nstatus\r\n", b"END\r\nREADONLY\r\n")
        await client.expect_reply(put(b"q", b"2") + put(b"p/t=9000", b"2"), refusal * 2)
        await client.expect_reply(b"add p 0 0 1\r\n1\r\nprepend p 0 0 1\r\n1\r\n", refusal * 2)
        assert (await client.stats())["accepting_conns"] == "0"
        await client.expect_reply(
            b"get q/open\r\nget q/close\r\n", item(b"q/open", b"1") + b"END\r\n"
        )
        await client.send(b"status sideways\r\n")
        assert (await client.read_line()).startswith(b"CLIENT_ERROR ")
        await client.expect_reply(b"status UP\r\n", b"END\r\n")
        await client.expect_reply(put(b"q", b"2"), b"STORED\r\n")
        assert (await client.stats())["curr_queues"] == "1"


async def test_an_idle_queue_goes_and_one_that_is_used_stays(
    start: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_HOUSEKEEPING", 0.02)
    running = await start(queues={"*": {"idle_expire": 0.2}})
    async with running.client() as client:
        await client.expect_reply(put(b"q", b"1") + put(b"full", b"1"), b"STORED\r\n" * 2)
        await client.expect_reply(b"get q\r\n", item(b"q", b"1"))
        await client.until_stat("curr_queues", "1")
        await client.expect_reply(b"get full\r\n", item(b"full", b"1"))
        await client.until_stat("curr_queues", "0")


# Who holds what


async def test_stats_of_a_queue_tell_who_holds_its_items(start: Servers) -> None:
    running = await start()
    async with running.client() as worker, running.client() as client:
        await client.expect_reply(put(b"q", b"1") * 2, b"STORED\r\n" * 2)
        await worker.expect_reply(b"get q/open\r\n", item(b"q/open", b"1"))
        asked = trio.current_time()
        await worker.expect_reply(b"gat 60 q\r\n", item(b"q", b"1"))
        stats = await client.stats(b"stats queue q")
        assert stats["open_1_holder"] == stats["open_2_holder"]
        assert stats["open_1_holder"].startswith("127.0.0.1:")
        assert stats["open_1_name"] == "-"
        assert (stats["open_1_lease"], stats["open_1_deliveries"]) == ("none", "1")
        # In tenths of a second.
        assert 59.9 - (trio.current_time() - asked) <= float(stats["open_2_lease"]) <= 60
        conns = await client.stats(b"stats conns")
        held = {name: value for name, value in conns.items() if name.endswith(":open_reads")}
        assert sorted(held.values()) == ["0", "2"]
        worker.hang_up()
        await running.until_connected(1)
        stats = await client.stats(b"stats queue q")
        assert "open_1_holder" not in stats
        assert stats["open_2_holder"] == "nobody"
        # A mistyped name is told from a queue that is idle.
        assert await client.stats(b"stats queue none") == {"queue_none_exists": "0"}
