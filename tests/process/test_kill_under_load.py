"""A server that is killed under load again and again keeps what it said it has.

Producers and consumers of all kinds work until the server is gone; it is started again, and at the
end everything is taken out. ``history`` says whether what was seen can be. What is drawn at random
comes from one seed, which is printed; set STARLING_TEST_SEED to draw the same again.
"""

import faulthandler
import os
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import pytest

from tests.process.history import Get, History
from tests.process.raw_client import Given, RawClient
from tests.process.server_process import ServerProcess, settings_file, starting, wait_until

QUEUES = (b"jobs", b"Mixed.Case", b"logs")
SIZES = (0, 5, 30, 100, 300, 1000, 3000, 9000)
"""Of the data behind an item's number; the last ones are larger than a segment."""
WEIGHTS = (5, 20, 30, 20, 10, 5, 2, 1)
WORKERS = 4
"""At most so many producers, and as many consumers, are at work at the same time."""
DEEP = 2000
"""Items in the queues, above which producers hold back."""
OPERATIONS = 1_000_000
"""More than any worker comes to between two kills."""
ENOUGH = 500_000
"""Bytes of items of which more than half is not on the disk any more when all were taken."""


@attrs.define
class Producer:
    """Puts items that tell who sent them, one at a time or several at once."""

    name: int
    history: History
    dice: random.Random
    count: int = 0

    def work(self, port: int) -> None:
        """Put items until the server is gone."""
        try:
            with RawClient(port) as client:
                for _ in range(OPERATIONS):
                    self._put(client, self.dice.choice((1, 1, 1, 4, 20)))
        except TimeoutError:
            raise
        except OSError:
            return
        raise AssertionError("the server was not killed")

    def _put(self, client: RawClient, how_many: int) -> None:
        items = [self._item() for _ in range(how_many)]
        puts = [self.history.sent(each.queue, self.name, each.data, each.flags) for each in items]
        try:
            client.send(b"".join(item.command() for item in items))
            while puts:
                client.expect_stored()
                self.history.stored(puts.pop(0))
        finally:
            for put in puts:
                self.history.put_cut_off(put)

    def _item(self) -> Given:
        self.count += 1
        (size,) = self.dice.choices(SIZES, WEIGHTS)
        data = b"%d.%d " % (self.name, self.count) + self.dice.randbytes(size)
        return Given(self.dice.choice(QUEUES), data, self.dice.getrandbits(32))


@attrs.define
class Consumer:
    """Takes items from one queue or from all of them, and sometimes waits for one."""

    history: History
    dice: random.Random

    def work(self, port: int) -> None:
        """Take items until the server is gone."""
        try:
            with RawClient(port) as client:
                for _ in range(OPERATIONS):
                    if self.dice.random() < 0.2:
                        self.get(client, *self.dice.sample(QUEUES, len(QUEUES)))
                    else:
                        wait = b"/t=%d" % self.dice.choice((1, 5, 20))
                        self.get(client, self.dice.choice(QUEUES) + wait)
        except TimeoutError:
            raise
        except OSError:
            return
        raise AssertionError("the server was not killed")

    def drain(self, port: int, queue: bytes) -> int:
        """Take everything out of a queue and return how many items there were."""
        with RawClient(port) as client:
            count = 0
            while self.get(client, queue):
                count += 1
            return count

    def get(self, client: RawClient, *keys: bytes) -> int:
        """Ask with one command and note for each of the queues what came of it."""
        gets: dict[bytes, Get] = {key: self.history.asked(_queue(key)) for key in keys}
        try:
            taken = client.get(*keys)
        except BaseException:
            for get in gets.values():
                self.history.get_cut_off(get)
            raise
        for item in taken:
            self.history.delivered(gets.pop(item.key), item.data, item.flags)
        for get in gets.values():
            self.history.missed(get)
        return len(taken)


def _queue(key: bytes) -> bytes:
    """Return the name of the queue that a key asks for."""
    return key.partition(b"/")[0]


class Torture:
    """A server, those who load it, and what they saw."""

    def __init__(self, folder: Path, sync: str, seed: int) -> None:
        self.dice = random.Random(seed)
        self.history = History()
        self.producers = [Producer(n, self.history, self._more_dice()) for n in range(WORKERS)]
        self.consumers = [Consumer(self.history, self._more_dice()) for _ in range(WORKERS)]
        conf = settings_file(folder, segment_size="4k")
        self.spool = folder / "spool"
        self.options = ("-f", conf, "--sync", sync)
        self.server = ServerProcess(self.spool, *self.options)

    def check_cycle(self, least: int = 0) -> None:
        """Load the server, kill it at a random moment, start it again, and look at its numbers.

        ``least`` is how many bytes must have been put by then, in all cycles together.
        """
        deep = self.history.backlog > DEEP
        producers = self.dice.sample(self.producers, 1 if deep else self.dice.randint(1, WORKERS))
        consumers = self.dice.sample(
            self.consumers, WORKERS if deep else self.dice.randint(1, WORKERS)
        )
        work: list[Callable[[int], None]] = [
            *(producer.work for producer in producers),
            *(consumer.work for consumer in consumers),
        ]
        with ThreadPoolExecutor(2 * WORKERS) as pool:
            futures = [pool.submit(each, self.server.port) for each in work]
            time.sleep(self.dice.uniform(0.01, 0.4))
            try:
                wait_until(lambda: self.history.bytes >= least)
            finally:
                self.server.kill()
        for future in futures:
            future.result()
        if self.dice.random() < 0.3:
            self.kill_while_it_starts()
        self.server.start()
        numbers = self.check_numbers()
        if self.dice.random() < 0.2:
            self.server.restart()
            assert self.check_numbers() == numbers

    def kill_while_it_starts(self) -> None:
        """Start the server and kill it soon after it begins to read its queues back."""
        with starting(self.spool, *self.options):
            time.sleep(self.dice.uniform(0, 0.02))

    def check_numbers(self) -> dict[bytes, tuple[int, ...]]:
        """Hold each queue's numbers against the history, and return them."""
        numbers: dict[bytes, tuple[int, ...]] = {}
        problems: list[str] = []
        with RawClient(self.server.port) as client:
            stats = client.stats()
        for queue in QUEUES:
            prefix = b"queue_%b_" % queue
            if prefix + b"items" in stats:
                items, total, size = (
                    int(stats[prefix + name]) for name in (b"items", b"total_items", b"bytes")
                )
                numbers[queue] = (items, total, size)
                problems += self.history.stats_problems(queue, items, total)
            else:
                problems += self.history.stats_problems(queue, 0, 0)
        assert not problems
        return numbers

    def check_drain(self) -> None:
        """Take everything out and see that no more and no less than that was there."""
        numbers = self.check_numbers()
        for queue, (items, total, _) in numbers.items():
            assert self.consumers[0].drain(self.server.port, queue) == items
            numbers[queue] = (0, total, 0)
        assert self.check_numbers() == numbers
        self.server.restart()
        assert self.check_numbers() == numbers

    def segments_were_removed(self) -> bool:
        """Tell whether less is on the disk than was put, though all of that was written once."""
        on_disk = sum(path.stat().st_size for path in self.spool.rglob("*.segment"))
        return on_disk < self.history.bytes / 2

    def _more_dice(self) -> random.Random:
        return random.Random(self.dice.getrandbits(64))


def check_torture(folder: Path, sync: str, cycles: int) -> None:
    """Kill a server so many times, and see what is left."""
    # This takes as long as it takes, and every step of it has a time-out of its own.
    faulthandler.cancel_dump_traceback_later()
    seed = int(os.environ.get("STARLING_TEST_SEED") or random.SystemRandom().getrandbits(32))
    print(f"STARLING_TEST_SEED={seed}")
    each = Torture(folder, sync, seed)
    with each.server:
        for _ in range(cycles - 1):
            each.check_cycle()
        each.check_cycle(least=ENOUGH)
        each.check_drain()
        assert each.server.stop() == 0
    assert each.history.problems() == []
    assert each.segments_were_removed()
    log = "".join(each.server.log)
    assert "Traceback" not in log
    assert " ERROR " not in log


@pytest.mark.parametrize("sync", ["always", "50ms"])
def test_a_server_killed_under_load_loses_changes_and_reorders_nothing(
    tmp_path: Path, sync: str
) -> None:
    check_torture(tmp_path, sync, cycles=5)


@pytest.mark.long
@pytest.mark.parametrize("sync", ["always", "5ms", "never"])
def test_a_server_killed_hundreds_of_times_loses_and_reorders_nothing(
    tmp_path: Path, sync: str
) -> None:
    check_torture(tmp_path, sync, cycles=300)
