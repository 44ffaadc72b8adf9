"""A server in the test's own process, and a client that says exactly what bytes it expects."""

import contextlib
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

import attrs
import trio

from starling_py.clock import Clock
from starling_py.journal.disk.files import Files
from starling_py.server.access import Access
from starling_py.server.accounts import Accounts
from starling_py.server.core import Core, Storage
from starling_py.server.listening import listen
from starling_py.server.server import Server
from starling_py.server.surroundings import Surroundings
from starling_py.server.threads import Threads
from starling_py.server.tls import Certificates
from starling_py.server.web_opening import open_web
from starling_py.settings.server_settings import Settings
from tests.replica.shipped_server import WANTED, StreamInMemory

PATIENCE = 30.0
"""Seconds after which something that should have happened has not, however busy the machine is."""


class Client:
    """One connection to a server.

    ``say`` hands bytes to the system without giving the server a turn, so what several clients
    say one after the other meets the server in one tick.
    """

    def __init__(self, port: int, receive_buffer: int | None = None) -> None:
        self._socket = socket.socket()
        if receive_buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            self._socket.connect(("127.0.0.1", port))
        except OSError:
            self._socket.close()
            raise
        self._socket.setblocking(False)
        self._stream = trio.SocketStream(trio.socket.from_stdlib_socket(self._socket))
        self._received = b""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.hang_up()

    def say(self, data: bytes) -> None:
        """Send little enough to be taken at once; the server has not seen it on return."""
        assert self._socket.send(data) == len(data)

    async def send(self, data: bytes) -> None:
        """Send everything, however long the server takes to read it."""
        await self._stream.send_all(data)

    async def send_what_is_taken(self, patience: float) -> int:
        """Send ``version`` until nothing is taken for some time; return the number of bytes."""
        sent = 0
        data = b"version\r\n" * 4096
        while True:
            try:
                sent += self._socket.send(data[sent % 9 :])
            except BlockingIOError:
                with trio.move_on_after(patience) as waited:
                    await trio.lowlevel.wait_writable(self._socket)
                if waited.cancelled_caught:
                    return sent

    async def expect(self, reply: bytes) -> None:
        """Read as many bytes as the reply has, and check that they are the reply."""
        while len(self._received) < len(reply):
            assert reply.startswith(self._received)
            assert await self._receive(), f"closed after {self._received!r} of {reply!r}"
        assert await self.read(len(reply)) == reply

    async def expect_reply(self, command: bytes, reply: bytes) -> None:
        """Send a command, and check its reply."""
        await self.send(command)
        await self.expect(reply)

    async def read(self, count: int) -> bytes:
        """Return the next bytes; fewer only when the server ends the connection."""
        while len(self._received) < count and await self._receive():
            pass
        data, self._received = self._received[:count], self._received[count:]
        return data

    async def read_until(self, end: bytes) -> bytes:
        """Return everything up to and with ``end``."""
        while end not in self._received:
            assert await self._receive(), f"closed after {self._received!r}"
        data, _, self._received = self._received.partition(end)
        return data + end

    async def read_line(self) -> bytes:
        """Return the next line without its end."""
        return (await self.read_until(b"\r\n"))[:-2]

    async def read_to_the_end(self) -> bytes:
        """Return everything until the server ends the connection, in whatever way."""
        with contextlib.suppress(trio.BrokenResourceError):
            while await self._receive():
                pass
        data, self._received = self._received, b""
        return data

    async def expect_nothing(self, seconds: float = 0.1) -> None:
        """Check that nothing comes, and no end either, for some time."""
        with trio.move_on_after(seconds) as waited:
            while not self._received:
                assert await self._receive(), "the server ended the connection"
        assert waited.cancelled_caught, f"received {self._received!r}"

    async def stats(self, words: bytes = b"stats") -> dict[str, str]:
        """Return the answer to ``stats`` as a dictionary."""
        await self.send(words + b"\r\n")
        lines = (await self.read_until(b"END\r\n")).decode().splitlines()[:-1]
        fields = [line.split(" ") for line in lines]
        assert all(len(field) == 3 and field[0] == "STAT" for field in fields)
        pairs = {name: value for _, name, value in fields}
        assert len(pairs) == len(lines)
        return pairs

    async def until_stat(self, name: str, value: str) -> None:
        """Return when a statistic has a value, as it soon must."""
        with trio.fail_after(PATIENCE):
            while (await self.stats()).get(name) != value:
                await trio.sleep(0.001)

    async def send_eof(self) -> None:
        """End this side of the connection and go on reading, as ``nc -N`` does."""
        await self._stream.send_eof()

    def hang_up(self) -> None:
        """Close the connection without giving the server a turn."""
        self._stream.socket.close()

    def reset(self) -> None:
        """Close the connection the hard way, as a client that was killed may."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.hang_up()

    async def _receive(self) -> bool:
        with trio.fail_after(PATIENCE):
            data = await self._stream.receive_some(1 << 16)
        self._received += data
        return bool(data)


@attrs.define
class RunningServer:
    """A server that runs in the background of a test."""

    server: Server
    core: Core
    files: Files
    port: int
    web_port: int = 0
    """Where HTTP is served, if it is."""
    tls_port: int = 0
    """Where TLS is spoken, if it is."""
    ended: trio.Event = attrs.field(factory=trio.Event)
    stream: StreamInMemory | None = None
    """What the server tells of its files, where all servers are to be owners."""

    def client(self, receive_buffer: int | None = None) -> Client:
        """Connect one client more; a small buffer makes a slow reader felt soon."""
        return Client(self.port, receive_buffer)

    def clients(self, count: int) -> list[Client]:
        """Connect several clients, in this order."""
        return [self.client() for _ in range(count)]

    async def run(self, *, task_status: "trio.TaskStatus[None]") -> None:
        """Run until the server has stopped."""
        try:
            await self.server.run(task_status)
        finally:
            self.ended.set()
        if self.stream is not None:
            self.stream.check()

    async def stop(self) -> float:
        """Stop the server as a signal does; return the seconds it took."""
        start = trio.current_time()
        self.server.stop()
        await self.until_ended()
        return trio.current_time() - start

    async def until_ended(self) -> None:
        """Return when the server has stopped; a grace time of a minute must not have been used."""
        with trio.fail_after(PATIENCE):
            await self.ended.wait()

    async def until_waiting(self, count: int) -> None:
        """Return when so many clients wait for an item."""
        async with self.client() as observer:
            await observer.expect_reply(b"version\r\n", b"VERSION 1.0.0\r\n")
            with trio.fail_after(PATIENCE):
                while True:
                    conns = await observer.stats(b"stats conns")
                    waiting = [value for value in conns.values() if value == "waiting"]
                    if len(waiting) == count:
                        return
                    await trio.lowlevel.checkpoint()

    async def until_gate_has(self, user: str, count: int) -> None:
        """Return when a user has so many connections."""
        gate = self.server.gate
        assert gate is not None
        with trio.fail_after(PATIENCE):
            while gate.connections_of(user) != count:
                await trio.sleep(0.001)

    async def until_connected(self, count: int) -> None:
        """Return when so many clients are connected, not counting the one that asks."""
        async with self.client() as observer:
            await observer.until_stat("curr_connections", str(count + 1))


@attrs.define
class Servers:
    """Starts servers on one spool, one after the other."""

    spool: Path
    nursery: trio.Nursery
    started: list[RunningServer] = attrs.field(factory=list)

    async def __call__(self, files: Files | None = None, **settings: object) -> RunningServer:
        """Start a server with these settings, its files reached through ``files``."""
        settings = {"queue_path": self.spool, "port": 0, "grace_time": 2, **settings}
        made = Settings(**settings)  # type: ignore[arg-type]
        files = files or Files()
        storage = Storage.of(made, open_files=256)
        stream = StreamInMemory(files, storage) if WANTED else None
        if stream is None:
            threads = Threads(waits=storage.waits)
            core = Core.open(storage, Clock(), files, threads)
        else:
            threads = stream.threads(storage)
            core = stream.open(storage, threads)
        listeners = listen("127.0.0.1", 0)
        web = open_web(made.http)
        certificates = None if made.tls_cert is None else Certificates(made)
        secured = [] if certificates is None else listen("127.0.0.1", 0)
        server = Server(
            made,
            core,
            threads,
            Surroundings(
                listeners, access=Access(Accounts.of(made), secured, certificates), web=web
            ),
        )
        port = listeners[0].getsockname()[1]
        running = RunningServer(server, core, files, port, stream=stream)
        running.web_port = 0 if web is None else web.listeners[0].getsockname()[1]
        running.tls_port = secured[0].getsockname()[1] if secured else 0
        self.started.append(running)
        await self.nursery.start(lambda task_status: running.run(task_status=task_status))
        return running

    @classmethod
    @contextlib.asynccontextmanager
    async def on(cls, spool: Path) -> AsyncIterator[Self]:
        """Stop every server at the end, without grace."""
        async with trio.open_nursery() as nursery:
            servers = cls(spool, nursery)
            try:
                yield servers
            finally:
                for running in servers.started:
                    if isinstance(running.files, SlowSyncFiles):
                        running.files.let_all_go()
                    running.server.stop()
                    running.server.stop()


class SlowSyncFiles(Files):
    """Files whose syncs beside the tick wait to be let go, if they are held, and may then fail."""

    def __init__(self) -> None:
        self.held = False
        self.error: OSError | None = None
        self.begun = 0
        """Syncs begun beside the tick."""
        self.synced = 0
        """Syncs that succeeded, wherever they happened."""
        self._permits = threading.Semaphore(0)

    def sync(self, descriptor: int) -> None:
        """Wait, then fail or sync."""
        if threading.current_thread() is not threading.main_thread():
            self.begun += 1
            assert not self.held or self._permits.acquire(timeout=PATIENCE)
            if self.error is not None:
                raise self.error
        super().sync(descriptor)
        self.synced += 1

    def let_go(self, count: int) -> None:
        """Let so many syncs through."""
        self._permits.release(count)

    def let_all_go(self) -> None:
        """Hold no sync any more."""
        self.held = False
        self.let_go(100)

    async def until_begun(self, count: int) -> None:
        """Return when so many syncs have begun beside the tick."""
        with trio.fail_after(PATIENCE):
            while self.begun < count:
                await trio.sleep(0.001)


class FailingFiles(Files):
    """Files that take no more bytes while ``error`` is set, or only a few first (``takes``).

    ``only`` is part of the path of the files that fail.
    """

    def __init__(self) -> None:
        self.error: OSError | None = None
        self.takes = 0
        self.only = ""
        self._paths: dict[int, str] = {}

    def create(self, path: str) -> int:
        """Remember which file it is."""
        descriptor = super().create(path)
        self._paths[descriptor] = path
        return descriptor

    def open(self, path: str) -> int:
        """Remember which file it is."""
        descriptor = super().open(path)
        self._paths[descriptor] = path
        return descriptor

    def write(self, descriptor: int, data: bytes) -> int:
        """Take what there is room for, then fail, as a full disk does."""
        if self.error is None or self.only not in self._paths[descriptor]:
            return super().write(descriptor, data)
        if not self.takes:
            raise self.error
        taken, self.takes = min(self.takes, len(data)), 0
        return super().write(descriptor, data[:taken])


def put(queue: bytes, data: bytes, flags: int = 0, exptime: int = 0) -> bytes:
    """Return the command that puts an item."""
    return b"set %b %d %d %d\r\n%b\r\n" % (queue, flags, exptime, len(data), data)


def item(key: bytes, data: bytes, flags: int = 0) -> bytes:
    """Return the whole reply to a get that found an item."""
    return b"VALUE %b %d %d\r\n%b\r\nEND\r\n" % (key, flags, len(data), data)
