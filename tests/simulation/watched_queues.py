"""The server's own collection of queues, and its moves between them, as the model watches them."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import attrs

from starling_py.clock import Clock
from starling_py.journal.journal import Journal
from starling_py.journal.spool import Spool
from starling_py.keys import Request, child_of
from starling_py.protocol import commands
from starling_py.queues.delivery import Put
from starling_py.queues.errors import NotLoaded, QueueFullRefused
from starling_py.queues.moves import Moves
from starling_py.queues.open_reads import ReadHolder
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.queues.queue_collection import QueueCollection
from starling_py.queues.queue_directory import Rules
from starling_py.queues.traffic import Move
from starling_py.queues.waiters import Hit, Waiter
from starling_py.queues.window import WindowSizes
from starling_py.settings.queue_settings import QueueSettings
from starling_py.stats import QueueSnapshot
from tests.simulation.model import QueueModel

if TYPE_CHECKING:
    from tests.simulation.world import Life
from tests.simulation.watched import WatchedQueue


@attrs.define
class PutWatch:
    """A put that is under way."""

    data: bytes
    expected: frozenset[bytes]
    """The queues that it must come into."""
    numbers: dict[bytes, int] = attrs.field(factory=dict)
    """The states that it led to, by queue."""
    refused: bool = False
    """Whether the quick way leaves it to the other one."""


class WatchedMoves(Moves):
    """Moves that must have a reason."""

    def begin_move(self, move: Move) -> None:
        source = move.source
        assert isinstance(source, WatchedQueue)
        model, settings = source.model, source.model.settings
        thing = source._thing(move.item)
        now_ms = source.life.clock.wall_ms
        expired = thing.is_dead(now_ms) and move.target == settings.expire_to
        exhausted = (
            thing.is_exhausted(settings.max_deliveries)
            and move.deliveries == max(settings.max_deliveries or 0, thing.came + 1)
            and move.target == settings.dead_letter
        )
        if not (expired or exhausted) or thing.id in model.open or thing.id in model.leaving:
            raise model.fail(f"{thing} leaves for {move.target!r} without a reason")
        model.leaving[thing.id] = {}
        super().begin_move(move)


class WatchedQueues(QueueCollection):
    """The queues, and the life they belong to."""

    def __init__(
        self, life: "Life", spool: Spool, clock: Clock, sizes: WindowSizes, rules: Rules
    ) -> None:
        self.life = life
        self._line: list[Waiter] = []
        """Who waits for items, in the order of their coming."""
        super().__init__(spool, clock, sizes, rules)

    def make_queue(self, journal: Journal, settings: QueueSettings) -> PersistentQueue:
        return WatchedQueue(self.life, journal, self.directory, settings)

    def make_moves(self) -> Moves:
        return WatchedMoves(self._put_moved, self.directory.deadlines, lambda: self.clock.monotonic)

    def at(self, name: bytes) -> PersistentQueue | None:
        """Return the queue under a name, whether it exists or not."""
        return self._by_name.get(name)

    def everything(self) -> list[PersistentQueue]:
        """Return all queues, also those that do not exist."""
        return list(self._by_name.values())

    # Puts.

    def put(self, name: bytes, data: bytes, flags: int, exptime: int) -> PersistentQueue | None:
        with self._putting(name, data) as watch:
            queue = super().put(name, data, flags, exptime)
            watch.refused = queue is None
            return queue

    def put_with_care(self, what: Put) -> list[PersistentQueue]:
        with self._putting(what.name, what.data):
            return super().put_with_care(what)

    @contextlib.contextmanager
    def _putting(self, name: bytes, data: bytes) -> Iterator[PutWatch]:
        """Check that a put comes into all queues that it concerns, or into none."""
        life = self.life
        if life.put is not None:
            yield life.put  # it is under way already
            return
        put = life.put = PutWatch(data, self._concerned(name))
        try:
            yield put
        except QueueFullRefused as full:
            model = life.models[full.name]
            if not model.is_full(len(data)) or model.can_drop(
                len(data), life.clock.wall_ms, life.ran_ms
            ):
                raise model.fail(f"{put} is refused, though there is room") from full
            raise
        finally:
            life.put = None
        if put.refused and not put.numbers:
            return  # it has to be looked at, and comes again
        model = life.models[name]
        if set(put.numbers) != put.expected:
            raise model.fail(f"{put} came into these queues only")
        if self.directory.limits.draining:
            raise model.fail(f"{put} was taken in spite of draining")
        assert life.current is not None
        life.current.entry.puts += put.numbers.items()
        life.current.entry.stored = True

    def _concerned(self, name: bytes) -> frozenset[bytes]:
        models, rules = self.life.models, self.life.rules
        reached = {name, *rules.routes.targets(name)}
        names = {each for each in reached if not models[each].settings.fanout_only}
        names |= {
            each for each in models if child_of(each) in reached and models[each].now is not None
        }
        return frozenset(names)

    def _put_moved(self, move: Move) -> list[PersistentQueue]:
        outer, self.life.put = self.life.put, None
        source, models = move.source, self.life.models
        assert isinstance(source, WatchedQueue)
        copies = source.model.leaving[move.item.id]
        expected = self._concerned_by_move(source.name, move.target)
        standing = {name for name, at in copies.items() if not models[name].is_undone(at)}
        if standing:
            expected &= copies.keys() - standing  # those that it was taken back from
        try:
            reached = super()._put_moved(move)
        finally:
            self.life.put = outer
        if {queue.name for queue in reached} != expected:
            raise source.model.fail(f"{move.item} is moved to {reached} instead of {expected}")
        # Where it stands already, the same data may have been put once more since, by another move.
        before = {name: at for name, at in copies.items() if name in standing}
        put_now = {name: models[name].put_at[move.item.data] for name in expected}
        source.model.leaving[move.item.id] = before | put_now
        return reached

    def _concerned_by_move(self, source: bytes, target: bytes) -> frozenset[bytes]:
        """Return where a move leads: as a put, but never back, and never to nowhere."""
        names = self._concerned(target)
        if not names or source in names:
            return frozenset([target])
        return names

    def is_empty(self, name: bytes) -> bool:
        empty = super().is_empty(name)
        model = self.life.models[name]
        if empty != (not model.things):
            raise model.fail(f"it is said to be empty: {empty}")
        return empty

    # Reads.

    def wait(self, waiter: Waiter, wait_ms: float) -> None:
        self._line = [each for each in self._line if each in self.waiters.waiting]
        self._line.append(waiter)
        super().wait(waiter, wait_ms)

    def read(self, request: Request, holder: ReadHolder | None = None) -> Hit | None:
        life = self.life
        outer, life.lease = life.lease, request.lease
        try:
            hit = super().read(request, holder)
        except NotLoaded:
            self._check_nothing_given(holder, life.models[request.name])
            raise
        finally:
            life.lease = outer  # a move that this one begins may serve others
        if hit is not None:
            model = life.models[request.name]
            if model.settings.paused:
                raise model.fail("a read is answered though it is paused")
            session = life.current if holder is None else life.session_of(holder)
            assert session is not None
            self._check_turn(holder, model)
            number = None if request.peek else model.last
            session.entry.hits.append((request.name, hit[1].data, number))
        return hit

    def _check_nothing_given(self, holder: ReadHolder | None, model: QueueModel) -> None:
        """Check that no queue looks empty to a get because another has given an item already."""
        life = self.life
        session = life.current if holder is None else life.session_of(holder)
        assert session is not None
        gets = isinstance(session.command, commands.Get)
        if gets and session.entry.hits and not session.makes_do:
            raise model.fail("it looks empty, though it only has to be read from disk first")

    def _check_turn(self, holder: ReadHolder | None, model: QueueModel) -> None:
        """Check that nobody who waits is served before somebody who has waited longer."""
        line = [
            each
            for each in self._line
            if each in self.waiters.waiting
            and model.name in {request.name for request in each.requests}
        ]
        if holder in {each.holder for each in line} and line[0].holder is not holder:
            raise model.fail("somebody who waits is served out of turn")

    def run_due(self) -> None:
        life = self.life
        for model in life.models.values():
            model.leases_over(life.clock.monotonic)
        super().run_due()
        life.ran_ms = life.clock.wall_ms
        for model in life.models.values():
            model.returning.clear()

    # The rest.

    def reload(self, rules: Rules) -> None:
        self.life.go_by(rules)
        super().reload(rules)

    def queue_snapshot(self, name: bytes) -> QueueSnapshot | None:
        snapshot = super().queue_snapshot(name)
        if snapshot is not None:
            self.life.check_snapshot(snapshot)
        return snapshot

    def snapshot(self) -> list[QueueSnapshot]:
        snapshots = super().snapshot()
        for each in snapshots:
            self.life.check_snapshot(each)
        return snapshots
