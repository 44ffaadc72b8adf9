"""One client: pipelining, odd pieces, half-closing, slow reading, garbage, and being one too many.

A bad client harms only itself, and every command gets one reply, in order (I8, I9).
"""

import contextlib
import random
import re

import pytest
import trio
import trio.testing

from starling_py.server.readiness import Ready
from starling_py.server.tick import Tick
from tests.server.in_process import PATIENCE, Client, RunningServer, Servers, item, put

VERSION = b"VERSION 1.0.0\r\n"


async def expect_everything_works(running: RunningServer) -> None:
    """Insist that a new client is served."""
    async with running.client() as client:
        await client.expect_reply(put(b"works", b"yes") + b"get works\r\n", b"STORED\r\n")
        await client.expect(item(b"works", b"yes"))


# Pieces


async def test_ten_thousand_commands_in_one_segment_get_their_replies_in_order(
    start: Servers,
) -> None:
    running = await start()
    async with running.client() as client:
        puts = b"".join(put(b"q", b"%d" % number) for number in range(5000))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send, puts + b"get q\r\n" * 5000)
            await client.expect(b"STORED\r\n" * 5000)
            for number in range(5000):
                await client.expect(item(b"q", b"%d" % number))
        await client.expect_reply(b"get q\r\n", b"END\r\n")


async def test_ten_thousand_commands_of_all_kinds_get_one_reply_each(start: Servers) -> None:
    running = await start()
    kinds = [
        (b"version\r\n", VERSION),
        (b"get none\r\n", b"END\r\n"),
        (b"nonsense\r\n", b"ERROR\r\n"),
        (b"replace none 0 0 3\r\nabc\r\n", b"NOT_STORED\r\n"),
        (b"touch q 1\r\n", b"NOT_FOUND\r\n"),
        (b"set q x 0 9\r\nversion\r\n\r\n", b"CLIENT_ERROR bad command line format\r\n"),
        (put(b"q", b"one") + b"get q\r\n", b"STORED\r\n" + item(b"q", b"one")),
        (b"set q 0 0 3 noreply\r\ntwo\r\nget q\r\n", item(b"q", b"two")),
        (b"get q/typo\r\n", b"CLIENT_ERROR unknown option /typo\r\n"),
    ]
    script = random.Random(3).choices(kinds, k=10_000)
    async with running.client() as client, trio.open_nursery() as nursery:
        nursery.start_soon(client.send, b"".join(command for command, _ in script))
        await client.expect(b"".join(reply for _, reply in script))


async def test_a_client_that_sends_byte_by_byte_is_served_like_any_other(start: Servers) -> None:
    running = await start()
    script = (
        put(b"q", b"in\r\npieces\0")
        + b"get q\r\nset q 0 0 0\r\n\r\nget nothing q\r\n"
        + b"delete q\r\nversion\r\n"
    )
    async with running.client() as client:
        for position in range(len(script)):
            await client.send(script[position : position + 1])
            await trio.testing.wait_all_tasks_blocked()
        await client.expect(b"STORED\r\n" + item(b"q", b"in\r\npieces\0"))
        await client.expect(b"STORED\r\n" + item(b"q", b"") + b"DELETED\r\n" + VERSION)


async def test_a_client_that_never_finishes_its_line_holds_up_nobody(start: Servers) -> None:
    running = await start()
    async with running.client() as slow:
        await slow.send(b"set q 0 0 10\r\nhal")
        await expect_everything_works(running)
        await slow.expect_reply(b"f-done\0\r\n", b"STORED\r\n")


# Ends


async def test_replies_are_flushed_to_a_client_that_half_closed(start: Servers) -> None:
    running = await start()
    async with running.client() as client:
        await client.send(put(b"q", b"one") + b"get q\r\nget q\r\nversion\r\n")
        await client.send_eof()
        whole = b"STORED\r\n" + item(b"q", b"one") + b"END\r\n" + VERSION
        assert await client.read_to_the_end() == whole


async def test_much_is_flushed_to_a_client_that_half_closed(start: Servers) -> None:
    running = await start()
    body = bytes(range(256)) * 4000
    async with running.client() as client:
        for _ in range(6):
            await client.expect_reply(put(b"q", body), b"STORED\r\n")
        client.say(b"get q\r\n" * 6 + b"version\r\n")
        await client.send_eof()
        assert await client.read_to_the_end() == item(b"q", body) * 6 + VERSION


async def test_a_waiting_get_of_a_client_that_half_closes_ends_with_a_miss(start: Servers) -> None:
    running = await start()
    async with running.client() as client:
        await client.send(b"get q/t=60000\r\n")
        await running.until_waiting(1)
        await client.send_eof()
        assert await client.read_to_the_end() == b"END\r\n"
        await running.until_connected(0)


async def test_commands_behind_the_wait_of_a_half_closed_client_are_executed(
    start: Servers,
) -> None:
    running = await start()
    async with running.client() as client:
        client.say(b"get q/t=60000\r\n" + put(b"q", b"1") + b"get q/t=60000\r\nget q/t=60000\r\n")
        await client.send_eof()
        whole = b"END\r\nSTORED\r\n" + item(b"q/t=60000", b"1") + b"END\r\n"
        assert await client.read_to_the_end() == whole


async def test_half_a_command_before_the_end_is_dropped(start: Servers) -> None:
    running = await start()
    async with running.client() as client:
        await client.send(b"version\r\nset q 0 0 5\r\nhel")
        await client.send_eof()
        assert await client.read_to_the_end() == VERSION
    async with running.client() as client:
        await client.expect_reply(b"get q\r\n", b"END\r\n")


async def test_quit_closes_after_earlier_replies_and_before_later_commands(
    start: Servers,
) -> None:
    running = await start()
    async with running.client() as client:
        await client.send(b"version\r\nquit\r\nversion\r\n")
        assert await client.read_to_the_end() == VERSION


async def test_a_connection_that_the_server_ended_goes_though_its_client_stays(
    start: Servers,
) -> None:
    running = await start()
    async with running.client() as client:
        await client.send(b"quit\r\n")
        assert await client.read_to_the_end() == b""
        await client.send(b"version\r\n")
        await running.until_connected(0)


async def test_clients_that_are_reset_amid_a_value_leave_nothing_behind(start: Servers) -> None:
    running = await start()
    for client in running.clients(20):
        client.say(b"set q 0 0 1000\r\n" + b"x" * 500)
        client.reset()
    await running.until_connected(0)
    async with running.client() as client:
        await client.expect_reply(b"get q\r\n", b"END\r\n")


# Slow readers


async def until_nothing_more_is_read(observer: Client) -> int:
    """Return how many bytes the server has read when it reads from nobody else any more."""
    read = 0
    while (again := int((await observer.stats())["bytes_read"])) > read + 100:
        read = again
        await trio.sleep(0.05)
    return again


async def test_the_server_stops_reading_from_a_client_that_never_reads(start: Servers) -> None:
    """Its replies wait in bounded room; the others notice nothing; later it gets all of them."""
    running = await start()
    async with running.client(receive_buffer=4096) as lazy, running.client() as observer:
        sent = await lazy.send_what_is_taken(0.3)
        assert sent < 32 << 20
        read = await until_nothing_more_is_read(observer)
        await expect_everything_works(running)
        await observer.expect_reply(b"version\r\n", VERSION)
        again = int((await observer.stats())["bytes_read"])
        assert again - read < 200
        whole = VERSION * (sent // len(b"version\r\n"))
        await lazy.expect(whole)


async def test_a_client_that_never_reads_gets_no_more_items_than_can_be_sent(
    start: Servers,
) -> None:
    """At most the output bound and one more leave the queue; the rest is there for others."""
    running = await start()
    body = b"x" * 500_000
    async with running.client(receive_buffer=4096) as lazy, running.client() as other:
        for number in range(40):
            await other.expect_reply(put(b"q", b"%02d" % number + body), b"STORED\r\n")
        lazy.say(b"get q\r\n" * 40)
        await expect_everything_works(running)
        left = int((await other.stats())["queue_q_items"])
        assert left >= 20
        for number in range(40):
            await lazy.expect(item(b"q", b"%02d" % number + body))
        assert (await other.stats())["queue_q_items"] == "0"


async def test_one_get_cannot_ask_for_one_item_over_and_over(start: Servers) -> None:
    """Else a single line could make the server hold thousands of copies of its largest item."""
    running = await start()
    body = b"x" * 1_000_000
    async with running.client() as client:
        await client.expect_reply(put(b"q", body), b"STORED\r\n")
        keys = b" ".join(b"q/peek/t=%d" % number for number in range(1, 21))
        await client.send(b"get " + keys + b"\r\n")
        await client.send_eof()
        assert len(await client.read_to_the_end()) < 5 * len(body)


# Wrong input


async def test_an_oversized_value_is_swallowed_and_refused(start: Servers) -> None:
    running = await start(item_size_max=1000)
    async with running.client() as client:
        too_large = b"SERVER_ERROR object too large for cache\r\n"
        await client.expect_reply(put(b"q", b"x" * 1000), b"STORED\r\n")
        await client.expect_reply(put(b"q", b"get q\r\n" * 150), too_large)
        await client.expect_reply(
            b"set q 0 0 1001 noreply\r\n" + b"x" * 1001 + b"\r\nversion\r\n", VERSION
        )
        stats = await client.stats()
        assert stats["queue_q_items"] == "1"
        assert stats["store_too_large"] == "2"
        assert stats["noreply_errors"] == "1"


async def test_a_huge_value_is_swallowed_without_being_kept(start: Servers) -> None:
    running = await start()
    size = 40 << 20
    async with running.client() as client:
        await client.send(b"set q 0 0 %d\r\n" % size)
        piece = b"flush_all\r\n" * 50_000
        left = size
        while left:
            await client.send(piece[:left])
            left -= min(left, len(piece))
        await client.expect_reply(
            b"\r\nversion\r\n", b"SERVER_ERROR object too large for cache\r\n" + VERSION
        )


@pytest.mark.parametrize(
    "bad", [b"set q 0 0 -1\r\n", b"set q 0 0 99999999999\r\n", b"set q 0 0 x\r\n", b"set q\r\n"]
)
async def test_a_length_that_cannot_be_read_closes_and_the_body_never_runs(
    start: Servers, bad: bytes
) -> None:
    running = await start()
    async with running.client() as client:
        await client.expect_reply(put(b"q", b"safe"), b"STORED\r\n")
        await client.send(b"version\r\n" + bad + b"delete q\r\nflush q\r\n")
        error = b"CLIENT_ERROR bad command line format\r\n"
        assert await client.read_to_the_end() == VERSION + error
    async with running.client() as client:
        await client.expect_reply(b"get q\r\n", item(b"q", b"safe"))


async def test_a_wrong_terminator_closes_that_client_alone(start: Servers) -> None:
    running = await start()
    async with running.client() as good, running.client() as bad:
        await good.expect_reply(put(b"q", b"safe"), b"STORED\r\n")
        await bad.send(b"set q 0 0 3\r\nabcdelete q\r\n")
        assert await bad.read_to_the_end() == b"CLIENT_ERROR bad data chunk\r\n"
        await good.expect_reply(b"get q\r\nget q\r\n", item(b"q", b"safe") + b"END\r\n")


@pytest.mark.parametrize("request_line", [b"GET / HTTP/1.1", b"POST /x HTTP/1.0"])
async def test_an_http_request_is_closed_without_a_word(
    start: Servers, request_line: bytes
) -> None:
    running = await start()
    async with running.client() as client:
        await client.send(request_line + b"\r\nHost: localhost\r\nflush_all\r\n\r\n")
        assert await client.read_to_the_end() == b""
    await expect_everything_works(running)


async def test_a_wrong_binary_request_is_answered_and_the_connection_kept(
    start: Servers,
) -> None:
    running = await start()
    async with running.client() as client:
        wrong = b"\x80" + bytes(23)
        refused = b"\x81" + bytes(6) + b"\x04" + bytes(3) + b"\x11" + bytes(12)
        await client.expect_reply(wrong, refused + b"Invalid arguments")
        await client.expect_reply(wrong, refused + b"Invalid arguments")
    await expect_everything_works(running)


async def test_an_endless_line_is_closed(start: Servers) -> None:
    running = await start()
    async with running.client() as client:
        client.say(b"x" * 3000)
        assert await client.read_to_the_end() == b"CLIENT_ERROR line too long\r\n"
    await expect_everything_works(running)


async def test_garbage_hurts_nobody_else(start: Servers) -> None:
    running = await start()
    dice = random.Random(4)
    words = [
        b"set",
        b"get",
        b"q",
        b"0",
        b"3",
        b"\r\n",
        b"\n",
        b" ",
        b"-1",
        b"\0",
        b"noreply",
        b"/t=",
    ]
    async with running.client() as good:
        await good.expect_reply(put(b"safe", b"yes"), b"STORED\r\n")
        for _ in range(150):
            async with running.client() as bad:
                if dice.random() < 0.5:
                    bad.say(dice.randbytes(dice.randrange(1, 5000)))
                else:
                    bad.say(b" ".join(dice.choices(words, k=dice.randrange(1, 300))))
                if dice.random() < 0.5:
                    await bad.send_eof()
                    await bad.read_to_the_end()
        await good.expect_reply(b"get safe\r\n", item(b"safe", b"yes"))
        assert (await good.stats())["session_errors"] == "0"


async def test_no_name_makes_a_file_outside_its_place(start: Servers) -> None:
    running = await start()
    names = [b"../x", b"..", b".", b"~", b"a+b", b"\xff\xfe", b".lock", b"CON", b"%2e", b"x" * 250]
    names = [name for name in names if b"/" not in name]
    async with running.client() as client:
        await client.expect_reply(b"get ../x\r\n", b"CLIENT_ERROR unknown option /x\r\n")
        await client.expect_reply(put(b"../x", b"1"), b"CLIENT_ERROR unknown option /x\r\n")
        for name in names:
            await client.expect_reply(put(name, name), b"STORED\r\n")
    before = set(start.spool.parent.iterdir())
    await running.stop()
    assert before == {start.spool}
    directories = [path for path in start.spool.iterdir() if path.is_dir()]
    assert len(directories) == len(names)
    assert all(re.fullmatch(r"[a-z0-9_%=.-]+", path.name) for path in directories)
    running = await start()
    async with running.client() as client:
        for name in names:
            await client.expect_reply(b"get %b\r\n" % name, item(name, name))


async def test_ten_thousand_unknown_names_make_no_file_and_no_queue(start: Servers) -> None:
    running = await start()
    async with running.client() as client, trio.open_nursery() as nursery:
        keys = [b"get unknown-%d\r\n" % number for number in range(10_000)]
        nursery.start_soon(client.send, b"".join(keys))
        await client.expect(b"END\r\n" * 10_000)
        assert (await client.stats())["curr_queues"] == "0"
    assert sorted(path.name for path in start.spool.iterdir()) == [".lock", ".reserve"]


# Too many, and too long


@pytest.mark.patches
async def test_clients_that_arrive_are_served_in_the_turn_that_accepts_them(
    start: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await start()
    turns: list[int] = []
    original = Tick.turn

    def turn(self: Tick, ready: Ready) -> None:
        original(self, ready)
        turns.append(len(ready))

    monkeypatch.setattr(Tick, "turn", turn)
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(running.client()) for _ in range(50)]
        for client in clients:
            client.say(b"version\r\n")
        for client in clients:
            await client.expect(VERSION)
        assert turns[0] == len(clients) + 1, "they were read from with the listening socket"
        assert len(turns) <= 2, "one for all, and perhaps one of the housekeeping"


async def test_clients_beyond_max_connections_are_told_and_closed(start: Servers) -> None:
    running = await start(max_connections=3)
    clients = running.clients(3)
    for client in clients:
        await client.expect_reply(b"version\r\n", VERSION)
    async with running.client() as refused:
        told = await refused.read_to_the_end()
        assert told == b"ERROR Too many open connections\r\n"
    clients[0].hang_up()
    await clients[1].until_stat("curr_connections", "2")
    async with running.client() as welcome:
        await welcome.expect_reply(b"version\r\n", VERSION)
    assert (await clients[1].stats())["rejected_connections"] == "1"
    for client in clients[1:]:
        client.hang_up()


async def test_the_idle_timeout_closes_who_is_silent(start: Servers) -> None:
    running = await start(timeout="1")
    async with running.client() as idle, running.client() as half:
        begin = trio.current_time()
        await idle.expect_reply(b"version\r\n", VERSION)
        await half.send(b"set q 0 0 100\r\nhalf")
        assert await idle.read_to_the_end() == b""
        assert await half.read_to_the_end() == b""
        assert trio.current_time() - begin >= 1
    async with running.client() as client:
        assert (await client.stats())["idle_kicks"] == "2"


async def test_the_idle_timeout_spares_who_waits_until_the_wait_is_over(start: Servers) -> None:
    running = await start(timeout="0.2")
    async with running.client() as waiter:
        await waiter.expect_reply(b"get q/t=1200\r\nversion\r\n", b"END\r\n" + VERSION)
        assert await waiter.read_to_the_end() == b""


async def test_a_client_that_comes_after_a_quiet_time_has_the_whole_idle_timeout(
    start: Servers,
) -> None:
    running = await start(timeout="0.7")
    async with running.client() as first:
        await first.expect_reply(b"version\r\n", VERSION)
    await trio.sleep(0.8)
    begin = trio.current_time()
    async with running.client() as late, running.client() as busy:
        await busy.expect_reply(b"version\r\n", VERSION)
        assert await late.read_to_the_end() == b""
    assert trio.current_time() - begin >= 0.7


async def test_nobody_is_idle_without_the_setting(start: Servers) -> None:
    running = await start()
    async with running.client() as idle:
        await idle.expect_reply(b"version\r\n", VERSION)
        await idle.expect_nothing(1.2)


def aside(running: RunningServer, client: Client) -> bool:
    """Tell whether a client comes behind the others."""
    port = client._socket.getsockname()[1]
    those = {each.peer.rpartition(":")[2]: each for each in running.server._tick.connections}
    return str(port) in those and those[str(port)].aside


async def until_aside(running: RunningServer, client: Client, wanted: bool) -> None:
    with trio.fail_after(PATIENCE):
        while aside(running, client) is not wanted:
            await trio.sleep(0.01)


async def test_who_is_in_the_middle_of_something_comes_behind_the_others(start: Servers) -> None:
    running = await start()
    async with running.client() as slow:
        await slow.send(b"set jobs 0 0 5\r\nhal")
        await until_aside(running, slow, True)
        await slow.expect_reply(b"lo\r\n", b"STORED\r\n")
        await until_aside(running, slow, False)


async def test_who_was_quiet_comes_behind_the_others_until_it_was_served(start: Servers) -> None:
    running = await start()
    async with running.client() as quiet, running.client() as waits:
        await quiet.expect_reply(b"version\r\n", VERSION)
        await waits.send(b"get jobs/t=100000\r\n")
        await until_aside(running, quiet, True)
        assert not aside(running, waits), "that it has hung up must be seen at once"
        await quiet.expect_reply(put(b"jobs", b"x"), b"STORED\r\n")
        await until_aside(running, quiet, False)
        await waits.expect(b"VALUE jobs/t=100000 0 1\r\nx\r\nEND\r\n")


async def test_who_is_idle_is_closed_one_at_a_time(start: Servers) -> None:
    running = await start()
    clients = running.clients(70)
    for client in clients:
        await client.expect_reply(b"version\r\n", VERSION)
    connections = running.server._tick.connections
    at_once = -1.0  # whoever was silent for no time at all
    left = [len(connections), *(len(connections) for _ in connections.drop_idle(at_once))]
    assert left == list(range(70, -1, -1))
    for client in clients:
        client.hang_up()


async def test_who_asks_need_not_wait_for_many_who_hang_up_at_once(start: Servers) -> None:
    running = await start()
    crowd = running.clients(700)
    for each in crowd:
        each.say(b"get jobs\r\n")
    for each in crowd:
        await each.expect(b"END\r\n")
    async with running.client() as client:
        await client.expect_reply(b"version\r\n", VERSION)
        for each in crowd:
            each.hang_up()
        client.say(b"version\r\n")
        await client.expect(VERSION)
        assert len(running.server._tick.connections) > 200
        await running.until_connected(1)


async def test_nothing_is_given_to_many_who_waited_and_have_hung_up(start: Servers) -> None:
    running = await start()
    crowd = running.clients(400)
    for each in crowd:
        each.say(b"get jobs/t=600000\r\n")
    await running.until_waiting(400)
    async with running.client() as client:
        await client.expect_reply(b"version\r\n", VERSION)
        for each in crowd:
            each.hang_up()
        client.say(put(b"jobs", b"x") + b"get jobs\r\n")
        await client.expect(b"STORED\r\nVALUE jobs 0 1\r\nx\r\nEND\r\n")
        await running.until_connected(1)
