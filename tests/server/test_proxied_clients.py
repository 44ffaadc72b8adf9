"""Clients behind a proxy that tells for whom it connects, on real sockets."""

import pytest
import trio

from tests.server.in_process import PATIENCE, Client, RunningServer, Servers, item, put

LINE = b"PROXY TCP4 203.0.113.7 192.0.2.1 40000 22122\r\n"
SIX = (
    b"\r\n\r\n\x00\r\nQUIT\n\x21\x21\x00\x24"
    + bytes.fromhex("20010db8" + "00" * 11 + "07" + "00" * 15 + "01")
    + b"\x9c\x40\x56\x6a"
)
LOCAL = b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"


async def behind_a_proxy(start: Servers, **settings: object) -> RunningServer:
    return await start(None, proxy_protocol=True, **settings)


async def addresses(client: Client) -> list[str]:
    return [value for name, value in (await client.stats(b"stats conns")).items() if "addr" in name]


async def test_the_clients_own_address_stands_wherever_one_is_told(
    start: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    running = await behind_a_proxy(start)
    async with running.client() as one, running.client() as two, running.client() as proxy:
        await one.expect_reply(LINE + put(b"jobs", b"1"), b"STORED\r\n")
        await two.expect_reply(SIX + b"get jobs/open\r\n", item(b"jobs/open", b"1"))
        await proxy.expect_reply(LOCAL + b"version\r\n", b"VERSION 1.0.0\r\n")
        told = await addresses(one)
        assert told[:2] == ["tcp:203.0.113.7:40000", "tcp:[2001:db8::7]:40000"]
        assert told[2].startswith("tcp:127.0.0.1:")
        holder = (await one.stats(b"stats queue jobs"))["open_1_holder"]
        assert holder == "[2001:db8::7]:40000"
        await one.expect_reply(b"delete jobs\r\n", b"DELETED\r\n")
        assert "203.0.113.7:40000: queue jobs deleted" in caplog.messages


async def test_who_sends_no_header_is_closed_and_nobody_else(
    start: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    running = await behind_a_proxy(start)
    async with running.client() as right, running.client() as wrong, running.client() as check:
        await right.expect_reply(LINE + b"version\r\n", b"VERSION 1.0.0\r\n")
        await wrong.send(put(b"jobs", b"1"))
        assert await wrong.read_to_the_end() == b""
        await check.send_eof()
        assert await check.read_to_the_end() == b""
        stats = await right.stats()
        assert (stats["protocol_errors"], stats["curr_items"]) == ("1", "0")
        (line,) = [each for each in caplog.messages if "PROXY" in each]
        assert line.endswith("closed, as it began without a right PROXY header: there is none")


async def test_a_header_that_does_not_come_is_not_waited_for(
    start: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    running = await behind_a_proxy(start)
    async with running.client() as silent, running.client() as slow, running.client() as right:
        await right.expect_reply(LINE + b"version\r\n", b"VERSION 1.0.0\r\n")
        begin = trio.current_time()
        with trio.fail_after(PATIENCE):
            for place in range(len(LINE)):
                try:
                    await slow.send(LINE[place : place + 1])
                except trio.BrokenResourceError:
                    break
                await trio.sleep(0.2)
            else:
                pytest.fail("it was waited for")
        assert trio.current_time() - begin > 2.5
        assert await silent.read_to_the_end() == b""
        await right.expect_reply(b"version\r\n", b"VERSION 1.0.0\r\n")
        assert sum("took more than 3 seconds" in each for each in caplog.messages) == 2


async def test_a_proxy_on_this_machine_gets_no_place_of_the_operator(start: Servers) -> None:
    running = await behind_a_proxy(start, max_connections=2)
    async with running.client() as one, running.client() as two:
        for each in one, two:
            await each.expect_reply(LINE + b"version\r\n", b"VERSION 1.0.0\r\n")
        async with running.client() as third:
            assert await third.read_to_the_end() == b"ERROR Too many open connections\r\n"


async def test_clients_with_half_a_header_do_not_hold_up_a_stop(start: Servers) -> None:
    running = await behind_a_proxy(start, grace_time=60)
    async with running.client() as half, running.client() as right:
        await half.send(LINE[:20])
        await right.expect_reply(LINE + b"version\r\n", b"VERSION 1.0.0\r\n")
        with trio.fail_after(PATIENCE):
            await running.stop()
        assert await half.read_to_the_end() == b""
