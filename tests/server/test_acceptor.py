"""Accepting: some at a time, not too many, and with a rest where the system has no room."""

import errno
import socket
from collections import deque
from collections.abc import Iterator
from typing import cast

import pytest

from starling_py.security.networks import Networks
from starling_py.server.acceptor import AT_ONCE, REST, Acceptor
from starling_py.server.file_limit import GUESTS
from starling_py.server.readiness import READ, Ready
from starling_py.stats import Counters

LISTENING = 7
NOW = 100.0


class FakeSocket:
    """A client's socket."""

    def __init__(self) -> None:
        self.sent = b""
        self.closed = self.blocks = False

    def setblocking(self, flag: bool) -> None:
        self.blocks = flag

    def send(self, data: bytes) -> int:
        self.sent += data
        return len(data)

    def close(self) -> None:
        self.closed = True


class FakeListener:
    """A listening socket at which clients wait, or errors."""

    family = socket.AF_INET

    def __init__(self, *waiting: FakeSocket | OSError, host: str = "192.0.2.1") -> None:
        self.waiting = deque(waiting)
        self.host = host
        self.closed = False

    def fileno(self) -> int:
        return LISTENING

    def setsockopt(self, *_: int) -> None:
        pass

    def accept(self) -> tuple[FakeSocket, tuple[str, int]]:
        if not self.waiting:
            raise BlockingIOError
        found = self.waiting.popleft()
        if isinstance(found, Exception):
            raise found
        return found, (self.host, 1000)

    def close(self) -> None:
        self.closed = True


class FakeReadiness:
    """Notes what it is to watch."""

    def __init__(self) -> None:
        self.watched: dict[int, int] = {}

    def fileno(self) -> int:
        return 0

    def register(self, descriptor: int, interest: int) -> None:
        self.watched[descriptor] = interest

    modify = register

    def set_aside(self, descriptor: int, interest: int, *, aside: bool) -> None:
        """Nobody is, here."""

    def unregister(self, descriptor: int) -> None:
        del self.watched[descriptor]

    def ready(self, seconds: float = 0) -> Ready:
        return []

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def nothing_is_left_open() -> Iterator[None]:
    """Close every acceptor, as each keeps a descriptor."""
    yield
    while MADE:
        MADE.pop().close()


MADE: list[Acceptor] = []


def acceptor_at(
    listener: FakeListener, most: int = 1000, allow_from: Networks | None = None
) -> tuple[Acceptor, FakeReadiness, Counters]:
    readiness, counters = FakeReadiness(), Counters()
    sockets = [cast(socket.socket, listener)]
    made = Acceptor(sockets, readiness, most, counters, allow_from=allow_from)
    MADE.append(made)
    return made, readiness, counters


def test_it_watches_its_listening_sockets_until_it_is_closed() -> None:
    listener = FakeListener()
    acceptor, readiness, _ = acceptor_at(listener)
    assert readiness.watched == {LISTENING: READ}
    assert acceptor.owns(LISTENING)
    acceptor.close()
    assert readiness.watched == {}
    assert listener.closed
    assert not acceptor.owns(LISTENING)


def test_a_turn_accepts_a_bounded_number() -> None:
    listener = FakeListener(*(FakeSocket() for _ in range(AT_ONCE + 5)))
    acceptor, _, counters = acceptor_at(listener)
    assert len(acceptor.accept(LISTENING, 0, NOW)) == AT_ONCE
    assert len(acceptor.accept(LISTENING, AT_ONCE, NOW)) == 5
    assert acceptor.accept(LISTENING, AT_ONCE + 5, NOW) == []
    assert counters.total_connections == AT_ONCE + 5


def test_those_who_are_too_many_are_told_so_and_closed() -> None:
    clients = [FakeSocket() for _ in range(3)]
    acceptor, _, counters = acceptor_at(FakeListener(*clients), most=10)
    accepted = acceptor.accept(LISTENING, 9, NOW)
    assert [cast(FakeSocket, sock) for sock, _ in accepted] == clients[:1]
    for refused in clients[1:]:
        assert refused.sent == b"ERROR Too many open connections\r\n"
        assert refused.closed
    assert (counters.total_connections, counters.rejected_connections) == (1, 2)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.1"])
def test_a_few_more_are_accepted_from_this_machine(host: str) -> None:
    clients = [FakeSocket() for _ in range(GUESTS + 3)]
    acceptor, _, counters = acceptor_at(FakeListener(*clients, host=host), most=10)
    assert len(acceptor.accept(LISTENING, 9, NOW)) == 1 + GUESTS
    assert [each.closed for each in clients] == [False] * (1 + GUESTS) + [True] * 2
    assert counters.rejected_connections == 2


def test_a_refusal_is_logged_with_how_many_are_connected(caplog: pytest.LogCaptureFixture) -> None:
    acceptor, _, _ = acceptor_at(FakeListener(FakeSocket(), FakeSocket(), FakeSocket()), most=2)
    acceptor.accept(LISTENING, 0, NOW)
    assert caplog.messages == ["192.0.2.1:1000: refused, as 2 clients are connected"]


@pytest.mark.parametrize("host", ["10.127.0.1", "::2", "2001:db8::127"])
def test_no_more_are_accepted_from_elsewhere(host: str) -> None:
    acceptor, _, counters = acceptor_at(FakeListener(FakeSocket(), host=host), most=10)
    assert acceptor.accept(LISTENING, 10, NOW) == []
    assert counters.rejected_connections == 1


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_without_a_descriptor_left_clients_are_refused_with_a_spare_one(number: int) -> None:
    """What the spare one is for: without it, they would wait for a server that never answers."""
    clients = [FakeSocket() for _ in range(3)]
    listener = FakeListener(OSError(number, "no room"), *clients)
    acceptor, readiness, counters = acceptor_at(listener)
    assert acceptor.accept(LISTENING, 0, NOW) == []
    assert all(each.closed and each.sent.startswith(b"ERROR Too many") for each in clients)
    assert counters.rejected_connections == 3
    assert readiness.watched == {LISTENING: 0}
    acceptor.go_on(NOW + REST)
    again = FakeSocket()
    listener.waiting.extend([OSError(number, "no room"), again])
    assert acceptor.accept(LISTENING, 0, NOW + REST) == []
    assert again.closed, "the spare one was taken again"


def test_no_memory_to_accept_with_is_no_end_of_accepting() -> None:
    listener = FakeListener(cast(OSError, MemoryError()), FakeSocket())
    acceptor, readiness, _ = acceptor_at(listener)
    assert acceptor.accept(LISTENING, 0, NOW) == []
    assert readiness.watched == {LISTENING: 0}
    acceptor.go_on(NOW + REST)
    assert len(acceptor.accept(LISTENING, 0, NOW + REST)) == 1


def test_a_client_that_is_gone_keeps_nobody_behind_it_waiting() -> None:
    gone = OSError(errno.ECONNABORTED, "Software caused connection abort")
    acceptor, readiness, _ = acceptor_at(FakeListener(gone, FakeSocket()))
    assert len(acceptor.accept(LISTENING, 0, NOW)) == 1
    assert readiness.watched == {LISTENING: READ}


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_without_a_descriptor_left_it_rests_and_then_goes_on(number: int) -> None:
    listener = FakeListener(FakeSocket(), OSError(number, "no room"))
    acceptor, readiness, _ = acceptor_at(listener)
    assert len(acceptor.accept(LISTENING, 0, NOW)) == 1, "who came before is served"
    listener.waiting.append(FakeSocket())
    assert readiness.watched == {LISTENING: 0}, "or it would be reported without end"
    assert acceptor.rests_until == NOW + REST
    acceptor.go_on(NOW + REST / 2)
    assert readiness.watched == {LISTENING: 0}
    acceptor.go_on(NOW + REST)
    assert readiness.watched == {LISTENING: READ}
    assert acceptor.rests_until is None
    assert len(acceptor.accept(LISTENING, 1, NOW + REST)) == 1


def test_who_comes_from_no_network_that_is_allowed_is_told_nothing() -> None:
    waiting = [FakeSocket() for _ in range(3)]
    listener = FakeListener(*waiting, host="192.0.2.1")
    acceptor, _, counters = acceptor_at(listener, allow_from=Networks(["198.51.100.*"]))
    assert acceptor.accept(LISTENING, 0, NOW) == []
    assert [(each.closed, each.sent) for each in waiting] == [(True, b"")] * 3
    assert (counters.rejected_connections, counters.total_connections) == (3, 0)


def test_who_comes_from_an_allowed_network_has_a_place() -> None:
    listener = FakeListener(FakeSocket(), host="198.51.100.7")
    acceptor, _, counters = acceptor_at(listener, allow_from=Networks(["198.51.100.*"]))
    assert len(acceptor.accept(LISTENING, 0, NOW)) == counters.total_connections == 1
