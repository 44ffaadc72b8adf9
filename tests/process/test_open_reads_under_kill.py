"""Work that is done with open reads survives kills of the server.

Nothing is lost, nothing that was confirmed comes back, and nobody gets what somebody else has open.

Producers put numbered items into a queue and into the parent of two fan-out children; workers open
them, and confirm, abort, or hang up. What came back too often goes to a dead-letter queue. What is
drawn at random comes from one seed, which is printed; set STARLING_TEST_SEED to draw it again.
"""

import faulthandler
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import pytest

from tests.process.raw_client import Given, RawClient
from tests.process.server_process import ServerProcess, wait_until

SETTINGS = """\
starling:
  segment_size: 4k
queues:
  jobs:
    max_deliveries: 4
    dead_letter: failed
"""
CHILDREN = (b"news+first", b"news+second")
WORKERS = 4


@attrs.define
class Work:
    """What was told of every item, by whom; every method may be called from any thread."""

    stored: set[bytes] = attrs.field(factory=set)
    confirmed: set[bytes] = attrs.field(factory=set)
    perhaps_confirmed: set[bytes] = attrs.field(factory=set)
    """Items whose confirmation was sent, and never answered."""
    open: dict[bytes, int] = attrs.field(factory=dict)
    """Who has an item open in this life of the server."""
    problems: list[str] = attrs.field(factory=list)
    _lock: threading.Lock = attrs.field(factory=threading.Lock)

    def put(self, item: bytes) -> None:
        """Note that an item was stored."""
        with self._lock:
            self.stored.add(item)

    def opened(self, item: bytes, worker: int) -> None:
        """Note that a worker was given an item."""
        with self._lock:
            if item in self.confirmed:
                self.problems.append(f"{item!r} came back though it had been confirmed")
            if item in self.open:
                self.problems.append(
                    f"{item!r} was given to {worker}, and {self.open[item]} has it"
                )
            self.open[item] = worker

    def confirming(self, item: bytes) -> None:
        """Note that a confirmation is about to be sent."""
        with self._lock:
            self.perhaps_confirmed.add(item)
            self.open.pop(item, None)

    def was_confirmed(self, item: bytes) -> None:
        """Note that it was answered."""
        with self._lock:
            self.confirmed.add(item)

    def let_go(self, item: bytes) -> None:
        """Note that an item is about to be given back."""
        with self._lock:
            self.open.pop(item, None)

    def server_died(self) -> None:
        """Note that nothing is open any more."""
        with self._lock:
            self.open.clear()


@attrs.define
class Producer:
    """Puts items that all are different."""

    name: int
    work: Work
    news: set[bytes]
    count: int = 0

    def run(self, port: int) -> None:
        """Put items until the server is gone."""
        try:
            with RawClient(port) as client:
                while True:
                    self.count += 1
                    item = b"%d.%d" % (self.name, self.count)
                    client.check_put(Given(b"jobs", item))
                    self.work.put(item)
                    if self.count % 5 == 0:
                        client.check_put(Given(b"news", item))
                        self.news.add(item)
        except TimeoutError:
            raise
        except OSError:
            return


@attrs.define
class Worker:
    """Opens items and confirms most of them."""

    name: int
    work: Work
    dice: random.Random

    def run(self, port: int) -> None:
        """Work until the server is gone."""
        try:
            while True:
                with RawClient(port) as client:
                    while self._one(client):
                        pass
        except TimeoutError:
            raise
        except OSError:
            return

    def _one(self, client: RawClient) -> bool:
        """Do one piece of work; return whether the connection is to be kept."""
        item = client.get_one(b"jobs/open/t=50")
        if item is None:
            return True
        self.work.opened(item, self.name)
        chance = self.dice.random()
        while chance < 0.3:
            self.work.confirming(item)
            following = client.get_one(b"jobs/close/open")
            self.work.was_confirmed(item)
            if following is None:
                return True
            item = following
            self.work.opened(item, self.name)
            chance = self.dice.random()
        if chance < 0.7:
            self.work.confirming(item)
            assert client.get_one(b"jobs/close") is None
            self.work.was_confirmed(item)
            return True
        self.work.let_go(item)
        if chance < 0.95:
            assert client.get_one(b"jobs/abort") is None
            return True
        return False  # to hang up gives it back too


def drained(client: RawClient, queue: bytes) -> Counter[bytes]:
    """Return what was in a queue."""
    found: Counter[bytes] = Counter()
    while (item := client.get_one(queue)) is not None:
        found[item] += 1
    return found


def has_come_to_all(server: ServerProcess, work: Work, cycles: int) -> bool:
    """Tell whether items were confirmed in the last of several cycles, and some failed for good."""
    with RawClient(server.port) as client:
        failed = int(client.stats().get(b"queue_failed_items", 0))
    return failed > 0 and len(work.confirmed) > cycles


def check_torture(folder: Path, sync: str, cycles: int) -> None:
    """Kill a server so many times under load, and see what is left."""
    faulthandler.cancel_dump_traceback_later()  # every step has a time-out of its own
    seed = int(os.environ.get("STARLING_TEST_SEED") or random.SystemRandom().getrandbits(32))
    print(f"STARLING_TEST_SEED={seed}")
    dice = random.Random(seed)
    conf = folder / "starling.yml"
    conf.write_text(SETTINGS)
    work = Work()
    news: set[bytes] = set()
    producers = [Producer(n, work, news) for n in range(2)]
    workers = [Worker(n, work, random.Random(dice.getrandbits(64))) for n in range(WORKERS)]
    with ServerProcess(folder / "spool", "-f", conf, "--sync", sync) as server:
        with RawClient(server.port) as client:
            assert [client.get_one(child) for child in CHILDREN] == [None, None]
        for cycle in range(cycles):
            runs: list[Callable[[int], None]] = [each.run for each in producers]
            runs += [each.run for each in workers]
            with ThreadPoolExecutor(len(runs)) as pool:
                futures = [pool.submit(run, server.port) for run in runs]
                time.sleep(dice.uniform(0.05, 0.4))
                try:
                    if cycle == cycles - 1:
                        # A busy machine may not have come to that yet.
                        wait_until(lambda: has_come_to_all(server, work, cycles))
                finally:
                    server.kill()
            for future in futures:
                future.result()
            work.server_died()
            server.start()
        with RawClient(server.port) as client:
            jobs, failed = drained(client, b"jobs"), drained(client, b"failed")
            children = [drained(client, child) for child in (b"news", *CHILDREN)]
        assert server.stop() == 0
        log = "".join(server.log)
    assert work.problems == []
    assert max(jobs.values(), default=1) == 1, "nothing is in its queue twice"
    assert not work.confirmed & set(jobs), "nothing that was confirmed is there again"
    missing = work.stored - set(jobs) - set(failed) - work.confirmed - work.perhaps_confirmed
    assert not missing, "nothing is lost"
    for found in children:
        assert news <= set(found), "whoever listens has everything that was stored"
        assert max(found.values(), default=1) == 1
    assert failed, "some items came back too often"
    assert len(work.confirmed) > cycles
    assert "Traceback" not in log


@pytest.mark.parametrize("sync", ["always", "50ms"])
def test_work_done_with_open_reads_survives_kills(tmp_path: Path, sync: str) -> None:
    check_torture(tmp_path, sync, cycles=5)


@pytest.mark.long
@pytest.mark.parametrize("sync", ["always", "5ms", "never"])
def test_work_done_with_open_reads_survives_hundreds_of_kills(tmp_path: Path, sync: str) -> None:
    check_torture(tmp_path, sync, cycles=200)
