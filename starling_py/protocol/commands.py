"""What clients can ask for and be told, the same in every dialect.

Command objects are mutable only because a frozen one costs three times as much to make; nobody
changes one. ``quiet`` on a command is the client's wish for no reply (``noreply`` in text).
"""

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

import attrs


class Verb(Enum):
    """The storage commands."""

    SET = "set"
    ADD = "add"
    REPLACE = "replace"
    APPEND = "append"
    PREPEND = "prepend"
    CAS = "cas"


@attrs.define
class Store:
    """Put an item."""

    verb: Verb
    key: bytes
    flags: int
    """The client's 32 bits."""
    exptime: int
    """memcached's number: 0 never, then seconds or a Unix time, negative dead on arrival."""
    data: bytes
    quiet: bool


@attrs.define
class Get:
    """Take an item from each key's queue."""

    keys: Sequence[bytes]
    with_cas: bool
    """Whether the reply gives each item's id."""


@attrs.define
class Delete:
    """Delete a queue."""

    key: bytes
    quiet: bool


@attrs.define
class Absent:
    """Change a value in place (touch, incr, decr), which a queue has none of."""

    word: str
    """Which of the three."""
    key: bytes
    quiet: bool


@attrs.define
class Flush:
    """Remove every item of a queue."""

    key: bytes
    quiet: bool


@attrs.define
class FlushAll:
    """Remove every item of every queue."""

    quiet: bool


@attrs.define
class FlushExpired:
    """Remove the dead items at the head of a queue, or of every queue."""

    key: bytes | None
    quiet: bool


@attrs.define
class Stats:
    """Ask for statistics; no words for all of them."""

    words: Sequence[bytes]


@attrs.define
class DumpStats:
    """Ask for queues' statistics in Kestrel's form; no keys for all queues."""

    keys: Sequence[bytes]


@attrs.define
class DumpConfig:
    """Ask for every queue's settings in Kestrel's form."""


@attrs.define
class Status:
    """Ask whether the server takes reads and writes."""


@attrs.define
class Version:
    """Ask for the server's version."""


@attrs.define
class Acknowledge:
    """Something that succeeds without having an effect here, such as ``verbosity``."""

    quiet: bool


@attrs.define
class Shutdown:
    """Stop the server."""


@attrs.define
class Quit:
    """Close the connection."""


@attrs.define
class Refusal:
    """Something the dialect itself has the answer to, mostly an error."""

    reply: bytes
    """The reply's bytes; none when the client wants none."""
    close: bool = False
    """Whether the stream can no longer be trusted, so the connection must be closed."""
    too_large: bool = False
    """Whether the reason is the size of an item."""


Command = (
    Store
    | Get
    | Delete
    | Absent
    | Flush
    | FlushAll
    | FlushExpired
    | Stats
    | DumpStats
    | DumpConfig
    | Status
    | Version
    | Acknowledge
    | Shutdown
    | Quit
    | Refusal
)


class Outcome(Enum):
    """Replies that carry nothing but themselves."""

    STORED = "stored"
    NOT_STORED = "not stored"
    DELETED = "deleted"
    NOT_FOUND = "not found"
    OK = "ok"
    RESET = "reset"
    END = "end"
    UNKNOWN = "unknown command"

    # The default goes through the name, in Python code, once per reply.
    __hash__ = object.__hash__


class Dialect(Protocol):
    """Reads one connection's commands and writes its replies."""

    def feed(self, data: bytes) -> None:
        """Take what the client sent."""

    def next_command(self) -> Command | None:
        """Return the next whole command; ``None`` when more bytes are needed."""

    @property
    def buffered(self) -> int:
        """Bytes taken and not yet used for a command."""

    @property
    def midway(self) -> bool:
        """Whether part of a command has been taken, and its rest is missing."""

    def outcome(self, outcome: Outcome) -> bytes:
        """Return a plain reply."""

    def hit(self, key: bytes, flags: int, data: bytes, cas: int | None) -> tuple[bytes, ...]:
        """Return an item in pieces, so that its data is not copied; ``cas`` is the item's id."""

    def end_of_hits(self) -> bytes:
        """Return what closes the reply to a get."""

    def client_error(self, text: str) -> bytes:
        """Return the reply to a command that was wrong."""

    def server_error(self, text: str) -> bytes:
        """Return the reply to a command that the server failed at."""

    def disabled(self, what: str) -> bytes:
        """Return the reply to a command that the settings do not allow."""

    def number(self, number: int) -> bytes:
        """Return a reply that is a bare number."""

    def word(self, word: str) -> bytes:
        """Return a reply that is a bare word."""

    def version(self, version: str) -> bytes:
        """Return the server's version."""

    def stats(self, pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
        """Return statistics, names and values being one token each."""

    def dump(self, blocks: Sequence[tuple[bytes, Sequence[tuple[bytes, bytes]]]]) -> bytes:
        """Return one named block of values a queue."""
