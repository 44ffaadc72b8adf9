"""The queues of one spool by name, and the rules from the configuration that they follow.

Invariants: a name stands for at most one queue. A queue is kept here before it exists, from the
moment when a put needs it, and after it was deleted, until the deletion is safe: its journal may
still have work to do, and a put in between goes on with that journal. Until its first put is
written, and after its deletion, ``find`` does not return it. The directory serves no clients; it
passes on that a queue has items to take.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from starling_py.clock import Clock
from starling_py.journal import directory_names
from starling_py.journal.errors import JournalError
from starling_py.journal.journal import Journal
from starling_py.journal.spool import SEALED_SIZE, Found, Spool
from starling_py.keys import printable
from starling_py.queues.care import Care
from starling_py.queues.deadlines import Deadlines
from starling_py.queues.errors import NotLoaded, NotNowRefused
from starling_py.queues.fan_out import FanOut
from starling_py.queues.limits import ServerLimits
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.queues.slices import MAKING, Slices, Steps, one_by_one
from starling_py.queues.traffic import Mover
from starling_py.queues.window import WindowSizes
from starling_py.settings.queue_settings import QueueSettings
from starling_py.settings.queue_table import QueueTable
from starling_py.settings.routes import Routes
from starling_py.stats import Histogram

log = logging.getLogger(__name__)

REMEMBERED: Final = 1000
"""Queues that are gone whose names are kept for those who ask what has changed."""
TOLD = 1000
"""Queues up to which the log tells of each that a start has read: of 20,000, the lines alone would
take a fifth of the time."""


@dataclass(frozen=True)
class Rules:
    """What the configuration says of the queues; a reload replaces it as a whole."""

    table: QueueTable = field(default_factory=QueueTable)
    routes: Routes = field(default_factory=Routes)
    max_queues: int = 100_000
    """Queues that may exist."""
    max_children: int = 1000
    """Children that one queue may have; more that exist already stay."""
    memory_max: int | None = None
    """Bytes that all items in memory may take, about, before puts are refused; ``None``: any."""
    disk_free_min: int = 0
    """Bytes of the disk that must stay free, or puts are refused."""


class QueueDirectory:
    """Every queue of one spool."""

    def __init__(
        self,
        spool: Spool,
        clock: Clock,
        sizes: WindowSizes,
        rules: Rules,
        make_queue: Callable[[Journal, QueueSettings], PersistentQueue],
        items_available: Callable[[PersistentQueue], None],
    ) -> None:
        """``make_queue`` makes a queue on its journal; the simulation makes queues of its own.

        ``items_available`` is called when a queue has items to take again.
        """
        self._spool = spool
        self._make_queue = make_queue
        self.items_available = items_available
        self.clock = clock
        self.sizes = sizes
        self.quarantine = spool.quarantine
        self.guard = spool.commits.guard
        """Is told of errors that must not end what is done for other queues."""
        self.deadlines = Deadlines(self.guard)
        self.slices = Slices(clock, spool.commits)
        """Divides work that concerns many queues or items among turns."""
        self.deliveries: deque[object] = deque()
        """The puts to many queues that are under way, in their order."""
        self.moves: Mover
        """Moves items from one queue to another; set before the first queue is made."""
        self.limits = ServerLimits()
        self.waits = Histogram()
        """How long items have waited when they were handed out, in milliseconds, of all queues."""
        self.fan_out = FanOut(rules.routes)
        self.rules = rules
        self.by_name: dict[bytes, PersistentQueue] = {}
        """All queues, also those that do not exist yet or any more; always the same dictionary."""
        self.changed: dict[bytes, None] = {}
        """Names of queues that may have changed since ``share_changed``."""
        self.untold: dict[bytes, None] = {}
        """Names of those that may have since somebody was told of it."""
        self.care = Care(clock, self.guard)
        """Which are to be looked after."""
        self.went: deque[bytes] = deque(maxlen=REMEMBERED)
        """Names of those that went last; they may have come again."""
        self.gone = 0
        """How many have gone."""
        self.careful = False
        """Whether every put must go through ``delivery``: it has copies, or may be refused."""

    def recover(self) -> None:
        """Read all queues back from the spool. Raises ``SpoolError``."""
        found = self._spool.recover()
        self.sizes.share(len(found))
        each_told = len(found) <= TOLD
        for each in found:
            self._add_found(each, tell=each_told)
        if not each_told:
            items = sum(each.items for each in self.by_name.values())
            log.info("%d queues: %d items recovered", len(found), items)

    def recover_refused(self) -> None:
        """Try again to read back the queues that are refused."""
        for entry in list(self._spool.refused):
            found = self._spool.recover_refused(entry)
            name = directory_names.queue_name(entry) if found is None else found[0].queue
            if name is not None and (queue := self.by_name.pop(name, None)) is not None:
                self._went(queue)
            if found is not None:
                self._add_found(found)

    def __iter__(self) -> Iterator[PersistentQueue]:
        return (queue for queue in self.by_name.values() if not queue.deleted)

    @property
    def refused(self) -> int:
        """How many queues are refused, as they could not be read back."""
        return len(self._spool.refused)

    def settings_of(self, name: bytes) -> QueueSettings:
        """Return the settings of a queue, whether it exists or not."""
        return self.rules.table.resolve(name)

    def find(self, name: bytes) -> PersistentQueue | None:
        """Return the queue of this name, or ``None`` when it does not exist."""
        queue = self.known(name)
        return None if queue is None or queue.deleted else queue

    def known(self, name: bytes) -> PersistentQueue | None:
        """Return the queue of this name though it may not exist yet or any more, or ``None``."""
        queue = self.by_name.get(name)
        if queue is None and self._spool.refused:
            # One whose directory does not tell its name becomes known when a client names it.
            journal = self._spool.refused_journal(name)
            if journal is not None:
                return self._add(self._make_queue(journal, self.settings_of(name)))
        return queue

    def find_or_make(self, name: bytes) -> PersistentQueue:
        """Return the queue of this name; make it if need be.

        A new one does not exist before its first put, and ``unmake`` takes it back until then.
        Raises ``NotNowRefused`` when there are as many as there may be.
        """
        queue = self.known(name)
        if queue is None:
            if len(self.by_name) >= self.rules.max_queues:
                raise NotNowRefused(f"there are {len(self.by_name)} queues, and may be no more")
            if (children := self.fan_out.brothers(name)) >= self.rules.max_children:
                raise NotNowRefused(f"the queue has {children} children, and may have no more")
            self.slices.charge(MAKING)
            settings = self.settings_of(name)
            if settings.journal:
                journal = self._spool.journal(name)
            else:
                journal = self._spool.journal_in_memory(name, self.clock.wall_ms)
            queue = self._add(self._make_queue(journal, settings))
        return queue

    def unmake(self, queue: PersistentQueue) -> None:
        """Drop a queue that was made for a put which was refused, unless it existed before."""
        if not queue.ever_existed:
            self.queue_removed(queue)

    def queue_removed(self, queue: PersistentQueue) -> None:
        """Drop a queue whose deletion is safe, or that was never created.

        If its files cannot be removed now, it stays, and ``remove_deleted`` tries again.
        """
        if self.by_name.get(queue.name) is queue and self._spool.remove(queue.journal):
            del self.by_name[queue.name]
            self._went(queue)

    def go_by(self, rules: Rules) -> Steps:
        """Follow other rules from now on, one queue after the other."""
        self.rules = rules
        self.fan_out.routes = rules.routes
        self.take_care()
        for queue in one_by_one(self.by_name.values()):
            queue.go_by(self.settings_of(queue.name))
            yield None

    def take_snapshot(self, name: str) -> NotLoaded:
        """Begin a snapshot of all that is committed; return the signal that tells when it is made.

        Queues in memory are not in it. Raises ``JournalError``.
        """
        outcome: list[JournalError | None] = []
        waiting: list[Callable[[JournalError | None], None]] = []

        def done(problem: JournalError | None) -> None:
            outcome.append(problem)
            for each in waiting:
                each(problem)

        def when_done(call: Callable[[JournalError | None], None]) -> None:
            if outcome:
                call(outcome[0])
            else:
                waiting.append(call)

        journals = (queue.journal for queue in self.by_name.values())
        self._spool.take_snapshot(name, journals, done)
        return NotLoaded(when_done)

    def has_snapshot(self, name: str) -> bool:
        """Tell whether there is a snapshot of this name. Raises ``JournalError``."""
        try:
            return self._spool.snapshots.exists(name)
        except OSError as error:
            raise JournalError(f"snapshots cannot be looked at: {error.strerror}") from error

    def take_care(self) -> None:
        """Work out ``careful`` again: copies or the limits of the server have changed."""
        self.careful = bool(self.fan_out) or self.limits.closed

    def share_changed(self) -> None:
        """Pass on which queues may have changed to both who want to know."""
        self.untold.update(self.changed)
        self.care.soon.update(self.changed)
        self.changed.clear()

    def seal(self) -> None:
        """Make the next start quick: let the commit that follows, the last, begin new segments."""
        for queue in self.by_name.values():
            queue.journal.seal(SEALED_SIZE)

    def close(self) -> None:
        """Close the journals' files and release the spool."""
        for queue in self.by_name.values():
            queue.journal.close()
        self._spool.close()

    def _add(self, queue: PersistentQueue) -> PersistentQueue:
        self.by_name[queue.name] = queue
        self.care.soon[queue.name] = None
        self.fan_out.came(queue.name)
        self.take_care()
        self.sizes.share(len(self.by_name))
        return queue

    def _add_found(self, found: Found, *, tell: bool = True) -> None:
        journal, lost = found
        queue = self._add(self._make_queue(journal, self.settings_of(journal.queue)))
        for each in lost:
            queue.give_up(each)
        queue.waiting.load()
        if tell and not journal.refused:
            log.info("queue %s: %d items recovered", printable(queue.name), len(queue))

    def _went(self, queue: PersistentQueue) -> None:
        queue.let_go()
        self.changed.pop(queue.name, None)
        self.untold.pop(queue.name, None)
        self.care.went(queue.name)
        self.went.append(queue.name)
        self.gone += 1
        self.fan_out.went(queue.name)
        self.take_care()
        self.sizes.share(len(self.by_name))
