"""Statistics: the server's and the queues' numbers at one moment, and their printed forms.

A ``Snapshot`` has the numbers of the whole server, a ``QueueSnapshot`` those of one queue. Names
are Starling's where it had one, else memcached's, else Kestrel's for queues. Every value is a
single token, as clients read no further.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Final

from mypy_extensions import mypyc_attr

Pairs = list[tuple[bytes, bytes]]

_UNSAFE = re.compile(rb"[\x00-\x20\x7f]|\xc2[\x80-\x9f]")
"""Blanks, and the control characters of a terminal, in a name that is UTF-8."""
_NO_ASCII = re.compile(rb"[\x00-\x20\x7f-\xff]")


@dataclass
class Counters:
    """What the server counts, since it started or since ``stats reset``.

    Every command and every byte is counted here, so that must be one addition and no more.
    """

    total_items: int = 0
    """Items stored."""
    cmd_get: int = 0
    """Keys that gets asked for, hits and misses together."""
    cmd_set: int = 0
    """Storage commands."""
    cmd_flush: int = 0
    cmd_touch: int = 0
    cmd_peek: int = 0
    """Items that gets looked at without taking them."""
    get_hits: int = 0
    get_misses: int = 0
    delete_hits: int = 0
    delete_misses: int = 0
    touch_hits: int = 0
    touch_misses: int = 0
    incr_misses: int = 0
    decr_misses: int = 0
    cas_misses: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    total_connections: int = 0
    rejected_connections: int = 0
    """Connections closed at once because there were as many as the server takes."""
    idle_kicks: int = 0
    """Connections closed because they were idle for longer than ``timeout``."""
    store_too_large: int = 0
    """Items refused because they were larger than ``item_size_max``."""
    protocol_errors: int = 0
    """Commands answered with an error because they were wrong."""
    noreply_errors: int = 0
    """Commands that failed without a reply, because the client wanted none."""
    session_errors: int = 0
    """Sessions ended by a defect in the server, or out of memory; each is in the log."""
    auth_cmds: int = 0
    """Times that clients said who they are."""
    auth_errors: int = 0
    """Times that it was wrong."""
    permission_errors: int = 0
    """Commands refused as their users may not give them."""
    ssl_handshakes: int = 0
    """Handshakes of TLS that went well."""
    ssl_handshake_errors: int = 0
    """Those that did not: the client spoke no TLS, had no right certificate, or took too long."""
    clients_over_memory: int = 0
    """Clients that were closed because they held too much of ``client_memory``."""

    def count_miss(self, word: str) -> None:
        """Count a command that found nothing to change: incr or decr."""
        name = f"{word}_misses"
        setattr(self, name, getattr(self, name) + 1)

    def reset(self) -> None:
        """Set all counters to 0."""
        for each in fields(Counters):
            setattr(self, each.name, 0)


SUM: Final = 64
"""Where the sum of all values stands in the counts of a ``Histogram``."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Histogram:
    """How many values there were of which size, sizes being powers of two.

    ``counts[n]`` is the number of those from ``2**(n-1)`` on and below ``2**n``; the first one is
    of zeros, and ``counts[SUM]`` is all values added up. So a value is counted without a search.
    Values are below ``2**63``.
    """

    def __init__(self) -> None:
        self.counts = [0] * (SUM + 1)

    def add(self, value: int, times: int = 1) -> None:
        """Count a value, as often as it occurred; what is below 0 counts as 0."""
        if value > 0:
            self.counts[value.bit_length()] += times
            self.counts[SUM] += value * times
        else:
            self.counts[0] += times

    @property
    def number(self) -> int:
        """How many values there were."""
        return sum(self.counts[:SUM])


@dataclass(frozen=True)
class QueueSnapshot:
    """One queue at one moment."""

    name: bytes
    items: int
    bytes: int
    total_items: int
    """Items ever put, over restarts."""
    logsize: int
    """Bytes on disk."""
    expired_items: int
    discarded: int
    """Items dropped since the server started to make room for newer ones."""
    last_put: int
    """How many milliseconds ago an item was put; -1 if none was since the server started."""
    last_get: int
    """The same of an item that was taken or opened."""
    duplicates: int
    """Puts since the server started that were not stored, as their token had been seen."""
    dead_lettered: int
    """Items moved away since the server started because they came back too often."""
    delayed: int
    """Items that are delayed; ``items`` counts them too."""
    open_transactions: int
    """Items that were handed out and are not confirmed; ``items`` does not count them."""
    transactions: int
    """Open reads since the server started."""
    canceled_transactions: int
    """Open reads since the server started that gave their item back."""
    loaded: int
    """Items in memory; the others are read from disk when their turn comes."""
    mem_bytes: int
    """Bytes of memory that the items take, about."""
    age: int
    """How long the head has waited, in milliseconds."""
    last_wait: int
    """How long the item taken last had waited, in milliseconds; 0 if none was, since the start."""
    waiters: int
    paused: int
    """1 while gets are misses, because of a setting or of a client."""
    paused_until: int
    """When that ends by itself, as a Unix time in seconds; 0 if it does not."""
    children: str
    """The names of the fan-out children, separated by commas."""
    get_hits: int
    """Items taken since the server started."""
    total_flushes: int
    journal_rotations: int
    journal_compactions: int
    """Times that old segments were replaced by what was live in them."""
    full: int
    """1 while the queue has as many items or bytes as ``max_items`` and ``max_bytes`` allow."""
    journal_broken: int
    """1 while the journal is refused because its files cannot be written or read."""
    quarantined: int
    """Items given up since the server started as they cannot be read, or are lost with a file."""


@dataclass(frozen=True)
class Snapshot:
    """The server at one moment, without its queues."""

    pid: int
    rusage_user: float
    """Seconds of CPU time that the process took outside of the kernel."""
    rusage_system: float
    """Seconds that the kernel took for it."""
    uptime: int
    time: int
    version: str
    curr_connections: int
    max_connections: int
    limit_maxbytes: int
    """Bytes that items may take: ``memory_max``, else the size of the spool's disk."""
    draining: bool
    fsyncs: int
    journal_failures: int
    journals_healed: int
    """Times that a journal was saved into a fresh segment after a failure."""
    files_lost: int
    """Times that a queue's files were found removed, moved or replaced under the server."""
    disk_full: int
    """1 while no put is accepted because the disk is full."""
    disk_low: int
    """1 while no put is accepted because less of the disk is free than ``disk_free_min``."""
    memory_high: int
    """1 while no put is accepted because the items in memory take more than ``memory_max``."""
    log_lines_dropped: int
    """Lines that the log lacks because it could not be written, or not as fast."""
    log_lines_held_back: int
    """Lines that the log lacks because there were too many of their kind; it tells how many."""
    refused_queues: int
    """Queues that are refused because they could not be read back."""
    counters: Counters
    internal_errors: int = 0
    """Errors of the server, outside of sessions, that it went on after; each is in the log."""
    client_memory_used: int = 0
    """Bytes that clients make the server hold: unfinished input, unread replies, waits."""
    clients_paused: int = 0
    """Clients that are not read from because they hold too much of ``client_memory``."""
    extra: Sequence[tuple[str, object]] = ()
    """What a server of a group tells of its place in it."""


def server_pairs(snapshot: Snapshot, items: int, size: int, queues: int) -> Pairs:
    """Return the names and values of the whole server.

    It has ``queues`` queues, with ``items`` items that have ``size`` bytes of data.
    """
    counters = snapshot.counters
    values: list[tuple[str, object]] = [
        ("pid", snapshot.pid),
        ("uptime", snapshot.uptime),
        ("time", snapshot.time),
        ("version", snapshot.version),
        ("pointer_size", 64),
        ("rusage_user", f"{snapshot.rusage_user:.6f}"),
        ("rusage_system", f"{snapshot.rusage_system:.6f}"),
        ("curr_items", items),
        ("total_items", counters.total_items),
        ("bytes", size),
        ("curr_connections", snapshot.curr_connections),
        ("connection_structures", snapshot.curr_connections),
        ("max_connections", snapshot.max_connections),
        ("limit_maxbytes", snapshot.limit_maxbytes),
        ("threads", 1),
        ("accepting_conns", int(not snapshot.draining)),
        ("curr_queues", queues),
        ("fsyncs", snapshot.fsyncs),
        ("journal_failures", snapshot.journal_failures),
        ("journals_healed", snapshot.journals_healed),
        ("files_lost", snapshot.files_lost),
        ("disk_full", snapshot.disk_full),
        ("disk_low", snapshot.disk_low),
        ("memory_high", snapshot.memory_high),
        ("log_lines_dropped", snapshot.log_lines_dropped),
        ("log_lines_held_back", snapshot.log_lines_held_back),
        ("internal_errors", snapshot.internal_errors),
        ("client_memory_used", snapshot.client_memory_used),
        ("clients_paused", snapshot.clients_paused),
        ("refused_queues", snapshot.refused_queues),
        *snapshot.extra,
        *((name, getattr(counters, name)) for name in _COUNTED if name != "total_items"),
        *((name, 0) for name in _NEVER_COUNTED),
    ]
    return encoded(values)


_COUNTED = tuple(each.name for each in fields(Counters))
_TOLD_OF_A_QUEUE = tuple(each.name for each in fields(QueueSnapshot) if each.name != "name")
WATCHED = (
    "items",
    "bytes",
    "total_items",
    "get_hits",
    "open_transactions",
    "delayed",
    "waiters",
    "expired_items",
    "discarded",
    "dead_lettered",
    "canceled_transactions",
    "paused",
    "full",
    "journal_broken",
    "logsize",
    "age",
    "last_put",
    "last_get",
)
"""The numbers of a queue that are told when it has changed: names of ``QueueSnapshot``.

The last four change by themselves, and are not told anew for that."""
_NEVER_COUNTED = (
    # What memcached counts and a queue has no case of; exporters want the names.
    "cas_hits",
    "cas_badval",
    "incr_hits",
    "decr_hits",
    "evictions",
    "reclaimed",
    "conn_yields",
    "listen_disabled_num",
)


def queue_pairs(queue: QueueSnapshot, prefix: bytes) -> Pairs:
    """Return the names and values of one queue."""
    values = encoded((name, getattr(queue, name)) for name in _TOLD_OF_A_QUEUE)
    return [(prefix + name, value) for name, value in values]


def one_token(name: bytes) -> bytes:
    """Return a queue's name as one word that does no harm on a terminal.

    Blanks and control characters are written as a backslash, ``x`` and two digits, and so are all
    bytes beyond ASCII of a name that is not UTF-8.
    """
    try:
        name.decode()
        unsafe = _UNSAFE
    except UnicodeDecodeError:
        unsafe = _NO_ASCII
    return unsafe.sub(lambda found: b"".join(b"\\x%02x" % byte for byte in found[0]), name)


def named_pairs(queue: QueueSnapshot) -> Pairs:
    """Return the names and values of one queue among others: each has the queue's name in it."""
    return queue_pairs(queue, b"queue_%b_" % one_token(queue.name))


def joined(numbers: Iterable[int]) -> bytes:
    """Return numbers as one word."""
    return b",".join([b"%d" % number for number in numbers])


def encoded(values: Iterable[tuple[str, object]]) -> Pairs:
    """Return names and values as they go over the wire, each value made one token."""
    return [
        (name.encode(), b"%d" % value if type(value) is int else _encoded(value))
        for name, value in values
    ]


def _encoded(value: object) -> bytes:
    return b"_".join(str(value).encode("utf-8", "replace").split()) or b"-"
