"""Clients that shake hands: they have connected where TLS is spoken, and are not served yet.

Each turn does a few steps of handshakes, as one takes as long as many puts; the others wait, and
those that are served do not. Invariants: who is not done in time is closed; nobody is waited for;
what does not begin as TLS is told so in plain words.
"""

import contextlib
import logging
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from starling_py.server.readiness import READ, WRITE, Readiness
from starling_py.server.tls import Certificates, TlsSocket, name_of
from starling_py.stats import Counters

log = logging.getLogger(__name__)

AT_ONCE: Final = 4
"""Steps of handshakes in one turn."""
PATIENCE: Final = 10.0
"""Seconds that a handshake may take."""
HELLO: Final = 0x16
"""The first byte of everything that begins as TLS."""
NO_TLS: Final = b"ERROR this port speaks TLS\r\n"


@dataclass(eq=False)
class _Shaking:
    """A client that shakes hands."""

    socket: socket.socket
    peer: str
    since: float
    """When it connected, on the monotonic clock."""
    tls: ssl.SSLSocket | None = None
    """The same socket once it has begun."""
    interest: int = READ


@dataclass(frozen=True)
class Arrival:
    """A client whose handshake is done."""

    socket: TlsSocket
    peer: str
    name: str
    """The common name in its certificate; empty if it has none."""


class Handshakes:
    """All clients that shake hands."""

    def __init__(
        self, certificates: Certificates, readiness: Readiness, counters: Counters
    ) -> None:
        self.certificates = certificates
        self._readiness = readiness
        self._counters = counters
        self._shaking: dict[int, _Shaking] = {}
        self._turn = -1.0
        """The time of the turn whose steps are counted."""
        self._left = 0

    def __len__(self) -> int:
        return len(self._shaking)

    def owns(self, descriptor: int) -> bool:
        """Tell whether a descriptor is that of a client that shakes hands."""
        return descriptor in self._shaking

    def begin(self, sock: socket.socket, peer: str, now: float) -> None:
        """Take in a client on a non-blocking socket."""
        self._shaking[sock.fileno()] = _Shaking(sock, peer, now)
        self._readiness.register(sock.fileno(), READ)

    def go_on(self, descriptor: int, now: float) -> Arrival | None:
        """Do the next step with a client that is ready; return it if that was the last one."""
        if now != self._turn:
            self._turn, self._left = now, AT_ONCE
        if not self._left:
            return None  # it stays ready
        self._left -= 1
        shaking = self._shaking[descriptor]
        try:
            tls = shaking.tls
            if tls is None:
                tls = self._first_step(shaking)
                if tls is None:
                    return None
            tls.do_handshake()
        except ssl.SSLWantReadError:
            self._watch(descriptor, shaking, READ)
        except ssl.SSLWantWriteError:
            self._watch(descriptor, shaking, WRITE)
        except BlockingIOError:
            pass
        except (OSError, ValueError) as error:
            self._fail(shaking, str(getattr(error, "reason", None) or error))
        else:
            self._forget(descriptor)
            self._counters.ssl_handshakes += 1
            return Arrival(TlsSocket(tls), shaking.peer, name_of(tls))
        return None

    def drop_overdue(self, now: float) -> None:
        """Close those that have taken too long."""
        for shaking in [each for each in self._shaking.values() if now - each.since > PATIENCE]:
            self._fail(shaking, f"it took more than {PATIENCE:.0f} seconds")

    def close(self) -> None:
        """Close all of them."""
        for descriptor, shaking in list(self._shaking.items()):
            self._forget(descriptor)
            _socket_of(shaking).close()

    def __iter__(self) -> Iterator[int]:
        return iter(list(self._shaking))

    def _first_step(self, shaking: _Shaking) -> ssl.SSLSocket | None:
        """Look how the client begins; raise ``OSError``."""
        first = shaking.socket.recv(1, socket.MSG_PEEK)
        if not first:
            self._fail(shaking, "it was gone before it began")
            return None
        if first[0] != HELLO:
            with contextlib.suppress(OSError):
                shaking.socket.send(NO_TLS)
                shaking.socket.shutdown(socket.SHUT_WR)
                shaking.socket.recv(RECEIVED)  # or the system might throw away what was sent
            self._fail(shaking, "it does not speak TLS")
            return None
        shaking.tls = self.certificates.wrap(shaking.socket)
        return shaking.tls

    def _fail(self, shaking: _Shaking, why: str) -> None:
        sock = _socket_of(shaking)
        self._forget(sock.fileno())
        self._counters.ssl_handshake_errors += 1
        log.info("%s: no handshake: %s", shaking.peer, why)
        sock.close()

    def _watch(self, descriptor: int, shaking: _Shaking, interest: int) -> None:
        if interest != shaking.interest:
            shaking.interest = interest
            self._readiness.modify(descriptor, interest)

    def _forget(self, descriptor: int) -> None:
        del self._shaking[descriptor]
        self._readiness.unregister(descriptor)


RECEIVED: Final = 1 << 16


def _socket_of(shaking: _Shaking) -> socket.socket:
    return shaking.socket if shaking.tls is None else shaking.tls
