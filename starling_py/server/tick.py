"""The tick: read every ready client once, execute, commit, reply.

A tick is a transaction: if the server dies before the commit, no client was told anything. Every
reply waits for the commit it depends on, and under ``sync: always`` for the sync that makes that
commit safe. One trio task runs all ticks; it gives way to trio's other tasks at bounded
intervals, also when there is always something to do.
"""

import logging
import socket
from collections.abc import Callable, Iterator
from typing import Final

import trio
from mypy_extensions import mypyc_attr

from starling_py.clock import Clock
from starling_py.journal.commit import GroupCommit
from starling_py.queues.queue_collection import QueueCollection
from starling_py.server.acceptor import Acceptor
from starling_py.server.connection import READ_SIZE, Connection
from starling_py.server.idle_wait import IdleWait
from starling_py.server.readiness import HANG_UP, READ, WRITE, Readiness, Ready
from starling_py.server.threads import BackgroundThread, SyncThread
from starling_py.session.session import Session
from starling_py.stats import Counters

log = logging.getLogger(__name__)

GIVE_WAY: Final = 0.005
"""Seconds after which trio's other tasks get a turn, also when the server is busy."""
GATHER: Final = 4
"""Times that the tick looks who else has asked for something before it commits, where replies wait
for syncs: a sync takes longer than what it is put off for."""
LINGER: Final = 1.0
"""Seconds that a client has to notice that the server ended the connection."""

Received = tuple[Connection, bytes]
"""What a client has sent; nothing for one whose session is to go on."""
MakeSession = Callable[[str, Callable[[], None]], Session]
"""Makes a session from the client's address and a function to call when it can go on."""


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
    ) -> None:
        self._queues = queues
        self._commits = commits
        self._syncer = syncer
        self._background = background
        self._readiness = readiness
        self._idle_wait = IdleWait(readiness)
        self._clock = clock
        self._counters = counters
        self._make_session = make_session
        self._acceptor = acceptor
        self._connections: dict[int, Connection] = {}
        self._touched: dict[Connection, None] = {}
        """Those that may have something to be sent."""
        self._again: list[Connection] = []
        self._held: list[Connection] = []
        self._woken: list[Connection] = []
        self._stop_at: float | None = None
        self._nap = trio.CancelScope()
        readiness.register(syncer.fileno(), READ)
        readiness.register(background.fileno(), READ)

    def __len__(self) -> int:
        return len(self._connections)

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._connections.values())

    def add(self, sock: socket.socket, peer: str) -> Connection:
        """Serve a client on a non-blocking socket."""
        session = self._make_session(peer, lambda: self._woken.append(connection))
        now = self._clock.monotonic
        connection = Connection(sock, peer, session, self._counters, now)
        self._connections[connection.descriptor] = connection
        self._readiness.register(connection.descriptor, READ)
        return connection

    async def run(self) -> None:
        """Serve until ``drain`` was called and everybody is gone or the time is over."""
        clock = self._clock
        gave_way = clock.monotonic
        ready: Ready = []
        while True:
            # Something to do though no socket is ready and no time has come: dropping a client
            # gives back what it held, and whoever waited for that is to be served.
            unfinished = bool(self._again or self._woken or self._commits.touched)
            stay = ready and not unfinished
            ready = self._idle_wait.wait() if stay else self._readiness.ready()
            if ready or unfinished:
                if clock.monotonic - gave_way > GIVE_WAY:
                    gave_way = clock.monotonic
                    await trio.lowlevel.checkpoint()
            else:
                await self._wait()
                ready = self._readiness.ready()
                gave_way = clock.monotonic
            if self._stop_at is not None:
                # Everybody is looked at, and nobody sent off with something of theirs unread.
                ready = [*ready, *((descriptor, READ | WRITE) for descriptor in self._connections)]
                self._touched.update(dict.fromkeys(self._connections.values()))
            self.turn(ready)
            if self._stop_at is not None and self._drained(self._stop_at):
                return

    def nudge(self) -> None:
        """Have a turn soon: something was done to the queues outside of one."""
        self._nap.cancel()

    async def _wait(self) -> None:
        """Wait until a socket is ready or something is due."""
        due = [
            moment
            for moment in (
                self._queues.directory.deadlines.next,
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
        """Do one tick's work for what is ready. Why in this order: see docs/architecture.md."""
        self._clock.refresh()
        if self._acceptor.rests_until is not None:
            self._acceptor.go_on(self._clock.monotonic)
        again, self._again = self._again, []
        received = self._read(ready)
        self._execute([(connection, b"") for connection in again])
        self._execute(received)
        if self._syncer.waits:
            self._gather()
        self._queues.run_due()
        if self._stop_at is not None:
            self._queues.end_all_waits()
        self._finish()
        self._commits.sync_if_due()
        while self._syncer.waits and self._syncer.synced_at_once:
            self._take_syncs()
        if self._held:
            self._release()
        touched, self._touched = self._touched, {}
        for connection in touched:
            if not connection.dropped:
                try:
                    self._reply(connection)
                except Exception:
                    self._crashed(connection)

    def drain(self, grace_time: float) -> None:
        """Begin to stop: whoever has nothing under way is sent off, the others have some time."""
        self._acceptor.close()
        self._clock.refresh()
        stop_at = self._clock.monotonic + grace_time
        self._stop_at = stop_at if self._stop_at is None else min(stop_at, self._stop_at)
        self._nap.cancel()

    def close(self) -> None:
        """Drop every client that is left, and accept nobody."""
        self._acceptor.close()
        for connection in list(self._connections.values()):
            self._drop(connection)

    def drop_idle(self, timeout: float) -> None:
        """Drop clients that were silent for ``timeout`` seconds (0: never) or linger too long."""
        self._clock.refresh()
        now = self._clock.monotonic
        # Whoever is served because another is dropped was not idle: it waited.
        waiting = {each for each in self._connections.values() if each.client.waiting}
        for connection in list(self._connections.values()):
            silence = now - connection.active
            if connection.lingers:
                if silence > LINGER:
                    self._drop(connection)
            elif timeout and silence > timeout and connection not in waiting:
                log.info("%s: idle for %d seconds; closed", connection.peer, silence)
                self._counters.idle_kicks += 1
                self._drop(connection)

    def _read(self, ready: Ready) -> list[Received]:
        """Read from everybody who is ready, before anything is executed for anybody.

        So an item is never handed to a client that has hung up by then. New clients are put at the
        end of those who are ready: most have sent something along with their connecting.
        """
        received: list[Received] = []
        now, size = self._clock.monotonic, 0
        for descriptor, events in ready:
            connection = self._connections.get(descriptor)
            if connection is None:
                ready += self._take_news(descriptor)
                continue
            try:
                if events & WRITE and connection.unsent:
                    if connection.send(now):
                        self._again.append(connection)
                    continue
                if events & HANG_UP and connection.interest == HANG_UP:
                    connection.session.stop_waiting()
                    continue
                data = connection.socket.recv(READ_SIZE)
            except BlockingIOError:
                continue
            except OSError as error:
                log.debug("%s: %s", connection.peer, error)
                self._drop(connection)
                continue
            received.append((connection, data))
            if not data:
                connection.input_ended = True
                connection.session.end_of_input()
            elif not connection.lingers:
                connection.active = now
                size += len(data)
        self._counters.bytes_read += size
        return received

    def _gather(self) -> None:
        """Let whoever has asked for something meanwhile take part in the next sync."""
        for _ in range(GATHER):
            ready = self._readiness.ready() if self._commits.touched else None
            if not ready:
                return
            self._execute(self._read(ready))

    def _take_news(self, descriptor: int) -> Ready:
        """Take what a thread has finished, or clients that a listening socket has; return those."""
        if self._acceptor.owns(descriptor):
            now = self._clock.monotonic
            accepted = self._acceptor.accept(descriptor, len(self._connections), now)
            return [(self.add(sock, peer).descriptor, READ) for sock, peer in accepted]
        if descriptor == self._background.fileno():
            self._background.collect()
        elif descriptor == self._syncer.fileno():
            self._take_syncs()
        return []

    def _take_syncs(self) -> None:
        """Take what was synced."""
        for batch in self._syncer.collect():
            failed = self._commits.finish(batch)
            if failed:
                for connection in self._connections.values():
                    if connection.ticket >= batch.ticket:
                        connection.session.revoke(failed)

    def _execute(self, received: list[Received]) -> None:
        """Let sessions take what their clients sent, or go on with what they had to leave."""
        touched = self._touched
        for connection, data in received:
            if connection.dropped:
                continue
            if connection.lingers:
                if connection.input_ended:
                    self._drop(connection)
                continue
            try:
                connection.session.run(data)
            except Exception:
                self._crashed(connection)
            touched[connection] = None

    def _finish(self) -> None:
        """Let whoever has waited long enough go on, and commit, until nothing is left to do."""
        while True:
            if self._queues.room.waiting:
                self._queues.offer_room()
            while self._woken:
                # Whoever was woken first goes on first: there may not be enough for everybody.
                woken, self._woken = self._woken, []
                self._execute([(connection, b"") for connection in woken])
            if not self._commits.touched:
                return
            committed = self._commits.commit()
            if committed.failed:
                for connection in self._connections.values():
                    connection.session.revoke(committed.failed)
            if committed.ticket:
                for connection in self._touched:
                    if connection.replies.unsettled:
                        connection.ticket = committed.ticket

    def _release(self) -> None:
        """Let go of the output whose sync is done; the session goes on in the next tick.

        Not sooner, or the output would have to wait for what the session does then.
        """
        held, self._held = self._held, []
        for connection in held:
            if connection.ticket > self._commits.finished:
                self._held.append(connection)
            elif not connection.dropped:
                connection.session.held = False
                self._again.append(connection)
                self._touched[connection] = None

    def _reply(self, connection: Connection) -> None:
        """Send what a client may be told by now."""
        session, replies = connection.session, connection.replies
        if connection.ticket and connection.ticket > self._commits.finished:
            if not session.held:
                session.hold()
                self._held.append(connection)
            return
        try:
            if connection.unsent or not replies.chunks:
                replies.settle()
                sent = not connection.unsent
            else:
                sent = connection.send(self._clock.monotonic)
            if sent and session.rests and connection.interest == READ and self._stop_at is None:
                return
            if sent and self._ends(connection):
                self._drop(connection)
                return
        except OSError as error:
            log.debug("%s: %s", connection.peer, error)
            self._drop(connection)
            return
        if sent and session.stopped_early:
            self._again.append(connection)
        wanted = connection.wanted()
        if wanted != connection.interest:
            connection.interest = wanted
            self._readiness.modify(connection.descriptor, wanted)

    def _ends(self, connection: Connection) -> bool:
        """Tell whether a client that has been sent everything is to be dropped now.

        Raises ``OSError`` when it is gone.
        """
        if connection.client.closing and connection.end():
            return True
        return self._stop_at is not None and connection.finished

    def _crashed(self, connection: Connection) -> None:
        """End a session that ran into a defect; the others go on."""
        log.exception("%s: error in the session; closed", connection.peer)
        self._counters.session_errors += 1
        self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        if not connection.dropped:
            connection.dropped = True
            del self._connections[connection.descriptor]
            connection.session.disconnected()
            self._readiness.unregister(connection.descriptor)
            connection.socket.close()

    def _drained(self, stop_at: float) -> bool:
        return not self._connections or self._clock.monotonic >= stop_at
