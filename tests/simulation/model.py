"""What each queue may hold, given what was done to it and what clients were told of that.

A queue's history is the list of the states it went through, one more for every record of its
journal. A crash may leave any of them from a certain one on: the last one that anybody was told
of, or the last one that a completed sync covers. That single rule says that nothing told is lost
(I1), that nothing is invented (I2), that the order is kept (I3), that an item comes twice only
where its outcome was unknown (I4), and that a crash cuts a queue's operations off at one point
(I6). The counters are part of a state (I5).
"""

import attrs


class Violation(AssertionError):
    """Something was seen that must never be."""


@attrs.frozen
class Thing:
    """An item as the model has it."""

    id: int
    data: bytes
    flags: int
    dies_ms: int


@attrs.frozen
class State:
    """A queue at one moment."""

    next_id: int
    things: tuple[Thing, ...]

    @property
    def bytes(self) -> int:
        """Bytes of all items' data."""
        return sum(len(thing.data) for thing in self.things)


Found = State | None
"""A queue's state; ``None`` when there is no such queue."""


@attrs.define
class QueueModel:
    """One queue's history since the server was started."""

    name: bytes
    states: list[Found] = attrs.field(factory=lambda: [None])
    committed: int = 0
    """The last state that is written."""
    synced: int = 0
    """The last state that a completed sync covers."""
    told: int = 0
    """The last state that any client was told of."""
    put_at: dict[bytes, int] = attrs.field(factory=dict)
    """Which state a put led to, by the item's data."""
    removed_at: dict[bytes, int] = attrs.field(factory=dict)
    """Which state a removal led to, by the item's data."""
    undone: list[tuple[int, int]] = attrs.field(factory=list)
    """The states that were taken back: the last one before them, and the first one after them."""
    after_delete: dict[int, int] = attrs.field(factory=dict)
    """The next id in the states without a queue, unless the journal has gone as well."""

    @property
    def now(self) -> Found:
        """The state that the server's memory must have."""
        return self.states[-1]

    @property
    def last(self) -> int:
        """The number of the present state."""
        return len(self.states) - 1

    def fail(self, why: str) -> Violation:
        """Return a violation that names the queue."""
        return Violation(f"queue {self.name!r}: {why}")

    def put(self, thing: Thing) -> None:
        """Take notice that an item was put at the end."""
        now = self.now
        if now is None:
            if thing.id not in (1, self.after_delete.get(self.last)):
                raise self.fail(f"the first item of a new queue has the id {thing.id}")
            now = State(thing.id, ())
        if thing.id != now.next_id:
            raise self.fail(f"an item has the id {thing.id} instead of {now.next_id}")
        self.states.append(State(thing.id + 1, (*now.things, thing)))
        self.put_at[thing.data] = self.last

    def head(self) -> Thing | None:
        """Return the oldest item."""
        return self.now.things[0] if self.now is not None and self.now.things else None

    def removed(self, item_id: int, data: bytes, flags: int) -> Thing:
        """Take notice that an item was removed: it must be the oldest one, as it was put."""
        now = self.now
        if now is None or not now.things:
            raise self.fail(f"{data!r} comes out of an empty queue")
        head = now.things[0]
        if (head.id, head.data, head.flags) != (item_id, data, flags):
            raise self.fail(f"item {item_id} ({data!r}) comes out instead of {head}")
        self.states.append(State(now.next_id, now.things[1:]))
        self.removed_at[data] = self.last
        return head

    def emptied(self, *, deleted: bool) -> None:
        """Take notice that the queue was flushed or deleted."""
        if self.now is None:
            raise self.fail("a queue that is not there was emptied")
        if deleted:
            next_id = self.now.next_id
            self.states.append(None)
            self.after_delete[self.last] = next_id
        else:
            self.states.append(State(self.now.next_id, ()))

    def was_committed(self) -> None:
        """Take notice that everything up to now is written."""
        self.committed = self.last

    def was_rolled_back(self, base: int, *, safe: bool) -> None:
        """Go back to an earlier state; ``safe``: it is synced."""
        self.states.append(self.states[base])
        if base in self.after_delete:
            self.after_delete[self.last] = self.after_delete[base]
        self.undone.append((base, self.last))
        self.committed = self.last
        if safe:
            self.synced = self.last

    def tell(self, number: int, *, waits: bool) -> None:
        """Take notice that a client is told of the operation that led to a state."""
        if any(base < number < after for base, after in self.undone):
            raise self.fail("a client is told of an operation that was taken back")
        if number > self.committed:
            raise self.fail("a client is told of an operation before it is written")
        if waits and number > self.synced:
            raise self.fail("a client is told of an operation before it is synced")
        self.told = max(self.told, number)

    def recovered(self, found: Found, floor: int) -> None:
        """Check what a new start of the server has found, and go on from there."""
        possible = self.states[floor:]
        if found not in possible:
            states = "\n    ".join(
                f"{floor + index}: {_brief(state)}" for index, state in enumerate(possible)
            )
            raise self.fail(
                f"found after a restart: {_brief(found)}; possible was\n    {states}\n"
                f"    (told {self.told}, synced {self.synced}, committed {self.committed},"
                f" undone {self.undone})"
            )
        self.begin(found)

    def begin(self, found: Found) -> None:
        """Go on from a state, as after a restart."""
        self.states = [found]
        self.committed = self.synced = self.told = 0
        self.put_at.clear()
        self.removed_at.clear()
        self.undone.clear()
        self.after_delete.clear()


def _brief(state: Found) -> str:
    if state is None:
        return "no queue"
    return f"next {state.next_id} " + " ".join(
        f"{thing.id}={thing.data.partition(b':')[0].decode()}" for thing in state.things
    )
