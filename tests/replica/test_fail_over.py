"""Every command and option through a fail-over: the same as through a kill of a server alone.

Each row is asked of one server, which is killed then, and goes on where the queues are served next:
by itself, started again, or by another server of its group. Both must answer the same.
"""

import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.process.server_process import COMMAND, PATIENCE, environment, free_port
from tests.replica.group import Servers, numbers_of, stats_of, wait_until
from tests.replica.nats_cluster import NatsCluster

SETTINGS = """\
  allow_drain: true
  allow_snapshot: true
  allow_flush_all: true
queues:
  limited: {max_items: 2}
  newest: {max_items: 2, discard_old_when_full: true}
  tried: {max_deliveries: 1, dead_letter: failed}
  bad: {max_deliveries: 99, dead_letter: buried}
  short: {expire_to: too_late}
  memory: {journal: false}
  kept: {refuse_delete: true}
  hurried: {open_timeout: 0.2}
routes:
  "orders.#": [audit]
"""


def put(queue: str, *datas: str, flags: int = 0, exptime: int = 0) -> tuple[str, str]:
    """Return puts of several items, and the replies to them."""
    lines = [f"set {queue} {flags} {exptime} {len(each)}\r\n{each}\r\n" for each in datas]
    return "".join(lines), "STORED\r\n" * len(datas)


def got(queue: str, *datas: str, flags: int = 0) -> tuple[str, str]:
    """Return gets, and the items that they give; none at the end."""
    found = [f"VALUE {queue} {flags} {len(each)}\r\n{each}\r\nEND\r\n" for each in datas]
    return f"get {queue}\r\n" * (len(datas) + 1), "".join(found) + "END\r\n"


def value(key: str, data: str) -> str:
    """Return the reply to a get that gives an item."""
    return f"VALUE {key} 0 {len(data)}\r\n{data}\r\nEND\r\n"


def item(number: int, state: str, rest: str = "0 0 - -") -> str:
    """Return a line of ``browse``: with an age of any length, and what is told of its life."""
    due, expires, origin, reason = rest.split(" ")
    return rf"ITEM {number} 1 0 \d+ {state} {due} {expires} \d+ {origin} {reason}" + "\r\n"


def browsed(queue: str, *items: str) -> tuple[str, re.Pattern[str]]:
    """Return a browse and what it must list."""
    return f"browse {queue}\r\n", re.compile("".join(items) + "END\r\n")


Step = tuple[str, str | re.Pattern[str]]
ROWS: dict[str, tuple[list[Step], list[Step]]] = {
    "order and flags": (
        [put("plain", "a", "b", "c", flags=7)],
        [got("plain", "a", "b", "c", flags=7)],
    ),
    "taken": (
        [put("taken", "a", "b"), ("get taken\r\n", value("taken", "a"))],
        [got("taken", "b")],
    ),
    "prepend": (
        [put("front", "a"), ("prepend front 0 0 1\r\nb\r\n", "STORED\r\n")],
        [got("front", "b", "a")],
    ),
    "add": (
        [("add added 0 0 1\r\na\r\n", "STORED\r\n")],
        [("add added 0 0 1\r\nb\r\n", "NOT_STORED\r\n"), got("added", "a")],
    ),
    "replace": (
        [("replace unknown 0 0 1\r\na\r\n", "NOT_STORED\r\n"), put("known", "a")],
        [("append known 0 0 1\r\nb\r\n", "STORED\r\n"), got("known", "a", "b"), got("unknown")],
    ),
    "delay": (
        [("set later/delay=3600 0 0 1\r\na\r\n", "STORED\r\n")],
        [got("later"), browsed("later", item(1, "delayed", r"\d+ 0 - -"))],
    ),
    "short delay": (
        [("set soon/delay=0.1 0 0 1\r\na\r\n", "STORED\r\n")],
        [("get soon/t=9000\r\n", value("soon/t=9000", "a"))],
    ),
    "expiry": (
        [put("mortal", "a", exptime=3600), put("dead", "a", exptime=-1)],
        [browsed("mortal", item(1, "waiting", r"0 \d+ - -")), got("dead")],
    ),
    "expire_to": ([put("short", "a", exptime=-1)], [got("short"), got("too_late", "a")]),
    "once": (
        [("set once/once=token 0 0 1\r\na\r\n", "STORED\r\n")],
        [("set once/once=token 0 0 1\r\na\r\n", "STORED\r\n"), got("once", "a")],
    ),
    "wait for the disk": ([("set safe/sync 0 0 1\r\na\r\n", "STORED\r\n")], [got("safe", "a")]),
    "open": (
        [put("opened", "a", "b"), ("get opened/open\r\n", value("opened/open", "a"))],
        [("mg opened v h\r\n", "VA 1 h1\r\na\r\n"), got("opened", "b")],
    ),
    "lease": (
        [put("leased", "a"), ("get leased/open/lease=9\r\n", value("leased/open/lease=9", "a"))],
        [("get leased/t=20000\r\n", value("leased/t=20000", "a"))],
    ),
    "gat and touch": (
        [
            put("gat", "a"),
            ("gat 9 gat\r\n", value("gat", "a")),
            ("touch gat 9\r\n", "TOUCHED\r\n"),
        ],
        [("get gat/t=20000\r\n", value("gat/t=20000", "a"))],
    ),
    "open_timeout": (
        [put("hurried", "a"), ("get hurried/open\r\n", value("hurried/open", "a"))],
        [("get hurried/t=9000\r\n", value("hurried/t=9000", "a"))],
    ),
    "close": (
        [
            put("closed", "a", "b"),
            ("get closed/open\r\n", value("closed/open", "a")),
            ("get closed/close\r\n", "END\r\n"),
        ],
        [got("closed", "b")],
    ),
    "close=ID": (
        [
            put("by_id", "a", "b"),
            ("get by_id/open\r\n", value("by_id/open", "a")),
            ("get by_id/open\r\n", value("by_id/open", "b")),
            ("get by_id/close=1\r\n", "END\r\n"),
        ],
        [got("by_id", "b")],
    ),
    "abort": (
        [
            put("aborted", "a", "b"),
            ("get aborted/open\r\n", value("aborted/open", "a")),
            ("get aborted/abort\r\n", "END\r\n"),
        ],
        [got("aborted", "a", "b")],
    ),
    "abort with a delay": (
        [
            put("again", "a"),
            ("get again/open\r\n", value("again/open", "a")),
            ("get again/abort/delay=3600\r\n", "END\r\n"),
        ],
        [got("again"), browsed("again", item(1, "delayed", r"\d+ 0 - -"))],
    ),
    "bury": (
        [
            put("bad", "a"),
            ("get bad/open\r\n", value("bad/open", "a")),
            ("get bad/bury\r\n", "END\r\n"),
        ],
        [
            got("bad"),
            browsed("buried", item(1, "waiting", "0 0 bad buried")),
            ("move buried origin\r\n", "MOVED 1\r\n"),
            got("bad", "a"),
        ],
    ),
    "max_deliveries": (
        [put("tried", "a"), ("get tried/open\r\n", value("tried/open", "a"))],
        [got("tried"), ("get failed/t=9000\r\n", value("failed/t=9000", "a"))],
    ),
    "confirm": (
        [
            put("confirmed", "a", "b"),
            (
                "get confirmed/open\r\n" * 2,
                value("confirmed/open", "a") + value("confirmed/open", "b"),
            ),
            ("confirm confirmed 1\r\n", "END\r\n"),
        ],
        [got("confirmed", "b")],
    ),
    "monitor": (
        [put("watched", "a"), ("monitor watched 1 1\r\n", value("watched", "a") + "END\r\n")],
        [got("watched", "a")],
    ),
    "peek": (
        [put("seen", "a", "b"), ("get seen/peek\r\n", value("seen/peek", "a"))],
        [("get seen/peek/id=2\r\n", value("seen/peek/id=2", "b")), got("seen", "a", "b")],
    ),
    "first": (
        [put("low", "a")],
        [("get high/first low\r\n", value("low", "a")), got("low")],
    ),
    "pause": (
        [put("paused", "a"), ("pause paused\r\n", "OK\r\n")],
        [got("paused"), ("resume paused\r\n", "OK\r\n"), got("paused", "a")],
    ),
    "flush": (
        [put("flushed", "a", "b"), ("flush flushed\r\n", "END\r\n"), put("flushed", "c")],
        [got("flushed", "c")],
    ),
    "flush_expired": (
        [put("stale", "a", exptime=-1), ("flush_expired stale\r\n", "1\r\n")],
        [got("stale")],
    ),
    "children": (
        [("set fan+a 0 0 1\r\n1\r\n", "STORED\r\n"), put("fan", "2")],
        [put("fan", "3"), got("fan", "2", "3"), got("fan+a", "1", "2", "3")],
    ),
    "routes": (
        [put("orders.new", "a")],
        [put("orders.old", "b"), got("audit", "a", "b")],
    ),
    "move": (
        [put("from", "a", "b"), ("move from to 1\r\n", "MOVED 1\r\n")],
        [browsed("to", item(1, "waiting", "0 0 from moved")), got("from", "b"), got("to", "a")],
    ),
    "drop": (
        [put("dropped", "a", "b"), ("drop dropped 1\r\n", "DELETED\r\n")],
        [got("dropped", "b")],
    ),
    "limits": (
        [put("limited", "a", "b"), ("set limited 0 0 1\r\nc\r\n", "NOT_STORED\r\n")],
        [("set limited 0 0 1\r\nc\r\n", "NOT_STORED\r\n"), got("limited", "a", "b")],
    ),
    "discard_old_when_full": ([put("newest", "a", "b", "c")], [got("newest", "b", "c")]),
    "in memory": ([put("memory", "a")], [got("memory")]),
    "ids": (
        [("ms ids 1 c\r\na\r\n", "HD c1\r\n")],
        [("ms ids 1 c\r\nb\r\n", "HD c2\r\n"), ("mg ids v c\r\n", "VA 1 c1\r\na\r\n")],
    ),
    "meta": (
        [("ms bWV0YQ== 1 b F5 T3600\r\na\r\nmn\r\n", "HD\r\nMN\r\n")],
        [
            ("mg meta v f t\r\n", re.compile("VA 1 f5 t3[56]\\d\\d\r\na\r\n")),
            ("me meta\r\n", re.compile("ME meta items=0.*\r\n")),
        ],
    ),
    "meta lease": (
        [("ms meta2 1\r\na\r\n", "HD\r\n"), ("mg meta2 v T9\r\n", "VA 1\r\na\r\n")],
        [("mg meta2/t=20000 v\r\n", "VA 1\r\na\r\n")],
    ),
    "refused": (
        [put("mixed", "a")],
        [
            (
                "incr mixed 1\r\n",
                "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n",
            ),
            ("cas mixed 0 0 1 1\r\nb\r\n", "NOT_FOUND\r\n"),
            got("mixed", "a"),
        ],
    ),
    "draining": (
        [("status READONLY\r\n", "END\r\n"), ("status UP\r\n", "END\r\n")],
        [("status\r\n", "UP\r\n")],
    ),
    # The last row: ids of new queues go on behind those of one that was deleted.
    "delete": (
        [put("gone", "a"), ("delete gone\r\n", "DELETED\r\n"), put("kept", "a")],
        [
            ("replace gone 0 0 1\r\na\r\n", "NOT_STORED\r\n"),
            ("delete kept\r\n", "NOT_FOUND\r\n"),
            got("kept", "a"),
        ],
    ),
}
COUNTS = {
    "queue_plain_total_items": "3",
    "queue_taken_total_items": "2",
    "queue_limited_items": "2",
    "queue_later_delayed": "1",
    "queue_opened_items": "2",
}
"""What is told after the fail-over, before anything else is asked."""
BINARY_SET = bytes.fromhex("80010006080000000000000f 00000000 0000000000000000 00000009 00000000")
BINARY_GET = bytes.fromhex("800c0006000000000000000600000000 0000000000000000")


class Places:
    """Where the queues are served: one port before the kill, another one, or the same, after it."""

    def __init__(self, stack: ExitStack, folder: Path, kind: str) -> None:
        self._kind = kind
        self._folder = folder
        if kind == "group":
            (folder / "nats").mkdir()
            cluster = stack.enter_context(NatsCluster(folder / "nats", 1))
            self._group = stack.enter_context(Servers(cluster, folder, more=SETTINGS))
            self.port = self._group.owner.port
            return
        (folder / "alone.yml").write_text(f"starling:\n  sync: always\n{SETTINGS}")
        self.port = stack.enter_context(free_port())
        self._process = self._start()
        stack.callback(self._end)

    def kill(self) -> None:
        """Kill who serves, and return when the queues are served again."""
        if self._kind == "group":
            self._group.owner.signal(signal.SIGKILL)
            wait_until(lambda: self._group.find_owner() is not None)
            self.port = self._group.owner.port
            return
        self._end()
        self._process = self._start()

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()

    def _start(self) -> "subprocess.Popen[bytes]":
        options = ["-f", str(self._folder / "alone.yml"), "-q", str(self._folder / "spool")]
        process = subprocess.Popen(
            [*COMMAND, "-p", str(self.port), *options],
            env=environment(),
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: process.poll() is not None or "pid" in stats_of(self.port))
        return process


@pytest.fixture(params=["alone", "group"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Places]:
    with ExitStack() as stack:
        yield Places(stack, tmp_path, request.param)


def asked(client: socket.socket, command: bytes, expected: re.Pattern[bytes]) -> bytes:
    """Ask; return the reply, as far as it has come when it is right or nothing more comes."""
    client.sendall(command)
    reply = b""
    until = time.monotonic() + PATIENCE
    while not expected.fullmatch(reply) and time.monotonic() < until:
        client.settimeout(PATIENCE)
        try:
            more = client.recv(1 << 16)
        except TimeoutError:
            break
        if not more:
            break
        reply += more
    return reply


def wrong(client: socket.socket, steps: list[Step]) -> list[str]:
    """Ask, and return what was answered otherwise."""
    found = []
    for command, expected in steps:
        text = re.escape(expected) if isinstance(expected, str) else expected.pattern
        pattern = re.compile(text.encode())
        reply = asked(client, command.encode(), pattern)
        if not pattern.fullmatch(reply):
            found.append(f"{command!r}: {reply!r}, not {text!r}")
    return found


def test_every_command_and_option_comes_through_a_fail_over(places: Places) -> None:
    bad = []
    with ExitStack() as stack:
        address = "127.0.0.1", places.port
        clients = {
            name: stack.enter_context(socket.create_connection(address, 30)) for name in ROWS
        }
        for name, (before, _) in ROWS.items():
            bad += [f"{name}, before: {each}" for each in wrong(clients[name], before)]
        binary = stack.enter_context(socket.create_connection(address, 30))
        stored = re.compile(rb"\x81.{5}\0\0.{16}", re.DOTALL)
        assert stored.fullmatch(asked(binary, BINARY_SET + b"binary" + b"x", stored))
        places.kill()
    numbers = numbers_of(places.port)
    assert {name: numbers[name] for name in COUNTS} == COUNTS
    for name, (_, after) in ROWS.items():
        with socket.create_connection(("127.0.0.1", places.port), 30) as client:
            bad += [f"{name}, after: {each}" for each in wrong(client, after)]
    with socket.create_connection(("127.0.0.1", places.port), 30) as client:
        found = re.compile(rb"\x81.{5}\0\0.*\0\0\0\x09binaryx", re.DOTALL)
        assert found.fullmatch(asked(client, BINARY_GET + b"binary", found))
    assert not bad, "\n".join(bad)


def test_a_snapshot_is_of_the_server_that_made_it(places: Places) -> None:
    done = re.compile(b"(?:OK|END|STORED|CLIENT_ERROR .*)\r\n")
    for queue in (b"a", b"b"):
        with socket.create_connection(("127.0.0.1", places.port), 30) as client:
            assert asked(client, b"set %s 0 0 1\r\nx\r\n" % queue, done) == b"STORED\r\n"
            assert asked(client, b"snapshot of_%s\r\n" % queue, done) == b"OK\r\n"
        if queue == b"a":
            places.kill()
    numbers = numbers_of(places.port)
    assert (numbers["queue_a_items"], numbers["queue_b_items"]) == ("1", "1")
