"""The server's own queues, each of whose changes the model learns of as it happens.

What is given to clients, removed, returned or moved is checked against the model in the moment in
which it is done; what the model says never comes from what the server counts.
"""

from typing import TYPE_CHECKING

from starling_py.journal.errors import JournalError
from starling_py.journal.format.record import Item, MarkedItem
from starling_py.journal.format.segment import Segment
from starling_py.journal.journal import Journal
from starling_py.queues.open_reads import OpenRead, ReadHolder
from starling_py.queues.pause import Pause
from starling_py.queues.persistent_queue import PersistentQueue, QueueKeeper
from starling_py.queues.traffic import Move
from starling_py.settings.queue_settings import QueueSettings
from tests.simulation.model import QueueModel, Thing

if TYPE_CHECKING:
    from tests.simulation.world import Life


class WatchedPause(Pause):
    """A pause that the model is told of."""

    watched: "WatchedQueue"

    def begin(self, until_ms: int) -> None:
        super().begin(until_ms)
        self.watched._note(self.watched.model.paused(until_ms))

    def end(self) -> None:
        is_begun = self.until_ms != 0
        super().end()
        if is_begun:
            self.watched._note(self.watched.model.paused(0))


class WatchedQueue(PersistentQueue):
    """A queue that the model watches."""

    def __init__(
        self, life: "Life", journal: Journal, keeper: QueueKeeper, settings: QueueSettings
    ) -> None:
        self.life = life
        self._peeking_ms = 0
        self._expected = False
        """Whether whoever removes an item now says why."""
        self._removed: Item
        super().__init__(journal.queue, journal, keeper, settings)
        self.pause.let_go()
        self.pause = WatchedPause(self, journal, keeper, by_settings=settings.paused)
        self.pause.watched = self

    @property
    def model(self) -> QueueModel:
        return self.life.models[self.name]

    @property
    def counts(self) -> bool:
        """Whether this is the queue that is served under its name."""
        return self.life.queues.at(self.name) is self

    def _note(self, number: int) -> None:
        """Have the client that this is done for told of it with its reply."""
        if self.life.current is not None:
            self.life.current.entry.did.append((self.name, number))

    # Puts.

    def put(self, data: bytes, flags: int, expiry_ms: int, now_ms: int) -> None:
        thing = Thing(self.next_id, data, flags, expiry_ms)
        self.model.put_ms[self.next_id] = now_ms
        super().put(data, flags, expiry_ms, now_ms)
        self._was_put(thing)

    def put_marked(self, item: MarkedItem) -> None:
        self.model.put_ms[item.id] = item.added_ms
        super().put_marked(item)
        self._was_put(
            Thing(
                item.id,
                item.data,
                item.flags,
                item.expiry_ms,
                item.due_ms,
                item.deliveries,
                item.front,
                item.deliveries,
                item.origin,
            )
        )
        if item.token:
            self.model.put_once(item.token, item.id, item.added_ms)

    def _was_put(self, thing: Thing) -> None:
        model, settings = self.model, self.model.settings
        moved = self.life.put is None
        self.life.was_put(self.name, thing, model.put(thing))
        count, size = model.count_waiting(), model.now.bytes if model.now else 0
        within = (
            (settings.max_items is None or count <= settings.max_items)
            and (settings.max_bytes is None or size <= settings.max_bytes)
            and (
                settings.max_item_size is None or len(thing.data) <= settings.max_item_size or moved
            )
        )
        put = self.life.put
        if self.life.sliced and (put is None or len(put.expected) > 1):
            within = True  # it was asked for in an earlier turn
        if put is not None and put.overtaken(model):
            within = True
        if moved and len(model.things) == 1:
            within = True  # rather than nowhere, it comes into an empty queue
        if not within:
            raise model.fail(f"{thing} is put beyond a limit: {count} items, {size} bytes")
        if settings.max_age is not None:
            latest = self.life.clock.wall_ms + int(settings.max_age * 1000)
            if not 0 < thing.dies_ms <= latest:
                raise model.fail(f"{thing} may live longer than {latest}")

    def make(self) -> None:
        super().make()
        self._note(self.model.made(self.next_id))

    # Reads.

    def pop(self, now_ms: int) -> Item | None:
        item = super().pop(now_ms)
        if item is not None:
            self.model.removed(item)
        return item

    def peek(self, now_ms: int) -> Item | None:
        outer, self._peeking_ms = self._peeking_ms, now_ms
        try:
            item = super().peek(now_ms)
        finally:
            self._peeking_ms = outer
        self.model.check_given(item, now_ms, self.life.ran_ms)
        if item is not None and self._thing(item).is_dead(now_ms):
            raise self.model.fail(f"{item} is given at {now_ms}")
        return item

    def _thing(self, item: Item) -> Thing:
        thing = self.model.now.find(item.id) if self.model.now is not None else None
        if thing is None:
            raise self.model.fail(f"{item} is not there")
        return thing

    def look(self, count: int, now_ms: int, after: int | None = None) -> list[Item]:
        items = super().look(count, now_ms, after)
        given = [each.id for each in items]
        model, ran_ms = self.model, self.life.ran_ms
        sure = [
            each.id
            for each in model.available(now_ms, ran_ms)
            if after is None or each.place > after
        ]
        perhaps = [each.id for each in model.waiting if each.due_ms <= now_ms]
        # As far as it is in memory: from the head on, and nothing left out.
        until = sure.index(given[-1]) + 1 if given and given[-1] in sure else 0
        if [each for each in perhaps if each in given] != given or any(
            each not in given for each in sure[:until]
        ):
            raise model.fail(f"a look finds {given}; there is {sure}")
        if self.life.current is not None:
            hits = [(self.name, each.data, None) for each in items]
            self.life.current.entry.hits += hits
        return items

    def open(self, now_ms: int, holder: ReadHolder | None, lease_end: float | None) -> Item | None:
        item = super().open(now_ms, holder, lease_end)
        if item is not None:
            model, life = self.model, self.life
            session = life.session_of(holder)
            if session is None:
                raise model.fail(f"{item} is open for nobody")
            if self._thing(item).is_exhausted(model.settings.max_deliveries):
                raise model.fail(f"{item} is handed out once too often")
            seconds = model.settings.open_timeout if life.lease is None else life.lease
            end = None if seconds is None else life.clock.monotonic + seconds
            model.opened(item, session.reader, end)
            if model.count(session.reader) > model.settings.max_open_reads and not model.undone:
                raise model.fail("one client has too much open")
        return item

    # Open reads that end.

    def confirm(self, read: OpenRead) -> None:
        self._check_whose(read)
        self._expected = True
        try:
            super().confirm(read)
        finally:
            self._expected = False
        self._note(self.model.confirmed(read.item))

    def give_back(self, read: OpenRead, *, alone: bool = True) -> None:
        if read.item.id in self.model.open:
            if not self.model.open[read.item.id].reader.gone:
                self._check_whose(read)
            del self.model.open[read.item.id]
        super().give_back(read, alone=alone)
        self._check_exhausted(read.item)

    def give_back_later(self, read: OpenRead, due_ms: int) -> None:
        self._check_whose(read)
        model, item_id = self.model, read.item.id
        was_open = model.open[item_id]
        number = model.delayed(item_id, due_ms)
        try:
            super().give_back_later(read, due_ms)
        except JournalError:
            model.never_delayed(item_id, was_open)
            raise
        self._check_exhausted(read.item)
        self._note(number)

    def _check_exhausted(self, item: Item) -> None:
        """Check that what came back too often has left."""
        most = self.model.settings.max_deliveries
        for each in self.model.waiting if most is not None else ():
            if each.id == item.id and each.is_exhausted(most):
                raise self.model.fail(f"{each} came back too often, and is still here")

    def _check_whose(self, read: OpenRead) -> None:
        """Check that a client may end a read: its oldest one, or one that it names."""
        model, session, item_id = self.model, self.life.current, read.item.id
        each = model.open.get(item_id)
        if each is None or session is None:
            raise model.fail(f"{read.item} is closed or comes back for no reason")
        if session.names_id(item_id):
            model.check_named(read.item)
            if each.reader is not session.reader and each.lease_end is None:
                raise model.fail(f"{read.item} has no lease, and another client ends it")
        elif model.oldest(session.reader) != item_id:
            raise model.fail(f"{read.item} is not what its client opened first")

    def bury(self, read: OpenRead, target: bytes) -> Move:
        self._check_whose(read)
        del self.model.open[read.item.id]
        assert self.life.current is not None
        self.life.current.entry.buries = True
        return super().bury(read, target)

    def come_back(self, item: Item) -> None:
        del self.model.leaving[item.id]
        moved = self.name, item.id
        self.life.movers.pop(moved).moved.remove(moved)  # whatever becomes of it now
        super().come_back(item)

    # Removals.

    def remove(self, item: Item) -> None:
        if self._peeking_ms:
            self.model.check_given(item, self._peeking_ms, self.life.ran_ms)
            if not self._thing(item).is_dead(self._peeking_ms):
                raise self.model.fail(f"{item} is removed as dead at {self._peeking_ms}")
        super().remove(item)
        self._removed = item
        if self._peeking_ms:
            self.model.removed(item)
        elif not self._expected:
            self._has_left(item)

    def _has_left(self, item: Item) -> None:
        """Learn that an item is in another queue, and not here any more."""
        model = self.model
        copies = model.leaving.pop(item.id, {})
        if not copies:
            raise model.fail(f"{item} is removed, and is nowhere else")
        for target, at in copies.items():
            there = self.life.models[target]
            durable = self.life.shape.interval is not None and there.settings.journal
            if there.is_undone(at) or at > (there.synced if durable else there.committed):
                raise there.fail(f"{item} is not safe, and removed from {self.name!r}")
        model.left[item.id] = (model.removed(item), copies)

    def drop_oldest(self, now_ms: int) -> bool:
        put, model = self.life.put, self.model
        if put is not None and not model.is_full(len(put.data)):
            raise model.fail("an item is dropped, though there is room")
        self._expected = True
        try:
            done = super().drop_oldest(now_ms)
        finally:
            self._expected = False
        if done:
            model.removed(self._removed)
        return done

    def drop(self, item: Item) -> None:
        if item.id in self.model.open or item.id in self.model.leaving:
            raise self.model.fail(f"{item} is dropped, and does not wait")
        self._expected = True
        try:
            super().drop(item)
        finally:
            self._expected = False
        self._note(self.model.removed(item))

    def flush(self) -> None:
        super().flush()
        self._note(self.model.emptied(deleted=False))

    def delete(self) -> None:
        super().delete()
        model = self.model
        if self.life.current is None and (model.settings.idle_expire is None or model.things):
            raise model.fail("it is deleted for no reason")
        self._note(model.emptied(deleted=True))

    def give_up(self, damaged: Segment) -> None:
        raise self.model.fail("items are given up")

    # Commits.

    def on_committed(self) -> None:
        if self.counts:
            self.model.was_committed()
        super().on_committed()

    def on_rolled_back(self) -> None:
        if self.counts:
            model, life = self.model, self.life
            healed = life.commits.finishing
            base = model.synced if healed and life.shape.waits else model.committed
            if not healed and not {"put", "make"} & {*model.kinds[base + 1 :]}:
                life.refused_removals.append(self.name)
            model.was_rolled_back(base, safe=healed)
        super().on_rolled_back()
