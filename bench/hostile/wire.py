"""An attacker's connection: it sends while it reads, and checks whatever it is told.

Whoever sends a lot without reading would wait for a server that waits for him, so `together`
does both at once, for any number of connections. Deadlines are on the clock of
`time.perf_counter`.
"""

from __future__ import annotations

import re
import select
import selectors
import socket
import struct
import time
from typing import TYPE_CHECKING, Protocol

from bench.hostile import BrokenError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    Address = tuple[str, int]

LET_IN = b"Authenticated"  # the end of what binary is told
PART = 1 << 18  # bytes received at once
ERROR = re.compile(rb"(?:\A|\n)((?:CLIENT_|SERVER_)?ERROR[^\r\n]*)")
ABORT = struct.pack("ii", 1, 0)  # for SO_LINGER: a close sends a reset


class Reply(Protocol):
    """What has to come on a connection."""

    def feed(self, data: bytes) -> bool:
        """Take what came; return whether all has come. Raises `RefusedError`."""


class Exactly:
    """These bytes and no others."""

    def __init__(self, right: bytes) -> None:
        self._right, self._at = memoryview(right), 0

    def feed(self, data: bytes) -> bool:
        """See `Reply`."""
        end = self._at + len(data)
        if self._right[self._at : end] != data:
            raise RefusedError(f"answered {self._odd(data)}")
        self._at = end
        return end == len(self._right)

    def _odd(self, data: bytes) -> str:
        """Return the first line that is not the right one."""
        right = bytes(self._right[self._at : self._at + len(data)])
        pairs = zip(data, right, strict=False)
        same = next((at for at, (one, other) in enumerate(pairs) if one != other), len(right))
        before = bytes(self._right[max(0, self._at - 80) : self._at]) + data[:same]
        start = before[before.rfind(b"\n") + 1 :]
        return repr((start + data[same:]).split(b"\r\n")[0][:100].decode(errors="replace"))


class Needle:
    """How often some bytes have come, however they were cut."""

    def __init__(self, what: bytes) -> None:
        self._what, self._rest, self.count = what, b"", 0

    def feed(self, data: bytes) -> None:
        """Take what came."""
        parts = (self._rest + data).split(self._what)
        self.count += len(parts) - 1
        behind = parts[-1]
        self._rest = behind[max(0, len(behind) - len(self._what) + 1) :]


class Ends:
    """Anything without an error line, up to the last of some ends."""

    def __init__(self, times: int = 1, end: bytes = b"END\r\n", needle: bytes = b"\n") -> None:
        self._times, self._end, self._needle = times, Needle(end), Needle(needle)
        self._line = b""

    def feed(self, data: bytes) -> bool:
        """See `Reply`."""
        last = self._line + data
        problem = ERROR.search(last)
        if problem:
            raise RefusedError(f"answered {problem[1][:100].decode(errors='replace')!r}")
        self._line = last[last.rfind(b"\n") :][:40] if b"\n" in last else last[:40]
        self._end.feed(data)
        self._needle.feed(data)
        return self._end.count >= self._times

    @property
    def found(self) -> int:
        """How often the needle came."""
        return self._needle.count


class Kept:
    """Anything up to an end, kept; an error line is an end as well."""

    def __init__(self, end: bytes) -> None:
        self.data, self._end = b"", end

    def feed(self, data: bytes) -> bool:
        """See `Reply`."""
        self.data += data
        whole = self.data.endswith(b"\r\n") and ERROR.match(self.data) is not None
        return whole or self.data.endswith(self._end)


class Client:
    """A connection of an attacker."""

    def __init__(self, address: Address, deadline: float, greeting: bytes = b"") -> None:
        """With a greeting, it first says who it is."""
        self.deadline = deadline
        try:
            self.socket = socket.create_connection(address, timeout=30)
        except OSError as error:
            raise BrokenError(f"cannot connect: {error}") from error
        if greeting:
            self._greet(greeting)
        self.socket.setblocking(False)

    def _greet(self, greeting: bytes) -> None:
        right = LET_IN if greeting.startswith(b"\x80") else b"STORED\r\n"
        said = b""
        try:
            self.socket.sendall(greeting)
            while not said.endswith(right) and (part := self.socket.recv(100)):
                said += part
        except OSError as error:
            raise BrokenError(f"is not let in: {error}") from error
        if not said.endswith(right):
            raise RefusedError(f"is not let in: {said!r}")

    def send(self, data: bytes) -> None:
        """Send all, and read nothing."""
        left = memoryview(data)
        while left:
            if not _is_ready(self.socket, select.POLLOUT, self.deadline):
                raise BrokenError("the server does not read on")
            try:
                left = left[self.socket.send(left) :]
            except OSError as error:
                raise BrokenError(f"the connection broke: {error}") from error

    def check(self, request: bytes, right: bytes) -> None:
        """Send a request whose only right reply is known."""
        together([(self, request, Exactly(right))])

    def ask(self, request: bytes, end: bytes = b"END\r\n") -> bytes:
        """Send a request; return its reply, whatever it is."""
        kept = Kept(end)
        together([(self, request, kept)])
        return kept.data

    def count(self, request: bytes, needle: bytes, times: int = 1, end: bytes = b"END\r\n") -> int:
        """Send a request without keeping its reply; return how often the needle came."""
        ends = Ends(times, end, needle)
        together([(self, request, ends)])
        return ends.found

    def receive(self, least: int) -> bytes:
        """Return what comes, once so many bytes have."""
        data = b""
        while len(data) < least:
            if not _is_ready(self.socket, select.POLLIN, self.deadline):
                raise BrokenError(f"only {len(data):,} bytes came")
            part = _received(self.socket, least - len(data))
            if part == b"":
                raise BrokenError(f"closed after {len(data):,} bytes")
            data += part or b""
        return data

    def has_more(self) -> bool:
        """Tell whether something can be read."""
        return _is_ready(self.socket, select.POLLIN, 0.0)

    def close(self, *, reset: bool = False) -> None:
        """Hang up, by a reset if wanted."""
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        self.socket.close()


def together(talks: Sequence[tuple[Client, bytes, Reply]]) -> None:
    """Send each request and read its reply, all at the same time.

    Raises `RefusedError` for a wrong reply, and `BrokenError` if one does not come.
    """
    deadline = min(client.deadline for client, _, _ in talks)
    left = {client.socket: memoryview(request) for client, request, _ in talks}
    replies = {client.socket: reply for client, _, reply in talks}
    with selectors.DefaultSelector() as selector:
        for each in left:
            selector.register(each, selectors.EVENT_READ | selectors.EVENT_WRITE, each)
        while replies:
            events = selector.select(_remaining(deadline))
            if not events:
                raise BrokenError(f"{len(replies)} replies did not come in time")
            for key, what in events:
                sock: socket.socket = key.data
                if what & selectors.EVENT_WRITE:
                    _send_some(sock, left, selector)
                if what & selectors.EVENT_READ and _is_done(sock, replies[sock]):
                    del replies[sock]
                    selector.unregister(sock)


def _send_some(
    sock: socket.socket, left: dict[socket.socket, memoryview], selector: selectors.BaseSelector
) -> None:
    try:
        left[sock] = left[sock][sock.send(left[sock][:PART]) :]
    except BlockingIOError:
        return
    except OSError as error:
        # Why it was closed may stand in what can still be read.
        rest = _received(sock, PART) or b""
        said = ERROR.search(rest)
        if said:
            raise RefusedError(f"answered {said[1].decode(errors='replace')!r}") from error
        raise BrokenError(f"the connection broke: {error}") from error
    if not left[sock]:
        selector.modify(sock, selectors.EVENT_READ, sock)


def _is_done(sock: socket.socket, reply: Reply) -> bool:
    data = _received(sock, PART)
    if data == b"":
        raise BrokenError("the server closed a connection")
    return data is not None and reply.feed(data)


def _received(sock: socket.socket, most: int) -> bytes | None:
    """Return what is there: nothing at the end of a connection, none if nothing has come yet."""
    try:
        return sock.recv(most)
    except BlockingIOError:
        return None
    except OSError:
        return b""


def _is_ready(sock: socket.socket, event: int, deadline: float) -> bool:
    """Wait until something can be done; unlike `select`, for any number of a descriptor."""
    poll = select.poll()
    poll.register(sock, event)
    return bool(poll.poll(_remaining(deadline) * 1000))


def _remaining(deadline: float) -> float:
    return max(0.0, deadline - time.perf_counter())


def press(clients: Sequence[Client], data: bytes, seconds: float) -> tuple[int, int]:
    """Send the same to all and read nothing, for as long as the server takes it and no longer.

    Return to how many all could be sent, and how many the server has closed.
    """
    end = time.perf_counter() + seconds
    left = {client.socket: memoryview(data) for client in clients}
    whole = closed = 0
    with selectors.DefaultSelector() as selector:
        for each in left:
            selector.register(each, selectors.EVENT_WRITE, each)
        while left and time.perf_counter() < end:
            for key, _ in selector.select(0.1):
                sock: socket.socket = key.data
                try:
                    left[sock] = left[sock][sock.send(left[sock][:PART]) :]
                except BlockingIOError:
                    continue
                except OSError:
                    closed += 1
                    left[sock] = memoryview(b"")
                else:
                    whole += not left[sock]
                if not left[sock]:
                    del left[sock]
                    selector.unregister(sock)
    return whole, closed
