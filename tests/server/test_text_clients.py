"""Commands over a socket: what a queue answers to every verb, noreply, expiry, and flags.

The replies byte by byte are the protocol's tests; here they come through the whole server.
"""

import logging
import time

import attrs
import pytest
import trio

from starling_py.clock import Clock
from starling_py.protocol.text_replies import TextReplies
from starling_py.queues.queue_collection import QueueCollection
from starling_py.server.connection import Connection
from tests.server.in_process import Servers, item, put

VERSION = b"VERSION 1.0.0\r\n"
NON_NUMERIC = b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
BAD_FORMAT = b"CLIENT_ERROR bad command line format\r\n"


# Verbs


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (b"replace none 0 0 1\r\nx\r\n", b"NOT_STORED\r\n"),
        (b"append none 0 0 1\r\nx\r\n", b"NOT_STORED\r\n"),
        (b"add q 0 0 1\r\nx\r\n", b"NOT_STORED\r\n"),
        (b"cas q 0 0 1 7\r\nx\r\n", b"NOT_FOUND\r\n"),
        (b"incr q 1\r\n", NON_NUMERIC),
        (b"decr q 1\r\n", NON_NUMERIC),
        (b"touch q 1\r\n", b"NOT_FOUND\r\n"),
        (b"delete none\r\n", b"NOT_FOUND\r\n"),
        (b"flush none\r\n", b"END\r\n"),
        (b"flush_expired q\r\n", b"0\r\n"),
        (b"flush_all_expired\r\n", b"0\r\n"),
        (b"flush_all\r\n", b"OK\r\n"),
        (b"flush_all 0\r\n", b"OK\r\n"),
        (b"verbosity 1\r\n", b"OK\r\n"),
        (b"verbosity\r\n", b"ERROR\r\n"),
        (b"cache_memlimit 64\r\n", b"OK\r\n"),
        (b"version\r\n", VERSION),
        (b"status\r\n", b"UP\r\n"),
        (b"shutdown\r\n", b"ERROR: shutdown not enabled\r\n"),
        (b"watch\r\n", b"CLIENT_ERROR watch commands not allowed\r\n"),
        (b"lru_crawler metadump all\r\n", b"CLIENT_ERROR lru crawler disabled\r\n"),
        (b"slabs reassign 1 2\r\n", b"CLIENT_ERROR slab reassignment disabled\r\n"),
        (b"get none\r\n", b"END\r\n"),
        (b"gets none none\r\n", b"END\r\n"),
        (b"gat 60 none\r\n", b"END\r\n"),
        (b"get q/oepn\r\n", b"CLIENT_ERROR unknown option /oepn\r\n"),
        (b"\r\n", b"ERROR\r\n"),
        (b"nonsense q\r\n", b"ERROR\r\n"),
        (b"get\r\n", b"ERROR\r\n"),
        (b"get " + b"k" * 251 + b"\r\n", BAD_FORMAT),
        (b"set " + b"k" * 251 + b" 0 0 7\r\nflush q\r\n", BAD_FORMAT),
        (b"set q x 0 7\r\nflush q\r\n", BAD_FORMAT),
        (b"set q -1 0 7\r\nflush q\r\n", BAD_FORMAT),
        (b"set q 4294967296 0 7\r\nflush q\r\n", BAD_FORMAT),
        (b"set q 0 1.5 7\r\nflush q\r\n", BAD_FORMAT),
    ],
)
async def test_a_verb_that_queues_do_not_have_is_denied_and_changes_nothing(
    start: Servers, command: bytes, reply: bytes
) -> None:
    running = await start()
    async with running.client() as client:
        await client.expect_reply(put(b"q", b"item", flags=5), b"STORED\r\n")
        await client.expect_reply(command + b"version\r\n", reply + VERSION)
        await client.expect_reply(command.upper()[:4] + command[4:] + b"version\n", reply + VERSION)
        await client.expect_reply(b"get q\r\nget q\r\n", item(b"q", b"item", flags=5) + b"END\r\n")


async def test_an_added_item_keeps_its_flags_and_needs_an_empty_queue(start: Servers) -> None:
    running = await start()
    async with running.client() as client:
        await client.expect_reply(b"add q 3 0 1\r\n1\r\n" * 2, b"STORED\r\nNOT_STORED\r\n")
        await client.expect_reply(b"get q\r\n", item(b"q", b"1", flags=3))
        await client.expect_reply(b"add q 0 0 1\r\n2\r\n", b"STORED\r\n")


async def test_gets_gives_ids_that_grow_for_ever(start: Servers) -> None:
    for number in range(1, 4):
        running = await start()
        async with running.client() as client:
            await client.expect_reply(put(b"q", b"x"), b"STORED\r\n")
            await client.expect_reply(b"gets q\r\n", b"VALUE q 0 1 %d\r\nx\r\nEND\r\n" % number)
        await running.stop()


async def test_a_get_of_several_queues_takes_at_most_one_item_from_each(start: Servers) -> None:
    running = await start()
    async with running.client() as client:
        for data in (b"1", b"2"):
            await client.expect_reply(put(b"a", data) + put(b"b", data), b"STORED\r\n" * 2)
        both = b"VALUE b 0 1\r\n1\r\nVALUE a 0 1\r\n1\r\nEND\r\n"
        await client.expect_reply(b"get b none a b a\r\n", both)
        await client.expect_reply(b"get a\r\nget b\r\n", item(b"a", b"2") + item(b"b", b"2"))


async def test_flush_empties_and_delete_removes_one_queue_alone(start: Servers) -> None:
    running = await start()
    async with running.client() as client:
        for queue in (b"a", b"b", b"c"):
            await client.expect_reply(put(queue, b"1"), b"STORED\r\n")
        await client.expect_reply(b"flush a\r\ndelete b\r\n", b"END\r\nDELETED\r\n")
        await client.expect_reply(b"get a b c\r\n", item(b"c", b"1"))
        stats = await client.stats()
        assert "queue_a_items" in stats
        assert "queue_b_items" not in stats
    await running.stop()
    assert sorted(path.name for path in start.spool.iterdir()) == [".ids", ".lock", "a", "c"]


async def test_flush_all_is_real_only_where_it_is_allowed(start: Servers) -> None:
    for allowed, reply in ((False, item(b"q", b"1")), (True, b"END\r\n")):
        running = await start(allow_flush_all=allowed)
        async with running.client() as client:
            await client.expect_reply(b"flush q\r\n" + put(b"q", b"1"), b"END\r\nSTORED\r\n")
            await client.expect_reply(b"flush_all\r\nget q\r\n", b"OK\r\n" + reply)
        await running.stop()


# noreply


@pytest.mark.parametrize(
    "command",
    [
        b"set q 0 0 1 noreply\r\n1\r\n",
        b"add q 0 0 1 noreply\r\n1\r\n",
        b"replace q 0 0 1 noreply\r\n1\r\n",
        b"append q 0 0 1 noreply\r\n1\r\n",
        b"prepend q 0 0 1 noreply\r\n1\r\n",
        b"cas q 0 0 1 7 noreply\r\n1\r\n",
        b"set q 0 0 2000 noreply\r\n" + b"x" * 2000 + b"\r\n",
        b"set q x 0 1 noreply\r\n1\r\n",
        b"set q/typo 0 0 1 noreply\r\n1\r\n",
        b"delete q noreply\r\n",
        b"delete none noreply\r\n",
        b"delete q 0 noreply\r\n",
        b"delete q/typo noreply\r\n",
        b"incr q 1 noreply\r\n",
        b"decr q 1 noreply\r\n",
        b"touch q 1 noreply\r\n",
        b"flush_all noreply\r\n",
        b"flush_all 0 noreply\r\n",
        b"verbosity 1 noreply\r\n",
    ],
)
async def test_noreply_gets_none_and_shifts_nothing(start: Servers, command: bytes) -> None:
    running = await start(item_size_max=1000)
    async with running.client() as client:
        await client.expect_reply(put(b"q", b"0"), b"STORED\r\n")
        await client.expect_reply(command * 3 + b"version\r\n", VERSION)
        await client.send(b"get q/peek none\r\nversion\r\n")
        rest = await client.read_until(VERSION)
        head = b"1" if command.startswith(b"prepend") else b"0"
        assert rest in (item(b"q/peek", head) + VERSION, b"END\r\n" + VERSION)


async def test_noreply_puts_do_put(start: Servers) -> None:
    running = await start()
    async with running.client() as client:
        await client.send(b"set q 0 0 1 noreply\r\n1\r\n" * 500)
        await client.expect_reply(b"get q\r\n" * 501, item(b"q", b"1") * 500 + b"END\r\n")


# Expiry and the clocks


@attrs.define
class FakeWall:
    """The wall clock, which stands still unless a test moves it."""

    now_ms: int

    def move(self, seconds: float) -> None:
        """Let the wall clock jump."""
        self.now_ms += round(seconds * 1000)


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> FakeWall:
    """Put the wall clock of every server into the test's hands."""
    fake = FakeWall(time.time_ns() // 1_000_000)
    real = Clock.refresh

    def refresh(clock: Clock) -> None:
        real(clock)
        clock.wall_ms = fake.now_ms

    monkeypatch.setattr(Clock, "refresh", refresh)
    return fake


@pytest.mark.patches
async def test_an_item_dies_when_its_time_is_over(start: Servers, wall: FakeWall) -> None:
    running = await start()
    async with running.client() as client:
        await client.expect_reply(put(b"q", b"short", exptime=60), b"STORED\r\n")
        await client.expect_reply(put(b"q", b"long", exptime=2_592_000), b"STORED\r\n")
        await client.expect_reply(put(b"q", b"for ever"), b"STORED\r\n")
        wall.move(58)
        await client.expect_reply(b"get q/peek\r\n", item(b"q/peek", b"short"))
        wall.move(3)
        await client.expect_reply(b"get q/peek\r\n", item(b"q/peek", b"long"))
        wall.move(2_592_000)
        await client.expect_reply(b"get q\r\nget q\r\n", item(b"q", b"for ever") + b"END\r\n")
        stats = await client.stats()
        assert stats["queue_q_expired_items"] == "2"
        assert stats["get_hits"] == "3"
        assert stats["cmd_peek"] == "2"
        assert stats["queue_q_get_hits"] == "1"


@pytest.mark.patches
async def test_a_large_exptime_is_a_moment_and_a_negative_one_is_over(
    start: Servers, wall: FakeWall
) -> None:
    running = await start()
    async with running.client() as client:
        now = int((await client.stats())["time"])
        await client.expect_reply(put(b"q", b"dead", exptime=-1), b"STORED\r\n")
        await client.expect_reply(put(b"q", b"long ago", exptime=2_592_001), b"STORED\r\n")
        await client.expect_reply(put(b"q", b"soon", exptime=now + 100), b"STORED\r\n")
        await client.expect_reply(b"get q/peek\r\n", item(b"q/peek", b"soon"))
        wall.move(102)
        await client.expect_reply(b"get q\r\n", b"END\r\n")


@pytest.mark.patches
async def test_an_item_that_died_while_the_server_was_down_is_not_delivered(
    start: Servers, wall: FakeWall
) -> None:
    running = await start()
    async with running.client() as client:
        await client.expect_reply(
            put(b"q", b"short", exptime=60) + put(b"q", b"2"), b"STORED\r\n" * 2
        )
    await running.stop()
    wall.move(61)
    running = await start()
    async with running.client() as client:
        await client.expect_reply(b"get q\r\nget q\r\n", item(b"q", b"2") + b"END\r\n")


@pytest.mark.patches
async def test_flush_expired_removes_the_dead_and_tells_how_many(
    start: Servers, wall: FakeWall
) -> None:
    running = await start()
    async with running.client() as client:
        for queue in (b"a", b"b"):
            await client.expect_reply(
                put(queue, b"1", exptime=60) * 2 + put(queue, b"2"), b"STORED\r\n" * 3
            )
        wall.move(61)
        await client.expect_reply(b"flush_expired a\r\nflush_expired a\r\n", b"2\r\n0\r\n")
        await client.expect_reply(b"flush_all_expired\r\nflush_expired none\r\n", b"2\r\n0\r\n")
        await client.expect_reply(b"get a\r\n", item(b"a", b"2"))


@pytest.mark.patches
async def test_age_is_how_long_the_head_has_waited(start: Servers, wall: FakeWall) -> None:
    running = await start()
    async with running.client() as client:
        await client.expect_reply(put(b"q", b"1"), b"STORED\r\n")
        wall.move(90)
        await client.expect_reply(put(b"q", b"2"), b"STORED\r\n")
        assert (await client.stats())["queue_q_age"] == "90000"
    await running.stop()
    wall.move(10)
    running = await start()
    async with running.client() as client:
        await client.until_stat("queue_q_loaded", "2")  # the head is read back in the background
        assert (await client.stats())["queue_q_age"] == "100000"
        await client.expect_reply(b"get q\r\n", item(b"q", b"1"))
        assert (await client.stats())["queue_q_age"] == "10000"
        await client.expect_reply(b"get q\r\n", item(b"q", b"2"))
        assert (await client.stats())["queue_q_age"] == "0"


@pytest.mark.parametrize("years", [10, -10])
@pytest.mark.patches
async def test_a_jump_of_the_wall_clock_changes_neither_order_nor_waits(
    start: Servers, wall: FakeWall, years: int
) -> None:
    begin = trio.current_time()
    running = await start()
    async with running.client() as client, running.client() as waiter:
        asked = trio.current_time()
        await waiter.send(b"get none/t=300\r\n")
        await client.expect_reply(put(b"q", b"1"), b"STORED\r\n")
        wall.move(years * 365 * 86_400)
        await client.expect_reply(put(b"q", b"2"), b"STORED\r\n")
        assert int((await client.stats())["queue_q_age"]) >= 0
        assert int((await client.stats())["uptime"]) <= trio.current_time() - begin
        await client.expect_reply(b"get q\r\nget q\r\n", item(b"q", b"1") + item(b"q", b"2"))
        await waiter.expect(b"END\r\n")
        assert trio.current_time() - asked >= 0.3


# Defects in the server


def defect(*_: object, **__: object) -> bytes:
    raise RuntimeError("a defect, for a test")


@pytest.mark.patches
async def test_an_error_in_one_session_ends_that_session_alone(
    start: Servers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    running = await start()
    async with running.client() as good, running.client() as waiter:
        await waiter.send(b"get w/t=9000\r\n")
        await good.expect_reply(put(b"q", b"1"), b"STORED\r\n")
        monkeypatch.setattr(QueueCollection, "flush", defect)
        for _ in range(2):
            async with running.client() as unlucky:
                await unlucky.send(b"version\r\nflush q\r\nversion\r\n")
                assert await unlucky.read_to_the_end() in (b"", VERSION)
        await good.expect_reply(b"get q\r\n", item(b"q", b"1"))
        await good.expect_reply(put(b"w", b"2"), b"STORED\r\n")
        await waiter.expect(item(b"w/t=9000", b"2"))
        assert (await good.stats())["session_errors"] == "2"
        await running.until_connected(2)
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 2
    assert caplog.text.count("Traceback (most recent call last)") == 2
    assert caplog.text.count("RuntimeError: a defect, for a test") == 2


@pytest.mark.patches
async def test_an_error_on_serving_a_waiter_ends_the_waiter_and_not_the_producer(
    start: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await start()
    async with running.client() as waiter, running.client() as producer:
        await waiter.send(b"get q/t=9000\r\n")
        await running.until_waiting(1)
        monkeypatch.setattr(TextReplies, "hit", staticmethod(defect))
        await producer.expect_reply(put(b"q", b"1"), b"STORED\r\n")
        assert await waiter.read_to_the_end() == b""
        await producer.expect_reply(b"version\r\n", VERSION)
        assert (await producer.stats())["session_errors"] == "1"


@pytest.mark.patches
async def test_an_error_at_the_end_of_a_wait_ends_the_waiter_and_not_the_server(
    start: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await start()
    async with running.client() as waiter, running.client() as other:
        await other.expect_reply(b"version\r\n", VERSION)
        monkeypatch.setattr(TextReplies, "end_of_hits", staticmethod(defect))
        await waiter.send(b"get q/t=20\r\n")
        assert await waiter.read_to_the_end() == b""
        await other.expect_reply(b"version\r\n", VERSION)
        assert (await other.stats())["session_errors"] == "1"


@pytest.mark.patches
async def test_an_error_on_sending_a_reply_ends_that_session_only(
    start: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await start()
    async with running.client() as unlucky, running.client() as other:
        await other.expect_reply(b"version\r\n", VERSION)
        with monkeypatch.context() as patched:
            patched.setattr(Connection, "send", defect)
            await unlucky.send(b"version\r\n")
            assert await unlucky.read_to_the_end() == b""
        await other.expect_reply(b"version\r\n", VERSION)
        assert (await other.stats())["session_errors"] == "1"
