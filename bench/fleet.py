"""All connections to one server, and the poll loop that drives them through one round."""

from __future__ import annotations

import errno
import gc
import itertools
import os
import select
import socket
import sys
import time
from typing import TYPE_CHECKING, Protocol

from bench import LoadError, VoidRunError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Bytes = bytes | bytearray | memoryview

if sys.platform == "linux":
    Poller, SECOND = select.epoll, 1.0  # and the second in the unit of its timeout
else:
    Poller, SECOND = select.poll, 1000.0

IN, OUT = 1, 4  # the same in poll and epoll
CHUNK = 1 << 16
PORT_WHEN_CONNECTING = 24  # IP_BIND_ADDRESS_NO_PORT of Linux, which Python 3.11 does not name
SOURCES = itertools.cycle(range(2, 255))
"""Last bytes of the loopback addresses that visitors connect from, another one for each round.

Who closes first keeps its port for a minute (TIME_WAIT). All ports of one address may run out, and
with few of them left the kernel searches for long.
"""


class Lane(Protocol):
    """What one connection asks in one round, and how it judges what it is told."""

    due: int
    """Bytes of the one right reply to what was asked last; 0 if only its lines are known."""
    lines: int
    """Line ends in that reply; they count if `due` is 0."""
    room: int
    """Bytes to read at once: one more than is due shows a reply that is too long."""
    took: list[float]
    """Seconds from the send to the last byte, one entry each time that `hear` returned true."""

    def ask(self) -> Bytes:
        """Return the next batch of requests, nothing at the end; valid until any lane's next."""

    def probe(self, start: Bytes) -> None:
        """Raise `VoidRunError` if this part of a reply can no longer become right."""

    def hear(self, reply: bytes | bytearray) -> bool:
        """Raise `VoidRunError` unless the reply, whose length is right, is right.

        Return whether what was asked for is done; else what is asked next belongs to it.
        """


class Work(Protocol):
    """One round for all connections together."""

    operations: int
    """How many there are; what is asked for an item after it came belongs to its operation."""

    def lanes(self, connections: range) -> Sequence[Lane]:
        """Return what each of the connections with these numbers has to do; called once.

        Any more lanes are those of visitors. They connect together and send their first batches;
        a visitor whose lane then has nothing to ask closes; when the last has closed, they connect
        again. A lane that has nothing to ask right then is at its end.
        """

    def latencies(self) -> list[float]:
        """Return the seconds that each batch took."""

    def finish(self) -> None:
        """Raise `VoidRunError` unless all replies together are right; not part of the time."""


class Nothing:
    """The lane of a connection that has nothing to ask: whatever it is told is too much."""

    due = lines = 0
    room = CHUNK

    def __init__(self) -> None:
        self.took: list[float] = []

    def ask(self) -> Bytes:
        """See `Lane`."""
        return b""

    def probe(self, start: Bytes) -> None:
        """See `Lane`."""
        if start:
            raise VoidRunError(f"more came than was asked for: {bytes(start[:60])!r}")

    def hear(self, reply: bytes | bytearray) -> bool:
        """See `Lane`."""
        self.probe(reply)
        return False


IDLE = Nothing()


class Connection:
    """One socket and its batch in flight."""

    __slots__ = ("have", "lane", "lines", "recv", "reply", "send", "sent_at", "sock", "unsent")

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.recv, self.send = sock, sock.recv, sock.send
        self.lane: Lane = IDLE
        self.sent_at = 0.0
        self.reply, self.have = bytearray(), 0  # of a reply that comes in parts, and bytes so far
        self.lines = 0  # line ends of it
        self.unsent = memoryview(b"")

    def gather(self, part: bytes, noise: bytes) -> bytearray | None:
        """Add to a reply that comes in parts; return it once it is whole."""
        if not part:
            raise LoadError("the server closed a connection")
        lane = self.lane
        due = lane.due
        if not due:
            return self._gather_lines(part, noise)
        have, self.have = self.have, self.have + len(part)
        if self.have > due:
            raise VoidRunError(f"more came than was asked for: {part[due - have :][:60]!r}")
        if not have:
            # Once at its full size: growing with each part would move a large reply many times.
            self.reply = bytearray(due)
        self.reply[have : self.have] = part
        if self.have < due:
            lane.probe(memoryview(self.reply)[: self.have])
            return None
        self.have = 0
        return self.reply

    def _gather_lines(self, part: bytes, noise: bytes) -> bytearray | None:
        reply = self.reply if self.have else bytearray()
        reply += part
        lines = (self.lines if self.have else 0) + part.count(b"\n")
        if noise and noise in reply:
            lines -= reply.count(noise)
            reply = reply.replace(noise, b"")
        ended = reply.rfind(b"\n") + 1
        rest = bytes(reply[ended:])
        self.reply, self.have, self.lines = reply, len(reply), lines
        if lines < self.lane.lines or not ended:
            self.lane.probe(reply[:ended] if noise.startswith(rest) else reply)
            return None
        if not rest:
            self.have = 0
            return reply
        if not noise.startswith(rest):
            raise VoidRunError(f"more came than was asked for: {rest[:60]!r}")
        # What begins like noise belongs to what comes.
        self.reply, self.have, self.lines = bytearray(rest), len(rest), 0
        return reply[:ended]


class Fleet:
    """All connections to one server; one loop drives them through one `Work` after another."""

    def __init__(
        self,
        address: tuple[str, int],
        size: int,
        deadline: float,
        *,
        idle: int = 0,
        greet: Callable[[socket.socket, int], None] | None = None,
        noise: bytes = b"",
        connect: Callable[[tuple[str, int], float], socket.socket] = socket.create_connection,
    ) -> None:
        """`idle` more connections ask nothing; `greet` opens each before it is used.

        `noise` is a line that this server may say at any time; `connect` makes a connection, within
        some seconds. Visitors connect plainly.
        """
        self._deadline, self._active, self._noise = deadline, size, noise
        self._poller = Poller()
        self._connections: dict[int, Connection] = {}
        """By their descriptors; with those of the visitors that are connected."""
        self._address = address
        self._visitors: Sequence[Lane] = ()
        self._source = ""  # the address that visitors connect from; empty: the system's choice
        self._visiting: set[int] = set()  # descriptors of the visitors that are connected
        try:
            for number in range(size + idle):
                left = max(deadline - time.perf_counter(), 0.001)
                sock = connect(address, left)
                self._connections[sock.fileno()] = Connection(sock)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if greet is not None:
                    greet(sock, number)
                sock.setblocking(False)
                self._poller.register(sock.fileno(), IN)
        except OSError as error:
            self.close()
            raise LoadError(f"cannot connect to {address[0]}:{address[1]}: {error}") from error

    def close(self) -> None:
        """Close every connection."""
        for connection in self._connections.values():
            connection.sock.close()

    def drive(self, work: Work) -> float:
        """Do all of `work`; return the seconds that it took, without what prepared it."""
        self.prepare(work)
        began = time.perf_counter()
        self.go()
        return time.perf_counter() - began

    def prepare(self, work: Work) -> None:
        """Let each connection know what it has to do, which takes time that is not the server's."""
        lanes = work.lanes(range(self._active))
        self._visitors = lanes[self._active :]
        if self._visitors and sys.platform == "linux" and self._address[0].startswith("127."):
            # Other systems have no more loopback addresses than one, unless they are told to.
            self._source = f"127.0.0.{next(SOURCES)}"
        for connection, lane in zip(
            self._connections.values(), lanes[: self._active], strict=False
        ):
            connection.lane = lane

    def go(self) -> None:
        """Do all that was prepared; no collection of garbage looks like a slow server."""
        gc.disable()
        try:
            self._drive()
            for fd, _ in self._poller.poll(0):
                # Nothing was asked, so nothing but noise is right.
                connection = self._connections[fd]
                IDLE.probe(connection.gather(connection.recv(CHUNK), self._noise) or b"")
        except OSError as error:
            raise LoadError(f"a connection broke: {error}") from error
        finally:
            gc.enable()

    def _drive(self) -> None:
        clock, poll, connections = time.perf_counter, self._poller.poll, self._connections
        flying, now = 0, clock()
        for connection in connections.values():
            batch = connection.lane.ask()
            if batch:
                flying += 1
                connection.sent_at = now
                self._sent(connection, batch, connection.send(batch))
            else:
                connection.lane = IDLE
        flying += self._connect_visitors()
        while flying:
            ready = poll(max(self._deadline - now, 0.0) * SECOND)
            now = clock()
            if not ready or now > self._deadline:
                raise LoadError("the time limit was reached")
            for fd, mask in ready:
                connection = connections[fd]
                if mask != IN and self._resume(connection, mask):
                    continue
                lane = connection.lane
                reply: bytes | bytearray = (part := connection.recv(lane.room))
                if len(part) != lane.due or connection.have or not part:
                    whole = connection.gather(part, self._noise)
                    if whole is None:
                        continue
                    reply = whole
                now = clock()
                if lane.hear(reply):
                    lane.took.append(now - connection.sent_at)
                    connection.sent_at = now
                batch = lane.ask()
                if batch:
                    sent = connection.send(batch)
                    if sent != len(batch):
                        self._sent(connection, batch, sent)
                else:
                    connection.lane = IDLE
                    flying -= 1
                    if fd in self._visiting:
                        flying += self._leave(connection)

    def _connect_visitors(self) -> int:
        """Connect the visitors whose lanes have something to ask; return how many there are."""
        began = time.perf_counter()
        for lane in self._visitors:
            batch = lane.ask()
            if batch:
                connection = self._connect()
                connection.lane, connection.sent_at = lane, began
                try:
                    sent = connection.send(batch)
                except BlockingIOError:  # it is not connected yet
                    sent = 0
                self._sent(connection, batch, sent)
        return len(self._visiting)

    def _connect(self) -> Connection:
        """Begin to connect a visitor; to loopback that is done at once, unless the backlog is full.

        Raises `OSError`.
        """
        sock = socket.socket()
        descriptor = sock.fileno()
        connection = self._connections[descriptor] = Connection(sock)
        self._visiting.add(descriptor)
        sock.setblocking(False)
        if self._source:
            sock.setsockopt(socket.IPPROTO_IP, PORT_WHEN_CONNECTING, 1)
            sock.bind((self._source, 0))
        error = sock.connect_ex(self._address)
        if error not in (0, errno.EINPROGRESS):
            raise OSError(error, os.strerror(error))
        self._poller.register(descriptor, IN)
        return connection

    def _leave(self, connection: Connection) -> int:
        """Close a visitor's connection; return how many connect again if it was the last."""
        descriptor = connection.sock.fileno()
        self._poller.unregister(descriptor)
        connection.sock.close()
        del self._connections[descriptor]
        self._visiting.remove(descriptor)
        return 0 if self._visiting else self._connect_visitors()

    def _sent(self, connection: Connection, batch: Bytes, sent: int) -> None:
        """Keep what the socket did not take, and ask to be told when it takes more."""
        if sent != len(batch):
            # A copy, once a batch: the next connection's numbers are written over the original.
            connection.unsent = memoryview(bytes(batch))[sent:]
            self._poller.modify(connection.sock.fileno(), IN | OUT)

    def _resume(self, connection: Connection, mask: int) -> bool:
        """Send what is left; return whether there is nothing to read."""
        if mask & OUT:
            connection.unsent = connection.unsent[connection.send(connection.unsent) :]
            if not connection.unsent:
                self._poller.modify(connection.sock.fileno(), IN)
        return mask == OUT
