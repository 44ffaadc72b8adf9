"""``stats`` and its sub-words: every name that clients look for, each with its true value."""

import contextlib
import os
import re
import resource
from pathlib import Path

import pytest
import trio

from starling_py.journal.format import segment
from starling_py.settings.server_settings import TABLE
from tests.journal.spool_harness import without_mark
from tests.server.in_process import PATIENCE, Client, Servers, item, put

STARLING = [
    "pid",
    "uptime",
    "time",
    "version",
    "rusage_user",
    "rusage_system",
    "curr_items",
    "total_items",
    "bytes",
    "curr_connections",
    "total_connections",
    "cmd_get",
    "cmd_set",
    "get_hits",
    "get_misses",
    "bytes_read",
    "bytes_written",
    "limit_maxbytes",
]
EXPORTERS = [
    "cas_misses",
    "cas_hits",
    "cas_badval",
    "delete_misses",
    "delete_hits",
    "incr_misses",
    "incr_hits",
    "decr_misses",
    "decr_hits",
    "touch_misses",
    "touch_hits",
    "cmd_flush",
    "cmd_touch",
    "evictions",
    "accepting_conns",
    "threads",
    "pointer_size",
    "connection_structures",
    "max_connections",
    "listen_disabled_num",
    "conn_yields",
    "rejected_connections",
    "store_too_large",
    "auth_cmds",
    "auth_errors",
    "idle_kicks",
]
QUEUE = ["items", "total_items", "logsize", "expired_items", "age"]
KESTREL = ["bytes", "mem_bytes", "waiters", "total_flushes", "last_wait"]


async def changes(client: Client, command: bytes, reply: bytes) -> dict[str, int]:
    """Return by how much a command changes which counters; not those that always move."""
    before = await client.stats()
    await client.expect_reply(command, reply)
    after = await client.stats()
    moving = re.compile(
        "time|uptime|rusage_.*|bytes_.*|fsyncs|queue_.*_(age|mem_bytes|logsize|children|last_.*)"
    )
    return {
        name: int(after[name]) - int(before.get(name, 0))
        for name in after
        if not moving.fullmatch(name) and after[name] != before.get(name, "0")
    }


async def test_every_name_is_there_and_every_value_is_one_token(start: Servers) -> None:
    running = await start()
    async with running.client() as client:
        await client.expect_reply(put(b"q", b"1"), b"STORED\r\n")
        stats = await client.stats()
        assert {*STARLING, *EXPORTERS} <= stats.keys()
        assert {f"queue_q_{name}" for name in (*QUEUE, *KESTREL)} <= stats.keys()
        assert all(value and not value.isspace() for value in stats.values())
        numbers = stats.keys() - {"version", "rusage_user", "rusage_system", "queue_q_children"}
        assert all(re.fullmatch(r"-1|\d+", stats[name]) for name in numbers)
        for name in ("rusage_user", "rusage_system"):
            assert re.fullmatch(r"\d+\.\d{6}", stats[name])
        # Starling's clients find the queues by this pattern.
        found = {name for name in stats if re.fullmatch("queue_(.*)_items", name)}
        assert found == {"queue_q_items", "queue_q_total_items", "queue_q_expired_items"}


async def test_the_servers_own_numbers_are_true(start: Servers) -> None:
    running = await start(max_connections=77)
    async with running.client() as client, running.client() as other:
        await other.expect_reply(b"version\r\n", b"VERSION 1.0.0\r\n")
        stats = await client.stats()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        assert abs(float(stats["rusage_user"]) - usage.ru_utime) < 5
        assert stats["version"] == "1.0.0"
        assert stats["pid"].isdigit()
        assert stats["curr_connections"] == stats["connection_structures"] == "2"
        assert stats["total_connections"] == "2"
        assert stats["max_connections"] == "77"
        assert stats["accepting_conns"] == "1"
        assert stats["pointer_size"] in {"32", "64"}
        assert stats["threads"] == "1"
        other.hang_up()
        await client.until_stat("curr_connections", "1")
        assert (await client.stats())["total_connections"] == "2"


async def test_the_limit_of_bytes_is_that_of_memory_else_the_size_of_the_disk(
    start: Servers, tmp_path: Path
) -> None:
    running = await start()
    async with running.client() as client:
        disk = os.statvfs(tmp_path)
        size = disk.f_blocks * disk.f_frsize
        assert int((await client.stats())["limit_maxbytes"]) == size
    await running.stop()
    running = await start(memory_max="64m")
    async with running.client() as client:
        assert (await client.stats())["limit_maxbytes"] == str(64 << 20)


async def test_bytes_read_and_written_are_those_of_the_sockets(start: Servers) -> None:
    running = await start()
    async with running.client() as client:
        sent = put(b"q", b"x" * 300_000) + b"get q\r\n"
        reply = b"STORED\r\n" + item(b"q", b"x" * 300_000)
        await client.expect_reply(sent, reply)
        stats = await client.stats()
        assert int(stats["bytes_read"]) == len(sent) + len(b"stats\r\n")
        assert int(stats["bytes_written"]) == len(reply)


async def test_each_command_moves_its_own_counters(start: Servers) -> None:
    running = await start(item_size_max=1000)
    async with running.client() as client:
        assert await changes(client, put(b"q", b"12345"), b"STORED\r\n") == {
            "cmd_set": 1,
            "total_items": 1,
            "curr_items": 1,
            "curr_queues": 1,
            "bytes": 5,
            "queue_q_items": 1,
            "queue_q_total_items": 1,
            "queue_q_loaded": 1,
            "queue_q_bytes": 5,
        }
        assert await changes(client, b"get q/peek\r\n", item(b"q/peek", b"12345")) == {
            "cmd_get": 1,
            "cmd_peek": 1,
            "get_hits": 1,
        }
        assert await changes(client, b"get q none\r\n", item(b"q", b"12345")) == {
            "cmd_get": 2,
            "get_hits": 1,
            "get_misses": 1,
            "curr_items": -1,
            "bytes": -5,
            "queue_q_items": -1,
            "queue_q_loaded": -1,
            "queue_q_bytes": -5,
            "queue_q_get_hits": 1,
        }
        missed = {"cmd_get": 1, "get_misses": 1}
        assert await changes(client, b"get q\r\n", b"END\r\n") == missed
        assert await changes(client, b"get q/t=1\r\n", b"END\r\n") == missed
        both = {"cmd_get": 2, "get_misses": 2}
        assert await changes(client, b"get q/t=1 none\r\n", b"END\r\n") == both
        for word in ("incr", "decr"):
            command = b"%b q 1\r\n" % word.encode()
            assert await changes(client, command, b"NOT_FOUND\r\n") == {f"{word}_misses": 1}
        assert await changes(client, b"touch q 1\r\n", b"NOT_FOUND\r\n") == {
            "cmd_touch": 1,
            "touch_misses": 1,
        }
        assert await changes(client, b"cas q 0 0 1 1\r\nx\r\n", b"NOT_FOUND\r\n") == {
            "cmd_set": 1,
            "cas_misses": 1,
        }
        assert await changes(client, b"replace none 0 0 1\r\nx\r\n", b"NOT_STORED\r\n") == {
            "cmd_set": 1
        }
        assert await changes(client, b"nonsense\r\n", b"ERROR\r\n") == {"protocol_errors": 1}
        assert await changes(
            client,
            b"set q 0 0 1001\r\n" + b"x" * 1001 + b"\r\n",
            b"SERVER_ERROR object too large for cache\r\n",
        ) == {"protocol_errors": 1, "store_too_large": 1}
        flushed = {"cmd_flush": 1, "queue_q_total_flushes": 1}
        assert await changes(client, b"flush q\r\n", b"END\r\n") == flushed
        assert await changes(client, b"flush_all\r\n", b"OK\r\n") == {"cmd_flush": 1}
        assert await changes(client, b"delete none\r\n", b"NOT_FOUND\r\n") == {"delete_misses": 1}
        gone = await changes(client, b"delete q\r\n", b"DELETED\r\n")
        assert gone == {"delete_hits": 1, "curr_queues": -1}


async def test_queues_are_known_after_a_restart_without_being_touched(start: Servers) -> None:
    running = await start()
    async with running.client() as client:
        for queue in (b"b", b"a"):
            await client.expect_reply(put(queue, b"one") + put(queue, b"three"), b"STORED\r\n" * 2)
        await client.expect_reply(b"get a\r\n", item(b"a", b"one"))
    await running.stop()
    running = await start()
    async with running.client() as client:
        stats = await client.stats()
        assert stats["curr_queues"] == "2"
        assert stats["curr_items"] == "3"
        assert stats["bytes"] == "13"
        assert (stats["queue_a_items"], stats["queue_b_items"]) == ("1", "2")
        assert stats["queue_a_total_items"] == "2"
        assert int(stats["queue_b_logsize"]) > 0
        assert stats["total_items"] == "0"


def size_of(folder: Path) -> int:
    """Return the bytes of all segments in a folder, their end marks left out.

    Some may be on their way out.
    """
    size = 0
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            content = path.read_bytes()
            size += len(without_mark(content, segment.decode(memoryview(content))[0].salt))
    return size


async def test_logsize_is_the_bytes_of_the_queues_files(start: Servers) -> None:
    running = await start(segment_size=4096, sync="never")
    async with running.client() as client:
        for number in range(40):
            await client.expect_reply(put(b"q", b"%d" % number * 100), b"STORED\r\n")
            # Dead segments are removed in the background, perhaps between the two looks.
            with trio.fail_after(PATIENCE):
                while int((await client.stats())["queue_q_logsize"]) != size_of(start.spool / "q"):
                    await trio.sleep(0.001)
            if number % 4:
                await client.send(b"get q\r\n")
                await client.read_until(b"END\r\n")
        assert int((await client.stats())["queue_q_journal_rotations"]) > 0


async def test_waiters_are_counted_by_queue(start: Servers) -> None:
    running = await start()
    clients = running.clients(3)
    await clients[0].expect_reply(put(b"q", b"1") + b"get q\r\n", b"STORED\r\n" + item(b"q", b"1"))
    for client in clients:
        await client.send(b"get q/t=9000 other/t=9000\r\n")
    await running.until_waiting(3)
    async with running.client() as observer:
        assert (await observer.stats())["queue_q_waiters"] == "3"
    for client in clients:
        client.hang_up()


async def test_a_server_that_drains_says_that_it_accepts_no_clients(start: Servers) -> None:
    running = await start(grace_time=60)
    async with running.client() as client:
        await client.send(b"st")
        await running.until_connected(1)
        running.server.stop()
        await client.expect_nothing(0.05)
        await client.send(b"ats\r\n")
        assert b"STAT accepting_conns 0\r\n" in await client.read_to_the_end()


# Sub-words


@pytest.mark.parametrize(
    ("words", "reply"),
    [
        (b"items", b"END\r\n"),
        (b"slabs", b"END\r\n"),
        (b"cachedump 1 0 0", b"END\r\n"),
        (b"sizes", b"STAT sizes_status disabled\r\nEND\r\n"),
        (b"detail on", b"OK\r\n"),
        (b"detail off", b"OK\r\n"),
        (b"detail dump", b"END\r\n"),
        (b"detail", b"CLIENT_ERROR usage: stats detail on|off|dump\r\n"),
        (b"reset", b"RESET\r\n"),
        (b"queues", b"END\r\n"),
        (b"queue none", b"STAT queue_none_exists 0\r\nEND\r\n"),
        (b"nonsense", b"ERROR\r\n"),
        (b"reset more", b"RESET\r\n"),
    ],
)
async def test_a_sub_word_gets_its_answer(start: Servers, words: bytes, reply: bytes) -> None:
    running = await start()
    async with running.client() as client:
        await client.expect_reply(b"stats %b\r\nversion\r\n" % words, reply + b"VERSION 1.0.0\r\n")


async def test_stats_settings_gives_every_setting_and_memcacheds_names(start: Servers) -> None:
    running = await start(item_size_max=2000, sync="always", max_connections=55)
    async with running.client() as client:
        settings = await client.stats(b"stats settings")
        assert {setting.name for setting in TABLE} <= settings.keys()
        assert settings["item_size_max"] == "2000"
        assert settings["sync"] == "always"
        assert settings["maxconns"] == settings["max_connections"] == "55"
        assert settings["tcpport"] == settings["port"]
        assert settings["verbosity"] == "0"


async def test_stats_of_queues_are_those_of_all_or_of_one(start: Servers) -> None:
    running = await start()
    async with running.client() as client:
        await client.expect_reply(put(b"a", b"1") + put(b"b", b"2"), b"STORED\r\n" * 2)
        every = await client.stats(b"stats queues")
        assert {name.split("_")[1] for name in every} == {"a", "b"}
        one = await client.stats(b"STATS queue b")
        assert {name.split("_")[1] for name in one} == {"b"}
        assert one["queue_b_items"] == "1"
        whole = await client.stats()
        assert every.keys() <= whole.keys()


async def test_stats_conns_tells_what_each_connection_does(start: Servers) -> None:
    running = await start()
    async with running.client() as client, running.client() as waiter:
        begin = trio.current_time()
        await waiter.send(b"get a/t=9000 b/t=9000\r\n")
        await running.until_waiting(1)
        with trio.fail_after(PATIENCE):
            while len(conns := await client.stats(b"stats conns")) > 2 * 7:
                await trio.lowlevel.checkpoint()
        states = [value for name, value in conns.items() if name.endswith(":state")]
        assert sorted(states) == ["reading", "waiting"]
        addresses = [value for name, value in conns.items() if name.endswith(":addr")]
        assert all(re.fullmatch(r"tcp:127\.0\.0\.1:\d+", address) for address in addresses)
        assert "a,b" in conns.values()
        silence = [value for name, value in conns.items() if name.endswith(":secs_since_last_cmd")]
        assert len(silence) == 2
        assert max(map(int, silence)) <= trio.current_time() - begin


async def test_stats_reset_resets_counters_and_no_state(start: Servers) -> None:
    running = await start()
    async with running.client() as client:
        await client.expect_reply(put(b"q", b"1"), b"STORED\r\n")
        await client.expect_reply(b"stats reset\r\n", b"RESET\r\n")
        stats = await client.stats()
        assert stats["cmd_set"] == stats["total_items"] == "0"
        assert stats["curr_items"] == stats["curr_connections"] == stats["queue_q_items"] == "1"


async def test_dump_stats_has_kestrels_form(start: Servers) -> None:
    running = await start()
    async with running.client() as client:
        await client.expect_reply(put(b"a", b"1") + put(b"b", b"2"), b"STORED\r\n" * 2)
        await client.send(b"dump_stats\r\n")
        dump = (await client.read_until(b"END\r\n")).decode()
        blocks = re.findall(r"queue '(\w)' \{\r\n((?:  \w+=\S+\r\n)+)\}\r\n", dump)
        assert [name for name, _ in blocks] == ["a", "b"]
        assert "  items=1\r\n" in blocks[0][1]
        await client.send(b"dump_config\r\n")
        assert b"queue 'b' {\r\n" in await client.read_until(b"END\r\n")


async def test_stats_consumers_tells_who_takes_waits_and_works(start: Servers) -> None:
    running = await start()
    async with running.client() as worker, running.client() as waiter, running.client() as other:
        await worker.expect_reply(b"hello worker-1\r\n", b"OK\r\n")
        await worker.expect_reply(put(b"q", b"1") + put(b"q", b"2"), b"STORED\r\n" * 2)
        await worker.expect_reply(b"get q\r\n", item(b"q", b"1"))
        await worker.expect_reply(b"get q/open\r\n", item(b"q/open", b"2"))
        await waiter.send(b"get q/t=9000\r\n")
        await running.until_waiting(1)
        told = await other.stats(b"stats consumers q")
        blocks: dict[str, dict[str, str]] = {}
        for key, value in told.items():
            number, _, name = key.partition(":")
            blocks.setdefault(number, {})[name] = value
        by_name = {block["name"]: block for block in blocks.values()}
        assert by_name.keys() == {"worker-1", "-"}
        taking = by_name["worker-1"]
        assert (taking["takes"], taking["open_reads"], taking["waits"]) == ("2", "1", "0")
        waiting = by_name["-"]
        assert (waiting["takes"], waiting["last_take"], waiting["waits"]) == ("0", "-1", "1")
        assert await other.stats(b"stats consumers nosuch") == {}
        assert (await other.stats(b"stats queue q"))["open_2_name"] == "worker-1"


async def test_who_waits_to_put_is_no_consumer(start: Servers) -> None:
    running = await start(queues={"full": {"max_items": 1}})
    async with running.client() as producer, running.client() as other:
        await producer.expect_reply(put(b"full", b"1"), b"STORED\r\n")
        await producer.send(put(b"full/t=60000", b"2"))
        with trio.fail_after(PATIENCE):
            while "full" not in (await other.stats(b"stats conns")).values():
                await trio.lowlevel.checkpoint()
        assert await other.stats(b"stats consumers full") == {}
