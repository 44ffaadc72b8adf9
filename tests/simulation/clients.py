"""Clients as the simulation has them: what each has asked, and the replies to that, read back."""

import socket
from collections import deque
from typing import Literal

import attrs

from tests.simulation.model import Violation

Kind = Literal["set", "add", "get", "peek", "delete", "flush", "flush_all", "stats"]


@attrs.define
class Asked:
    """A command that a client waits for the reply to."""

    kind: Kind
    names: tuple[bytes, ...] = ()
    data: bytes = b""
    flags: int = 0
    wait: float = 0
    """How many seconds a get waits."""
    asked_at: float = 0
    """When it was sent, on the monotonic clock."""


@attrs.define
class Told:
    """A reply."""

    line: bytes
    """Its last line."""
    hits: list[tuple[bytes, int, bytes]] = attrs.field(factory=list)
    """The key, the flags and the data of each item."""
    stats: dict[bytes, bytes] = attrs.field(factory=dict)

    @property
    def failed(self) -> bool:
        """Whether the server could not do it."""
        return self.line.startswith(b"SERVER_ERROR ")


class SimulatedSocket:
    """The server's end of a connection to a client that reads all it is sent."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.incoming = bytearray()
        """What the server has not read yet."""
        self.piece = 65536
        """How many bytes the server gets at once."""
        self.outgoing = bytearray()
        """What the client has not looked at yet."""
        self.accepts: int | None = None
        """How many bytes the server can send until the client reads; ``None`` for any number."""
        self.ended = False
        """Whether the client sends nothing more."""
        self.closed = False

    @property
    def readable(self) -> bool:
        """Whether a read would return at once."""
        return bool(self.incoming) or self.ended

    def fileno(self) -> int:
        return self._descriptor

    def recv(self, size: int) -> bytes:
        if not self.readable:
            raise BlockingIOError
        data = bytes(self.incoming[: min(size, self.piece)])
        del self.incoming[: len(data)]
        return data

    def send(self, data: bytes) -> int:
        if self.accepts is not None:
            data = data[: self.accepts]
            self.accepts -= len(data)
            if not data:
                raise BlockingIOError
        self.outgoing += data
        return len(data)

    def shutdown(self, how: int) -> None:
        assert how == socket.SHUT_WR

    def close(self) -> None:
        self.closed = True


class SimulatedClient:
    """One client of the server."""

    def __init__(self, descriptor: int) -> None:
        self.socket = SimulatedSocket(descriptor)
        self.peer = f"client {descriptor}"
        self.asked: deque[Asked] = deque()
        """What was asked and not answered yet."""
        self.effects: deque[list[tuple[bytes, int]]] = deque()
        """What each flush and delete did, in the order of execution: queues, and their states."""

    def ask(self, command: bytes, asked: Asked | None) -> None:
        """Send a command; ``asked`` is ``None`` if it wants no reply."""
        self.socket.incoming += command
        if asked is not None:
            self.asked.append(asked)

    def replies(self) -> list[tuple[Asked, Told]]:
        """Return the replies that have come, with the commands they belong to."""
        found = []
        buffer = self.socket.outgoing
        while buffer:
            if not self.asked:
                raise Violation(f"{self.peer}: a reply to nothing: {bytes(buffer)!r}")
            told, size = self._reply(self.asked[0], bytes(buffer))
            if told is None:
                break
            del buffer[:size]
            found.append((self.asked.popleft(), told))
        return found

    def _reply(self, asked: Asked, data: bytes) -> tuple[Told | None, int]:
        told = Told(b"")
        position = 0
        while True:
            line, ending, _ = data[position:].partition(b"\r\n")
            if not ending:
                return None, 0
            position += len(line) + 2
            word, *rest = line.split(b" ")
            if word == b"VALUE" and asked.kind in ("get", "peek"):
                key, flags, size = rest
                end = position + int(size)
                if len(data) < end + 2:
                    return None, 0
                if data[end : end + 2] != b"\r\n":
                    raise Violation(f"{self.peer}: an item has no end: {data!r}")
                told.hits.append((key, int(flags), data[position:end]))
                position = end + 2
            elif word == b"STAT" and asked.kind == "stats":
                told.stats[rest[0]] = rest[1]
            else:
                told.line = line
                expected = {
                    "set": (b"STORED",),
                    "add": (b"STORED", b"NOT_STORED"),
                    "delete": (b"DELETED", b"NOT_FOUND"),
                    "flush_all": (b"OK",),
                }.get(asked.kind, (b"END",))
                if line not in expected and not (told.failed and not told.hits):
                    raise Violation(f"{self.peer}: {asked} is answered {line!r}")
                return told, position
