"""What puts and takes an item in each protocol."""

from __future__ import annotations

import json
import re
from enum import Enum
from typing import TYPE_CHECKING

from bench import LoadError
from bench.phrases import Get, Put, filler

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

PATIENCE = 20  # seconds that a get which waits would wait
NANOSECONDS = 10**9


class Way(Enum):
    """How an item is taken."""

    POP = "get"
    """It is gone at once; or once that is confirmed, where a server knows nothing else."""
    WAIT = "waiting get"
    """The same, and if there is none, the reply comes when there is."""
    TRIAL = "reliable get"
    """It comes back unless it is confirmed, which is a request of its own."""
    CHAIN = "chained get"
    """The same, confirmed with the request for the next one, where a server knows that."""


class Dialect:
    """One protocol; queue names have the same length, and connections are numbered from 0."""

    noise = b""
    """A line that the server may say at any time."""
    ways: frozenset[Way] = frozenset(Way)
    many_queues = True
    """Whether one connection can put into and take from many queues."""
    is_queue = True
    """Whether items come back once and in order."""
    greets = False
    """Whether a connection has to be greeted before it is used."""

    def greet(self, sock: socket.socket, number: int) -> None:
        """Open a connection, before it is used."""

    def prepare(
        self, sock: socket.socket, queues: Sequence[bytes], children: Sequence[bytes]
    ) -> None:
        """Make the queues and those that get copies, on a connection of its own."""

    def put(self, queue: bytes, size: int, number: int) -> Put:
        """Return how this connection puts an item of `size` bytes."""
        raise NotImplementedError

    def get(self, queue: bytes, size: int, number: int, way: Way) -> Get:
        """Return how this connection takes one."""
        raise NotImplementedError


def exchange(sock: socket.socket, request: bytes, end: bytes) -> bytes:
    """Send a request and return the reply, which ends like this."""
    sock.sendall(request)
    reply = b""
    while not reply.endswith(end):
        part = sock.recv(1 << 16)
        if not part:
            raise LoadError(f"the server closed a connection after {reply[-60:]!r}")
        reply += part
    return reply


class Text(Dialect):
    """memcached's classic text protocol, with the options in keys of this server."""

    def __init__(
        self, ways: frozenset[Way] = frozenset(Way), *, echoes: bool = True, is_queue: bool = True
    ) -> None:
        """With `echoes`, a reply has the key as it was asked for, options and all."""
        self.ways, self._echoes, self.is_queue = ways, echoes, is_queue

    def put(self, queue: bytes, size: int, number: int) -> Put:
        """See `Dialect`."""
        return Put(b"set %b 0 0 %d\r\n" % (queue, size), filler(size) + b"\r\n", b"STORED\r\n")

    def get(self, queue: bytes, size: int, number: int, way: Way) -> Get:
        """See `Dialect`; a close with nothing open is no error."""
        option = {
            Way.POP: b"",
            Way.WAIT: b"/t=%d000" % PATIENCE,
            Way.TRIAL: b"/open",
            Way.CHAIN: b"/close/open",
        }[way]
        close, closed = b"get %b/close\r\n" % queue, b"END\r\n"
        shown = queue + option if self._echoes else queue
        return Get(
            b"get %b%b\r\n" % (queue, option),
            b"VALUE %b 0 %d\r\n" % (shown, size),
            filler(size) + b"\r\nEND\r\n",
            lines=3,
            then=close if way is Way.TRIAL else b"",
            done=closed if way is Way.TRIAL else b"",
            farewell=(close, closed) if way is Way.CHAIN else (b"", b""),
        )

    def prepare(
        self, sock: socket.socket, queues: Sequence[bytes], children: Sequence[bytes]
    ) -> None:
        """See `Dialect`; whoever asks for a child is subscribed."""
        for child in children:
            exchange(sock, b"get %b\r\n" % child, b"END\r\n")


class Redis(Dialect):
    """Redis lists: the right end is the queue's end."""

    def put(self, queue: bytes, size: int, number: int) -> Put:
        """See `Dialect`."""
        head = _words(b"RPUSH", queue, more=1) + b"$%d\r\n" % size
        return Put(head, filler(size) + b"\r\n", b":", re.compile(rb":\d+\r\n"))

    def get(self, queue: bytes, size: int, number: int, way: Way) -> Get:
        """See `Dialect`; what is taken on trial waits in a list of the connection."""
        head, tail = b"$%d\r\n" % size, filler(size) + b"\r\n"
        if way is Way.WAIT:
            head = b"*2\r\n$%d\r\n%b\r\n%b" % (len(queue), queue, head)
            return Get(_words(b"BLPOP", queue, b"%d" % PATIENCE), head, tail, lines=5)
        if way is Way.POP:
            return Get(_words(b"LPOP", queue), head, tail)
        held = b"held-%04d" % number
        request = _words(b"LMOVE", queue, held, b"LEFT", b"RIGHT")
        return Get(request, head, tail, then=_words(b"LTRIM", held, b"1", b"-1"), done=b"+OK\r\n")


def _words(*words: bytes, more: int = 0) -> bytes:
    """Return a command of these words, behind which come `more`."""
    parts = [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    return b"*%d\r\n" % (len(words) + more) + b"".join(parts)


class Beanstalk(Dialect):
    """beanstalkd: an item that was taken comes back unless it is deleted."""

    many_queues = False  # of all that a connection watches, the server chooses

    def put(self, queue: bytes, size: int, number: int) -> Put:
        """See `Dialect`; all in the default tube."""
        head = b"put 0 0 3600 %d\r\n" % size
        tail = filler(size) + b"\r\n"
        return Put(head, tail, b"INSERTED ", re.compile(rb"INSERTED \d+\r\n"))

    def get(self, queue: bytes, size: int, number: int, way: Way) -> Get:
        """See `Dialect`; it is the same every way."""
        return Get(
            b"reserve-with-timeout %d\r\n" % PATIENCE,
            b"RESERVED ",
            filler(size) + b"\r\n",
            re.compile(rb"RESERVED (\d+) %d\r\n" % size),
            then=b"delete %b\r\n",
            names=True,
            done=b"DELETED\r\n",
        )


class Nats(Dialect):
    """NATS JetStream: a queue is a stream on disk, with one consumer that pulls.

    A put is answered when the stream has it. An item that came is acknowledged along with the
    next request, which is the cheapest way there is; the acknowledgement has no reply.
    """

    noise = b"PING\r\n"
    greets = True
    many_queues = False  # a stream and a consumer for each would be something else

    def greet(self, sock: socket.socket, number: int) -> None:
        """See `Dialect`."""
        words = ("verbose", "pedantic", "headers", "no_responders")
        hello = json.dumps(dict.fromkeys(words, False)).encode()
        request = b"CONNECT %b\r\nSUB %b 1\r\nPING\r\n" % (hello, _inbox(number))
        exchange(sock, request, b"PONG\r\n")

    def prepare(
        self, sock: socket.socket, queues: Sequence[bytes], children: Sequence[bytes]
    ) -> None:
        """See `Dialect`."""
        self.greet(sock, 0)
        for name in (queue.decode() for queue in queues):
            stream = {"name": name, "subjects": [name], "retention": "workqueue", "storage": "file"}
            consumer = {
                "durable_name": "c",
                "ack_policy": "explicit",
                "ack_wait": 3600 * NANOSECONDS,
                "max_ack_pending": -1,
                "max_waiting": 1 << 16,
            }
            _create(sock, f"STREAM.CREATE.{name}", stream)
            body = {"stream_name": name, "config": consumer}
            _create(sock, f"CONSUMER.DURABLE.CREATE.{name}.c", body)

    def put(self, queue: bytes, size: int, number: int) -> Put:
        """See `Dialect`."""
        head = b"PUB %b %b %d\r\n" % (queue, _inbox(number), size)
        start = b"MSG %b 1 " % _inbox(number)
        shape = re.escape(start) + rb' *\d+\r\n\{"stream":"%b", *"seq":\d+\}\r\n' % queue
        return Put(head, filler(size) + b"\r\n", start, re.compile(shape), lines=2)

    def get(self, queue: bytes, size: int, number: int, way: Way) -> Get:
        """See `Dialect`; it is the same every way."""
        body = b'{"batch":1,"expires":%d}' % (PATIENCE * NANOSECONDS)
        to = b"$JS.API.CONSUMER.MSG.NEXT.%b.c" % queue
        start = b"MSG %b 1 $JS.ACK." % queue
        return Get(
            b"PUB %b %b %d\r\n%b\r\n" % (to, _inbox(number), len(body), body),
            start,
            filler(size) + b"\r\n",
            re.compile(rb"MSG %b 1 (\$JS\.ACK\.\S+) %d\r\n" % (queue, size)),
            then=b"PUB %b 4\r\n+ACK\r\n",
            names=True,
            farewell=(b"PING\r\n", b"PONG\r\n"),
        )


def _inbox(number: int) -> bytes:
    return b"_I.%04d" % number


def _create(sock: socket.socket, what: str, body: object) -> None:
    data = json.dumps(body).encode()
    to = f"$JS.API.{what}".encode()
    request = b"PUB %b %b %d\r\n%b\r\n" % (to, _inbox(0), len(data), data)
    reply = exchange(sock, request, b"}\r\n")
    if b'"error"' in reply:
        raise LoadError(f"NATS refused {what}: {reply[:300]!r}")
