"""One schedule: everything that happens to a server and its disk, from one seed.

Lives follow each other: in each, clients come, ask and go, threads work when they get to it, time
passes, the disk fails and fills; then the process dies, the power is cut, or the server is
stopped, and the next one has to find what the model allows. At the end all faults are gone, and
everything must work again.
"""

import errno
from random import Random

import attrs

from starling_py.journal.errors import SpoolError
from starling_py.journal.spool import OWN_FILES
from starling_py.keys import child_of
from tests.core import ManualClock
from tests.journal.simulated_disk import CHANGES, SALT, Fault, ProcessKilled, SimulatedDisk
from tests.simulation.asking import Asking, queue_entries
from tests.simulation.lost import lose_names, loses_names
from tests.simulation.model import QueueModel, State, Violation
from tests.simulation.moments import Moments
from tests.simulation.recovery import recovered, tokens_in
from tests.simulation.rest import come_to_rest
from tests.simulation.rights import RIGHTS
from tests.simulation.threads import SimulatedBackground, SimulatedSyncer
from tests.simulation.world import NAMES, SPOOL, TIGHT, Life, Shape, quietly

Thread = SimulatedSyncer | SimulatedBackground
SYNCS = frozenset({"sync", "sync_directory", "sync_file_system"})
WRITES = frozenset({"write", "write_at"})
READS = frozenset({"read", "read_at", "size", "open", "list_directory", "is_directory"})
MAKES = frozenset({"create", "make_directory", "rename", "link", "allocate"})
FULL = frozenset({"write", "write_at", "create", "make_directory", "allocate"})
ROOM = 1_500_000
ROUTES: tuple[dict[str, list[str]], ...] = (
    {"Other": ["a+b"]},
    {"dead": ["a+b"]},
    {"dead": ["a+b"], "Other": ["jobs"]},
)


class Schedule:
    """Random lives of one spool."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = random = Random(seed)
        self.disk = SimulatedDisk.holding({f"{SPOOL}/": b""})
        self.disk.next_salt = SALT  # as the log tells journals of one name by their salts
        self.limited = random.random() < 0.25
        if self.limited:
            self.disk.room = ROOM
        self.clock = ManualClock()
        self.shape = Shape(
            random.choice((0, 0, 0.05, 1.0, None)),
            random.choice((200, 200, 400, 700, 2000)),
            random.choice((300, 600, 600, 2000, 1 << 20)),
            random.choice((1, 2, 256)),
            0,
            queue_entries(random) if random.random() < 0.6 else {},
            random.choice(ROUTES) if random.random() < 0.2 else {},
        )
        if seed % 4:
            self.shape = attrs.evolve(self.shape, log_size=(300, 1000, 5000)[seed // 4 % 3])
        if seed % 7 == 3:
            self.shape = attrs.evolve(self.shape, together=1 + seed // 7 % 2)
        if self.shape.waits and seed % 2 == 0:
            self.shape = attrs.evolve(self.shape, at_once=True)
        if seed % 3 == 0:
            self.clock.step = 0.001
            slice_ = 0.0025 + 0.001 * (seed % 5)
            self.shape = attrs.evolve(self.shape, slice=slice_, at_once_steps=seed % 4)
        if seed % 12 == 5:
            self.shape = attrs.evolve(self.shape, memory=TIGHT)
        self.brief = seed % 16 == 14
        """Whether queues come and go."""
        if self.brief:
            entries = {
                name.decode(): {"max_item_size": 200, **self.shape.entries.get(name.decode(), {})}
                for name in NAMES
            }
            self.shape = attrs.evolve(self.shape, entries=entries)
        self.models = {name: QueueModel(name) for name in NAMES}
        self.faulty = random.random() < 0.6
        self.interleaved = random.random() < 0.4
        self.crashes = random.random() < 0.85
        names = random.choice((NAMES[:1], NAMES[:2], NAMES[:3], NAMES, NAMES))
        self.asking = Asking(random, self.clock, names, self.models)
        self.paused: frozenset[str] = frozenset()
        self.disturbed = False
        """Whether a fault other than a full disk has struck in this life."""
        self.moments = Moments()
        self.takes = seed % 5 == 2
        """Whether snapshots are taken."""
        self.guarded = seed % 8 == 1
        """Whether most clients are users, who may not do everything."""
        if self.guarded:
            self.asking.weights["move"] = 10
        self.life: Life
        self.working: list[Thread] = []
        """The threads in the middle of a piece of work, the last one running."""

    def run(self) -> None:
        """Run it all. Raises ``Violation``."""
        with quietly():
            self.start(frozenset())
            random = self.random
            for _ in range(random.choice((0, 1, 1, 2, 3)) if self.crashes else 0):
                self._live(random.choice((4, 8, 12, 20, 60)))
                self._end()
            self._live(random.choice((4, 8, 12, 20, 60)))
            come_to_rest(self)
            if loses_names(self):
                lose_names(self)

    # Starting and ending.

    def start(self, ending: frozenset[str]) -> None:
        """Start a server on what is there, perhaps more than once."""
        random = self.random
        self.clock.advance(0.01)
        floors = {name: self._floor(model, ending) for name, model in self.models.items()}
        # What was never synced may be anything after a power cut, and after a sync that failed.
        lossy = self.shape.interval is None and bool(ending & {"power", "forgets"})
        attempts = 0
        while True:
            attempts += 1
            self.disturbed = False
            if attempts < 4 and random.random() < 0.15:
                self.disk.kill_process_after(random.randrange(30))
            if attempts < 4 and self.faulty and random.random() < 0.15:
                self._break_disk()
            try:
                life = Life(
                    self.disk,
                    self.clock,
                    self.shape,
                    self.models,
                    self.asking.sent,
                    self.paused,
                )
                break
            except ProcessKilled:
                pass
            except SpoolError as problem:
                fault = self.disk.fault
                alone = fault is not None and self.disk.room is None and not lossy
                if alone and fault is not None and _hits_one_queue(fault):
                    raise Violation(f"all refused as {fault.where} failed: {problem}") from problem
                if fault is None or not fault.struck:
                    if lossy:
                        raise Unusable from problem
                    if self.disk.room is None or self.disk.room > ROOM // 2:
                        raise Violation(f"refused to start: {problem}") from problem
            self.disk = self.disk.for_next_process()
            if self.disk.room is not None and attempts > 1:
                self.disk.room = max(self.disk.room, ROOM)
            forgets = self.disk.forget_failed_syncs(random)
            lossy = lossy or (forgets and self.shape.interval is None)
            if random.random() < 0.3 and self.shape.interval is not None:
                self.disk = self.disk.after_power_cut(random)
                forgets = True
            if forgets and not self.shape.waits:
                for name, model in self.models.items():
                    floors[name] = min(floors[name], model.synced)
        self.life = life
        self.disk._lives_for = None
        self.note_struck()
        self.disk.fault = None
        if life.spool.reserve.short:
            self.disturbed = True  # there was no room for the reserve
        try:
            found = life.found()
        except Violation as violation:
            if lossy:
                raise Unusable from violation
            raise
        if lossy:
            for name, model in self.models.items():
                self._check_invented(name, found.get(name))
                model.begin(found.get(name), 0 if model.settings.journal else model.used[-1])
                if (queue := life.queues.directory.find(name)) is not None:
                    # Perhaps it is an earlier queue of this name, with the tokens of that one.
                    model.once = tokens_in(queue.journal.ledger)
        else:
            recovered(self.models, found, floors)
        self.moments.begin()
        self.moments.check(self.disk, life)
        self.disk.before_call = self._between_calls if self.interleaved else None
        life.look()

    def _floor(self, model: QueueModel, ending: frozenset[str]) -> int:
        """Return the first state that a restart may find."""
        if "stop" in ending and not self.disturbed:
            return model.committed
        if ending & {"power", "forgets"} and not self.shape.waits:
            return model.synced
        return model.told

    def _check_invented(self, name: bytes, found: object) -> None:
        """Check that what a power cut left was sent, where nothing was ever synced."""
        if isinstance(found, State):
            for thing in found.things:
                origin, flags = self.asking.sent[thing.data]
                moves = self.shape.entries or self.shape.routes or thing.origin is not None
                here = origin in (name, child_of(name)) or bool(moves)
                if flags != thing.flags or not here:
                    raise Violation(f"{name!r}: {thing} was never sent")

    def _end(self) -> None:
        """End this life somehow, and start the next one."""
        random = self.random
        ending = random.choice(
            ({"death"}, {"death"}, {"power"}, {"power"}, {"stop"}, {"stop", "power"})
        )
        if "stop" in ending:
            try:
                self.life.stop()
            except ProcessKilled:
                ending = ending - {"stop"}
        elif random.random() < 0.7:
            self.disk.kill_process_after(random.randrange(40))
            try:
                for _ in range(10):
                    self._step()
            except ProcessKilled:
                pass
        self.note_struck()
        self.disk.before_call = None
        self.working.clear()
        self.disk = self.disk.for_next_process()
        if self.disk.forget_failed_syncs(random):
            ending = ending | {"forgets"}
        if self.disk.room is not None and random.random() < 0.7:
            self.disk.room = max(self.disk.room, ROOM)
        if "power" in ending:
            self.disk = self.disk.after_power_cut(random if random.random() < 0.8 else None)
        self.start(frozenset(ending))

    # Living.

    def _live(self, steps: int) -> None:
        for _ in range(steps):
            self._step()

    def _step(self) -> None:
        """Let something happen, then a tick."""
        random, life = self.random, self.life
        for _ in range(random.choice((0, 1, 1, 2, 3))):
            self._act()
        if random.random() < 0.5:
            self.clock.advance(random.choice((0.0, 0.001, 0.04, 0.3, 1.1, 3.0)))
        if random.random() < 0.02:
            self.clock.wall_ms += random.choice((300, 1000, 2500, 3_600_000))  # it was set
        if self.faulty and random.random() < 0.08:
            self._break_disk()
            if random.random() < 0.3:
                for client in life.clients:
                    self.asking.close_everywhere(client)
        elif self.disk.fault is not None and random.random() < 0.2:
            self.mend_disk()
        if self.limited and random.random() < 0.1:
            self._change_room()
        if random.random() < 0.04:
            life.queues.keep_house()
        if random.random() < 0.02:
            life.drain(on=not life.draining)
        if self.shape.entries and random.random() < 0.02:
            self.pause(random.choice((frozenset(), frozenset({"jobs"}), frozenset({"Other"}))))
        if self.takes and random.random() < 0.06:
            self.moments.take(life, self.models)
        if life.syncer.waiting and random.random() < 0.6:
            self.work(life.syncer)
        while life.background.waiting and random.random() < 0.7:
            self.work(life.background)
        life.turn(sync=random.random() < 0.8, background=random.random() < 0.8)
        self.check_errors()

    def pause(self, paused: frozenset[str]) -> None:
        """Pause other queues than up to now, by the settings."""
        self.paused = paused
        self.life.queues.reload(self.shape.rules(paused))

    def work(self, thread: Thread) -> None:
        """Let a thread do a piece of work."""
        self.working.append(thread)
        thread.run_one()
        self.working.pop()

    def _between_calls(self) -> None:
        """Let others go on between two file calls of a thread."""
        random, life = self.random, self.life
        if not self.working or life.ticking or random.random() > 0.15:
            return
        other = life.syncer if self.working[-1] is life.background else life.background
        if len(self.working) == 1 and other.waiting and random.random() < 0.4:
            self.work(other)
            return
        for _ in range(random.randint(0, 2)):
            self._act()
        life.turn(sync=random.random() < 0.5, background=random.random() < 0.5)
        self.check_errors()

    def _act(self) -> None:
        """Let a client do something."""
        random, life = self.random, self.life
        if not life.clients or (len(life.clients) < 4 and random.random() < 0.15):
            life.connect(random.choice(("", "operator", *RIGHTS)) if self.guarded else "")
        client = random.choice(life.clients)
        if random.random() < 0.02:
            life.disconnect(client)
            return
        sock = client.socket
        if random.random() < 0.05:
            sock.piece = random.choice((1, 7, 30))
        elif random.random() < 0.2:
            sock.piece = 65536
        if random.random() < 0.03:
            sock.accepts = random.choice((0, 3, 40))
        elif random.random() < 0.3:
            sock.accepts = None
        if len(client.asked) > 6:
            return
        for _ in range(random.choice((1, 1, 1, 2, 4))):
            if self.brief and random.random() < 0.4:
                self.asking.come_and_go(client)
            else:
                self.asking.something(client)

    # Faults.

    def _break_disk(self) -> None:
        random = self.random
        calls = random.choice((SYNCS, SYNCS, WRITES, WRITES, READS, MAKES, CHANGES, FULL, None))
        error = (
            errno.ENOSPC if calls is FULL else random.choice((errno.EIO, errno.EIO, errno.EMFILE))
        )
        self.disk.fault = Fault(
            random.randint(1, 12),
            error,
            calls,
            lasting=random.random() < 0.4,
            short=random.random() < 0.4,
        )

    def mend_disk(self) -> None:
        self.note_struck()
        self.disk.fault = None

    def note_struck(self) -> None:
        fault = self.disk.fault
        if fault is not None and fault.struck:
            self.disturbed = True

    def _change_room(self) -> None:
        """Let others fill the disk, or make room on it."""
        assert self.disk.room is not None
        if self.random.random() < 0.5:
            self.disk.room = min(self.disk.room, self.random.choice((0, 10, 100, 1000, 5000)))
        else:
            self.disk.room = max(self.disk.room, ROOM)

    def make_room(self) -> None:
        """Let there be room on the disk again."""
        if self.disk.room is not None:
            self.disk.room = max(self.disk.room, ROOM)

    def check_errors(self) -> None:
        """Nobody may be refused without a reason."""
        self.note_struck()
        errors, self.life.errors = self.life.errors, []
        self.moments.check(self.disk, self.life)
        problems, self.moments.problems = self.moments.problems, []
        if self.disturbed:
            return
        for problem in problems:
            if not self.limited and not self.life.commits.failures:
                raise Violation(f"no snapshot without a reason: {problem}")
        if self.life.refused_removals:
            raise Violation(f"a full disk keeps {self.life.refused_removals} from shrinking")
        for asked, line in errors:
            puts = asked.data or asked.kind == "move"
            full = b"No space left" in line or (b"disk is full" in line and puts)
            refused = asked.data and (b"draining" in line or b"too large" in line)
            if asked.kind == "move":
                refused = b"nothing was moved: the queue is full" in line or b"too large" in line
            if not (self.limited and full) and not refused:
                raise Violation(f"{asked} is answered {line!r} without a reason")


def _hits_one_queue(fault: Fault) -> bool:
    """Tell whether a fault struck once, and in a queue's own directory."""
    inside = fault.where.startswith(f"{SPOOL}/")
    entry = fault.where.removeprefix(f"{SPOOL}/").partition("/")[0]
    return not fault.lasting and inside and entry not in OWN_FILES


class Unusable(Exception):
    """A spool that must not be usable: the schedule is over."""


def run(seed: int) -> None:
    """Run a schedule. Raises ``Violation`` and whatever a defect raises."""
    try:
        Schedule(seed).run()
    except Unusable:
        return
