"""The tick: each turn accepts, reads every ready client once, executes, commits and replies.

A turn is a transaction: if the server dies before the commit, no client was told anything. Every
reply waits for the commit that it depends on, and under ``sync: always`` for the sync that makes
that commit safe. Nothing in a turn waits for a socket or for a thread. One trio task runs all
turns; it gives way to trio's other tasks at bounded intervals, also when it is always busy. No
error ends a turn: it costs the client that it was met for its connection, or is told to the guard.
What clients make the server hold goes by the budget.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

import trio
from mypy_extensions import mypyc_attr

from starling_py.clock import Clock
from starling_py.guard import Guard
from starling_py.journal.commit import GroupCommit
from starling_py.queues.queue_collection import QueueCollection
from starling_py.server.acceptor import Acceptor
from starling_py.server.budget import Budget
from starling_py.server.connection import READ_SIZE, Connection, Stream
from starling_py.server.connections import Connections
from starling_py.server.handshakes import Handshakes
from starling_py.server.idle_wait import IdleWait
from starling_py.server.readiness import HANG_UP, READ, WRITE, Readiness, Ready
from starling_py.server.threads import BackgroundThread, SyncThread
from starling_py.server.turn_times import TurnTimes
from starling_py.session.session import Session
from starling_py.stats import Counters

log = logging.getLogger(__name__)

GIVE_WAY: Final = 0.005
"""Seconds after which trio's other tasks get a turn, also when the server is busy."""
GATHER: Final = 4
"""Times that a turn looks for more commands before it commits, where replies wait for a sync."""
READ_AT_ONCE: Final = 16
"""A turn reads from all clients together this part of the budget, about: what is read in a turn is
only counted at its end."""
READ_LEAST: Final = 1 << 12
"""The most bytes that it reads from each of the others beyond that."""
LARGE: Final = 1 << 16
"""Bytes of replies to one client that count at once, and not only when they have been sent."""
MADE_AT_ONCE: Final = 1 << 22
"""Bytes of such replies that one turn makes, about: to send a megabyte takes a millisecond."""
PAUSE: Final = 0.05
"""Seconds until the next turn after one that failed for a reason that nobody foresaw."""
MANY: Final = 8
"""Journals in one commit of which it is measured how long they take."""

Received = tuple[Connection, bytes]
"""What a client has sent; nothing for one whose session is to go on."""
MakeSession = Callable[[str, Callable[[], None], str], Session]
"""Makes a session from the client's address, a function that wakes it, when a wait is over, and the
name in its certificate."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Tick:
    """All connections of a server and the work on them."""

    def __init__(
        self,
        queues: QueueCollection,
        commits: GroupCommit,
        syncer: SyncThread,
        background: BackgroundThread,
        readiness: Readiness,
        clock: Clock,
        counters: Counters,
        make_session: MakeSession,
        acceptor: Acceptor,
        budget: Budget,
        handshakes: Handshakes | None = None,
    ) -> None:
        """``handshakes`` has those that shake hands first, if anybody does."""
        self._handshakes = handshakes
        self._is_guarded = False
        """Whether clients have to say who they are."""
        self._queues = queues
        self._commits = commits
        self._guard: Guard = commits.guard
        self._budget = budget
        self._read_at_once = budget.limit // READ_AT_ONCE
        self._made = 0
        """Bytes of large replies that were made in this turn."""
        self._syncer = syncer
        self._background = background
        self._readiness = readiness
        self._idle_wait = IdleWait(readiness)
        self._clock = clock
        self._counters = counters
        self._make_session = make_session
        self._acceptor = acceptor
        self.connections = Connections(
            readiness, clock, counters, self._guard, budget, acceptor.max_connections
        )
        self._connections = self.connections.by_descriptor
        self._touched: dict[Connection, None] = {}
        """Those that may have something to be sent at the end of the turn."""
        self._again: OrderedDict[Connection, None] = OrderedDict()
        """Those whose sessions have more to do, in line: each turn does as much as it may."""
        self._held: list[Connection] = []
        """Those whose output waits for a sync."""
        self._woken: list[Connection] = []
        """Those whose waits are over, in the order in which that happened."""
        self._cut_short = False
        """Whether there may be room left that nobody who waits for it was offered."""
        self.turns = 0
        """How many turns have come to their end."""
        self._stop_at: float | None = None
        """When the grace time is over, on the monotonic clock; ``None`` while not stopping."""
        self._nap = trio.CancelScope()
        self._gave_way = 0.0
        """When trio's other tasks had their last turn."""
        self.turned = clock.monotonic
        """When the latest turn began, on the monotonic clock."""
        self.times: TurnTimes | None = None
        """Counts how long turns take, if anybody asks for that."""
        readiness.register(syncer.fileno(), READ)
        readiness.register(background.fileno(), READ)

    def add(self, sock: Stream, peer: str, name: str = "") -> Connection:
        """Serve a client on a non-blocking socket; ``name`` is what its certificate says."""
        session = self._make_session(peer, lambda: self._woken.append(connection), name)
        if not session.admitted:
            self._is_guarded = True
        connection = self.connections.add(sock, session)
        return connection

    async def run(self) -> None:
        """Serve until ``drain`` was called and all clients are gone or the grace time is over."""
        self._gave_way = self._clock.monotonic
        ready: Ready = []
        failed = False
        while True:
            try:
                if failed:
                    # Not at once: what failed may fail again.
                    failed = False
                    await trio.sleep(PAUSE)
                ready = await self._next(ready)
                self.turn(ready)
                if self._stop_at is not None and self._drained(self._stop_at):
                    return
            except Exception as defect:
                # What is left is done in the next turn.
                self._guard.caught("a turn")
                failed = True
                if isinstance(defect, MemoryError):
                    self.connections.relieve()

    async def _next(self, before: Ready) -> Ready:
        """Return what is ready, when there is something to do; ``before``: what was ready last."""
        clock = self._clock
        # There may be work though no socket is ready and nothing is due: a client that is
        # dropped gives its open items back, and others may have waited for them.
        commits = self._commits
        to_commit = commits.touched and not commits.must_wait
        slices = self._queues.slices
        unfinished = bool(self._again or self._woken or self._cut_short or to_commit or slices.line)
        stay = before and not unfinished
        ready = self._idle_wait.wait() if stay else self._readiness.ready()
        if ready or unfinished:
            if clock.monotonic - self._gave_way > GIVE_WAY:
                self._gave_way = clock.monotonic
                await trio.lowlevel.checkpoint()
        else:
            await self._wait()
            ready = self._readiness.ready()
            self._gave_way = clock.monotonic
        if self._stop_at is not None:
            # Every client is read from, so that none is dropped with something unread.
            ready = [*ready, *((descriptor, READ | WRITE) for descriptor in self._connections)]
            self._touched.update(dict.fromkeys(self._connections.values()))
        return ready

    def nudge(self) -> None:
        """Wake the loop: the queues were changed outside of a turn, and clients may wait for that.

        Signals and housekeeping do so.
        """
        self._nap.cancel()

    async def _wait(self) -> None:
        """Wait until a socket is ready or something is due."""
        due = [
            moment
            for moment in (
                self._queues.due,
                self._commits.sync_due,
                self._acceptor.rests_until,
                self._stop_at,
            )
            if moment is not None
        ]
        self._clock.refresh()
        seconds = max(0.0, min(due) - self._clock.monotonic) if due else float("inf")
        with trio.move_on_after(seconds) as self._nap:
            await trio.lowlevel.wait_readable(self._readiness.fileno())

    def turn(self, ready: Ready) -> None:
        """Do one turn's work for what is ready. Why in this order: see docs/architecture.md."""
        self._clock.refresh()
        self.turned = self._clock.monotonic
        self._made = 0
        if self._acceptor.rests_until is not None:
            self._acceptor.go_on(self._clock.monotonic)
        received = self._read(ready)
        self._queues.slices.begin()
        if self._again:
            self._go_on()
        self._execute(received)
        if self._syncer.gathers:
            self._gather()
        try:
            self._queues.run_due()
            if self._stop_at is not None:
                self._queues.end_all_waits()
        except Exception:
            self._guard.caught("what was due")
        self._finish()
        try:
            self._commits.sync_if_due()
            while self._syncer.waits and self._syncer.synced_at_once:
                self._take_syncs()
        except Exception:
            self._guard.caught("a sync")
        if self._held:
            self._touched.update(dict.fromkeys(self._release()))
        touched, self._touched = self._touched, {}
        self._send(touched)
        if (
            self._budget.paused
            or self._budget.total > self._budget.limit
            or self.connections.budgets
        ):
            self.connections.keep_budget()
        if self.times is not None:
            self.times.end(self._commits.finished)
        self.turns += 1

    def drain(self, grace_time: float) -> None:
        """Begin to stop: drop the clients that have nothing under way, give time to the others.

        ``grace_time`` is in seconds; when called again, the shorter time counts.
        """
        self._acceptor.close()
        if self._handshakes is not None:
            self._handshakes.close()
        self._clock.refresh()
        stop_at = self._clock.monotonic + grace_time
        self._stop_at = stop_at if self._stop_at is None else min(stop_at, self._stop_at)
        self._nap.cancel()

    def suspend(self) -> None:
        """Tell the clients what can be told, drop all of them, and accept none until ``resume``."""
        self._acceptor.pause()
        self.turn([])
        for connection in list(self._connections.values()):
            self.connections.drop(connection)

    def resume(self) -> None:
        """Accept clients again, and do what had to wait."""
        self._acceptor.resume()
        self._nap.cancel()

    def close(self) -> None:
        """Drop every client that is left, and accept none."""
        self._acceptor.close()
        if self._handshakes is not None:
            self._handshakes.close()
        for connection in list(self._connections.values()):
            self.connections.drop(connection)

    def _read(self, ready: Ready) -> list[Received]:
        """Read from every client that is ready, before anything is executed for any.

        So an item is never handed to a client that has hung up by then: its end is read before
        another client's put, or an abort, could serve it. New clients join the end of ``ready``,
        as most have sent something along with connecting; they wait no turn for it.
        """
        received: list[Received] = []
        now, size, most = self._clock.monotonic, 0, READ_SIZE
        is_guarded = self._is_guarded
        if is_guarded:
            ready = self.connections.fewer_strangers(ready)
        for descriptor, events in ready:
            connection = self._connections.get(descriptor)
            if connection is None:
                try:
                    ready += self._take_news(descriptor)
                except Exception:
                    self._guard.caught("accepting, or taking what a thread has done")
                continue
            try:
                if events != READ:
                    if events & WRITE and connection.unsent:
                        # Its input comes later: it has not read the replies to what came before.
                        if connection.send(now):
                            self._again[connection] = None
                        continue
                    if events & HANG_UP and connection.interest == HANG_UP:
                        # It sent too far ahead to be read, but must be given no item any more.
                        connection.session.stop_waiting()
                        self.connections.read_out(connection)
                        continue
                is_stranger = is_guarded and not connection.session.admitted
                data = connection.socket.recv(READ_LEAST if is_stranger else most)
                received.append((connection, data))
            except BlockingIOError:
                continue
            except OSError as error:
                log.debug("%s: %s", connection.peer, error)
                self.connections.drop(connection)
                continue
            except Exception:
                self._crashed(connection)
                continue
            if not data:
                connection.input_ended = True
                connection.session.end_of_input()
            elif not connection.lingers:
                connection.active = now
                size += len(data)
                if size > self._read_at_once:
                    most = READ_LEAST
        self._counters.bytes_read += size
        return received

    def _gather(self) -> None:
        """Read and execute what has come in since the turn began, before it commits.

        Under ``sync: always``, a sync takes longer than one more look at the sockets, and covers
        all that is committed before it begins. A client that is a moment late would have to wait
        for this sync to end and then for one of its own. So the turn looks again as long as
        commands have come in, but only a few times, as those that it has wait meanwhile; and not
        at all if there is nothing to commit.
        """
        for _ in range(GATHER):
            ready = self._readiness.ready() if self._commits.touched else None
            if not ready:
                return
            self._execute(self._read(ready))

    def _take_news(self, descriptor: int) -> Ready:
        """Collect what a thread has finished, or accept clients and return them as ready.

        ``descriptor`` is none of a client.
        """
        handshakes, now = self._handshakes, self._clock.monotonic
        if self._acceptor.owns(descriptor):
            count = len(self._connections) + (0 if handshakes is None else len(handshakes))
            accepted = self._acceptor.accept(descriptor, count, now)
            if handshakes is not None and self._acceptor.shakes_hands(descriptor):
                for sock, peer in accepted:
                    handshakes.begin(sock, peer, now)
                return []
            return [(self.add(sock, peer).descriptor, READ) for sock, peer in accepted]
        if descriptor == self._background.fileno():
            self._background.collect(self._guard)
        elif descriptor == self._syncer.fileno():
            self._take_syncs()
        elif handshakes is not None and handshakes.owns(descriptor):
            arrival = handshakes.go_on(descriptor, now)
            if arrival is not None:
                added = self.add(arrival.socket, arrival.peer, arrival.name)
                return [(added.descriptor, READ)]
        return []

    def _take_syncs(self) -> None:
        """Finish the batches that were synced; revoke the replies that depend on what failed.

        The others go at once, before anything is executed: if the server died in between, an item
        that was taken would be gone, and nobody would have it.
        """
        for batch in self._syncer.collect():
            failed = self._commits.finish(batch)
            if failed:
                for connection in self._connections.values():
                    if connection.ticket >= batch.ticket:
                        connection.session.revoke(failed)
        if self._held:
            self._send(self._release())

    def _execute(self, received: list[Received]) -> None:
        """Let sessions execute what their clients sent, or go on with what they left."""
        touched = self._touched
        for connection, data in received:
            if connection.dropped:
                continue
            if connection.lingers:
                if connection.input_ended:
                    self.connections.drop(connection)
                continue
            session = connection.session
            try:
                if (self._made and self._is_too_much()) or (
                    data and connection.aside and self._queues.slices.spent
                ):
                    session.put_off(data)
                else:
                    session.run(data)
                    if connection.replies.size > LARGE:
                        self._made += connection.replies.size
            except Exception:
                self._crashed(connection)
            touched[connection] = None

    def _is_too_much(self) -> bool:
        """Tell whether the replies of this turn may exceed the budget, or take long to be sent.

        They have to be sent first. When the server stops, nothing is put off: who has nothing under
        way is dropped then.
        """
        if self._stop_at is not None:
            return False
        return self._made > MADE_AT_ONCE or self._budget.total + self._made > self._budget.limit

    def _go_on(self) -> None:
        """Let sessions go on with what they left, those that waited longest, for one slice.

        The others keep their places. Who is read from in this turn waits no longer for it.
        """
        again, slices = self._again, self._queues.slices
        for _ in range(len(again)):
            connection = again.popitem(last=False)[0]
            self._execute([(connection, b"")])
            if slices.spent:
                return

    def _finish(self) -> None:
        """Let the clients go on whose waits are over, and commit, until nothing is left to do.

        Each may lead to the other: what a woken client does has to be committed, and a commit
        that fails gives items back that others have waited for. Under ``always``, nothing is
        committed while a batch is being synced: see ``GroupCommit.must_wait``.

        Room is offered for one slice, the rest of it in the next turn. But whoever is woken goes on
        in this one: what a client that waited was given belongs to the next commit, and so does
        its reply.
        """
        slices, room = self._queues.slices, self._queues.room
        self._cut_short, offers = False, True
        while True:
            if offers and room.waiting:
                self._offer_room()
            while self._woken:
                # Who was woken first goes on first: there may not be enough for all of them.
                woken, self._woken = self._woken, []
                self._execute([(connection, b"") for connection in woken])
            commits = self._commits
            if not commits.touched:
                return
            if self._syncer.waits and commits.must_wait:
                self._hold_for(commits.next_ticket)
                return
            committed = commits.commit() if len(commits.touched) < MANY else slices.commit()
            if committed.failed:
                for connection in self._connections.values():
                    connection.session.revoke(committed.failed)
            if committed.ticket:
                self._hold_for(committed.ticket)
            elif self._held:
                self._hold_for_none()
            if room.waiting and slices.spent:
                self._cut_short, offers = True, False

    def _offer_room(self) -> None:
        """Let puts that wait for room try again where there is some."""
        try:
            self._cut_short = not self._queues.offer_room()
        except Exception:
            self._guard.caught("offering room")

    def _hold_for(self, ticket: int) -> None:
        """Have what was executed in this turn, and depends on a commit, wait for a batch."""
        if self.times is not None:
            self.times.ticket = ticket
        for connection in self._touched:
            if connection.replies.unsettled:
                connection.ticket = ticket

    def _hold_for_none(self) -> None:
        """Let go of what had to wait for the commit, as there is nothing to sync after all.

        What was recorded is in memory only, or could not be written.
        """
        for connection in self._held:
            if connection.ticket >= self._commits.next_ticket:
                connection.ticket = 0

    def _release(self) -> list[Connection]:
        """Let go of the output whose sync is done, and return whose; their sessions go on later.

        That is what ``_again`` is for: the output goes out first. If the session executed its next
        commands before, their commit would give the connection a later ticket, and the old replies
        would be held for that sync too. A client that keeps sending ahead would wait for one sync
        after the other and be told nothing.
        """
        held, self._held = self._held, []
        released = []
        for connection in held:
            if connection.ticket > self._commits.finished:
                self._held.append(connection)
            elif not connection.dropped:
                connection.session.held = False
                self._again[connection] = None
                released.append(connection)
        return released

    def _send(self, connections: Iterable[Connection]) -> None:
        """Send clients their replies; drop those whose sessions run into a defect."""
        for connection in connections:
            if not connection.dropped:
                try:
                    self._reply(connection)
                except Exception:
                    self._crashed(connection)

    def _reply(self, connection: Connection) -> None:
        """Send a client its replies, unless they wait for a sync; drop it if it is done with."""
        session, replies = connection.session, connection.replies
        if connection.ticket and connection.ticket > self._commits.finished:
            if not session.held:
                session.hold()
                self._held.append(connection)
                if replies.size <= LARGE:
                    return
            self.connections.settle(connection)
            return
        try:
            if connection.unsent or not replies.chunks:
                replies.settle()
                sent = not connection.unsent
            else:
                sent = connection.send(self._clock.monotonic)
            if (
                sent
                and session.rests
                and connection.interest == READ
                and not connection.counted
                and not connection.aside
                and self._stop_at is None
            ):
                return
            if sent and self._ends(connection):
                self.connections.drop(connection)
                return
        except OSError as error:
            log.debug("%s: %s", connection.peer, error)
            self.connections.drop(connection)
            return
        if session.stopped_early and (sent or connection.client.unfinished is not None):
            self._again[connection] = None
        self.connections.settle(connection)

    def _ends(self, connection: Connection) -> bool:
        """Tell whether to drop a client that has been sent everything.

        Raises ``OSError`` when it is gone.
        """
        if connection.client.closing and connection.end():
            return True
        return self._stop_at is not None and connection.finished

    def _crashed(self, connection: Connection) -> None:
        """Drop a client whose session ran into a defect, or out of memory; the others go on."""
        self.connections.crashed(connection)

    def _drained(self, stop_at: float) -> bool:
        return not self._connections or self._clock.monotonic >= stop_at
