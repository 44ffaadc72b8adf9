"""One client as the commands see it: what it holds, what it waits for, what it is to be told.

A command that cannot be answered at once *parks* the client: nothing more is executed for it
until what the command waits for is there, its time is over, or the client goes away.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mypy_extensions import mypyc_attr

from starling_py.journal.errors import JournalError
from starling_py.keys import RequestError, printable
from starling_py.queues.errors import NotLoaded, QueueRefused
from starling_py.queues.open_reads import ReadHolder
from starling_py.queues.queue_collection import QueueCollection
from starling_py.session.replies import Replies
from starling_py.session.reports import ServerHost
from starling_py.stats import Counters

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


@dataclass(frozen=True)
class Parked:
    """What a client waits for."""

    names: tuple[bytes, ...] = ()
    """The queues that it concerns."""
    leave: Callable[[], None] = lambda: None
    """Called to wait no more."""
    over: Callable[[], None] | None = None
    """Called, after ``leave``, to get the answer that there is when the time is over."""


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
        self.holder = ReadHolder()
        """What the client holds: its open reads."""
        self.may_wait = True
        """Whether it makes sense to wait for anything: the client has not hung up."""
        self.replies = Replies(counters, peer)
        """What the client is still to be told."""
        self.closing = False
        """Whether the connection is to be closed once the replies have been sent."""
        self.parked: Parked | None = None
        """What the client waits for."""
        self.next: Callable[[], None] | None = None
        """The rest of a command, to be done before the next one."""
        self._wake = wake

    @property
    def waiting(self) -> bool:
        """Whether a command is under way that waits for something."""
        return self.parked is not None

    @property
    def waiting_on(self) -> str:
        """The queues that a command waits for, separated by commas."""
        names = () if self.parked is None else self.parked.names
        return ",".join(printable(name) for name in names)

    def go_on(self, proceed: Callable[[], None]) -> None:
        """Have the wait be over: ``proceed`` is called when the client's turn comes.

        So a defect in it ends this session, and not the one whose doing ended the wait.
        """
        self.parked = None
        self.next = proceed
        self._wake()

    def wait_until_loaded(
        self,
        problem: NotLoaded,
        again: Callable[[], None],
        give_up: Callable[[JournalError], None] | None = None,
        *,
        quiet: bool = False,
    ) -> None:
        """Park until what was missing is in memory, then do something again.

        If it cannot be read, ``give_up`` is called, or the command is answered with an error.
        """
        parked = self.parked = Parked()

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
        """Answer a command that could not be executed."""
        reason = str(problem)
        writer = self.replies.writer
        if isinstance(problem, RequestError):
            self.counters.protocol_errors += 1
            self.replies.add_error(writer.client_error(reason), reason, quiet=quiet)
        else:
            self.replies.add_error(writer.server_error(reason), reason, quiet=quiet)
