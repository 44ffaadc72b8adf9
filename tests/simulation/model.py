"""What each queue may hold, given what was done to it and what clients were told of that.

A queue's history is the list of the states it went through, one more for every record of its
journal. A crash may leave any of them from a certain one on: the last one that anybody was told
of, or the last one that a completed sync covers. That single rule says that nothing told is lost
(I1), that nothing is invented (I2), that the order is kept (I3), that an item comes twice only
where its outcome was unknown (I4), and that a crash cuts a queue's operations off at one point
(I6). The counters are part of a state (I5). What only the memory knows is beside the history: who
has what open, and what is on its way to another queue.
"""

from collections.abc import Iterator
from typing import Any

import attrs

from starling_py.journal.format.origin import Origin
from starling_py.journal.format.record import Item
from starling_py.settings.queue_settings import QueueSettings


class Violation(AssertionError):
    """Something was seen that must never be."""


@attrs.frozen
class Thing:
    """An item as the model has it."""

    id: int
    data: bytes = attrs.field(repr=lambda data: repr(data[:8]))
    flags: int
    dies_ms: int
    due_ms: int = 0
    deliveries: int = 0
    front: bool = False
    came: int = 0
    """How often other queues had handed it out."""
    origin: Origin | None = None
    """Where it came from."""

    def is_exhausted(self, most: int | None) -> bool:
        """Tell whether it was handed out too often, here too."""
        return most is not None and self.deliveries >= most and self.deliveries > self.came

    @property
    def place(self) -> int:
        """A number that sorts it among the others: the last one put in front is the first."""
        return -self.id if self.front else self.id

    def is_dead(self, now_ms: int) -> bool:
        """Tell whether its time is over."""
        return 0 < self.dies_ms <= now_ms


@attrs.frozen
class State:
    """A queue at one moment."""

    next_id: int
    things: tuple[Thing, ...]
    """In their order."""
    first_id: int
    """The next id when the queue was made."""
    paused_ms: int = 0
    """Until when it is paused: 0 if it is not, -1 for ever."""

    @property
    def total(self) -> int:
        """Items ever put."""
        return self.next_id - self.first_id

    @property
    def bytes(self) -> int:
        """Bytes of all items' data."""
        return sum(len(thing.data) for thing in self.things)

    def find(self, item_id: int) -> Thing | None:
        """Return an item."""
        return next((each for each in self.things if each.id == item_id), None)

    def without(self, item_id: int) -> "State":
        """Return the state without an item."""
        things = tuple(each for each in self.things if each.id != item_id)
        return attrs.evolve(self, things=things)


Found = State | None
"""A queue's state; ``None`` when there is no such queue."""


@attrs.define(eq=False)
class Reader:
    """A client as far as it can have items open."""

    gone: bool = False


@attrs.define(eq=False)
class OpenThing:
    """An item that somebody works on."""

    reader: Reader
    lease_end: float | None
    at: int
    """The state that opening it led to."""
    serial: int


@attrs.frozen
class Token:
    """A put with a token."""

    item_id: int
    put_ms: int
    """When it was."""
    number: int
    """The state that it led to."""


@attrs.define
class QueueModel:
    """One queue's history since the server was started."""

    name: bytes
    settings: QueueSettings = attrs.field(factory=QueueSettings)
    states: list[Found] = attrs.field(factory=lambda: [None])
    kinds: list[str] = attrs.field(factory=lambda: ["start"])
    """What led to each state."""
    committed: int = 0
    """The last state that is written."""
    synced: int = 0
    """The last state that a completed sync covers."""
    told: int = 0
    """The last state that any client was told of."""
    undone: list[tuple[int, int]] = attrs.field(factory=list)
    """The states that were taken back: the last one before them, and the first one after them."""
    used: list[int] = attrs.field(factory=lambda: [0])
    """By each state: the highest id that was given to an item, in all queues of this name."""
    shown: dict[int, bytes] = attrs.field(factory=dict)
    """The data of whatever was ever open, by the ids that clients may remember."""
    put_at: dict[bytes, int] = attrs.field(factory=dict)
    """Which state the last put of some data led to."""
    open: dict[int, OpenThing] = attrs.field(factory=dict)
    """What is open."""
    closed: dict[int, tuple[int, OpenThing]] = attrs.field(factory=dict)
    """What was open and is removed, with the state that this led to."""
    leaving: dict[int, dict[bytes, int]] = attrs.field(factory=dict)
    """What is on its way to other queues: their names, and the states that it led to there."""
    left: dict[int, tuple[int, dict[bytes, int]]] = attrs.field(factory=dict)
    """What has gone there: the state that this led to here, then as in ``leaving``."""
    put_ms: dict[int, int] = attrs.field(factory=dict)
    """When each item was put, by its id, in milliseconds since the Unix epoch."""
    once: dict[bytes, list[Token]] = attrs.field(factory=dict)
    """The puts with each token, by its digest: the last one may be undone, and its queue gone."""
    waits: dict[int, int] = attrs.field(factory=dict)
    """Until when items were to be kept back, whether that was written or not."""
    returning: set[int] = attrs.field(factory=set)
    """What comes back in these moments, one after the other."""
    _serial: int = 0

    @property
    def now(self) -> Found:
        """The state that the server's memory must have."""
        return self.states[-1]

    @property
    def last(self) -> int:
        """The number of the present state."""
        return len(self.states) - 1

    @property
    def things(self) -> tuple[Thing, ...]:
        """All items, in their order."""
        return () if self.now is None else self.now.things

    @property
    def waiting(self) -> Iterator[Thing]:
        """Those that are neither open nor on their way, in their order."""
        return (
            each for each in self.things if each.id not in self.open and each.id not in self.leaving
        )

    def count_waiting(self) -> int:
        """Return how many wait for certain."""
        return sum(each.id not in self.returning for each in self.waiting)

    def fail(self, why: str) -> Violation:
        """Return a violation that names the queue."""
        return Violation(f"queue {self.name!r}: {why}")

    # What is done to the journal.

    def _add(self, kind: str, state: Found) -> int:
        self.states.append(state)
        self.kinds.append(kind)
        self.used.append(max(self.used[-1], 0 if state is None else state.next_id - 1))
        return self.last

    def _change(self, kind: str, item_id: int, **changes: Any) -> int:  # noqa: ANN401 - fields
        now, thing = self.now, self._thing(item_id)
        assert now is not None
        changed = attrs.evolve(thing, **changes)
        things = tuple(changed if each is thing else each for each in now.things)
        return self._add(kind, attrs.evolve(now, things=things))

    def _thing(self, item_id: int) -> Thing:
        thing = self.now.find(item_id) if self.now is not None else None
        if thing is None:
            raise self.fail(f"item {item_id} is not there")
        return thing

    def made(self, next_id: int) -> int:
        """Learn that the queue was made without an item."""
        if self.now is not None:
            raise self.fail("a queue that is there was made")
        return self._add("make", self._new(next_id))

    def _new(self, next_id: int) -> State:
        if next_id <= self.used[-1]:
            raise self.fail(f"ids begin with {next_id}; {self.used[-1]} was given out before")
        return State(next_id, (), next_id)

    def put(self, thing: Thing) -> int:
        """Learn that an item was put at the end, or in front."""
        now = self._new(thing.id) if self.now is None else self.now
        if thing.id != now.next_id:
            raise self.fail(f"an item has the id {thing.id} instead of {now.next_id}")
        things = sorted((*now.things, thing), key=lambda each: each.place)
        state = attrs.evolve(now, next_id=thing.id + 1, things=tuple(things))
        number = self._add("put", state)
        self.put_at[thing.data] = number
        if thing.due_ms:
            self.waits[thing.id] = thing.due_ms
        return number

    def put_once(self, digest: bytes, item_id: int, now_ms: int) -> None:
        """Learn that an item was put with a token."""
        if self.seen(digest, now_ms):
            raise self.fail(f"item {item_id} has a token that was seen: {self.once[digest]}")
        self.once.setdefault(digest, []).append(Token(item_id, now_ms, self.last))

    def seen(self, digest: bytes, now_ms: int) -> int:
        """Return the id of the item that was put with a token; 0 if it was not seen."""
        found = self.first_put(digest)
        over = found.put_ms <= now_ms - int(self.settings.once_window * 1000)
        return 0 if over else found.item_id

    def first_put(self, digest: bytes) -> Token:
        """Return the last put with a token that was stored, and whose queue is still there."""
        puts = reversed(self.once.get(digest, []))
        lasting = (each for each in puts if self._lasts(each.number))
        return next(lasting, Token(0, 0, 0))

    def _lasts(self, number: int) -> bool:
        """Tell whether neither the operation that led to a state nor the queue is gone since."""
        deleted = any(
            kind == "delete" and not self.is_undone(at)
            for at, kind in enumerate(self.kinds)
            if at > number
        )
        return not (deleted or self.is_undone(number))

    def removed(self, item: Item) -> int:
        """Learn that an item was removed."""
        thing, now = self._thing(item.id), self.now
        assert now is not None
        if (thing.data, thing.flags) != (item.data, item.flags):
            raise self.fail(f"{item} comes out instead of {thing}")
        return self._add("remove", now.without(item.id))

    def paused(self, until_ms: int) -> int:
        """Learn that the queue was paused until a time, or not any more."""
        if self.now is None:
            raise self.fail("a queue that is not there was paused")
        return self._add("pause", attrs.evolve(self.now, paused_ms=until_ms))

    def is_paused(self, now_ms: int) -> bool:
        """Tell whether nothing may be given."""
        until_ms = 0 if self.now is None else self.now.paused_ms
        return self.settings.paused or until_ms < 0 or until_ms > now_ms

    def emptied(self, *, deleted: bool) -> int:
        """Learn that the queue was flushed or deleted."""
        now = self.now
        if now is None:
            raise self.fail("a queue that is not there was emptied")
        if deleted:
            number = self._add("delete", None)
            self.closed.update({each: (number, self.open[each]) for each in self.open})
            self.open.clear()
            self.leaving.clear()
            return number
        kept = {*self.open, *self.leaving}
        things = tuple(each for each in now.things if each.id in kept)
        return self._add("flush", attrs.evolve(now, things=things))

    # What is done with open items.

    def opened(self, item: Item, reader: Reader, lease_end: float | None) -> int:
        """Learn that an item was handed out and stays."""
        thing = self._thing(item.id)
        number = self._change("open", item.id, deliveries=thing.deliveries + 1)
        self._serial += 1
        self.open[item.id] = OpenThing(reader, lease_end, number, self._serial)
        self.shown.setdefault(item.id, item.data)
        return number

    def check_named(self, item: Item) -> None:
        """Check that an open item is the one that clients know by its id."""
        if self.shown[item.id] != item.data:
            raise self.fail(f"who remembers {self.shown[item.id]!r} by its id ends {item}")

    def oldest(self, reader: Reader) -> int | None:
        """Return what a client opened first, of what it has open."""
        mine = [(each.serial, key) for key, each in self.open.items() if each.reader is reader]
        return min(mine)[1] if mine else None

    def count(self, reader: Reader) -> int:
        """Return how many items a client has open."""
        return sum(each.reader is reader for each in self.open.values())

    def confirmed(self, item: Item) -> int:
        """Learn that an open item was removed."""
        if item.id not in self.open:
            raise self.fail(f"{item} is confirmed, and is not open")
        number = self.removed(item)
        self.closed[item.id] = (number, self.open.pop(item.id))
        return number

    def delayed(self, item_id: int, due_ms: int) -> int:
        """Learn that an open item came back, and is to wait until a time."""
        self.waits[item_id] = due_ms
        del self.open[item_id]
        return self._change("delay", item_id, due_ms=due_ms)

    def never_delayed(self, item_id: int, was_open: OpenThing) -> None:
        """Learn that what was said last could not be done."""
        self.states.pop()
        self.kinds.pop()
        self.used.pop()
        self.open[item_id] = was_open

    def reader_gone(self, reader: Reader) -> None:
        """Learn that a client has gone: what it had open comes back, but for leases."""
        reader.gone = True
        for item_id in [key for key, each in self.open.items() if each.reader is reader]:
            if self.open[item_id].lease_end is None:
                del self.open[item_id]
                self.returning.add(item_id)

    def leases_over(self, now: float) -> None:
        """Go on to the present time: what was open with a lease that is over comes back."""
        for item_id, each in list(self.open.items()):
            if each.lease_end is not None and each.lease_end <= now:
                del self.open[item_id]
                self.returning.add(item_id)

    # What is given to clients.

    def check_given(self, item: Item | None, now_ms: int, ran_ms: int) -> None:
        """Check that an item is the first one that may be given, or that there is none.

        ``ran_ms`` is when it was last looked at which delays are over.
        """
        for thing in self.waiting:
            if item is not None and thing.id == item.id:
                if (thing.data, thing.flags) != (item.data, item.flags):
                    raise self.fail(f"{item} is given instead of {thing}")
                if thing.due_ms > now_ms:
                    raise self.fail(f"{thing} is given at {now_ms}")
                return
            if not self._may_rest(thing, ran_ms):
                raise self.fail(f"{item} is given, but there is {thing}")
        if item is not None:
            how = "open" if item.id in self.open else "leaving" if item.id in self.leaving else "no"
            raise self.fail(f"{item} is given, which is {how}: {_brief(self.now)}")

    def available(self, now_ms: int, ran_ms: int) -> list[Thing]:
        """Return what can certainly be given, in its order."""
        return [
            each
            for each in self.waiting
            if not self._may_rest(each, ran_ms) and not each.is_dead(now_ms)
        ]

    def check_delayed(self, delayed: int, now_ms: int, ran_ms: int, *, behind: bool) -> None:
        """Check how many items are counted as due later; some may not be in memory."""
        least = sum(each.due_ms > now_ms for each in self.waiting)
        most = sum(self._may_rest(each, ran_ms) for each in self.waiting)
        if delayed > most or (delayed < least and not behind):
            raise self.fail(f"{delayed} are delayed instead of {least} to {most}")

    def _may_rest(self, thing: Thing, ran_ms: int) -> bool:
        due = max(thing.due_ms, self.waits.get(thing.id, 0))
        return 0 < due >= ran_ms or thing.id in self.returning

    def check_age(self, told: int, now_ms: int, ran_ms: int) -> None:
        """Check the age of a queue: that of the item that has waited longest."""
        resting = [each.id for each in self.waiting if self._may_rest(each, ran_ms)]
        sure = [each.id for each in self.waiting if each.id not in resting]
        oldest = min(sure, default=None)
        ids = {each for each in resting if oldest is None or each < oldest}
        right = {max(0, now_ms - self.put_ms[each]) for each in ids | {*sure} & {oldest}}
        if told not in (right if sure else right | {0}):
            raise self.fail(f"the age is {told}, not {right}")

    def is_full(self, size: int) -> bool:
        """Tell whether an item of so many bytes would be beyond a limit."""
        most, most_bytes = self.settings.max_items, self.settings.max_bytes
        used = 0 if self.now is None else self.now.bytes
        return (most is not None and self.count_waiting() >= most) or (
            most_bytes is not None and used + size > most_bytes
        )

    def can_drop(self, size: int, now_ms: int, ran_ms: int) -> bool:
        """Tell whether dropping what waits certainly makes room for so many bytes."""
        droppable = self.available(now_ms, ran_ms)
        if not self.settings.discard_old_when_full or not droppable or self.now is None:
            return False
        most, most_bytes = self.settings.max_items, self.settings.max_bytes
        left = self.now.bytes - sum(len(each.data) for each in droppable)
        return (most is None or self.count_waiting() - len(droppable) < most) and (
            most_bytes is None or left + size <= most_bytes
        )

    # What becomes of it.

    def was_committed(self) -> None:
        """Learn that everything up to now is written."""
        self.committed = self.last

    def was_rolled_back(self, base: int, *, safe: bool) -> None:
        """Go back to an earlier state; ``safe``: it is synced."""
        number = self._add("roll back", self.states[base])
        self._unuse(self.used[base])
        self.undone.append((base, number))
        self.committed = number
        if safe:
            self.synced = number
        there = {each.id for each in self.things}
        for item_id, (at, each) in list(self.closed.items()):
            if at > base:
                del self.closed[item_id]
                if item_id in there and not (each.reader.gone and each.lease_end is None):
                    self.open[item_id] = each
        for item_id in [key for key, each in self.open.items() if each.at > base]:
            del self.open[item_id]
        for item_id, (at, copies) in list(self.left.items()):
            if at > base:
                del self.left[item_id]
                self.leaving[item_id] = copies
        for item_id in [key for key in self.leaving if key not in there]:
            del self.leaving[item_id]

    def _unuse(self, used: int) -> None:
        """Let the ids above one be given out again, as nobody was told of them for certain."""
        self.used[-1] = used
        for item_id in [each for each in self.shown if each > used]:
            del self.shown[item_id]

    def is_undone(self, number: int) -> bool:
        """Tell whether the operation that led to a state was taken back."""
        return any(base < number < after for base, after in self.undone)

    def check_listed(self, listed: list[int], since: int, first: int, most: int) -> None:
        """Check a list of ids that was made from a state on: up to ``most``, from ``first`` on."""
        ids = [{each.id for each in state.things} if state else set() for state in self.states]
        ever: set[int] = set().union(*ids[since:])
        always = set.intersection(*ids[since:])
        last = listed[-1] if len(listed) == most else self.used[-1]
        wanted = {each for each in always if first <= each <= last}
        if listed != sorted(set(listed)) or not wanted <= set(listed) or len(listed) > most:
            raise self.fail(f"{listed} is listed; there was {sorted(wanted)}")
        if not set(listed) <= ever or any(each < first for each in listed):
            raise self.fail(f"{listed} is listed from {first} on; there ever was {sorted(ever)}")

    def check_looked_at(
        self, item_id: int, told: list[tuple[int, bytes]], since: int, now_ms: int
    ) -> None:
        """Check what a look at an item by its id has shown, which began in a certain state."""
        found = [state.find(item_id) if state else None for state in self.states[since:]]
        ever = {(each.flags, each.data) for each in found if each is not None}
        if not ever.issuperset(told) or len(told) > 1:
            raise self.fail(f"item {item_id} is shown as {told}; it was {ever}")
        if not told and all(each is not None and not each.is_dead(now_ms) for each in found):
            raise self.fail(f"item {item_id} is not shown; it is {ever}")

    def tell(self, number: int, *, waits: bool) -> None:
        """Learn that a client is told of the operation that led to a state."""
        if self.is_undone(number):
            raise self.fail("a client is told of an operation that was taken back")
        if number > self.committed:
            raise self.fail("a client is told of an operation before it is written")
        if waits and number > self.synced:
            raise self.fail("a client is told of an operation before it is synced")
        self.told = max(self.told, number)

    def matching(self, found: Found, floor: int) -> list[int]:
        """Return the states from one on that are the one that a new start has found."""
        matching = [
            floor + index for index, each in enumerate(self.states[floor:]) if each == found
        ]
        if not matching:
            states = "\n    ".join(
                f"{floor + index}: {_brief(state)}"
                for index, state in enumerate(self.states[floor:])
            )
            raise self.fail(
                f"found after a restart: {_brief(found)}; possible was\n    {states}\n"
                f"    (told {self.told}, synced {self.synced}, committed {self.committed},"
                f" undone {self.undone})"
            )
        return matching

    def begin(self, found: Found, used: int) -> None:
        """Go on from a state, as after a restart; clients may know ids up to ``used``."""
        if found is not None and found.next_id <= used:
            raise self.fail(f"{_brief(found)}, but {used} was given out before")
        shown, put_ms = self.shown, self.put_ms
        once = {
            digest: [
                Token(each.item_id, each.put_ms, 0)
                for each in puts
                if found is not None
                and not self.is_undone(each.number)
                and found.first_id <= each.item_id < found.next_id
                and self.settings.journal
            ]
            for digest, puts in self.once.items()
        }
        self.__init__(self.name, self.settings, [found])  # type: ignore[misc]
        self.shown, self.put_ms = shown, put_ms
        self.once = once
        self._unuse(used)


def _brief(state: Found) -> str:
    if state is None:
        return "no queue"
    paused = f" paused {state.paused_ms}" if state.paused_ms else ""
    return f"next {state.next_id}{paused} " + " ".join(
        f"{thing.id}{'^' if thing.front else ''}={thing.data.partition(b':')[0].decode()}"
        f"/{thing.deliveries}{f'@{thing.due_ms}' if thing.due_ms else ''}"
        for thing in state.things
    )
