"""Servers of a group as processes of their own, and clients that know what they were told."""

import asyncio
import contextlib
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Self

import attrs
import nats
import nats.errors

from tests.process.server_process import COMMAND, PATIENCE, environment, free_port
from tests.replica.cut import Proxies
from tests.replica.nats_cluster import NatsCluster


def stats_of(port: int, host: str = "127.0.0.1") -> dict[str, str]:
    """Return what a server tells of itself; empty if it does not."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), 2) as client:
        client.sendall(b"stats\r\n")
        told = b""
        while not told.endswith(b"END\r\n"):
            more = client.recv(1 << 16)
            if not more:
                return {}
            told += more
        pairs = (line.split(" ", 2) for line in told.decode().splitlines()[:-1])
        return {pair[1]: pair[2] for pair in pairs}
    return {}


def numbers_of(port: int, host: str = "127.0.0.1") -> dict[str, str]:
    """Return what a server that serves tells of itself, as soon as it serves and answers."""
    found: list[dict[str, str]] = []

    def serves() -> bool:
        found.append(stats_of(port, host))
        return "curr_items" in found[-1]

    wait_until(serves)
    return found[-1]


def ask(port: int, command: bytes, host: str = "127.0.0.1") -> bytes:
    """Return what a server says to one command, or as far as it said it before it hung up."""
    reply = b""
    with (
        contextlib.suppress(ConnectionResetError, BrokenPipeError),
        socket.create_connection((host, port), PATIENCE) as client,
    ):
        client.sendall(command)
        while not _is_whole(command, reply):
            more = client.recv(1 << 16)
            if not more:
                break
            reply += more
    return reply


def _is_whole(command: bytes, reply: bytes) -> bool:
    if command.startswith(b"GET /"):
        return False  # the connection's end is the reply's
    return reply.endswith(b"END\r\n" if reply.startswith(b"VALUE ") else b"\r\n")


def wait_until(what: Callable[[], bool], patience: float = 3 * PATIENCE) -> None:
    """Return when something is so."""
    deadline = time.monotonic() + patience
    while not what():
        assert time.monotonic() < deadline, "it never came to be so"
        time.sleep(0.05)


@attrs.define
class Node:
    """One server of the group."""

    port: int
    spool: Path
    options: tuple[str, ...]
    process: "subprocess.Popen[bytes] | None" = None
    host: str = "127.0.0.1"
    enter: tuple[str, ...] = ()
    """What a command begins with that is run on its machine."""

    @property
    def log(self) -> str:
        """Return what it has logged."""
        return self.spool.with_suffix(".log").read_text()

    def start(self) -> None:
        """Start it, again if it ended."""
        with self.spool.with_suffix(".log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.enter, *COMMAND, "-p", str(self.port), "-q", str(self.spool), *self.options],
                env=environment(),
                stdout=log,
                stderr=log,
            )

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; wait for its end if that kills it."""
        assert self.process is not None
        self.process.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            self.process.wait(PATIENCE)
            self.process = None

    @property
    def role(self) -> str:
        """Return what it says that it is; empty if it does not answer.

        Who was elected, or hears nothing of the cluster, is an owner that does not serve: its
        clients are let go soon. Here, it has no role.
        """
        told = stats_of(self.port, self.host)
        role = told.get("replica_role", "")
        return "" if role == "owner" and "curr_items" not in told else role

    @property
    def is_ready(self) -> bool:
        """Whether it follows and has everything, but for what is under way on a busy machine."""
        told = stats_of(self.port, self.host)
        followed = told.get("replica_owner") not in (None, "-", "")
        return told.get("replica_role") == "follower" and followed and int(told["replica_lag"]) < 50


class Servers:
    """A group on one cluster of NATS."""

    def __init__(
        self,
        cluster: NatsCluster,
        folder: Path,
        *options: str,
        size: int = 2,
        takeover: str = "3s",
        sync: str = "always",
        more: str = "",
    ) -> None:
        """Make them; ``more`` is more of the configuration, in YAML.

        On a busy machine, an owner may be silent for a second: it is not to lose the stream then.
        """
        self.cluster = cluster
        self._ports = contextlib.ExitStack()
        file = folder / "starling.yml"
        replicas = min(len(cluster.servers), 3)
        file.write_text(
            f"starling:\n  engine: jetstream\n  servers: '{cluster.urls}'\n"
            f"  takeover: {takeover}\n  replicas: {replicas}\n  grace_time: 1\n  sync: {sync}\n"
            + more
        )
        self.cuts = Proxies([each.port for each in cluster.servers])
        """Between the first node and NATS."""
        cut = ",".join(f"nats://127.0.0.1:{each}" for each in self.cuts.ports)
        self.nodes = [
            Node(
                self._ports.enter_context(free_port()),
                folder / f"spool{at}",
                ("-f", str(file), *(() if at else ("--servers", cut)), *options),
            )
            for at in range(size)
        ]

    def __enter__(self) -> Self:
        self.cuts.__enter__()
        try:
            for each in self.nodes:
                each.start()
            self.until_all_follow()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for each in self.nodes:
            if each.process is not None:
                each.process.kill()
                each.process.wait()
        if self.cuts.is_running:
            self.cuts.__exit__()
        self._ports.close()

    def until_all_follow(self) -> None:
        """Return when one node that runs serves, whichever it is, and the others are ready."""

        def all_follow() -> bool:
            running = [each for each in self.nodes if each.process is not None]
            owner = self.find_owner()
            return owner is not None and all(each is owner or each.is_ready for each in running)

        wait_until(all_follow)

    def find_owner(self) -> Node | None:
        """Return a node that serves as the owner, if one does."""
        return next((each for each in self.nodes if each.role == "owner"), None)

    @property
    def owner(self) -> Node:
        """The node that owns the stream; on a busy machine it may not say so at once."""
        found: list[Node] = []

        def has_found() -> bool:
            owner = self.find_owner()
            found.extend([] if owner is None else [owner])
            return bool(found)

        wait_until(has_found)
        return found[0]

    @property
    def followers(self) -> list[Node]:
        """The other nodes that run."""
        owner = self.owner
        return [each for each in self.nodes if each is not owner and each.process is not None]

    def stream_leader(self) -> int:
        """Return which of the NATS servers leads the stream, as soon as one does."""
        names = [each.name for each in self.cluster.servers]
        found: list[str] = []

        def has_leader() -> bool:
            found.append(asyncio.run(self._ask())[0])
            return found[-1] in names

        wait_until(has_leader)
        return names.index(found[-1])

    def is_whole(self) -> bool:
        """Tell whether all NATS servers have the whole stream."""
        return asyncio.run(self._ask())[1] == len(self.cluster.servers) - 1

    async def _ask(self) -> tuple[str, int]:
        """Return who leads the stream, and how many others have everything."""
        client = await nats.connect(self.cluster.urls.split(","))
        try:
            info = await client.jetstream().stream_info("starling")
        except (nats.errors.Error, OSError):
            return "", 0
        finally:
            await client.close()
        cluster = info.cluster
        assert cluster is not None
        return str(cluster.leader), sum(bool(each.current) for each in cluster.replicas or [])


def until_ready(group: Servers) -> None:
    """Return when the owner knows that another server is ready."""
    wait_until(lambda: stats_of(group.owner.port).get("replica_standbys", "") not in ("", "-"))


NOBODY = b"SERVER_ERROR no other server is ready to take over; nothing has changed\r\n"


def hand_over(group: Servers) -> Node:
    """Have the owner hand over, and return who that was; it may serve for a moment still.

    What it has heard of the others counts for a while only, so it is asked until it knows of one.
    """
    owner = group.owner
    replies: list[bytes] = []

    def is_asked() -> bool:
        replies.append(ask(owner.port, b"handover\r\n"))
        return replies[-1] != NOBODY

    wait_until(is_asked)
    assert replies[-1] == b"OK\r\n"
    return owner


PAUSE = 0.005
"""Seconds from a producer's put to its next one: about as long as a put takes, so that those who
produce do not take the processor from the servers, which have to beat in time."""


@attrs.define
class Load:
    """Clients that put numbered items into one queue, and take them by reads that they confirm."""

    ports: list[int]
    producers: int = 4
    consumers: int = 1
    queue: str = "jobs"
    hosts: tuple[str, ...] = ()
    """Where each port is; by default, on this machine."""
    acknowledged: list[str] = attrs.field(factory=list)
    taken: list[str] = attrs.field(factory=list)
    """Items in the order in which they were handed out."""
    confirmed: set[str] = attrs.field(factory=set)
    confirmed_again: list[str] = attrs.field(factory=list)
    """Items that were handed out though they had been confirmed."""
    outage: float = 0.0
    """The longest time in which nothing was acknowledged, in seconds."""
    _last: float = attrs.field(factory=time.monotonic)
    _lock: threading.Lock = attrs.field(factory=threading.Lock)
    _stops: threading.Event = attrs.field(factory=threading.Event)
    _puts_stop: threading.Event = attrs.field(factory=threading.Event)
    _threads: list[threading.Thread] = attrs.field(factory=list)

    def __enter__(self) -> Self:
        for at in range(self.producers):
            self._begin(self._produce, at)
        for at in range(self.consumers):
            self._begin(self._consume, at)
        return self

    def __exit__(self, *_: object) -> None:
        self._puts_stop.set()
        self._stops.set()
        for each in self._threads:
            each.join(PATIENCE)
            assert not each.is_alive()

    def finish(self) -> None:
        """End the puts, and take until nothing is left."""
        self._puts_stop.set()
        for each in self._threads[: self.producers]:
            each.join(PATIENCE)
        missing = set(self.acknowledged) - set(self.taken)
        while missing:  # one consumer alone is slow: it is enough that there are fewer each time
            before = len(missing)
            wait_until(lambda before=before: len(set(self.acknowledged) - set(self.taken)) < before)  # type: ignore[misc]
            missing = set(self.acknowledged) - set(self.taken)

    def check(self) -> None:
        """Expect that nothing was lost, and that nothing confirmed came again."""
        assert not set(self.acknowledged) - set(self.taken)
        assert not self.confirmed_again
        if self.consumers == 1:
            assert not self.disordered, self.disordered[:5]

    @property
    def twice(self) -> int:
        """Return how many items were handed out more than once."""
        return sum(number > 1 for number in Counter(self.taken).values())

    @property
    def disordered(self) -> list[tuple[str, str]]:
        """Return pairs of one producer's items of which the later one was handed out first.

        What is handed out again does not count.
        """
        found, latest, seen = [], dict[str, str](), set[str]()
        for item in self.taken:
            if item in seen:
                continue
            seen.add(item)
            who = item.split(".")[0]
            before = latest.get(who)
            if before is not None and item < before:
                found.append((before, item))
            latest[who] = item
        return found

    def _begin(self, what: Callable[[int], None], at: int) -> None:
        thread = threading.Thread(target=what, args=(at,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _produce(self, at: int) -> None:
        number = 0
        connection = _Connection(self.ports, at, self.hosts)
        while not self._puts_stop.is_set():
            item = f"p{at}.{number:07d}"
            number += 1
            reply = connection.ask(f"set {self.queue} 0 0 {len(item)}\r\n{item}\r\n", b"\r\n")
            if reply == b"STORED\r\n":
                now = time.monotonic()
                with self._lock:
                    self.acknowledged.append(item)
                    self.outage = max(self.outage, now - self._last)
                    self._last = now
                self._puts_stop.wait(PAUSE)
            else:
                connection.next()
        connection.close()

    def _consume(self, at: int) -> None:
        connection = _Connection(self.ports, at, self.hosts)
        while not self._stops.is_set():
            reply = connection.ask(f"get {self.queue}/t=100/open\r\n", b"END\r\n")
            if not reply.endswith(b"END\r\n"):
                connection.next()
                continue
            if reply == b"END\r\n":
                continue
            item = reply.split(b"\r\n")[1].decode()
            with self._lock:
                self.taken.append(item)
                if item in self.confirmed:
                    self.confirmed_again.append(item)
            if connection.ask(f"get {self.queue}/close\r\n", b"END\r\n") == b"END\r\n":
                with self._lock:
                    self.confirmed.add(item)
            else:
                connection.next()
        connection.close()


class _Connection:
    """A connection to one server of a list, the next one when that does not serve."""

    def __init__(self, ports: list[int], at: int, hosts: tuple[str, ...] = ()) -> None:
        self._ports = ports
        self._hosts = hosts or ("127.0.0.1",) * len(ports)
        self._at = at % len(ports)
        self._socket: socket.socket | None = None

    def ask(self, command: str, end: bytes) -> bytes:
        """Return the reply; something else than one if there is none."""
        try:
            if self._socket is None:
                address = self._hosts[self._at], self._ports[self._at]
                self._socket = socket.create_connection(address, 5)
                self._socket.settimeout(15)
            self._socket.sendall(command.encode())
            reply = b""
            while not reply.endswith(end) and not reply.startswith(b"SERVER_ERROR"):
                more = self._socket.recv(1 << 16)
                if not more:
                    return b""
                reply += more
        except OSError:
            return b""
        return reply

    def next(self) -> None:
        """Go to the next server of the list."""
        self.close()
        self._at = (self._at + 1) % len(self._ports)
        time.sleep(0.05)

    def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
