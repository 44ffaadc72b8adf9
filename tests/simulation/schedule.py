"""One schedule: everything that happens to a server and its disk, from one seed.

Lives follow each other: in each, clients come, ask and go, threads work when they get to it, time
passes, the disk fails and fills; then the process dies, the power is cut, or the server is
stopped, and the next one has to find what the model allows. At the end all faults are gone, and
everything must work again.
"""

import errno
from random import Random

from starling_py.journal import record, segment
from starling_py.journal.spool import SpoolProblem
from tests.core import ManualClock
from tests.journal.simulated_disk import CHANGES, Fault, ProcessKilled, SimulatedDisk
from tests.simulation.clients import Asked, SimulatedClient
from tests.simulation.model import QueueModel, Violation
from tests.simulation.world import (
    NAMES,
    SPOOL,
    Life,
    Shape,
    SimulatedBackground,
    SimulatedSyncer,
    watched,
)

Thread = SimulatedSyncer | SimulatedBackground
SYNCS = frozenset({"sync", "sync_directory"})
WRITES = frozenset({"write"})
READS = frozenset({"read", "read_at", "size", "open", "list_directory", "is_directory"})
MAKES = frozenset({"create", "make_directory", "rename", "link", "allocate"})
FULL = frozenset({"write", "create", "make_directory", "allocate"})
ROOM = 1_500_000
PROBE = b"probe"


class Schedule:
    """Random lives of one spool."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = random = Random(seed)
        self.disk = SimulatedDisk.holding({f"{SPOOL}/": b""})
        self.limited = random.random() < 0.25
        if self.limited:
            self.disk.room = ROOM
        self.clock = ManualClock()
        self.shape = Shape(
            random.choice((0, 0, 0.05, 1.0, None)),
            random.choice((200, 200, 400, 700, 2000)),
            random.choice((300, 600, 600, 2000, 1 << 20)),
            random.choice((1, 2, 256)),
        )
        self.models = {name: QueueModel(name) for name in NAMES}
        self.sent: dict[bytes, tuple[bytes, int]] = {}
        self.faulty = random.random() < 0.6
        self.interleaved = random.random() < 0.4
        self.crashes = random.random() < 0.85
        self.puts = random.choice((25, 40, 60, 90))
        self.names = random.choice((NAMES[:1], NAMES[:2], NAMES, NAMES))
        self.items = 0
        self.disturbed = False
        """Whether a fault other than a full disk has struck in this life."""
        self.life: Life
        self.working: list[Thread] = []
        """The threads in the middle of a piece of work, the last one running."""

    def run(self) -> None:
        """Run it all. Raises ``Violation``."""
        with watched():
            self._start(frozenset())
            random = self.random
            for _ in range(random.choice((0, 1, 1, 2, 3)) if self.crashes else 0):
                self._live(random.choice((4, 8, 12, 20, 60)))
                self._end()
            self._live(random.choice((4, 8, 12, 20, 60)))
            self._come_to_rest()

    # Starting and ending.

    def _start(self, ending: frozenset[str]) -> None:
        """Start a server on what is there, perhaps more than once."""
        random = self.random
        floors = {name: self._floor(model, ending) for name, model in self.models.items()}
        power_cut = "power" in ending
        attempts = 0
        while True:
            attempts += 1
            self.disturbed = False
            if attempts < 4 and random.random() < 0.15:
                self.disk.kill_process_after(random.randrange(30))
            if attempts < 4 and self.faulty and random.random() < 0.15:
                self._break_disk()
            try:
                life = Life(self.disk, self.clock, self.shape, self.models, self.sent)
                break
            except ProcessKilled:
                pass
            except SpoolProblem as problem:
                if self.disk.fault is None or not self.disk.fault.struck:
                    if power_cut and self.shape.interval is None:
                        raise Unusable from problem
                    if self.disk.room is None or self.disk.room > ROOM // 2:
                        raise Violation(f"refused to start: {problem}") from problem
            self.disk = self.disk.for_next_process()
            if self.disk.room is not None and attempts > 1:
                self.disk.room = max(self.disk.room, ROOM)
            forgets = self.disk.forget_failed_syncs(random)
            if random.random() < 0.3 and self.shape.interval is not None:
                self.disk = self.disk.after_power_cut(random)
                forgets = True
            if forgets and not self.shape.waits:
                for name, model in self.models.items():
                    floors[name] = min(floors[name], model.synced)
        self.life = life
        self.disk._lives_for = None
        self._note_struck()
        self.disk.fault = None
        if life.spool.reserve.short:
            self.disturbed = True  # there was no room for the reserve
        try:
            found = life.found()
        except Violation as violation:
            if power_cut and self.shape.interval is None:
                raise Unusable from violation
            raise
        for name, model in self.models.items():
            if power_cut and self.shape.interval is None:
                self._check_invented(name, found.get(name))
                model.begin(found.get(name))
            else:
                model.recovered(found.get(name), floors[name])
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
        from tests.simulation.model import State

        if isinstance(found, State):
            for thing in found.things:
                if self.sent.get(thing.data) != (name, thing.flags):
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
        self._note_struck()
        self.disk.before_call = None
        self.working.clear()
        self.disk = self.disk.for_next_process()
        if self.disk.forget_failed_syncs(random):
            ending = ending | {"forgets"}
        if self.disk.room is not None and random.random() < 0.7:
            self.disk.room = max(self.disk.room, ROOM)
        if "power" in ending:
            self.disk = self.disk.after_power_cut(random if random.random() < 0.8 else None)
        self._start(frozenset(ending))

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
        if self.faulty and random.random() < 0.08:
            self._break_disk()
        elif self.disk.fault is not None and random.random() < 0.2:
            self._mend_disk()
        if self.limited and random.random() < 0.1:
            self._change_room()
        if random.random() < 0.03:
            life.queues.keep_house()
        if life.syncer.waiting and random.random() < 0.6:
            self._work(life.syncer)
        while life.background.waiting and random.random() < 0.7:
            self._work(life.background)
        life.turn(sync=random.random() < 0.8, background=random.random() < 0.8)
        self._check_errors()

    def _work(self, thread: Thread) -> None:
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
            self._work(other)
            return
        for _ in range(random.randint(0, 2)):
            self._act()
        life.turn(sync=random.random() < 0.5, background=random.random() < 0.5)
        self._check_errors()

    def _act(self) -> None:
        """Let a client do something."""
        random, life = self.random, self.life
        if not life.clients or (len(life.clients) < 4 and random.random() < 0.15):
            life.connect()
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
            self.ask_something(client)

    def ask_something(self, client: SimulatedClient) -> None:
        """Let a client send a command."""
        random = self.random
        name = random.choice(self.names)
        now = self.clock.monotonic
        kind = random.choices(
            ("set", "add", "get", "wait", "many", "peek", "delete", "flush", "flush_all", "stats"),
            (self.puts, 4, 34, 6, 5, 4, 2, 2, 0.5, 2),
        )[0]
        if kind in ("set", "add"):
            self.put(client, name, kind, quiet=random.random() < 0.12)
        elif kind == "get":
            client.ask(b"get %b\r\n" % name, Asked("get", (name,)))
        elif kind == "wait":
            names = (name,) if random.random() < 0.8 else self.names
            wait = random.choice((5, 300, 4000))
            keys = b" ".join(b"%b/t=%d" % (each, wait) for each in names)
            asked = Asked("get", names, wait=wait / 1000, asked_at=now)
            client.ask(b"get %b\r\n" % keys, asked)
        elif kind == "many":
            client.ask(b"get %b\r\n" % b" ".join(self.names), Asked("get", self.names))
        elif kind == "peek":
            client.ask(b"get %b/peek\r\n" % name, Asked("peek", (name,)))
        elif kind == "delete":
            client.ask(b"delete %b\r\n" % name, Asked("delete", (name,)))
        elif kind == "flush":
            client.ask(b"flush %b\r\n" % name, Asked("flush", (name,)))
        elif kind == "flush_all":
            client.ask(b"flush_all\r\n", Asked("flush_all"))
        else:
            client.ask(b"stats\r\n", Asked("stats"))

    def put(
        self,
        client: SimulatedClient,
        name: bytes,
        kind: str = "set",
        *,
        quiet: bool = False,
        lasts: bool = False,
    ) -> None:
        """Let a client put an item."""
        random = self.random
        self.items += 1
        size = random.choice((0, 0, 10, 40, 40, 90, 170, 400))
        data = b"%d:%b" % (self.items, random.randbytes(size))
        flags = random.getrandbits(random.choice((1, 32)))
        exptime = 0 if lasts else random.choice((0,) * 12 + (1, 2, -1))
        self.sent[data] = (name, flags)
        ending = b" noreply" if quiet else b""
        asked = Asked("set" if kind == "set" else "add", (name,), data, flags)
        client.ask(
            b"%b %b %d %d %d%b\r\n%b\r\n"
            % (kind.encode(), name, flags, exptime, len(data), ending, data),
            None if quiet else asked,
        )

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

    def _mend_disk(self) -> None:
        self._note_struck()
        self.disk.fault = None

    def _note_struck(self) -> None:
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

    def _check_errors(self) -> None:
        """Nobody may be refused without a reason."""
        self._note_struck()
        errors, self.life.errors = self.life.errors, []
        if self.disturbed:
            return
        if self.life.refused_removals:
            raise Violation(f"a full disk keeps {self.life.refused_removals} from shrinking")
        for asked, line in errors:
            full = b"No space left" in line or (b"disk is full" in line and asked.data)
            if not (self.limited and full):
                raise Violation(f"{asked} is answered {line!r} without a reason")

    # The end.

    def _settle(self) -> None:
        """Let everything finish that is under way."""
        life = self.life
        quiet = 0
        for _ in range(80):
            self.clock.advance(0.6)
            while life.syncer.waiting:
                self._work(life.syncer)
            while life.background.waiting:
                self._work(life.background)
            life.turn()
            busy = life.busy or any(client.asked for client in life.clients)
            quiet = 0 if busy else quiet + 1
            if quiet > 3:
                return
        asked = [each for client in life.clients for each in client.asked]
        raise Violation(f"does not come to rest; waiting for replies: {asked}")

    def _come_to_rest(self) -> None:
        """Without faults, everything must work again, and nothing be missing."""
        life = self.life
        self._mend_disk()
        self.disk.before_call = None
        if self.disk.room is not None:
            self.disk.room = max(self.disk.room, ROOM)
        for client in (*life.clients, *life.leaving):
            client.socket.piece = 65536
            client.socket.accepts = None
        self._settle()
        self._check_errors()
        self._check_at_rest()
        life.errors.clear()
        probe = life.connect()
        for name in NAMES:
            self.put(probe, name, lasts=True)
        self._settle()
        self._no_errors("put again")
        self._check_disk_use()
        while any(model.head() is not None for model in self.models.values()):
            before = sum(model.last for model in self.models.values())
            for name in NAMES:
                probe.ask(b"get %b/t=10\r\n" % name, Asked("get", (name,)))
            self._settle()
            self._no_errors("get again")
            if sum(model.last for model in self.models.values()) == before:
                raise Violation("nothing more comes out")
        for name in NAMES:
            waiter = life.connect()
            waiter.ask(b"get %b/t=100000\r\n" % name, Asked("get", (name,)))
            life.turn()
            self.put(probe, name, lasts=True)
        self._settle()
        self._no_errors("wait again")
        for name in NAMES:
            self.put(probe, name, lasts=True)
        self._settle()
        life.stop()
        self.disk = self.disk.for_next_process()
        if self.shape.interval is not None:
            self.disk = self.disk.after_power_cut()
        self.disturbed = False
        self.faulty = False
        self._start(frozenset({"stop"}))

    def _no_errors(self, what: str) -> None:
        errors, self.life.errors = self.life.errors, []
        if errors:
            raise Violation(f"without faults, clients cannot {what}: {errors[0]}")

    def _check_at_rest(self) -> None:
        """Check what holds when nothing is under way."""
        life = self.life
        found = life.found()
        for name, model in self.models.items():
            if found.get(name) != model.now:
                raise model.fail(f"on disk is {found.get(name)}; expected {model.now}")
            if self.shape.interval is not None and model.states[model.synced] != model.now:
                raise model.fail("is not synced though the interval is over")

    def _check_disk_use(self) -> None:
        """Check that the segments take no more than twice what is live and two segments."""
        for queue in self.life.queues.everything():
            now = self.models[queue.name].now
            if now is None:
                continue
            contents = self.disk.contents(queue.journal.path)
            segments = queue.journal.ledger.segments
            if not self.faulty and not self.limited:
                names = {path for path in contents if ".segment" in path and ".torn-" not in path}
                if names != {each.path for each in segments}:
                    raise Violation(f"{queue.name!r}: there is {names}; needed are {segments}")
            sizes = [each.size for each in segments]
            there = [len(contents[each.path]) for each in segments]
            # Behind the end of a segment may be what could not be cut off.
            cut_short = [size for size, needed in zip(there, sizes, strict=True) if size < needed]
            if cut_short or (not self.faulty and sum(there) != queue.journal.size):
                raise Violation(f"{queue.name!r}: {there} is counted as {queue.journal.size}")
            heads = sum(_head(memoryview(contents[each.path])) for each in segments)
            live = now.bytes + record.PUSH_HEADER_SIZE * len(now.things)
            bound = 2 * live + 2 * max(self.shape.segment_size, *sizes) + heads
            if sum(sizes) > bound:
                raise Violation(
                    f"{queue.name!r}: {live} live bytes take {sizes}, beginnings {heads}"
                )


def _head(content: memoryview) -> int:
    """Return how long a segment's header and checkpoint are."""
    header, start = segment.decode(content)
    first = next(record.walk(content, start, header.salt), None)
    return first[3] if first is not None and first[0] == record.CHECKPOINT else start


class Unusable(Exception):
    """A spool that must not be usable: the schedule is over."""


def run(seed: int) -> None:
    """Run a schedule. Raises ``Violation`` and whatever a defect raises."""
    try:
        Schedule(seed).run()
    except Unusable:
        return
