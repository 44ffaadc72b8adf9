"""The server as its sessions see it: its state, its settings, draining, reloading and stopping."""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import trio

from starling_py import __version__, stats
from starling_py.keys import printable
from starling_py.queues.changes import Changes
from starling_py.queues.errors import NotLoaded
from starling_py.server import process
from starling_py.server.access import Access
from starling_py.server.accounts import Accounts
from starling_py.server.core import RELOADED, Core, rules_of
from starling_py.server.fitting import fitted
from starling_py.server.gate import Gate
from starling_py.server.membership import ALONE, Membership
from starling_py.server.tick import Tick
from starling_py.server.tls import Certificates
from starling_py.session import audit
from starling_py.session.consumers import told_of
from starling_py.session.guarded import GuardedSession
from starling_py.settings.errors import ConfigError
from starling_py.settings.http_settings import TABLE as HTTP_TABLE
from starling_py.settings.http_settings import HttpSettings
from starling_py.settings.queue_settings import QUEUE_TABLE
from starling_py.settings.server_settings import TABLE, Settings
from starling_py.stats import Counters, Pairs

log = logging.getLogger(__name__)


class LogLines(Protocol):
    """What the log leaves out, in lines since the start."""

    @property
    def dropped(self) -> int:
        """Lines that could not be written."""

    @property
    def held_back(self) -> int:
        """Lines of which there were too many of the same kind."""


class Host:
    """What ``reports.ServerHost`` asks for, answered by a running server."""

    version = __version__

    def __init__(
        self,
        settings: Settings,
        core: Core,
        counters: Counters,
        stop: trio.Event,
        read_settings: Callable[[], Settings] | None = None,
        lines: LogLines | None = None,
        gate: Gate | None = None,
        access: Access | None = None,
        membership: Membership = ALONE,
        web_certificates: Certificates | None = None,
    ) -> None:
        """``stop`` is set to stop the server.

        ``read_settings`` reads the configuration again; it raises ``ConfigError``. ``lines`` counts
        what the log leaves out, if there is a log. ``gate`` knows the users, if there are any,
        ``access`` is what clients are shown, ``web_certificates`` the same for HTTP.
        """
        self._web_certificates = web_certificates
        self._access = access or Access()
        self._gate = gate
        self._membership = membership
        self.hands_over = False
        """Whether it ends so that another server takes over."""
        self._settings = settings
        self._core = core
        self._counters = counters
        self._stop = stop
        self._read_settings = read_settings
        self._lines = lines
        self._started = core.clock.monotonic
        self._unapplied: list[str] = []
        self.tick: Tick
        """Has the connections; set as soon as it is made."""

    @property
    def draining(self) -> bool:
        """Whether no puts are accepted, so that the queues run empty."""
        return self._core.queues.directory.limits.draining

    def drain(self, *, on: bool) -> None:
        """Accept no more puts, or accept them again."""
        log.warning("draining: no puts are accepted" if on else "puts are accepted again")
        self._core.queues.drain(on=on)

    def reload(self) -> str | None:
        """Read the settings of the queues again; return why that failed, if it did.

        Then the old ones stay. Settings of the server itself need a restart. Queues that are
        refused are read again, too, also where there is no configuration.
        """
        queues = self._core.queues
        if self._read_settings is None and queues.directory.refused:
            queues.reload(queues.directory.rules)
            self.tick.nudge()
            return None
        if self._read_settings is None:
            return "there is no configuration to be read again"
        try:
            settings = self._read_settings()
            access = self._access.read_again(settings, self._web_certificates)
        except ConfigError as error:
            for problem in error.problems:
                log.error("not reloaded: %s", problem)
            return "; ".join(error.problems)
        self._core.clock.refresh()
        if self._gate is not None and access.accounts is not None:
            self._replace_accounts(self._gate, access.accounts)
        queues.reload(rules_of(settings))
        self.tick.nudge()
        log.info("the settings of the queues were read again")
        self._unapplied.clear()
        for name, old, new in self._changed_in_vain(settings):
            log.warning("%s: %s \u2192 %s: this needs a restart", name, old, new)
            self._unapplied.append(f"{name}: {old} -> {new}")
        return None

    @property
    def unapplied(self) -> Sequence[str]:
        """What the last reload found changed that only a restart takes up."""
        return self._unapplied

    def refresh_certs(self) -> str | None:
        """Read the certificates again; return why that failed, if it did."""
        both = self._access.certificates, self._web_certificates
        known = [each for each in both if each is not None]
        if known:
            try:
                for each in known:
                    each.refresh()
            except ConfigError as error:
                log.error("the certificates were not read again: %s", "; ".join(error.problems))
                return "; ".join(error.problems)
            log.info("the certificates were read again")
        return None

    def _replace_accounts(self, gate: Gate, accounts: Accounts) -> None:
        """Go by other users from now on: who is none any more, or has a new password, is closed."""
        gate.accounts = accounts
        for connection in list(self.tick.connections):
            session = connection.session
            if not isinstance(session, GuardedSession) or session.account is None:
                continue
            account = accounts.again(session.account)
            if account is None:
                audit.log.info("%s: closed, as its user has changed", connection.client.who)
                self.tick.connections.drop(connection)
            else:
                session.know_anew(account)

    def _changed_in_vain(self, settings: Settings) -> Iterator[tuple[str, str, str]]:
        """Yield what a reload does not change of the server: names, old values and new ones."""
        wanted, _, _ = fitted(settings, process.file_limit())
        applied = RELOADED if self._gate is None else RELOADED | {"users_file"}
        for setting in TABLE:
            old, new = (getattr(each, setting.name) for each in (self._settings, wanted))
            if old != new and setting.name not in applied:
                yield setting.name, _shown(old), _shown(new)
        old_web, new_web = _web(self._settings.http), _web(wanted.http)
        for name in old_web | new_web:
            if old_web.get(name) != new_web.get(name):
                yield f"http.{name}", old_web.get(name, "none"), new_web.get(name, "none")

    def snapshot(self) -> stats.Snapshot:
        """Return the state of the server, without its queues."""
        core = self._core
        pid, user_time, system_time = process.usage()
        return stats.Snapshot(
            pid=pid,
            rusage_user=user_time,
            rusage_system=system_time,
            uptime=int(core.clock.monotonic - self._started),
            time=core.clock.wall_ms // 1000,
            version=self.version,
            curr_connections=len(self.tick.connections),
            max_connections=self._settings.max_connections,
            limit_maxbytes=self._settings.memory_max or core.spool.disk_size(),
            draining=self.draining or self._stop.is_set(),
            fsyncs=core.commits.syncs,
            journal_failures=core.commits.failures,
            journals_healed=core.commits.healed,
            files_lost=core.commits.lost_files,
            disk_full=int(core.spool.reserve.short),
            disk_low=int(core.queues.directory.limits.disk_low),
            refused_queues=core.queues.directory.refused,
            memory_high=int(core.queues.directory.limits.memory_high),
            log_lines_dropped=0 if self._lines is None else self._lines.dropped,
            log_lines_held_back=0 if self._lines is None else self._lines.held_back,
            counters=self._counters,
            internal_errors=core.commits.guard.errors,
            client_memory_used=self.tick.connections.budget.total,
            clients_paused=len(self.tick.connections.budget.paused),
            extra=self._membership.numbers(),
        )

    def queue_snapshot(self, name: bytes) -> stats.QueueSnapshot | None:
        """Return one queue's numbers; ``None`` when it does not exist."""
        return self._core.queues.queue_snapshot(name)

    def to_be_loaded(self, name: bytes) -> NotLoaded | None:
        """Return the signal if the age of a queue's oldest item is not known yet."""
        return self._core.queues.to_be_loaded(name)

    def queue_names(self) -> list[bytes]:
        """Return the names of all queues, in no order."""
        return self._core.queues.names()

    @property
    def changes(self) -> Changes:
        """Which queues have changed."""
        return self._core.queues.changes

    def queue_size(self, name: bytes) -> tuple[int, int]:
        """Return how many items a queue has and their bytes; 0 when it does not exist."""
        return self._core.queues.size(name)

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
        own = self._core.queues.directory.settings_of(name)
        pairs = [(setting.name, _shown(getattr(own, setting.name))) for setting in QUEUE_TABLE]
        names = ("item_size_max", "segment_size", "sync", "window_size", "quarantine")
        return stats.encoded([*pairs, *((each, getattr(self._settings, each)) for each in names)])

    def connections(self) -> Iterator[Pairs]:
        """Return of every connection its address, its state, what it holds and waits for."""
        for each in list(self.tick.connections):
            if each.dropped:
                continue
            now = self._core.clock.monotonic
            pairs: list[tuple[str, object]] = [
                (f"{each.descriptor}:addr", f"tcp:{each.peer}"),
                (f"{each.descriptor}:user", each.client.user),
                (f"{each.descriptor}:name", each.client.name),
                (f"{each.descriptor}:state", each.state),
                (f"{each.descriptor}:open_reads", len(each.client.holder)),
                (f"{each.descriptor}:waiting_on", each.client.waiting_on),
                (f"{each.descriptor}:secs_since_last_cmd", int(now - each.active)),
            ]
            yield stats.encoded(pairs)

    def consumers(self, name: bytes) -> Iterator[Pairs]:
        """Return of each client that has taken from a queue, or waits for it, what there is."""
        for each in list(self.tick.connections):
            now = self._core.clock.monotonic  # it may take some turns
            yield [] if each.dropped else told_of(each.client, name, each.descriptor, now)

    def readers(self, name: bytes) -> Iterator[Pairs]:
        """Return of every open read of a queue who holds it, and for how long."""
        queue = self._core.queues.directory.find(name)
        if queue is None:
            return
        holders = {each.client.holder: each for each in self.tick.connections}
        for read in list(queue.open_reads):
            if not read.is_open:
                continue
            now = self._core.clock.monotonic
            holder = None if read.holder is None else holders.get(read.holder)
            lease = "none" if read.lease is None else f"{read.lease.when - now:.1f}"
            prefix = f"open_{read.item.id}"
            pairs: list[tuple[str, object]] = [
                (f"{prefix}_holder", "nobody" if holder is None else holder.peer),
                (f"{prefix}_name", "" if holder is None else holder.client.name),
                (f"{prefix}_deliveries", read.deliveries),
                (f"{prefix}_lease", lease),
            ]
            yield stats.encoded(pairs)

    def reset(self) -> None:
        """Set the server's counters to 0."""
        self._counters.reset()

    @property
    def unready(self) -> str | None:
        """Why no client can be served now, as the group is; ``None`` if all is well."""
        return self._membership.unready()

    def hand_over(self) -> str | None:
        """Begin to hand the queues over to another server; return why that cannot be, if so."""
        problem = None if self._stop.is_set() else self._membership.refusal()
        if problem is None and not self._stop.is_set():
            self.hands_over = True
            self._stop.set()
        return problem

    def shut_down(self) -> None:
        """Begin to stop the server; asked for again, it changes nothing."""
        self._stop.set()


def _web(settings: HttpSettings | None) -> dict[str, str]:
    """Return the settings of what is told by HTTP, as a file has them; none if it is off."""
    if settings is None:
        return {}
    return {each.name: _shown(getattr(settings, each.name)) for each in HTTP_TABLE}


def _shown(value: object) -> str:
    """Return a setting as a file has it."""
    if isinstance(value, bytes):
        return printable(value)
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
