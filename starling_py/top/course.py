"""What became of each queue over the last minutes, in points that are far enough apart.

Invariants: a queue that does not change costs nothing; one that does, at most one point every five
seconds, and none that is older than five minutes but the last before that. Between two points a
counter is taken to grow evenly; after the last one it has not changed.
"""

from collections import deque
from collections.abc import Mapping

from attrs import evolve, frozen

from starling_py.top.snapshot import Queue

SPAN = 300.0
"""Seconds that are remembered."""
APART = 5.0
"""Seconds between two points of a queue."""


@frozen
class Point:
    """A queue's counters at a time, in seconds of a monotonic clock."""

    when: float
    puts: int
    takes: int
    items: int
    dead: int
    born: float | None
    """When its oldest item was put; None without one."""


@frozen
class Course:
    """What a queue did in a number of equal pieces of time, the last of which ends now."""

    puts: tuple[float | None, ...]
    takes: tuple[float | None, ...]
    """Per second."""
    ages: tuple[float | None, ...]
    """Seconds that the oldest item had waited."""


class History:
    """The points of every queue."""

    def __init__(self) -> None:
        self._points: dict[bytes, deque[Point]] = {}
        self._looked: float | None = None

    def note(self, before: Mapping[bytes, Queue], now: Mapping[bytes, Queue], taken: float) -> None:
        """Note those queues that are not the same objects as before."""
        for name in [name for name in self._points if name not in now]:
            del self._points[name]
        for name, queue in now.items():
            if before.get(name) is not queue:
                self._add(name, queue, taken)
        self._looked = taken

    def forget(self) -> None:
        """Begin anew: the server was restarted."""
        self._points.clear()
        self._looked = None

    def _add(self, name: bytes, queue: Queue, taken: float) -> None:
        points = self._points.get(name)
        if points is None:
            points = self._points[name] = deque()
        age = queue.age if queue.due > 0 else None
        point = Point(
            taken,
            queue.total_items or 0,
            queue.get_hits or 0,
            queue.items,
            queue.dead_lettered or 0,
            None if age is None else taken - age / 1000,
        )
        if points and self._looked is not None and self._looked - points[-1].when > APART:
            # Until the look before nothing had changed: what has, did so since.
            points.append(evolve(points[-1], when=self._looked))
        if len(points) > 1 and points[-1].when - points[-2].when < APART:
            points[-1] = point  # the last one is always the latest
        else:
            points.append(point)
        while len(points) > 2 and points[1].when < taken - SPAN:
            points.popleft()

    def before(self, name: bytes, now: float, seconds: float) -> Point | None:
        """Return the last point that is at least so old; the first one if all are younger."""
        points = self._points.get(name)
        if not points:
            return None
        found = points[0]
        for point in points:
            if point.when > now - seconds:
                break
            found = point
        return found

    def last(self, name: bytes) -> Point | None:
        """Return the latest point of a queue."""
        points = self._points.get(name)
        return points[-1] if points else None

    def course(self, name: bytes, now: float, pieces: int, span: float = SPAN) -> Course:
        """Return what a queue did over the last ``span`` seconds."""
        points = self._points.get(name, deque())
        step = span / pieces if pieces else span
        edges = [now - span + step * each for each in range(pieces + 1)]
        at = [_at(points, edge) for edge in edges]
        puts: list[float | None] = []
        takes: list[float | None] = []
        ages: list[float | None] = []
        for begin, end, edge in zip(at[:-1], at[1:], edges[1:], strict=True):
            known = begin is not None and end is not None
            puts.append(max(0.0, end[0] - begin[0]) / step if known and begin and end else None)
            takes.append(max(0.0, end[1] - begin[1]) / step if known and begin and end else None)
            born = _born(points, edge)
            ages.append(None if end is None else 0.0 if born is None else max(0.0, edge - born))
        return Course(tuple(puts), tuple(takes), tuple(ages))


def _at(points: deque[Point], when: float) -> tuple[float, float] | None:
    """Return the counters of puts and takes at a time; None before the first point."""
    if not points or when < points[0].when:
        return None
    before = points[0]
    for point in points:
        if point.when > when:
            part = (when - before.when) / (point.when - before.when)
            return (
                before.puts + (point.puts - before.puts) * part,
                before.takes + (point.takes - before.takes) * part,
            )
        before = point
    return (before.puts, before.takes)


def _born(points: deque[Point], when: float) -> float | None:
    found = None
    for point in points:
        if point.when > when:
            break
        found = point.born
    return found
