"""Snapshots in the simulation: each must be of the moment when it was asked for, for ever."""

from collections.abc import Mapping

import attrs

from starling_py.journal.errors import JournalError
from starling_py.journal.snapshots import DIRECTORY
from starling_py.server.core import Core, InlineThreads
from tests.journal.simulated_disk import SimulatedDisk
from tests.simulation.model import Found, QueueModel, Violation
from tests.simulation.recovery import found_in
from tests.simulation.world import SPOOL, Life

Moment = dict[bytes, Found]
"""What each queue held."""


@attrs.define
class Moments:
    """The snapshots of one spool, over all lives of its server."""

    asked: int = 0
    made: dict[str, Moment] = attrs.field(factory=dict)
    """What must be in each of them."""
    seen: set[str] = attrs.field(factory=set)
    """Those that were looked at in this life."""
    problems: list[str] = attrs.field(factory=list)
    """Why some were not made, since this was last looked at."""

    def take(self, life: Life, models: Mapping[bytes, QueueModel]) -> None:
        """Have a snapshot taken."""
        self.asked += 1
        name = f"number-{self.asked}"
        moment = {
            each: model.states[model.committed]
            for each, model in models.items()
            if model.settings.journal
        }

        def done(problem: JournalError | None) -> None:
            if problem is None:
                self.made[name] = moment
            else:
                self.problems.append(str(problem))

        try:
            life.queues.directory.take_snapshot(name).when_loaded(done)
        except JournalError as problem:
            if "another snapshot" not in str(problem):
                self.problems.append(str(problem))

    def begin(self) -> None:
        """Learn that the server was started anew: all have to be there."""
        self.seen.clear()
        self.problems.clear()

    def check(self, disk: SimulatedDisk, life: Life) -> None:
        """Start a server on a copy of each that was not looked at yet, as a power cut leaves it."""
        for name in [each for each in self.made if each not in self.seen]:
            self.seen.add(name)
            path = f"{SPOOL}/{DIRECTORY}/{name}"
            copy = disk.after_power_cut()
            copy.room = None
            storage = attrs.evolve(life.shape.storage(life.rules), path=path)
            core = Core.open(storage, life.clock, copy, InlineThreads())
            if core.spool.refused:
                raise Violation(f"{name}: {core.spool.refused}")
            found = found_in(copy, core.queues.directory.by_name.values())
            expected = {each: state for each, state in self.made[name].items() if state is not None}
            if found != expected:
                raise Violation(f"{name} has {found}, and not {expected}")
