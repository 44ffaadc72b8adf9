"""The engine of the load: canned requests, replies that are checked, one poll loop.

The load must never be the bottleneck: requests are canned bytes, replies have a length known
beforehand, and one loop serves all connections, each of which has one batch in flight. Every
reply is compared whole and every item must come back exactly once; anything else makes the run
void. It starts no process and no thread, and no loop outlives its deadline, which is on the
clock of `time.perf_counter`.
"""

from __future__ import annotations

import select
import socket
import sys
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    Bytes = bytes | bytearray | memoryview

if sys.platform == "linux":
    Poller, SECOND = select.epoll, 1.0  # and the second in the unit of its timeout
else:
    Poller, SECOND = select.poll, 1000.0

IN, OUT = 1, 4  # the same in poll and epoll
DIGITS = 8  # an item opens with its number, in this many decimal digits
CHUNK = 1 << 16


class LoadError(Exception):
    """The run could not be made or finished; the message is for the user."""


class VoidRunError(LoadError):
    """The server answered wrongly, so whatever was measured means nothing."""


def labels(numbers: range) -> list[bytes]:
    """Return what the items with these numbers open with."""
    return [b"%0*d" % (DIGITS, number) for number in numbers]


def filler(size: int) -> bytes:
    """Return what follows the number in an item of `size` bytes."""
    return (b"abcdefghijklmnopqrstuvwxyz-" * (size // 27 + 1))[: size - DIGITS]


class Work(Protocol):
    """One direction of one round: hands out requests and judges their replies."""

    reply_size: int
    """Bytes of the one right reply to one request."""

    def take(self) -> tuple[Bytes, int]:
        """Return the next batch and its requests' number, 0 at the end; valid until the next."""

    def probe(self, start: Bytes) -> None:
        """Raise `VoidRunError` if this part of a batch's reply can no longer become right."""

    def check(self, reply: bytes | bytearray, count: int) -> None:
        """Raise `VoidRunError` unless `reply`, whose length is right for `count`, is right."""

    def finish(self) -> None:
        """Raise `VoidRunError` unless all replies together are right; not part of the time."""


class Puts:
    """Appends the items `numbers`, of `size` bytes, to `queue` in batches of `depth`."""

    def __init__(self, queue: str, size: int, numbers: range, depth: int) -> None:
        head = b"set %b 0 0 %d\r\n" % (queue.encode(), size)
        request = head + b"0" * DIGITS + filler(size) + b"\r\n"
        self.reply_size = len(b"STORED\r\n")
        self._right = b"STORED\r\n" * depth
        self._batch = bytearray(request * depth)
        self._depth, self._size = depth, len(request)
        places = (at * self._size + len(head) for at in range(depth))
        self._places = [slice(at, at + DIGITS) for at in places]
        self._next = iter(labels(numbers)).__next__

    def take(self) -> tuple[Bytes, int]:
        """See `Work`; numbered in place, so that sending makes the only copy of the items."""
        batch, following, count = self._batch, self._next, 0
        try:
            for place in self._places:
                batch[place] = following()
                count += 1
        except StopIteration:
            return memoryview(batch)[: count * self._size], count
        return batch, count

    def probe(self, start: Bytes) -> None:
        """See `Work`."""
        if self._right[: len(start)] != start:
            raise VoidRunError(f"wrong reply to set: {bytes(start[:60])!r}")

    def check(self, reply: bytes | bytearray, count: int) -> None:
        """See `Work`."""
        if reply != (self._right if count == self._depth else b"STORED\r\n" * count):
            raise VoidRunError(f"wrong reply to set: {bytes(reply[:60])!r}")

    def finish(self) -> None:
        """Each reply was judged by itself."""


class Gets:
    """Pops the items `numbers`, of `size` bytes, from `queue` in batches of `depth`."""

    def __init__(self, queue: str, size: int, numbers: range, depth: int) -> None:
        self._request = b"get %b\r\n" % queue.encode()
        self._batch = self._request * depth
        self._head = b"VALUE %b 0 %d\r\n" % (queue.encode(), size)
        self._tail = filler(size) + b"\r\nEND\r\n"
        self._skip = len(self._head)
        self.reply_size = self._skip + DIGITS + len(self._tail)
        self._depth, self._left = depth, len(numbers)
        self._wanted = set(labels(numbers))
        self._seen: list[bytes | bytearray] = []

    def take(self) -> tuple[Bytes, int]:
        """See `Work`."""
        if self._left >= self._depth:
            self._left -= self._depth
            return self._batch, self._depth
        count, self._left = self._left, 0
        return self._request * count, count

    def probe(self, start: Bytes) -> None:
        """Look where the last reply should begin: any earlier fault has shifted that too."""
        at = len(start) // self.reply_size * self.reply_size
        last = bytes(start[at : at + self._skip])
        if not self._head.startswith(last):
            raise VoidRunError(f"wrong reply to get: {last!r}")

    def check(self, reply: bytes | bytearray, count: int) -> None:
        """Compare all but the number, which `finish` judges for all items at once."""
        at, skip, size = 0, self._skip, self.reply_size
        for _ in range(count):
            number = at + skip
            rest = number + DIGITS
            if not (reply.startswith(self._head, at) and reply.startswith(self._tail, rest)):
                raise VoidRunError(f"wrong reply to get: {bytes(reply[at : at + 60])!r}")
            self._seen.append(reply[number:rest])
            at += size

    def finish(self) -> None:
        """Raise `VoidRunError` unless every item came back, and each only once."""
        seen = set(map(bytes, self._seen))
        faults = {
            "missing": len(self._wanted - seen),
            "repeated": len(self._seen) - len(seen),
            "never put": len(seen - self._wanted),
        }
        if any(faults.values()):
            counts = ", ".join(f"{count} {fault}" for fault, count in faults.items() if count)
            raise VoidRunError(f"items came back wrong: {counts}")


class Connection:
    """One socket and its batch in flight."""

    __slots__ = ("count", "have", "recv", "reply", "send", "sent_at", "sock", "unsent")

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.recv, self.send = sock, sock.recv, sock.send
        self.count = 0  # requests in flight
        self.sent_at = 0.0
        self.reply, self.have = bytearray(), 0  # of a reply that comes in parts, and bytes so far
        self.unsent = memoryview(b"")

    def gather(self, part: Bytes, due: int, work: Work) -> bytearray | None:
        """Add to a reply that comes in parts; return it once it has the `due` bytes."""
        if not part:
            raise LoadError("the server closed a connection")
        have, self.have = self.have, self.have + len(part)
        if self.have > due:
            raise VoidRunError(f"more came than was asked for: {bytes(part[due - have :][:60])!r}")
        if not have:
            # Once at its full size: growing with each part would move a large reply many times.
            self.reply = bytearray(due)
        self.reply[have : self.have] = part
        if self.have < due:
            work.probe(memoryview(self.reply)[: self.have])
            return None
        self.have = 0
        return self.reply


class Fleet:
    """All connections to one server; one loop drives them through one `Work` after another."""

    def __init__(self, address: tuple[str, int], size: int, deadline: float) -> None:
        self._deadline = deadline
        self._poller = Poller()
        self._connections: dict[int, Connection] = {}
        try:
            for _ in range(size):
                left = max(deadline - time.perf_counter(), 0.001)
                sock = socket.create_connection(address, timeout=left)
                self._connections[sock.fileno()] = Connection(sock)
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._poller.register(sock.fileno(), IN)
        except OSError as error:
            self.close()
            raise LoadError(f"cannot connect to {address[0]}:{address[1]}: {error}") from error

    def close(self) -> None:
        """Close every connection."""
        for connection in self._connections.values():
            connection.sock.close()

    def drive(self, work: Work) -> list[float]:
        """Do all of `work`; return the seconds each batch took from its send to its last byte."""
        try:
            latencies = self._drive(work)
        except OSError as error:
            raise LoadError(f"a connection broke: {error}") from error
        if self._poller.poll(0):
            raise VoidRunError("more came than was asked for, or an end, after the last reply")
        return latencies

    def _drive(self, work: Work) -> list[float]:
        clock, poll, connections = time.perf_counter, self._poller.poll, self._connections
        take, check, size = work.take, work.check, work.reply_size
        latencies: list[float] = []
        done, flying, now = latencies.append, 0, clock()
        for connection in connections.values():
            batch, count = take()
            if count:
                flying += 1
                connection.count, connection.sent_at = count, now
                self._sent(connection, batch, connection.send(batch))
        while flying:
            ready = poll(max(self._deadline - now, 0.0) * SECOND)
            now = clock()
            if not ready or now > self._deadline:
                raise LoadError("the time limit was reached")
            for fd, mask in ready:
                connection = connections[fd]
                if mask != IN and self._resume(connection, mask):
                    continue
                due = connection.count * size
                # One byte more than is due shows a reply that is too long.
                reply: bytes | bytearray = connection.recv(due + 1 if due < CHUNK else CHUNK)
                if len(reply) != due or connection.have or not due:
                    whole = connection.gather(reply, due, work)
                    if whole is None:
                        continue
                    reply = whole
                now = clock()
                done(now - connection.sent_at)
                check(reply, connection.count)
                batch, connection.count = take()
                if connection.count:
                    connection.sent_at = now
                    sent = connection.send(batch)
                    if sent != len(batch):
                        self._sent(connection, batch, sent)
                else:
                    flying -= 1
        return latencies

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
