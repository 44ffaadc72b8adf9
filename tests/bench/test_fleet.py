"""The poll loop: parts, noise, limits and ends."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from bench import LoadError, VoidRunError
from bench.dialects import Beanstalk, Dialect, Nats, Text, Way
from bench.fleet import Connection, Fleet
from bench.lanes import VisitLane
from bench.phrases import Endless
from bench.works import Echoes, Gets, Puts, Visits
from tests.bench.fake_queue import FakeQueue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.fleet import Bytes, Work

PATIENCE = 60.0
"""Seconds in which a round must be over, however busy the machine is."""


@pytest.fixture
def fake() -> Iterator[FakeQueue]:
    with FakeQueue() as queue:
        yield queue


def puts(size: int, count: int, depth: int = 1) -> Puts:
    return Puts(lambda at: [Text().put(b"q", size, at)], range(count), depth)


def gets(size: int, count: int, depth: int = 1, of: Puts | None = None) -> Gets:
    return Gets(lambda at: [Text().get(b"q", size, at, Way.POP)], range(count), depth, of)


def visits(visitors: int, times: int) -> Visits:
    numbers = Endless()
    put = Puts(lambda at: [Text().put(b"q", 64, at)], numbers, 1)
    return Visits(put, gets(64, 10_000, of=put), numbers, visitors, times)


def drive(port: int, *works: Work, connections: int = 3, seconds: float = PATIENCE) -> None:
    fleet = Fleet(("127.0.0.1", port), connections, time.perf_counter() + seconds, idle=2)
    with contextlib.closing(fleet):
        for work in works:
            fleet.drive(work)
            work.finish()


@contextlib.contextmanager
def talker(*said: bytes) -> Iterator[int]:
    """Serve one connection: answer each of its sends with the next of these."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            with client, contextlib.suppress(ConnectionError):
                for reply in said:
                    client.recv(1 << 16)
                    client.sendall(reply)
                client.recv(1 << 16)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join(PATIENCE)
        assert not thread.is_alive()


def talk(work: Work, *said: bytes, noise: bytes = b"") -> None:
    with talker(*said) as port:
        fleet = Fleet(("127.0.0.1", port), 1, time.perf_counter() + PATIENCE, noise=noise)
        with contextlib.closing(fleet):
            fleet.drive(work)
            work.finish()


@pytest.mark.parametrize(("depth", "size"), [(1, 64), (7, 64), (4, 100_000)])
def test_every_item_comes_back_whole_at_any_depth_and_size(
    fake: FakeQueue, depth: int, size: int
) -> None:
    count = 300 if size < 1000 else 40
    put = puts(size, count, depth)
    get = gets(size, count, depth, put)
    drive(fake.port, put, get)
    assert fake.popped == count
    assert not fake.items
    # A batch is shorter only at the end.
    assert len(put.latencies()) == len(get.latencies()) == -(-count // depth)
    assert min(put.latencies()) > 0


def test_a_server_that_never_answers_meets_the_time_limit() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(LoadError, match="time limit"),
    ):
        drive(silent.getsockname()[1], gets(12, 1), connections=1, seconds=0.05)


def test_a_server_that_hangs_up_ends_the_run() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        deadline = time.perf_counter() + PATIENCE
        with contextlib.closing(Fleet(server.getsockname(), 1, deadline)) as fleet:
            server.accept()[0].close()
            with pytest.raises(LoadError, match=r"closed|broke"):
                fleet.drive(gets(12, 1))


@pytest.mark.parametrize(
    "said", [b"VERSION 1\r\nVERSION 1\r\n", b"VERSION 12\r\n", b"ERROR\r\n...."]
)
def test_a_reply_that_is_not_the_one_voids_the_run(said: bytes) -> None:
    with pytest.raises(VoidRunError):
        talk(Echoes(b"version\r\n", b"VERSION 1\r\n", 1, 1), said)


def put_and_said(dialect: Dialect, right: bytes) -> tuple[Puts, bytes]:
    return Puts(lambda at: [dialect.put(b"q", 12, at)], range(2), 1), right


def test_a_reply_of_unknown_length_is_whole_with_its_last_line() -> None:
    work, right = put_and_said(Beanstalk(), b"INSERTED 9\r\n")
    talk(work, right, b"INSERTED 10\r\n")
    assert len(work.latencies()) == 2


def test_a_reply_too_many_of_unknown_length_voids_the_run() -> None:
    work, right = put_and_said(Beanstalk(), b"INSERTED 9\r\n")
    with pytest.raises(VoidRunError):
        talk(work, right * 2, right)


def test_noise_may_come_before_within_and_behind_the_replies() -> None:
    work, right = put_and_said(Nats(), b'MSG _I.0000 1  23\r\n{"stream":"q", "seq":1}\r\n')
    talk(work, b"PING\r\n" + right + b"PI", b"NG\r\n" + right + b"PING\r\n", noise=b"PING\r\n")


@pytest.mark.parametrize("cut", range(1, 17))
def test_noise_may_be_cut_anywhere(cut: int) -> None:
    """Whatever the parts are in which a right reply and noise come, the reply is what is left."""
    lane = Puts(lambda at: [Beanstalk().put(b"q", 12, at)], range(1), 1).lanes(range(1))[0]
    lane.ask()
    with socket.socket() as sock:
        connection = Connection(sock)
        connection.lane = lane
        stream = b"PING\r\nINSERTED 9\r\n"
        parts = [connection.gather(part, b"PING\r\n") for part in (stream[:cut], stream[cut:])]
    assert parts == [None, b"INSERTED 9\r\n"]
    assert not connection.have


def test_other_words_behind_the_replies_void_the_run() -> None:
    work, right = put_and_said(Nats(), b'MSG _I.0000 1  23\r\n{"stream":"q", "seq":1}\r\n')
    with pytest.raises(VoidRunError):
        talk(work, right, right + b"PONG\r\n", noise=b"PING\r\n")


@pytest.mark.parametrize("connections", [0, 3])
def test_each_visit_is_a_connection_of_its_own(fake: FakeQueue, connections: int) -> None:
    work = visits(visitors=1, times=20)
    drive(fake.port, work, connections=connections)
    assert len(fake.sources) == connections + 2 + 20
    assert not fake.items
    assert len(work.latencies()) == 20
    # Those that are connected work as long as there are visits.
    assert (len(work.busy()) > 40) == bool(connections)


def test_visitors_connect_again_when_the_last_has_closed(
    fake: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[VisitLane] = []
    ask = VisitLane.ask

    def recorded(lane: VisitLane) -> Bytes:
        asked.append(lane)
        return ask(lane)

    monkeypatch.setattr(VisitLane, "ask", recorded)
    work = visits(visitors=3, times=4)
    drive(fake.port, work)
    visitors = asked[:3]
    for at in range(0, 36, 9):
        assert asked[at : at + 3] == visitors
        # Each puts, takes, and closes.
        assert all(asked[at : at + 9].count(lane) == 3 for lane in visitors)
    assert asked[36:] == visitors
    assert len(work.latencies()) == 4


def test_visits_of_each_round_come_from_another_address(fake: FakeQueue) -> None:
    drive(fake.port, visits(visitors=2, times=3), visits(visitors=2, times=3), connections=0)
    idle, first, second = fake.sources[:2], fake.sources[2:8], fake.sources[8:]
    assert len(second) == 6
    assert len({*first}) == len({*second}) == 1
    assert {*idle}.isdisjoint(first)
    assert {*first}.isdisjoint(second)


def test_a_visitor_that_is_answered_wrongly_voids_the_run() -> None:
    with FakeQueue(wrong=b"END\r\n") as fake, pytest.raises(VoidRunError):
        drive(fake.port, visits(visitors=1, times=20))


def test_a_server_that_accepts_no_visitor_meets_the_time_limit() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(LoadError, match="time limit"),
    ):
        drive(silent.getsockname()[1], visits(visitors=3, times=1), connections=0, seconds=0.05)


def test_a_visitor_whose_connection_is_refused_ends_the_run() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        fleet = Fleet(taken.getsockname(), 0, time.perf_counter() + 20)
        with contextlib.closing(fleet), pytest.raises(LoadError, match="broke"):
            fleet.drive(visits(visitors=1, times=1))
