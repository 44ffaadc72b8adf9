"""The load script's own tests: a load that accepts a wrong reply would measure nothing."""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Self

import pytest

from bench import Fleet, Gets, LoadError, Puts, VoidRunError, Work
from bench.load import Tally, main, percentile, table

if TYPE_CHECKING:
    from collections.abc import Iterator


def put_of(number: int) -> bytes:
    return b"set q 0 0 12\r\n%08dabcd\r\n" % number


def item(number: int) -> bytes:
    return b"VALUE q 0 12\r\n%08dabcd\r\nEND\r\n" % number


def gets(count: int, depth: int = 1) -> Gets:
    return Gets("q", 12, range(count), depth)


class FakeQueue:
    """A queue in memory, served by one thread, that gives `wrong` instead of its third item."""

    def __init__(self, wrong: bytes | None = None, after: bytes = b"") -> None:
        self.items: deque[bytes] = deque()
        self.popped = 0
        self._wrong, self._after = wrong, after
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stopper, stopped = socket.socketpair()
        self._held: dict[socket.socket, bytes] = {}
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(stopped, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, args=(stopped,))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopper.close()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def _serve(self, stopped: socket.socket) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            ready = [key.fileobj for key, _ in self._selector.select(1)]
            if stopped in ready:
                break
            for sock in ready:
                assert isinstance(sock, socket.socket)
                if sock is self._listener:
                    client = sock.accept()[0]
                    self._held[client] = b""
                    self._selector.register(client, selectors.EVENT_READ)
                else:
                    self._answer(sock)
        self._selector.close()
        for sock in (*self._held, self._listener, stopped):
            sock.close()

    def _answer(self, sock: socket.socket) -> None:
        with contextlib.suppress(ConnectionError):
            data = sock.recv(1 << 16)
            if not data:
                self._selector.unregister(sock)
                self._held.pop(sock)
                sock.close()
                return
            replies, self._held[sock] = self._execute(self._held[sock] + data)
            sock.sendall(replies)

    def _execute(self, data: bytes) -> tuple[bytes, bytes]:
        replies = b""
        while b"\r\n" in data:
            line, _, rest = data.partition(b"\r\n")
            verb, key, *sizes = line.split()
            if verb == b"set":
                size = int(sizes[-1])
                if len(rest) < size + 2:
                    break
                self.items.append(rest[:size])
                data, replies = rest[size + 2 :], replies + b"STORED\r\n"
            else:
                data, replies = rest, replies + self._pop(key)
        return replies, data

    def _pop(self, key: bytes) -> bytes:
        self.popped += 1
        value = self.items.popleft()
        reply = b"VALUE %b 0 %d\r\n%b\r\nEND\r\n" % (key, len(value), value)
        if self.popped == 3 and self._wrong is not None:
            return self._wrong
        return reply if self.items else reply + self._after


@pytest.fixture
def fake() -> Iterator[FakeQueue]:
    with FakeQueue() as queue:
        yield queue


def drive(port: int, *works: Work, connections: int = 3, seconds: float = 20) -> list[float]:
    fleet = Fleet(("127.0.0.1", port), connections, time.perf_counter() + seconds)
    with contextlib.closing(fleet):
        return [took for work in works for took in fleet.drive(work)]


def test_puts_number_every_item_and_the_last_batch_is_what_is_left() -> None:
    puts = Puts("q", 12, range(7, 12), 2)
    batches = [(bytes(batch), count) for batch, count in (puts.take() for _ in range(4))]
    assert batches == [
        (put_of(7) + put_of(8), 2),
        (put_of(9) + put_of(10), 2),
        (put_of(11), 1),
        (b"", 0),
    ]


def test_gets_ask_for_as_many_items_as_there_are() -> None:
    work = gets(5, depth=3)
    assert [work.take() for _ in range(3)] == [
        (b"get q\r\n" * 3, 3),
        (b"get q\r\n" * 2, 2),
        (b"", 0),
    ]


def test_an_item_of_only_its_number_is_possible() -> None:
    assert bytes(Puts("q", 8, range(1), 1).take()[0]) == b"set q 0 0 8\r\n00000000\r\n"


def test_stored_is_the_only_right_reply_to_a_put() -> None:
    puts = Puts("q", 12, range(9), 2)
    puts.check(b"STORED\r\n" * 2, 2)
    puts.check(b"STORED\r\n", 1)
    for reply, count in ((b"STORED\r\n", 2), (b"STORED\r\n" * 2, 1), (b"SERVED\r\n", 1)):
        with pytest.raises(VoidRunError, match="wrong reply to set"):
            puts.check(reply, count)


@pytest.mark.parametrize("start", [b"NOT_STORED\r\n", b"STORED\r\nERROR"])
def test_an_error_is_seen_although_fewer_bytes_came_than_are_due(start: bytes) -> None:
    with pytest.raises(VoidRunError):
        Puts("q", 12, range(9), 4).probe(start)


@pytest.mark.parametrize("start", [b"END\r\n", item(0) + b"END\r\n", b"END\r\n" + item(1)])
def test_a_miss_is_seen_although_fewer_bytes_came_than_are_due(start: bytes) -> None:
    with pytest.raises(VoidRunError):
        gets(9, depth=4).probe(start)


def test_the_start_of_a_right_reply_is_waited_for() -> None:
    for cut in range(len(item(0)) * 2):
        gets(2, depth=2).probe((item(0) + item(1))[:cut])
    for cut in range(16):
        Puts("q", 12, range(2), 2).probe((b"STORED\r\n" * 2)[:cut])


def test_items_may_come_back_in_any_order() -> None:
    work = gets(4, depth=2)
    work.check(item(3) + item(0), 2)
    work.check(bytearray(item(2) + item(1)), 2)
    work.finish()


@pytest.mark.parametrize(
    ("numbers", "fault"),
    [
        ([0, 1], "1 missing$"),
        ([0, 1, 1], "1 missing, 1 repeated$"),
        ([0, 1, 2, 2], ": 1 repeated$"),
        ([0, 1, 7], "1 missing, 1 never put$"),
    ],
)
def test_a_missing_a_repeated_or_an_unknown_item_voids_the_run(
    numbers: list[int], fault: str
) -> None:
    work = gets(3)
    for number in numbers:
        work.check(item(number), 1)
    with pytest.raises(VoidRunError, match=fault):
        work.finish()


def test_a_changed_byte_anywhere_in_a_reply_voids_the_run() -> None:
    right = item(0)
    for place in range(len(right)):
        with pytest.raises(VoidRunError):
            judge(gets(1), right[:place] + b"#" + right[place + 1 :])


def test_percentiles_are_values_that_occurred() -> None:
    ordered = [float(value) for value in range(1, 201)]
    assert [percentile(ordered, percent) for percent in (0, 50, 99, 100)] == [1, 100, 198, 200]
    assert percentile([5.0], 99) == 5


def judge(work: Work, reply: bytes) -> None:
    work.check(reply, 1)
    work.finish()


def tally(load_cpu: float) -> Tally:
    made = Tally()
    made.rates = [3000.0, 1000.0, 1500.0]
    made.latencies = [0.002, 0.001, 0.009]
    made.operations, made.wall, made.server_cpu, made.load_cpu = 1000, 2.0, 0.02, load_cpu
    return made


def test_a_row_shows_the_median_the_spread_and_microseconds() -> None:
    row = tally(load_cpu=0.5).row()
    assert (row["ops_per_s"], row["ops_per_s_min"], row["ops_per_s_max"]) == (1500, 1000, 3000)
    assert (row["p50"], row["p99"], row["max"]) == pytest.approx((2000, 9000, 9000))
    assert row["server_cpu_per_op"] == pytest.approx(20)
    assert row["load_busy_share"] == pytest.approx(0.25)


def test_the_table_warns_only_when_the_load_was_busy() -> None:
    calm, busy = tally(load_cpu=0.5).row(), tally(load_cpu=1.9).row()
    shown = table({"put": calm, "get": calm})
    assert shown.splitlines()[1].split() == (
        ["put", "1,500", "1,000..3,000", "2,000", "9,000", "9,000", "20.00"]
    )
    assert "25% in put" in shown
    assert "bottleneck" not in shown
    assert "the load may be the bottleneck" in table({"put": calm, "get": busy})


def test_the_table_does_not_call_an_unmeasured_server_free() -> None:
    made = tally(load_cpu=0.5)
    made.server_cpu = 0.0
    assert "unknown" in table({"put": made.row()})


@pytest.mark.parametrize(("depth", "size"), [(1, 64), (7, 64), (4, 100_000)])
def test_every_item_comes_back_whole_at_any_depth_and_size(
    fake: FakeQueue, depth: int, size: int
) -> None:
    count = 300 if size < 1000 else 40
    shape = ("q", size, range(count), depth)
    pops = Gets(*shape)
    latencies = drive(fake.port, Puts(*shape), pops)
    pops.finish()
    assert fake.popped == count
    assert not fake.items
    # A batch is shorter only at the end.
    assert len(latencies) == 2 * -(-count // depth)
    assert min(latencies) > 0


def test_the_command_prints_its_figures_as_json(
    fake: FakeQueue, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--port", str(fake.port), "--items", "200", "--rounds", "2", "--connections", "5"]
    assert main([*options, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["options"]["items"] == 200
    assert shown["rows"]["put"]["ops_per_s"] > 0
    assert fake.popped == 400


@pytest.mark.parametrize(
    ("wrong", "after"),
    [
        (b"END\r\n", b""),
        (b"SERVER_ERROR out of luck\r\n", b""),
        (b"VALUE load 0 12\r\n00000000abcd\r\nEND\r\n", b""),
        (b"VALUE load 0 12\r\n00000002abcX\r\nEND\r\n", b""),
        (None, b"END\r\n"),
    ],
    ids=["a miss", "an error", "an item twice", "a changed byte", "a reply too many"],
)
def test_the_command_voids_a_run_with_one_wrong_reply(
    wrong: bytes | None, after: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeQueue(wrong, after) as queue:
        options = ["--port", str(queue.port), "--items", "50", "--size", "12", "--rounds", "1"]
        assert main([*options, "--connections", "2"]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("load: void run: ")
    assert not printed.out


def test_a_server_that_never_answers_meets_the_time_limit() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(LoadError, match="time limit"),
    ):
        drive(silent.getsockname()[1], gets(1), connections=1, seconds=0.05)


def test_a_server_that_hangs_up_ends_the_run() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        deadline = time.perf_counter() + 20
        with contextlib.closing(Fleet(server.getsockname(), 1, deadline)) as fleet:
            server.accept()[0].close()
            with pytest.raises(LoadError, match=r"closed|broke"):
                fleet.drive(gets(1))


def test_a_refused_connection_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    assert main(["--port", str(port), "--connections", "1"]) == 1
    assert f"cannot connect to 127.0.0.1:{port}" in capsys.readouterr().err


def test_an_item_too_small_for_its_number_is_refused() -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--size", "7"])
    assert stopped.value.code == 2
