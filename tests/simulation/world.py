"""The core of a server, put together on a simulated disk and watched by a model of its queues.

Everything is the server's own but the disk, the clock, the sockets and the threads: its tick, its
sessions, its group commit, its journals. Work for other threads is done between two ticks, or
with ticks between two of its file calls, when the schedule says so. All chance comes from one
seed.
"""

import contextlib
import logging
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, cast
from unittest.mock import patch

import attrs

from starling_py import stats
from starling_py.clock import Clock
from starling_py.journal.background import Work
from starling_py.journal.blocks import Reading
from starling_py.journal.commit import Batch, GroupCommit
from starling_py.journal.healing import Healing
from starling_py.journal.journal import Durability, Journal
from starling_py.journal.record import Item
from starling_py.journal.segment import Segment
from starling_py.journal.spool import Spool
from starling_py.protocol import commands
from starling_py.queues import queue_collection
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.queues.queue_collection import QueueCollection
from starling_py.queues.window import WindowSizes
from starling_py.readiness import HANG_UP, READ, WRITE, Ready
from starling_py.session import Policy, Session
from starling_py.stats import Counters, Pairs
from starling_py.syncer import BackgroundThread, SyncThread
from starling_py.tick import Tick
from tests.core import ManualClock
from tests.journal.simulated_disk import SimulatedDisk
from tests.simulation.clients import Asked, SimulatedClient, Told
from tests.simulation.model import Found, QueueModel, State, Thing, Violation

SPOOL = "/spool"
NAMES = (b"jobs", b"Other", b"a+b")
SYNC, BACKGROUND = 1, 2
"""The descriptors of the two threads."""
FIRST_CLIENT = 10


@attrs.frozen
class Shape:
    """The settings of a server."""

    interval: float | None
    segment_size: int
    window_size: int
    open_files: int = 256

    @property
    def waits(self) -> bool:
        """Whether replies wait for syncs."""
        return self.interval == 0


class SimulatedSyncer:
    """Syncs a batch when it is told to, and says so when it is told to."""

    def __init__(self, life: "Life") -> None:
        self._life = life
        self.waiting: deque[Batch] = deque()
        self.finished: list[Batch] = []
        self.begun: dict[int, dict[Journal, int]] = {}
        """What was written when each batch was begun: the number of each queue's state."""

    def fileno(self) -> int:
        return SYNC

    def submit(self, batch: Batch) -> None:
        self.waiting.append(batch)
        self.begun[batch.ticket] = self._life.written(batch)

    def collect(self) -> list[Batch]:
        finished, self.finished = self.finished, []
        return finished

    def run_one(self) -> None:
        """Do what the thread has to do."""
        batch = self.waiting.popleft()
        batch.run()
        self.finished.append(batch)


class SimulatedBackground:
    """Works when it is told to, and says so when it is told to."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[Work, Callable[[], None] | None]] = deque()
        self.finished: list[Callable[[], None]] = []

    def fileno(self) -> int:
        return BACKGROUND

    def submit(self, work: Work, done: Callable[[], None] | None = None) -> None:
        self.waiting.append((work, done))

    def collect(self) -> None:
        finished, self.finished = self.finished, []
        for done in finished:
            done()

    def run_one(self) -> None:
        """Do the oldest piece of work."""
        work, done = self.waiting.popleft()
        work.run()
        if done is not None:
            self.finished.append(done)


class NoReadiness:
    """The life says itself what is ready."""

    def fileno(self) -> int:
        return 0

    def register(self, descriptor: int, interest: int) -> None:
        """Do nothing."""

    def modify(self, descriptor: int, interest: int) -> None:
        """Do nothing."""

    def unregister(self, descriptor: int) -> None:
        """Do nothing."""

    def ready(self, seconds: float = 0) -> Ready:
        return []

    def close(self) -> None:
        """Do nothing."""


class WatchedQueue(PersistentQueue):
    """A queue whose every change the model learns of, in the order in which they happen."""

    def __init__(self, name: bytes, journal: Journal, keeper: "WatchedQueues") -> None:
        super().__init__(name, journal, keeper)
        self.life = keeper.life
        self._dead: list[Thing] = []

    @property
    def model(self) -> QueueModel:
        return self.life.models[self.name]

    @property
    def counts(self) -> bool:
        """Whether this is the queue that is served under its name."""
        return self.life.queues.at(self.name) is self

    def put(self, data: bytes, flags: int, expiry_ms: int, now_ms: int) -> None:
        item_id = self._next_id
        super().put(data, flags, expiry_ms, now_ms)
        self.model.put(Thing(item_id, data, flags, expiry_ms))

    def peek(self, now_ms: int) -> Item | None:
        removed: list[Thing] = []
        self._dead = removed
        try:
            item = super().peek(now_ms)
        finally:
            self._dead = []
            for thing in removed:
                if not 0 < thing.dies_ms <= now_ms:
                    raise self.model.fail(f"{thing} is removed as dead at {now_ms}")
        head = self.model.head()
        if item is None:
            if head is not None:
                raise self.model.fail(f"nothing is found, but there is {head}")
        elif head is None or (head.id, head.data, head.flags) != (item.id, item.data, item.flags):
            raise self.model.fail(f"{item} is at the head instead of {head}")
        elif 0 < head.dies_ms <= now_ms:
            raise self.model.fail(f"{head} is given at {now_ms}")
        return item

    def _remove(self, item: Item) -> None:
        # The model first: what is removed here may let others be served at once.
        super()._remove(item)
        self._dead.append(self.model.removed(item.id, item.data, item.flags))

    def flush(self) -> None:
        super().flush()
        self.model.emptied(deleted=False)
        self.life.note_effect(self.name)

    def delete(self) -> None:
        super().delete()
        self.model.emptied(deleted=True)
        self.life.note_effect(self.name)

    def give_up(self, damaged: Segment) -> None:
        raise self.model.fail("items are given up")

    def committed(self) -> None:
        if self.counts:
            self.model.was_committed()
        super().committed()

    def rolled_back(self) -> None:
        if self.counts:
            model, life = self.model, self.life
            healed = life.commits.finishing
            base = model.synced if healed and life.shape.waits else model.committed
            if not healed and not any(number > base for number in model.put_at.values()):
                life.refused_removals.append(self.name)
            model.was_rolled_back(base, safe=healed)
        super().rolled_back()


class WatchedQueues(QueueCollection):
    """The queues, and the life they belong to."""

    def __init__(self, life: "Life", spool: Spool, clock: Clock, sizes: WindowSizes) -> None:
        self.life = life
        super().__init__(spool, clock, sizes)

    def at(self, name: bytes) -> PersistentQueue | None:
        """Return the queue under a name, whether it exists or not."""
        return self._queues.get(name)

    def everything(self) -> list[PersistentQueue]:
        """Return all queues, also those that do not exist."""
        return list(self._queues.values())


class WatchedCommits(GroupCommit):
    """The group commit, with notes for the model of what is synced."""

    life: "Life"
    finishing = False

    def finish(self, batch: Batch) -> frozenset[Journal]:
        self.finishing = True
        try:
            failed = super().finish(batch)
        finally:
            self.finishing = False
        self.life.note_synced(batch)
        return failed


class WatchedSession(Session):
    """A session that says which client's command is executed."""

    life: "Life"
    client: SimulatedClient

    def _execute(self, command: Any) -> None:  # noqa: ANN401 - any command
        self.life.effect = []
        try:
            super()._execute(command)
        finally:
            effect, self.life.effect = self.life.effect, []
            if isinstance(command, commands.Flush | commands.Delete | commands.FlushAll):
                self.client.effects.append(effect)


class WatchedTick(Tick):
    """A tick in which no session may run into a defect."""

    life: "Life"

    def _crashed(self, connection: Any) -> None:  # noqa: ANN401 - a connection
        self.life.crash = sys.exception()
        super()._crashed(connection)


class Life:
    """One server, from its start to its end."""

    version = "1.0.0"

    def __init__(
        self,
        disk: SimulatedDisk,
        clock: ManualClock,
        shape: Shape,
        models: dict[bytes, QueueModel],
        sent: dict[bytes, tuple[bytes, int]],
    ) -> None:
        """Start. Raises what a start raises."""
        self.disk = disk
        self.clock = clock
        self.shape = shape
        self.models = models
        self.sent = sent
        """Which queue and flags each item was sent with, by its data."""
        self.effect: list[tuple[bytes, int]] = []
        self.crash: BaseException | None = None
        self.counters = Counters()
        self.policy = Policy(1 << 20, True, False)
        self.syncer = SimulatedSyncer(self)
        self.background = SimulatedBackground()
        self.commits = WatchedCommits(shape.interval, self.syncer, clock)
        self.commits.life = self
        durability = Durability(shape.interval is not None, shape.segment_size, shape.waits)
        self.queues: WatchedQueues
        self.spool = Spool.open(
            disk, SPOOL, durability, self.commits, self.background, open_files=shape.open_files
        )
        sizes = WindowSizes(shape.window_size, 1 << 30)
        self.queues = WatchedQueues(self, self.spool, clock, sizes)
        self.tick = WatchedTick(
            self.queues,
            self.commits,
            cast(SyncThread, self.syncer),
            cast(BackgroundThread, self.background),
            NoReadiness(),
            clock,
            self.counters,
            self._session,
        )
        self.tick.life = self
        self.clients: list[SimulatedClient] = []
        self.leaving: list[SimulatedClient] = []
        self._joining: SimulatedClient
        self._descriptors = FIRST_CLIENT
        self.ticking = False
        self.refused_removals: list[bytes] = []
        """Queues whose commit failed though nothing was put."""
        self.errors: list[tuple[Asked, bytes]] = []
        """What was answered ``SERVER_ERROR`` since this was last looked at."""

    # What happens to the server.

    def connect(self) -> SimulatedClient:
        """Let another client in."""
        self._descriptors += 1
        client = SimulatedClient(self._descriptors)
        self._joining = client
        self.tick.add(cast(socket.socket, client.socket), client.peer)
        self.clients.append(client)
        return client

    def disconnect(self, client: SimulatedClient) -> None:
        """Let a client hang up; it reads nothing any more."""
        client.socket.ended = True
        self.clients.remove(client)
        self.leaving.append(client)

    def turn(self, *, sync: bool = True, background: bool = True) -> None:
        """Do one tick, in which what the threads have finished is collected or not yet."""
        ready: Ready = []
        if sync and self.syncer.finished:
            ready.append((SYNC, READ))
        if background and self.background.finished:
            ready.append((BACKGROUND, READ))
        for client in (*self.leaving, *self.clients):
            sock = client.socket
            if sock.closed:
                continue
            events = READ * sock.readable | WRITE * (sock.accepts != 0) | HANG_UP * sock.ended
            connection = self.tick._connections[sock.fileno()]
            wanted = events & connection.interest
            if wanted:
                ready.append((sock.fileno(), wanted))
        self.leaving = [each for each in self.leaving if not each.socket.closed]
        self.ticking = True
        try:
            self.tick.turn(ready)
        finally:
            self.ticking = False
        if self.crash is not None:
            raise self.crash
        self.look()

    @property
    def busy(self) -> bool:
        """Whether anything goes on, or is soon to be done."""
        return bool(
            self.syncer.waiting
            or self.syncer.finished
            or self.background.waiting
            or self.background.finished
            or self.tick._again
            or self.tick._woken
            or self.commits.sync_due is not None
        )

    def stop(self) -> None:
        """Stop in order, as the server does: finish what the threads have, then sync the rest."""
        self.tick.close()
        while self.background.waiting:
            self.background.run_one()
        while self.syncer.waiting:
            self.syncer.run_one()
        self.commits.sync_everything(self.syncer.collect())
        self.queues.close()

    # What the model learns.

    def written(self, batch: Batch) -> dict[Journal, int]:
        """Return the state of each queue of a batch that is written now."""
        return {journal: self.models[journal.queue].committed for journal, _ in batch.work}

    def note_synced(self, batch: Batch) -> None:
        """Take notice of what a batch has made safe."""
        begun = self.syncer.begun.pop(batch.ticket, {})
        for (journal, work), error in zip(batch.work, batch.errors, strict=True):
            if isinstance(work, Healing) or error is not None or journal.broken is not None:
                continue
            if journal in begun:
                model = self.models[journal.queue]
                model.synced = max(model.synced, begun[journal])

    def note_effect(self, name: bytes) -> None:
        """Take notice of a flush or a deletion."""
        self.effect.append((name, self.models[name].last))

    def look(self) -> None:
        """Compare what the server counts with the model, and read the replies."""
        for name, model in self.models.items():
            queue = self.queues.find(name)
            now = model.now
            if (queue is None) != (now is None):
                raise model.fail(f"it is there: {queue is not None}; expected {now}")
            if queue is not None and now is not None:
                counted = (queue.items, queue.bytes, queue.total_items)
                expected = (len(now.things), now.bytes, now.next_id - 1)
                if counted != expected:
                    raise model.fail(f"items, bytes, total: {counted} instead of {expected}")
        for client in self.clients:
            if client.socket.accepts is not None:
                continue
            for asked, told in client.replies():
                self._check(client, asked, told)
            if client.socket.closed:
                raise Violation(f"{client.peer} was dropped")

    def _check(self, client: SimulatedClient, asked: Asked, told: Told) -> None:
        """Check one reply."""
        kind = asked.kind
        effect = client.effects.popleft() if kind in ("delete", "flush", "flush_all") else []
        if told.failed:
            self.errors.append((asked, told.line))
            return
        if kind in ("set", "add"):
            if told.line == b"STORED":
                self._tell(asked.names[0], "put_at", asked.data)
        elif kind in ("get", "peek"):
            for key, flags, data in told.hits:
                name = key.partition(b"/")[0]
                if name not in asked.names or self.sent.get(data) != (name, flags):
                    raise Violation(f"{client.peer}: {asked} gave {key!r} {flags} {data!r}")
                if kind == "get":
                    self._tell(name, "removed_at", data)
            early = self.clock.monotonic < asked.asked_at + asked.wait
            if not told.hits and early and not self.commits.failures:
                raise Violation(f"{client.peer}: {asked} is over too early")
        elif (told.line != b"NOT_FOUND") != bool(effect) and kind == "delete":
            raise Violation(f"{client.peer}: {asked} is answered {told.line!r}, but did {effect}")
        for name, number in effect:
            self.models[name].tell(number, waits=self.shape.waits)

    def _tell(self, name: bytes, what: str, data: bytes) -> None:
        model = self.models[name]
        number = getattr(model, what).get(data)
        if number is None:
            raise model.fail(f"a client is told of {data!r}, which never happened")
        model.tell(number, waits=self.shape.waits)

    def found(self) -> dict[bytes, Found]:
        """Return what is in the journals, read from the disk without the queues' windows."""
        found: dict[bytes, Found] = {}
        for queue in self.queues.everything():
            ledger = queue.journal.ledger
            if ledger.deleted:
                continue
            items: list[Item] = []
            position = (0, 0)
            while True:
                reading = Reading(
                    self.disk,
                    queue.journal._place.salt,
                    ledger.segments,
                    position,
                    ledger.head - 1,
                    ledger.gone,
                    1 << 30,
                )
                reading.run()
                if reading.error is not None:
                    raise Violation(f"{queue.name!r} cannot be read: {reading.error}")
                items += reading.items
                position = reading.position
                if reading.at_end:
                    break
            state = State(
                ledger.next_id,
                tuple(Thing(each.id, each.data, each.flags, each.expiry_ms) for each in items),
            )
            if (len(items), state.bytes) != (ledger.items, ledger.bytes):
                raise Violation(f"{queue.name!r}: {ledger.items} items are counted: {state}")
            found[queue.name] = state
        return found

    # What a server has around its sessions.

    def _session(self, peer: str, wake: Callable[[], None]) -> Session:
        session = WatchedSession(self.queues, self.counters, self.policy, self, peer, wake)
        session.life = self
        session.client = self._joining
        return session

    def snapshot(self) -> stats.Snapshot:
        """Return the state of the whole."""
        return stats.Snapshot(
            uptime=0,
            time=self.clock.wall_ms // 1000,
            version=self.version,
            curr_connections=len(self.tick),
            max_connections=100,
            draining=False,
            fsyncs=self.commits.syncs,
            journal_failures=self.commits.failures,
            journals_healed=self.commits.healed,
            disk_full=int(self.spool.reserve.short),
            counters=self.counters,
            queues=self.queues.snapshot(),
        )

    def settings(self) -> Pairs:
        """Return the settings."""
        return []

    queue_settings = connections = settings

    def reset(self) -> None:
        """Count anew."""
        self.counters.reset()

    def shut_down(self) -> None:
        """Do nothing: no client may ask for it."""


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Have all queues watched, and nothing logged."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with patch.object(queue_collection, "PersistentQueue", WatchedQueue):
            yield
    finally:
        logging.disable(before)
