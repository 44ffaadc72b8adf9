"""What a tick does for several clients: one sync for all of them, and first come, first served."""

import pytest

from starling_py.queues.slices import WRITING
from tests.core import ManualClock
from tests.journal.simulated_disk import SimulatedDisk
from tests.simulation.clients import Asked, SimulatedClient
from tests.simulation.model import QueueModel
from tests.simulation.world import NAMES, SPOOL, Life, Shape

JOBS = NAMES[0]


def a_life(interval: float | None, window_size: int = 1 << 20) -> Life:
    return life_with(Shape(interval, 1 << 20, window_size))


def life_with(shape: Shape) -> Life:
    disk = SimulatedDisk.holding({f"{SPOOL}/": b""})
    models = {name: QueueModel(name) for name in NAMES}
    return Life(disk, ManualClock(), shape, models, {})


def put(life: Life, client: SimulatedClient, data: bytes) -> None:
    life.sent[data] = (JOBS, 0)
    line = b"set %b 0 0 %d\r\n%b\r\n" % (JOBS, len(data), data)
    client.ask(line, Asked("set", (JOBS,), data))


@pytest.mark.parametrize("clients", [2, 3, 8])
def test_one_sync_makes_safe_what_came_before_the_tick_and_during_it(clients: int) -> None:
    """Every other client is found to be ready only when the tick looks again."""
    life = a_life(interval=0.0)
    everybody = [life.connect() for _ in range(clients)]
    for number, client in enumerate(everybody):
        put(life, client, b"%d:item" % number)
    life.turn()
    assert not any(client.socket.outgoing for client in everybody)
    life.syncer.run_one()
    life.turn()
    assert all(not client.asked for client in everybody)
    assert life.commits.syncs == 1


def test_a_tick_ends_though_there_is_always_somebody_new() -> None:
    life = a_life(interval=0.0)
    client = life.connect()
    looks = 0

    def one_more(seconds: float = 0) -> list[tuple[int, int]]:
        nonlocal looks
        looks += 1
        return [(client.socket.fileno(), 1)]

    put(life, client, b"1:item")
    life.readiness.ready = one_more  # type: ignore[method-assign]
    life.tick.turn(one_more())
    assert looks < 10


def test_who_has_waited_longest_for_the_disk_is_served_first() -> None:
    """One item is read back at a time, and everybody who waits is told each time."""
    life = a_life(interval=None, window_size=1)
    producer = life.connect()
    for number in range(8):
        put(life, producer, b"%d:item" % number)
    life.turn()
    waiting = [life.connect() for _ in range(7)]
    for client in waiting:
        client.ask(b"get %b\r\n" % JOBS, Asked("get", (JOBS,)))
        life.turn()
    served: list[SimulatedClient] = []
    for _ in range(20):
        if life.background.waiting:
            life.background.run_one()
        life.turn()
        served += [client for client in waiting if not client.asked and client not in served]
    assert served == waiting


def test_who_waits_for_room_is_served_in_order_a_slice_at_a_time() -> None:
    entries: dict[str, dict[str, object]] = {JOBS.decode(): {"max_items": 20}}
    life = life_with(Shape(None, 1 << 20, 1 << 20, entries=entries, slice=0.002))
    life.clock.step = 0.001
    producer = life.connect()
    for number in range(20):
        put(life, producer, b"%d:item" % number)
        life.turn()
    waiting = [life.connect() for _ in range(20)]
    for number, client in enumerate(waiting):
        data = b"%d:late" % number
        life.sent[data] = (JOBS, 0)
        line = b"set %b/t=60000 0 0 %d\r\n%b\r\n" % (JOBS, len(data), data)
        client.ask(line, Asked("set", (JOBS,), data, wait=60, asked_at=life.clock.monotonic))
        life.turn()
    producer.ask(b"flush %b\r\n" % JOBS, Asked("flush", (JOBS,)))
    served = [0]
    while served[-1] < len(waiting):
        life.turn()
        assert [bool(client.asked) for client in waiting] == sorted(
            bool(client.asked) for client in waiting
        )
        served.append(sum(not client.asked for client in waiting))
        assert served[-1] - served[-2] <= 2
        assert life.tick._cut_short or served[-1] == len(waiting)


def test_a_turn_writes_a_bounded_part_of_what_many_large_puts_bring() -> None:
    life = life_with(Shape(None, 1 << 24, 1 << 24, slice=0.003))
    everybody = [life.connect() for _ in range(120)]
    for number, client in enumerate(everybody):
        put(life, client, b"%d:" % number + b"x" * 60_000)
    turns = 0
    while any(client.asked for client in everybody):
        before = sum(bool(client.asked) for client in everybody)
        life.turn()
        done = before - sum(bool(client.asked) for client in everybody)
        assert done * 60_000 < 1.5 * life.queues.slices.allowance / WRITING + 60_000
        turns += 1
        assert turns < 120
    assert turns > 1


def test_who_asks_for_little_need_not_wait_for_many_large_replies() -> None:
    life = life_with(Shape(None, 1 << 24, 1 << 27))
    producer = life.connect()
    for number in range(40):
        put(life, producer, b"%d:" % number + b"x" * 500_000)
        while producer.asked:
            life.turn()
    everybody = [life.connect() for _ in range(20)]
    for _ in range(2):  # they are known only after their first
        for client in everybody[:19]:
            client.ask(b"get %b\r\n" % JOBS, Asked("get", (JOBS,)))
        innocent = everybody[-1]
        innocent.ask(b"get %b\r\n" % NAMES[1], Asked("get", (NAMES[1],)))
        life.turn()
        waits, more = bool(innocent.asked), sum(bool(each.asked) for each in everybody)
        for _ in range(20):
            life.turn()
        assert not any(each.asked for each in everybody)
    assert more > 5, "they were served in one turn"
    assert not waits
