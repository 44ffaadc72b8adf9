"""Blocking gets: first come, first served, exactly one item each, and none is lost (I11)."""

import random

import trio

from tests.server.in_process import Client, Servers, item, put


async def expect_queue_holds(client: Client, *expected: bytes) -> None:
    for data in expected:
        await client.expect_reply(b"get q\r\n", item(b"q", data))
    await client.expect_reply(b"get q\r\n", b"END\r\n")


async def test_a_waiting_get_gets_the_item_that_arrives(start: Servers) -> None:
    running = await start()
    async with running.client() as waiter, running.client() as producer:
        await waiter.send(b"get q/t=5000\r\n")
        await running.until_waiting(1)
        await producer.expect_reply(put(b"q", b"hello", flags=7), b"STORED\r\n")
        await waiter.expect(item(b"q/t=5000", b"hello", flags=7))
        await expect_queue_holds(producer)


async def test_a_waiting_get_takes_what_is_there_already(start: Servers) -> None:
    running = await start()
    async with running.client() as client:
        await client.expect_reply(put(b"q", b"old"), b"STORED\r\n")
        await client.expect_reply(b"get q/t=5000\r\n", item(b"q/t=5000", b"old"))


async def test_a_wait_ends_with_a_miss_when_its_time_is_over(start: Servers) -> None:
    running = await start()
    async with running.client() as client:
        begin = trio.current_time()
        await client.expect_reply(b"get q/t=150\r\n", b"END\r\n")
        assert trio.current_time() - begin >= 0.15


async def test_a_wait_of_no_time_is_no_wait(start: Servers) -> None:
    running = await start()
    async with running.client() as client:
        await client.expect_reply(b"get q/t=0\r\n", b"END\r\n")


async def test_waiters_are_served_in_the_order_of_their_coming_one_item_each(
    start: Servers,
) -> None:
    running = await start()
    waiters = running.clients(20)
    order = list(waiters)
    random.Random(1).shuffle(order)
    for number, waiter in enumerate(order, 1):
        await waiter.send(b"get q/t=9000\r\n")
        await running.until_waiting(number)
    async with running.client() as producer:
        for number in range(25):
            await producer.expect_reply(put(b"q", b"%d" % number), b"STORED\r\n")
        for number, waiter in enumerate(order):
            await waiter.expect(item(b"q/t=9000", b"%d" % number))
        await expect_queue_holds(producer, *(b"%d" % number for number in range(20, 25)))
    for waiter in waiters:
        await waiter.expect_nothing(0)
        waiter.hang_up()


async def test_items_that_arrive_in_one_segment_go_to_one_waiter_each(start: Servers) -> None:
    running = await start()
    waiters = running.clients(5)
    for number, waiter in enumerate(waiters, 1):
        await waiter.send(b"get q/t=9000\r\n")
        await running.until_waiting(number)
    async with running.client() as producer:
        await producer.send(b"".join(put(b"q", b"%d" % number) for number in range(7)))
        await producer.expect(b"STORED\r\n" * 7)
        for number, waiter in enumerate(waiters):
            await waiter.expect(item(b"q/t=9000", b"%d" % number))
            waiter.hang_up()
        await expect_queue_holds(producer, b"5", b"6")


async def test_a_waiter_that_waits_again_goes_to_the_end_of_the_line(start: Servers) -> None:
    running = await start()
    async with running.client() as first, running.client() as second, running.client() as producer:
        await first.send(b"get q/t=9000\r\n")
        await running.until_waiting(1)
        await second.send(b"get q/t=9000\r\n")
        await running.until_waiting(2)
        await producer.expect_reply(put(b"q", b"1"), b"STORED\r\n")
        await first.expect(item(b"q/t=9000", b"1"))
        await first.send(b"get q/t=9000\r\n")
        await running.until_waiting(2)
        await producer.expect_reply(put(b"q", b"2"), b"STORED\r\n")
        await second.expect(item(b"q/t=9000", b"2"))
        await producer.expect_reply(put(b"q", b"3"), b"STORED\r\n")
        await first.expect(item(b"q/t=9000", b"3"))


async def test_a_waiter_that_hung_up_loses_nothing(start: Servers) -> None:
    running = await start()
    async with running.client() as waiter, running.client() as producer:
        await waiter.send(b"get q/t=9000\r\n")
        await running.until_waiting(1)
        waiter.hang_up()
        await running.until_waiting(0)
        await producer.expect_reply(put(b"q", b"kept"), b"STORED\r\n")
        await expect_queue_holds(producer, b"kept")


async def test_a_waiter_that_was_reset_loses_nothing(start: Servers) -> None:
    running = await start()
    async with running.client() as waiter, running.client() as producer:
        await waiter.send(b"get q/t=9000\r\n")
        await running.until_waiting(1)
        waiter.reset()
        producer.say(put(b"q", b"kept"))
        await producer.expect(b"STORED\r\n")
        await expect_queue_holds(producer, b"kept")


async def test_a_waiter_that_hung_up_before_the_put_was_read_loses_nothing(
    start: Servers,
) -> None:
    """The tick reads every ready client before it executes, so it knows who is gone."""
    running = await start()
    async with running.client() as waiter, running.client() as producer:
        await producer.expect_reply(b"version\r\n", b"VERSION 1.0.0\r\n")
        await waiter.send(b"get q/t=9000\r\n")
        await running.until_waiting(1)
        producer.say(put(b"q", b"kept"))
        waiter.hang_up()
        await producer.expect(b"STORED\r\n")
        await expect_queue_holds(producer, b"kept")


async def test_a_waiter_whose_time_was_over_loses_nothing(start: Servers) -> None:
    running = await start()
    async with running.client() as waiter, running.client() as producer:
        await waiter.expect_reply(b"get q/t=20\r\n", b"END\r\n")
        await producer.expect_reply(put(b"q", b"kept"), b"STORED\r\n")
        await waiter.expect_nothing()
        await expect_queue_holds(waiter, b"kept")


async def test_a_get_on_several_queues_is_served_by_whichever_fills_first(start: Servers) -> None:
    running = await start()
    async with running.client() as waiter, running.client() as producer:
        await waiter.send(b"get a/t=9000 b/t=9000 c/t=9000\r\n")
        await running.until_waiting(1)
        assert (await producer.stats())["curr_queues"] == "0"
        await producer.expect_reply(put(b"b", b"1"), b"STORED\r\n")
        await waiter.expect(item(b"b/t=9000", b"1"))
        # It waits for none of the others any more.
        await producer.expect_reply(put(b"a", b"2") + put(b"c", b"3"), b"STORED\r\nSTORED\r\n")
        await waiter.expect_nothing()
        await waiter.expect_reply(b"get a\r\n", item(b"a", b"2"))


async def test_a_get_on_several_queues_does_not_wait_when_one_has_an_item(start: Servers) -> None:
    running = await start()
    async with running.client() as client:
        await client.expect_reply(put(b"b", b"1"), b"STORED\r\n")
        await client.expect_reply(b"get a/t=9000 b c/t=9000\r\n", item(b"b", b"1"))


async def test_a_get_on_several_queues_waits_when_only_one_key_asks_for_it(start: Servers) -> None:
    running = await start()
    async with running.client() as waiter, running.client() as producer:
        await waiter.send(b"gets a b/t=9000\r\n")
        await running.until_waiting(1)
        await producer.expect_reply(put(b"a", b"1"), b"STORED\r\n")
        assert await waiter.read_until(b"END\r\n") == b"VALUE a 0 1 1\r\n1\r\nEND\r\n"


async def test_a_waiting_peek_leaves_the_item_to_the_next_in_line(start: Servers) -> None:
    running = await start()
    async with running.client() as looker, running.client() as taker, running.client() as producer:
        await looker.send(b"get q/peek/t=9000\r\n")
        await running.until_waiting(1)
        await taker.send(b"get q/t=9000\r\n")
        await running.until_waiting(2)
        await producer.expect_reply(put(b"q", b"1"), b"STORED\r\n")
        await looker.expect(item(b"q/peek/t=9000", b"1"))
        await taker.expect(item(b"q/t=9000", b"1"))


async def test_a_waiting_connection_gets_no_item_that_is_dead_on_arrival(start: Servers) -> None:
    running = await start()
    async with running.client() as waiter, running.client() as producer:
        await waiter.send(b"get q/t=9000\r\n")
        await running.until_waiting(1)
        await producer.expect_reply(put(b"q", b"dead", exptime=-1), b"STORED\r\n")
        await producer.expect_reply(put(b"q", b"alive"), b"STORED\r\n")
        await waiter.expect(item(b"q/t=9000", b"alive"))


async def test_those_who_wait_for_a_queue_go_on_waiting_when_it_is_deleted(start: Servers) -> None:
    running = await start()
    async with running.client() as waiter, running.client() as producer:
        await producer.expect_reply(
            put(b"q", b"0") + b"get q\r\n", b"STORED\r\n" + item(b"q", b"0")
        )
        await waiter.send(b"get q/t=9000\r\n")
        await running.until_waiting(1)
        await producer.expect_reply(b"delete q\r\n", b"DELETED\r\n")
        await producer.expect_reply(put(b"q", b"1"), b"STORED\r\n")
        await waiter.expect(item(b"q/t=9000", b"1"))


async def test_a_blocking_get_parks_the_commands_behind_it(start: Servers) -> None:
    running = await start()
    async with running.client() as waiter, running.client() as other:
        await waiter.send(
            put(b"before", b"1") + b"get q/t=9000\r\n" + put(b"after", b"2") + b"version\r\n"
        )
        await running.until_waiting(1)
        await waiter.expect(b"STORED\r\n")
        await other.expect_reply(b"get after\r\n", b"END\r\n")
        await waiter.expect_nothing()
        await other.expect_reply(put(b"q", b"x"), b"STORED\r\n")
        await waiter.expect(item(b"q/t=9000", b"x") + b"STORED\r\nVERSION 1.0.0\r\n")
        await other.expect_reply(b"get after\r\n", item(b"after", b"2"))


async def test_commands_behind_a_wait_that_times_out_run_then(start: Servers) -> None:
    running = await start()
    async with running.client() as client:
        await client.expect_reply(
            b"get q/t=30\r\nget q/t=30\r\nversion\r\n", b"END\r\nEND\r\nVERSION 1.0.0\r\n"
        )


async def test_a_client_may_put_what_it_waited_for_behind_its_own_wait(start: Servers) -> None:
    running = await start()
    async with running.client() as client:
        await client.send(b"get q/t=30\r\n" + put(b"q", b"1") + b"get q/t=9000\r\n")
        await client.expect(b"END\r\nSTORED\r\n" + item(b"q/t=9000", b"1"))


async def test_what_comes_while_a_client_waits_is_executed_afterwards(start: Servers) -> None:
    running = await start()
    async with running.client() as waiter, running.client() as producer:
        await waiter.send(b"get q/t=9000\r\n")
        await running.until_waiting(1)
        await waiter.send(b"version\r\nver")
        await waiter.send(b"sion\r\n")
        await waiter.expect_nothing()
        await producer.expect_reply(put(b"q", b"1"), b"STORED\r\n")
        await waiter.expect(item(b"q/t=9000", b"1") + b"VERSION 1.0.0\r\n" * 2)


async def test_a_client_that_sends_far_ahead_while_it_waits_is_not_read_for_ever(
    start: Servers,
) -> None:
    running = await start()
    async with running.client() as waiter, running.client() as producer:
        await waiter.send(b"get q/t=60000\r\n")
        await running.until_waiting(1)
        sent = await waiter.send_what_is_taken(0.3)
        assert sent < 16 << 20
        await producer.expect_reply(put(b"q", b"1"), b"STORED\r\n")
        await waiter.expect(item(b"q/t=60000", b"1"))
        await waiter.expect(b"VERSION 1.0.0\r\n" * (sent // 9))


async def test_a_client_that_sent_far_ahead_and_hung_up_does_not_wait_any_more(
    start: Servers,
) -> None:
    """Nothing more is read from it, and still its end must be noticed, or it loses an item."""
    running = await start()
    async with running.client() as waiter, running.client() as producer:
        await waiter.send(b"get q/t=60000\r\n")
        await running.until_waiting(1)
        # More than is kept for a client that waits, and so little more that its end gets through.
        await waiter.send(b"version\r\n" * 120_000)
        waiter.hang_up()
        await running.until_waiting(0)
        await producer.expect_reply(put(b"q", b"1"), b"STORED\r\n")
        await expect_queue_holds(producer, b"1")


async def test_a_storm_of_cancelled_waits_loses_nothing_and_keeps_the_order(
    start: Servers,
) -> None:
    """Of 300 who wait, some hang up, some are reset, some run out of time; the rest is served."""
    running = await start()
    dice = random.Random(2)
    fates = ["hangs up", "is reset", "gives up", "stays"] * 75
    dice.shuffle(fates)
    waiters = list(zip(running.clients(len(fates)), fates, strict=True))
    for client, fate in waiters:
        client.say(b"get q/t=%d\r\n" % (1500 if fate == "gives up" else 60_000))
    # Not until all wait: by then the time of some may be over.
    await running.until_connected(len(waiters))
    for client, fate in waiters:
        if fate == "hangs up":
            client.hang_up()
        elif fate == "is reset":
            client.reset()
        elif fate == "gives up":
            await client.expect(b"END\r\n")
    staying = [client for client, fate in waiters if fate == "stays"]
    await running.until_waiting(len(staying))
    async with running.client() as producer:
        count = len(staying) + 3
        await producer.send(b"".join(put(b"q", b"%d" % number) for number in range(count)))
        await producer.expect(b"STORED\r\n" * count)
        for number, client in enumerate(staying):
            await client.expect(item(b"q/t=60000", b"%d" % number))
        await expect_queue_holds(producer, *(b"%d" % number for number in range(count - 3, count)))
    for client, _ in waiters:
        client.hang_up()


async def test_waiters_that_run_out_of_time_amid_puts_lose_nothing(start: Servers) -> None:
    """Waits of a few milliseconds against a producer: what was not delivered is in the queue."""
    running = await start()
    taken: list[int] = []
    total = 500
    done = trio.Event()

    async def consume() -> None:
        async with running.client() as client:
            while not done.is_set():
                await client.send(b"get q/t=1\r\n")
                if await client.read_line() != b"END":
                    taken.append(int(await client.read_line()))
                    await client.expect(b"END\r\n")

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(consume)
        async with running.client() as producer:
            for number in range(total):
                await producer.expect_reply(put(b"q", b"%d" % number), b"STORED\r\n")
                if number % 50 == 0:
                    await trio.sleep(0.003)  # long enough for waits to end
            done.set()
    async with running.client() as client:
        while True:
            await client.send(b"get q\r\n")
            if await client.read_line() == b"END":
                break
            taken.append(int(await client.read_line()))
            await client.expect(b"END\r\n")
    assert sorted(taken) == list(range(total))
