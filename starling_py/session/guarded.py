"""The session of a client that has to say who it is, on a server with users.

Until then it may do nothing else, and is given little room and time. Then each of its commands is
held against the rules of ``permission`` before anything of it is done. Invariants: a password
reaches nothing but the gate; what waits for the gate's answer executes nothing; three failures end
the connection.
"""

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from starling_py.keys import RequestError
from starling_py.protocol import commands
from starling_py.protocol.authentication import TextAuthentication
from starling_py.protocol.binary import BinaryDialect
from starling_py.protocol.binary_replies import REQUEST_MAGIC
from starling_py.protocol.commands import (
    Authenticate,
    Command,
    ListMechanisms,
    LongGet,
    Phrased,
    PhrasedAnew,
    Quit,
    Refusal,
    Version,
)
from starling_py.protocol.dialect import Dialect
from starling_py.protocol.foreign import HELLO
from starling_py.protocol.text import TextDialect
from starling_py.protocol.writer import Outcome, Writer
from starling_py.queues.slices import Steps
from starling_py.security.passwords import Hash
from starling_py.session import audit, permission
from starling_py.session.client import Client, Parked
from starling_py.session.get import getting
from starling_py.session.session import Session
from starling_py.session.view import View
from starling_py.settings.users import User

log = logging.getLogger(__name__)

FAILURES: Final = 3
"""Failures to say who it is after which a client is closed."""
MAX_UNKNOWN_VALUE: Final = 2048
"""Bytes that are kept of the value of a binary request before the client is known."""
MAX_AHEAD: Final = 8192
"""Bytes that a client may send ahead before it is known."""
MAX_COMMANDS: Final = 64
"""Commands that are answered before it is known; the next one ends it. What it does not read stays
with the server."""
_AT_ONCE: Final = 4
"""Keys of a long get that are held against the rules in one step."""


@dataclass(frozen=True)
class Account:
    """A user who has been recognised."""

    name: str
    rights: User
    proof: Hash | str | None = field(default=None, repr=False)
    """What it was recognised by; when that changes, it has to be recognised anew."""


Told = Callable[[Account | str], None]
"""Is told of the account; or, in place of one, why there is none."""


class Gate(Protocol):
    """Knows who is who."""

    def check(
        self, peer: str, user: bytes, password: bytes, told: Told, is_wanted: Callable[[], bool]
    ) -> None:
        """Find out whether a user has a password, and tell: at once, or in a later turn.

        ``is_wanted`` tells whether that is still to be found out.
        """

    def enter(self, account: Account) -> str | None:
        """Count one more connection of a user; return why it must not be, if so."""

    def leave(self, account: Account) -> None:
        """Count one connection of a user less."""


class GuardedSession(Session):
    """A session whose client has to be known, and may do what its user may."""

    def __init__(self, client: Client, gate: Gate) -> None:
        super().__init__(client)
        self.admitted = False
        self._gate = gate
        self._failures = 0
        self._asked = 0
        """Commands that were answered before the client was known."""
        self._text: TextAuthentication | None = None
        """What reads text until the client is known."""
        self._binary: BinaryDialect | None = None
        self.account: Account | None = None
        """Who the client is; ``None`` until that is known."""

    @property
    def takes_input(self) -> bool:
        """Whether the client should be read from."""
        if self.account is None:
            return self._dialect is None or self._dialect.buffered <= MAX_AHEAD
        return super().takes_input

    def run(self, data: bytes = b"") -> None:
        """Take what the client sent, if anything, and execute the whole commands in it."""
        if self._text is not None and self._text.inner is not None and self._text.asked is False:
            self._dialect, self._text = self._text.inner, None
        super().run(data)

    def _begin(self, data: bytes) -> Dialect:
        if self.account is not None or data[0] == HELLO:
            return super()._begin(data)
        dialect: Dialect
        if data[0] == REQUEST_MAGIC:
            size = min(MAX_UNKNOWN_VALUE, self.client.policy.item_size_max)
            dialect = self._binary = BinaryDialect(size)
        else:
            dialect = self._text = TextAuthentication()
        self._dialect = self.client.replies.writer = dialect
        return dialect

    def execute(self, command: Command) -> None:
        """Execute a command if its client may give it."""
        inner, writer = _opened(command, self.client.replies.writer)
        if self.account is None and self._is_too_much():
            return
        if isinstance(inner, Refusal):
            super().execute(command)
        elif isinstance(inner, Authenticate):
            self._authenticate(inner, writer)
        elif isinstance(inner, ListMechanisms):
            self.client.replies.add(writer.word("PLAIN"))
        elif self.account is None:
            self._execute_unknown(command, inner, writer)
        elif isinstance(inner, LongGet):
            self.client.at_length(_getting(self.client, inner, self.account.rights))
        else:
            self._execute_known(command, inner, writer, self.account)

    def _is_too_much(self) -> bool:
        """Count a command of a client that is not known; end it if there are too many."""
        self._asked += 1
        if self._asked <= MAX_COMMANDS:
            return False
        log.info("%s: closed, as it asks much and has not said who it is", self.client.peer)
        self.client.closing = True
        return True

    def _execute_known(
        self, command: Command, inner: Command, writer: Writer, account: Account
    ) -> None:
        lacking = permission.lacks(account.rights, inner)
        if isinstance(inner, commands.FlushAll) and not self.client.policy.allow_flush_all:
            lacking = None  # it has no effect, and old libraries send it
        if lacking is None:
            super().execute(command)
        else:
            quiet = bool(getattr(inner, "quiet", False))
            _refuse(self.client, writer, lacking, quiet=quiet)

    def _execute_unknown(self, command: Command, inner: Command, writer: Writer) -> None:
        """Let a client that is not known ask for the version and quit, and nothing else."""
        if isinstance(inner, Version | Quit):
            super().execute(command)
            return
        self.client.counters.protocol_errors += 1
        self.client.replies.add(writer.outcome(Outcome.UNAUTHENTICATED))
        self.client.closing = True  # as memcached does in binary; in text, nothing comes here

    def _authenticate(self, wanted: Authenticate, writer: Writer) -> None:
        client = self.client
        client.counters.auth_cmds += 1
        parked = client.parked = Parked(weight=len(wanted.password))
        told = functools.partial(self._told, parked, writer)
        is_wanted = functools.partial(_waits, client, parked)
        self._gate.check(client.peer, wanted.user, wanted.password, told, is_wanted)

    def _told(self, parked: Parked, writer: Writer, found: Account | str) -> None:
        client = self.client
        if client.parked is not parked:
            return  # the client is gone
        if isinstance(found, Account):
            client.go_on(functools.partial(self._let_in, writer, found))
        else:
            client.go_on(functools.partial(self._turn_away, writer, found))

    def _let_in(self, writer: Writer, account: Account) -> None:
        client = self.client
        refusal = self.admit(account)
        if refusal is not None:
            client.replies.add(writer.server_error(refusal))
            client.closing = True
            return
        client.replies.add(writer.outcome(Outcome.AUTHENTICATED))

    def admit(self, account: Account) -> str | None:
        """Let the client in as a user; return why it must not be, if so."""
        client = self.client
        is_other = self.account is None or self.account.name != account.name
        refusal = self._gate.enter(account) if is_other else None
        if refusal is not None:
            audit.log.warning("%s: %s refused: %s", client.peer, account.name, refusal)
            return refusal
        if self.account is not None and is_other:
            self._gate.leave(self.account)
        self.know(account)
        self.admitted = True
        self._failures = 0
        audit.log.info("%s: is %s", client.peer, account.name)
        if self._binary is not None:
            self._binary.item_size_max = client.policy.item_size_max
        if self._text is not None:
            self._text.admit(TextDialect(client.policy.item_size_max))
            self._text.asked = False
        return None

    def know(self, account: Account) -> None:
        """Go by what a user may do, from the next command on."""
        client, rights = self.client, account.rights
        self.account = account
        client.user = account.name
        self.allowance = rights.client_memory
        client.call_it()
        client.sight = client.host if rights.is_admin else View(client.host, rights)
        client.may_put = rights.may_put
        client.replies.may_tell = None if rights.is_admin else rights.sees

    def know_anew(self, account: Account) -> None:
        """Go by other rights from now on: what is waited for may not be permitted any more."""
        if self.account is not None and account.rights != self.account.rights:
            self._end_wait()
        self.know(account)

    def _turn_away(self, writer: Writer, why: str) -> None:
        client = self.client
        client.counters.auth_errors += 1
        self._failures += 1
        audit.log.warning("%s: authentication failure: %s", client.peer, why)
        client.replies.add(writer.outcome(Outcome.NOT_AUTHENTICATED))
        if self._text is not None:
            self._text.asked = False
        if self._failures >= FAILURES:
            client.closing = True

    def disconnected(self) -> None:
        """End the session of a client that is gone."""
        if self.account is not None:
            self._gate.leave(self.account)
            self.account = None
        self._text = self._binary = None
        super().disconnected()


def _waits(client: Client, parked: Parked) -> bool:
    return client.parked is parked


def _opened(command: Command, writer: Writer) -> tuple[Command, Writer]:
    """Return a command without the form of its reply, and who writes that."""
    if isinstance(command, Phrased):
        return command.command, command.writer
    if isinstance(command, PhrasedAnew):
        return command.command, command.form.writer()
    return command, writer


def _refuse(client: Client, writer: Writer, what: str, *, quiet: bool) -> None:
    client.counters.permission_errors += 1
    audit.log.warning("%s: not permitted: %s", client.who, what)
    client.replies.add_error(writer.not_permitted(what), f"not permitted: {what}", quiet=quiet)


def _getting(client: Client, command: LongGet, user: User) -> Steps:
    """Execute a get of many keys, if its user may get from all of them: first that is looked at."""
    writer = client.replies.writer
    try:
        for piece in command.pieces():
            for start in range(0, len(piece), _AT_ONCE):
                lacking = permission.lacks_for_keys(user, piece[start : start + _AT_ONCE])
                if lacking is not None:
                    _refuse(client, writer, lacking, quiet=False)
                    return
                yield None
    except RequestError as problem:
        client.fail(problem)
        return
    yield from getting(client, command)
