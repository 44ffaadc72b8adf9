"""The binary protocol over a socket: what clients of it do when they connect, work and leave."""

from tests.protocol import packets as p
from tests.protocol.packets import Packet, ask, hit, miss, put, unpack
from tests.server.in_process import Client, Servers, item


async def replies(client: Client, count: int) -> list[Packet]:
    """Read so many replies."""
    data = b""
    for _ in range(count):
        head = await client.read(24)
        data += head + await client.read(p.HEADER.unpack(head)[6])
    return unpack(data)


async def told(client: Client, *requests: bytes) -> list[Packet]:
    """Send requests, each of which is answered with one packet, and return those."""
    await client.send(b"".join(requests))
    return await replies(client, len(requests))


async def test_a_queue_is_the_same_in_both_protocols_and_after_a_restart(start: Servers) -> None:
    running = await start()
    async with running.client() as binary, running.client() as text:
        await text.expect_reply(b"set q 7 0 3\r\none\r\n", b"STORED\r\n")
        requests = (ask(p.VERSION), put(b"q", b"two", 2**32 - 1), ask(p.GET, b"q"))
        assert await told(binary, *requests) == [
            Packet(p.VERSION, value=b"1.0.0"),
            Packet(p.SET, cas=2),
            hit(b"one", 1, 7),
        ]
    await running.stop()
    running = await start()
    async with running.client() as text:
        await text.expect_reply(b"get q\r\n", item(b"q", b"two", 2**32 - 1))


async def test_a_client_that_quits_is_answered_and_closed(start: Servers) -> None:
    running = await start()
    async with running.client() as client:
        await client.send(put(b"q", b"1") + ask(p.QUIT, opaque=5) + ask(p.FLUSH))
        assert unpack(await client.read_to_the_end()) == [
            Packet(p.SET, cas=1),
            Packet(p.QUIT, opaque=5),
        ]
    async with running.client() as client:
        await client.send(put(b"q", b"2", opcode=p.SETQ) + ask(p.QUITQ))
        assert await client.read_to_the_end() == b""
    async with running.client() as client:
        await client.expect_reply(b"get q\r\nget q\r\n", item(b"q", b"1") + item(b"q", b"2"))


async def test_a_client_that_ends_its_side_gets_its_replies(start: Servers) -> None:
    running = await start()
    async with running.client() as client:
        await client.send(put(b"q", b"1") + ask(p.GET, b"q") + ask(p.GET, b"q/t=60000"))
        await client.send_eof()
        expected = [Packet(p.SET, cas=1), hit(b"1", 1), miss()]
        assert unpack(await client.read_to_the_end()) == expected


async def test_a_large_item_in_a_pipeline_comes_back_whole(start: Servers) -> None:
    running = await start()
    data = bytes(range(256)) * 4096
    async with running.client() as client:
        requests = (put(b"q", data), put(b"q", data + b"x"), ask(p.GET, b"q"), ask(p.NOOP))
        assert await told(client, *requests) == [
            Packet(p.SET, cas=1),
            Packet(p.SET, p.TOO_LARGE, value=b"Too large."),
            hit(data, 1),
            Packet(p.NOOP),
        ]


async def test_a_client_that_waits_is_woken_by_one_of_text(start: Servers) -> None:
    running = await start()
    async with running.client() as binary, running.client() as text:
        await binary.send(ask(p.GETKQ, b"q/t=60000") + ask(p.NOOP))
        await running.until_waiting(1)
        await text.expect_reply(b"set q 0 0 3\r\none\r\n", b"STORED\r\n")
        expected = [hit(b"one", 1, opcode=p.GETKQ, key=b"q/t=60000"), Packet(p.NOOP)]
        assert await replies(binary, 2) == expected


async def test_a_client_that_leaves_gives_back_what_it_opened(start: Servers) -> None:
    running = await start()
    async with running.client() as binary, running.client() as text:
        requests = (put(b"q", b"1"), ask(p.GET, b"q/open"))
        assert await told(binary, *requests) == [Packet(p.SET, cas=1), hit(b"1", 1)]
        binary.hang_up()
        await text.expect_reply(b"get q/t=5000\r\n", b"VALUE q/t=5000 0 1\r\n1\r\nEND\r\n")


async def test_statistics_come_as_packets(start: Servers) -> None:
    running = await start()
    async with running.client() as client:
        await told(client, put(b"jobs", b"1"))
        await client.send(ask(p.STAT, b"queue jobs"))
        pairs = {}
        while (pair := (await replies(client, 1))[0]) != Packet(p.STAT):
            pairs[pair.key] = pair.value
        assert pairs[b"queue_jobs_items"] == b"1"
