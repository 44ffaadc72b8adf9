"""The server: from its open sockets to its end, and the signals in between.

SIGHUP reads the settings of the queues again. SIGTERM and SIGINT stop the server: no client is
accepted any more, clients that wait get a miss, those in the middle of something have the grace
time to finish, then everything is synced and closed. A second signal ends the grace time. The
tasks of trio are here and in the tick; they decide nothing about queues.
"""

import contextlib
import functools
import logging
from collections.abc import Callable

import trio

from starling_py.http.site import Offer, Site
from starling_py.queues.slices import Steps
from starling_py.server import process, readiness
from starling_py.server.acceptor import Acceptor
from starling_py.server.budget import Budget
from starling_py.server.core import Core
from starling_py.server.file_limit import GUESTS
from starling_py.server.gate import Gate
from starling_py.server.handshakes import Handshakes
from starling_py.server.host import Host
from starling_py.server.inner import Inner
from starling_py.server.membership import ALONE, Membership
from starling_py.server.supervisor import READY, STOPPING
from starling_py.server.surroundings import Obeying, Surroundings
from starling_py.server.threads import Threads
from starling_py.server.tick import Tick
from starling_py.server.turn_times import TurnTimes
from starling_py.server.web_opening import Opened, Web
from starling_py.server.web_source import WebSource
from starling_py.session.client import Client, Policy
from starling_py.session.guarded import GuardedSession
from starling_py.session.permission import Permission
from starling_py.session.session import Session
from starling_py.settings.server_settings import Settings
from starling_py.stats import Counters, Histogram

log = logging.getLogger(__name__)

_HOUSEKEEPING = 0.5
"""Seconds from one housekeeping to the next."""
_WORTH_GIVING = 1 << 24
"""Bytes that clients must have let go of before the memory is given back to the system."""


class Server:
    """One server, from its open sockets to its end."""

    def __init__(
        self,
        settings: Settings,
        core: Core,
        threads: Threads,
        around: Surroundings,
        membership: Membership = ALONE,
    ) -> None:
        """``threads`` are those of the core, and are started here."""
        self._membership = membership
        self.lost = False
        """Whether another server has the queues: what is in memory counts no more."""
        self._settings = settings
        self._core = core
        self._addresses = around.addresses
        self._counters = Counters()
        self._stop = trio.Event()
        self._around = around
        self._policy = _policy(settings)
        self._looks_for_idle = False
        self._housework: tuple[Callable[[], None], ...] = (
            process.look_at_the_young,
            self._drop_idle,
            lambda: self._tick.connections.drop_overdue(),
            self._drop_overdue_handshakes,
            lambda: core.queues.keep_house(),
            lambda: self._tick.nudge(),
            self._give_memory_back,
            lambda: around.supervisor.is_well(self._tick.turns, core.clock.monotonic),
        )
        threads.start()
        guard = core.commits.guard
        accounts = around.access.accounts
        self.gate = None if accounts is None else Gate(accounts, guard, lambda: self._tick.nudge())
        self._host = Host(
            settings,
            core,
            self._counters,
            self._stop,
            around.read_settings,
            around.lines,
            self.gate,
            around.access,
            membership,
            None if around.web is None else around.web.certificates,
        )
        self._handshakes: Handshakes | None = None
        self._tick = self._host.tick = self._ticking(threads)
        web = around.web
        self._web = None if web is None else self._served(web, threads.syncer.times)

    async def run(self, task_status: "trio.TaskStatus[None]" = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until a signal or a client stops the server; then close everything."""
        try:
            async with trio.open_nursery() as nursery:
                if self._around.signals is not None:
                    self._obey(self._around.signals)
                nursery.start_soon(self._keep_house)
                if self.gate is not None:
                    nursery.start_soon(self.gate.run)
                nursery.start_soon(self._wait_for_stop)
                if self._web is not None:
                    nursery.start_soon(self._web.run)
                if self._membership.watch is not None:
                    nursery.start_soon(self._membership.watch, self)
                for address in self._addresses:
                    log.info("listening on %s", address)
                task_status.started()
                self._around.on_serving()
                self._around.supervisor.tell(
                    READY, f"STATUS=listening on {', '.join(self._addresses)}"
                )
                await self._tick.run()
                nursery.cancel_scope.cancel()
        finally:
            self._tick.close()
            if self.lost:
                self._core.abandon()
            else:
                self._core.close()
            log.info("stopped")

    def lose(self) -> None:
        """End at once, as another server has the queues: drop the clients, and write nothing."""
        self.lost = True
        self._tick.close()
        self._tick.drain(0)

    def suspend(self) -> None:
        """Drop the clients and accept none, but go on; ``resume`` ends that."""
        self._tick.suspend()

    def resume(self) -> None:
        """Accept clients again."""
        self._tick.resume()

    def stop(self) -> None:
        """Begin to stop; called again, end the grace time."""
        if self._stop.is_set():
            self._tick.drain(0)
        self._stop.set()

    @property
    def hands_over(self) -> bool:
        """Whether it ends as a client has asked for another server to take over."""
        return self._host.hands_over

    async def _wait_for_stop(self) -> None:
        await self._stop.wait()
        self._around.supervisor.tell("STATUS=handing over" if self.hands_over else STOPPING)
        self._tick.drain(self._membership.grace(self._settings.grace_time))

    def _obey(self, signals: Obeying) -> None:
        soon = functools.partial(call_soon, trio.lowlevel.current_trio_token())
        signals.obey(
            functools.partial(soon, self._stop_by_signal), functools.partial(soon, self._reload)
        )

    def _stop_by_signal(self, name: str) -> None:
        log.info("%s: stopping", name)
        self.stop()

    def _reload(self) -> None:
        try:
            self._host.reload()
        except Exception:
            self._core.commits.guard.caught("reading the settings again")

    async def _keep_house(self) -> None:
        while True:
            await trio.sleep(_HOUSEKEEPING)
            for work in self._housework:
                try:
                    work()
                except Exception:
                    self._core.commits.guard.caught("keeping house")

    def _give_memory_back(self) -> None:
        budget = self._tick.connections.budget
        if budget.peak - budget.total > _WORTH_GIVING:
            budget.peak = budget.total
            process.give_memory_back()

    def _ticking(self, threads: Threads) -> Tick:
        """Make the tick, and what accepts clients and shakes hands with them."""
        core, access, settings = self._core, self._around.access, self._settings
        watched = readiness.best()
        if access.certificates is not None:
            self._handshakes = Handshakes(access.certificates, watched, self._counters)
        acceptor = Acceptor(
            self._around.listeners,
            watched,
            settings.max_connections,
            self._counters,
            # Who comes through a proxy on this machine is not of this machine.
            0 if settings.proxy_protocol else GUESTS,
            settings.allow_from,
            access.secured,
        )
        return Tick(
            core.queues,
            core.commits,
            threads.syncer,
            threads.background,
            watched,
            core.clock,
            self._counters,
            self._session,
            acceptor,
            Budget(settings.client_memory),
            self._handshakes,
        )

    def _served(self, web: Opened, syncs: Histogram) -> Web:
        core, tick = self._core, self._tick
        times = tick.times = TurnTimes(core.clock, self._counters)
        source = WebSource(core, self._host, times, syncs, self._stop)
        given = web.settings
        offer = Offer(given.metrics, given.metrics_max_queues, given.dashboard, given.actions)
        site = Site(source, web.gate, offer)
        find = (lambda _: None) if self.gate is None else self.gate.accounts.find
        inner = Inner(tick, find)
        return web.serve(
            web.listeners, site, inner, core.commits.guard, core.clock.now, web.certificates
        )

    def _drop_idle(self) -> None:
        """Begin to look for idle clients, unless that is still under way."""
        if not self._looks_for_idle:
            self._looks_for_idle = True
            self._core.clock.refresh()
            self._core.queues.slices.begin()
            self._core.queues.slices.start(self._looking_for_idle())

    def _looking_for_idle(self) -> Steps:
        try:
            yield from self._tick.connections.drop_idle(self._settings.timeout)
        finally:
            self._looks_for_idle = False

    def _drop_overdue_handshakes(self) -> None:
        if self._handshakes is not None:
            self._handshakes.drop_overdue(self._core.clock.monotonic)

    def _session(self, peer: str, wake: Callable[[], None], name: str) -> Session:
        queues = self._core.queues
        client = Client(queues, self._counters, self._policy, self._host, peer, wake)
        if self.gate is None:
            return Session(client)
        session = GuardedSession(client, self.gate)
        account = self.gate.accounts.certified(name) if name else None
        if account is not None:
            session.admit(account)
        return session


def _policy(settings: Settings) -> Policy:
    """Return what clients may do by the settings."""
    verbs = ("pause", "browse", "drop", "move", "snapshot")
    allowed = {verb: getattr(settings, f"allow_{verb}") for verb in verbs}
    return Policy(
        settings.item_size_max,
        settings.allow_flush_all,
        settings.allow_shutdown,
        settings.allow_reload,
        settings.allow_drain,
        settings.proxy_protocol,
        settings.allow_from,
        Permission(settings.allow_admin, allowed),
    )


def call_soon(token: trio.lowlevel.TrioToken, call: Callable[..., None], *values: str) -> None:
    """Call a function between the server's turns, once if it waits already; they may be over."""
    with contextlib.suppress(trio.RunFinishedError):
        token.run_sync_soon(call, *values, idempotent=True)
