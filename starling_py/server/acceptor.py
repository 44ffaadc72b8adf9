"""The listening sockets: they are in the tick's readiness set, and a turn accepts some clients.

Accepting in a trio task of its own took a task switch for each client, and had to wait for its
turn beside busy ones. Here a client that has just connected is served in the turn that accepts it,
and as a turn accepts a bounded number, a flood of new ones does not keep those waiting that are
there. Where the process has no descriptor left, accepting rests for a moment: the sockets stay
ready, and the tick would spin. Then a client sees a connection that nobody serves yet, in the
system's backlog; to refuse it would take a descriptor, too.
"""

import contextlib
import errno
import logging
import socket
from collections.abc import Sequence
from typing import Final

from starling_py.server.listening import printed
from starling_py.server.readiness import READ, Readiness
from starling_py.stats import Counters

log = logging.getLogger(__name__)

AT_ONCE: Final = 64
"""The most clients that one turn accepts from one listening socket."""
REST: Final = 0.1
"""Seconds for which no client is accepted after the system had no room for one."""
_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_REFUSAL: Final = b"ERROR Too many open connections\r\n"

Accepted = tuple[socket.socket, str]
"""A non-blocking socket, and the client's address as it is printed."""


class Acceptor:
    """Accepts new clients from the listening sockets."""

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        readiness: Readiness,
        max_connections: int,
        counters: Counters,
    ) -> None:
        self._listeners = {each.fileno(): each for each in listeners}
        self._readiness = readiness
        self._max_connections = max_connections
        self._counters = counters
        self.rests_until: float | None = None
        """When accepting goes on, on the monotonic clock; ``None`` while it does not rest."""
        for listener in listeners:
            # Accepted sockets inherit these, which saves two calls a client.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            readiness.register(listener.fileno(), READ)

    def owns(self, descriptor: int) -> bool:
        """Tell whether a descriptor is that of a listening socket."""
        return descriptor in self._listeners

    def accept(self, descriptor: int, connected: int, now: float) -> list[Accepted]:
        """Accept and return clients that wait at a listening socket, at most ``AT_ONCE``.

        ``connected`` is how many clients are connected; one beyond ``max_connections`` is told so
        and refused.
        """
        listener = self._listeners[descriptor]
        accepted: list[Accepted] = []
        for _ in range(AT_ONCE):
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in _NO_ROOM:
                    log.error("no more clients can be accepted for now: %s", error.strerror)
                    self._rest(now)
                    break
                log.info("a client was gone before it was accepted: %s", error)
                continue
            sock.setblocking(False)
            peer = printed(address)
            if connected + len(accepted) < self._max_connections:
                self._counters.total_connections += 1
                accepted.append((sock, peer))
            else:
                log.warning("%s: refused, as %d clients are connected", peer, connected)
                self._refuse(sock)
        return accepted

    def go_on(self, now: float) -> None:
        """Accept again, if the rest is over at ``now``."""
        if self.rests_until is not None and now >= self.rests_until:
            self.rests_until = None
            self._watch(READ)

    def close(self) -> None:
        """Close the listening sockets: no client is accepted any more."""
        for descriptor, listener in self._listeners.items():
            self._readiness.unregister(descriptor)
            listener.close()
        self._listeners.clear()
        self.rests_until = None

    def _refuse(self, sock: socket.socket) -> None:
        self._counters.rejected_connections += 1
        with contextlib.suppress(OSError):
            sock.send(_REFUSAL)
        sock.close()

    def _rest(self, now: float) -> None:
        self.rests_until = now + REST
        self._watch(0)

    def _watch(self, interest: int) -> None:
        for descriptor in self._listeners:
            self._readiness.modify(descriptor, interest)
