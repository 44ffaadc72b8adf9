"""The queues of one spool by name, and the rules that they go by.

A queue is made when something is put into it, and is forgotten when its deletion is safe. Nothing
here serves anybody: who waits for items is told by whoever made the directory.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from starling_py.clock import Clock
from starling_py.journal.journal import Journal
from starling_py.journal.spool import SEALED_SIZE, Spool
from starling_py.keys import printable
from starling_py.queues.deadlines import Deadlines
from starling_py.queues.errors import NotNowRefused
from starling_py.queues.fan_out import FanOut
from starling_py.queues.limits import ServerLimits
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.queues.traffic import Mover
from starling_py.queues.window import WindowSizes
from starling_py.settings.queue_settings import QueueSettings
from starling_py.settings.queue_table import QueueTable
from starling_py.settings.routes import Routes

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rules:
    """What the configuration says of the queues; reloading replaces it as a whole."""

    table: QueueTable = field(default_factory=QueueTable)
    routes: Routes = field(default_factory=Routes)
    max_queues: int = 100_000
    """Queues that may exist."""
    memory_max: int | None = None
    """Bytes that all items in memory may take, about; puts are refused beyond that."""
    disk_free_min: int = 0
    """Bytes of the disk that must stay free; puts are refused below that."""


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
        """``items_available`` is called when items can be taken that could not be before."""
        self._spool = spool
        self._make_queue = make_queue
        self.items_available = items_available
        self.clock = clock
        self.sizes = sizes
        self.quarantine = spool.quarantine
        self.deadlines = Deadlines()
        self.moves: Mover
        """Moves items from one queue to another; set before the first queue is made."""
        self.limits = ServerLimits()
        self.fan_out = FanOut(rules.routes)
        self.rules = rules
        self.by_name: dict[bytes, PersistentQueue] = {}
        """All queues, also those that do not exist yet or any more; always the same dictionary."""
        self.careful = False
        """Whether a put to a queue without rules has to be looked at all the same."""

    def recover(self) -> None:
        """Read all queues back from the spool. Raises ``SpoolError``."""
        found = self._spool.recover()
        self.sizes.share(len(found))
        for journal, lost in found:
            queue = self._add(self._make_queue(journal, self.settings_of(journal.queue)))
            for each in lost:
                queue.give_up(each)
            queue.waiting.load()
            log.info("queue %s: %d items recovered", printable(queue.name), len(queue))

    def __iter__(self) -> Iterator[PersistentQueue]:
        return (queue for queue in self.by_name.values() if not queue.deleted)

    def settings_of(self, name: bytes) -> QueueSettings:
        """Return the settings of a queue, whether it exists or not."""
        return self.rules.table.resolve(name)

    def find(self, name: bytes) -> PersistentQueue | None:
        """Return an existing queue."""
        queue = self.by_name.get(name)
        return None if queue is None or queue.deleted else queue

    def find_or_make(self, name: bytes) -> PersistentQueue:
        """Return a queue; a new one does not exist before something is written of it.

        Raises ``NotNowRefused`` when there are too many.
        """
        queue = self.by_name.get(name)
        if queue is None:
            if len(self.by_name) >= self.rules.max_queues:
                raise NotNowRefused(f"there are {len(self.by_name)} queues, and may be no more")
            settings = self.settings_of(name)
            if settings.journal:
                journal = self._spool.journal(name)
            else:
                journal = self._spool.journal_in_memory(name, self.clock.wall_ms)
            queue = self._add(self._make_queue(journal, settings))
        return queue

    def unmake(self, queue: PersistentQueue) -> None:
        """Drop a queue that does not exist, as what it was made for was refused."""
        if not queue.ever_existed:
            self.queue_removed(queue)

    def queue_removed(self, queue: PersistentQueue) -> None:
        """Drop a queue whose deletion is written, or whose creation never was."""
        if self.by_name.get(queue.name) is queue and self._spool.remove(queue.journal):
            del self.by_name[queue.name]
            self.fan_out.went(queue.name)
            self.take_care()
            self.sizes.share(len(self.by_name))

    def remove_deleted(self) -> None:
        """Try again to remove the queues that were deleted, and could not be removed."""
        for queue in [each for each in self.by_name.values() if each.deleted]:
            if not queue.journal.has_pending:
                queue.journal.tell_if_all_safe()

    def go_by(self, rules: Rules) -> None:
        """Go by other rules from now on."""
        self.rules = rules
        self.fan_out.routes = rules.routes
        for queue in list(self.by_name.values()):
            queue.go_by(self.settings_of(queue.name))
        self.take_care()

    def take_care(self) -> None:
        """Find out whether a put to a queue without rules has to be looked at all the same."""
        self.careful = bool(self.fan_out) or self.limits.closed

    def seal(self) -> None:
        """Make the next start quick: the next commit, the last one, begins new segments."""
        for queue in self.by_name.values():
            queue.journal.seal(SEALED_SIZE)

    def close(self) -> None:
        """Close the journals' files and release the spool."""
        for queue in self.by_name.values():
            queue.journal.close()
        self._spool.close()

    def _add(self, queue: PersistentQueue) -> PersistentQueue:
        self.by_name[queue.name] = queue
        self.fan_out.came(queue.name)
        self.take_care()
        self.sizes.share(len(self.by_name))
        return queue
