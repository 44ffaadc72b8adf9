"""A server that is none, for tests of what is told by HTTP."""

from collections.abc import Generator

import attrs

from starling_py.http.messages import Answer, Parts, Request
from starling_py.http.site import Site, Told
from starling_py.http.source import Changed, Numbers
from starling_py.http.standby_site import StandbySite
from starling_py.stats import WATCHED, Counters, Histogram, Snapshot


@attrs.define
class FakeQueue:
    """A queue with the numbers that a test gives it."""

    name: bytes
    items: int = 0
    more: dict[str, int] = attrs.field(factory=dict)


@attrs.define
class Times:
    waits: Histogram = attrs.field(factory=Histogram)
    puts: Histogram = attrs.field(factory=Histogram)
    gets: Histogram = attrs.field(factory=Histogram)
    turns: Histogram = attrs.field(factory=Histogram)
    syncs: Histogram = attrs.field(factory=Histogram)


@attrs.define
class FakeSource:
    """What ``Source`` asks for, as a test sets it."""

    found: list[FakeQueue] = attrs.field(factory=list)
    version: str = "1.0.0"
    form: str = "pure"
    since_turn: float = 0.0
    unready: str | None = None
    moved: list[bytes] = attrs.field(factory=list)
    """The queues that the next look tells of."""
    measured: int = 0
    """How often a queue was measured."""
    time: float = 100.0
    times: Times = attrs.field(factory=Times)
    counters: Counters = attrs.field(factory=Counters)
    extra: list[tuple[str, object]] = attrs.field(factory=list)
    """What it tells of its place in a group."""

    def now(self) -> float:
        return self.time

    def snapshot(self) -> Snapshot:
        return Snapshot(
            pid=1, rusage_user=1.5, rusage_system=0.5, uptime=60, time=1_000_000,
            version=self.version, curr_connections=3, max_connections=4096, limit_maxbytes=0,
            draining=False, fsyncs=7, journal_failures=0, journals_healed=0, files_lost=0,
            disk_full=0, disk_low=0, memory_high=0, log_lines_dropped=0, log_lines_held_back=0,
            refused_queues=0, counters=self.counters, extra=self.extra,
        )  # fmt: skip

    def disk_free(self) -> int | None:
        return 1 << 40

    def resident(self) -> int | None:
        return None

    def names(self) -> list[bytes]:
        return [each.name for each in self.found]

    def numbers(self, name: bytes) -> Numbers | None:
        self.measured += 1
        by_name = {each.name: each for each in self.found}
        if (fake := by_name.get(name)) is None:
            return None
        known = {**dict.fromkeys(WATCHED, 0), "items": fake.items, **fake.more}
        return tuple(known.values())

    def changed(self, token: bytes, most: int) -> Generator[None, None, Changed]:
        """Tell of all queues the first time, then of those in ``moved``, and those that went."""
        yield None
        names = [each.name for each in self.found] if not token else list(self.moved)
        self.moved = names[most:]
        items = sum(each.items for each in self.found)
        return Changed(b"token", not token, names[:most], len(self.found), items, 0)

    def histograms(self) -> Times:
        return self.times


def whole(answer: Told) -> bytes:
    """Return the whole body of an answer."""
    assert isinstance(answer, Answer | Parts)
    return answer.body if isinstance(answer, Answer) else b"".join(answer.parts)


def asked(site: Site | StandbySite, path: str, method: str = "GET", **headers: str) -> Told:
    """Ask for a path of this machine."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return site.answer(Request(method, path, {}, {"host": "localhost", **names}))
