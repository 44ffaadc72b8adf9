"""One client as the commands see it: what it holds, what it waits for, and its replies.

A command that cannot be answered at once *parks* the client: nothing more is executed for it
until what the command waits for is there, its time is over, or the client hangs up.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from mypy_extensions import mypyc_attr

from starling_py.journal.errors import JournalError
from starling_py.keys import Request, RequestError, printable
from starling_py.queues.errors import NotLoaded, QueueRefused
from starling_py.queues.open_reads import ReadHolder
from starling_py.queues.queue_collection import QueueCollection
from starling_py.queues.slices import DONE, LATER, Steps, next_step
from starling_py.security.networks import Networks
from starling_py.session.permission import Permission
from starling_py.session.replies import Replies
from starling_py.session.reports import ServerHost
from starling_py.session.takes import Takes
from starling_py.stats import Counters


def _nobody() -> None:
    """Wake nobody: the client is gone."""


MAX_OUTPUT: Final = 1 << 20
"""Bytes of replies after which a client must read before more of its commands are executed."""


@dataclass(frozen=True)
class Policy:
    """The settings that sessions obey."""

    item_size_max: int
    allow_flush_all: bool
    allow_shutdown: bool
    allow_reload: bool = False
    allow_drain: bool = False
    proxy_protocol: bool = False
    allow_from: Networks | None = None
    permission: Permission = field(default_factory=Permission)


@dataclass(frozen=True)
class Parked:
    """What a parked client waits for."""

    names: tuple[bytes, ...] = ()
    """The queues that it concerns."""
    leave: Callable[[], None] = lambda: None
    """Called to wait no more."""
    over: Callable[[], None] | None = None
    """Called, after ``leave``, to answer as if the time were over; ``None`` if the wait must not
    be ended early."""
    weight: int = 0
    """Bytes that the command takes meanwhile, beyond a name or two: of an item, of many names."""
    takes: bool = False
    """Whether it waits for an item of one of the queues, and not to put one."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Client:
    """One client; ``wake`` is called when a wait is over and it can go on."""

    def __init__(
        self,
        queues: QueueCollection,
        counters: Counters,
        policy: Policy,
        host: ServerHost,
        peer: str,
        wake: Callable[[], None],
    ) -> None:
        self.queues = queues
        self.counters = counters
        self.policy = policy
        self.host = host
        self.peer = peer
        self.name = ""
        """What it calls itself; empty if it has not said that."""
        self.user = ""
        """The user that it was recognised as; empty if it was not."""
        self.who = peer
        """Its address, with its user and its name if it has them: for the log."""
        self.sight: ServerHost = host
        """The server as far as the client may know of it."""
        self.may_put: Callable[[bytes], bool] | None = None
        """Tells whether it may put into a queue; ``None`` if it may into all."""
        self.takes = Takes()
        """What it has taken."""
        self.holder = ReadHolder()
        """Its open reads."""
        self.may_wait = True
        """Whether a command may park it; not any more when it has hung up."""
        self.replies = Replies(counters, peer)
        """What it is still to be told."""
        self.closing = False
        """Whether the connection is to be closed once the replies have been sent."""
        self.parked: Parked | None = None
        """What it waits for; ``None`` if it is not parked."""
        self.next: Callable[[], None] | None = None
        """The rest of a command, to be done before the next command."""
        self.long = False
        """Whether a command was done that may have taken long."""
        self.unfinished: Steps | None = None
        """The rest of a command that must be finished even if the client hangs up."""
        self.weight = 0
        """Bytes that a command at length takes, beyond what it is answered; it may change them."""
        self.hoard: list[list[Request]] = []
        """What a command at length may have so many of that they must not be freed at once."""
        self._wake = wake

    @property
    def waiting(self) -> bool:
        """Whether the client is parked."""
        return self.parked is not None

    @property
    def waiting_on(self) -> str:
        """The names of the queues that the client waits for, separated by commas."""
        names = () if self.parked is None else self.parked.names
        return ",".join(printable(name) for name in names)

    def introduce(self, address: str) -> None:
        """Know the client by another address than that of the connection, which is a proxy's."""
        self.peer = address
        self.call_it()

    def call_it(self) -> None:
        """Make what the log calls it.

        The user stands in brackets right behind the address, where no client can write anything.
        """
        user = f"[{self.user}]" if self.user else ""
        name = f" ({self.name})" if self.name else ""
        self.who = self.replies.who = f"{self.peer}{user}{name}"

    def leave(self) -> None:
        """Wait for nothing, go on with nothing: the client is gone.

        What it was in the middle of refers to the client, and would keep it, with all that it was
        sent and still to be sent, until the collector happens to run.
        """
        parked, self.parked = self.parked, None
        self.next = self.unfinished = None
        self._free_hoard()
        self._wake = _nobody
        self.closing = True
        self.may_wait = False
        self.holder.closed = True
        self.replies.forget()
        if parked is not None:
            parked.leave()

    def go_on(self, proceed: Callable[[], None]) -> None:
        """End the wait; ``proceed`` is called when the client's turn comes.

        Not at once, so that a defect in it ends this session, and not the one that ended the wait.
        """
        self.parked = None
        self.next = proceed
        self._wake()

    def take_next(self) -> Callable[[], None] | None:
        """Return the rest of a command, if there is one; it is to be done now.

        A method of its own: in one function, mypy would conclude that ``next`` stays ``None``, and
        the compiled form fails when the rest has a rest.
        """
        rest, self.next = self.next, None
        return rest

    def at_length(self, steps: Steps, *, finish: bool = False, weight: int = 0) -> None:
        """Do a command that may take long: some steps at once, the others in later turns.

        Between two turns the others have theirs, and the client has to read what it is told.
        ``finish``: the command goes on even if the client does not read, or hangs up. ``weight`` is
        how many bytes the command takes meanwhile.
        """
        self.long = True
        at_once = self.queues.slices.at_once
        self.weight = weight
        self._do(steps, next(steps, DONE), at_once, finish=finish)

    def _do(self, steps: Steps, missing: NotLoaded | None, at_once: int, *, finish: bool) -> None:
        """Do steps, ``at_once`` of them however long that takes.

        ``missing`` is what the step before has yielded.
        """
        slices, replies = self.queues.slices, self.replies
        while missing is None and replies.size < MAX_OUTPUT and (at_once > 0 or not slices.spent):
            at_once -= 1
            missing = next(steps, DONE)
        if missing is DONE:
            self.unfinished = None
            self.weight = 0
            if self.hoard:
                self._free_hoard()
            return
        if finish:
            self.unfinished = steps

        def go_on(failure: JournalError | None = None) -> None:
            self._do(steps, next_step(steps, failure), 0, finish=finish)

        if missing is None or missing is LATER:
            self.next = go_on
        else:
            self.wait_until_loaded(missing, go_on, go_on)

    def _free_hoard(self) -> None:
        hoard, self.hoard = self.hoard, []
        if self.parked is None:  # what is waited for is still needed, and never so much
            for each in hoard:
                self.queues.slices.free(each)

    def wait_until_loaded(
        self,
        problem: NotLoaded,
        again: Callable[[], None],
        give_up: Callable[[JournalError], None] | None = None,
        *,
        quiet: bool = False,
        weight: int = 0,
    ) -> None:
        """Park until what is missing is read from disk, then call ``again``.

        If it cannot be read, ``give_up`` is called; without it, the command is answered with an
        error, or, if it is ``quiet``, that is only counted. ``weight`` is as in ``Parked``.
        """
        parked = self.parked = Parked(weight=weight)

        def ask_again(failure: JournalError | None) -> None:
            if self.parked is not parked:
                return  # the client is gone
            if failure is None:
                self.go_on(again)
            elif give_up is not None:
                self.go_on(lambda: give_up(failure))
            else:
                self.go_on(lambda: self.fail(failure, quiet=quiet))

        problem.when_loaded(ask_again)

    def fail(
        self, problem: RequestError | JournalError | QueueRefused, *, quiet: bool = False
    ) -> None:
        """Answer a command that could not be executed; count it only, if it is ``quiet``."""
        reason = str(problem)
        writer = self.replies.writer
        if isinstance(problem, RequestError):
            self.counters.protocol_errors += 1
            self.replies.add_error(writer.client_error(reason), reason, quiet=quiet)
        else:
            self.replies.add_error(writer.server_error(reason), reason, quiet=quiet)
