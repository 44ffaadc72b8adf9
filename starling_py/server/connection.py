"""One client's socket and its session: what has come in, and what is still to go out.

Nothing here waits: sockets do not block. A client that does not read its replies is not read
from, so it cannot make the server hold more than a bounded amount for it. Closing is orderly: the
replies are sent first, then this side of the connection is ended, and the socket is closed when
the client has seen that or after a while; to close it at once could make the system throw away
replies that are still on their way.
"""

import socket
from typing import Final, Protocol

from starling_py.server.readiness import HANG_UP, READ, WRITE
from starling_py.session.session import Session
from starling_py.stats import Counters

READ_SIZE: Final = 65536
"""The most bytes read from one client at a time."""


class Stream(Protocol):
    """A connected socket, with TLS or without; none of its methods blocks."""

    def fileno(self) -> int:
        """Return its descriptor."""

    def recv(self, size: int, /) -> bytes:
        """Return what has come; nothing at the end. Raises ``OSError``."""

    def send(self, data: bytes | bytearray | memoryview, /) -> int:
        """Send some bytes, and return how many; raise ``OSError``."""

    def shutdown(self, how: int, /) -> None:
        """End this side of the connection; raise ``OSError``."""

    def close(self) -> None:
        """Close it."""


class Connection:
    """A socket and its session."""

    def __init__(self, sock: Stream, session: Session, counters: Counters, now: float) -> None:
        self.socket = sock
        self.descriptor = sock.fileno()
        self.session = session
        self.client = session.client
        self.replies = session.client.replies
        self.interest = READ
        self.dropped = False
        """Whether it is closed for good."""
        self.ticket = 0
        """The number of the sync that its output waits for; 0 for none."""
        self.since = now
        """When the client connected, on the monotonic clock."""
        self.active = now
        """When bytes last went in or out, on the monotonic clock."""
        self.unsent: bytes | memoryview = b""
        """What the system did not take of the output: the client has to read first."""
        self.input_ended = False
        """Whether the client sends nothing more."""
        self.lingers = False
        """Whether this side of the connection is ended, and the client's end is waited for."""
        self.paused = False
        """Whether it is not read from, as it holds more than its share of the memory."""
        self.counted = False
        """Whether the budget has it down for anything."""
        self.aside = False
        """Whether its socket is set aside, as it was quiet or is in the middle of something large:
        all others come first."""
        self.guest = False
        """Whether it has one of the places that are kept beyond those of all clients."""
        self._unsent_size = 0
        """Bytes kept for ``unsent``, which is the end of them."""
        self._counters = counters

    @property
    def peer(self) -> str:
        """The client's address, as the system or the proxy in between tells it."""
        return self.client.peer

    @property
    def who(self) -> str:
        """Its address, with its name if it has one: for the log."""
        return self.client.who

    @property
    def finished(self) -> bool:
        """Whether the client has nothing under way: nothing begun, awaited or unsent."""
        session = self.session
        return not (
            self.unsent
            or self.replies.chunks
            or session.midway
            or session.stopped_early
            or self.client.parked is not None
            or session.held
        )

    @property
    def state(self) -> str:
        """What the connection is doing, in one word."""
        if self.lingers:
            return "closing"
        if self.unsent:
            return "writing"
        if self.session.held:
            return "syncing"
        return "waiting" if self.client.waiting else "reading"

    @property
    def weight(self) -> int:
        """Bytes that the client makes the server hold."""
        return self.session.weight + self._unsent_size

    def send(self, now: float) -> bool:
        """Send what could not be sent before, else the replies; return whether that was all.

        What could not be sent before goes alone: the replies may have to wait for a sync. Raises
        ``OSError`` when the client is gone.
        """
        unsent = self.unsent
        data = unsent or b"".join(self.replies.take())
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        if sent:
            self.active = now
        self._counters.bytes_written += sent
        if sent == len(data):
            if unsent:
                self.unsent = b""
                self._unsent_size = 0
            return True
        if not self._unsent_size:
            self._unsent_size = len(data)
        self.unsent = memoryview(data)[sent:]
        return False

    def let_go(self) -> None:
        """Close the socket, and drop what was still to be sent."""
        self.unsent = b""
        self._unsent_size = 0
        self.socket.close()

    def end(self) -> bool:
        """End this side of the connection, if it is not ended yet; return whether both are.

        Raises ``OSError`` when the client is gone.
        """
        if not self.lingers:
            self.lingers = True
            self.socket.shutdown(socket.SHUT_WR)
        return self.input_ended

    def wanted(self) -> int:
        """Return what to watch the socket for: ``READ``, ``WRITE``, ``HANG_UP`` or (0) errors.

        A client that sent too far ahead, or holds too much, is not read from, but its hanging up is
        still of interest.
        """
        if self.unsent:
            return WRITE
        if self.lingers:
            return READ
        if self.input_ended:
            return 0
        return READ if self.session.takes_input and not self.paused else HANG_UP
