"""All connections: who is connected, what each holds, and when one is ended for that.

Clients are dropped when they are gone, idle for too long, met a defect, or make the server hold
more than there is memory for (``budget``). Invariant: nothing refers to a client that was dropped,
so all that it held is free at once, without the collector.
"""

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import Final

from mypy_extensions import mypyc_attr

from starling_py.clock import Clock
from starling_py.guard import Guard
from starling_py.queues.slices import Steps
from starling_py.server.acceptor import REFUSAL
from starling_py.server.budget import Budget
from starling_py.server.connection import Connection, Stream
from starling_py.server.readiness import HANG_UP, READ, Readiness, Ready
from starling_py.session.session import Session
from starling_py.stats import Counters

log = logging.getLogger(__name__)

INTRODUCTION: Final = 3.0
"""Seconds for which a PROXY header is waited for; a proxy sends it as soon as it has connected."""
ADMISSION: Final = 30.0
"""Seconds for which it is waited that a client says who it is, where it must."""
LINGER: Final = 1.0
"""Seconds that a client has to notice that the server ended the connection."""
FIRST_WORD: Final = 2.0
"""Seconds that a client has to say something if it came when all places were taken."""
QUIET: Final = 0.5
"""Seconds of silence after which a client comes behind those that are at work."""
LOOKED_AT: Final = 32
"""Clients that are looked at in one step, to see whether they are idle."""
GUEST_SILENCE: Final = 60.0
"""Seconds for which such a client may be silent afterwards."""
STRANGERS: Final = 8
"""Clients that have not said who they are that are read from in one turn, where they must."""
LEAVERS: Final = 16
"""Clients that hang up of which one turn takes leave, where they are many; others are set aside."""
SPARE: Final = 1 << 20
"""Bytes that are kept to have them when there is no more memory."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Connections:
    """The connections of a server, by their descriptors."""

    def __init__(
        self,
        readiness: Readiness,
        clock: Clock,
        counters: Counters,
        guard: Guard,
        budget: Budget,
        places: int,
    ) -> None:
        """``places``: how many clients may be connected; more are guests."""
        self._readiness = readiness
        self._clock = clock
        self._counters = counters
        self._guard = guard
        self.budget = budget
        """How much the clients hold."""
        self.budgets: dict[str, Budget] = {}
        """How much the clients of each user hold that has a bound of its own, by its name."""
        self._places = places
        self._spare = bytes(SPARE)
        """Memory that is given up when there is no more, to have some for making room."""
        self.by_descriptor: dict[int, Connection] = {}
        """All of them; always the same dictionary."""

    def __len__(self) -> int:
        return len(self.by_descriptor)

    def __iter__(self) -> Iterator[Connection]:
        return iter(self.by_descriptor.values())

    def add(self, sock: Stream, session: Session) -> Connection:
        """Serve a client on a non-blocking socket."""
        connection = Connection(sock, session, self._counters, self._clock.monotonic)
        self._readiness.register(connection.descriptor, READ)
        self.by_descriptor[connection.descriptor] = connection
        connection.guest = len(self.by_descriptor) > self._places
        return connection

    def fewer_strangers(self, ready: Ready) -> Ready:
        """Leave most who have not said who they are for a later turn: they stay ready.

        So those who have never wait for many of them. Who was read from longest ago stays.
        """
        found = []
        for place, (descriptor, _) in enumerate(ready):
            connection = self.by_descriptor.get(descriptor)
            if connection is not None and not connection.session.admitted:
                found.append((connection.active, place))
        if len(found) <= STRANGERS:
            return ready
        left = {place for _, place in sorted(found)[STRANGERS:]}
        return [each for place, each in enumerate(ready) if place not in left]

    def fewer_leavers(self, ready: Ready) -> Ready:
        """Set most of those who hang up aside, if they are many: to drop one takes a while.

        They wait for nothing from now on, so no item is given to them meanwhile.
        """
        kept: Ready = []
        leavers = 0
        for each in ready:
            if each[1] & HANG_UP:
                connection = self.by_descriptor.get(each[0])
                if (
                    connection is not None
                    and connection.interest == READ
                    and not (connection.aside or connection.lingers)
                ):
                    leavers += 1
                    if leavers > LEAVERS:
                        self._let_leave_later(connection)
                        continue
            kept.append(each)
        return kept

    def _let_leave_later(self, connection: Connection) -> None:
        parked = connection.client.parked
        if parked is not None and parked.over is not None:
            parked.leave()
        self._set_aside(connection, aside=True)

    def drop(self, connection: Connection) -> None:
        """Let a client go, with all that it holds."""
        if connection.dropped:
            return
        connection.dropped = True
        del self.by_descriptor[connection.descriptor]
        self.budget.forget(connection.descriptor, self._clock.monotonic)
        own = self.budgets.get(connection.client.user) if self.budgets else None
        if own is not None:
            own.forget(connection.descriptor, self._clock.monotonic)
            if not own.total:
                del self.budgets[connection.client.user]
        try:
            connection.session.disconnected()
        except Exception:
            self._guard.caught("the end of a session")
        try:
            self._readiness.unregister(connection.descriptor)
        except Exception:
            self._guard.caught("the end of a connection")
        connection.let_go()

    def crashed(self, connection: Connection) -> None:
        """Drop a client whose session ran into a defect, or out of memory; the others go on."""
        self._counters.session_errors += 1
        with contextlib.suppress(Exception):
            if isinstance(sys.exception(), MemoryError):
                log.error("%s: out of memory; closed", connection.who)
            else:
                log.exception("%s: error in the session; closed", connection.who)
        self.drop(connection)
        if isinstance(sys.exception(), MemoryError):
            self.relieve()

    def relieve(self) -> None:
        """Make room when the system has no more memory: clients hold more than there is for them.

        The budget is what they hold now and less, and goes back to what it was bit by bit.
        """
        self._spare = b""
        with contextlib.suppress(Exception):
            self.budget.lower()
            self._close_for_memory(self.budget.excess(self._clock.monotonic), self.budget)

    def settle(self, connection: Connection) -> None:
        """Count what a client holds now, and watch its socket for what is wanted of it."""
        weight = connection.weight
        if weight or connection.counted:
            now, missing = self._clock.monotonic, connection.session.missing
            connection.counted = weight > 0
            reads = self.budget.note(connection.descriptor, weight, missing, now)
            if connection.session.allowance is not None:
                own = self._own(connection, connection.session.allowance)
                reads = own.note(connection.descriptor, weight, missing, now) and reads
            connection.paused = not reads
        session = connection.session
        aside = session.midway or session.stopped_early
        if aside and not session.stopped_early:
            connection.large_at = connection.active
        if aside is not connection.aside:
            self._set_aside(connection, aside=aside)
        self._watch(connection)

    def read_out(self, connection: Connection) -> None:
        """Read on from a paused client that has hung up: it sends nothing beyond what is there."""
        if connection.paused:
            for budget in (self.budget, *self.budgets.values()):
                budget.resume(connection.descriptor, self._clock.monotonic)
            self._read_on(connection)

    def keep_budget(self) -> None:
        """Read again from those for whom there is room; close some if there is none at all."""
        now = self._clock.monotonic
        for budget in (self.budget, *list(self.budgets.values())):
            for descriptor in budget.resumed(now):
                connection = self.by_descriptor[descriptor]
                own = self.budgets.get(connection.client.user)
                if descriptor not in self.budget.paused and (
                    own is None or descriptor not in own.paused
                ):
                    self._read_on(connection)
            self._close_for_memory(budget.excess(now), budget)

    def drop_overdue(self) -> None:
        """Drop clients that have held most of the memory for clients for too long."""
        self._clock.refresh()
        self.budget.recover()
        if not self._spare:
            self._spare = bytes(SPARE)
        for budget in (self.budget, *list(self.budgets.values())):
            self._close_for_memory(budget.overdue(self._clock.monotonic), budget)

    def drop_idle(self, timeout: float) -> Steps:
        """Drop clients that were silent for ``timeout`` seconds (0: never) or linger too long.

        They may be thousands.
        """
        # Taken before any is dropped: a client that is served because of that has not been idle.
        those = [(each, each.client.waiting) for each in self]
        for number, (connection, waits) in enumerate(those, 1):
            if not connection.dropped:
                self._look_at(connection, 0 if waits else timeout)
            if self._is_quiet(connection):
                self._set_aside(connection, aside=True)
            if connection.dropped or not number % LOOKED_AT:
                yield None

    def _is_quiet(self, connection: Connection) -> bool:
        """Tell whether a client says nothing, waits for nothing, and is not set aside yet."""
        if connection.dropped or connection.aside or connection.client.waiting:
            return False
        return self._clock.monotonic - connection.active > QUIET

    def _look_at(self, connection: Connection, timeout: float) -> None:
        """Drop a client if it was silent for too long."""
        now = self._clock.monotonic
        silence = now - connection.active
        if connection.lingers:
            if silence > LINGER:
                self.drop(connection)
        elif not connection.session.introduced and now - connection.since > INTRODUCTION:
            connection.session.refuse(f"it took more than {INTRODUCTION:.0f} seconds")
            self.drop(connection)
        elif not connection.session.admitted and now - connection.since > ADMISSION:
            log.info("%s: closed, as it has not said who it is", connection.peer)
            self._counters.idle_kicks += 1
            self.drop(connection)
        elif connection.guest:
            self._look_at_guest(connection, silence)
        elif timeout and silence > timeout:
            log.info("%s: idle for %d seconds; closed", connection.who, silence)
            self._counters.idle_kicks += 1
            self.drop(connection)

    def _look_at_guest(self, connection: Connection, silence: float) -> None:
        """Refuse a client for which there was no place, if it says nothing.

        The places for guests are for those who come to see why all others are taken.
        """
        if len(self) <= self._places:
            connection.guest = False
        elif silence > (GUEST_SILENCE if connection.session.begun else FIRST_WORD):
            log.warning("%s: refused, as all places are taken and it is silent", connection.who)
            self._counters.rejected_connections += 1
            with contextlib.suppress(OSError):
                connection.socket.send(REFUSAL)
            self.drop(connection)

    def _set_aside(self, connection: Connection, *, aside: bool) -> None:
        """Let a client come behind the others, or with them again.

        Who was quiet, or is in the middle of something large, does so: thousands of these may send
        something at the same time, and those that are at work would have to wait for all of them.
        """
        connection.aside = aside
        self._readiness.set_aside(connection.descriptor, connection.interest, aside=aside)

    def _watch(self, connection: Connection) -> None:
        wanted = connection.wanted()
        if wanted != connection.interest:
            connection.interest = wanted
            self._readiness.modify(connection.descriptor, wanted)

    def _read_on(self, connection: Connection) -> None:
        connection.paused = False
        self._watch(connection)

    def _own(self, connection: Connection, most: int) -> Budget:
        """Return the budget of a client's user, which may hold ``most`` bytes."""
        budget = self.budgets.get(connection.client.user)
        if budget is None:
            budget = self.budgets[connection.client.user] = Budget(most)
        budget.limit = most  # it may have changed
        return budget

    def _close_for_memory(self, descriptors: list[int], budget: Budget) -> None:
        """Drop clients that hold too much of the memory that a budget lets clients take."""
        for descriptor in descriptors:
            connection = self.by_descriptor[descriptor]
            size = budget.weight_of(descriptor)
            log.warning("%s: closed, as client_memory is used up: %d bytes", connection.who, size)
            self._counters.clients_over_memory += 1
            self.drop(connection)
