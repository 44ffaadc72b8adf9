"""The replies to questions about the server: statistics, settings, version, Kestrel's forms.

The words after ``stats`` are memcached's, with its answers where a queue server has nothing to say
(many libraries send them unasked), and three of this server's: ``stats queues``, ``stats queue
NAME``, and ``stats changed`` for monitors, which ask again and again. Nothing here changes anything
but ``stats reset``. A report is made in parts, each for a queue or a connection, so that it can be
made as the client reads; the numbers of one queue are of one moment, those of two may be of two.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Protocol

from starling_py import stats
from starling_py.protocol.commands import DumpConfig, DumpStats, Stats, Status, Version
from starling_py.protocol.writer import Outcome, Writer
from starling_py.queues.changes import Changes, Found
from starling_py.queues.errors import NotLoaded
from starling_py.stats import Pairs

_EMPTY_REPORTS = (b"items", b"slabs", b"cachedump", b"malloc", b"maps", b"extstore", b"proxy")


_SORTED: Final = 2000
"""Names that are sorted in one step."""
_CHANGED: Final = 1000
"""Queues that ``stats changed`` tells of at most, if nothing else is asked for."""
_MOST_CHANGED: Final = 100_000
_TOLD_AT_ONCE: Final = 16
"""Queues that it tells of in one step."""

_TRIES: Final = 3
"""How often the oldest item of a queue is waited for: it may be taken, or not be readable."""

LongQuestion = Stats | DumpStats | DumpConfig
Question = LongQuestion | Status | Version


class ServerHost(Protocol):
    """What a session asks of the server around it."""

    @property
    def version(self) -> str:
        """The server's version: three plain numbers, the first of them 1 or more."""

    def snapshot(self) -> stats.Snapshot:
        """Return the state of the server, without its queues."""

    def queue_snapshot(self, name: bytes) -> stats.QueueSnapshot | None:
        """Return one queue's numbers, at a cost that no other queue adds to.

        ``None`` when it does not exist.
        """

    def to_be_loaded(self, name: bytes) -> NotLoaded | None:
        """Return the signal if the age of a queue's oldest item is not known yet."""

    def queue_names(self) -> list[bytes]:
        """Return the names of all queues, in no order."""

    @property
    def changes(self) -> Changes | None:
        """Which queues have changed; ``None`` if that is not to be told."""

    def queue_size(self, name: bytes) -> tuple[int, int] | None:
        """Return how many items a queue has and their bytes; 0 when it does not exist.

        ``None`` is for a queue that is not to be told of.
        """

    def settings(self) -> Pairs:
        """Return the settings that the server runs with."""

    @property
    def draining(self) -> bool:
        """Whether no puts are accepted, so that the queues run empty."""

    def queue_settings(self, name: bytes) -> Pairs:
        """Return the settings of a queue, and those of the server that concern it."""

    def readers(self, name: bytes) -> Iterable[Pairs]:
        """Return who holds each of the open reads of a queue."""

    def consumers(self, name: bytes) -> Iterable[Pairs]:
        """Return of each client that has taken from a queue, or waits for it, what there is."""

    def connections(self) -> Iterable[Pairs]:
        """Return what is known of every connection, one after the other."""

    def reset(self) -> None:
        """Set the server's counters to 0."""

    def drain(self, *, on: bool) -> None:
        """Accept no more puts, or accept them again."""

    def reload(self) -> str | None:
        """Read the settings of the queues again; return why that failed, if it did."""

    @property
    def unapplied(self) -> Sequence[str]:
        """What the last reload found changed that only a restart takes up: name, old, new."""

    def refresh_certs(self) -> str | None:
        """Read the certificates again; return why that failed, if it did."""

    def hand_over(self) -> str | None:
        """Hand the queues over to another server; return why that cannot be, if so."""

    def shut_down(self) -> None:
        """Begin to stop the server."""


def short_reply(question: Status | Version, host: ServerHost, writer: Writer) -> bytes:
    """Return the reply to a question that has a short one."""
    if isinstance(question, Version):
        return writer.version(host.version)
    return writer.word("READONLY" if host.draining else "UP")


Numbers = Pairs | NotLoaded
"""Names and values, or what has to be loaded before the next ones can be right."""
Part = bytes | NotLoaded
"""A piece of a reply, or what has to be loaded before the next one can be right."""


def parts(question: LongQuestion, host: ServerHost, writer: Writer) -> Iterator[Part]:
    """Return the reply to a question piece by piece; a piece may be empty."""
    if isinstance(question, Stats):
        yield from _stats(question.words, host, writer)
        return
    for name in _wanted(host, question.keys):
        if name is not None:
            yield from _loading(name, host)
        queue = None if name is None else host.queue_snapshot(name)
        if queue is None:
            yield b""
            continue
        if isinstance(question, DumpConfig):
            pairs = host.queue_settings(queue.name)
        else:
            pairs = stats.queue_pairs(queue, b"")
        yield writer.dump_part(stats.one_token(queue.name), pairs)
    yield writer.end_of_dump()


def _stats(words: Sequence[bytes], host: ServerHost, writer: Writer) -> Iterator[Part]:
    report = find(words, host)
    if report is None:
        yield writer.outcome(Outcome.UNKNOWN)
    elif isinstance(report, Outcome):
        yield writer.outcome(report)
    else:
        for pairs in report:
            yield pairs if isinstance(pairs, NotLoaded) else writer.stats_part(pairs)
        yield writer.end_of_stats()


def _wanted(host: ServerHost, keys: Sequence[bytes]) -> Iterator[bytes | None]:
    """Return the names of the queues that are named, or of all, in order; see ``_in_order``."""
    return _in_order([*set(keys)] if keys else host.queue_names())


def _in_order(names: list[bytes]) -> Iterator[bytes | None]:
    """Return names in their order, with ``None`` in between while they are being sorted."""
    pieces = []
    for start in range(0, len(names), _SORTED):
        pieces.append(sorted(names[start : start + _SORTED]))
        yield None
    yield from heapq.merge(*pieces)


def find(words: Sequence[bytes], host: ServerHost) -> Iterable[Numbers] | Outcome | None:
    """Return the report that the words ask for, or ``None`` when there is no such report.

    Words behind those that a report needs are ignored, as by memcached.
    """
    if not words:
        return _everything(host)
    first, rest = words[0].lower(), [word.lower() for word in words[1:]]
    if first in _EMPTY_REPORTS:
        return []
    if first == b"detail" and rest:
        return {b"on": Outcome.OK, b"off": Outcome.OK, b"dump": Outcome.END}.get(rest[0])
    if first == b"queue" and rest:
        return _queue(words[1], host)
    if first == b"consumers" and rest:
        return host.consumers(words[1])
    if first == b"changed":
        return _changed(words[1:], host)
    if first == b"reset":
        host.reset()
        return Outcome.RESET
    if first == b"sizes":
        return [[(b"sizes_status", b"disabled")]]
    simple: dict[bytes, Callable[[], Iterable[Numbers]]] = {
        b"settings": lambda: [host.settings()],
        b"conns": host.connections,
        b"queues": lambda: _queues(host, _in_order(host.queue_names())),
    }
    return simple[first]() if first in simple else None


def _everything(host: ServerHost) -> Iterator[Numbers]:
    """Return the numbers of the server, then those of each queue."""
    names = host.queue_names()
    items = size = count = 0
    for name in names:
        found = host.queue_size(name)
        if found is not None:
            items += found[0]
            size += found[1]
            count += 1
        yield []
    yield stats.server_pairs(host.snapshot(), items, size, count)
    yield from _queues(host, _in_order(names))


def _queues(host: ServerHost, names: Iterable[bytes | None]) -> Iterator[Numbers]:
    """Return the numbers of queues; the oldest item of each is loaded first, for its age."""
    for name in names:
        if name is not None:
            yield from _loading(name, host)
        queue = None if name is None else host.queue_snapshot(name)
        yield [] if queue is None else stats.named_pairs(queue)


def _changed(words: Sequence[bytes], host: ServerHost) -> Iterable[Numbers] | None:
    """Return the numbers of the server, and of the queues that have changed."""
    token, most = b"", _CHANGED
    if words:
        token = words[0]
    if len(words) > 1:
        if not (words[1].isdigit() and len(words[1]) < 7):
            return None
        most = int(words[1])
    changes = host.changes
    if changes is None or not 0 < most <= _MOST_CHANGED:
        return None
    return _changes(host, changes, token, most)


def _changes(host: ServerHost, changes: Changes, token: bytes, most: int) -> Iterator[Numbers]:
    found = Found()
    for _ in changes.look(token, most, found):
        yield []
    yield stats.server_pairs(host.snapshot(), found.items, found.size, found.queues)
    yield stats.encoded(
        [
            ("changes", found.token.decode()),
            ("changes_anew", int(found.anew)),
            ("changes_left", found.left),
            ("changes_tell", ",".join(stats.WATCHED)),
        ]
    )
    told: Pairs = []
    for name in found.names:
        yield from _loading(name, host)
        numbers = changes.numbers(name)
        value = b"gone" if numbers is None else stats.joined(numbers)
        told.append((b"queue_" + stats.one_token(name), value))
        if len(told) == _TOLD_AT_ONCE:
            yield told
            told = []
    yield told


def _loading(name: bytes, host: ServerHost) -> Iterator[NotLoaded]:
    """Have the oldest item of a queue loaded, again if others have taken it meanwhile."""
    for _ in range(_TRIES):
        if (missing := host.to_be_loaded(name)) is None:
            return
        yield missing


def _queue(name: bytes, host: ServerHost) -> Iterator[Numbers]:
    """Return the numbers of one queue, then who has what open.

    Of one that does not exist one line says so: an idle one and a mistyped name are two things.
    """
    if host.queue_snapshot(name) is None and host.to_be_loaded(name) is None:
        yield [(b"queue_%b_exists" % stats.one_token(name), b"0")]
        return
    yield from _queues(host, [name])
    yield from host.readers(name)
