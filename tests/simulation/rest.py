"""The end of a schedule: without faults, everything must work again, and nothing be missing."""

from typing import TYPE_CHECKING

from starling_py.journal.format import end_mark, record, segment
from tests.simulation.clients import Asked, SimulatedClient
from tests.simulation.model import Violation
from tests.simulation.world import NAMES

if TYPE_CHECKING:
    from tests.simulation.schedule import Schedule

ROUNDS = 4
"""Rounds in which nothing comes out though there is something: delays and leases end meanwhile."""


def come_to_rest(schedule: "Schedule") -> None:
    """Let everything come out, put some more, stop and start again."""
    life, asking = schedule.life, schedule.asking
    schedule.mend_disk()
    schedule.disk.before_call = None
    schedule.make_room()
    for client in (*life.clients, *life.leaving):
        client.socket.piece = 65536
        client.socket.accepts = None
    settle(schedule)
    schedule.check_errors()
    _check_at_rest(schedule)
    life.errors.clear()
    life.drain(on=False)
    schedule.pause(frozenset())
    for client in list(life.clients):
        life.disconnect(client)
    probe = life.connect()
    for name in NAMES:
        probe.ask(b"resume %b\r\n" % name, Asked("resume"))
        asking.put(probe, name, lasts=True)
    settle(schedule)
    expect_no_errors(schedule, "put again")
    _check_disk_use(schedule)
    take_all(schedule, probe)
    for name in NAMES:
        if not schedule.models[name].settings.fanout_only:
            waiter = life.connect()
            waiter.ask(b"get %b/t=1000000\r\n" % name, Asked("get", (name,)))
            life.turn()
        asking.put(probe, name, lasts=True)
    settle(schedule)
    expect_no_errors(schedule, "wait again")
    for name in NAMES:
        asking.put(probe, name, lasts=True)
    settle(schedule)
    life.stop()
    schedule.disk = schedule.disk.for_next_process()
    if schedule.shape.interval is not None:
        schedule.disk = schedule.disk.after_power_cut()
    schedule.disturbed = False
    schedule.faulty = False
    schedule.start(frozenset({"stop"}))


def take_all(schedule: "Schedule", probe: SimulatedClient) -> None:
    """Let a client take everything."""
    idle = 0
    while any(model.things for model in schedule.models.values()):
        before = sum(model.last for model in schedule.models.values())
        for name in NAMES * 4:
            probe.ask(b"get %b/t=10\r\n" % name, Asked("get", (name,)))
        settle(schedule)
        expect_no_errors(schedule, "get again")
        idle = idle + 1 if sum(each.last for each in schedule.models.values()) == before else 0
        if idle > ROUNDS:
            raise Violation(f"nothing more comes out: {schedule.models}")


def settle(schedule: "Schedule") -> None:
    """Let everything finish that is under way."""
    life = schedule.life
    quiet = 0
    for _ in range(200):
        schedule.clock.advance(0.6)
        while life.syncer.waiting:
            schedule.work(life.syncer)
        while life.background.waiting:
            schedule.work(life.background)
        life.turn()
        busy = life.busy or any(client.asked for client in life.clients)
        quiet = 0 if busy else quiet + 1
        if quiet > 3:
            return
    asked = [each for client in life.clients for each in client.asked]
    raise Violation(f"does not come to rest; waiting for replies: {asked}")


def expect_no_errors(schedule: "Schedule", what: str) -> None:
    """Check that nobody was refused since this was last looked at."""
    errors, schedule.life.errors = schedule.life.errors, []
    if errors:
        raise Violation(f"without faults, clients cannot {what}: {errors[0]}")


def _check_at_rest(schedule: "Schedule") -> None:
    """Check what holds when nothing is under way."""
    held = schedule.life.tick.connections.budget.total
    if held:
        raise Violation(f"{held} bytes are counted for clients that hold nothing")
    found = schedule.life.found()
    for name, model in schedule.models.items():
        if not model.settings.journal:
            continue
        if found.get(name) != model.now:
            raise model.fail(f"on disk is {found.get(name)}; expected {model.now}")
        if schedule.shape.interval is not None and model.states[model.synced] != model.now:
            raise model.fail("is not synced though the interval is over")


def _check_disk_use(schedule: "Schedule") -> None:
    """Check that the segments take no more than twice what is live and two segments."""
    for queue in schedule.life.queues.everything():
        now = schedule.models[queue.name].now
        if now is None or queue.journal.in_memory:
            continue
        contents = schedule.disk.contents(queue.journal.path)
        segments = queue.journal.ledger.segments
        if not schedule.faulty and not schedule.limited:
            names = {path for path in contents if ".segment" in path and ".torn-" not in path}
            if names != {each.path for each in segments}:
                raise Violation(f"{queue.name!r}: there is {names}; needed are {segments}")
        sizes = [each.size for each in segments]
        there = [len(contents[each.path]) for each in segments]
        # Behind the end of a segment may be what could not be cut off.
        cut_short = [size for size, needed in zip(there, sizes, strict=True) if size < needed]
        # So may an end mark, or as much of it as a power cut or a full disk has left.
        marks = sum(there) - queue.journal.size
        uncounted = not 0 <= marks <= end_mark.SIZE * (len(segments) - 1)
        if cut_short or (not schedule.faulty and uncounted):
            raise Violation(f"{queue.name!r}: {there} is counted as {queue.journal.size}")
        heads = sum(_head(memoryview(contents[each.path])) for each in segments)
        live = now.bytes + record.MARKED_HEADER_SIZE * len(now.things)
        bound = 2 * live + 2 * max(schedule.shape.segment_size, *sizes) + heads
        if sum(sizes) > bound:
            raise Violation(f"{queue.name!r}: {live} live bytes take {sizes}, beginnings {heads}")


def _head(content: memoryview) -> int:
    """Return how long a segment's header and checkpoint are."""
    header, start = segment.decode(content)
    first = next(record.walk(content, start, header.salt), None)
    return first[3] if first is not None and first[0] == record.CHECKPOINT else start
