"""What replies tell, the same in every dialect, and who writes them.

What writes replies derives from ``Writer``: as a ``Protocol``, its methods would be looked up by
name in compiled code, which calls those of its own classes directly.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from mypy_extensions import trait


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


def in_ascii(text: str) -> bytes:
    """Return a text with every byte beyond ASCII escaped, as names of queues can be typed again."""
    encoded = text.encode("utf-8", "backslashreplace")
    return encoded.decode("ascii", "backslashreplace").encode("ascii")
