"""The owner: what it sends is in the stream once and in order, or it is the owner no more."""

import asyncio
import contextlib
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starling_py.replica import operations, stream
from starling_py.replica.operations import Operation
from starling_py.replica.outbox import MESSAGE_SIZE, Outbox
from starling_py.replica.owner import Claim, LostError, Owner
from starling_py.replica.shipped_files import ShippedFiles
from starling_py.replica.stream_ledger import StreamLedger
from tests.journal.spool_harness import SPOOL, Harness, empty_disk
from tests.replica.memory_stream import MemoryStream
from tests.replica.shipping import follower, shared


class Clock:
    """Time that passes a little with each look."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


async def new_owner(
    place: MemoryStream, outbox: Outbox, node: str = "one", bound: int = 1 << 30
) -> Owner:
    """Return an owner that has just claimed a stream."""
    claim = Claim(node, f"{node}:22122", 1, 0)
    last = await place.append(stream.OWNER, claim.encode(), f"{node}.claim", place.last)
    return Owner(place, outbox, StreamLedger(), claim, last, 1.0, Clock(), bound)


@contextlib.asynccontextmanager
async def running(owner: Owner):  # type: ignore[no-untyped-def]  # noqa: ANN201
    """Let an owner run, and end it."""
    task = asyncio.create_task(owner.run())
    yield task
    owner.end()
    with contextlib.suppress(LostError):
        async with asyncio.timeout(20):
            await task


async def until(what: Callable[[], bool]) -> None:
    """Return when something is so."""
    async with asyncio.timeout(20):
        while not what():
            await asyncio.sleep(0.001)


def write(number: int) -> Operation:
    """Return an operation that tells which one it is."""
    return Operation(operations.WROTE, "jobs/1.segment", number, b"%06d" % number)


def told(place: MemoryStream) -> list[int]:
    """Return which of these operations a stream has, in their order; expect no gap."""
    found, numbers = [], []
    for _, entry in sorted(place.entries.items()):
        if entry.kind == stream.LOG:
            number, changes = operations.decode(entry.data)
            numbers.append(number)
            found += [each.offset for each in changes]
    assert numbers == list(range(1, len(numbers) + 1))
    return found


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1 << 30), st.sampled_from([0.0, 0.2, 0.6]))
def test_whatever_is_lost_on_the_way_all_is_there_once_and_in_order(seed: int, rate: float) -> None:
    async def scenario() -> None:
        random = Random(seed)
        place, outbox = MemoryStream(), Outbox()
        owner = await new_owner(place, outbox)
        place.fault = lambda: (
            random.choice(("question", "answer")) if random.random() < rate else ""
        )
        async with running(owner):
            for number in range(60):
                outbox.add(write(number))
                if random.random() < 0.3:
                    await asyncio.to_thread(outbox.flush)
                    assert len(told(place)) == number + 1
            await asyncio.to_thread(outbox.flush)
        assert told(place) == list(range(60))
        assert owner.silent_for() == 0

    asyncio.run(scenario())


def test_messages_under_way_have_the_numbers_that_they_will_get() -> None:
    async def scenario() -> None:
        place, outbox = MemoryStream(), Outbox()
        owner = await new_owner(place, outbox)
        for number in range(8):
            outbox.add(
                Operation(operations.WROTE, "jobs/1.segment", number, bytes(MESSAGE_SIZE - 100))
            )
        async with running(owner):
            await asyncio.to_thread(outbox.flush)
        assert told(place) == list(range(8))
        assert place.appended >= 9

    asyncio.run(scenario())


def test_an_owner_that_another_one_has_followed_is_told_nothing() -> None:
    async def scenario() -> None:
        place, outbox = MemoryStream(), Outbox()
        owner = await new_owner(place, outbox)
        claim = Claim("two", "two:22122", 2, 0)
        await place.append(stream.OWNER, claim.encode(), "two.claim", place.last)
        outbox.add(write(0))
        async with running(owner) as task:
            with pytest.raises(LostError):
                await task
        assert owner.lost
        assert not outbox.settled
        assert told(place) == []
        outbox.close("another server is the owner")
        with pytest.raises(OSError, match="another server"):
            outbox.flush()

    asyncio.run(scenario())


def test_an_idle_owner_notices_that_it_is_the_owner_no_more() -> None:
    async def scenario() -> None:
        place, outbox = MemoryStream(), Outbox()
        owner = await new_owner(place, outbox)
        async with running(owner) as task:
            claim = Claim("two", "two:22122", 2, 0)
            with contextlib.suppress(stream.NotLastError):
                await place.append(stream.OWNER, claim.encode(), "two.claim", place.last)
            with pytest.raises(LostError):
                await asyncio.wait_for(task, 20)

    asyncio.run(scenario())


def test_while_nothing_answers_the_owner_waits_and_then_goes_on() -> None:
    async def scenario() -> None:
        place, outbox = MemoryStream(), Outbox()
        owner = await new_owner(place, outbox)
        async with running(owner):
            place.silent = True
            outbox.add(write(0))
            flush = asyncio.create_task(asyncio.to_thread(outbox.flush))
            await until(lambda: owner.silent_for() > 0.01)
            assert not flush.done()
            place.silent = False
            await asyncio.wait_for(flush, 20)
            assert told(place) == [0]

    asyncio.run(scenario())


def test_the_stream_stays_within_twice_the_files_and_a_bound() -> None:
    async def scenario() -> None:
        bound = 20_000
        place, outbox, disk = MemoryStream(), Outbox(), empty_disk()
        owner = await new_owner(place, outbox, bound=bound)
        owner.files = ShippedFiles(disk, SPOOL, outbox)
        harness = Harness(owner.files, segment_size=1000)
        async with running(owner):
            harness.put(b"it stays for ever", b"old")
            for number in range(300):
                harness.put(b"%05d" % number * 30)
                if number % 10 == 9:
                    harness.pop_all(10)
                harness.commit()
                await asyncio.to_thread(outbox.flush)
                if number % 20 == 19:
                    owner._reclaim_at = 0
                    await until(lambda: place.size <= 2 * owner._ledger.live + 2 * bound)
        harness.close()
        await owner.hand_over()
        copy = empty_disk()
        node = follower(copy)
        node.start(min(place.entries), place.last)
        for sequence, entry in sorted(place.entries.items()):
            if entry.kind == stream.LOG:
                node.apply(sequence, entry.data)
        found = shared(copy)
        assert place.appended > 2 * len(place.entries)
        assert found == shared(disk)

    asyncio.run(scenario())


def test_what_is_reclaimed_leaves_who_owns_the_stream() -> None:
    async def scenario() -> None:
        place, outbox = MemoryStream(), Outbox()
        owner = await new_owner(place, outbox, bound=0)
        async with running(owner):
            for number in range(100):
                outbox.add(Operation(operations.CREATED, "jobs/1.segment"))
                outbox.add(write(number))
                await asyncio.to_thread(outbox.flush)
            owner._reclaim_at = 0
            owner._wake.set()
            await until(lambda: min(place.entries) > 100)
            entry = await place.owner()
        assert entry is not None
        assert Claim.decode(entry.data).node == "one"

    asyncio.run(scenario())


def test_who_hands_over_says_so_behind_all_that_it_has_done() -> None:
    async def scenario() -> None:
        place, outbox = MemoryStream(), Outbox()
        owner = await new_owner(place, outbox)
        outbox.add(write(0))
        await owner.hand_over()
        assert outbox.settled
        assert told(place) == [0]
        claim = Claim.decode(place.entries[place.last].data)
        assert (claim.released, claim.number) == (True, 1)

    asyncio.run(scenario())
