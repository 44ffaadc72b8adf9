"""What a seed does to a simulated group, and what must be so in the end."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable

from starling_py.replica.owner import RECLAIMS
from tests.replica.shipping import shared
from tests.replica.simulated_clients import consume, look, produce, produce_once, take
from tests.replica.simulated_group import BOUND, TAKEOVER, Member, SimulatedGroup, contents_of
from tests.replica.simulated_stream import Violation
from tests.replica.simulated_time import simulate
from tests.simulation.world import quietly

SECONDS = 16.0
"""How long a group is disturbed."""
LONGEST = 120.0
"""Seconds in which all must be well again afterwards."""


async def kill(group: SimulatedGroup) -> None:
    """Kill a server in the middle of whatever it does."""
    await _end(group, group.random.choice(_up(group)))


async def kill_owner(group: SimulatedGroup) -> None:
    owner = group.owner()
    if owner is not None:
        await _end(group, owner)


async def kill_all(group: SimulatedGroup) -> None:
    for each in _up(group):
        await _end(group, each)


async def lose_power(group: SimulatedGroup) -> None:
    """Cut the power of a server's machine."""
    victim = group.random.choice(_up(group))
    await _end(group, victim)
    victim.lose_power()


async def wipe(group: SimulatedGroup) -> None:
    """Lose a server's disk: what comes back has nothing but the stream."""
    victim = group.random.choice(_up(group))
    await _end(group, victim)
    victim.wipe()


async def stop(group: SimulatedGroup) -> None:
    """Stop a server in order."""
    victim = group.random.choice(_up(group))
    if not victim.line.frozen:
        await victim.stop()


async def start_for_a_moment(group: SimulatedGroup) -> None:
    """Start a dead server, and stop it before or after the stream has answered."""
    down = [each for each in group.members if not each.is_up]
    if down:
        down[0].start()
        await asyncio.sleep(group.random.uniform(0.001, 0.1))
        await down[0].stop()


async def freeze(group: SimulatedGroup) -> None:
    """Let a server stand still, with its clients connected."""
    victim = group.owner() or group.random.choice(_up(group))
    victim.line.frozen = True


async def cut_off(group: SimulatedGroup) -> None:
    """Cut a server off from the stream, both ways or one."""
    victim = group.owner() or group.random.choice(_up(group))
    victim.line.cut = group.random.choice(("both", "to NATS", "from NATS"))


async def lose_majority(group: SimulatedGroup) -> None:
    """Let the stream answer nothing for a while."""
    group.stream.has_majority = False
    await asyncio.sleep(group.random.choice((0.3, 1.5, 4.0, 7.0)) * TAKEOVER)
    await _mend_stream(group)


async def mend(group: SimulatedGroup) -> None:
    """Let all go on."""
    await _mend_stream(group)
    for each in group.members:
        if not each.is_up:
            each.start()
        elif each.line.frozen or each.line.cut:
            each.line.frozen, each.line.cut = False, None
            each.thawed_at = group.now()
            each.line.go_on()


EVENTS: tuple[Callable[[SimulatedGroup], Awaitable[None]], ...] = (
    kill, kill_owner, kill_owner, kill_all, lose_power, wipe, stop, start_for_a_moment,
    freeze, freeze, cut_off, cut_off, lose_majority, mend, mend, mend,
)  # fmt: skip


async def live(seed: int) -> SimulatedGroup:
    """Run one seed, and check what must be so."""
    group = SimulatedGroup(seed)
    random = group.random
    for each in group.members:
        each.start()
    loop = asyncio.get_running_loop()
    producers = [
        loop.create_task(produce(group, 0, b"jobs")),
        loop.create_task(produce(group, 1, b"jobs")),
        loop.create_task(produce(group, 0, b"plain")),
        loop.create_task(produce_once(group, 0)),
    ]
    consumers = [
        loop.create_task(consume(group, b"jobs")),
        loop.create_task(take(group, b"plain")),
        loop.create_task(consume(group, b"once")),
        loop.create_task(look(group)),
    ]
    until = group.now() + SECONDS
    while group.now() < until:
        await asyncio.sleep(random.uniform(0.05, 2.0) * TAKEOVER)
        _look(group, [*producers, *consumers])
        if _up(group):
            event = random.choice(EVENTS)
            group.seen[event.__name__] += 1
            await event(group)
        else:
            await mend(group)
    group.drains = True
    group.lost = 0.0
    await mend(group)
    for each in group.members:
        each.line.lost = 0.0
    await _until(group, lambda: all(each.done() for each in producers), consumers)
    await _until(group, lambda: _drained(group), consumers)
    group.quiet = True
    await asyncio.wait([*producers, *consumers])
    _look(group, [*producers, *consumers])
    await _rest(group)
    _check(group)
    return group


def run(seed: int) -> Counter[str]:
    """Run one seed; return what it has reached."""
    seen: Counter[str] = Counter()

    async def main() -> None:
        group = await live(seed)
        stream, promises = group.stream, group.promises
        seen.update(group.seen)
        seen["stored"] += len(promises.stored)
        seen["puts without an outcome"] += len(promises.given_up)
        seen["items that came twice"] += len(promises.taken) - len(set(promises.taken))
        seen["take-overs"] += len(stream.claims)
        seen["appends that came twice"] += stream.duplicates
        seen["appends that were refused"] += stream.refused
        seen["messages that were reclaimed"] += stream.first - 1

    with quietly():
        simulate(main(), seed)
    return seen


async def _rest(group: SimulatedGroup) -> None:
    """Let the stream become short, end every server, and have a new one know the stream alone."""
    await asyncio.sleep(4 * RECLAIMS)
    await _until(group, lambda: all(each.is_settled for each in group.members), [])
    live = sum(map(len, contents_of(group.stream).values()))
    if group.stream.size > 2 * live + 2 * BOUND:
        raise Violation(f"the stream has {group.stream.size} bytes, the files {live}")
    follower = next((each for each in group.members if not each.is_owner), None)
    if follower is not None:
        await follower.stop()
        follower.wipe()
        follower.start()
        await _until(group, lambda: all(each.is_settled for each in group.members), [])
    for each in sorted(group.members, key=lambda each: each.is_owner):
        await each.stop()
    files = contents_of(group.stream)
    for each in group.members:
        if shared(each.disk) != files:
            raise Violation(f"{each.name}: its files are not those that the stream tells of")


def _drained(group: SimulatedGroup) -> bool:
    promises = group.promises
    stored = [each for each in promises.stored if each[:1] != b"p"]
    if not all(each.is_settled for each in group.members) or group.owner() is None:
        return False
    return not set(stored) - set(promises.taken) and _is_empty(group)


def _is_empty(group: SimulatedGroup) -> bool:
    owner = group.owner()
    if owner is None or owner.serving is None:
        return False
    queues = owner.serving.core.queues
    found = [queues.directory.find(name) for name in (b"jobs", b"plain", b"once")]
    return all(each is None or (not len(each) and not each.open_reads) for each in found)


def _check(group: SimulatedGroup) -> None:
    """Check what clients were told against what came out."""
    promises = group.promises
    lost = Counter(each[:1] for each in promises.stored if each not in set(promises.taken))
    if lost[b"j"] or lost[b"o"]:
        raise Violation(f"acknowledged, and lost: {lost}")
    if lost[b"p"] > promises.unknown.get(b"plain", 0):
        raise Violation(
            f"{lost[b'p']} items are gone; so many gets had no outcome: {promises.unknown}"
        )
    latest: dict[bytes, bytes] = {}
    seen: set[bytes] = set()
    for item in promises.taken:
        who = item.split(b".")[0]
        if item not in seen and item < latest.get(who, b""):
            raise Violation(f"{item!r} comes behind {latest[who]!r}")
        if item not in seen:
            latest[who] = item
        seen.add(item)


def _up(group: SimulatedGroup) -> list[Member]:
    return [each for each in group.members if each.is_up]


async def _end(group: SimulatedGroup, victim: Member) -> None:
    """Kill a server now, or in one of its next file calls."""
    if group.random.random() < 0.6 and not victim.line.frozen:
        victim.disk.kill_process_after(group.random.randrange(30))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                while not any(each.done() for each in victim.tasks):
                    await asyncio.sleep(0.002)
    await victim.kill()


async def _mend_stream(group: SimulatedGroup) -> None:
    if not group.stream.has_majority:
        group.stream.has_majority = True
        for each in group.members:
            each.line.go_on()


def _look(group: SimulatedGroup, tasks: list["asyncio.Task[None]"]) -> None:
    """Raise what any client or server has run into."""
    if group.stream.broken is not None:
        raise group.stream.broken
    for each in [*tasks, *(task for member in group.members for task in member.tasks)]:
        if each.done() and not each.cancelled() and (error := each.exception()) is not None:
            raise error


async def _until(
    group: SimulatedGroup, what: Callable[[], bool], tasks: list["asyncio.Task[None]"]
) -> None:
    """Return when something is so; it must be within a bound."""
    end = group.now() + LONGEST
    while not what():
        _look(group, tasks)
        if group.now() > end:
            roles = [(each.name, each.link.phase) for each in group.members]
            missing = set(group.promises.stored) - set(group.promises.taken)
            raise Violation(f"it was never well again: {roles}, {len(missing)} are missing")
        await asyncio.sleep(0.05)
