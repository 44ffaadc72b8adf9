"""Commands, the same in every dialect.

A command must not be changed; it is not frozen because a frozen one takes three times as long to
make. ``quiet`` on a command is the client's wish for no reply (``noreply`` in text).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol

from starling_py.keys import MAX_KEY, RequestError
from starling_py.protocol.operations import Operation
from starling_py.protocol.writer import Writer

_PIECE: Final = 1024
"""Bytes of a long line that are parted into words at a time."""


class Verb(Enum):
    """The storage commands."""

    SET = "set"
    ADD = "add"
    REPLACE = "replace"
    APPEND = "append"
    PREPEND = "prepend"
    CAS = "cas"


@dataclass(init=False)
class Store:
    """Put an item."""

    # One allocation in place of two for each put. A class that others inherit from cannot have
    # it: mypyc refuses that.
    __slots__ = ("data", "exptime", "flags", "key", "quiet", "verb")

    verb: Verb
    key: bytes
    flags: int
    """The client's 32 bits."""
    exptime: int
    """memcached's number: 0 never, then seconds or a Unix time, negative dead on arrival."""
    data: bytes
    quiet: bool

    def __init__(
        self, verb: Verb, key: bytes, flags: int, exptime: int, data: bytes, quiet: bool
    ) -> None:
        self.verb = verb
        self.key = key
        self.flags = flags
        self.exptime = exptime
        self.data = data
        self.quiet = quiet


@dataclass
class Get:
    """Do what each key asks for, mostly take an item from its queue."""

    keys: Sequence[bytes]
    with_cas: bool
    """Whether the reply gives each item's id."""
    touch_exptime: int | None = None
    """memcached's number, for a ``gat``, which opens items with a lease: 0 for the queue's own
    lease, then seconds or a Unix time; ``None`` for any other get."""
    plain: bool = field(init=False)
    """Whether it names one key, and is no ``gat``."""

    def __post_init__(self) -> None:
        self.plain = len(self.keys) == 1 and self.touch_exptime is None


@dataclass
class LongGet:
    """A get whose line is long: its keys are read a few at a time."""

    keys: bytes
    """The words behind those that every get has, parted by blanks."""
    with_cas: bool
    touch_exptime: int | None = None
    """As in ``Get``."""

    def pieces(self) -> Iterator[list[bytes]]:
        """Return the keys in their order, some at a time; a piece may be empty.

        Raises ``RequestError`` for a key that is too long.
        """
        keys, start, size = self.keys, 0, len(self.keys)
        while start < size:
            end = keys.find(b" ", start + _PIECE)
            if end < 0:
                end = size
            piece = [key for key in keys[start:end].split(b" ") if key]
            if piece and len(max(piece, key=len)) > MAX_KEY:
                raise RequestError("bad command line format")
            yield piece
            start = end


@dataclass
class Touch:
    """Give the oldest open read of a queue a new lease."""

    key: bytes
    exptime: int
    """memcached's number: 0 for the queue's own lease, then seconds or a Unix time; one that is
    negative is over already."""
    quiet: bool


@dataclass
class Confirm:
    """Confirm the oldest open reads of a queue, all of them or none."""

    key: bytes
    count: int
    """How many, from 0 to 2**31 - 1; Kestrel answers 0 as it answers too many."""


@dataclass
class Monitor:
    """Open items of a queue one after another, as they come."""

    key: bytes
    seconds: int
    """How long, from 0 to 2147483."""
    most: int | None
    """The most items, from 1 to 100000; ``None`` for as many as may be open."""


@dataclass
class Delete:
    """Delete a queue."""

    key: bytes
    quiet: bool
    compares: bool = False
    """Whether it names the id that a queue would have to have; none has one."""


@dataclass
class Arithmetic:
    """Change a number (incr, decr), which a queue does not have."""

    word: str
    """``incr`` or ``decr``."""
    key: bytes
    quiet: bool


@dataclass
class Flush:
    """Remove every item of a queue."""

    key: bytes
    quiet: bool


@dataclass
class FlushAll:
    """Remove every item of every queue."""

    quiet: bool
    delay: int = 0
    """memcached's number: seconds, or a Unix time; 0 or less for now."""


@dataclass
class FlushExpired:
    """Remove the dead items at the head of a queue."""

    key: bytes | None
    """``None`` for every queue."""
    quiet: bool


@dataclass
class Stats:
    """Ask for statistics; no words for all of them."""

    words: Sequence[bytes]


@dataclass
class DumpStats:
    """Ask for queues' statistics in Kestrel's form; no keys for all queues."""

    keys: Sequence[bytes]


@dataclass
class DumpConfig:
    """Ask for queues' settings in Kestrel's form; no keys for all queues."""

    keys: Sequence[bytes] = ()


@dataclass
class Status:
    """Ask whether puts are accepted, or change that (Kestrel)."""

    word: bytes | None = None
    """The status to change to, as the client wrote it; ``None`` to ask for the present one."""


@dataclass
class Reload:
    """Read the settings of the queues again."""


@dataclass
class RefreshCerts:
    """Read the certificates again."""

    quiet: bool


@dataclass
class Version:
    """Ask for the server's version."""


@dataclass
class Authenticate:
    """Say who the client is."""

    user: bytes
    password: bytes = field(repr=False)
    """Stands in no message and in no traceback."""


@dataclass
class ListMechanisms:
    """Ask how a client may say who it is (SASL)."""


@dataclass
class Acknowledge:
    """A command that succeeds and has no effect here, such as ``verbosity``."""

    quiet: bool


@dataclass
class Shutdown:
    """Stop the server."""


@dataclass
class Quit:
    """Close the connection."""


@dataclass
class Refusal:
    """A command that the dialect answers itself, mostly with an error."""

    reply: bytes
    """The reply's bytes; empty when the client wants none."""
    close: bool = False
    """Whether it is lost where the next command begins, so the connection must be closed."""
    too_large: bool = False
    """Whether the reason is the size of an item."""


@dataclass
class Help:
    """Ask what can be asked; only text has that."""

    reply: bytes
    """The answer, which the dialect has."""


@dataclass(init=False)
class Phrased:
    """A command whose reply has a form of its own, as its request asked for."""

    command: "Command"
    writer: Writer

    def __init__(self, command: "Command", writer: Writer) -> None:
        self.command = command
        self.writer = writer


class Form(Protocol):
    """The form that a request wants its reply to have."""

    def writer(self) -> Writer:
        """Return a new writer for one reply: it may note what it has told."""


@dataclass
class PhrasedAnew:
    """The same for a remembered line: each time it comes, its reply gets a new writer."""

    command: "Command"
    form: Form


Command = (
    Operation
    | Store
    | Get
    | LongGet
    | Touch
    | Confirm
    | Monitor
    | Delete
    | Arithmetic
    | Flush
    | FlushAll
    | FlushExpired
    | Stats
    | DumpStats
    | DumpConfig
    | Status
    | Reload
    | RefreshCerts
    | Version
    | Help
    | Authenticate
    | ListMechanisms
    | Acknowledge
    | Shutdown
    | Quit
    | Refusal
    | Phrased
    | PhrasedAnew
)
