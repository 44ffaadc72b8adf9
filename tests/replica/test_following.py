"""A follower becomes the owner when nobody owns the stream, with everything, and alone."""

import asyncio
import contextlib

import attrs
import pytest

from starling_py.replica import stream
from starling_py.replica.follower import DivergedError, Follower
from starling_py.replica.following import Following
from starling_py.replica.outbox import Outbox
from starling_py.replica.owner import Claim, Owner
from starling_py.replica.stream_ledger import StreamLedger
from tests.journal.simulated_disk import SimulatedDisk
from tests.journal.spool_harness import empty_disk
from tests.replica.memory_stream import MemoryStream
from tests.replica.shipping import follower
from tests.replica.test_owner import running, until, write

TAKEOVER = 1.0


class Time:
    """The time that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@attrs.define
class Candidate:
    """A server that follows."""

    place: MemoryStream
    name: str
    time: Time
    disk: SimulatedDisk = attrs.field(factory=empty_disk)

    def following(self) -> tuple[Following, Follower]:
        """Return what follows, and its files."""
        node = follower(self.disk)
        return Following(
            self.place, node, self.name, f"{self.name}:22122", TAKEOVER, self.time
        ), node


async def an_owner(place: MemoryStream, time: Time) -> tuple[Owner, Outbox]:
    """Return the first owner of a stream."""
    claim, outbox = Claim("one", "one:22122", 1, 0), Outbox()
    last = await place.append(stream.OWNER, claim.encode(), "one.claim", place.last)
    return Owner(place, outbox, StreamLedger(), claim, last, TAKEOVER, time), outbox


@contextlib.asynccontextmanager
async def follows(following: Following):  # type: ignore[no-untyped-def]  # noqa: ANN201
    """Follow, and end that."""
    task = asyncio.create_task(following.run())
    yield task
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, DivergedError):
        await task


def test_of_two_followers_one_alone_becomes_the_owner() -> None:
    async def scenario() -> None:
        place, time = MemoryStream(), Time()
        owner, outbox = await an_owner(place, time)
        outbox.add(write(0))
        await owner._send(all_of_it=True)
        first, node = Candidate(place, "two", time).following()
        second, other = Candidate(place, "three", time).following()
        async with follows(first) as one, follows(second) as two:
            await until(lambda: first.lag + second.lag == 0 and first.owner is not None)
            await until(lambda: second.owner is not None)
            time.now = 0.9 * TAKEOVER
            for _ in range(50):
                await asyncio.sleep(0.001)
            assert not one.done()
            assert not two.done()
            time.now = 1.1 * TAKEOVER
            await until(lambda: one.done() or two.done())
            for _ in range(50):
                await asyncio.sleep(0.001)
            assert one.done() != two.done()
            winner = (one if one.done() else two).result()
            assert (winner.epoch, winner.number) == (2, 1)
            loser = second if one.done() else first
            await until(lambda: loser.owner is not None and loser.owner.epoch == 2)
        assert node.position.sequence == other.position.sequence == place.last

    asyncio.run(scenario())


def test_an_owner_that_is_heard_stays_the_owner() -> None:
    async def scenario() -> None:
        place, time = MemoryStream(), Time()
        owner, _ = await an_owner(place, time)
        following, _ = Candidate(place, "two", time).following()
        async with running(owner), follows(following) as task:
            for _ in range(60):
                time.now += 0.15 * TAKEOVER
                before = place.appended
                owner._wake.set()
                await until(lambda before=before: place.appended > before)  # type: ignore[misc]
                await until(lambda: following.last == place.last)
            assert not task.done()
            assert not owner.lost

    asyncio.run(scenario())


def test_silence_while_the_stream_does_not_answer_is_not_the_owners() -> None:
    async def scenario() -> None:
        place, time = MemoryStream(), Time()
        await an_owner(place, time)
        following, _ = Candidate(place, "two", time).following()
        async with follows(following) as task:
            await until(lambda: following.owner is not None)
            place.silent = True
            await until(lambda: not following.answers)
            time.now = 10 * TAKEOVER
            await asyncio.sleep(0.3)  # it asks again in between
            place.silent = False
            await until(lambda: following.answers)
            for _ in range(50):
                await asyncio.sleep(0.001)
            assert not task.done()
            time.now = 11.1 * TAKEOVER
            await until(task.done)

    asyncio.run(scenario())


def test_who_was_handed_the_stream_does_not_wait() -> None:
    async def scenario() -> None:
        place, time = MemoryStream(), Time()
        owner, _ = await an_owner(place, time)
        following, _ = Candidate(place, "two", time).following()
        async with follows(following) as task:
            await until(lambda: following.owner is not None)
            await owner.hand_over()
            await until(task.done)
            assert task.result().epoch == 2

    asyncio.run(scenario())


def test_who_is_started_again_knows_the_owner_and_the_epoch() -> None:
    async def scenario() -> None:
        place, time = MemoryStream(), Time()
        await an_owner(place, time)
        candidate = Candidate(place, "two", time)
        following, node = candidate.following()
        async with follows(following):
            await until(lambda: following.owner is not None)
        node.close()
        again, _ = candidate.following()
        async with follows(again) as task:
            await until(lambda: again.owner is not None)
            assert again.owner is not None
            assert again.owner.address == "one:22122"
            time.now = 1.1 * TAKEOVER
            await until(task.done)
            assert task.result().epoch == 2

    asyncio.run(scenario())


def test_a_claim_whose_answer_is_lost_is_found_in_the_stream() -> None:
    async def scenario() -> None:
        place, time = MemoryStream(), Time()
        owner, _ = await an_owner(place, time)
        await owner.hand_over()
        following, node = Candidate(place, "two", time).following()
        place.fault = lambda: "answer"
        async with follows(following) as task:
            await until(task.done)
            assert task.result().node == "two"
            assert node.position.sequence == place.last

    asyncio.run(scenario())


def test_a_follower_that_missed_a_message_builds_its_files_anew() -> None:
    async def scenario() -> None:
        place, time = MemoryStream(), Time()
        owner, outbox = await an_owner(place, time)
        for number in range(4):
            outbox.add(write(number))
            await owner._send(all_of_it=True)
        candidate = Candidate(place, "two", time)
        following, node = candidate.following()
        del place.entries[4]
        with pytest.raises(DivergedError):
            await following.run()
        node.distrust()
        node.close()
        again, node = candidate.following()
        await place.purge(5)
        async with follows(again):
            await until(lambda: node.whole and node.position.sequence == place.last)

    asyncio.run(scenario())
