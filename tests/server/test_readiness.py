"""Both kinds of readiness set report the same things."""

import contextlib
import select
import socket
from collections.abc import Iterator

import pytest

from starling_py.server.readiness import (
    FEW,
    HANG_UP,
    READ,
    WRITE,
    EpollReadiness,
    Readiness,
    SelectorReadiness,
    best,
)
from tests.readable import is_readable

KINDS = [SelectorReadiness, *([EpollReadiness] if hasattr(select, "epoll") else [])]


@pytest.fixture(params=KINDS)
def readiness(request: pytest.FixtureRequest) -> Iterator[Readiness]:
    made: Readiness = request.param()
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_what_is_ready_is_reported_until_it_is_dealt_with(
    readiness: Readiness, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    readiness.register(ours.fileno(), READ)
    assert readiness.ready() == []
    theirs.send(b"x")
    assert readiness.ready() == [(ours.fileno(), READ)]
    assert readiness.ready() == [(ours.fileno(), READ)]
    ours.recv(1)
    assert readiness.ready() == []


def test_the_interest_can_change_and_can_be_nothing(
    readiness: Readiness, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    theirs.send(b"x")
    readiness.register(ours.fileno(), READ)
    readiness.modify(ours.fileno(), WRITE)
    assert readiness.ready() == [(ours.fileno(), WRITE)]
    readiness.modify(ours.fileno(), 0)
    assert readiness.ready() == []
    readiness.modify(ours.fileno(), READ | WRITE)
    assert readiness.ready() == [(ours.fileno(), READ | WRITE)]
    readiness.unregister(ours.fileno())
    assert readiness.ready() == []


def test_the_set_itself_is_readable_while_something_in_it_is_ready(
    readiness: Readiness, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    readiness.register(ours.fileno(), READ)
    assert not is_readable(readiness.fileno(), 0)
    theirs.send(b"x")
    assert is_readable(readiness.fileno(), 60)


def test_a_peer_that_is_gone_is_reported(
    readiness: Readiness, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    readiness.register(ours.fileno(), READ)
    theirs.close()
    ((descriptor, events),) = readiness.ready()
    assert descriptor == ours.fileno()
    assert events & READ


def test_the_best_set_of_this_system_is_chosen() -> None:
    chosen = best()
    expected = "EpollReadiness" if hasattr(select, "epoll") else "SelectorReadiness"
    assert type(chosen).__name__ == expected
    chosen.close()


def test_what_is_set_aside_is_reported_with_its_interest_and_comes_back(
    readiness: Readiness, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    readiness.register(ours.fileno(), READ)
    readiness.set_aside(ours.fileno(), READ, aside=True)
    assert readiness.ready() == []
    theirs.send(b"x")
    assert readiness.ready() == [(ours.fileno(), READ)]
    assert is_readable(readiness.fileno(), 5)
    readiness.modify(ours.fileno(), WRITE)
    assert readiness.ready() == [(ours.fileno(), WRITE)]
    readiness.set_aside(ours.fileno(), WRITE, aside=False)
    readiness.modify(ours.fileno(), READ)
    assert readiness.ready() == [(ours.fileno(), READ)]
    readiness.set_aside(ours.fileno(), READ, aside=True)
    readiness.unregister(ours.fileno())
    assert readiness.ready() == []


@pytest.mark.parametrize("kind", KINDS[1:])
def test_the_many_that_are_set_aside_keep_none_of_the_others_waiting(
    kind: type[EpollReadiness],
) -> None:
    readiness = kind()
    crowd = [socket.socketpair() for _ in range(200)]
    ours, theirs = socket.socketpair()
    for each, other in crowd:
        readiness.register(each.fileno(), READ)
        readiness.set_aside(each.fileno(), READ, aside=True)
        other.send(b"x")
    readiness.register(ours.fileno(), READ)
    theirs.send(b"x")
    seen: set[int] = set()
    for _ in range(20):
        ready = [descriptor for descriptor, _ in readiness.ready()]
        assert ours.fileno() in ready, "it is reported every time"
        assert len(ready) <= FEW + 1
        seen.update(ready)
    assert seen == {ours.fileno(), *(each.fileno() for each, _ in crowd)}, "they take turns"
    readiness.close()
    for pair in (*crowd, (ours, theirs)):
        for each in pair:
            each.close()


@pytest.mark.parametrize("kind", KINDS[1:])
def test_who_asks_is_found_behind_many_who_hang_up(kind: type[EpollReadiness]) -> None:
    with contextlib.ExitStack() as stack:
        readiness = stack.enter_context(contextlib.closing(kind()))
        leavers = set()
        for _ in range(400):
            ours, theirs = socket.socketpair()
            stack.enter_context(ours)
            readiness.register(ours.fileno(), READ)
            leavers.add(ours.fileno())
            theirs.close()
        ours, theirs = map(stack.enter_context, socket.socketpair())
        readiness.register(ours.fileno(), READ)
        theirs.send(b"x")
        ready = readiness.ready()
        assert ready[0] == (ours.fileno(), READ)
        assert {descriptor for descriptor, _ in ready[1:]} == leavers
        assert all(events & HANG_UP for _, events in ready[1:])
