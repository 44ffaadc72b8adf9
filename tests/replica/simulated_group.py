"""A group of servers on a stream in memory, with disks, clients, kills and cuts of one seed.

Followers, owners, links, ticks and sessions are the server's own; threads, sockets, disks and time
are not. What is checked in each moment: nobody is told of a put that the stream does not have, an
owner that another one has followed falls silent, a dead follower's files were the owner's at the
moment that its position names. In the end: nothing that was told is lost, comes twice, or in
another order, all nodes have the same files, and the stream is not longer than it may be.
"""

import asyncio
import re
from collections import Counter, deque
from collections.abc import Callable
from random import Random
from typing import cast

import attrs

from starling_py.clock import Clock
from starling_py.journal.commit import Batch, GroupCommit, Syncer
from starling_py.journal.errors import SpoolError
from starling_py.replica import operations
from starling_py.replica.link import Group, Link
from starling_py.replica.operations import Operation
from starling_py.replica.outbox import Outbox
from starling_py.replica.position import FOLLOWS, STOPPED, Position, PositionFile
from starling_py.replica.shipped_commit import ShippedCommit
from starling_py.replica.stream import Entry
from starling_py.server.acceptor import Acceptor
from starling_py.server.budget import Budget
from starling_py.server.core import Core, Storage
from starling_py.server.readiness import HANG_UP, READ, WRITE, Ready
from starling_py.server.replicated import Told
from starling_py.server.threads import BackgroundThread, SyncThread
from starling_py.server.tick import Tick
from starling_py.session.client import Client as SessionClient
from starling_py.session.client import Policy
from starling_py.session.session import Session
from starling_py.stats import Counters
from tests.core import CoreHarness, ManualClock
from tests.journal.simulated_disk import ProcessKilled
from tests.journal.spool_harness import SPOOL, empty_disk
from tests.replica.shipping import Contents, shared
from tests.replica.simulated_stream import Line, SimulatedStream, Violation
from tests.simulation.clients import SimulatedSocket
from tests.simulation.threads import SYNC, SimulatedBackground, SimulatedReadiness

TAKEOVER = 1.0
BOUND = 12_000
SEGMENT = 1500
_ITEM = re.compile(rb"[jpo]\d\.\d{5}")


class Socket(SimulatedSocket):
    """A client's connection, which knows when and by whom something was sent last."""

    def __init__(self, descriptor: int, group: "SimulatedGroup") -> None:
        super().__init__(descriptor)
        self.group = group
        self.member: Member
        self.epoch = 0
        self.sent_at = 0.0
        self.changed = asyncio.Event()

    def send(self, data: bytes) -> int:
        self.sent_at = self.group.now()
        self.changed.set()
        return super().send(data)

    def close(self) -> None:
        super().close()
        self.changed.set()


class ShippedSyncer:
    """The sync thread of an owner: its batches wait for the stream, and so do their clients."""

    waits = gathers = True
    synced_at_once = False

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._waiting: deque[Batch] = deque()
        self._end: int | None = None
        self._has_run = False
        self._finished: list[Batch] = []

    def fileno(self) -> int:
        return SYNC

    def submit(self, batch: Batch) -> None:
        self._waiting.append(batch)
        self.look()

    def look(self) -> bool:
        """Go on as far as the stream's answers allow; return whether a batch is finished."""
        outbox = self._outbox
        while self._waiting:
            if self._end is None:
                self._end = outbox.want()
            if outbox.answered < self._end:
                if outbox.closed:
                    self._waiting.clear()  # what became of them will never be known
                break
            self._end = None
            if self._has_run:
                self._finished.append(self._waiting.popleft())
            else:
                self._waiting[0].run()
            self._has_run = not self._has_run
        return bool(self._finished)

    def collect(self) -> list[Batch]:
        finished, self._finished = self._finished, []
        return finished

    def close(self) -> list[Batch]:
        self.look()
        for each in self._waiting:
            each.run()
        return self.collect() + list(self._waiting)


@attrs.frozen
class ShippedThreads:
    syncer: ShippedSyncer
    background: SimulatedBackground = attrs.field(factory=SimulatedBackground)


class Serving:
    """What a member has while it is the owner."""

    def __init__(self, member: "Member") -> None:
        link = member.link
        self.clock = ManualClock()
        self.clock.monotonic = member.group.now()
        self.threads = ShippedThreads(ShippedSyncer(link._outbox))
        self.counters = Counters()

        def commits(interval: float | None, syncer: Syncer, clock: Clock) -> GroupCommit:
            return ShippedCommit(interval, syncer, clock, link)

        self.core = Core.open(
            Storage(SPOOL, 0.0, SEGMENT, 1 << 14),
            self.clock,
            link.shipped_files(),
            self.threads,
            make_commits=commits,
        )
        self.readiness = SimulatedReadiness()
        self.policy = Policy(1 << 20, True, False)
        self.tick = Tick(
            self.core.queues,
            self.core.commits,
            cast(SyncThread, self.threads.syncer),
            cast(BackgroundThread, self.threads.background),
            self.readiness,
            self.clock,
            self.counters,
            self._session,
            Acceptor((), self.readiness, 100, self.counters),
            Budget(1 << 24),
        )
        self.since = member.group.now()
        self.suspended = False
        self.sockets: list[Socket] = []

    def _session(self, peer: str, wake: Callable[[], None], _: str) -> Session:
        host = cast(CoreHarness, self)  # nobody asks for what a host tells
        return Session(
            SessionClient(self.core.queues, self.counters, self.policy, host, peer, wake)
        )

    def turn(self, now: float) -> None:
        """Do one turn for what is ready."""
        clock, background = self.clock, self.threads.background
        clock.wall_ms += round((now - clock.monotonic) * 1000)
        clock.monotonic = now
        ready: Ready = []
        if self.threads.syncer.look():
            ready.append((SYNC, READ))
        if background.waiting:
            background.run_one()
        if background.finished:
            ready.append((background.fileno(), READ))
        for sock in self.sockets:
            if not sock.closed:
                events = READ * sock.readable | WRITE | HANG_UP * sock.ended
                wanted = events & self.tick._connections[sock.fileno()].interest
                if wanted:
                    ready.append((sock.fileno(), wanted))
        self.sockets = [each for each in self.sockets if not each.closed]
        self.tick.turn(ready)


class Member:
    """One server of the group, over all its lives."""

    def __init__(self, group: "SimulatedGroup", name: str) -> None:
        self.group = group
        self.name = name
        self.disk = empty_disk()
        self.started = b"%-16d" % 0
        self.tasks: list[asyncio.Task[None]] = []
        self.serving: Serving | None = None
        self.line: Line
        self.link: Link
        self.thawed_at = 0.0
        self.epoch = 0
        self.told: Told

    @property
    def is_up(self) -> bool:
        return bool(self.tasks)

    @property
    def is_owner(self) -> bool:
        return self.is_up and self.serving is not None and self.link.phase == "owns"

    @property
    def is_settled(self) -> bool:
        """Whether it owns the stream, or follows and has all of it."""
        if not self.is_up or self.line.frozen:
            return False
        following = self.link._following
        follows = self.link.phase == "follows" and following is not None
        last = self.group.stream.last
        return self.is_owner or (
            follows and following is not None and following._follower.position.sequence >= last - 2
        )

    def start(self) -> None:
        group = self.group
        self.line = Line(group.stream, group.random, TAKEOVER / 2)
        self.line.lost, self.line.slow = group.lost, group.slow
        told = Group(self.name, TAKEOVER, BOUND)
        self.link = Link(lambda: self.line, told, self.disk, SPOOL, self.started, group.now)
        self.told = Told(self.link, group.now(), 5 * TAKEOVER)
        loop = asyncio.get_running_loop()
        self.tasks = [loop.create_task(self.link._main()), loop.create_task(self._live())]

    async def kill(self) -> None:
        """End the process in the middle of whatever it does."""
        if self.disk._lives_for is None or self.disk._lives_for > 0:
            self.disk.kill_process_after(0)
        self.line.dead = True
        tasks, self.tasks = self.tasks, []
        for each in tasks:
            each.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                error = task.exception()
                if error is not None and not isinstance(error, ProcessKilled):
                    raise error
        if self.serving is not None:
            for sock in self.serving.sockets:
                sock.close()
        self.serving = None
        self.disk = self.disk.for_next_process()
        self.check_files()

    def lose_power(self) -> None:
        """Lose what is not synced of a dead server; the system starts anew."""
        self.disk = self.disk.after_power_cut(self.group.random)
        self.started = b"%-16d" % (int(self.started) + 1)

    def wipe(self) -> None:
        """Lose the disk of a dead server."""
        self.disk = empty_disk()

    async def stop(self) -> None:
        """End in order."""
        self.link._hands_over = True
        if self.serving is not None:
            serving, self.serving = self.serving, None
            for sock in serving.sockets:
                sock.close()
            serving.tick.close()
            if self.link.phase == "owns":
                serving.core.close()
            else:
                serving.core.abandon()
        self.tasks[1].cancel()
        self.link._ends.set()
        main, live = self.tasks
        await asyncio.wait((main, live), timeout=5 * TAKEOVER)
        await self.kill()

    def check_files(self) -> None:
        """Expect a dead follower's files to be the owner's at the moment of its position."""
        position = PositionFile(self.disk, SPOOL, self.started).read()
        if position is None or position.state not in (FOLLOWS, STOPPED):
            return
        found, those = shared(self.disk), moments(self.group.stream, position)
        pairs = zip(those, [*those[1:], those[-1]], strict=True)
        if not any(is_between(found, before, after) for before, after in pairs):
            raise Violation(f"{self.name}: its files at {position} are the owner's at no moment")

    def connect(self, sock: Socket) -> bytes | None:
        """Take a client; return what it is told if it is not served, ``None`` if it waits."""
        if self.serving is not None and not self.serving.suspended and self.is_owner:
            sock.member, sock.epoch = self, self.link.epoch
            self.serving.tick.add(sock, f"client {sock.fileno()}")  # type: ignore[arg-type]
            self.serving.sockets.append(sock)
            return None
        sock.closed = True
        refusal = self.told.refusal()
        return b"" if refusal is None else f"SERVER_ERROR {refusal}\r\n".encode()

    async def _live(self) -> None:
        """Serve whenever the link says so, as ``Member`` in ``server/replicated.py`` does."""
        group, link = self.group, self.link
        while True:
            busy = self.serving is not None and bool(self.serving.sockets)
            await asyncio.sleep(group.random.uniform(0.001, 0.006) if busy else 0.02)
            if self.line.frozen:
                continue
            if self.disk._lives_for is not None and self.disk._lives_for <= 0:
                raise ProcessKilled
            if link.phase == "failed":
                raise Violation(f"{self.name}: {link.why}")
            serving = self.serving
            if link.phase == "elected":
                try:
                    self.serving = Serving(self)
                except SpoolError:
                    if not link.is_over:
                        raise
                    continue
                self.epoch = link.epoch
                link.serve()
            elif link.phase == "lost":
                if serving is not None and group.stream.claims[-1][1].epoch == self.epoch:
                    raise Violation(f"{self.name}: it gave up, and nobody else is the owner")
                if serving is not None:
                    serving.tick.close()
                    serving.core.abandon()
                self.serving = None
                self.told = Told(link, group.now(), 5 * TAKEOVER)
                link.leave()
                link._left.set()
            elif link.phase == "owns" and serving is not None:
                if link.is_stalled and not serving.suspended:
                    serving.tick.suspend()
                    serving.suspended = True
                    self.told = Told(link, group.now(), 3 * TAKEOVER)
                elif serving.suspended and not link.is_stalled:
                    serving.tick.resume()
                    serving.suspended = False
                serving.turn(group.now())
                if serving.core.commits.failures:
                    raise Violation(f"{self.name}: something was taken for a failure of its files")
                if group.random.random() < 0.02:
                    serving.core.queues.keep_house()


class Replay:
    """The files that the stream tells of, made by other code than the follower's."""

    def __init__(self) -> None:
        self.files: dict[str, bytearray] = {}

    def apply(self, each: Operation) -> None:
        files, kind, path = self.files, each.kind, each.path
        if kind == operations.CREATED:
            files[path] = bytearray()
        elif kind == operations.WROTE:
            data = files.get(path)
            if data is not None:
                data.extend(bytes(max(0, each.offset - len(data))))
                data[each.offset : each.offset + len(each.data)] = each.data
        elif kind == operations.CUT:
            del files[path][each.offset :]
        elif kind == operations.LINKED:
            files.setdefault(each.new_path, files[path])
        elif kind == operations.REMOVED:
            files.pop(path, None)
        elif kind == operations.RENAMED:
            moved = {path, *(each for each in files if each.startswith(f"{path}/"))}
            for name in sorted(moved & files.keys()):
                files[each.new_path + name.removeprefix(path)] = files.pop(name)

    def contents(self) -> Contents:
        return {f"{SPOOL}/{path}": bytes(data) for path, data in self.files.items()}


def contents_of(stream: SimulatedStream) -> Contents:
    """Return the files that a stream tells of."""
    replay = Replay()
    for _, changes in stream.log():
        for each in changes:
            replay.apply(each)
    return replay.contents()


def moments(stream: SimulatedStream, position: Position) -> list[Contents]:
    """Return what a node's files may be that has come so far and died in the next message."""
    replay = Replay()
    for sequence, changes in stream.log():
        if sequence > position.sequence:
            found = []
            for at, each in enumerate(changes):
                if at >= position.done:
                    found.append(replay.contents())
                replay.apply(each)
            return [*found, replay.contents()]
        for each in changes:
            replay.apply(each)
    return [replay.contents()]


def is_between(found: Contents, before: Contents, after: Contents) -> bool:
    """Tell whether files are those of a moment, but for a part of the write that comes next."""
    different = [path for path in before if found.get(path) != before[path]]
    if found.keys() != before.keys() or len(different) > 1:
        return False
    return all(
        found[path].startswith(before[path]) and after.get(path, b"").startswith(found[path])
        for path in different
    )


@attrs.define
class Promises:
    """What the clients were told."""

    stored: list[bytes] = attrs.field(factory=list)
    taken: list[bytes] = attrs.field(factory=list)
    confirmed: set[bytes] = attrs.field(factory=set)
    unknown: dict[bytes, int] = attrs.field(factory=dict)
    """Takes without an answer, by queue: each may have cost an item."""
    given_up: set[bytes] = attrs.field(factory=set)
    """Items whose puts had no outcome."""


class SimulatedGroup:
    """Everything, and what is known of it."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now = asyncio.get_running_loop().time
        self.stream = SimulatedStream(self.now)
        self.stream.on_log = self._note_log
        self.lost = self.random.choice((0.0, 0.0, 0.02, 0.1))
        self.slow = self.random.choice((0.001, 0.003, 0.03))
        self.members = [Member(self, f"m{at}") for at in range(self.random.choice((2, 2, 3)))]
        self.promises = Promises()
        self.descriptors = 10
        self.drains = False
        """Whether no more is put."""
        self.quiet = False
        self.seen: Counter[str] = Counter()
        """How often each of what may happen to it did."""

    def _note_log(self, entry: Entry) -> None:
        for each in operations.decode(entry.data)[1]:
            for item in _ITEM.findall(each.data):
                self.stream.told.setdefault(item, self.now())

    def owner(self) -> Member | None:
        """Return who serves by the latest claim."""
        claims = self.stream.claims
        return next(
            (
                each
                for each in self.members
                if each.is_owner and claims and each.link.epoch == claims[-1][1].epoch
            ),
            None,
        )

    def check_told(self, sock: Socket, asked: bytes, reply: bytes) -> None:
        """Check a reply, by the moment in which it was sent."""
        member = sock.member
        if reply == b"STORED\r\n":
            item = asked.split(b"\r\n")[1].strip()
            if item not in self.stream.told:
                raise Violation(f"{member.name}: {item!r} is told as stored; the stream lacks it")
        later = [at for at, claim in self.stream.claims if claim.epoch > sock.epoch]
        if not later or reply.startswith(b"SERVER_ERROR"):
            return
        if sock.sent_at > max(min(later) + 1.5 * TAKEOVER, member.thawed_at + 0.5 * TAKEOVER):
            raise Violation(f"{member.name}: it still answers {asked!r}, and is the owner no more")
