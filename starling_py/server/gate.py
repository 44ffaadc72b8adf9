"""The gate: finds out who clients are, without holding anybody up.

To check a password takes long on purpose, so one thread does that, for one client after the other;
clients from different places take turns, so that one who tries many keeps no other waiting for
more than one of them. Who was right before is recognised at once. Who is wrong is told so late.
Invariant: it takes as long to be wrong about a user who is not there as about one who is.
"""

import logging
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from starling_py.guard import Guard
from starling_py.security.passwords import MAX_PASSWORD, Hash, Remembered
from starling_py.server.accounts import Accounts
from starling_py.session.guarded import Account, Told

log = logging.getLogger(__name__)

DELAY: Final = 1.0
"""Seconds for which nobody is told that it was wrong."""
MOST_WAITING: Final = 10_000
"""Clients that may wait to be checked; the next one is told that it was wrong."""


@dataclass(frozen=True)
class _Attempt:
    """A client that wants to be checked."""

    name: str
    password: bytes = field(repr=False)
    told: Told
    is_wanted: Callable[[], bool]
    """Tells whether the client is still there."""


class Gate:
    """What ``session.guarded.Gate`` asks for."""

    def __init__(self, accounts: Accounts, guard: Guard, nudge: Callable[[], None]) -> None:
        """``nudge`` is called when a client was told outside of a turn."""
        self.accounts = accounts
        self._guard = guard
        self._nudge = nudge
        self._remembered = Remembered()
        self._waiting: OrderedDict[str, deque[_Attempt]] = OrderedDict()
        """Those that wait, by the host that they come from."""
        self._count = 0
        self._is_called = trio.Event()
        self._connections: dict[str, int] = {}
        """How many connections each user has."""
        self.delay = DELAY

    def check(
        self, peer: str, user: bytes, password: bytes, told: Told, is_wanted: Callable[[], bool]
    ) -> None:
        """Find out whether a user has a password, and tell: at once, or in a later turn.

        ``is_wanted`` tells whether that is still to be found out.
        """
        attempt = _Attempt(user.decode("utf-8", "backslashreplace"), password, told, is_wanted)
        found = self._recognised(attempt)
        if found is not None:
            told(found)
            return
        if self._count >= MOST_WAITING:
            self._forget_the_gone()
        if self._count >= MOST_WAITING:
            told("too many clients wait to be checked")
            return
        self._count += 1
        self._waiting.setdefault(peer.rpartition(":")[0], deque()).append(attempt)
        self._is_called.set()

    def enter(self, account: Account) -> str | None:
        """Count one more connection of a user; return why it must not be, if so."""
        count = self._connections.get(account.name, 0) + 1
        most = account.rights.max_connections
        if most is not None and count > most:
            return f"the user has {most} connections already"
        self._connections[account.name] = count
        return None

    def leave(self, account: Account) -> None:
        """Count one connection of a user less."""
        count = self._connections.pop(account.name, 0) - 1
        if count > 0:
            self._connections[account.name] = count

    def connections_of(self, user: str) -> int:
        """Return how many connections a user has."""
        return self._connections.get(user, 0)

    async def run(self) -> None:
        """Check those who wait, one after the other, for ever."""
        async with trio.open_nursery() as nursery:
            while True:
                await self._is_called.wait()
                attempt = self._next()
                if attempt is None:
                    self._is_called = trio.Event()
                    continue
                found = await self._find(attempt)
                if found is None:
                    nursery.start_soon(self._turn_away, attempt)
                else:
                    self._tell(attempt, found)

    def _next(self) -> _Attempt | None:
        """Return whose turn it is: each host has one after the other."""
        while self._waiting:
            host, attempts = self._waiting.popitem(last=False)
            attempt = attempts.popleft()
            if attempts:
                self._waiting[host] = attempts
            self._count -= 1
            if attempt.is_wanted():
                return attempt
        return None

    def _forget_the_gone(self) -> None:
        for host, attempts in list(self._waiting.items()):
            left = deque(each for each in attempts if each.is_wanted())
            self._count -= len(attempts) - len(left)
            if left:
                self._waiting[host] = left
            else:
                del self._waiting[host]

    def _recognised(self, attempt: _Attempt) -> Account | None:
        """Return the account of a client that was right before."""
        found = self.accounts.find(attempt.name)
        if found is None or not isinstance(found.proof, Hash):
            return None
        known = self._remembered.knows(attempt.name, attempt.password, found.proof)
        return found if known else None

    async def _find(self, attempt: _Attempt) -> Account | None:
        """Check a password in a thread; return its account if it is right."""
        found = self._recognised(attempt)  # many may have come with the same password at once
        if found is not None or len(attempt.password) > MAX_PASSWORD:
            return found
        kept = self.accounts.hash_of(attempt.name)
        try:
            fits = await trio.to_thread.run_sync(kept.fits, attempt.password)
        except Exception:
            self._guard.caught("checking a password")
            return None
        # What holds now counts: the users may have been read again meanwhile.
        account = self.accounts.find(attempt.name)
        if not fits or account is None or account.proof != kept:
            return None
        self._remembered.note(attempt.name, attempt.password, kept)
        return account

    async def _turn_away(self, attempt: _Attempt) -> None:
        await trio.sleep(self.delay)
        self._tell(attempt, f"user {attempt.name[:64]!a}")

    def _tell(self, attempt: _Attempt, found: Account | str) -> None:
        try:
            attempt.told(found)
        except Exception:
            self._guard.caught("telling who a client is")
        self._nudge()
