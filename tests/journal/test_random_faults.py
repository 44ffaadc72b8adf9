"""Calls that fail now and then, syncs that come late, and power cuts, all in one schedule."""

import errno
from random import Random

import attrs
import pytest

from starling_py.journal.errors import JournalError, SpoolError
from starling_py.journal.journal import Journal
from tests.journal.parts import heal, is_broken
from tests.journal.simulated_disk import CHANGES, SALT, Fault
from tests.journal.spool_harness import NAME, Harness, Items, empty_disk

OTHER = b"Other"
NAMES = (NAME, OTHER)
SEGMENT_SIZE = 160
SCHEDULES = 30
FAILING = (
    CHANGES | {"open", "close"},
    frozenset({"write"}),
    frozenset({"sync", "sync_directory"}),
)


@attrs.define
class Queue:
    """What one queue held after each operation that was not refused, and what is sure of it."""

    states: list[Items | None] = attrs.field(factory=lambda: [None])
    safe: int = 0
    """The index of the last state that a finished sync covers."""
    refused: list[Items | None] = attrs.field(factory=list)
    """States that were taken back: until the next sync, a power cut may bring them to light."""


class Schedule:
    """Random operations on two queues while one call or another fails, from one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.cuts = Random(-seed - 1)
        self.disk = empty_disk()
        self.disk.next_salt = SALT  # as the log tells journals of one name by their salts
        self.harness = Harness(
            self.disk,
            segment_size=SEGMENT_SIZE,
            deferred=True,
            log_size=(0, 500, 3000)[seed % 3],
        )
        self.queues = {name: Queue() for name in NAMES}
        self.promised: list[tuple[int, Queue, Journal, int]] = []
        self.disk.after_call = self.check_power_cut

    def step(self) -> None:
        """Do some operations, commit them, let some syncs come, with a call failing perhaps."""
        if self.random.random() < 0.25:
            self.disk.fault = Fault(
                self.random.randint(1, 6),
                self.random.choice((errno.EIO, errno.ENOSPC)),
                self.random.choice(FAILING),
                short=self.random.random() < 0.5,
            )
        before = {name: len(queue.states) for name, queue in self.queues.items()}
        for _ in range(self.random.choice((1, 1, 2, 3))):
            self.operate(self.random.choice((NAME, NAME, OTHER)))
        self.check_commit(before)
        while self.harness.deferred.waiting and self.random.random() < 0.5:
            self.sync_one()
        if is_broken(self.harness) and self.random.random() < 0.5:
            self.harness.clock.monotonic += 5
            self.harness.commits.sync_if_due()

    def sync_one(self) -> None:
        """Let one sync or healing come, and take back what was waiting for it in vain."""
        harness = self.harness
        batch = harness.deferred.waiting.popleft()
        batch.run()
        if self.random.random() < 0.5:
            harness.background.do_all()
        failed = harness.commits.finish(batch)
        for promise in list(self.promised):
            ticket, queue, journal, index = promise
            if journal in failed:
                self.promised.remove(promise)
                queue.refused += queue.states[queue.safe + 1 :]
                del queue.states[queue.safe + 1 :]
            elif ticket <= harness.commits.finished:
                self.promised.remove(promise)
                queue.safe = max(queue.safe, index)

    def operate(self, name: bytes) -> None:
        """Do something with a queue, unless it is refused at once."""
        self.harness.background.do_all()
        do = self.random.choices(("put", "pop", "flush", "delete"), (50, 35, 6, 9))[0]
        try:
            if do == "put":
                size = self.random.choice((0, 3, 40, 90, 170))
                self.harness.put(self.random.randbytes(size), name, self.random.getrandbits(32))
            elif do == "pop":
                self.harness.pop(name)
            elif do == "flush":
                self.harness.queues.flush(name)
            else:
                self.harness.queues.delete(name)
        except JournalError:
            return
        queue = self.harness.queues._by_name.get(name)
        if queue is not None and queue.journal.broken is not None:
            return  # a miss, where it is open what there is
        found = self.harness.items(name)
        if found != self.queues[name].states[-1]:
            self.queues[name].states.append(found)

    def check_commit(self, before: dict[bytes, int]) -> None:
        """Commit, and take back what is refused."""
        journals = {name: queue.journal for name, queue in self.harness.queues._by_name.items()}
        ticket = 0
        while self.harness.commits.touched:
            done = self.harness.commits.commit()
            ticket = max(ticket, done.ticket)
            for name, queue in self.queues.items():
                if journals.get(name) in done.failed:
                    queue.refused += queue.states[before[name] :]
                    del queue.states[before[name] :]
        for name, queue in self.queues.items():
            journal = journals.get(name)
            if journal is None or journal.broken is None:
                found = self.harness.items(name) or ()
                assert found == (queue.states[-1] or ()), f"seed {self.seed}: {name!r}"
            if len(queue.states) > before[name]:
                last = len(queue.states) - 1
                self.promised.append((ticket, queue, journals[name], last))

    def check_power_cut(self) -> None:
        """Cut the power now and look at another server that starts on what is left."""
        left = self.disk.after_power_cut(self.cuts)
        try:
            harness = Harness(left, segment_size=SEGMENT_SIZE)
        except SpoolError as refusal:
            raise AssertionError(f"seed {self.seed}: refused: {refusal}") from refusal
        self.check_possible(harness, "after a power cut")

    def check_possible(self, harness: Harness, when: str) -> None:
        """Check that a server found nothing but what may be there."""
        for name, queue in self.queues.items():
            found = harness.items(name) or ()
            possible = [items or () for items in queue.states[queue.safe :] + queue.refused]
            assert found in possible, f"seed {self.seed}, {when}: {name!r} is {found}"

    def check_end(self) -> None:
        """Let the trouble end and the process die: what was not refused is there, nothing else."""
        self.disk.fault = None
        while self.harness.deferred.waiting:
            self.sync_one()
        heal(self.harness)
        assert not is_broken(self.harness)
        self.check_last(self.harness, "after the trouble")
        self.disk.after_call = None
        left = Harness(self.disk.after_power_cut(), segment_size=SEGMENT_SIZE)
        self.check_last(left, "after a power cut at the end")
        harness = Harness(self.disk.after_process_death(), segment_size=SEGMENT_SIZE)
        self.check_last(harness, "after the death of the process")

    def check_last(self, harness: Harness, when: str) -> None:
        """Check that a server holds what it should, to the last item."""
        for name, queue in self.queues.items():
            found, expected = harness.items(name) or (), queue.states[-1] or ()
            assert found == expected, f"seed {self.seed}, {when}: {name!r} is {found}"


@pytest.mark.parametrize(
    "first", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1000, 5000, 200))]
)
def test_whatever_fails_what_was_told_stays_and_what_was_refused_goes(first: int) -> None:
    for seed in range(first, first + SCHEDULES):
        schedule = Schedule(seed)
        for _ in range(25):
            schedule.step()
        schedule.check_end()
