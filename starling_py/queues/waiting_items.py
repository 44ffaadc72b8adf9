"""The items of one queue that wait, in order: the window, those set aside, those only on disk.

Most items pass through the window: they are put at its end, or read back when their turn comes.
Reading stalls nobody: an operation that needs an item from disk raises ``NotLoaded``, and is tried
again when the item is there. Invariant: a live item that is neither here nor elsewhere in memory
(open, being moved) is read from the journal sooner or later, and only once. Where the ledger and
what was read contradict each other, no more items are given out.
"""

import heapq
import itertools
import logging
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from starling_py.clock import Clock
from starling_py.journal.blocks import OVERHEAD, Position, Reading
from starling_py.journal.errors import JournalDamagedError, JournalError
from starling_py.journal.format.record import Item, MarkedItem
from starling_py.journal.format.segment import Segment
from starling_py.journal.journal import Journal
from starling_py.queues.deadlines import Deadlines
from starling_py.queues.errors import NotLoaded
from starling_py.queues.set_aside import SetAside, place
from starling_py.queues.slices import Slices
from starling_py.queues.window import Window, WindowSizes

log = logging.getLogger(__name__)

_NOTHING: Final = -1
"""The epoch of a reading that nobody needs: no window ever has it."""
_LOOKED_AT: Final = 2000
"""Items from the head on that a peek sees, twice as many as it may ask for."""
_LONGEST_DELAY_MS: Final = 2_592_000_000
"""The longest delay, 30 days: a wall clock that was set back must not hold an item for years."""


class ItemsKeeper(Protocol):
    """What the items of a queue need of the directory that it is in."""

    sizes: WindowSizes
    quarantine: bool
    """Whether damaged segments are given up, so that the rest of the queue can be served."""
    deadlines: Deadlines
    clock: Clock
    slices: Slices


class ItemsOwner(Protocol):
    """The queue whose items wait."""

    items: int
    bytes: int
    next_id: int

    @property
    def elsewhere(self) -> int:
        """How many live items are in memory but do not wait: they are open, or being moved."""

    def is_elsewhere(self, item_id: int) -> bool:
        """Tell whether a live item is open, or being moved."""

    def give_up(self, damaged: Segment) -> None:
        """Remove the items of a segment that cannot be read. Raises ``JournalError``."""

    def exhausts(self, item: Item) -> bool:
        """Move an item away if it was handed out too often; return whether it was."""

    def available(self) -> None:
        """Serve the clients that wait for an item: some can be taken again."""

    def note_change(self) -> None:
        """Note that the queue's numbers are others: it cannot be read on, or was."""


class _Gone:
    """What stands for the queue when it is gone: it has no items, and serves nobody."""

    items = 0
    bytes = 0
    next_id = 0
    elsewhere = 0

    def is_elsewhere(self, item_id: int) -> bool:
        return False

    def give_up(self, damaged: Segment) -> None:
        pass

    def exhausts(self, item: Item) -> bool:
        return False

    def available(self) -> None:
        pass

    def note_change(self) -> None:
        pass


class WaitingItems:
    """The items of one queue that wait."""

    def __init__(self, owner: ItemsOwner, journal: Journal, keeper: ItemsKeeper) -> None:
        """Begin with what the journal's ledger says; none of it is in memory yet."""
        self._owner = owner
        self._journal = journal
        self._keeper = keeper
        self._sizes = keeper.sizes
        self._reading = False
        self._epoch = 0
        self._when_loaded: list[Callable[[JournalError | None], None]] = []
        self.window = Window()
        """The head of the queue, or all of it, in memory."""
        self.set_aside = SetAside(keeper.deadlines, owner.available)
        """Items in memory beside the window."""
        self.missing: dict[int, None] = {}
        """Ids of items put in front that must be read from disk first; always the same dictionary:
        an empty one takes a third of what an empty set does."""
        self.unreadable = ""
        """Why the rest of the queue cannot be read; empty while it can."""
        self.reread()

    def let_go(self) -> None:
        """Refer to the queue no more: it is gone, and no item waits."""
        self._owner = _Gone()
        self.set_aside.let_go()
        self._have_asked_again()  # the queue that has its name by then, if there is one

    @property
    def waiting(self) -> int:
        """How many items wait, in memory and on disk; delayed ones do not."""
        return self._owner.items - self._owner.elsewhere - self.set_aside.delayed

    @property
    def on_disk(self) -> int:
        """How many of the items that wait are only on disk."""
        return self.waiting - len(self.window.items) - len(self.set_aside.ready)

    @property
    def loaded(self) -> int:
        """How many items are in memory, waiting or delayed."""
        return len(self.window.items) + len(self.set_aside)

    def oldest(self) -> Item | None:
        """Return the item in memory that has waited longest; ``None`` if none can be taken.

        Others may be in front of it.
        """
        oldest, items = self.set_aside.oldest(), self.window.items
        if items and (oldest is None or items[0].id < oldest.id):
            return items[0]
        return oldest

    def oldest_to_come(self) -> NotLoaded | None:
        """Return the signal if the oldest item is on disk, and is read from there soon."""
        if self.unreadable or self._journal.refused:
            return None
        window = self.window
        on_disk = window.behind and not window.items and self.on_disk > 0
        if on_disk:
            oldest = self.set_aside.oldest()
            on_disk = oldest is None or oldest.id > window.last_id
        return NotLoaded(self.when_loaded) if on_disk or self.missing else None

    def look(self, count: int, now_ms: int, after: int | None = None) -> list[Item]:
        """Return up to ``count`` live items from the head that can be taken and are in memory.

        ``after`` is a place, as ``place`` returns it: only those behind it. It looks only so far
        into the queue, however many items there are dead. There are none while one is missing that
        was put in front of them.
        """
        if self.missing:
            return []
        window = self.window
        # Between the end of the window and a later item that came back, there are others on disk.
        ready = (
            item
            for at, item in self.set_aside.in_order()
            if at <= window.last_id or not window.behind
        )
        both = itertools.islice(heapq.merge(ready, window.items, key=place), _LOOKED_AT)
        live = (
            item
            for item in both
            if (not item.expiry_ms or item.expiry_ms > now_ms)
            and (after is None or place(item) > after)
        )
        return list(itertools.islice(live, count))

    def first(self) -> Item | None:
        """Return the first item that can be taken; ``None`` if there is none.

        Raises ``NotLoaded`` when it must be read from disk first, and ``JournalError`` when it
        cannot be read.
        """
        if self.missing:
            self.load()
            raise NotLoaded(self.when_loaded)
        ready, window = self.set_aside.ready, self.window
        if ready:
            at = ready[0][0]
            if window.items:
                return ready[0][1] if at < window.items[0].id else window.items[0]
            if at <= window.last_id or not window.behind:
                return ready[0][1]
        if window.items:
            return window.items[0]
        if self.on_disk > 0:
            if window.behind and not self.unreadable:
                self.load()
                raise NotLoaded(self.when_loaded)
            if not self.unreadable:
                self._cannot_find_all()
            raise JournalError(self.unreadable)
        if self._journal.refused:
            raise JournalError(self._journal.refused)
        return ready[0][1] if ready else None

    def take(self, item: Item) -> None:
        """Take out the item that ``first`` returned."""
        window = self.window
        ready = self.set_aside.ready
        if ready and ready[0][1] is item:
            self.set_aside.pop()
            return
        window.items.popleft()
        if window.behind:
            window.bytes -= len(item.data)
            if len(window.items) < window.low:
                self.load()

    def take_out(self, item_id: int) -> None:
        """Take out a waiting or delayed item that was removed, wherever it stands.

        What is only on disk is passed over when its turn comes.
        """
        self.missing.pop(item_id, None)
        if not self.set_aside.remove(item_id) and self.window.remove(item_id):
            self.top_up()

    def due_ms(self, item: Item) -> int:
        """Return when an item may be handed out, in ms since the Unix epoch; 0 for at once."""
        facts = self._journal.ledger.facts.get(item.id)
        known = self.set_aside.due_ms(item.id) or (0 if facts is None else facts.due_ms)
        return known or (item.due_ms if type(item) is MarkedItem else 0)

    def append(self, item: Item) -> None:
        """Add an item that was put at the end and is already counted.

        The window takes it only while it holds the whole queue and has room.
        """
        window = self.window
        if window.behind:
            return
        owner = self._owner
        size = owner.bytes + OVERHEAD * owner.items
        if size > self._sizes.limit and window.items and not self._journal.in_memory:
            window.fall_behind(item.id - 1, self._journal.end)
        else:
            window.items.append(item)

    def insert(self, item: Item) -> None:
        """Add an item that came back, or was put in front."""
        self.set_aside.add(item)

    def delay(self, item: Item, due_ms: int) -> None:
        """Add an item that can be taken from ``due_ms`` on, in ms since the Unix epoch.

        It can be taken when that moment has come by the wall clock, or when as much time is over as
        is left until then by now, whichever is first.
        """
        clock = self._keeper.clock
        left_ms = min(due_ms - clock.wall_ms, _LONGEST_DELAY_MS)
        if type(item) is MarkedItem and item.due_ms == due_ms:
            # If more is left than it was put for, the clock has been set back since.
            left_ms = min(left_ms, due_ms - item.added_ms)
        self.set_aside.delay(item, clock.monotonic + left_ms / 1000, due_ms)

    def append_delayed(self, item: MarkedItem) -> None:
        """Add a delayed item that was put at the end; a queue that is behind reads it back."""
        if not self.window.behind:
            self.delay(item, item.due_ms)

    def clear(self) -> None:
        """Forget every item that waits, as after a flush."""
        self._epoch += 1
        slices = self._keeper.slices
        slices.free(self.window.clear())
        ready, delayed = self.set_aside.clear()
        slices.free(ready)
        slices.free(delayed)
        self.missing.clear()
        self._tell_if_all_is_here()

    def reread(self) -> None:
        """Begin again from the ledger: forget items that are not live, read the window anew."""
        ledger = self._journal.ledger
        self._epoch += 1
        self.unreadable = ""
        self._keeper.slices.free(self.window.clear())
        if len(self.set_aside):
            self.set_aside.retain(ledger.is_live)
        known = self.set_aside.ids() if ledger.facts else ()
        self.missing.clear()
        for item_id, facts in ledger.facts.items():
            if facts.front and item_id not in known and not self._owner.is_elsewhere(item_id):
                self.missing[item_id] = None
        if ledger.items:
            self.window.reread(ledger.head - 1)
        self._tell_if_all_is_here()

    def load(self) -> None:
        """Begin to read on, unless a reading is under way or there is nothing to read."""
        if not self._reading and not self.unreadable and (self.window.behind or self.missing):
            self._reading = True
            if self.missing:
                self._fetch(max(self.missing), None)
            else:
                self._journal.read(self._where, self._read)

    def top_up(self) -> None:
        """Read on if the window has become small."""
        window = self.window
        if (window.behind and len(window.items) < window.low) or self.missing:
            self.load()

    def when_loaded(self, ask_again: Callable[[JournalError | None], None]) -> None:
        """Call ``ask_again`` once there is more in memory, or nothing more to be read.

        It gets the reason if nothing could be read, which may succeed another time; else ``None``.
        """
        self._when_loaded.append(ask_again)
        self.load()
        self._tell_if_all_is_here()

    def cut_window(self) -> None:
        """Drop the end of the window if it takes over twice its share; it is read back later."""
        window = self.window
        owner = self._owner
        size = window.size if window.behind else owner.bytes + OVERHEAD * owner.items
        too_large = size > 2 * self._sizes.limit and not self._journal.in_memory
        if len(window.items) > 1 and too_large:
            self._epoch += 1
            window.cut(self._sizes.limit)

    def on_compacted(self, segments: Sequence[Segment]) -> None:
        """Forget where to read on if that is in one of the segments that were replaced."""
        position = self.window.position
        if position is not None and position[0] in {each.number for each in segments}:
            self.window.position = None

    def _where(self) -> tuple[int, Position | None, int, int]:
        """Return the epoch, and where, behind which id and how many bytes to read.

        The journal asks when the reading begins: it may have had to wait for other work.
        """
        window, owner = self.window, self._owner
        room = window.room(self._sizes.limit, owner.bytes // max(owner.items, 1))
        # The queue may have been emptied since the reading was asked for.
        epoch = self._epoch if window.behind else _NOTHING
        return epoch, window.position, window.last_id, room

    def _read(self, epoch: int, reading: Reading) -> None:
        """Take the items that were read, unless the window was cut while that went on.

        ``epoch`` is the window's when the reading began; whatever moves or drops the end of the
        window (a flush, a commit that failed, too little memory) begins another epoch. What was
        read for an older one follows an end that is not there any more: to take it would leave a
        gap, or bring back what was removed. It is dropped, and read once more.
        """
        self._reading = False
        problem = None
        if epoch == self._epoch:
            if reading.error is not None:
                problem = self._not_read(reading, reading.error)
            else:
                self._take(reading)
        has_room = self.window.size < self._sizes.limit * 3 // 4
        # What was put but is not written yet cannot be read before its commit.
        written_more = not reading.at_end or reading.position != self._journal.end
        wanted = self.missing or epoch != self._epoch or (has_room and written_more)
        if wanted and problem is None:
            self.load()
        self._tell(problem)

    def _tell(self, problem: JournalError | None) -> None:
        """Call those who asked for it, if there is an item to go on with or none can be read."""
        self._owner.note_change()  # more delayed items may be known
        done = not self.missing and (
            self.window.items or not self.window.behind or not self.waiting
        )
        if done or problem is not None or self.unreadable:
            self._have_asked_again(problem)
            self._owner.available()

    def _tell_if_all_is_here(self) -> None:
        """Call those who asked for it, if nothing is read and nothing will be: no reading tells."""
        if not (self._reading or self.window.behind or self.missing):
            self._have_asked_again()

    def _have_asked_again(self, problem: JournalError | None = None) -> None:
        asking, self._when_loaded = self._when_loaded, []
        for ask_again in asking:
            ask_again(problem)

    def _fetch(self, item_id: int, position: Position | None) -> None:
        """Begin to read one item that was put in front of all others.

        ``position`` is where to read on; ``None`` if that must be looked for.
        """
        epoch = self._epoch
        self._journal.read(
            lambda: (epoch, position, item_id - 1, 1),
            lambda _, reading: self._fetched(epoch, item_id, reading),
        )

    def _fetched(self, epoch: int, item_id: int, reading: Reading) -> None:
        self._reading = False
        problem = None
        if epoch == self._epoch and item_id in self.missing:
            if reading.error is not None:
                problem = self._not_read(reading, reading.error)
                if not self._journal.ledger.is_live(item_id):
                    self.missing.pop(item_id, None)
            elif reading.items and reading.items[0].id == item_id:
                self.missing.pop(item_id, None)
                if self._journal.ledger.is_live(item_id):
                    self._put_aside(reading.items[0])
            elif reading.at_end or reading.items:
                self._cannot_read(f"{self._journal.path}: item {item_id} cannot be found")
            else:
                self._reading = True
                self._fetch(item_id, reading.position)
                return
        if problem is None:
            self.load()
        self._tell(problem)

    def _take(self, reading: Reading) -> None:
        window = self.window
        items = reading.items
        window.add(self._sorted_out(reading))
        if items:
            window.last_id = items[-1].id
        window.position = reading.position
        if not self.on_disk:
            window.behind = False  # all that waits is in memory, even if more was written
            return
        written = self._owner.next_id == self._journal.next_id
        if reading.at_end and written and reading.position == self._journal.end:
            window.behind = False
            self._cannot_find_all()

    def _sorted_out(self, reading: Reading) -> list[Item]:
        """Return the items for the window; set aside those that do not belong there."""
        ledger = self._journal.ledger
        items = reading.items
        # Mostly there is nothing to sort out but what was removed, which is quick.
        leaving = self._owner.elsewhere or self._journal.recorder.pending.removed
        if not (reading.marked or ledger.facts or self.set_aside or leaving):
            if ledger.removed_ids or (items and not ledger.is_live(items[0].id)):
                return [item for item in items if ledger.is_live(item.id)]
            return items
        known = self.set_aside.ids()
        known.update(item.id for item in self._journal.recorder.pending.removed)
        return [
            item
            for item in items
            if ledger.is_live(item.id)
            and item.id not in known
            and not self._owner.is_elsewhere(item.id)
            and not self._put_aside(item)
        ]

    def _put_aside(self, item: Item) -> bool:
        """Put an item that was read where it belongs; return whether that is not the window."""
        facts = self._journal.ledger.facts.get(item.id)
        due_ms = 0
        if isinstance(item, MarkedItem):
            due_ms = item.due_ms
        elif facts is None:
            return False
        if facts is not None and facts.due_ms:
            due_ms = facts.due_ms
        if self._owner.exhausts(item):
            pass  # moved away, even if it was delayed: it must not be handed out once more
        elif due_ms > self._keeper.clock.wall_ms:
            self.delay(item, due_ms)
        elif place(item) < 0:
            self.insert(item)
        else:
            return False
        self.missing.pop(item.id, None)
        return True

    def _not_read(
        self, reading: Reading, error: OSError | JournalDamagedError
    ) -> JournalError | None:
        """Give up what cannot be read, or return why those who wait get nothing.

        ``None`` means that reading may go on.
        """
        number = reading.position[0]
        ledger = self._journal.ledger
        damaged = ledger.segment(number)
        asked = next((each for each in reading.segments if each.number == number), None)
        if damaged is None or asked is None or damaged.path != asked.path:
            self.window.position = None  # it is not there any more, or has another name
            return None
        # Damage and a missing file stay; what else the system reports may pass.
        lasts = isinstance(error, JournalDamagedError | FileNotFoundError)
        if lasts and self._keeper.quarantine and damaged is not ledger.segments[-1]:
            log.critical("%s", error)
            try:
                self._owner.give_up(damaged)
            except JournalError as problem:
                return problem
            return None
        if lasts:
            self._cannot_read(str(error))
        else:
            log.error("%s: cannot be read for now: %s", self._journal.path, error)
        return JournalError(f"the queue cannot be read on: {error}")

    def _cannot_find_all(self) -> None:
        self._cannot_read(f"{self._journal.path}: {self.on_disk} items cannot be found")

    def _cannot_read(self, why: str) -> None:
        self.unreadable = f"the queue cannot be read on: {why}"
        self._owner.note_change()
        log.critical("%s; what is behind that is not served", why)
