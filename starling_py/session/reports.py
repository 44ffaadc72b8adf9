"""The replies to questions about the server: statistics, settings, version, Kestrel's forms.

The words after ``stats`` are memcached's, with its answers where a queue server has nothing to say
(many libraries send them unasked), and two of this server's: ``stats queues`` and ``stats queue
NAME``. Nothing here changes anything but ``stats reset``.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from starling_py import stats
from starling_py.protocol.commands import (
    DumpConfig,
    DumpStats,
    Outcome,
    Stats,
    Status,
    Version,
    Writer,
)
from starling_py.stats import Pairs

_EMPTY_REPORTS = (b"items", b"slabs", b"cachedump", b"malloc", b"maps", b"extstore", b"proxy")


Question = Stats | DumpStats | DumpConfig | Status | Version


class ServerHost(Protocol):
    """What a session asks of the server around it."""

    @property
    def version(self) -> str:
        """The server's version: three plain numbers, the first of them 1 or more."""

    def snapshot(self) -> stats.Snapshot:
        """Return the state of the whole server."""

    def queue_snapshot(self, name: bytes) -> stats.QueueSnapshot | None:
        """Return one queue's numbers, at a cost that no other queue adds to.

        ``None`` when it does not exist.
        """

    def queue_snapshots(self) -> list[stats.QueueSnapshot]:
        """Return every queue's numbers, in the order of their names."""

    def settings(self) -> Pairs:
        """Return the settings that the server runs with."""

    @property
    def draining(self) -> bool:
        """Whether no puts are accepted, so that the queues run empty."""

    def queue_settings(self, name: bytes) -> Pairs:
        """Return the settings of a queue, and those of the server that concern it."""

    def readers(self, name: bytes) -> Pairs:
        """Return who holds open reads of a queue."""

    def connections(self) -> Pairs:
        """Return what is known of every connection."""

    def reset(self) -> None:
        """Set the server's counters to 0."""

    def drain(self, *, on: bool) -> None:
        """Accept no more puts, or accept them again."""

    def reload(self) -> str | None:
        """Read the settings of the queues again; return why that failed, if it did."""

    def shut_down(self) -> None:
        """Begin to stop the server."""


def reply(question: Question, host: ServerHost, writer: Writer) -> bytes:
    """Return the reply to a question."""
    if isinstance(question, Version):
        return writer.version(host.version)
    if isinstance(question, Status):
        return writer.word("READONLY" if host.draining else "UP")
    if isinstance(question, DumpConfig):
        wanted = _wanted(host, question.keys)
        return writer.dump(
            [(stats.one_token(each.name), host.queue_settings(each.name)) for each in wanted]
        )
    if isinstance(question, DumpStats):
        return writer.dump(stats.dump_blocks(_wanted(host, question.keys)))
    report = find(question.words, host)
    if report is None:
        return writer.outcome(Outcome.UNKNOWN)
    return writer.outcome(report) if isinstance(report, Outcome) else writer.stats(report)


def _wanted(host: ServerHost, keys: Sequence[bytes]) -> list[stats.QueueSnapshot]:
    """Return the numbers of the queues that are named, or of all."""
    if not keys:
        return host.queue_snapshots()
    named = [host.queue_snapshot(each) for each in sorted(set(keys))]
    return [each for each in named if each is not None]


def find(words: Sequence[bytes], host: ServerHost) -> Pairs | Outcome | None:
    """Return the report that the words ask for, or ``None`` when there is no such report."""
    if not words:
        return stats.server_pairs(host.snapshot())
    first, rest = words[0].lower(), [word.lower() for word in words[1:]]
    if first in _EMPTY_REPORTS:
        return []
    if first == b"detail" and len(rest) == 1:
        return {b"on": Outcome.OK, b"off": Outcome.OK, b"dump": Outcome.END}.get(rest[0])
    if first == b"queue" and len(rest) == 1:
        named = host.queue_snapshot(words[1])
        return [] if named is None else stats.queues_pairs([named]) + host.readers(words[1])
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
        b"queues": lambda: stats.queues_pairs(host.queue_snapshots()),
    }
    return simple[first]() if first in simple else None
