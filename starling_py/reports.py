"""The replies to questions about the server: statistics, settings, version, Kestrel's forms.

The words after ``stats`` are memcached's, with its answers where a queue server has nothing to say
(many libraries send them on their own), and two of this server's: ``stats queues`` and ``stats
queue NAME``. Nothing here changes anything but ``stats reset``.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from starling_py import stats
from starling_py.protocol.commands import (
    Dialect,
    DumpConfig,
    DumpStats,
    Outcome,
    Stats,
    Status,
    Version,
)
from starling_py.stats import Pairs

_EMPTY_REPORTS = (b"items", b"slabs", b"cachedump", b"malloc", b"maps", b"extstore", b"proxy")


Question = Stats | DumpStats | DumpConfig | Status | Version


class Host(Protocol):
    """What a session asks of the server around it."""

    @property
    def version(self) -> str:
        """The server's version: three plain numbers, the first of them 1 or more."""

    def snapshot(self) -> stats.Snapshot:
        """Return the state of the whole server."""

    def settings(self) -> Pairs:
        """Return the settings that the server runs with."""

    def queue_settings(self) -> Pairs:
        """Return those of the settings that concern every queue."""

    def connections(self) -> Pairs:
        """Return what is known of every connection."""

    def reset(self) -> None:
        """Begin to count anew."""

    def shut_down(self) -> None:
        """Begin to stop the server."""


def reply(question: Question, host: Host, dialect: Dialect) -> bytes:
    """Return the reply to a question."""
    if isinstance(question, Version):
        return dialect.version(host.version)
    if isinstance(question, Status):
        return dialect.word("UP")
    if isinstance(question, DumpConfig):
        settings = host.queue_settings()
        return dialect.dump([(each.name, settings) for each in host.snapshot().queues])
    if isinstance(question, DumpStats):
        queues = host.snapshot().queues
        wanted = [each for each in queues if not question.keys or each.name in question.keys]
        return dialect.dump(stats.dump_blocks(wanted))
    report = find(question.words, host)
    if report is None:
        return dialect.outcome(Outcome.UNKNOWN)
    return dialect.outcome(report) if isinstance(report, Outcome) else dialect.stats(report)


def find(words: Sequence[bytes], host: Host) -> Pairs | Outcome | None:
    """Return the report that the words ask for, or ``None`` when there is no such report."""
    if not words:
        return stats.server_pairs(host.snapshot())
    first, rest = words[0].lower(), [word.lower() for word in words[1:]]
    if first in _EMPTY_REPORTS:
        return []
    if first == b"detail" and len(rest) == 1:
        return {b"on": Outcome.OK, b"off": Outcome.OK, b"dump": Outcome.END}.get(rest[0])
    if first == b"queue" and len(rest) == 1:
        queues = host.snapshot().queues
        return stats.queues_pairs([each for each in queues if each.name == words[1]])
    if rest:
        return None
    if first == b"reset":
        host.reset()
        return Outcome.RESET
    if first == b"sizes":
        return [(b"sizes_status", b"disabled")]
    simple: dict[bytes, Callable[[], Pairs]] = {
        b"settings": host.settings,
        b"conns": host.connections,
        b"queues": lambda: stats.queues_pairs(host.snapshot().queues),
    }
    return simple[first]() if first in simple else None
