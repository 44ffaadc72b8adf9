"""When a client is told: after the write, after the sync where that is the policy, or of a failure.

No success is ever reported for what is not in the journal (I1, I7), and a failure leaves the
queues as if the command had never been sent.
"""

import errno
import os

import pytest

from starling_py.journal.errors import SpoolError
from starling_py.journal.format.record import REMOVE_SIZE
from tests.server.in_process import FailingFiles, Servers, SlowSyncFiles, item, put

VERSION = b"VERSION 1.0.0\r\n"
NO_ROOM = b"SERVER_ERROR journal cannot be written: No space left on device\r\n"
NO_SYNC = b"SERVER_ERROR journal cannot be synced: Input/output error\r\n"


def disk_full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def disk_broken() -> OSError:
    return OSError(errno.EIO, os.strerror(errno.EIO))


# Group commit


async def test_under_always_a_reply_comes_only_after_its_sync(start: Servers) -> None:
    files = SlowSyncFiles()
    running = await start(files, sync="always")
    async with running.client() as client:
        files.held = True
        await client.send(put(b"q", b"1"))
        await files.until_begun(1)
        await client.expect_nothing()
        files.let_go(1)
        await client.expect(b"STORED\r\n")
        await client.send(b"get q\r\n")
        await files.until_begun(2)
        await client.expect_nothing()
        files.let_go(1)
        await client.expect(item(b"q", b"1"))


async def test_under_always_a_slow_sync_stalls_nobody_who_does_not_need_it(start: Servers) -> None:
    files = SlowSyncFiles()
    running = await start(files, sync="always")
    async with running.client() as writer, running.client() as other:
        await other.expect_reply(put(b"other", b"1"), b"STORED\r\n")
        files.held = True
        await writer.send(put(b"q", b"1"))
        await files.until_begun(2)
        await other.expect_reply(b"version\r\nget none\r\nget other/peek\r\n", VERSION + b"END\r\n")
        await other.expect(item(b"other/peek", b"1"))
        assert (await other.stats())["queue_q_items"] == "1"
        await writer.expect_nothing(0)
        files.let_all_go()
        await writer.expect(b"STORED\r\n")


async def test_under_always_replies_stay_in_order_around_a_sync(start: Servers) -> None:
    files = SlowSyncFiles()
    running = await start(files, sync="always")
    async with running.client() as client:
        files.held = True
        await client.send(b"version\r\n" + put(b"q", b"1") + b"version\r\nget q\r\nget q\r\n")
        await files.until_begun(1)
        await client.send(b"get none\r\n")
        files.let_all_go()
        await client.expect(VERSION + b"STORED\r\n" + VERSION + item(b"q", b"1") + b"END\r\n")
        await client.expect(b"END\r\n")


async def test_under_always_many_clients_share_few_syncs(start: Servers) -> None:
    files = SlowSyncFiles()
    running = await start(files, sync="always")
    clients = running.clients(50)
    await clients[0].expect_reply(put(b"q", b"x"), b"STORED\r\n")
    files.held = True
    await clients[0].send(put(b"q", b"x"))
    await files.until_begun(2)
    for client in clients[1:]:
        await client.send(put(b"q", b"x"))
    async with running.client() as observer:
        await observer.until_stat("queue_q_items", "51")
    files.let_all_go()
    for client in clients:
        await client.expect(b"STORED\r\n")
    assert files.begun == 3
    assert (await clients[0].stats())["fsyncs"] == "3"
    for client in clients:
        client.hang_up()


async def test_under_always_no_reply_waits_for_the_sync_of_a_later_command(
    start: Servers,
) -> None:
    """Else a producer that never pauses would never be told anything."""
    files = SlowSyncFiles()
    running = await start(files, sync="always")
    async with running.client() as client:
        files.held = True
        await client.send(put(b"q", b"first"))
        await files.until_begun(1)
        await client.send(put(b"q", b"second"))
        await client.expect_nothing(0.05)
        files.let_go(1)
        await client.expect(b"STORED\r\n")
        await files.until_begun(2)
        await client.expect_nothing()
        files.let_all_go()
        await client.expect(b"STORED\r\n")


async def test_under_always_a_removal_is_written_when_the_sync_before_it_is_done(
    start: Servers,
) -> None:
    """If the server dies before, the item is there: nobody was given it."""
    files = SlowSyncFiles()
    running = await start(files, sync="always")

    def written() -> int:
        return sum(path.stat().st_size for path in (start.spool / "q").iterdir())

    async with running.client() as one, running.client() as other, running.client() as observer:
        await one.expect_reply(put(b"q", b"1") + put(b"q", b"2"), b"STORED\r\n" * 2)
        begun = files.begun
        files.held = True
        await one.send(b"get q\r\n")
        await files.until_begun(begun + 1)
        before = written()
        await other.send(b"get q\r\n")
        await observer.until_stat("get_hits", "2")
        assert written() == before
        files.let_go(1)
        await files.until_begun(begun + 2)
        assert written() == before + REMOVE_SIZE
        await one.expect(item(b"q", b"1"))
        await other.expect_nothing()
        files.let_all_go()
        await other.expect(item(b"q", b"2"))


async def test_under_always_who_needs_no_sync_after_all_is_answered(start: Servers) -> None:
    files = SlowSyncFiles()
    running = await start(files, sync="always", queues={"memory": {"journal": False}})
    async with running.client() as one, running.client() as other, running.client() as observer:
        await one.expect_reply(put(b"q", b"1"), b"STORED\r\n")
        begun = files.begun
        files.held = True
        await one.send(put(b"q", b"2"))
        await files.until_begun(begun + 1)
        await other.send(put(b"memory", b"3"))
        await observer.until_stat("queue_memory_items", "1")
        files.let_all_go()
        await one.expect(b"STORED\r\n")
        await other.expect(b"STORED\r\n")


async def test_under_an_interval_nobody_waits_for_the_sync(start: Servers) -> None:
    files = SlowSyncFiles()
    running = await start(files, sync="1ms")
    async with running.client() as client:
        await client.expect_reply(put(b"q", b"0"), b"STORED\r\n")
        await files.until_begun(1)
        files.held = True
        await client.expect_reply(put(b"q", b"1"), b"STORED\r\n")
        await files.until_begun(2)
        for _ in range(50):
            await client.expect_reply(put(b"q", b"2"), b"STORED\r\n")
        await client.expect_reply(b"get q\r\n", item(b"q", b"0"))
        assert files.begun == 2
        files.let_all_go()
        # What was written meanwhile is synced too.
        await files.until_begun(3)


async def test_under_never_nothing_is_synced(start: Servers) -> None:
    files = SlowSyncFiles()
    running = await start(files, sync="never")
    async with running.client() as client:
        await client.expect_reply(put(b"q", b"0") + b"get q\r\n", b"STORED\r\n" + item(b"q", b"0"))
    await running.stop()
    assert files.begun == 0


async def test_a_client_that_hangs_up_before_its_sync_hurts_nobody(start: Servers) -> None:
    files = SlowSyncFiles()
    running = await start(files, sync="always")
    async with running.client() as client, running.client() as other:
        files.held = True
        await client.send(put(b"q", b"1"))
        await files.until_begun(1)
        client.reset()
        await other.expect_reply(b"version\r\n", VERSION)
        files.let_all_go()
        await other.expect_reply(b"get q\r\n", item(b"q", b"1"))


# A sync that fails


async def test_all_who_waited_for_a_failed_sync_are_told_and_nothing_is_done(
    start: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    files = SlowSyncFiles()
    running = await start(files, sync="always")
    producers = running.clients(3)
    async with running.client() as consumer, running.client() as other:
        await other.expect_reply(put(b"q", b"0") + put(b"other", b"0"), b"STORED\r\nSTORED\r\n")
        begun = files.begun
        files.held = True
        for client in producers:
            client.say(put(b"q", b"lost"))
        consumer.say(b"get q\r\n")
        await files.until_begun(begun + 1)
        files.error = disk_broken()
        files.let_go(1)
        for client in (*producers, consumer):
            await client.expect(NO_SYNC)
        # The disk is still broken, so nothing can be made safe elsewhere.
        files.let_all_go()
        await other.expect_reply(put(b"q", b"1"), NO_SYNC)
        await other.expect_reply(b"set q 0 0 1 noreply\r\n2\r\nversion\r\n", VERSION)
        stats = await other.stats()
        assert stats["queue_q_journal_broken"] == "1"
        assert stats["queue_other_journal_broken"] == "0"
        assert stats["noreply_errors"] == "1"
        # Now it works again: the queue goes on as it was before, in a fresh segment.
        files.error = None
        await other.until_stat("queue_q_journal_broken", "0")
        await other.expect_reply(put(b"q", b"1"), b"STORED\r\n")
        await other.expect_reply(b"get q\r\n" * 3, item(b"q", b"0") + item(b"q", b"1") + b"END\r\n")
        assert (await other.stats())["journals_healed"] == "1"
    for client in producers:
        client.hang_up()
    assert "cannot be synced" in caplog.text
    assert "fresh segment" in caplog.text
    await running.stop()


async def test_what_nobody_waited_for_is_saved_when_a_background_sync_fails(
    start: Servers,
) -> None:
    files = SlowSyncFiles()
    running = await start(files, sync="1ms")
    async with running.client() as client:
        await client.expect_reply(put(b"q", b"0"), b"STORED\r\n")
        await client.until_stat("fsyncs", "1")
        files.error = disk_broken()
        await client.expect_reply(put(b"q", b"1"), b"STORED\r\n")
        await client.until_stat("queue_q_journal_broken", "1")
        await client.expect_reply(put(b"q", b"2"), NO_SYNC)
        await client.expect_reply(b"get q/peek\r\n", item(b"q/peek", b"0"))
        files.error = None
        await client.until_stat("queue_q_journal_broken", "0")
        await client.expect_reply(put(b"q", b"3"), b"STORED\r\n")
        await client.expect_reply(b"get q\r\n", item(b"q", b"0"))
    await running.stop()
    running = await start()
    async with running.client() as client:
        await client.expect_reply(
            b"get q\r\n" * 3, item(b"q", b"1") + item(b"q", b"3") + b"END\r\n"
        )


async def test_a_failed_sync_of_one_queue_does_not_fail_the_replies_of_another(
    start: Servers,
) -> None:
    files = SlowSyncFiles()
    running = await start(files, sync="always")
    async with running.client() as good, running.client() as bad:
        await good.expect_reply(put(b"good", b"0") + put(b"bad", b"0"), b"STORED\r\nSTORED\r\n")
        begun = files.begun
        files.held = True
        files.error = disk_broken()
        await bad.send(put(b"bad", b"1"))
        await files.until_begun(begun + 1)
        await good.send(put(b"good", b"1"))
        async with running.client() as observer:
            await observer.until_stat("queue_good_items", "2")
        files.let_go(1)
        await bad.expect(NO_SYNC)
        await files.until_begun(begun + 2)
        files.error = None
        files.let_all_go()
        await good.expect(b"STORED\r\n")


# A write that fails


@pytest.mark.parametrize("takes", [0, 1, 30])
@pytest.mark.parametrize("sync", ["never", "50ms", "always"])
async def test_a_put_that_cannot_be_written_is_refused_until_the_disk_works(
    start: Servers, takes: int, sync: str
) -> None:
    files = FailingFiles()
    running = await start(files, sync=sync)
    async with running.client() as client:
        await client.expect_reply(put(b"q", b"before"), b"STORED\r\n")
        files.error, files.takes = disk_full(), takes
        await client.expect_reply(put(b"q", b"refused" * 10), NO_ROOM)
        await client.expect_reply(put(b"q", b"refused") * 3, NO_ROOM * 3)
        await client.expect_reply(b"set q 0 0 1 noreply\r\nx\r\nversion\r\n", VERSION)
        assert (await client.stats())["queue_q_items"] == "1"
        assert (await client.stats())["noreply_errors"] == "1"
        files.error = None
        await client.expect_reply(put(b"q", b"after"), b"STORED\r\n")
    await running.stop()
    running = await start()
    async with running.client() as client:
        await client.expect_reply(b"get q\r\n" * 3, item(b"q", b"before") + item(b"q", b"after"))
        await client.expect(b"END\r\n")


async def test_a_queue_that_cannot_be_created_is_not_there(start: Servers) -> None:
    files = FailingFiles()
    running = await start(files)
    async with running.client() as client:
        files.error = disk_full()
        await client.expect_reply(put(b"q", b"refused"), NO_ROOM)
        assert (await client.stats())["curr_queues"] == "0"
        await client.expect_reply(b"get q\r\ndelete q\r\n", b"END\r\nNOT_FOUND\r\n")
        files.error = None
        await client.expect_reply(put(b"q", b"1") + b"gets q\r\n", b"STORED\r\n")
        assert await client.read_until(b"END\r\n") == b"VALUE q 0 1 1\r\n1\r\nEND\r\n"


async def test_an_item_whose_removal_cannot_be_written_stays_in_its_place(start: Servers) -> None:
    files = FailingFiles()
    running = await start(files)
    async with running.client() as client, running.client() as other:
        await client.expect_reply(
            b"".join(put(b"q", b"%d" % n) for n in range(4)), b"STORED\r\n" * 4
        )
        files.error = disk_full()
        await client.expect_reply(b"get q\r\n", NO_ROOM)
        await client.expect_reply(b"get q\r\nget q\r\nversion\r\n", NO_ROOM * 2 + VERSION)
        client.say(b"get q\r\n")
        other.say(put(b"q", b"refused") + b"get q\r\n")
        await client.expect(NO_ROOM)
        await other.expect(NO_ROOM * 2)
        await client.expect_reply(b"get q/peek\r\n", item(b"q/peek", b"0"))
        files.error = None
        await client.expect_reply(
            b"get q\r\n" * 5, b"".join(item(b"q", b"%d" % n) for n in range(4))
        )
        await client.expect(b"END\r\n")


async def test_a_get_of_two_queues_gives_what_it_can(start: Servers) -> None:
    files = FailingFiles()
    running = await start(files)
    async with running.client() as client:
        await client.expect_reply(put(b"good", b"1") + put(b"bad", b"2"), b"STORED\r\n" * 2)
        files.error, files.only = disk_full(), "/bad/"
        await client.expect_reply(b"get bad good\r\n", item(b"good", b"1"))
        files.error = None
        await client.expect_reply(b"get bad good\r\n", item(b"bad", b"2"))


@pytest.mark.parametrize("command", [b"flush q", b"delete q"])
async def test_a_removal_of_all_that_cannot_be_written_removes_nothing(
    start: Servers, command: bytes
) -> None:
    files = FailingFiles()
    running = await start(files)
    async with running.client() as client:
        await client.expect_reply(put(b"q", b"1") + put(b"q", b"2"), b"STORED\r\n" * 2)
        files.error = disk_full()
        await client.expect_reply(b"get q\r\n" + command + b"\r\n", NO_ROOM * 2)
        files.error = None
        await client.expect_reply(
            b"get q\r\n" * 3, item(b"q", b"1") + item(b"q", b"2") + b"END\r\n"
        )


async def test_flush_all_does_not_say_ok_when_it_could_not_be_written(start: Servers) -> None:
    files = FailingFiles()
    running = await start(files, allow_flush_all=True)
    async with running.client() as client:
        await client.expect_reply(put(b"a", b"1") + put(b"b", b"2"), b"STORED\r\n" * 2)
        files.error, files.only = disk_full(), "/a/"
        await client.expect_reply(b"flush_all\r\nversion\r\n", NO_ROOM + VERSION)
        files.error = None
        await client.expect_reply(b"get a\r\n", item(b"a", b"1"))
        await client.expect_reply(b"flush_all\r\nget a b\r\n", b"OK\r\nEND\r\n")


async def test_flush_all_flushes_all_others_when_one_queue_cannot_be(start: Servers) -> None:
    files = SlowSyncFiles()
    running = await start(files, sync="1ms", allow_flush_all=True)
    async with running.client() as client:
        await client.expect_reply(put(b"a", b"1") + put(b"b", b"2"), b"STORED\r\n" * 2)
        await client.until_stat("fsyncs", "2")
        files.error = disk_broken()
        await client.expect_reply(put(b"a", b"3"), b"STORED\r\n")
        await client.until_stat("queue_a_journal_broken", "1")
        await client.expect_reply(b"flush_all\r\nget b\r\n", NO_SYNC + b"END\r\n")
        files.error = None
        await client.until_stat("queue_a_journal_broken", "0")
        await client.expect_reply(b"get a\r\n", item(b"a", b"1"))


async def test_the_dead_of_all_queues_are_removed_but_of_those_refused(start: Servers) -> None:
    (start.spool / "a").mkdir(parents=True)
    os.mkfifo(start.spool / "a" / "0000000000000001.segment")
    running = await start()
    async with running.client() as client:
        await client.expect_reply(put(b"b", b"2", exptime=-1), b"STORED\r\n")
        await client.expect_reply(b"flush_all_expired\r\nget b\r\n", b"1\r\nEND\r\n")
        why = f"{start.spool}/a/0000000000000001.segment: this is a FIFO, not a regular file"
        refused = b"SERVER_ERROR the queue is refused: %b\r\n" % why.encode()
        await client.expect_reply(b"flush_expired a\r\n", refused)


async def test_a_removal_of_the_dead_is_not_counted_when_it_could_not_be_written(
    start: Servers,
) -> None:
    files = FailingFiles()
    running = await start(files)
    async with running.client() as client:
        await client.expect_reply(put(b"q", b"1", exptime=-1), b"STORED\r\n")
        files.error = disk_full()
        await client.expect_reply(b"flush_expired q\r\n", NO_ROOM)
        files.error = None
        await client.expect_reply(b"flush_expired q\r\n", b"1\r\n")
        assert (await client.stats())["queue_q_expired_items"] == "1"


async def test_a_waiter_is_not_given_an_item_that_could_not_be_written(start: Servers) -> None:
    files = FailingFiles()
    running = await start(files)
    async with running.client() as waiter, running.client() as producer:
        await producer.expect_reply(
            put(b"q", b"0") + b"get q\r\n", b"STORED\r\n" + item(b"q", b"0")
        )
        await waiter.send(b"get q/t=9000\r\n")
        await running.until_waiting(1)
        files.error = disk_full()
        await producer.expect_reply(put(b"q", b"refused"), NO_ROOM)
        await waiter.expect(NO_ROOM)
        files.error = None
        await waiter.expect_reply(b"get q\r\n", b"END\r\n")


async def test_a_waiter_is_served_an_item_that_is_back_as_its_removal_failed(
    start: Servers,
) -> None:
    """A queue never holds an item while somebody waits for it."""
    files = FailingFiles()
    running = await start(files)
    async with running.client() as taker, running.client() as waiter:
        await taker.expect_reply(put(b"q", b"1"), b"STORED\r\n")
        await waiter.expect_reply(b"version\r\n", VERSION)
        files.error = disk_full()
        taker.say(b"get q\r\n")
        waiter.say(b"get q/t=9000\r\n")
        await taker.expect(NO_ROOM)
        files.error = None
        # Neither a refusal nor the item would be wrong; silence is.
        assert await waiter.read_line() in (NO_ROOM[:-2], b"VALUE q/t=9000 0 1")


async def test_what_could_not_be_written_is_not_counted_as_done(start: Servers) -> None:
    files = FailingFiles()
    running = await start(files)
    async with running.client() as client:
        await client.expect_reply(put(b"q", b"1"), b"STORED\r\n")
        files.error = disk_full()
        await client.expect_reply(put(b"q", b"2") + b"get q\r\n", NO_ROOM * 2)
        stats = await client.stats()
        assert stats["total_items"] == "1"
        assert stats["queue_q_total_items"] == "1"
        assert stats["queue_q_get_hits"] == "0"
        assert stats["get_hits"] == "0"
        assert stats["journal_failures"] == "1"
        assert stats["curr_items"] == "1"
        assert stats["bytes"] == "1"


# What keeps a server from starting


async def test_a_spool_that_cannot_be_listed_is_reported_in_one_line(start: Servers) -> None:
    class Unlisted(SlowSyncFiles):
        def list_directory(self, path: str) -> list[str]:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    with pytest.raises(SpoolError, match="Permission denied"):
        await start(Unlisted())
