"""The grammar of keys: which queue a key names, and what its options ask for.

A key is the name of a queue, then options in any order, each after a slash: ``jobs``,
``jobs/peek``, ``jobs/close/open/t=500``; before its first ``+``, a name may name a parent queue.
Any name that memcached accepts as a key can be a queue. Invariant: an option that is unknown, or
makes no sense beside another, is always an error, as a typo in ``/peek`` must never take an item.
What the options do is not known here.
"""

import re
from dataclasses import dataclass, field, replace
from typing import Final

from starling_py.memo import Memo

MAX_KEY = 250
"""Bytes of a key, options included (memcached's protocol.txt)."""

MAX_WAIT_MS = 2**31 - 1
"""The longest wait that ``t=`` accepts, in milliseconds: about 24 days."""
MAX_PEEK = 1000
"""The most items that ``n=`` accepts."""
_MOST_KEYS: Final = 4096
"""How many keys are remembered, of gets and of storage commands each."""
MAX_ITEM_ID = 2**64 - 1
MAX_TOKEN = 100
"""Bytes of a token that ``once=`` accepts."""
MAX_SECONDS = 2_592_000
"""The most seconds that ``lease=`` and ``delay=`` accept: memcached's 30 days."""

_GET_OPTIONS = frozenset(
    {
        b"peek",
        b"n",
        b"id",
        b"first",
        b"t",
        b"open",
        b"lease",
        b"close",
        b"abort",
        b"bury",
        b"delay",
    }
)
_STORE_OPTIONS = frozenset({b"sync", b"delay", b"t", b"once"})
_WITHOUT_VALUE = frozenset({b"peek", b"first", b"open", b"sync"})
_WITH_VALUE = frozenset({b"n", b"id", b"t", b"lease", b"delay", b"once"})
_CONFLICTS = (
    # Kestrel's, all of them.
    (b"peek", b"open"),
    (b"peek", b"close"),
    (b"peek", b"abort"),
    (b"abort", b"open"),
    (b"abort", b"close"),
    (b"peek", b"bury"),
    (b"close", b"bury"),
    (b"abort", b"bury"),
    (b"first", b"n"),
    (b"first", b"id"),
)
_NEEDS = ((b"n", b"peek"), (b"id", b"peek"), (b"lease", b"open"), (b"delay", b"abort"))

_SECONDS = re.compile(rb"[0-9]{1,10}(?:\.[0-9]{1,9})?")


class RequestError(Exception):
    """A key that does not follow the grammar; its text is fit for the client."""


@dataclass
class Request:
    """What one key of a get asks for.

    ``parse`` makes only these: one that takes an item, one that peeks, one that opens, one that
    closes and perhaps opens, one that aborts. A request is remembered and must not be changed; like
    a command, it is not frozen because that is quicker to make.
    """

    key: bytes
    """The key as the client sent it: replies repeat exactly these bytes."""
    name: bytes
    """The queue's name."""
    peek: bool = False
    """Look at the head without taking it."""
    wait_ms: int | None = None
    """Milliseconds to wait for an item when there is none; 0 not to wait, ``None`` for as long as
    the queue's settings say."""
    count: int = 1
    """The most items to give, from 1 to 1000; 1 unless it peeks."""
    open: bool = False
    """Open an item: it comes back unless the read is closed (Kestrel's open read)."""
    close: bool = False
    """Confirm an open read, before anything else."""
    abort: bool = False
    """End an open read and give its item back."""
    bury: bool = False
    """End an open read by moving its item to the queue for dead letters."""
    item_id: int | None = None
    """Which item to close, abort or bury, from 1 to 2**64 - 1; ``None`` for the oldest that is
    open. Or which one to look at; ``None`` for the head. With a ``count`` above 1, those from this
    id on are looked at, in the order of their ids."""
    lease: float | None = None
    """Seconds that an open read may last, above 0 and up to 30 days; ``None`` when not given."""
    delay: float = 0.0
    """Seconds that an aborted item is delayed, from 0 to 30 days."""
    first: bool = False
    """Whether the get gives one item in all, from the first of its queues that has one."""
    lease_until_ms: int = 0
    """The moment of the wall clock that ``lease`` was reckoned from, in milliseconds since the Unix
    epoch; 0 if from none. No key gives it, but a ``gat`` does."""
    ends: bool = field(init=False, compare=False)
    """Whether this ends an open read."""
    takes: bool = field(init=False, compare=False)
    """Whether this reads an item at all; a close or an abort alone does not."""
    simple: bool = field(init=False, compare=False)
    """Whether this is an ordinary read or a look at the head, and of no fan-out child."""
    looks_further: bool = field(init=False, compare=False)
    """Whether this looks at several items, or at one that need not be the first."""

    def __post_init__(self) -> None:
        self.ends = self.close or self.abort or self.bury
        self.takes = self.open or not self.ends
        self.looks_further = self.count > 1 or (self.peek and self.item_id is not None)
        special = self.open or self.ends or self.looks_further
        self.simple = not special and child_of(self.name) is None
        # Made once, here: making a request costs more than all the rest of a get.
        ends = self.close or self.bury
        self._reading = replace(self, close=False, bury=False, item_id=None) if ends else None

    @property
    def reading(self) -> "Request":
        """What this reads, without what it ends."""
        return self if self._reading is None else self._reading

    @property
    def plain(self) -> bool:
        """Whether the key is a queue's name and nothing more."""
        return self.key == self.name


@dataclass
class StoreRequest:
    """What the key of a storage command asks for; it is remembered and must not be changed."""

    name: bytes
    """The queue's name."""
    sync: bool = False
    """Answer only when the item is safe from a power cut (Darner's ``/sync``)."""
    delay: float = 0.0
    """Seconds that the item is delayed, from when it is put; from 0 to 30 days."""
    wait_ms: int = 0
    """Milliseconds to wait for room in a full queue."""
    token: bytes = b""
    """What says that it is to be stored once, from 1 to 100 bytes; empty if there is none."""
    simple: bool = field(init=False, compare=False)
    """Whether the key is only a name, or its options ask for nothing."""

    def __post_init__(self) -> None:
        self.simple = not (self.sync or self.delay or self.wait_ms or self.token)


def parse(key: bytes) -> Request:
    """Read a key of a get.

    Raises ``RequestError`` for an empty name, for an option that is unknown, repeated or malformed,
    and for options that do not go together. ``t=`` goes with everything, as in Kestrel; a close or
    an abort alone has nothing to wait for, and does not wait, nor does a look at a certain item.
    """
    return REQUESTS.get(key)


def _parse(key: bytes) -> Request:
    name, words = _split(key)
    if not words:
        return Request(key, name)
    options = _options(words, _GET_OPTIONS)
    for option, other in _CONFLICTS:
        if option in options and other in options:
            raise RequestError(f"/{option.decode()} and /{other.decode()} do not go together")
    for option, other in _NEEDS:
        if option in options and other not in options:
            raise RequestError(f"/{option.decode()}= needs /{other.decode()}")
    which = next((each for each in (b"abort", b"bury", b"id") if each in options), b"close")
    request = Request(
        key,
        name,
        peek=b"peek" in options,
        wait_ms=_whole(options, b"t", 0, MAX_WAIT_MS, "milliseconds"),
        count=_whole(options, b"n", 1, MAX_PEEK, "a number of items") or 1,
        first=b"first" in options,
        open=b"open" in options,
        close=b"close" in options,
        abort=b"abort" in options,
        bury=b"bury" in options,
        item_id=_whole(options, which, 1, MAX_ITEM_ID, "an item's id"),
        lease=_seconds(options, b"lease"),
        delay=_seconds(options, b"delay") or 0.0,
    )
    if request.lease == 0:
        raise RequestError("/lease= takes more than 0 seconds")
    if not request.takes:
        request.wait_ms = None
    elif request.peek and request.item_id is not None:
        request.wait_ms = 0
    return request


REQUESTS: Final = Memo(_parse, _MOST_KEYS)
"""What the latest keys of gets ask for: ``parse`` remembers it here."""


def parse_store(key: bytes) -> StoreRequest:
    """Read the key of a storage command.

    Its options go together in every way: the wait for room ends when the item is put, and the
    delay begins then. Raises ``RequestError`` for an empty name and for an option that is unknown,
    repeated or malformed.
    """
    if b"/once=" in key:
        return _parse_store(key)  # hardly ever comes again
    return STORE_REQUESTS.get(key)


def _parse_store(key: bytes) -> StoreRequest:
    name, words = _split(key)
    if not words:
        return StoreRequest(name)
    options = _options(words, _STORE_OPTIONS)
    token = options.get(b"once") or b""
    if b"once" in options and not 1 <= len(token) <= MAX_TOKEN:
        raise RequestError(f"/once= takes a token of 1 to {MAX_TOKEN} bytes")
    return StoreRequest(
        name,
        token=token,
        sync=b"sync" in options,
        delay=_seconds(options, b"delay") or 0.0,
        wait_ms=_whole(options, b"t", 0, MAX_WAIT_MS, "milliseconds") or 0,
    )


STORE_REQUESTS: Final = Memo(_parse_store, _MOST_KEYS)
"""What the latest keys of storage commands ask for: ``parse_store`` remembers it here."""


def parse_plain(key: bytes) -> bytes:
    """Read a key that must be a queue's name alone, for commands that take no option.

    Raises ``RequestError``.
    """
    name, words = _split(key)
    if words:
        raise RequestError("this command takes no option in its key")
    return name


def child_of(name: bytes) -> bytes | None:
    """Return the parent of a queue whose name says that it is a child; otherwise ``None``.

    The parent is what stands before the first ``+``, so that ``a+b+c`` is a child of ``a``
    (Kestrel). With nothing before it or nothing behind it, a ``+`` is a byte like any other.
    """
    parent, _, child = name.partition(b"+")
    return parent if parent and child else None


def _split(key: bytes) -> tuple[bytes, list[bytes]]:
    """Return the queue's name and the options as they stand."""
    if key and b"/" not in key:
        return key, []
    name, *words = key.split(b"/")
    if not name:
        raise RequestError("the key names no queue")
    return name, words


def _options(words: list[bytes], known: frozenset[bytes]) -> dict[bytes, bytes | None]:
    """Return the options with their values, ``None`` for one that stands without ``=``."""
    options: dict[bytes, bytes | None] = {}
    for word in words:
        option, equals, value = word.partition(b"=")
        if option not in known:
            raise RequestError(f"unknown option /{printable(word)}")
        if option in options:
            raise RequestError(f"option /{option.decode()} is repeated")
        if equals and option in _WITHOUT_VALUE:
            raise RequestError(f"/{option.decode()} takes no value")
        if not equals and option in _WITH_VALUE:
            raise RequestError(f"/{option.decode()}= needs a value")
        options[option] = value if equals else None
    return options


def _whole(
    options: dict[bytes, bytes | None], option: bytes, least: int, most: int, what: str
) -> int | None:
    """Return the whole number that an option gives; ``None`` when it gives none."""
    value = options.get(option)
    if value is None:
        return None
    if not value.isdigit() or len(value) > 20 or not least <= int(value) <= most:
        raise RequestError(f"/{option.decode()}= takes {what} from {least} to {most}")
    return int(value)


def _seconds(options: dict[bytes, bytes | None], option: bytes) -> float | None:
    """Return the seconds that an option gives; ``None`` when it gives none."""
    value = options.get(option)
    if value is None:
        return None
    if not _SECONDS.fullmatch(value) or float(value) > MAX_SECONDS:
        raise RequestError(f"/{option.decode()}= takes seconds up to {MAX_SECONDS}, such as 0.5")
    return float(value)


def printable(name: bytes) -> str:
    """Return bytes that a client sent as one word, for a log or a message.

    Text stays readable; blanks, control characters and what is no UTF-8 are escaped.
    """
    try:
        text = name.decode()
    except UnicodeDecodeError:
        return _escaped(name)
    if text.isprintable() and " " not in text and "\\" not in text:
        return text
    return "".join(
        each if each.isprintable() and each not in " \\" else _escaped(each.encode())
        for each in text
    )


def _escaped(name: bytes) -> str:
    return name.decode("latin-1").encode("unicode_escape").decode("ascii").replace(" ", "\\x20")
