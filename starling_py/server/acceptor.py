"""The listening sockets: they are in the tick's readiness set, and a turn accepts some clients.

Accepting in a trio task of its own took a task switch for each client, and had to wait for its
turn beside busy ones. Here a client that has just connected is served in the turn that accepts it,
and as a turn accepts a bounded number, a flood of new ones does not keep those waiting that are
there. Beyond ``max_connections`` clients are refused, but for a few from this machine. Where the
process has no descriptor left all the same, clients are refused with one that is kept for that,
and accepting rests for a moment: the sockets stay ready, and the tick would spin.
"""

import contextlib
import errno
import logging
import socket
from collections.abc import Sequence
from typing import Final

from starling_py.security.networks import Networks
from starling_py.server.file_limit import GUESTS
from starling_py.server.listening import Address, is_of_this_machine, printed
from starling_py.server.readiness import READ, Readiness
from starling_py.stats import Counters

log = logging.getLogger(__name__)

AT_ONCE: Final = 64
"""The most clients that one turn accepts from one listening socket."""
REST: Final = 0.1
"""Seconds for which no client is accepted after the system had no room for one."""
_NO_DESCRIPTOR: Final = frozenset({errno.EMFILE, errno.ENFILE})
_NO_ROOM: Final = frozenset({errno.ENOBUFS, errno.ENOMEM})
REFUSAL: Final = b"ERROR Too many open connections\r\n"

"""What a client is told for which there is no place."""

Accepted = tuple[socket.socket, str]
"""A non-blocking socket, and the client's address as it is printed."""


def is_allowed(address: Address, networks: Networks | None) -> bool:
    """Tell whether a client may come from where it comes; what no network brings may.

    One that may not is told nothing, and costs next to nothing.
    """
    if isinstance(address, str) or networks is None or networks.allow(address[0]):
        return True
    log.warning("%s: refused, as allow_from does not name its network", printed(address))
    return False


class Acceptor:
    """Accepts new clients from the listening sockets."""

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        readiness: Readiness,
        max_connections: int,
        counters: Counters,
        guests: int = GUESTS,
        allow_from: Networks | None = None,
        secured: Sequence[socket.socket] = (),
    ) -> None:
        """``guests`` is how many clients from this machine are accepted beyond the others.

        ``allow_from`` says from where clients may come at all; ``None`` is from anywhere.
        At those that are ``secured``, more listening sockets, clients shake hands first.
        """
        self._allow_from = allow_from
        listeners = [*listeners, *secured]
        self._listeners = {each.fileno(): each for each in listeners}
        self._secured = {each.fileno() for each in secured}
        self._readiness = readiness
        self.max_connections = max_connections
        self._guests = guests
        self._counters = counters
        self.rests_until: float | None = None
        """When accepting goes on, on the monotonic clock; ``None`` while it does not rest."""
        self._spare: socket.socket | None = None
        """Takes a descriptor, which is given up to accept and refuse a client with."""
        if listeners:
            self._keep_spare()
        for listener in listeners:
            # Accepted sockets inherit these, which saves two calls a client.
            if listener.family != socket.AF_UNIX:
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            readiness.register(listener.fileno(), READ)

    def owns(self, descriptor: int) -> bool:
        """Tell whether a descriptor is that of a listening socket."""
        return descriptor in self._listeners

    def shakes_hands(self, descriptor: int) -> bool:
        """Tell whether clients shake hands first at a listening socket."""
        return descriptor in self._secured

    def accept(self, descriptor: int, connected: int, now: float) -> list[Accepted]:
        """Accept and return clients that wait at a listening socket, at most ``AT_ONCE``.

        ``connected`` is how many clients are connected. One beyond ``max_connections`` is told so
        and refused; a few from this machine are not.
        """
        listener = self._listeners[descriptor]
        accepted: list[Accepted] = []
        for _ in range(AT_ONCE):
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in _NO_ROOM or error.errno in _NO_DESCRIPTOR:
                    log.error("no more clients can be accepted for now: %s", error.strerror)
                    if error.errno in _NO_DESCRIPTOR:
                        self._refuse_with_spare(listener)
                    self._rest(now)
                    break
                log.info("a client was gone before it was accepted: %s", error)
                continue
            except MemoryError:
                self._rest(now)
                break
            if self._allow_from is not None and not is_allowed(address, self._allow_from):
                self._counters.rejected_connections += 1
                sock.close()
                continue
            sock.setblocking(False)
            peer = printed(address)
            if self._has_place(connected + len(accepted), address):
                self._counters.total_connections += 1
                accepted.append((sock, peer))
            else:
                there = connected + len(accepted)
                log.warning("%s: refused, as %d clients are connected", peer, there)
                self._refuse(sock)
        return accepted

    def go_on(self, now: float) -> None:
        """Accept again, if the rest is over at ``now``."""
        if self.rests_until is not None and now >= self.rests_until:
            self.rests_until = None
            self._watch(READ)

    def pause(self) -> None:
        """Accept nobody until ``resume``."""
        self.rests_until = float("inf")
        self._watch(0)

    def resume(self) -> None:
        """Accept again."""
        self.rests_until = None
        self._watch(READ)

    def close(self) -> None:
        """Close the listening sockets: no client is accepted any more."""
        for descriptor, listener in self._listeners.items():
            self._readiness.unregister(descriptor)
            listener.close()
        self._listeners.clear()
        self.rests_until = None
        if self._spare is not None:
            self._spare.close()
            self._spare = None

    def _has_place(self, connected: int, address: Address) -> bool:
        """Tell whether there is a place for one more client: for a few more from this machine.

        When all places are taken by clients that do nothing, somebody has to be able to ask why. A
        client from elsewhere, which may be one more of those, cannot take these places.
        """
        if connected < self.max_connections:
            return True
        return connected < self.max_connections + self._guests and is_of_this_machine(address)

    def _refuse(self, sock: socket.socket) -> None:
        self._counters.rejected_connections += 1
        with contextlib.suppress(OSError):
            sock.send(REFUSAL)
        sock.close()

    def _refuse_with_spare(self, listener: socket.socket) -> None:
        """Refuse the clients that wait, each with the descriptor that is kept for that.

        Without it, they would see a connection that nobody serves, for as long as that lasts.
        """
        for _ in range(AT_ONCE):
            if self._spare is None and not self._keep_spare():
                return
            if self._spare is not None:
                self._spare.close()
                self._spare = None
            try:
                sock = listener.accept()[0]
            except OSError:
                break
            sock.setblocking(False)
            self._refuse(sock)
        self._keep_spare()

    def _keep_spare(self) -> bool:
        """Take a descriptor to keep; return whether there was one."""
        try:
            self._spare = socket.socket()
        except OSError:
            return False
        return True

    def _rest(self, now: float) -> None:
        self.rests_until = now + REST
        self._watch(0)

    def _watch(self, interest: int) -> None:
        for descriptor in self._listeners:
            self._readiness.modify(descriptor, interest)
