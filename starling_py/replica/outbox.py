"""What the owner has done to its files and the stream has not answered yet.

File calls of any thread add operations; the thread of the link takes them as messages, and says
what was answered. A sync waits until all is answered that was added before it. Once the outbox is
closed, as another server is the owner or this one ends, nothing is added, and who waits is told of
a failure. Invariant: operations leave in the order in which they were added, each once.
"""

import errno
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

import attrs

from starling_py.replica import operations
from starling_py.replica.operations import Operation

MESSAGE_SIZE: Final = 256 << 10
"""Bytes of a message at most; NATS takes 1 MiB unless it is told otherwise.

Of larger ones, sockets take only a part at once; smaller ones cost NATS more for each byte."""


@attrs.frozen
class Message:
    """A batch on its way."""

    number: int
    operations: list[Operation]
    end: int
    """How many operations were added up to its last one."""

    def encode(self) -> bytes:
        """Return its bytes."""
        return operations.encode(self.number, self.operations)


class Outbox:
    """The operations between the files and the stream."""

    def __init__(self, number: int = 0, wake: Callable[[], None] = lambda: None) -> None:
        """Begin behind the message ``number``; call ``wake`` when one is to be sent."""
        self._number = number
        self.wake = wake
        self.lock = threading.RLock()
        """Held while an operation is added, and what it is of is looked up."""
        self._answered = threading.Condition(self.lock)
        self._waiting: deque[Operation] = deque()
        self.added = 0
        """Operations since the start."""
        self.answered = 0
        """Those of them that the stream has."""
        self._wanted = 0
        self._size = 0
        """Bytes of what waits."""
        self._closed = ""

    @property
    def closed(self) -> bool:
        """Whether nothing may be changed any more."""
        return bool(self._closed)

    @property
    def settled(self) -> bool:
        """Whether the stream has everything."""
        return self.answered == self.added

    def check_open(self) -> None:
        """Raise ``OSError`` if nothing may be changed any more."""
        if self._closed:
            raise OSError(errno.EROFS, self._closed)

    def add(self, operation: Operation) -> None:
        """Add what was done; large writes are taken in pieces."""
        with self.lock:
            data = operation.data
            pieces = [operation]
            if len(data) > MESSAGE_SIZE:
                ats = range(0, len(data), MESSAGE_SIZE)
                pieces = [_piece(operation, at, data[at : at + MESSAGE_SIZE]) for at in ats]
            self._waiting.extend(pieces)
            self.added += len(pieces)
            before, self._size = self._size, self._size + operation.size
        if before < MESSAGE_SIZE <= self._size:
            self.wake()

    def want(self) -> int:
        """Have everything sent that was added; return up to which operation that is."""
        with self.lock:
            end = self.added
            if self.answered < end:
                self._wanted = max(self._wanted, end)
        self.wake()
        return end

    def flush(self) -> None:
        """Have everything sent, and return when the stream has it. Raises ``OSError``."""
        end = self.want()
        with self.lock:
            if self.answered >= end:
                self.check_open()
            while self.answered < end:
                self.check_open()
                self._answered.wait()

    def take(self, *, all_of_it: bool = False) -> Message | None:
        """Return the next message; ``None`` if nobody waits for what is there, and it is little.

        With ``all_of_it``, also what nobody waits for.
        """
        with self.lock:
            sent = self.added - len(self._waiting)
            wanted = all_of_it or self._wanted > sent or self._size >= MESSAGE_SIZE
            if not self._waiting or not wanted:
                return None
            taken = [self._waiting.popleft()]
            size = taken[0].size
            while self._waiting and size + self._waiting[0].size <= MESSAGE_SIZE:
                size += self._waiting[0].size
                taken.append(self._waiting.popleft())
            self._size -= sum(each.size for each in taken)
            self._number += 1
            return Message(self._number, taken, sent + len(taken))

    def answer(self, message: Message) -> None:
        """Learn that the stream has a message and all before it."""
        with self.lock:
            self.answered = message.end
            self._answered.notify_all()

    def close(self, why: str) -> None:
        """Let nothing be changed any more, and wake who waits: ``why`` is what they are told."""
        with self.lock:
            self._closed = self._closed or why
            self._answered.notify_all()


def _piece(operation: Operation, at: int, piece: bytes) -> Operation:
    """Return the part of a write that begins ``at`` bytes behind its beginning."""
    return Operation(operation.kind, operation.path, operation.offset + at, piece)
