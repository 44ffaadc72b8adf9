"""What a server told at one moment: its own numbers, and those of its queues.

A snapshot comes from a reply to ``stats``, which any server of the family gives, or from the
snapshot before and a reply to ``stats changed``. Invariants: what the server does not tell is None;
queues that did not change stay the same objects, so that nothing is worked out anew for them.
Nothing here reads a clock or a socket.
"""

import re
from collections.abc import Mapping

from attrs import frozen

from starling_py.top.formats import printable

_COUNTER = re.compile(rb"\d{1,20}")
_NUMBER = re.compile(rb"-?\d{1,20}")
_PREFIX, _ITEMS = b"queue_", b"_items"
# What a ``queue_Q_items`` key may end in because it is another counter of a shorter-named queue.
_COUNTERS_ENDING_IN_ITEMS = (b"_total", b"_expired", b"_mem")
# Global counters that only grow while a server runs.
_GROWING = ("uptime", "total_items", "total_connections", "cmd_get", "cmd_set", "get_hits")


@frozen
class Queue:
    """One queue's counters at one moment; None is what the server does not tell.

    ``age`` is in milliseconds, and so are ``last_put`` and ``last_get``, of which -1 is never;
    ``size`` and ``logsize`` are in bytes; ``get_hits`` counts the items taken. ``open`` counts the
    items handed out and not confirmed, ``delayed`` those of ``items`` that cannot be taken yet.
    ``told`` is when the server told this, in seconds of a monotonic clock.
    """

    items: int
    total_items: int | None = None
    open: int | None = None
    waiters: int | None = None
    get_hits: int | None = None
    age: int | None = None
    size: int | None = None
    delayed: int | None = None
    logsize: int | None = None
    expired: int | None = None
    is_broken: bool = False
    is_paused: bool = False
    is_full: bool = False
    dead_lettered: int | None = None
    discarded: int | None = None
    last_put: int | None = None
    last_get: int | None = None
    told: float = 0.0

    @property
    def due(self) -> int:
        """How many items can be taken."""
        return self.items - (self.delayed or 0)


@frozen
class Snapshot:
    """One reply, and when it came: ``taken`` is in seconds of a monotonic clock.

    ``token`` is what to ask with for the changes since; empty where the server knows no such
    question. ``left`` is how many queues have changed of which it did not tell.
    """

    taken: float
    stats: Mapping[bytes, bytes]
    queues: Mapping[bytes, Queue]
    token: bytes = b""
    left: int = 0

    def number(self, key: str) -> int | None:
        """Return the global counter ``key``, or None if it is missing or not a whole number ≥ 0."""
        return _counter(self.stats.get(key.encode()))

    def text(self, key: str) -> str:
        """Return the value of ``key`` as printable text, ``-`` if it is missing."""
        return printable(self.stats.get(key.encode(), b"-"))


def take_snapshot(stats: Mapping[bytes, bytes], taken: float) -> Snapshot:
    """Find the queues in a reply to ``stats`` that came at ``taken`` (monotonic seconds)."""
    queues = {}
    for key, value in stats.items():
        if not (key.startswith(_PREFIX) and key.endswith(_ITEMS)):
            continue
        items = _counter(value)
        name = key[len(_PREFIX) : -len(_ITEMS)]
        if name and items is not None and _is_queue(name, stats):
            queues[name] = _queue(stats, name, items, taken)
    return Snapshot(taken, stats, queues)


def _queue(stats: Mapping[bytes, bytes], name: bytes, items: int, taken: float) -> Queue:
    def counter(suffix: bytes) -> int | None:
        return _counter(stats.get(_PREFIX + name + suffix))

    def number(suffix: bytes) -> int | None:
        return _number(stats.get(_PREFIX + name + suffix))

    return Queue(
        items=items,
        total_items=counter(b"_total_items"),
        # For a queue ``jobs_open`` has a counter ``transactions``, and two lines the same key.
        open=None
        if _PREFIX + name + b"_open" + _ITEMS in stats
        else counter(b"_open_transactions"),
        waiters=counter(b"_waiters"),
        get_hits=counter(b"_get_hits"),
        age=counter(b"_age"),
        size=counter(b"_bytes"),
        delayed=counter(b"_delayed"),
        logsize=counter(b"_logsize"),
        expired=counter(b"_expired_items"),
        is_broken=bool(counter(b"_journal_broken")),
        is_paused=bool(counter(b"_paused")),
        is_full=bool(counter(b"_full")),
        dead_lettered=counter(b"_dead_lettered"),
        discarded=counter(b"_discarded"),
        last_put=number(b"_last_put"),
        last_get=number(b"_last_get"),
        told=taken,
    )


def take_changes(
    previous: Snapshot | None, stats: Mapping[bytes, bytes], taken: float
) -> Snapshot | None:
    """Return what is so after a reply to ``stats changed``; None if it is no such reply."""
    token = stats.get(b"changes")
    if token is None:
        return None
    anew = stats.get(b"changes_anew") != b"0" or previous is None
    queues = {} if anew or previous is None else dict(previous.queues)
    names = stats.get(b"changes_tell", b"").decode("ascii", "replace").split(",")
    own = {}
    for key, value in stats.items():
        if not key.startswith(_PREFIX):
            own[key] = value
        elif value == b"gone":
            queues.pop(key[len(_PREFIX) :], None)
        else:
            numbers = dict(zip(names, map(_number, value.split(b",")), strict=False))
            queue = _changed_queue(numbers, taken)
            if queue is not None:
                queues[key[len(_PREFIX) :]] = queue
    if anew:
        queues = dict(sorted(queues.items()))  # so that sorting them by name again is quick
    left = _counter(stats.get(b"changes_left")) or 0
    return Snapshot(taken, own, queues, token, left)


def _changed_queue(numbers: Mapping[str, int | None], taken: float) -> Queue | None:
    items = numbers.get("items")
    if items is None:
        return None
    return Queue(
        items=items,
        total_items=numbers.get("total_items"),
        open=numbers.get("open_transactions"),
        waiters=numbers.get("waiters"),
        get_hits=numbers.get("get_hits"),
        age=numbers.get("age"),
        size=numbers.get("bytes"),
        delayed=numbers.get("delayed"),
        logsize=numbers.get("logsize"),
        expired=numbers.get("expired_items"),
        is_broken=bool(numbers.get("journal_broken")),
        is_paused=bool(numbers.get("paused")),
        is_full=bool(numbers.get("full")),
        dead_lettered=numbers.get("dead_lettered"),
        discarded=numbers.get("discarded"),
        last_put=numbers.get("last_put"),
        last_get=numbers.get("last_get"),
        told=taken,
    )


def has_restarted(previous: Snapshot, current: Snapshot) -> bool:
    """Tell whether the two snapshots come from two runs of the server."""
    if previous.stats.get(b"pid") != current.stats.get(b"pid"):
        return True
    pairs = ((previous.number(key), current.number(key)) for key in _GROWING)
    return any(old is not None and new is not None and new < old for old, new in pairs)


def foreign(snapshot: Snapshot) -> str | None:
    """Return the name of a server that answers ``stats`` and can have no queues; None for ours."""
    if snapshot.queues or not {b"libevent", b"hash_power_level"} & snapshot.stats.keys():
        return None
    return f"memcached {snapshot.text('version')}"


def _is_queue(name: bytes, stats: Mapping[bytes, bytes]) -> bool:
    """Tell a queue called ``jobs_total`` from the counter ``total_items`` of a queue ``jobs``.

    The queue has a ``total_items`` of its own. Where both queues exist, two lines of the reply have
    the same key and nobody can tell them apart.
    """
    if _PREFIX + name + b"_total_items" in stats:
        return True
    return not any(
        name.endswith(ending) and _PREFIX + name.removesuffix(ending) + _ITEMS in stats
        for ending in _COUNTERS_ENDING_IN_ITEMS
    )


def _counter(value: bytes | None) -> int | None:
    return int(value) if value is not None and _COUNTER.fullmatch(value) else None


def _number(value: bytes | None) -> int | None:
    return int(value) if value is not None and _NUMBER.fullmatch(value) else None
