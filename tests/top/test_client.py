"""The client against a server that answers well, badly, slowly or not at all."""

import socket
from collections.abc import Callable, Sequence
from contextlib import closing

import pytest

from starling_py.connecting.address import Address
from starling_py.top import client as top_client
from starling_py.top.client import RefusedError, StatsClient, StatsError

Serve = Callable[[Sequence[bytes | None]], int]
REPLY = b"STAT pid 1\r\nSTAT version 1.0.0\r\nEND\r\n"
STATS = {b"pid": b"1", b"version": b"1.0.0"}


def expect_error(client: StatsClient) -> str:
    with pytest.raises(StatsError) as caught:
        client.stats()
    return str(caught.value)


def test_keys_and_values_come_as_the_bytes_the_server_sent(serve: Serve) -> None:
    reply = b"STAT queue_\xff\x0bq_items 3\r\nSTAT note two words\r\nSTAT none\r\nEND\r\n"
    with closing(StatsClient(Address(port=serve([reply])))) as client:
        assert client.stats() == {
            b"queue_\xff\x0bq_items": b"3",
            b"note": b"two words",
            b"none": b"",
        }


def test_a_server_without_statistics_is_no_error(serve: Serve) -> None:
    with closing(StatsClient(Address(port=serve([b"END\r\n"])))) as client:
        assert client.stats() == {}


def test_a_reply_larger_than_one_read_is_put_together(serve: Serve) -> None:
    expected = {b"queue_%d_items" % number: b"%d" % number for number in range(20_000)}
    lines = [b"STAT %s %s\r\n" % pair for pair in expected.items()]
    with closing(StatsClient(Address(port=serve([b"".join(lines) + b"END\r\n"])))) as client:
        assert client.stats() == expected


def test_a_connection_dropped_between_calls_is_replaced_without_an_error(
    serve: Serve,
) -> None:
    with closing(StatsClient(Address(port=serve([REPLY, None, REPLY])))) as client:
        assert client.stats() == STATS
        assert client.stats() == STATS


def test_a_server_that_drops_new_connections_too_is_an_error(serve: Serve) -> None:
    with closing(StatsClient(Address(port=serve([REPLY, None])))) as client:
        assert client.stats() == STATS
        assert expect_error(client) == "connection closed by the server"


@pytest.mark.parametrize("part", [b"", b"STAT pid 1\r\n", b"STAT a END\r\nEND"])
def test_a_reply_that_does_not_end_in_time_is_an_error(serve: Serve, part: bytes) -> None:
    with closing(StatsClient(Address(port=serve([part])), timeout=0.05)) as client:
        assert expect_error(client) == "timed out"


def test_after_a_time_out_the_late_reply_is_not_taken_for_the_next(serve: Serve) -> None:
    port = serve([b"STAT pid 2\r\n", REPLY])
    with closing(StatsClient(Address(port=port), timeout=0.2)) as client:
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


@pytest.mark.parametrize(
    ("ask", "longest"),
    [
        (lambda client: client.stats(b"conns"), 2),
        (lambda client: client.changes(b"1-1", 9), 2),
        (lambda client: client.stats(), 30),
        (lambda client: client.changes(b"", 9), 30),
    ],
)
def test_a_server_that_trickles_cannot_stretch_the_time_out(
    monkeypatch: pytest.MonkeyPatch, ask: Callable[[StatsClient], object], longest: float
) -> None:
    clock = [100.0]
    monkeypatch.setattr("starling_py.top.client.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(socket, "create_connection", lambda *_: Trickle(clock))
    with pytest.raises(StatsError, match="timed out"):
        ask(StatsClient(Address(port=1), timeout=2))
    # What is about all queues gets longer, and may be asked for in a second way.
    assert longest <= clock[0] - 100 <= 2 * longest + 1


def test_what_is_no_memcached_server_is_named_by_its_first_words(serve: Serve) -> None:
    with closing(StatsClient(Address(port=serve([b"SSH-2.0-\x1b[31m\r\n"])))) as client:
        assert expect_error(client) == r"it answered 'SSH-2.0-\x1b[31m' to `stats`"


def test_a_refused_connection_says_so(port: int) -> None:
    assert expect_error(StatsClient(Address(port=port))) == "Connection refused"


@pytest.mark.parametrize("host", ["a" * 70, "b\udcff", "a..b"])
def test_a_host_name_that_cannot_be_one_is_an_error_like_any_other(host: str) -> None:
    assert expect_error(StatsClient(Address(host=host, port=1))) == "not a host name"


@pytest.fixture
def ipv6_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every name resolve to ::1 and then to 127.0.0.1, as on many machines."""

    def resolve(host: str, port: int, *_: int) -> list[tuple[object, ...]]:
        v6 = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0))
        return [v6, (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


@pytest.mark.usefixtures("ipv6_first")
def test_every_address_of_a_name_is_tried(serve: Serve) -> None:
    with closing(StatsClient(Address(host="localhost", port=serve([REPLY])))) as client:
        assert client.stats() == STATS


CHANGES = b"STAT changes 1-5\r\nSTAT changes_anew 1\r\nEND\r\n"


class Answers:
    """A socket that answers each command from a table, and notes what it was asked."""

    def __init__(self, table: dict[bytes, bytes]) -> None:
        self.table = table
        self.asked: list[bytes] = []
        self.left = b""

    def settimeout(self, timeout: float) -> None:
        pass

    def sendall(self, data: bytes) -> None:
        self.asked.append(data.strip())
        self.left = self.table.get(data.strip(), b"ERROR\r\n")

    def recv(self, size: int) -> bytes:
        # A byte at a time: where a reply is cut must not matter.
        first, self.left = self.left[:1], self.left[1:]
        return first

    def close(self) -> None:
        pass


def answering(monkeypatch: pytest.MonkeyPatch, table: dict[bytes, bytes]) -> Answers:
    found = Answers(table)
    monkeypatch.setattr(top_client, "dial", lambda *_: found)
    return found


def test_changes_are_asked_for_with_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = answering(
        monkeypatch, {b"stats changed 0 9": CHANGES, b"stats changed 1-5 7": CHANGES}
    )
    client = StatsClient(Address())
    assert client.changes(b"", 9)[b"changes"] == b"1-5"
    assert client.changes(b"1-5", 7)[b"changes"] == b"1-5"
    assert answers.asked == [b"stats changed 0 9", b"stats changed 1-5 7"]


def test_a_server_that_knows_no_changes_is_asked_for_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = answering(monkeypatch, {b"stats": REPLY})
    client = StatsClient(Address())
    assert client.changes(b"", 9) == client.changes(b"", 9) == STATS
    assert answers.asked == [b"stats changed 0 9", b"stats", b"stats"]


def test_a_refusal_is_the_server_s_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = b"SERVER_ERROR the queue cannot be read\x1b on\r\n"
    listed = b"ITEM 1 2 0 3 waiting 0 0 0 - -\r\n"
    table = {
        b"browse none": b"NOT_FOUND\r\n",
        b"browse bad": listed + refusal,
        b"browse good": listed * 2 + b"END\r\n",
        b"browse shut": b"ERROR: browse not enabled\r\n",
    }
    answering(monkeypatch, table)
    client = StatsClient(Address())
    for command, words in {
        b"browse none": "NOT_FOUND",
        b"browse bad": r"SERVER_ERROR the queue cannot be read\x1b on",
        b"browse shut": "ERROR: browse not enabled",
    }.items():
        with pytest.raises(RefusedError) as caught:
            client.lines(command)
        assert str(caught.value) == words
    assert client.lines(b"browse good") == [listed.strip()] * 2


@pytest.mark.parametrize("data", [b"", b"END\r\n", b"x\r\nEND\r\ny", bytes(range(256))])
def test_a_peek_gives_the_data_whatever_it_is(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    reply = b"VALUE q/peek/id=7 0 %d\r\n%b\r\nEND\r\n" % (len(data), data)
    answering(monkeypatch, {b"get q/peek/id=7": reply, b"get q/peek/id=8": b"END\r\n"})
    client = StatsClient(Address())
    assert client.peek(b"q", 7) == data
    assert client.peek(b"q", 8) is None
    with pytest.raises(RefusedError):
        client.peek(b"q", 9)


def test_a_command_is_never_sent_twice(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(StatsClient(Address(port=serve([REPLY])))) as client:
        assert client.stats() == STATS
        assert client.act(b"delete q") == "ERROR"

    class Gone(Answers):
        def recv(self, size: int) -> bytes:
            raise ConnectionResetError(104, "Connection reset by peer")

    gone = Gone({})
    monkeypatch.setattr(top_client, "dial", lambda *_: gone)
    client = StatsClient(Address())
    for _ in range(2):
        with pytest.raises(StatsError):
            client.act(b"delete q")
    assert gone.asked == [b"delete q"] * 2
