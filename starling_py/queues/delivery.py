"""A put with all that may come with it: limits, a delay, a place in front, other queues.

A put goes to all the queues that it concerns or to none: each is asked whether it accepts the
item before the first one gets it. No client may be told that it is stored before the commits of
all of them have succeeded. A plain put to a queue without rules does not come through here; an
item that is moved to another queue does. A put with many copies is spread over several turns.
"""

from dataclasses import dataclass

from starling_py.journal.errors import JournalError
from starling_py.journal.format.origin import MOVED, Origin
from starling_py.journal.format.record import MarkedItem
from starling_py.queues import limits
from starling_py.queues.errors import QueueFullRefused, QueueRefused
from starling_py.queues.expiry import expiry_ms
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.queues.queue_directory import QueueDirectory
from starling_py.queues.slices import LATER, Steps
from starling_py.queues.traffic import Move


@dataclass
class Put:
    """An item to be put."""

    name: bytes
    data: bytes
    flags: int
    exptime: int
    """When it expires: memcached's number, which ``expiry`` reads."""
    due_ms: int = 0
    """When it can be taken, in milliseconds since the Unix epoch; 0 for at once."""
    front: bool = False
    """Whether it goes in front of all others."""
    deliveries: int = 0
    """How often it was handed out in the queue that it comes from."""
    dies_ms: int = 0
    """When it expires, in milliseconds since the Unix epoch, whatever ``exptime`` says; 0 for that.
    """
    origin: Origin | None = None
    """Where it comes from, if it is moved."""
    token: bytes = b""
    """The digest of its token; empty if it has none."""
    seen_id: int = 0
    """Set when the token was seen before: the id of the item that it came with. Nothing is put
    then."""


class Delivery:
    """One put, into its queue and those that get a copy, in steps.

    Between two steps, clients may do anything to these queues: one that is deleted gets no copy,
    and one that fills up gets it all the same, as all were asked before the first one got it.
    Deliveries to many queues go one after the other, so that these have the items in one order.
    """

    def __init__(self, directory: QueueDirectory, what: Put) -> None:
        self.directory = directory
        self.what = what
        self.asked: list[PersistentQueue] = []
        """Those that are to get the item, as soon as that is known."""
        self.lasting = {what.name}
        """Names of those that are made where they do not exist; not so children."""
        self.reached: list[PersistentQueue] = []
        """Those that have the item."""

    def steps(self) -> Steps:
        """Ask all queues, then put the item into each; there may be none.

        Raises ``JournalError``, ``QueueRefused`` and ``NotLoaded``, and then the item is in none of
        them. Only where there are many, and one breaks meanwhile, those in ``reached`` have it.
        """
        directory, slices = self.directory, self.directory.slices
        if 2 * directory.fan_out.count(self.what.name) + 3 <= slices.at_once:
            yield from self._deliver()
            return
        line = directory.deliveries
        line.append(self)
        try:
            if slices.spent:
                yield LATER
            while line[0] is not self:
                yield LATER
            yield from self._deliver()
        finally:
            line.remove(self)

    def concerned(self) -> list[PersistentQueue]:
        """Return the queues that are to get the item, those made that do not exist yet.

        A queue with ``fanout_only`` is none of them. Raises ``QueueRefused``.
        """
        directory = self.directory
        directory.limits.check()
        concerned = self.others()
        if not directory.settings_of(self.what.name).fanout_only:
            concerned.insert(0, directory.find_or_make(self.what.name))
        return concerned

    def others(self) -> list[PersistentQueue]:
        """Return the queues that get a copy of a put to this one, each once.

        Those of the routes are made if need be. Raises ``NotNowRefused``.
        """
        directory, name = self.directory, self.what.name
        fan_out = directory.fan_out
        found = [directory.find(child) for child in fan_out.children(name)]
        for target in fan_out.routes.targets(name):
            # What is routed to a parent goes to its children too.
            if not directory.settings_of(target).fanout_only:
                found.append(directory.find_or_make(target))
                self.lasting.add(target)
            found += [directory.find(child) for child in fan_out.children(target)]
        return list(dict.fromkeys(each for each in found if each is not None))

    def admit(self, queue: PersistentQueue, size: int) -> bool:
        """Tell whether a queue must make room for an item of some bytes.

        Raises ``QueueRefused`` if it does not accept it.
        """
        return limits.check(queue, size)

    def _deliver(self) -> Steps:
        directory = self.directory
        concerned = self.asked = self.concerned()
        yield from self._ask(concerned)
        if self.what.token and self._is_seen():
            return
        for queue in concerned:
            if queue.deleted or directory.by_name.get(queue.name) is not queue:
                if queue.name not in self.lasting:
                    continue
                queue = directory.find_or_make(queue.name)
            put_into(queue, self.what)
            self.reached.append(queue)
            yield None

    def _is_seen(self) -> bool:
        """Tell whether the token was seen, perhaps while others were asked."""
        queue, what = self.directory.find(self.what.name), self.what
        if queue is not None:
            what.seen_id = queue.once.seen(what.token, queue.now_ms, queue.settings)
        return what.seen_id > 0

    def _ask(self, concerned: list[PersistentQueue]) -> Steps:
        """Ask each queue whether it accepts the item, and have it make room."""
        size = len(self.what.data)
        try:
            crowded = []
            for queue in concerned:
                if self.admit(queue, size):
                    crowded.append(queue)
                queue.journal.recorder.check()
                if len(concerned) > 1:
                    yield None
            for queue in crowded:
                yield from make_room(queue, size)
        except (JournalError, QueueRefused):
            for queue in concerned:
                self.directory.unmake(queue)
            raise


class MoveDelivery(Delivery):
    """A put of an item that leaves another queue.

    Two things differ. If its source itself would get a copy, nobody gets one, or the item would go
    round for ever. And if nobody else gets the item, the target keeps it even with
    ``fanout_only``, or it would be lost.
    """

    def __init__(self, directory: QueueDirectory, move: Move) -> None:
        super().__init__(directory, _put_of(move))
        self._source = move.source
        self._missing = move.missing
        """Names of the queues that still have to get it; none for all of them."""
        self._by_hand = move.reason == MOVED

    def missed(self) -> frozenset[bytes]:
        """Return the names of the queues that were to get it and have not."""
        if not self.asked:
            return self._missing
        names = frozenset([queue.name for queue in self.asked])
        return names - frozenset([queue.name for queue in self.reached])

    def concerned(self) -> list[PersistentQueue]:
        """Return the queues that are to get the item. Raises ``QueueRefused``."""
        directory, name = self.directory, self.what.name
        concerned = self.others()
        if self._source in concerned:
            concerned.clear()
        if not concerned or not directory.settings_of(name).fanout_only:
            concerned.insert(0, directory.find_or_make(name))
        if self._missing:
            concerned = [queue for queue in concerned if queue.name in self._missing]
        return concerned

    def admit(self, queue: PersistentQueue, size: int) -> bool:
        """Tell whether a queue must make room; raise ``QueueRefused`` if it cannot now.

        What somebody moves has to obey all limits; it stays where it is if it does not.
        """
        return limits.check(queue, size) if self._by_hand else limits.check_moved(queue, size)


def _put_of(move: Move) -> Put:
    """Return the put of a moved item. One that is moved by hand keeps its time of death."""
    item, source = move.item, move.source
    before = item.origin if type(item) is MarkedItem else None
    first, put_ms = source.name, item.added_ms
    if before is not None:
        first, put_ms = before.first, before.put_ms
    return Put(
        move.target,
        item.data,
        item.flags,
        0,
        deliveries=move.deliveries,
        dies_ms=item.expiry_ms if move.reason == MOVED else 0,
        origin=Origin(first, put_ms, source.name, move.began_ms, move.reason),
    )


def put_into(queue: PersistentQueue, what: Put) -> None:
    """Put an item into one queue, whose settings bound its expiry. Raises ``JournalError``."""
    settings, now_ms = queue.settings, queue.now_ms
    expiry = 0
    if (what.dies_ms or what.exptime) and not settings.ignore_client_expiry:
        expiry = what.dies_ms or expiry_ms(what.exptime, now_ms, queue.name)
    if settings.max_age is not None:
        latest = now_ms + int(settings.max_age * 1000)
        expiry = min(expiry, latest) if expiry else latest
    # Copies in many queues take a while: for the last ones the time may have come already.
    due_ms = what.due_ms if what.due_ms > now_ms else 0
    token = what.token if queue.name == what.name else b""
    if due_ms or what.front or what.deliveries or what.origin is not None or token:
        queue.put_marked(
            MarkedItem(
                queue.next_id,
                now_ms,
                expiry,
                what.flags,
                what.data,
                due_ms,
                what.deliveries,
                what.front,
                what.origin,
                token,
            )
        )
        if token:
            queue.once.note(token, now_ms, queue.next_id - 1)
    else:
        queue.put(what.data, what.flags, expiry, now_ms)


def make_room(queue: PersistentQueue, size: int) -> Steps:
    """Drop the oldest items of a queue until one of ``size`` bytes fits, if its settings say so.

    Raises ``QueueFullRefused`` when all that is left is open or delayed, ``JournalError`` and
    ``NotLoaded``; what was dropped before stays dropped.
    """
    while queue.settings.discard_old_when_full and limits.is_full(queue, size):
        if not queue.drop_oldest(queue.now_ms) and limits.is_full(queue, size):
            raise QueueFullRefused(queue.name)
        yield None
