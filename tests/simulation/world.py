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
from collections.abc import Callable, Iterator, Sequence
from typing import cast

import attrs

from starling_py import stats
from starling_py.clock import Clock
from starling_py.journal.commit import Batch, GroupCommit, Syncer
from starling_py.journal.directory_names import queue_name
from starling_py.journal.errors import JournalError, SpoolError
from starling_py.journal.healing import Healing
from starling_py.journal.journal import Journal
from starling_py.journal.spool import Spool
from starling_py.protocol import operations
from starling_py.queues.changes import Changes
from starling_py.queues.errors import NotLoaded
from starling_py.queues.open_reads import ReadHolder
from starling_py.queues.queue_collection import QueueCollection
from starling_py.queues.queue_directory import Rules
from starling_py.queues.traffic import Move
from starling_py.queues.window import WindowSizes
from starling_py.server.acceptor import Acceptor
from starling_py.server.budget import Budget
from starling_py.server.core import Core, Storage
from starling_py.server.readiness import HANG_UP, READ, WRITE, Ready
from starling_py.server.threads import BackgroundThread, SyncThread
from starling_py.session.client import Client, Policy
from starling_py.session.consumers import told_of
from starling_py.session.permission import Permission
from starling_py.session.session import Session
from starling_py.settings.queue_table import QueueTable
from starling_py.settings.routes import Routes
from starling_py.stats import Counters, Pairs
from tests.core import ManualClock
from tests.journal.simulated_disk import SimulatedDisk
from tests.simulation.clients import Asked, Entry, SimulatedClient, Told
from tests.simulation.model import Found, QueueModel, Thing, Violation
from tests.simulation.recovery import found_in
from tests.simulation.rights import USERS, check_permitted, sees
from tests.simulation.threads import (
    BACKGROUND,
    SYNC,
    SimulatedBackground,
    SimulatedReadiness,
    SimulatedSyncer,
    SimulatedThreads,
)
from tests.simulation.watched_queues import PutWatch, WatchedQueues
from tests.simulation.watched_session import (
    WatchedClient,
    WatchedCommits,
    WatchedGuard,
    WatchedGuardedSession,
    WatchedSession,
    WatchedTick,
)
from tests.simulation.watcher import Watcher

SPOOL = "/spool"
NAMES = (b"jobs", b"Other", b"a+b", b"jobs+x", b"dead", b"dead+y")
FIRST_CLIENT = 10
TIGHT = 1500
"""Bytes of memory for clients with which some are not read from, or closed, to keep within it."""


@attrs.frozen
class Shape:
    """The settings of a server."""

    interval: float | None
    segment_size: int
    window_size: int
    open_files: int = 256
    log_size: int = 0
    """Bytes of each file of the log; 0 for none."""
    entries: dict[str, dict[str, object]] = attrs.field(factory=dict)
    """The settings of queues."""
    routes: dict[str, list[str]] = attrs.field(factory=dict)
    at_once: bool = False
    """Whether the disk is so quick that the tick syncs by itself."""
    together: int = 32
    """Journals from which on they are synced with one call for the file system."""
    slice: float = float("inf")
    """Seconds of long work in one go; each look at the clock takes 0.001."""
    at_once_steps: int = 64
    """Steps that each command may do at once."""

    memory: int = 1 << 28
    """Bytes that all clients may make the server hold."""

    @property
    def waits(self) -> bool:
        """Whether replies wait for syncs."""
        return self.interval == 0

    def storage(self, rules: Rules) -> Storage:
        """Return what the core has to know."""
        return Storage(
            SPOOL,
            self.interval,
            self.segment_size,
            self.window_size,
            rules=rules,
            open_files=self.open_files,
            log_size=self.log_size,
            log_worth=1,
            together=self.together,
        )

    def rules(self, paused: frozenset[str] = frozenset()) -> Rules:
        """Return the rules of the queues, some of which may be paused."""
        entries = dict(self.entries)
        for name in sorted(paused):
            entries[name] = {**entries.get(name, {}), "paused": True}
        return Rules(QueueTable(entries), Routes(self.routes))


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
        paused: frozenset[str] = frozenset(),
    ) -> None:
        """Start. Raises what a start raises."""
        self.disk = disk
        self.clock = clock
        self.shape = shape
        self.models = models
        self.sent = sent
        """Which queue and flags each item was sent with, by its data."""
        self.current: WatchedClient | None = None
        """Whose command is executed."""
        self.put: PutWatch | None = None
        """The put that a command has begun."""
        self._begun: dict[int, dict[Journal, int]] = {}
        """What was written when each batch was begun: the number of each queue's state."""
        self.movers: dict[tuple[bytes, int], Entry] = {}
        """The commands that items are moved for, by their queues and ids."""
        self.lease: float | None = None
        """Which lease the present read asks for."""
        self.ran_ms = clock.wall_ms
        """When it was last looked at what is due."""
        self.go_by(shape.rules(paused))
        self.crash: BaseException | None = None
        self.counters = Counters()
        self.policy = Policy(1 << 20, True, False, permission=Permission(admin=True))
        self.readers_of: dict[ReadHolder, WatchedClient] = {}
        self.threads = SimulatedThreads(
            SimulatedSyncer(waits=shape.waits, at_once=shape.at_once), SimulatedBackground()
        )
        self.syncer, self.background = self.threads.syncer, self.threads.background
        self.commits: WatchedCommits
        self.queues: WatchedQueues
        self.core = Core.open(
            shape.storage(self.rules),
            clock,
            disk,
            self.threads,
            make_commits=self._make_commits,
            make_queues=self._make_queues,
        )
        assert isinstance(self.core.queues, WatchedQueues)
        self.queues = self.core.queues
        self.watcher = Watcher(self.queues.changes)
        self.queues.slices.allowance = shape.slice
        self.queues.slices.at_once = shape.at_once_steps
        self.sliced = shape.slice < float("inf")
        """Whether long work is spread over several turns."""
        self.spool = self.core.spool
        self.spool.snapshots.piece = 1
        self.readiness = SimulatedReadiness()
        self.tick = WatchedTick(
            self.queues,
            self.commits,
            cast(SyncThread, self.syncer),
            cast(BackgroundThread, self.background),
            self.readiness,
            clock,
            self.counters,
            self._session,
            Acceptor((), self.readiness, 100, self.counters),
            Budget(shape.memory),
        )
        self.tick.life = self
        self.clients: list[SimulatedClient] = []
        self.leaving: list[SimulatedClient] = []
        self._joining: SimulatedClient
        self._descriptors = FIRST_CLIENT
        self.ticking = False
        self.robbed = False
        """Whether somebody else removes files of the spool."""
        self.refused_removals: list[bytes] = []
        """Queues whose commit failed though nothing was put."""
        self.errors: list[tuple[Asked, bytes]] = []
        """What was answered ``SERVER_ERROR`` since this was last looked at."""
        if self.spool.refused:
            self._put_right()

    def _put_right(self) -> None:
        """Have the queues read again that the start could not read, as its disk failed.

        One failure is one queue's trouble, and a refused queue refuses. Raises ``SpoolError`` if
        some are refused for another reason, as the disk is full or the files are damaged.
        """
        disk, refused = self.disk, self.spool.refused
        fault = disk.fault
        if fault is None or not fault.struck:
            raise SpoolError("; ".join(refused.values()))
        # Where nothing is ever synced, a power cut may have damaged some as well.
        sound = disk.room is None and self.shape.interval is not None
        if len(refused) > 1 and not fault.lasting and sound:
            raise Violation(f"one failure, {fault.where}, and all of these are refused: {refused}")
        for entry in refused:
            name = queue_name(entry)
            assert name is not None
            queue = self.queues.directory.find(name)
            if queue is None:
                raise Violation(f"{name!r} is refused, and looks as if it did not exist")
            for operation in (queue.journal.recorder.check, queue.waiting.first):
                with contextlib.suppress(JournalError):
                    operation()
                    raise Violation(f"{name!r} is refused, and does what it is asked")
        disk.fault = None
        self.queues.reload(self.rules)
        disk.fault = fault
        if refused and sound:
            raise Violation(f"still refused: {refused}")
        if refused:
            raise SpoolError("; ".join(refused.values()))

    def _crashed(self) -> None:
        self.crash = self.crash or sys.exception()

    def _make_commits(self, interval: float | None, syncer: Syncer, clock: Clock) -> GroupCommit:
        self.commits = WatchedCommits(interval, syncer, clock)
        self.commits.life = self
        self.commits.guard = guard = WatchedGuard()
        guard.life = self
        return self.commits

    def _make_queues(
        self, spool: Spool, clock: Clock, sizes: WindowSizes, rules: Rules
    ) -> QueueCollection:
        return WatchedQueues(self, spool, clock, sizes, rules)

    # What happens to the server.

    def connect(self, user: str = "") -> SimulatedClient:
        """Let another client in, as a user if one is named."""
        self._descriptors += 1
        client = SimulatedClient(self._descriptors, user)
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
        if self.shape.waits:
            ready, self.readiness.late = ready[::2], ready[1::2]
        self._turn(ready)
        late = self.readiness.ready()
        if late:
            self._turn(late)
        self.look()

    def _turn(self, ready: Ready) -> None:
        self.ticking = True
        try:
            self.tick.turn(ready)
        finally:
            self.ticking = False
        if self.crash is not None:
            raise self.crash

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
            or self.tick._cut_short
            or len(self.queues.slices.line) > self.queues.is_stuck
            or self.commits.sync_due is not None
            or self.commits.touched
        )

    def stop(self) -> None:
        """Stop in order, as the server does."""
        self.tick.close()
        self.core.close()

    # What the model learns.

    def go_by(self, rules: Rules) -> None:
        """Go by the rules of the queues from now on."""
        self.rules = rules
        for name, model in self.models.items():
            model.settings = rules.table.resolve(name)

    def note_begun(self, batch: Batch) -> None:
        """Note what is written when a batch is begun."""
        states = {journal: self.models[journal.queue].committed for journal, _ in batch.work}
        self._begun[batch.ticket] = states

    def note_synced(self, batch: Batch) -> None:
        """Note what a batch has made safe."""
        begun = self._begun.pop(batch.ticket)
        for (journal, work), error in zip(batch.work, batch.errors, strict=True):
            if isinstance(work, Healing) or error is not None or journal.broken is not None:
                continue
            if journal in begun:
                model = self.models[journal.queue]
                model.synced = max(model.synced, begun[journal])

    def session_of(self, holder: ReadHolder | None) -> WatchedClient | None:
        """Return the client that holds what it has open in a holder."""
        return None if holder is None else self.readers_of[holder]

    def moves(self, name: bytes, move: Move, thing: Thing) -> bool:
        """Note an item that is moved by hand; tell whether a client has asked for it."""
        session = self.current
        asked = None if session is None else session.command
        if session is None or not isinstance(asked, operations.Move) or asked.key != name:
            return False
        if session.user and not USERS[session.user].may_put(move.target):
            raise Violation(f"{session.user} moves an item to {move.target!r}")
        session.entry.moved.append((name, thing.id))
        self.movers[name, thing.id] = session.entry
        source = None if thing.origin is None else thing.origin.source
        return move.target == (source if asked.target is None else asked.target)

    def was_put(self, name: bytes, thing: Thing, number: int) -> None:
        """Note an item that was put, by a client or because it is moved."""
        if self.put is None:
            return
        self.put.numbers[name] = number
        due_ms, front = self.put.marks
        if due_ms <= self.clock.wall_ms:
            due_ms = 0  # it has taken so long
        if (thing.due_ms, thing.front) != (due_ms, front):
            raise Violation(f"{self.put} became {thing}")

    def check_snapshot(self, told: stats.QueueSnapshot) -> None:
        """Check the statistics of a queue."""
        model = self.models[told.name]
        waiting = sum(1 for _ in model.waiting)
        assert model.now is not None
        expected = (waiting, model.now.bytes, model.now.total, len(model.open))
        counted = (told.items, told.bytes, told.total_items, told.open_transactions)
        if counted != expected:
            raise model.fail(f"items, bytes, total, open: {counted} instead of {expected}")
        queue = self.queues.directory.find(told.name)
        assert queue is not None
        items = queue.waiting
        behind = items.window.behind or bool(items.missing)
        if items.oldest_to_come() is None and not (items.unreadable or queue.journal.refused):
            model.check_age(told.age, self.clock.wall_ms, self.ran_ms)
        model.check_delayed(told.delayed, self.clock.wall_ms, self.ran_ms, behind=behind)

    def look(self) -> None:
        """Compare what the server counts with the model, and read the replies."""
        if wrong := self.watcher.differs(self.queues):
            raise Violation(f"a monitor was not told: {wrong}")
        if self.commits.lost_files and not self.robbed:
            raise Violation("files are said to be lost, and nobody has removed any")
        for name, model in self.models.items():
            queue = self.queues.directory.find(name)
            now = model.now
            if (queue is None) != (now is None):
                raise model.fail(f"it is there: {queue is not None}; expected {now}")
            if queue is not None and now is not None:
                counted = (queue.items, queue.bytes, queue.total_items)
                expected = (len(now.things), now.bytes, now.total)
                if counted != expected:
                    raise model.fail(f"items, bytes, total: {counted} instead of {expected}")
                is_open = {read.item.id for read in queue.open_reads}
                if is_open != set(model.open):
                    raise model.fail(f"{is_open} are open instead of {set(model.open)}")
                if queue.quarantined_items:
                    raise model.fail(f"{queue.quarantined_items} items are said to be lost")
                if set(queue.traffic.leaving) != set(model.leaving):
                    raise model.fail(f"{set(queue.traffic.leaving)} leave, not {model.leaving}")
        for client in list(self.clients):
            if client.socket.closed and self.shape.memory <= TIGHT:
                self.clients.remove(client)  # it held too much for too long
                continue
            if client.socket.accepts is not None:
                continue
            for asked, told in client.replies():
                self._check(client, asked, told)
            if client.socket.closed and self.shape.memory > TIGHT:
                raise Violation(f"{client.peer} was dropped")

    def _check(self, client: SimulatedClient, asked: Asked, told: Told) -> None:
        """Check one reply, or the next part of one."""
        entry = client.entries[0]
        if told.whole:
            client.entries.popleft()
        if check_permitted(client, asked, told.line):
            if entry.did or entry.puts or entry.hits or entry.stored or told.hits:
                raise Violation(f"{client.peer}: {asked} was not permitted, and did {entry}")
            return
        self._check_sight(client, told)
        if asked.kind == "look" and not told.failed:
            (name,), looked = asked.names, [hit[1:] for hit in told.hits]
            since = entry.begun[name]
            self.models[name].check_looked_at(asked.first, looked, since, self.clock.wall_ms)
            return
        for key, flags, data in told.hits:
            name = key.partition(b"/")[0]
            if name not in asked.names or self.sent[data][1] != flags:
                raise Violation(f"{client.peer}: {asked} gave {key!r} {flags} {data!r}")
            number = entry.take_hit(name, data, self.models[name].is_undone)
            if number is not None:
                self._tell(name, number)
        entry.failed = entry.failed or told.failed
        if told.failed:
            self.errors.append((asked, told.line))
            if told.hits and not (entry.did or entry.buries):
                raise Violation(f"{client.peer}: {asked} gave items, then failed: {told}")
            return
        if told.line.startswith(b"CLIENT_ERROR") and (entry.did or entry.puts or told.hits):
            raise Violation(f"{client.peer}: {asked} was refused, and did {entry}")
        early = self.clock.monotonic < asked.asked_at + asked.wait and not self.commits.failures
        if told.line == b"STORED":
            if not entry.stored:
                raise Violation(f"{client.peer}: {asked} is told of what never happened")
            for name, number in entry.puts:
                self._tell(name, number, sync=asked.sync)
        elif entry.stored and told.whole and not self.commits.failures:
            raise Violation(f"{client.peer}: {asked} was stored, and told {told.line!r}")
        if early and told.line in (b"NOT_STORED", b"END") and not told.hits and not entry.given:
            raise Violation(f"{client.peer}: {asked} is over too early")
        if asked.kind == "get" and asked.most and len(told.hits) > asked.most:
            raise Violation(f"{client.peer}: {asked} gave {told.hits}")
        if asked.kind == "browse" and told.line == b"END":
            (name,) = asked.names
            since = entry.begun[name]
            self.models[name].check_listed(told.listed, since, asked.first, asked.most)
        if told.line.startswith(b"MOVED "):
            self._check_moved(entry, int(told.line.split()[1]))
        if asked.kind in ("delete", "drop") and (told.line != b"NOT_FOUND") != bool(entry.did):
            raise Violation(f"{client.peer}: {asked} is answered {told.line!r}, but did {entry}")
        if asked.kind == "get" and told.whole and entry.unread and not entry.makes_do:
            raise Violation(f"{client.peer}: {asked} was told that {entry.unread} are empty")
        if told.whole and not entry.failed and asked.kind != "monitor":
            for name, number in entry.did:
                self._tell(name, number)
            if not self.commits.failures and any(number is not None for *_, number in entry.hits):
                raise Violation(f"{client.peer}: {asked} was not given {entry.hits}")

    def _check_sight(self, client: SimulatedClient, told: Told) -> None:
        """Check that a user is told of no queue that it may not know of."""
        hidden = [name for name in NAMES if not sees(client.user, name)]
        named = any(stat.startswith(b"queue_%b_" % name) for stat in told.stats for name in hidden)
        if named or set(told.origins) & set(hidden):
            raise Violation(f"{client.peer}: {client.user} is told of {told}")

    def _check_moved(self, entry: Entry, told: int) -> None:
        """Check that as many items as a client is told of have left for good."""
        left = 0
        # An item whose put is undone is gone before it has left; another one may get its id.
        for name, item_id in dict.fromkeys(entry.moved):
            model = self.models[name]
            number = model.left.get(item_id, (None,))[0]
            if number is not None and not model.is_undone(number):
                left += 1
                waits = self.shape.interval is not None and model.settings.journal
                model.tell(number, waits=waits)
        if left != told:
            raise Violation(f"{told} are told as moved; {left} of {entry.moved} are gone")

    def _tell(self, name: bytes, number: int, *, sync: bool = False) -> None:
        model = self.models[name]
        waits = self.shape.waits or (sync and self.shape.interval is not None)
        model.tell(number, waits=waits and model.settings.journal)

    def found(self) -> dict[bytes, Found]:
        """Return what is in the journals, read from the disk without the queues' windows."""
        return found_in(self.disk, self.queues.everything())

    # What a server has around its sessions.

    def _session(self, peer: str, wake: Callable[[], None], _: str) -> Session:
        client = WatchedClient(self.queues, self.counters, self.policy, self, peer, wake)
        client.life = self
        client.simulated = self._joining
        self.readers_of[client.holder] = client
        return WatchedGuardedSession(client) if self._joining.user else WatchedSession(client)

    def snapshot(self) -> stats.Snapshot:
        """Return the state of the whole."""
        return stats.Snapshot(
            pid=1,
            rusage_user=0.0,
            rusage_system=0.0,
            uptime=0,
            time=self.clock.wall_ms // 1000,
            version=self.version,
            curr_connections=len(self.tick.connections),
            max_connections=100,
            limit_maxbytes=1 << 30,
            draining=self.draining,
            fsyncs=self.commits.syncs,
            journal_failures=self.commits.failures,
            journals_healed=self.commits.healed,
            files_lost=self.commits.lost_files,
            disk_full=int(self.spool.reserve.short),
            disk_low=0,
            memory_high=0,
            log_lines_dropped=0,
            log_lines_held_back=0,
            refused_queues=0,
            counters=self.counters,
        )

    def queue_snapshot(self, name: bytes) -> stats.QueueSnapshot | None:
        """Return one queue's numbers."""
        return self.queues.queue_snapshot(name)

    def to_be_loaded(self, name: bytes) -> NotLoaded | None:
        """Return the signal if the age of a queue's oldest item is not known yet."""
        return self.queues.to_be_loaded(name)

    def queue_names(self) -> list[bytes]:
        """Return the names of all queues."""
        return self.queues.names()

    @property
    def changes(self) -> Changes:
        """Which queues have changed."""
        return self.queues.changes

    def queue_size(self, name: bytes) -> tuple[int, int]:
        """Return a queue's items and bytes."""
        return self.queues.size(name)

    def settings(self) -> Pairs:
        """Return the settings."""
        return []

    connections = settings

    def queue_settings(self, name: bytes) -> Pairs:
        """Return the settings of a queue."""
        return self.settings()

    readers = queue_settings

    def consumers(self, name: bytes) -> Iterator[Pairs]:
        """Return who takes from a queue, as the server does."""
        for each in list(self.tick.connections):
            pairs = [] if each.dropped else told_of(each.client, name, 0, self.clock.monotonic)
            if not each.dropped:
                self._check_consumer(each.client, name, dict(pairs))
            yield pairs

    def _check_consumer(self, client: Client, name: bytes, told: dict[bytes, bytes]) -> None:
        """Check what is told of a client that takes from a queue, or does not."""
        assert isinstance(client, WatchedClient)
        model, taken = self.models[name], client.taken[name]
        # What it was given when its wait was over is counted when its turn comes.
        counted = range(taken - (client.next is not None), taken + 1)
        waits = self.queues.waits(client.holder, name)
        right = {
            b"0:addr": (f"tcp:{client.peer}".replace(" ", "_").encode(),),
            b"0:name": (client.called,),
            b"0:takes": tuple(b"%d" % each for each in counted),
            b"0:open_reads": (b"%d" % model.count(client.reader),),
            b"0:waits": (b"%d" % waits,),
        }
        if not told:
            told = {b"0:takes": b"0", b"0:open_reads": b"0", b"0:waits": b"0"}
        wrong = [key for key in right.keys() & told.keys() if told[key] not in right[key]]
        if wrong:
            raise model.fail(f"{told} of a consumer for whom {wrong} should be {right}")

    @property
    def draining(self) -> bool:
        """Whether no puts are accepted."""
        return self.queues.directory.limits.draining

    def drain(self, *, on: bool) -> None:
        """Take no items, or take them again."""
        self.queues.drain(on=on)

    def reload(self) -> str | None:
        """Do nothing: no client may ask for it."""
        return None

    unapplied: Sequence[str] = ()

    def reset(self) -> None:
        """Count anew."""
        self.counters.reset()

    def shut_down(self) -> None:
        """Do nothing: no client may ask for it."""


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Have nothing logged."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
