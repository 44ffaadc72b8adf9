"""The running server, as what is told by HTTP sees it."""

from collections.abc import Generator, Sequence

import attrs
import trio

from starling_py import described
from starling_py.http.source import Changed, Numbers
from starling_py.queues import numbers
from starling_py.queues.changes import Found
from starling_py.server import process
from starling_py.server.core import Core
from starling_py.server.host import Host
from starling_py.server.turn_times import TurnTimes
from starling_py.stats import WATCHED, Histogram, Snapshot

_AGE = WATCHED.index("age")


@attrs.frozen
class Times:
    """What ``http.source.Histograms`` has, of this server."""

    waits: Histogram
    puts: Histogram
    gets: Histogram
    turns: Histogram
    syncs: Histogram


class WebSource:
    """What ``http.source.Source`` asks for."""

    version = Host.version

    def __init__(
        self, core: Core, host: Host, times: TurnTimes, syncs: Histogram, stop: trio.Event
    ) -> None:
        """``stop`` is set when the server is to stop."""
        self._core = core
        self._host = host
        self._stop = stop
        self._times = Times(core.queues.directory.waits, times.puts, times.gets, times.turns, syncs)
        self.form = "compiled" if "compiled" in described() else "pure"

    @property
    def since_turn(self) -> float:
        """Seconds since the latest turn began."""
        return self._core.clock.now() - self._host.tick.turned

    @property
    def unready(self) -> str | None:
        """Why no work should be sent here now; ``None`` if it should."""
        if self._stop.is_set():
            return "stopping"
        if self._host.draining:
            return "draining: no puts are accepted"
        if self._core.spool.reserve.short:
            return "the disk is full"
        if self._core.queues.directory.limits.disk_low:
            return "too little of the disk is free"
        return self._host.unready

    def now(self) -> float:
        """Return seconds on the monotonic clock."""
        return self._core.clock.now()

    def snapshot(self) -> Snapshot:
        """Return the state of the server, without its queues."""
        return self._host.snapshot()

    def disk_free(self) -> int | None:
        """Return how many bytes of the spool's disk are free; ``None`` if that is not known."""
        try:
            return self._core.spool.free_space()
        except OSError:
            return None

    def resident(self) -> int | None:
        """Return how many bytes of memory the process has; ``None`` if that is not known."""
        return process.resident()

    def names(self) -> Sequence[bytes]:
        """Return the names of all queues, in no order."""
        return self._core.queues.names()

    def numbers(self, name: bytes) -> Numbers | None:
        """Return the numbers of a queue, with its age as a -1 while that is not known."""
        queues = self._core.queues
        queue = queues.directory.find(name)
        if queue is None:
            return None
        found = numbers.watched(queue, queues.clock.wall_ms, queues.waiters.count(name))
        if found[_AGE] == 0 and queue.waiting.oldest_to_come() is not None:
            return (*found[:_AGE], -1, *found[_AGE + 1 :])
        return found

    def changed(self, token: bytes, most: int) -> Generator[None, None, Changed]:
        """Look, in steps, which queues have changed since ``token`` was given."""
        found = Found()
        for _ in self._core.queues.changes.look(token, most, found):
            yield None
        return Changed(found.token, found.anew, found.names, found.queues, found.items, found.size)

    def histograms(self) -> Times:
        """Return how long what takes."""
        return self._times
