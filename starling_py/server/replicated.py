"""A server of a group: it follows, serves while it is the owner, and follows again.

Each phase has a run of trio of its own, on the same listening sockets. While it follows, clients
are told where the owner is. When it is elected, the queues are read back and served by ``Server``,
whose files tell the stream what they do. If the stream stops answering, the clients are let go, and
nothing is told to anybody until it answers again; if another server is the owner, what this one has
in memory is dropped. A stop hands the stream over, so that another server need not wait.
"""

import functools
import itertools
import logging
import socket
import time
from collections.abc import Callable, Sequence
from typing import Final

import attrs
import trio

from starling_py import __version__, stats
from starling_py.clock import Clock
from starling_py.guard import Guard
from starling_py.http.standby_site import StandbySite
from starling_py.journal.commit import GroupCommit, Syncer
from starling_py.journal.errors import SpoolError
from starling_py.replica.link import Link
from starling_py.replica.shipped_commit import SILENT, ShippedCommit
from starling_py.server import process
from starling_py.server.core import RELOADED, Core, Storage
from starling_py.server.errors import StartError
from starling_py.server.membership import Membership, Suspendable
from starling_py.server.server import Server, call_soon
from starling_py.server.signals import Signals, hold
from starling_py.server.standby import Standby
from starling_py.server.start_answers import answering
from starling_py.server.supervisor import READY
from starling_py.server.surroundings import Surroundings
from starling_py.server.threads import Threads
from starling_py.server.web_opening import Opened, Web
from starling_py.settings.errors import ConfigError
from starling_py.settings.server_settings import Settings
from starling_py.stats import Pairs

log = logging.getLogger(__name__)

_LOOKS: Final = 0.05
"""Seconds from one look at the cluster to the next, for what no event tells."""


@attrs.frozen
class Told:
    """What clients are told by a server that does not serve."""

    link: Link
    since: float
    """When that began, on the monotonic clock."""
    patience: float
    """Seconds for which commands wait for a cluster that does not answer."""

    def refusal(self) -> str | None:
        """Return what commands are answered; ``None`` to let them wait."""
        link = self.link
        owner = link.owner_address
        if link.role == "owner" or (not owner and not link.answers):
            waited = link.is_given_up or time.monotonic() - self.since > self.patience
            return SILENT if waited else None
        if owner:
            return f"this server follows; the owner is {owner}"
        return "this server follows; there is no owner yet"

    def stats(self) -> Pairs:
        """Return what is told of a server that does not serve."""
        told = [("pid", process.usage()[0]), ("version", __version__), ("accepting_conns", 0)]
        return stats.encoded([*told, *replica_numbers(self.link)])


def replica_numbers(link: Link) -> list[tuple[str, object]]:
    """Return what ``stats`` tells of a server's place in its group."""
    return [
        ("replica_role", link.role),
        ("replica_owner", link.owner_address),
        ("replica_epoch", link.epoch),
        ("replica_lag", link.lag),
        ("replica_silent_ms", int(link.silent_for * 1000)),
        ("replica_last_takeover", link.took_over),
        ("replica_standbys", ",".join(link.standbys)),
    ]


class Member:
    """A server of a group, until it is stopped."""

    def __init__(
        self,
        settings: Settings,
        segments: int,
        link: Link,
        signals: Signals,
        around: Surroundings,
    ) -> None:
        """Take what ``Server`` takes; ``segments`` is how many may be open."""
        self._settings = settings
        self._segments = segments
        self._link = link
        self._signals = signals
        self._around = around
        self._on_serving = around.on_serving
        self._stopping = False
        self._stop: Callable[[str], None] = lambda _: None
        self._reload: Callable[[], None] = lambda: None
        self._latest: Settings | None = None
        """What a server read last when it was told to."""

    def run(self) -> None:
        """Follow and serve until stopped. Raises ``StartError`` and ``SpoolError``."""
        link = self._link
        hold()
        link.start()
        self._signals.obey(self._stopped, lambda: self._reload())
        try:
            while not self._stopping:
                trio.run(self._follow)
                if link.phase == "failed":
                    raise StartError(link.why)
                if self._stopping or link.phase != "elected":
                    continue  # it is looked at again
                web = self._around.web
                asked, secured = ([], None) if web is None else (web.listeners, web.secured)
                with answering(asked, "taking over", secured):
                    server = self._read_back()
                if server is not None:
                    trio.run(server.run)
                    if self._latest is not None:
                        self._take_up(self._latest)
                    if server.hands_over and not server.lost:
                        link.hand_over()
                    else:
                        self._stopping = self._stopping or not server.lost
                link.leave()
        finally:
            link.end_in_order(5 * self._settings.takeover)

    def _stopped(self, name: str) -> None:
        self._stopping = True
        self._stop(name)

    def obey(self, stop: Callable[[str], None], reload: Callable[[], None]) -> None:
        """Have a server stopped and reloaded by the signals; see ``Signals.obey``."""
        self._stop, self._reload = stop, reload
        if self._stopping:
            stop("SIGTERM")

    async def _follow(self) -> None:
        """Tell clients where the owner is until this server is it, or ends."""
        link = self._link
        token = trio.lowlevel.current_trio_token()
        changed = trio.Event()

        def set_changed() -> None:
            changed.set()

        wake = functools.partial(call_soon, token, set_changed)
        link.on_change = wake
        self._stop = lambda _: wake()
        self._reload = functools.partial(call_soon, token, self._read_again)
        told = Told(link, time.monotonic(), 5 * self._settings.takeover)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._standby(told).run)
            if self._around.web is not None:
                nursery.start_soon(self._told_by_http(self._around.web, told).run)
            nursery.start_soon(self._tell_supervisor)
            for address in self._around.addresses:
                log.info("following; answering on %s", address)
            self._on_serving()
            self._on_serving = lambda: None
            while link.phase in ("connects", "follows") and not self._stopping:
                await changed.wait()
                changed = trio.Event()
            link.on_change = lambda: None
            self._stop = lambda _: None
            nursery.cancel_scope.cancel()

    def _read_again(self) -> None:
        """Read the configuration again: for the clients of now, and for when this one serves."""
        read_settings = self._around.read_settings
        if read_settings is None:
            return
        try:
            settings = read_settings()
        except ConfigError as error:
            _not_reloaded(error)
            return
        if self._take_up(settings):
            log.info("the settings of the queues were read again")

    def _take_up(self, settings: Settings) -> bool:
        """Have what a reload changes as in these settings; return whether it can be had."""
        web = self._around.web
        try:
            access = self._around.access.read_again(
                settings, None if web is None else web.certificates
            )
        except ConfigError as error:
            _not_reloaded(error)
            return False
        self._around = attrs.evolve(self._around, access=access)
        changed = {name: getattr(settings, name) for name in RELOADED}
        self._settings = attrs.evolve(
            self._settings, queues=settings.queues, routes=settings.routes, **changed
        )
        return True

    def _settings_of_server(self) -> Settings:
        """Read the configuration again for a server, and remember what it says."""
        assert self._around.read_settings is not None
        self._latest = self._around.read_settings()
        return self._latest

    def _told_by_http(self, web: Opened, told: Told) -> Web:
        site = StandbySite(
            web.gate,
            lambda: told.refusal() or "this server does not know yet who the owner is",
            lambda: replica_numbers(self._link),
            metered=web.settings.metrics,
        )
        return web.serve(
            _again(web.listeners), site, None, Guard(), time.monotonic, web.certificates
        )

    async def _tell_supervisor(self) -> None:
        """Tell that it is ready to take over, and that it is well, until cancelled."""
        self._around.supervisor.tell(READY, "STATUS=following")
        for turn in itertools.count():
            self._around.supervisor.is_well(turn, time.monotonic())
            await trio.sleep(1)

    def _standby(self, told: Told) -> Standby:
        around = self._around
        return Standby(self._settings, around.listeners, around.access, told)

    def _read_back(self) -> Server | None:
        """Return the server of this spool's queues; ``None`` if another one owns them by now."""
        link, settings = self._link, self._settings
        storage = attrs.evolve(Storage.of(settings, self._segments), log_size=0)
        threads = Threads(waits=True, flush=link.flush, gathers=storage.waits)

        def commits(interval: float | None, syncer: Syncer, clock: Clock) -> GroupCommit:
            return ShippedCommit(interval, syncer, clock, link)

        try:
            with process.without_collector():
                core = Core.open(
                    storage, Clock(), link.shipped_files(), threads, make_commits=commits
                )
        except SpoolError:
            if link.phase != "lost":
                raise
            return None
        process.collect_only_the_young()
        process.keep_freed_memory()
        link.serve()
        around = self._around
        access, web = around.access, around.web
        return Server(
            settings,
            core,
            threads,
            attrs.evolve(
                around,
                listeners=_again(around.listeners),
                signals=self,
                on_serving=lambda: None,
                read_settings=None if around.read_settings is None else self._settings_of_server,
                access=attrs.evolve(access, secured=_again(access.secured)),
                web=None if web is None else attrs.evolve(web, listeners=_again(web.listeners)),
            ),
            Membership(
                in_group=True,
                watch=self._watch,
                numbers=lambda: replica_numbers(link),
                standbys=lambda: link.standbys,
                unready=lambda: SILENT if link.is_stalled or link.is_over else None,
            ),
        )

    async def _watch(self, server: Suspendable) -> None:
        """Look after what the stream has to do with the clients, while the server serves."""
        link = self._link
        answering: trio.CancelScope | None = None
        async with trio.open_nursery() as nursery:
            while not link.is_over:
                await trio.sleep(_LOOKS)
                if link.is_stalled and answering is None:
                    log.error("the cluster does not answer; the clients are let go")
                    server.suspend()
                    answering = trio.CancelScope()
                    nursery.start_soon(self._answer, answering)
                elif answering is not None and not link.is_stalled:
                    answering.cancel()
                    answering = None
                    log.warning("the cluster answers again")
                    server.resume()
            nursery.cancel_scope.cancel()
        server.lose()

    async def _answer(self, scope: trio.CancelScope) -> None:
        told = Told(self._link, time.monotonic(), 3 * self._settings.takeover)
        with scope:
            await self._standby(told).run()


def _not_reloaded(error: ConfigError) -> None:
    for problem in error.problems:
        log.error("not reloaded: %s", problem)


def _again(listeners: Sequence[socket.socket]) -> list[socket.socket]:
    """Return the same listening sockets, for a server that will close them."""
    return [each.dup() for each in listeners]
