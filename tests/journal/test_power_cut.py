"""Power cuts and deaths of the process after any file call of any schedule: what was told stays."""

from collections.abc import Callable
from random import Random

import attrs
import pytest

from starling_py.journal.errors import JournalDamagedError, SpoolError
from tests.journal.simulated_disk import SALT, ProcessKilled, SimulatedDisk
from tests.journal.spool_harness import NAME, Harness, Items, empty_disk

OTHER = b"Other"
NAMES = (NAME, OTHER)
SEGMENT_SIZE = 160
SCHEDULES = 45
"""How many schedules each test runs."""


@attrs.define
class Told:
    """What one queue held after each operation, and up to where that was told to be safe."""

    states: list[Items | None] = attrs.field(factory=lambda: [None])
    safe: int = 0

    def allows(self, found: Items | None) -> bool:
        """Tell whether a queue may be found like this."""
        possible = self.states[self.safe :]
        # A queue is made before its first item is in it.
        making = found == () and None in possible[:-1]
        return found in possible or making

    def settle(self, found: Items | None) -> None:
        """Take what was found after a restart for what is from now on."""
        possible = self.states[self.safe :]
        while possible and possible[-1] != found:
            possible.pop()
        self.states = possible or [self.states[self.safe], found]
        self.safe = 0


class Schedule:
    """Random operations on two queues, from one seed."""

    def __init__(self, seed: int, interval: float | None = 0) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.cuts = Random(seed + 1)
        self.interval = interval
        self.disk = empty_disk()
        self.disk.next_salt = SALT  # as the log tells journals of one name by their salts
        self.told = {name: Told() for name in NAMES}
        self.harness = self.restarted(self.disk)
        self.checked = 0

    def restarted(self, disk: SimulatedDisk) -> Harness:
        """Return a server on a disk."""
        log_size = (0, 400, 4000)[self.seed % 3]
        harness = Harness(
            disk, segment_size=SEGMENT_SIZE, interval=self.interval, log_size=log_size
        )
        harness.background.do_all()
        return harness

    def step(self) -> None:
        """Do one to three operations and commit them."""
        random = self.random
        for _ in range(random.choice((1, 1, 2, 3))):
            name = random.choice((NAME, NAME, OTHER))
            do = random.choices(("put", "pop", "flush", "delete"), (50, 38, 6, 6))[0]
            if do == "put":
                data = random.randbytes(random.choice((0, 3, 40, 40, 90, 170)))
                self.harness.put(data, name, random.getrandbits(32))
            elif do == "pop":
                self.harness.pop(name)
            elif do == "flush":
                self.harness.queues.flush(name)
            else:
                self.harness.queues.delete(name)
            found = self.harness.items(name)
            if found != self.told[name].states[-1]:
                self.told[name].states.append(found)
        for done in self.harness.commit():
            assert not done.failed
            assert done.ticket <= self.harness.commits.finished
        for told in self.told.values():
            told.safe = len(told.states) - 1

    def check_power_cut(self, *, all_gone: bool = False) -> None:
        """Cut the power now, look at another server that starts on what is left, and go on."""
        self.checked += 1
        where = f"seed {self.seed}, cut {self.checked}"
        left = self.disk.after_power_cut(None if all_gone else self.cuts)
        try:
            harness = self.restarted(left)
        except (SpoolError, JournalDamagedError) as refusal:
            raise AssertionError(f"{where}: refused: {refusal}") from refusal
        for name, told in self.told.items():
            found = harness.items(name)
            assert told.allows(found), (
                f"{where}: {name!r} is {found}; possible was {told.states[told.safe :]}"
            )
        if self.cuts.random() < 0.2:
            # The server goes on, and the power is cut again.
            harness.put_all([b"more", b"m" * 200, b"still more"])
            harness.commits.sync_everything()
            more = harness.items()
            again = self.restarted(left.after_power_cut())
            assert again.items() == more, f"{where}: after another cut"
            assert again.items(OTHER) == harness.items(OTHER), f"{where}: after another cut"


@pytest.fixture(
    params=[0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1000, 9000, 200))]
)
def first_seed(request: pytest.FixtureRequest) -> int:
    """Where the seeds begin: at one place by default, at many in the long run."""
    seed: int = request.param
    return seed


def failures(schedule: Callable[[int], None], seeds: range) -> list[str]:
    """Run schedules; return what went wrong in each that went wrong."""
    wrong = []
    for seed in seeds:
        try:
            schedule(seed)
        except AssertionError as error:
            wrong.append(str(error).partition("\n")[0])
    return wrong


def test_a_power_cut_after_any_file_call_costs_nothing_that_was_told(first_seed: int) -> None:
    def schedule(seed: int) -> None:
        run = Schedule(seed)
        run.disk.after_call = run.check_power_cut
        for _ in range(12):
            run.step()
        run.check_power_cut(all_gone=True)
        assert run.checked > 12

    wrong = failures(schedule, range(first_seed, first_seed + SCHEDULES))
    assert not wrong, f"{len(wrong)} of {SCHEDULES} schedules: " + "\n".join(wrong[:10])


def test_a_power_cut_that_takes_all_unsynced_costs_nothing_that_was_told(
    first_seed: int,
) -> None:
    def schedule(seed: int) -> None:
        run = Schedule(seed)
        run.disk.after_call = lambda: run.check_power_cut(all_gone=True)
        for _ in range(12):
            run.step()

    wrong = failures(
        schedule, range(first_seed + SCHEDULES, first_seed + SCHEDULES + SCHEDULES // 3)
    )
    assert not wrong, f"{len(wrong)} schedules: " + "\n".join(wrong[:10])


@pytest.mark.parametrize("interval", [0, 3600, None], ids=["always", "interval", "never"])
def test_the_death_of_a_process_in_any_call_costs_nothing_that_was_told(
    interval: float | None, first_seed: int
) -> None:
    def schedule(seed: int) -> None:
        run = Schedule(seed, interval)
        for _ in range(6):
            run.disk.kill_process_after(run.random.randrange(25))
            try:
                while True:
                    run.step()
            except ProcessKilled:
                pass
            _check_restart_after_death(run)

    wrong = failures(schedule, range(first_seed, first_seed + SCHEDULES))
    assert not wrong, f"{len(wrong)} of {SCHEDULES} schedules: " + "\n".join(wrong[:10])


@pytest.mark.parametrize("interval", [0, 3600], ids=["always", "interval"])
def test_a_power_cut_after_a_process_died_costs_nothing_that_was_told(
    interval: float, first_seed: int
) -> None:
    """What a server read back, it serves: that must be as safe as what it wrote itself."""

    def schedule(seed: int) -> None:
        run = Schedule(seed, interval)
        for _ in range(5):
            run.disk.kill_process_after(run.random.randrange(25))
            try:
                while True:
                    run.step()
            except ProcessKilled:
                pass
            _check_restart_after_death(run, with_cuts=interval == 0)
            if interval == 0:
                run.disk.after_call = run.check_power_cut
                for _ in range(3):
                    run.step()
                run.disk.after_call = None
            else:
                run.step()
                run.harness.commits.sync_everything()
                run.check_power_cut()

    wrong = failures(schedule, range(first_seed, first_seed + SCHEDULES // 2))
    assert not wrong, f"{len(wrong)} of {SCHEDULES // 2} schedules: " + "\n".join(wrong[:10])


def _check_restart_after_death(run: Schedule, *, with_cuts: bool = False) -> None:
    """Start again on what the dead process left, cutting the power all the while if wanted."""
    run.disk.after_process_death()
    run.disk.after_call = run.check_power_cut if with_cuts else None
    try:
        run.harness = run.restarted(run.disk)
    except SpoolError as refusal:
        raise AssertionError(f"seed {run.seed}: refused: {refusal}") from refusal
    run.disk.after_call = None
    for name, told in run.told.items():
        found = run.harness.items(name)
        assert told.allows(found), (
            f"seed {run.seed}: {name!r} is {found}; possible was {told.states[told.safe :]}"
        )
        told.settle(found)
