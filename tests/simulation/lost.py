"""Somebody removes or moves files under the server: it must notice, and lose nothing that it has.

All items are put in this life and are in memory, so a queue whose names are gone can be written
anew as a whole. Once something was put into it, or housekeeping has come
by, and everything has come to rest, it survives a crash and a power cut as if nobody had been
there.
"""

from typing import TYPE_CHECKING

from tests.simulation.rest import expect_no_errors, settle, take_all
from tests.simulation.world import NAMES

if TYPE_CHECKING:
    from tests.simulation.schedule import Schedule

ROUNDS = 3
IN_MEMORY = 2000
"""Bytes of a window from which on it holds all that is put here."""


def loses_names(schedule: "Schedule") -> bool:
    """Tell whether files are to be removed at the end of a schedule.

    Settings that move, expire or discard items would have to be told from what is lost.
    """
    shape = schedule.shape
    plain = not shape.entries and not shape.routes and not schedule.life.sliced
    keeps = shape.window_size >= IN_MEMORY
    return plain and keeps and shape.interval is not None


def lose_names(schedule: "Schedule") -> None:
    """Rob the queues, see that they are healed, and start again, some times."""
    random = schedule.random
    schedule.interleaved = schedule.faulty = schedule.limited = False
    schedule.disk.before_call = None
    for number in range(ROUNDS):
        life = schedule.life
        life.robbed = schedule.disturbed = True
        probe = life.connect()
        take_all(schedule, probe)
        for name in NAMES:
            schedule.asking.put(probe, name, lasts=True)
        settle(schedule)
        for name in NAMES:
            if random.random() < 0.5:
                _rob(schedule, name, number)
        is_looked_for = random.random() < 0.5
        if is_looked_for:
            life.queues.keep_house()
            settle(schedule)
        if not is_looked_for or random.random() < 0.5:
            for name in NAMES:
                schedule.asking.put(probe, name, lasts=True)
            settle(schedule)
            life.errors.clear()  # a put may be refused while its queue is healed
            for name in NAMES:
                schedule.asking.put(probe, name, lasts=True)
            settle(schedule)
            expect_no_errors(schedule, "put after files were lost")
        schedule.disk = schedule.disk.for_next_process()
        if random.random() < 0.5:
            schedule.disk = schedule.disk.after_power_cut(random)
        schedule.start(frozenset({"power"}))


def _rob(schedule: "Schedule", name: bytes, number: int) -> None:
    """Take away a queue's last segment, all of them, or its directory, behind the server's back."""
    queue = schedule.life.queues.directory.find(name)
    if queue is None or queue.journal.in_memory or not queue.journal.ledger.segments:
        return
    disk, random = schedule.disk, schedule.random
    directory, there = queue.journal.path, schedule.disk.contents(queue.journal.path)
    paths = [each.path for each in queue.journal.ledger.segments if each.path in there]
    match random.choice(("last", "all", "moved", "directory")):
        case "last":
            disk.unlink(paths[-1])
        case "all":
            for path in paths:
                disk.unlink(path)
        case "moved":
            disk.rename(paths[-1], f"{paths[-1]}.away-{number}")
        case "directory":
            spool, _, entry = directory.rpartition("/")
            disk.rename(directory, f"{spool}/.away-{number}-{entry}")
            disk.sync_directory(spool)
            return
    disk.sync_directory(directory)
