"""The client against a server that answers well, badly, slowly or not at all."""

import socket
from collections.abc import Callable, Sequence
from contextlib import closing

import pytest

from starling_py.top.client import StatsClient, StatsError

Serve = Callable[[Sequence[bytes | None]], int]
REPLY = b"STAT pid 1\r\nSTAT version 1.0.0\r\nEND\r\n"
STATS = {b"pid": b"1", b"version": b"1.0.0"}


def expect_error(client: StatsClient) -> str:
    with pytest.raises(StatsError) as caught:
        client.stats()
    return str(caught.value)


def test_keys_and_values_come_as_the_bytes_the_server_sent(serve: Serve) -> None:
    reply = b"STAT queue_\xff\x0bq_items 3\r\nSTAT note two words\r\nSTAT none\r\nEND\r\n"
    with closing(StatsClient("127.0.0.1", serve([reply]))) as client:
        assert client.stats() == {
            b"queue_\xff\x0bq_items": b"3",
            b"note": b"two words",
            b"none": b"",
        }


def test_a_server_without_statistics_is_no_error(serve: Serve) -> None:
    with closing(StatsClient("127.0.0.1", serve([b"END\r\n"]))) as client:
        assert client.stats() == {}


def test_a_reply_larger_than_one_read_is_put_together(serve: Serve) -> None:
    expected = {b"queue_%d_items" % number: b"%d" % number for number in range(20_000)}
    lines = [b"STAT %s %s\r\n" % pair for pair in expected.items()]
    with closing(StatsClient("127.0.0.1", serve([b"".join(lines) + b"END\r\n"]))) as client:
        assert client.stats() == expected


def test_a_connection_dropped_between_calls_is_replaced_without_an_error(
    serve: Serve,
) -> None:
    with closing(StatsClient("127.0.0.1", serve([REPLY, None, REPLY]))) as client:
        assert client.stats() == STATS
        assert client.stats() == STATS


def test_a_server_that_drops_new_connections_too_is_an_error(serve: Serve) -> None:
    with closing(StatsClient("127.0.0.1", serve([REPLY, None]))) as client:
        assert client.stats() == STATS
        assert expect_error(client) == "connection closed by the server"


@pytest.mark.parametrize("part", [b"", b"STAT pid 1\r\n", b"STAT a END\r\nEND"])
def test_a_reply_that_does_not_end_in_time_is_an_error(serve: Serve, part: bytes) -> None:
    with closing(StatsClient("127.0.0.1", serve([part]), timeout=0.05)) as client:
        assert expect_error(client) == "timed out"


def test_after_a_time_out_the_late_reply_is_not_taken_for_the_next(serve: Serve) -> None:
    port = serve([b"STAT pid 2\r\n", REPLY])
    with closing(StatsClient("127.0.0.1", port, timeout=0.2)) as client:
        assert expect_error(client) == "timed out"
        client._timeout = 60  # the second reply comes, however late
        assert client.stats() == STATS


class Trickle:
    """A socket that sends one byte at each read, a tenth of a second apart."""

    def __init__(self, clock: list[float]) -> None:
        self.clock = clock

    def settimeout(self, timeout: float) -> None:
        assert timeout > 0

    def sendall(self, data: bytes) -> None:
        pass

    def close(self) -> None:
        pass

    def recv(self, size: int) -> bytes:
        self.clock[0] += 0.1
        return b"S"


def test_a_server_that_trickles_cannot_stretch_the_time_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [100.0]
    monkeypatch.setattr("starling_py.top.client.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(socket, "create_connection", lambda *_: Trickle(clock))
    assert expect_error(StatsClient("127.0.0.1", 1, timeout=2)) == "timed out"
    assert clock[0] == pytest.approx(102, abs=0.11)


def test_what_is_no_memcached_server_is_named_by_its_first_words(serve: Serve) -> None:
    with closing(StatsClient("127.0.0.1", serve([b"SSH-2.0-\x1b[31m\r\n"]))) as client:
        assert expect_error(client) == r"it answered 'SSH-2.0-\x1b[31m' to `stats`"


def test_a_refused_connection_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert expect_error(StatsClient("127.0.0.1", port)) == "Connection refused"


@pytest.mark.parametrize("host", ["a" * 70, "b\udcff", "a..b"])
def test_a_host_name_that_cannot_be_one_is_an_error_like_any_other(host: str) -> None:
    assert expect_error(StatsClient(host, 1)) == "not a host name"


@pytest.fixture
def ipv6_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every name resolve to ::1 and then to 127.0.0.1, as on many machines."""

    def resolve(host: str, port: int, *_: int) -> list[tuple[object, ...]]:
        v6 = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0))
        return [v6, (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


@pytest.mark.usefixtures("ipv6_first")
def test_every_address_of_a_name_is_tried(serve: Serve) -> None:
    with closing(StatsClient("localhost", serve([REPLY]))) as client:
        assert client.stats() == STATS
