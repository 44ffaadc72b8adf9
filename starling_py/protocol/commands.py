"""Commands and replies, the same in every dialect.

A command must not be changed; it is not frozen because a frozen one takes three times as long to
make. ``quiet`` on a command is the client's wish for no reply (``noreply`` in text). What writes
replies derives from ``Writer``: as a ``Protocol``, its methods would be looked up by name in
compiled code, which calls those of its own classes directly.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol

from mypy_extensions import trait

from starling_py.keys import MAX_KEY, RequestError
from starling_py.protocol.operations import Operation

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


@dataclass(init=False)
class Phrased:
    """A command whose reply has a form of its own, as its request asked for."""

    command: "Command"
    writer: "Writer"

    def __init__(self, command: "Command", writer: "Writer") -> None:
        self.command = command
        self.writer = writer


class Form(Protocol):
    """The form that a request wants its reply to have."""

    def writer(self) -> "Writer":
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
    | Version
    | Authenticate
    | ListMechanisms
    | Acknowledge
    | Shutdown
    | Quit
    | Refusal
    | Phrased
    | PhrasedAnew
)


class Outcome(Enum):
    """Plain replies: they carry nothing but themselves."""

    STORED = "stored"
    NOT_STORED = "not stored"
    EXISTS = "exists"
    TOUCHED = "touched"
    DELETED = "deleted"
    NOT_FOUND = "not found"
    OK = "ok"
    RESET = "reset"
    END = "end"
    UNKNOWN = "unknown command"
    NON_NUMERIC = "non-numeric"
    """An incr or decr of a queue that has something: what it has is no number."""
    ERROR = "error"
    """A confirm of more reads than are open, which clients of Kestrel know in this form."""
    AUTHENTICATED = "authenticated"
    NOT_AUTHENTICATED = "authentication failure"
    """The user or the password is wrong."""
    UNAUTHENTICATED = "unauthenticated"
    """The client has to say who it is first."""

    # The default hashes the member's name, in Python code, once a reply.
    __hash__ = object.__hash__


class Shown(Protocol):
    """An item, as far as replies may tell of it."""

    @property
    def id(self) -> int:
        """Its id, which never changes; it serves as memcached's cas number."""

    @property
    def flags(self) -> int:
        """The client's 32 bits."""

    @property
    def data(self) -> bytes:
        """Its data."""

    @property
    def added_ms(self) -> int:
        """When it was put, in milliseconds since the Unix epoch."""

    @property
    def expiry_ms(self) -> int:
        """When it dies, in milliseconds since the Unix epoch; 0 for never."""


@trait
class Writer(ABC):
    """Writes the replies of a connection, or the reply to one command."""

    detailed: bool
    """Whether ``hit_in_detail`` must be called instead of ``hit``."""
    tells_origin: bool
    """Whether ``hit_in_detail`` tells where an item came from."""
    tells_id: bool
    """Whether ``stored_as`` must be called before the outcome of a put."""

    @abstractmethod
    def stored_as(self, item_id: int) -> None:
        """Note the id of an item that was put, for the outcome that follows."""

    @abstractmethod
    def hit_in_detail(
        self, key: bytes, item: Shown, deliveries: int, now_ms: int, origin: bytes
    ) -> tuple[bytes, ...]:
        """Return an item in pieces, with what the request wants to be told of it.

        ``deliveries`` is how often it was handed out before, ``now_ms`` the time on the wall clock,
        ``origin`` where it came from, in a word.
        """

    @abstractmethod
    def outcome(self, outcome: Outcome) -> bytes:
        """Return a plain reply."""

    @abstractmethod
    def hit(self, key: bytes, flags: int, data: bytes, cas: int | None) -> tuple[bytes, ...]:
        """Return an item in pieces, so that its data is not copied.

        ``cas`` is the item's id, ``None`` if the client does not want it. One key may have several
        items: a peek at more than one gives them one after another, and ``end_of_hits`` once after
        all. A monitor gives ``end_of_hits`` after each, and once more when it is over.
        """

    @abstractmethod
    def end_of_hits(self) -> bytes:
        """Return what closes the reply to a get, or to a monitor."""

    @abstractmethod
    def client_error(self, text: str) -> bytes:
        """Return the reply to a command that was wrong."""

    @abstractmethod
    def server_error(self, text: str) -> bytes:
        """Return the reply to a command that the server failed at."""

    @abstractmethod
    def disabled(self, what: str) -> bytes:
        """Return the reply to a command that the settings do not allow."""

    @abstractmethod
    def unknown(self) -> bytes:
        """Return the reply to a command that is not known."""

    @abstractmethod
    def not_permitted(self, what: str) -> bytes:
        """Return the reply to a command that its user may not give."""

    @abstractmethod
    def number(self, number: int) -> bytes:
        """Return a reply that is only a number."""

    @abstractmethod
    def word(self, word: str) -> bytes:
        """Return a reply that is only a word."""

    @abstractmethod
    def version(self, version: str) -> bytes:
        """Return the server's version."""

    @abstractmethod
    def stats_part(self, pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
        """Return some statistics, perhaps none; names and values are one token each."""

    @abstractmethod
    def end_of_stats(self) -> bytes:
        """Return what closes the reply with all statistics."""

    @abstractmethod
    def dump_part(self, name: bytes, pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
        """Return the names and values of one queue, under the queue's name."""

    @abstractmethod
    def end_of_dump(self) -> bytes:
        """Return what closes the reply with those of all queues that were asked for."""


@trait
class Dialect(Writer):
    """Reads one connection's commands, and writes the replies to most of them."""

    more: bool
    """Whether ``next_command`` may return a command before more bytes come: if not, it need not be
    called."""

    @abstractmethod
    def feed(self, data: bytes) -> None:
        """Take what the client sent."""

    @abstractmethod
    def next_command(self) -> Command | None:
        """Return the next whole command; ``None`` when more bytes are needed."""

    @property
    @abstractmethod
    def buffered(self) -> int:
        """Bytes that came and do not belong to a command that was returned, but for a body's."""

    @property
    @abstractmethod
    def weight(self) -> int:
        """Bytes kept of what came: those that are buffered, and of a body that is not whole."""

    @property
    @abstractmethod
    def missing(self) -> int:
        """The most bytes that must come until the command that has begun is whole."""

    @property
    @abstractmethod
    def midway(self) -> bool:
        """Whether a part of a command has come and the rest has not."""
