"""Clients as the simulation has them: what each has asked, and the replies to that, read back."""

import socket
from collections import deque
from collections.abc import Callable
from typing import Literal

import attrs

from tests.simulation.model import Violation

Kind = Literal[
    "set", "get", "close", "confirm", "touch", "monitor", "delete", "flush", "flush_all",
    "flush_expired", "stats", "pause", "resume",
    "browse", "drop", "move", "hello", "consumers", "look",
]  # fmt: skip
"""What commands are alike in their replies; every storage command is a ``set``."""
ENDINGS = {
    "set": (b"STORED", b"NOT_STORED", b"NOT_FOUND"),
    "confirm": (b"END", b"ERROR"),
    "touch": (b"TOUCHED", b"NOT_FOUND"),
    "delete": (b"DELETED", b"NOT_FOUND"),
    "flush_all": (b"OK",),
    "hello": (b"OK",),
    "pause": (b"OK", b"NOT_FOUND"),
    "resume": (b"OK", b"NOT_FOUND"),
    "browse": (b"END", b"NOT_FOUND"),
    "drop": (b"DELETED", b"NOT_FOUND"),
}


@attrs.define
class Entry:
    """What the server has done for one command."""

    hits: list[tuple[bytes, bytes, int | None]] = attrs.field(factory=list)
    """The queue and the data of what it gives, and the state that this led to, if any."""
    puts: list[tuple[bytes, int]] = attrs.field(factory=list)
    """The queues into which an item was put, and the states that this led to."""
    did: list[tuple[bytes, int]] = attrs.field(factory=list)
    """The same for whatever else was done."""
    stored: bool = False
    """Whether a put was done."""
    given: bool = False
    """Whether anything was given up to now."""
    buries: bool = False
    """Whether it has begun to move an item that was open."""
    unread: set[bytes] = attrs.field(factory=set)
    """Queues that had to be read from disk first, and were not asked again since."""
    passed: set[bytes] = attrs.field(factory=set)
    """Queues that had nothing, since it last had to wait for one to be read."""
    makes_do: bool = False
    """Whether it has to do without a queue that cannot be read."""
    failed: bool = False
    """Whether an error was told of, which may not be the end of the reply."""
    moved: list[tuple[bytes, int]] = attrs.field(factory=list)
    """The queues and ids of the items that were to be moved by hand."""
    begun: dict[bytes, int] = attrs.field(factory=dict)
    """The number of each queue's state when the command began."""

    def take_hit(self, name: bytes, data: bytes, is_undone: Callable[[int], bool]) -> int | None:
        """Return which state an item led to that the client was given; undone ones are not."""
        found = [each for each in self.hits if each[:2] == (name, data)]
        if not found:
            raise Violation(f"{data!r} of {name!r} was never taken for this client")
        best = next((each for each in found if each[2] is None or not is_undone(each[2])), found[0])
        self.hits.remove(best)
        self.given = True
        return best[2]


@attrs.define
class Asked:
    """A command that a client waits for the reply to."""

    kind: Kind
    names: tuple[bytes, ...] = ()
    data: bytes = b""
    wait: float = 0
    """How many seconds it waits for an item, or for room."""
    asked_at: float = 0
    """When it was sent, on the monotonic clock."""
    sync: bool = False
    """Whether it wants to know that the item is synced."""
    first: int = 0
    """The first id that it asks for."""
    most: int = 0
    """The most items that it asks for."""
    to: bytes = b""
    """Where items are to be moved, unless it is where they came from."""


@attrs.define
class Told:
    """A reply, or, of a monitor, a part of one."""

    line: bytes
    """Its last line."""
    hits: list[tuple[bytes, int, bytes]] = attrs.field(factory=list)
    """The key, the flags and the data of each item."""
    listed: list[int] = attrs.field(factory=list)
    """The ids of the items that are listed without their data."""
    stats: list[bytes] = attrs.field(factory=list)
    """The names of statistics."""
    origins: list[bytes] = attrs.field(factory=list)
    """Where the items that are listed came from."""
    whole: bool = True
    """Whether this is all of it."""

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

    def __init__(self, descriptor: int, user: str = "") -> None:
        """``user`` is who it is, on a server with users."""
        self.socket = SimulatedSocket(descriptor)
        self.peer = f"client {descriptor}"
        self.user = user
        self.asked: deque[Asked] = deque()
        """What was asked and not answered yet."""
        self.entries: deque[Entry] = deque()
        """What was done for each command that is to be answered, in the order of execution."""

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
            found.append((self.asked[0], told))
            if told.whole:
                self.asked.popleft()
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
            if word == b"VALUE" and asked.kind in ("get", "monitor", "look"):
                key, flags, size = rest
                end = position + int(size)
                if len(data) < end + 2:
                    return None, 0
                if data[end : end + 2] != b"\r\n":
                    raise Violation(f"{self.peer}: an item has no end: {data!r}")
                told.hits.append((key, int(flags), data[position:end]))
                position = end + 2
            elif word == b"ITEM" and asked.kind == "browse":
                told.listed.append(int(rest[0]))
                told.origins.append(rest[8])
            elif word == b"STAT" and asked.kind in ("stats", "consumers"):
                told.stats.append(rest[0])
            elif word != b"STAT" or asked.kind not in ("stats", "consumers"):
                told.line = line
                if asked.kind == "monitor":
                    told.whole = not told.hits and not told.failed
                self._check_ending(asked, told)
                return told, position

    def _check_ending(self, asked: Asked, told: Told) -> None:
        right = told.line in ENDINGS.get(asked.kind, (b"END",)) or told.failed
        if asked.kind == "get" and told.line.startswith(b"CLIENT_ERROR") and not told.hits:
            right = True
        if asked.kind == "move":
            right = told.line.startswith(b"MOVED ") or told.line == b"NOT_FOUND" or told.failed
        if asked.kind == "flush_expired":
            right = told.line.isdigit() or told.failed
        refused = bool(self.user) and told.line.startswith(b"CLIENT_ERROR not permitted: ")
        if not right and not refused:
            raise Violation(f"{self.peer}: {asked} is answered {told.line!r}")
