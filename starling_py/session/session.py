"""The session of one client: executes its commands in order.

A command is executed at once, or parks the client: then nothing more is executed for it until
what it waits for is there, its time is over, or the client hangs up. Its replies collect in
``replies``. Invariant: one reply a command, in order. The session knows neither sockets nor trio
and never sends anything: the tick does, when the commits and syncs that the replies depend on are
done. What the commands do is in ``put``, ``get``, ``reliable``, ``monitor``, ``admin`` and
``operating``.
"""

import functools
import logging
from collections.abc import Callable, Collection
from typing import Any, Final

from mypy_extensions import mypyc_attr

from starling_py.guard import Guard
from starling_py.journal.journal import Journal
from starling_py.protocol import dialect_for, proxy_header
from starling_py.protocol.commands import Command, Phrased, PhrasedAnew, Store
from starling_py.protocol.dialect import Dialect
from starling_py.protocol.proxy_header import ProxyHeaderError
from starling_py.queues.errors import NotLoaded
from starling_py.queues.open_reads import ReadHolder, ReadQueue
from starling_py.queues.slices import Steps
from starling_py.session import admin, get, monitor, operating, put, reliable
from starling_py.session.client import MAX_OUTPUT, Client

log = logging.getLogger(__name__)

MAX_COMMANDS: Final = 512
"""Commands executed for one client before the others have their turn."""
_LOOK: Final = 15
"""After each 16 commands, and after each that may take long, it looks whether others have waited
long enough: one less than that."""
_LARGE: Final = 8192
"""Bytes that are read as commands at once however long others have waited."""
MAX_INPUT: Final = 1 << 20
"""Bytes that a parked client may send ahead before it is no longer read from."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Session:
    """One client's commands, executed in order.

    The owner calls ``run`` with what the client sent, and again when the client is woken.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self.held = False
        """Whether the output waits for a sync: nothing more is executed then, as what that commits
        would need a later sync, and hold the output up again. See ``hold``."""
        self.stopped_early = False
        """Whether ``run`` stopped though there is more to do; it must be called again."""
        self.rests = False
        """Whether all that came was executed, and only more input can go on.

        Then the session is not parked, held, closing or in the middle of a command, and of what
        came nothing is kept.
        """
        self._dialect: Dialect | None = None
        self._input_ended = False
        self.admitted = True
        """Whether the client need not say who it is, or no more."""
        self.allowance: int | None = None
        """Bytes that all clients of its user together may make the server hold; ``None`` if there
        is no such bound."""
        self.introduced = not client.policy.proxy_protocol
        """Whether the client's first bytes are its own, and no PROXY header is to come."""
        self._header = b""
        """What has come of the PROXY header."""

    @property
    def midway(self) -> bool:
        """Whether the client has begun a command and not finished it."""
        return self._dialect is not None and self._dialect.midway

    @property
    def begun(self) -> bool:
        """Whether the client has said anything."""
        return self._dialect is not None

    @property
    def takes_input(self) -> bool:
        """Whether the client should be read from."""
        if self.client.parked is None and not self.held and not self.stopped_early:
            return True
        return self._dialect is None or self._dialect.buffered <= MAX_INPUT

    @property
    def weight(self) -> int:
        """Bytes that the client makes the server hold, but for replies that are being sent."""
        dialect, parked = self._dialect, self.client.parked
        weight = self.client.replies.size + self.client.weight
        if dialect is not None:
            weight += dialect.weight
        return weight if parked is None else weight + parked.weight

    @property
    def missing(self) -> int:
        """The most bytes that the client has to send until it makes the server hold less."""
        dialect = self._dialect
        if dialect is None:
            return 0
        if self.client.parked is not None or self.held or self.stopped_early:
            return max(0, MAX_INPUT - dialect.buffered)
        return dialect.missing

    def run(self, data: bytes = b"") -> None:
        """Take what the client sent, if anything, and execute the whole commands in it.

        Stops when a command parks the client, when it is held, after ``MAX_COMMANDS`` commands or
        ``MAX_OUTPUT`` bytes of replies, or when there is no whole command left.
        """
        client = self.client
        dialect = self._dialect
        if data:
            if dialect is None:
                if not self.introduced and not (data := self._introduce(data)):
                    return
                dialect = self._begin(data)
            dialect.feed(data)
            if self.stopped_early and client.next is not None:
                return  # its turn comes, no sooner because it sends more
            if len(data) > _LARGE and client.queues.slices.spent:
                self.stopped_early = True  # to read a line of many keys takes long
                self.rests = False
                return
        elif dialect is None:
            return
        if self.rests and client.next is None:
            self.rests = False
        elif not self._goes_on():
            return
        replies = client.replies
        left = MAX_COMMANDS
        while (command := dialect.next_command()) is not None:
            if replies.writer is not dialect:
                replies.writer = dialect
            self.execute(command)
            if client.parked is not None or client.closing:
                return
            left -= 1
            if replies.size >= MAX_OUTPUT or client.next is not None or not left:
                self.stopped_early = True
                return
            if not dialect.more:
                self.rests = True
                break
            if client.long or not left & _LOOK:
                client.long = False
                if client.queues.slices.spent:
                    self.stopped_early = True
                    return
        else:
            self.rests = not dialect.midway
        if self._input_ended:
            client.closing = True
            self.rests = False

    def put_off(self, data: bytes) -> None:
        """Take what the client sent, but execute none of it before the next call of ``run``."""
        dialect = self._dialect
        if data:
            if dialect is None:
                if not self.introduced and not (data := self._introduce(data)):
                    return
                dialect = self._begin(data)
            dialect.feed(data)
        if dialect is not None:
            self.stopped_early = True
            self.rests = False

    def _introduce(self, data: bytes) -> bytes:
        """Read the PROXY header; return what the client sent behind it, once it is whole.

        Without a right one, the connection is closed: who is no proxy must not tell of whom it is.
        """
        client = self.client
        if client.closing:
            return b""
        self._header += data
        try:
            header = proxy_header.read(self._header)
        except ProxyHeaderError as problem:
            self.refuse(str(problem))
            return b""
        if header is None:
            return b""
        if header.address:
            networks = client.policy.allow_from
            if networks is not None and not networks.allow(header.host):
                self.refuse(f"allow_from does not name the network of {header.address}")
                return b""
            client.introduce(header.address)
        rest, self._header = self._header[header.size :], b""
        self.introduced = True
        return rest

    def refuse(self, why: str) -> None:
        """Close the connection, as no right PROXY header has come."""
        client = self.client
        log.warning("%s: closed, as it began without a right PROXY header: %s", client.peer, why)
        client.counters.protocol_errors += 1
        client.closing = True
        self._header = b""

    def _begin(self, data: bytes) -> Dialect:
        client = self.client
        dialect = self._dialect = dialect_for(data, client.policy.item_size_max)
        client.replies.writer = dialect
        return dialect

    def _goes_on(self) -> bool:
        """Do the rest of a command, if there is one; tell whether others may be executed."""
        client = self.client
        self.stopped_early = False
        proceed = client.take_next()
        if proceed is not None:
            proceed()
        if client.parked is not None or client.closing or self.held:
            return False
        self.stopped_early = client.replies.size >= MAX_OUTPUT or client.next is not None
        return not self.stopped_early

    def execute(self, command: Command) -> None:
        """Execute a command, or park until what it needs is read from disk, and then execute it."""
        try:
            _HANDLERS[type(command)](self.client, command)
        except NotLoaded as signal:
            quiet = getattr(command, "quiet", False)
            weight = len(command.data) if isinstance(command, Store) else 0
            again = functools.partial(self.execute, command)
            self.client.wait_until_loaded(signal, again, quiet=quiet, weight=weight)

    def hold(self) -> None:
        """Execute nothing more: the replies wait for a sync."""
        self.held = True
        self.rests = False

    def end_of_input(self) -> None:
        """End what the client waits for: it sends nothing more.

        ``run`` must be called afterwards, to execute what it sent before.
        """
        self._input_ended = True
        self.rests = False
        if self._dialect is None:
            if self._header and not self.client.closing:
                self.refuse("it is cut off")
            self.client.closing = True
        self.stop_waiting()

    def stop_waiting(self) -> None:
        """Wait for nothing from now on: the client has hung up, though it has input left."""
        self.client.may_wait = False
        self._end_wait()

    def _end_wait(self) -> None:
        parked = self.client.parked
        if parked is not None and parked.over is not None:
            parked.leave()
            parked.over()

    def revoke(self, failed: Collection[Journal]) -> None:
        """Take back the replies that tell of operations whose journals failed.

        A client that waits, and whose reply must now be an error, waits no longer: it is told.
        """
        self.client.replies.revoke(failed)
        if self.client.replies.spoiled is not None:
            self._end_wait()

    def disconnected(self) -> None:
        """End the session of a client that is gone: its open reads give their items back.

        A read with a lease stays open: another client that knows the item's id may confirm it.
        """
        client = self.client
        queues, holder, unfinished = client.queues, client.holder, client.unfinished
        client.leave()
        self._dialect = None
        if unfinished is not None:
            queues.slices.add(unfinished)
        if holder.by_name:
            queues.slices.start(_given_back(holder, queues.guard))


def _given_back(holder: ReadHolder, guard: Guard) -> Steps:
    """Give back what a client that is gone had open."""
    touched: dict[ReadQueue, None] = {}
    for read in holder.reads():
        if not read.is_open:
            continue  # ended meanwhile
        if read.lease is not None:
            read.holder = None
        else:
            touched[read.queue] = None
            try:
                read.queue.give_back(read, alone=False)
            except Exception:
                guard.caught("giving back what a client had open")
        yield None
    for queue in touched:
        try:
            queue.available()
        except Exception:
            guard.caught("serving those who wait")
        yield None


def _phrase(client: Client, phrased: Phrased) -> None:
    """Execute a command that is answered in the form that its request asked for."""
    client.replies.writer = phrased.writer
    _HANDLERS[type(phrased.command)](client, phrased.command)


def _phrase_anew(client: Client, phrased: PhrasedAnew) -> None:
    """Execute a command whose line was read before and remembered: it needs a new writer."""
    client.replies.writer = phrased.form.writer()
    _HANDLERS[type(phrased.command)](client, phrased.command)


_HANDLERS: Final[dict[type[Command], Callable[[Client, Any], None]]] = {
    **put.HANDLERS,
    **get.HANDLERS,
    **reliable.HANDLERS,
    **monitor.HANDLERS,
    **admin.HANDLERS,
    **operating.HANDLERS,
    Phrased: _phrase,
    PhrasedAnew: _phrase_anew,
}
