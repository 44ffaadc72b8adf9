"""Meta commands over a socket."""

from tests.server.in_process import Servers


async def test_meta_and_text_share_a_connection(start: Servers) -> None:
    running = await start()
    async with running.client() as client:
        await client.expect_reply(b"version\r\nmn\r\n", b"VERSION 1.0.0\r\nMN\r\n")
        await client.expect_reply(b"ms q 5 c F1 T0 MS\r\nhello\r\n", b"HD c1\r\n")
        await client.expect_reply(b"set q 7 0 2\r\nhi\r\n", b"STORED\r\n")
        await client.expect_reply(b"mg q v f c k O1\r\n", b"VA 5 f1 c1 kq O1\r\nhello\r\n")
        await client.expect_reply(b"gets q\r\n", b"VALUE q 7 2 2\r\nhi\r\nEND\r\n")
        await client.expect_reply(b"mg q v\r\nmd q\r\nmd q\r\n", b"EN\r\nHD\r\nNF\r\n")


async def test_a_connection_may_begin_with_a_meta_command(start: Servers) -> None:
    running = await start()
    async with running.client() as client:
        await client.expect_reply(b"mg q v f\r\n", b"EN\r\n")


async def test_quiet_stores_and_gets_are_answered_up_to_mn(start: Servers) -> None:
    running = await start()
    async with running.client() as client:
        for number in range(100):
            await client.send(b"ms q 2 q F16 T60\r\n%02d\r\n" % number)
        await client.expect_reply(b"mn\r\n", b"MN\r\n")
        await client.send(b"mg q v k q s\r\n" * 101 + b"mn\r\n")
        for number in range(100):
            await client.expect(b"VA 2 kq s2\r\n%02d\r\n" % number)
        await client.expect(b"MN\r\n")


async def test_nothing_is_sent_where_everything_is_quiet(start: Servers) -> None:
    running = await start()
    async with running.client() as client:
        await client.send(b"mg q v q\r\n")
        await client.send(b"ms q 1 q\r\na\r\n")
        await client.expect_nothing()
        await client.expect_reply(b"mg q v c\r\n", b"VA 1 c1\r\na\r\n")


async def test_a_wait_is_served_by_another_connection(start: Servers) -> None:
    running = await start()
    async with running.client() as waiting, running.client() as other:
        await waiting.send(b"mg q/t=5000 v k l h t\r\n")
        await running.until_waiting(1)
        await other.expect_reply(b"ms q 3 k O9\r\nabc\r\n", b"HD kq O9\r\n")
        await waiting.expect(b"VA 3 kq/t=5000 l0 h0 t-1\r\nabc\r\n")


async def test_what_was_opened_returns_when_the_client_goes(start: Servers) -> None:
    running = await start()
    async with running.client() as observer:
        async with running.client() as client:
            await client.expect_reply(
                b"ms q 1\r\na\r\nmg q/open v h\r\n", b"HD\r\nVA 1 h0\r\na\r\n"
            )
        await observer.until_stat("queue_q_open_transactions", "0")
        await observer.expect_reply(b"mg q/open v h\r\nmg q/close\r\n", b"VA 1 h1\r\na\r\nHD\r\n")
        await observer.expect_reply(b"me q\r\n", b"ME q items=0 bytes=0 open=0 age=0\r\n")


async def test_ids_last_over_a_restart(start: Servers) -> None:
    for number in range(1, 3):
        running = await start()
        async with running.client() as client:
            await client.expect_reply(b"ms q 1 c\r\na\r\n", b"HD c%d\r\n" % number)
        await running.stop()
    running = await start()
    async with running.client() as client:
        await client.expect_reply(b"mg q v c\r\n" * 2, b"VA 1 c1\r\na\r\nVA 1 c2\r\na\r\n")


async def test_a_storage_line_without_a_length_closes(start: Servers) -> None:
    running = await start()
    async with running.client() as client:
        await client.send(b"ms q S2\r\nhi\r\nmd q\r\n")
        assert await client.read_to_the_end() == b"CLIENT_ERROR bad command line format\r\n"
