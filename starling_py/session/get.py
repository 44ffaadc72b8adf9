"""The get, in all its forms.

A key may ask to open an item instead of taking it, to close or abort what was opened before, or
only to look. Invariant: a command with anything wrong in it is refused before anything is done. A
get of many keys, or of many items, is done a slice at a time, and goes no faster than the client
reads.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from starling_py import keys
from starling_py.journal.errors import JournalError
from starling_py.journal.format.record import Item
from starling_py.keys import Request, RequestError
from starling_py.protocol import commands
from starling_py.queues.errors import NotLoaded
from starling_py.queues.listing import Listing, find, listed
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.queues.set_aside import place
from starling_py.queues.slices import LATER, Steps
from starling_py.session.client import MAX_OUTPUT, Client
from starling_py.session.reliable import Ending, lease_of, leased
from starling_py.session.serving import PROBLEMS, Answer, wait, wait_of

MAX_WAITED: Final = 1000
"""The most queues that one get may wait for: while it waits, it takes memory for each."""
_FEW: Final = 8
"""Keys of which a get never stops to look how long it has taken."""
KEY_COST: Final = 300
"""Bytes that each key of a long get takes, about (measured)."""
_SETS: Final = 64
"""Parts of the names of a long get."""
_AT_ONCE: Final = 32
"""Items that a peek looks at in one step."""
_SENDING: Final = 0.001
"""Seconds that it takes to send so much that a client must read it first (measured)."""
_KNOWN: Final = keys.REQUESTS.found


def get(client: Client, command: commands.Get) -> None:
    """Take an item from each key's queue, or do what else the keys ask for.

    The common case comes first: one key, which only takes or looks, of a client without open
    reads. What one key asks for beside that, ``_prepare`` does before the queue is read from; many
    keys or items are left to ``getting``.
    """
    asked = command.keys
    holder = None
    try:
        request = _KNOWN.get(asked[0]) or keys.parse(asked[0])
        if not (command.plain and request.simple) or client.holder.by_name:
            if len(asked) > 1 or request.looks_further or _makes_too_much(client, request):
                client.at_length(getting(client, command))
                return
            request, holder = _prepare(client, command, request), client.holder
            if not request.takes:
                client.replies.end_hits()
                return
        hit = client.queues.read(request, holder)
    except PROBLEMS as problem:
        client.fail(problem)
        return
    except NotLoaded:
        if holder is None:
            raise
        # What was prepared must not be done again.
        client.at_length(_Reading(client, [request], with_cas=command.with_cas).steps())
        return
    counters = client.counters
    if hit is not None:
        counters.cmd_get += 1
        counters.get_hits += 1
        if request.peek:
            counters.cmd_peek += 1
        else:
            # As ``Takes.took`` does, but for a call: every get comes here.
            takes = client.takes
            if request.name is not takes.name:
                takes.turn_to(request.name)
            takes.count += 1
            takes.last = client.queues.clock.monotonic
        client.replies.add_hit(hit, with_cas=command.with_cas, alone=True)
    elif wait_ms := wait_of(client, request):
        wait(client, [request], wait_ms, with_cas=command.with_cas)
    else:
        counters.cmd_get += 1
        counters.get_misses += 1
        client.replies.end_hits()


def _prepare(client: Client, command: commands.Get, request: Request) -> Request:
    """End what a lone key ends, and subscribe; return what it reads, if it does.

    Raises ``RequestError`` when nothing was done, ``JournalError`` and ``QueueRefused``.
    """
    if command.touch_exptime is not None:
        request = leased(request, lease_of(client, command.touch_exptime))
    if request.ends or client.holder.by_name:
        ending = Ending(client)
        ending.find(request)
        ending.check(request)
        for read in ending.reads:
            ending.end(read)
    if not request.takes:
        return request
    child = client.queues.subscribe(request.name)
    if child is not None:
        client.replies.depend(child.journal)
    return request.reading


def _makes_too_much(client: Client, request: Request) -> bool:
    """Tell whether a key asks for a new child though others have waited long enough."""
    return client.queues.makes(request.name) and client.queues.slices.spent


def get_many(client: Client, command: commands.LongGet) -> None:
    """Execute a get of so many keys that even to read its line takes long."""
    client.at_length(getting(client, command))


def getting(client: Client, command: commands.Get | commands.LongGet) -> Steps:
    """Execute any get: find what is wrong, end open reads, subscribe, and read."""
    many = isinstance(command, commands.LongGet) or len(command.keys) > _FEW
    asked = _Asked(client)
    try:
        for step in asked.read(command):
            if many:
                yield step
        ending = asked.ending
        for read in ending.reads:
            ending.end(read)
            if many:
                yield None
        for request in asked.taking:
            if client.queues.slices.spent and client.queues.makes(request.name):
                yield LATER
            child = client.queues.subscribe(request.name)
            if child is not None:
                client.replies.depend(child.journal)
            if many:
                yield None
    except PROBLEMS as problem:
        client.fail(problem)
        return
    if asked.taking:
        yield from _Reading(client, asked.taking, with_cas=command.with_cas).steps()
    else:
        client.replies.end_hits()


class _Asked:
    """What the keys of one get ask for."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.ending = Ending(client)
        self.taking: list[Request] = []
        """What is read. A queue named twice is served once: clients keep one value a key."""

    def read(self, command: commands.Get | commands.LongGet) -> Steps:
        """Read the keys, and find the reads that they end.

        Raises ``RequestError`` if anything is wrong; up to here nothing was done.
        """
        client, taking = self._client, self.taking
        exptime = command.touch_exptime
        lease = lease_of(client, exptime or 0)
        ordinary = exptime is None and not client.holder.by_name
        line = len(command.keys) if isinstance(command, commands.LongGet) else 0
        # Several sets, as it takes long to make a large one larger.
        known: list[set[bytes]] = [set() for _ in range(_SETS if line else 1)]
        others: list[Request] = []
        waits = False
        for piece in _pieces(command):
            for key in piece:
                request = keys.parse(key)
                if exptime is not None:
                    request = leased(request, lease)
                if not (ordinary and request.simple):
                    others.append(request)
                waits = waits or bool(request.wait_ms)
                name = request.name
                names = known[hash(name) % len(known)]
                if request.takes and name not in names:
                    names.add(name)
                    taking.append(request.reading)
                yield None
            if line:
                # Here and not at the end, as the line may be of any length.
                client.hoard = [taking, others]
                client.weight = line + KEY_COST * (len(taking) + len(others))
            yield None
        for request in others:
            self.ending.find(request)
            yield None
        for request in others:
            self.ending.check(request)
            yield None
        if waits and len(taking) > MAX_WAITED:
            raise RequestError(f"a get can wait for {MAX_WAITED} queues at most")


def _pieces(command: commands.Get | commands.LongGet) -> Iterator[Sequence[bytes]]:
    """Return the keys of a get, some at a time."""
    return command.pieces() if isinstance(command, commands.LongGet) else iter((command.keys,))


class _Reading:
    """The reading of one get, from one queue or many."""

    def __init__(self, client: Client, requests: list[Request], *, with_cas: bool) -> None:
        self._client = client
        self._requests = requests
        self._with_cas = with_cas
        self._first = any(request.first for request in requests)
        """Whether it gives one item in all, from the first queue that has one."""
        self._asked = 1 if self._first else len(requests)
        self._answer = Answer(client, self._asked, with_cas=with_cas)
        self._failure: JournalError | None = None

    def steps(self) -> Steps:
        """Read from each queue, once the first items of all of them are in memory.

        If one is not there after all when its turn comes, as what was read before has moved items
        on, the items that there are go first. A queue that cannot be read for now is not waited
        for.
        """
        client, requests, answer = self._client, self._requests, self._answer
        if self._first:
            yield from self._take_first()
        else:
            if len(requests) > _FEW:
                answer.stream()
            if len(requests) > 1:
                yield from self._load()
            yield from self._take()
        if self._failure is not None and answer.empty:
            client.fail(self._failure)
            return
        # Beyond that, no key says that it waits, and a queue's setting does not hold.
        waits = answer.empty and len(requests) <= MAX_WAITED
        wait_ms = max(wait_of(client, request) for request in requests) if waits else 0
        # If this took more than one turn, there may be something by now.
        if wait_ms and not (answer.streams and self._finds_one()):
            wait(client, requests, wait_ms, with_cas=self._with_cas, asked=self._asked)
        else:
            answer.end()

    def _load(self) -> Steps:
        """Wait until the first items of all queues are in memory that can be read for now."""
        unreadable: set[bytes] = set()
        again = True
        while again:
            again = False
            for request in self._requests:
                if request.name in unreadable:
                    continue
                try:
                    self._client.queues.require_first(request.name)
                except NotLoaded as missing:
                    try:
                        yield missing
                    except JournalError:
                        unreadable.add(request.name)
                    again = True
                except JournalError:
                    pass  # it is told when the queue is read from
                if self._answer.streams:
                    yield None

    def _take_first(self) -> Steps:
        """Take one item, from the first queue that has one.

        Where one has to be read from disk first, all before it are asked anew afterwards.
        """
        again = True
        while again:
            again = False
            for request in self._requests:
                missing = self._read(request)
                if not self._answer.empty:
                    return
                if missing is not None:
                    try:
                        yield missing
                    except JournalError as problem:
                        self._failure = problem  # the queues behind it are asked all the same
                        continue
                    again = True
                    break
                if len(self._requests) > _FEW:
                    yield None

    def _take(self) -> Steps:
        answer = self._answer
        for request in self._requests:
            while not self._names_items(request) and (missing := self._read(request)) is not None:
                if not answer.empty:
                    answer.stream()
                try:
                    yield missing
                except JournalError as problem:
                    self._failure = problem
                    break
                if not answer.streams:
                    yield from self._take()
                    return
            if self._names_items(request):
                yield from self._find(request)
            elif request.count > 1:
                yield from self._look(request)
            if answer.size > MAX_OUTPUT:
                answer.stream()
            if answer.streams:
                yield None

    @staticmethod
    def _names_items(request: Request) -> bool:
        """Tell whether a key names the items that it wants to look at by an id."""
        return request.looks_further and request.item_id is not None

    def _read(self, request: Request) -> NotLoaded | None:
        """Read one item, or, for several, only see to it that there is one in memory.

        Returns the signal if it must be read from disk first.
        """
        try:
            hit = self._client.queues.read(request, self._client.holder)
        except NotLoaded as missing:
            return missing
        except JournalError as problem:
            # The items that other queues have given must reach the client: they are taken.
            self._failure = problem
            return None
        if hit is not None and request.count == 1:
            self._answer.add(hit)
        return None

    def _find(self, request: Request) -> Steps:
        """Give the item that a key names, or those from it on, wherever they are, on disk too."""
        queue = self._client.queues.directory.find(request.name)
        if queue is None or request.item_id is None:
            return
        found: list[Item] = []
        if request.count > 1 or len(self._requests) > 1:
            self._answer.stream()  # to find it may take several turns
        if request.count > 1:
            finding = Listing(queue, request.item_id - 1, request.count, found.append).steps()
        else:
            finding = find(queue, request.item_id, found)
        try:
            for step in finding:
                yield step
                yield from self._give_found(request, queue, found)
        except JournalError as problem:
            self._failure = problem
        yield from self._give_found(request, queue, found)

    def _give_found(self, request: Request, queue: PersistentQueue, found: list[Item]) -> Steps:
        """Give what was found so far, as far as the client reads, and forget it."""
        answer, client = self._answer, self._client
        for item in found:
            if listed(queue, item).state != "expired":
                answer.add((request, item, queue))
            if answer.size > MAX_OUTPUT or client.replies.size > MAX_OUTPUT:
                client.queues.slices.charge(_SENDING)
                answer.stream()
                yield None
        found.clear()

    def _look(self, request: Request) -> Steps:
        """Give the items at the head of a queue, as far as the client reads."""
        queues, answer = self._client.queues, self._answer
        after, left = None, request.count
        if queues.slices.spent:
            answer.stream()
            yield LATER
        while left > 0:
            queue = queues.directory.find(request.name)
            if queue is None or queue.pause.holds:
                return
            items = queue.look(min(left, _AT_ONCE), queues.clock.wall_ms, after)
            if not items:
                return
            for item in items:
                answer.add((request, item, queue))
                left -= 1
                after = place(item)
                if answer.size > MAX_OUTPUT or self._client.replies.size > MAX_OUTPUT:
                    break
            if answer.size > MAX_OUTPUT or self._client.replies.size > MAX_OUTPUT:
                queues.slices.charge(_SENDING)
            if left > 0:
                answer.stream()
                yield None

    def _finds_one(self) -> bool:
        """Look into every queue once more, and tell whether there was an item."""
        for request in self._requests:
            if self._names_items(request):
                continue
            self._read(replace(request, count=1) if request.count > 1 else request)
            if not self._answer.empty:
                return True
        return False


HANDLERS: dict[type[commands.Command], Callable[[Client, Any], None]] = {
    commands.Get: get,
    commands.LongGet: get_many,
}
