"""The server's own collection of queues, and its moves between them, as the model watches them."""

from typing import TYPE_CHECKING

import attrs

from starling_py import keys
from starling_py.clock import Clock
from starling_py.journal.errors import JournalError
from starling_py.journal.format.origin import BURIED, DELIVERIES, EXPIRED, MOVED, Origin
from starling_py.journal.format.record import MarkedItem
from starling_py.journal.journal import Journal
from starling_py.journal.spool import Spool
from starling_py.keys import Request, child_of
from starling_py.protocol import commands
from starling_py.queues.delivery import Put
from starling_py.queues.errors import NotLoaded, QueueFullRefused
from starling_py.queues.moves import MovePut, Moves
from starling_py.queues.open_reads import ReadHolder
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.queues.queue_collection import QueueCollection
from starling_py.queues.queue_directory import Rules
from starling_py.queues.slices import LATER, Steps
from starling_py.queues.traffic import Move
from starling_py.queues.waiters import Hit, Waiter
from starling_py.queues.window import WindowSizes
from starling_py.settings.queue_settings import QueueSettings
from starling_py.stats import QueueSnapshot
from tests.simulation.model import OpenThing, QueueModel

if TYPE_CHECKING:
    from tests.simulation.watched_session import WatchedClient
    from tests.simulation.world import Life
from tests.simulation.watched import WatchedQueue


@attrs.define
class PutWatch:
    """A put that is under way."""

    data: bytes
    expected: frozenset[bytes]
    """The queues that it must come into."""
    marks: tuple[int, bool]
    """When it is due, and whether it goes in front."""
    begun: dict[bytes, int] = attrs.field(factory=dict)
    """The number of each queue's state when it began."""
    numbers: dict[bytes, int] = attrs.field(factory=dict)
    """The states that it led to, by queue."""

    def overtaken(self, model: QueueModel) -> bool:
        """Tell whether something else was put into a queue since this one has asked it.

        The first queue that gets it may have given it to somebody, or moved it on, as it was dead.
        """
        since = self.begun.get(model.name, model.last)
        return len(self.expected) > 1 and "put" in model.kinds[since + 1 : model.last]


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
        right = {
            EXPIRED: expired,
            DELIVERIES: exhausted,
            BURIED: move.target == settings.dead_letter,
        }
        if move.reason == MOVED:
            right[MOVED] = source.life.moves(source.name, move, thing)
        if not right[move.reason] or thing.id in model.open or thing.id in model.leaving:
            raise model.fail(f"{thing} leaves for {move.target!r} without a reason")
        model.leaving[thing.id] = {}
        super().begin_move(move)


def was_away(model: QueueModel, since: int) -> bool:
    """Tell whether a queue was deleted, or its making undone, after some state."""
    return bool({"delete", "roll back"} & {*model.kinds[since + 1 :]})


class WatchedMove:
    """The put of a moved item, which must come into all queues that it concerns."""

    def __init__(self, queues: "WatchedQueues", move: Move, put: MovePut) -> None:
        self._queues = queues
        self._move = move
        self._put = put
        self.reached = put.reached

    def missed(self) -> frozenset[bytes]:
        return self._put.missed()

    def steps(self) -> Steps:
        life, move = self._queues.life, self._move
        source, models = move.source, life.models
        assert isinstance(source, WatchedQueue)
        copies = source.model.leaving[move.item.id]
        standing = {name: at for name, at in copies.items() if not models[name].is_undone(at)}
        undone = copies.keys() - standing.keys()
        # Where it stands already, the same data may have been put once more since, by another move.
        copies = source.model.leaving[move.item.id] = standing.copy()
        expected: frozenset[bytes] = frozenset()
        states: dict[bytes, int] = {}
        begun = False
        steps, seen = self._put.steps(), 0
        while True:
            if not begun:
                expected = self._queues._concerned_by_move(source.name, move.target)
                if standing:
                    expected &= undone  # only those that it was taken back from
                states = {name: model.last for name, model in models.items()}
            outer, life.put = life.put, None
            try:
                step = next(steps)
            except StopIteration:
                break
            finally:
                life.put = outer
            begun = step is not LATER
            for queue in self.reached[seen:]:
                copies[queue.name] = models[queue.name].put_at[move.item.data]
                self._check_origin(queue.name, copies[queue.name])
            seen = len(self.reached)
            yield step
        missed = expected - {queue.name for queue in self.reached}
        if any(not was_away(models[name], states[name]) for name in missed):
            raise source.model.fail(f"{move.item} is moved to {self.reached}, not to {expected}")

    def _check_origin(self, name: bytes, number: int) -> None:
        """Check that a copy tells where it came from, and by hand keeps when it dies."""
        move, model = self._move, self._queues.life.models[name]
        item, source = move.item, move.source
        before = item.origin if isinstance(item, MarkedItem) else None
        state = model.states[number]
        thing = state.find(state.next_id - 1) if state is not None else None
        first = (source.name, item.added_ms) if before is None else (before.first, before.put_ms)
        wanted = Origin(*first, source.name, move.began_ms, move.reason)
        if thing is None or thing.origin != wanted:
            raise model.fail(f"{thing} came from {wanted}")
        settings = model.settings
        free = settings.max_age is None and not settings.ignore_client_expiry
        if move.reason == MOVED and free and thing.dies_ms != item.expiry_ms:
            raise model.fail(f"{thing} is to die at {item.expiry_ms}")


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
        directory = self.directory
        return WatchedMoves(
            self._put_moved, directory.deadlines, directory.slices, lambda: self.clock.monotonic
        )

    @property
    def is_stuck(self) -> bool:
        """Whether there are moves that cannot go on for now, and try again and again."""
        moves = self.directory.moves
        assert isinstance(moves, Moves)
        return bool(moves._stuck)

    def at(self, name: bytes) -> PersistentQueue | None:
        """Return the queue under a name, whether it exists or not."""
        return self._by_name.get(name)

    def everything(self) -> list[PersistentQueue]:
        """Return all queues, also those that do not exist."""
        return list(self._by_name.values())

    # Puts.

    def put(self, name: bytes, data: bytes, flags: int, exptime: int) -> PersistentQueue | None:
        life = self.life
        put = life.put = PutWatch(data, self._concerned(name), (0, False))
        try:
            queue = super().put(name, data, flags, exptime)
        finally:
            life.put = None
        if queue is not None:
            self._check_reached(life.models[name], put, {})
            assert life.current is not None
            life.current.entry.puts += put.numbers.items()
            life.current.entry.stored = True
        return queue

    def seen_once(self, name: bytes, digest: bytes) -> int:
        item_id = super().seen_once(name, digest)
        model, current = self.life.models[name], self.life.current
        expected = model.seen(digest, self.clock.wall_ms)
        if item_id != expected:
            raise model.fail(f"item {item_id} has the token {digest!r}, not {expected}")
        if item_id and current is not None:
            current.entry.stored = True
            current.entry.puts.append((name, model.first_put(digest).number))
        return item_id

    def put_with_care(self, what: Put, reached: list[PersistentQueue]) -> Steps:
        """Put, and check that it comes into all queues that it concerns, or into none."""
        life, models = self.life, self.life.models
        client = life.current
        assert client is not None
        entry = client.entry
        put = PutWatch(what.data, self._concerned(what.name), (what.due_ms, what.front))
        states = put.begun = {name: model.last for name, model in models.items()}
        steps = super().put_with_care(what, reached)
        while True:
            outer, life.put = life.put, put
            try:
                step = next(steps)
            except StopIteration:
                break
            except QueueFullRefused as full:
                self._check_full(put, full)
                raise
            finally:
                life.put = outer
            yield step
            if step is LATER:  # it has not begun yet
                put.expected = self._concerned(what.name)
                states = {name: model.last for name, model in models.items()}
        if what.seen_id:
            # Another client has put it while the queues were asked.
            model = models[what.name]
            if put.numbers or model.seen(what.token, self.clock.wall_ms) != what.seen_id:
                raise model.fail(f"{put} was not stored, as of item {what.seen_id}")
            entry.puts.append((what.name, model.first_put(what.token).number))
        else:
            self._check_reached(models[what.name], put, states)
            entry.puts += put.numbers.items()
        entry.stored = True

    def _check_reached(self, model: QueueModel, put: PutWatch, states: dict[bytes, int]) -> None:
        """Check where a put came that began when the queues had these states."""
        models = self.life.models
        missed = put.expected - put.numbers.keys()
        if not put.numbers.keys() <= put.expected or any(
            not was_away(models[name], states[name]) for name in missed
        ):
            raise model.fail(f"{put} came into these queues only")
        if self.directory.limits.draining and not self.life.sliced:
            raise model.fail(f"{put} was taken in spite of draining")

    def _check_full(self, put: PutWatch, full: QueueFullRefused) -> None:
        """Check that a queue is full that a put was refused for."""
        life = self.life
        model = life.models[full.name]
        if not model.is_full(len(put.data)) or model.can_drop(
            len(put.data), life.clock.wall_ms, life.ran_ms
        ):
            raise model.fail(f"{put} is refused, though there is room") from full

    def _concerned(self, name: bytes) -> frozenset[bytes]:
        models, rules = self.life.models, self.life.rules
        reached = {name, *rules.routes.targets(name)}
        names = {each for each in reached if not models[each].settings.fanout_only}
        names |= {
            each for each in models if child_of(each) in reached and models[each].now is not None
        }
        return frozenset(names)

    def _put_moved(self, move: Move) -> MovePut:
        return WatchedMove(self, move, super()._put_moved(move))

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

    def waits(self, holder: ReadHolder, name: bytes) -> bool:
        """Tell whether a client waits for an item of a queue."""
        return any(
            each.holder is holder and name in {request.name for request in each.requests}
            for each in self._line
            if each in self.waiters.waiting
        )

    def read(self, request: Request, holder: ReadHolder | None = None) -> Hit | None:
        life, name = self.life, request.name
        session = self._session(holder)
        entry, model = session.entry, life.models[name]
        can_give = self._can_give(model)
        outer, life.lease = life.lease, request.lease
        try:
            hit = super().read(request, holder)
        except NotLoaded:
            entry.passed.clear()
            if entry.hits or entry.given:
                entry.unread.add(name)
            raise
        except JournalError:
            entry.passed.add(name)
            entry.unread.discard(name)
            raise
        finally:
            life.lease = outer  # a move that this one begins may serve others
        entry.unread.discard(name)
        if hit is None:
            if can_give and self._wants_one(session):
                raise model.fail("it is passed over, though there is an item")
            entry.passed.add(name)
            return None
        if model.is_paused(self.clock.wall_ms):
            raise model.fail("a read is answered though it is paused")
        self._check_turn(holder, model)
        if self._wants_one(session):
            self._check_first(session, name)
        number = None if request.peek else model.last
        session.taken[name] += not request.peek
        entry.hits.append((name, hit[1].data, number))
        return hit

    def _session(self, holder: ReadHolder | None) -> "WatchedClient":
        life = self.life
        session = life.current if holder is None else life.session_of(holder)
        assert session is not None
        return session

    def _can_give(self, model: QueueModel) -> bool:
        """Tell whether a queue certainly has an item for a get."""
        queue, ran_ms = self.directory.find(model.name), self.life.ran_ms
        # Pauses end, as delays do, when it is looked at what is due.
        if queue is None or queue.journal.broken or model.is_paused(ran_ms - 1):
            return False
        return bool(model.available(self.clock.wall_ms, ran_ms))

    def _wants_one(self, session: "WatchedClient") -> bool:
        """Tell whether a command is a get of one item in all that nothing disturbs."""
        command = session.command
        asked = command.keys if isinstance(command, commands.Get) else ()
        disturbed = self.life.sliced or self.life.disk.fault or session.entry.makes_do
        return not disturbed and any(keys.parse(key).first for key in asked)

    def _check_first(self, session: "WatchedClient", name: bytes) -> None:
        """Check that all queues were asked, and had nothing, that go before the one that gives."""
        assert isinstance(session.command, commands.Get)
        for key in session.command.keys:
            other = keys.parse(key).name
            if other == name:
                return
            if other not in session.entry.passed:
                raise self.life.models[name].fail(f"an item is given, and {other!r} goes first")

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
        before = {name: dict(model.open) for name, model in life.models.items()}
        for model in life.models.values():
            model.leases_over(life.clock.monotonic)
        super().run_due()
        if self.directory.deadlines.soonest > life.clock.monotonic:
            life.ran_ms = life.clock.wall_ms
        self.come_back(before)

    def come_back(self, before: dict[bytes, dict[int, OpenThing]]) -> None:
        """Note what came back by now, of what was open and is to come back.

        ``before`` is what was open; some of it may come back in a later slice.
        """
        for name, model in self.life.models.items():
            queue = self.directory.find(name)
            for item_id in model.returning:
                if queue is not None and item_id in queue.open_reads and item_id not in model.open:
                    model.open[item_id] = before[name][item_id]
            model.returning.clear()

    # The rest.

    def reload(self, rules: Rules) -> None:
        self.life.go_by(rules)
        super().reload(rules)
        while self.reloading:
            self.slices.run()

    def queue_snapshot(self, name: bytes) -> QueueSnapshot | None:
        snapshot = super().queue_snapshot(name)
        if snapshot is not None:
            self.life.check_snapshot(snapshot)
        return snapshot
