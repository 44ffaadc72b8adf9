"""The server: listening sockets, the tick, signals, and an orderly end.

SIGHUP has the settings of the queues read again, SIGUSR1 begins or ends draining. SIGTERM and
SIGINT end the server: no client is accepted any more, whoever waits gets a miss, who is in the
middle of something has the grace time to finish, then everything is synced and closed. A second
signal ends the grace time. This is where trio is; it decides nothing about queues.
"""

import contextlib
import errno
import logging
import signal
import socket
from collections.abc import Callable, Sequence

import attrs
import trio

from starling_py import __version__, stats
from starling_py.clock import Clock
from starling_py.counters import Counters
from starling_py.journal.commit import GroupCommit
from starling_py.journal.disk.files import Files
from starling_py.journal.shared import Durability
from starling_py.journal.spool import Spool, SpoolProblem
from starling_py.keys import printable
from starling_py.queues.queue_collection import QueueCollection
from starling_py.queues.rules import Rules
from starling_py.queues.window import WindowSizes
from starling_py.server import process, readiness
from starling_py.server.threads import BackgroundThread, SyncThread
from starling_py.server.tick import Tick
from starling_py.session.client import Policy
from starling_py.session.session import Session
from starling_py.settings.config_file import ConfigError
from starling_py.settings.queue_settings import QUEUE_TABLE
from starling_py.settings.server_settings import TABLE, Settings
from starling_py.stats import Pairs

log = logging.getLogger(__name__)

_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_WAIT_FOR_ROOM = 0.1
_HOUSEKEEPING = 0.5
_BACKLOG = 1024
_FEWEST_FILES = 16
_LAST_COMMITS = 3
"""Commits at the end of a server: an item that is being moved is put, then removed."""


class StartProblem(Exception):
    """The server cannot start; the text is one line that says what and where."""


def listen(host: str, port: int) -> list[socket.socket]:
    """Open the listening sockets of a host name or address. Raises ``StartProblem``."""
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in dict.fromkeys(found):
            sock = socket.socket(family, kind, protocol)
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setblocking(False)
            sock.bind(address)
            sock.listen(_BACKLOG)
    except (OSError, UnicodeError) as error:  # a host name may be no name at all
        for sock in sockets:
            sock.close()
        reason = error.strerror if isinstance(error, OSError) else error
        raise StartProblem(f"cannot listen on {host}:{port}: {reason}") from error
    return sockets


def address_of(sock: socket.socket) -> str:
    """Return a socket's own address as ``host:port``."""
    return _printed(sock.getsockname())


def _printed(address: tuple[str, int] | str) -> str:
    if isinstance(address, str):
        return address or "unix"
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def rules_of(settings: Settings) -> Rules:
    """Return what the settings say of the queues."""
    return Rules(
        settings.queues,
        settings.routes,
        settings.max_queues,
        settings.memory_max,
        settings.disk_free_min,
    )


@attrs.frozen
class Core:
    """The part of a server that knows no trio, read back from its spool and ready to serve."""

    clock: Clock
    commits: GroupCommit
    syncer: SyncThread
    background: BackgroundThread
    spool: Spool
    queues: QueueCollection

    @classmethod
    def open(cls, settings: Settings, files: Files) -> "Core":
        """Lock the spool and read every queue back. Raises ``SpoolProblem``."""
        clock = Clock()
        background = BackgroundThread()
        policy = settings.sync
        interval = None if policy.kind == "never" else policy.interval
        durability = Durability(interval is not None, settings.segment_size, interval == 0)
        syncer = SyncThread(waits=durability.waits)
        commits = GroupCommit(interval, syncer, clock)
        spool = Spool.open(
            files,
            str(settings.queue_path),
            durability,
            commits,
            background,
            quarantine=settings.quarantine,
            open_files=max(_FEWEST_FILES, process.file_limit() // 4),
        )
        sizes = WindowSizes(settings.window_size, settings.window_total)
        try:
            queues = QueueCollection(spool, clock, sizes, rules_of(settings))
            return cls(clock, commits, syncer, background, spool, queues)
        except SpoolProblem:
            spool.close()
            raise

    def close(self) -> None:
        """Sync what is not synced yet and let go of the spool."""
        self.commits.sync_everything(self.syncer.close())
        for _ in range(_LAST_COMMITS):
            if self.commits.pending:
                self.commits.commit()
                self.commits.sync_everything()
        self.queues.seal()
        self.commits.commit()
        self.commits.sync_everything()
        self.background.close()
        self.queues.close()


class Server:
    """One server, from its open sockets to its end."""

    version = __version__

    def __init__(
        self,
        settings: Settings,
        core: Core,
        listeners: Sequence[socket.socket],
        read_settings: Callable[[], Settings] | None = None,
    ) -> None:
        """``read_settings`` reads the configuration again; it raises ``ConfigError``."""
        self._read_settings = read_settings
        self._settings = settings
        self._core = core
        self._listeners = listeners
        self._counters = Counters()
        self._started = core.clock.monotonic
        self._stop = trio.Event()
        self._policy = Policy(
            settings.item_size_max,
            settings.allow_flush_all,
            settings.allow_shutdown,
            settings.allow_reload,
            settings.allow_drain,
        )
        core.syncer.start()
        core.background.start()
        self._tick = Tick(
            core.queues,
            core.commits,
            core.syncer,
            core.background,
            readiness.best(),
            core.clock,
            self._counters,
            self._session,
        )

    async def run(self, task_status: "trio.TaskStatus[None]" = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until a signal or ``shut_down`` stops the server; then close everything."""
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._handle_signals)
                nursery.start_soon(self._keep_house)
                nursery.start_soon(self._listen_until_stopped)
                task_status.started()
                await self._tick.run()
                nursery.cancel_scope.cancel()
        finally:
            self._close_listeners()
            self._tick.close()
            self._core.close()
            log.info("stopped")

    def stop(self) -> None:
        """Begin to stop; called again, end the grace time."""
        if self._stop.is_set():
            self._tick.drain(0)
        self._stop.set()

    def shut_down(self) -> None:
        """Begin to stop, however many clients ask for it."""
        self._stop.set()

    @property
    def draining(self) -> bool:
        """Whether no items are taken, so that everything gets out."""
        return self._core.queues.limits.draining

    def drain(self, *, on: bool) -> None:
        """Take no more items, or take them again."""
        log.warning("draining: no items are taken" if on else "items are taken again")
        self._core.queues.drain(on=on)

    def reload(self) -> str | None:
        """Read the settings of the queues again; return why that failed, if it did.

        Then the old ones stay. Settings of the server itself need a restart.
        """
        if self._read_settings is None:
            return "there is no configuration to be read again"
        try:
            settings = self._read_settings()
        except ConfigError as error:
            for problem in error.problems:
                log.error("not reloaded: %s", problem)
            return "; ".join(error.problems)
        self._core.clock.refresh()
        self._core.queues.reload(rules_of(settings))
        self._tick.nudge()
        log.info("the settings of the queues were read again")
        return None

    def snapshot(self) -> stats.Snapshot:
        """Return the state of the whole server."""
        core = self._core
        return stats.Snapshot(
            uptime=int(core.clock.monotonic - self._started),
            time=core.clock.wall_ms // 1000,
            version=self.version,
            curr_connections=len(self._tick),
            max_connections=self._settings.max_connections,
            draining=self.draining or self._stop.is_set(),
            fsyncs=core.commits.syncs,
            journal_failures=core.commits.failures,
            journals_healed=core.commits.healed,
            disk_full=int(core.spool.reserve.short),
            disk_low=int(core.queues.limits.disk_low),
            memory_high=int(core.queues.limits.memory_high),
            counters=self._counters,
            queues=core.queues.snapshot(),
        )

    def settings(self) -> Pairs:
        """Return the settings, under this server's names and the ones that exporters want."""
        settings = self._settings
        values = [(setting.name, getattr(settings, setting.name)) for setting in TABLE]
        aliases = {
            "maxconns": settings.max_connections,
            "tcpport": settings.port,
            "inter": settings.host,
            "verbosity": int(settings.log_level == "DEBUG"),
        }
        return stats.encoded([*values, *aliases.items()])

    def queue_settings(self, name: bytes) -> Pairs:
        """Return the settings of a queue, and those of the server that concern it."""
        own = self._core.queues.rules.table.resolve(name)
        pairs = [(setting.name, _shown(getattr(own, setting.name))) for setting in QUEUE_TABLE]
        names = ("item_size_max", "segment_size", "sync", "window_size", "quarantine")
        return stats.encoded([*pairs, *((each, getattr(self._settings, each)) for each in names)])

    def connections(self) -> Pairs:
        """Return of every connection its address, its state, what it holds and waits for."""
        now = self._core.clock.monotonic
        pairs: list[tuple[str, object]] = []
        for each in self._tick:
            pairs += [
                (f"{each.descriptor}:addr", f"tcp:{each.peer}"),
                (f"{each.descriptor}:state", each.state),
                (f"{each.descriptor}:open_reads", len(each.session.holder)),
                (f"{each.descriptor}:waiting_on", each.session.waiting_on),
                (f"{each.descriptor}:secs_since_last_cmd", int(now - each.active)),
            ]
        return stats.encoded(pairs)

    def readers(self, name: bytes) -> Pairs:
        """Return of every open read of a queue who holds it, and for how long."""
        queue = self._core.queues.find(name)
        if queue is None:
            return []
        holders = {each.session.holder: each.peer for each in self._tick}
        now = self._core.clock.monotonic
        pairs: list[tuple[str, object]] = []
        for read in queue.open_reads:
            holder = "nobody" if read.holder is None else holders.get(read.holder, "nobody")
            lease = "none" if read.lease is None else f"{read.lease.when - now:.1f}"
            prefix = f"open_{read.item.id}"
            pairs += [
                (f"{prefix}_holder", holder),
                (f"{prefix}_deliveries", read.deliveries),
                (f"{prefix}_lease", lease),
            ]
        return stats.encoded(pairs)

    def reset(self) -> None:
        """Begin to count anew."""
        self._counters.reset()

    async def _listen_until_stopped(self) -> None:
        async with trio.open_nursery() as nursery:
            for listener in self._listeners:
                nursery.start_soon(self._accept, listener)
                log.info("listening on %s", address_of(listener))
            await self._stop.wait()
            nursery.cancel_scope.cancel()
        self._close_listeners()
        self._tick.drain(self._settings.grace_time)

    async def _handle_signals(self, task_status: "trio.TaskStatus[None]") -> None:
        with trio.open_signal_receiver(*process.HANDLED) as signals:
            process.take_signals()
            task_status.started()
            async for number in signals:
                if number == signal.SIGHUP:
                    self.reload()
                elif number == signal.SIGUSR1:
                    self.drain(on=not self.draining)
                else:
                    log.info("%s: stopping", signal.Signals(number).name)
                    self.stop()

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            await trio.lowlevel.wait_readable(listener)
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                continue
            except OSError as error:
                if error.errno in _NO_ROOM:
                    log.error("no more clients can be accepted for now: %s", error.strerror)
                    await trio.sleep(_WAIT_FOR_ROOM)
                else:
                    log.info("a client was gone before it was accepted: %s", error)
                continue
            self._welcome(sock, _printed(address))

    def _welcome(self, sock: socket.socket, peer: str) -> None:
        """Begin to serve a client, unless there are too many."""
        sock.setblocking(False)
        if len(self._tick) >= self._settings.max_connections:
            log.warning("%s: refused, as %d clients are connected", peer, len(self._tick))
            self._counters.rejected_connections += 1
            with contextlib.suppress(OSError):
                sock.send(b"ERROR Too many open connections\r\n")
            sock.close()
            return
        self._counters.total_connections += 1
        with contextlib.suppress(OSError):  # macOS refuses this when the client is gone already
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._tick.add(sock, peer)

    async def _keep_house(self) -> None:
        while True:
            await trio.sleep(_HOUSEKEEPING)
            self._tick.drop_idle(self._settings.timeout)
            self._core.queues.keep_house()
            self._tick.nudge()

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            listener.close()

    def _session(self, peer: str, wake: Callable[[], None]) -> Session:
        return Session(self._core.queues, self._counters, self._policy, self, peer, wake)


def _shown(value: object) -> str:
    """Return a queue's setting as a file has it."""
    if isinstance(value, bytes):
        return printable(value)
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
