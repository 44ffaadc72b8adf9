"""A monitor that asks again and again what has changed, and must know as much as who asks anew."""

from starling_py.queues import numbers
from starling_py.queues.changes import Changes, Found
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.queues.queue_collection import QueueCollection
from starling_py.stats import WATCHED

TIMES = ("logsize", "age", "last_put", "last_get")
"""What changes by itself, and is not told again for that."""


class Watcher:
    """Somebody who asks what has changed, and remembers what it was told."""

    def __init__(self, changes: Changes) -> None:
        self.changes = changes
        self.token = b""
        self.known: dict[bytes, tuple[int, ...]] = {}
        self.found = Found()

    def look(self, most: int = 1000) -> Found:
        """Ask once, and take over what is told."""
        self.found = Found()
        for _ in self.changes.look(self.token, most, self.found):
            pass
        if self.found.anew:
            self.known.clear()
        for name in self.found.names:
            told = self.changes.numbers(name)
            if told is None:
                self.known.pop(name, None)
            else:
                self.known[name] = told
        self.token = self.found.token
        return self.found

    def differs(self, queues: QueueCollection) -> str:
        """Ask until nothing is left; return where that differs from the queues, if it does.

        What is not committed yet is told when it is.
        """
        while self.look(3).left:
            pass
        now = queues.clock.wall_ms
        expected = {
            queue.name: numbers.watched(queue, now, queues.waiters.count(queue.name))
            for queue in queues.directory
        }
        pending = {queue.name for queue in queues.directory.by_name.values() if _pends(queue)}
        if self.known.keys() - pending != expected.keys() - pending:
            return f"known are {sorted(self.known)}, there are {sorted(expected)}"
        for name in expected.keys() - pending:
            for what, knows, has in zip(WATCHED, self.known[name], expected[name], strict=True):
                if what not in TIMES and knows != has:
                    return f"{name!r}: {what} is {has}, and was told as {knows}"
        if pending:
            return ""
        sums = (len(expected), *(sum(each[at] for each in expected.values()) for at in (0, 1)))
        counted = (self.found.queues, self.found.items, self.found.size)
        return "" if counted == sums else f"queues, items, bytes: {counted} instead of {sums}"


def _pends(queue: PersistentQueue) -> bool:
    return queue.journal.has_pending
