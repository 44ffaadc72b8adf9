"""What was asked of a server's queues and what came of it, and whether that can be.

The history knows no sockets: whoever talks to the server notes every put and every get here, from
any thread. Moments are whole numbers of the history's own; each is noted once. A put whose reply
did not come may or may not have happened; a get whose reply did not come whole may have taken one
item. Items must all be different, and a queue may be asked by nobody who notes nothing here.

``problems`` holds the history against the invariants:

- nothing that was stored is lost, unless a get that was cut off can have taken that very item;
- nothing is delivered that was not sent, byte for byte and with its flags;
- what was put first is delivered first: in the order of one producer's puts, and whenever one put
  was over before another began;
- nothing is delivered twice;
- a get finds something when an item is there.

``stats_problems`` holds the server's own numbers against the history while nothing is under way.
"""

import bisect
import hashlib
import itertools
import threading
from collections import defaultdict
from collections.abc import Iterable, Sequence

import attrs

NEVER = 2**63
"""A moment that does not come."""


@attrs.define(eq=False)
class Put:
    """One item that was sent."""

    queue: bytes
    producer: int
    number: int
    """Counts the producer's items in this queue."""
    begin: int
    end: int = NEVER
    stored: bool = False
    """Whether the server said so."""
    get: "Get | None" = None
    """What delivered it."""

    def __str__(self) -> str:
        queue = self.queue.decode("ascii", "backslashreplace")
        return f"item {self.number} of producer {self.producer} in {queue}"


@attrs.define(eq=False)
class Get:
    """One request for at most one item of a queue."""

    queue: bytes
    begin: int
    end: int = NEVER


@attrs.define
class _Counts:
    """What happened to one queue so far."""

    stored: int = 0
    puts_cut_off: int = 0
    delivered: int = 0
    gets_cut_off: int = 0


class History:
    """Everything that was asked, by as many threads as there are."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._moments = itertools.count()
        self._puts: dict[tuple[bytes, bytes], Put] = {}
        self._numbers: dict[tuple[bytes, int], int] = defaultdict(int)
        self._misses: list[Get] = []
        self._cut_off: list[Get] = []
        self._counts: dict[bytes, _Counts] = defaultdict(_Counts)
        self._at_once: list[str] = []
        self.bytes = 0
        """Bytes of all data that was sent."""

    def sent(self, queue: bytes, producer: int, data: bytes, flags: int = 0) -> Put:
        """Note that a producer is about to put an item."""
        with self._lock:
            key = (queue, _fingerprint(data, flags))
            if key in self._puts:
                raise ValueError("two items are the same")
            number = self._numbers[queue, producer]
            self._numbers[queue, producer] += 1
            self.bytes += len(data)
            put = self._puts[key] = Put(queue, producer, number, next(self._moments))
            return put

    def stored(self, put: Put) -> None:
        """Note that the server acknowledged a put."""
        with self._lock:
            put.end = next(self._moments)
            put.stored = True
            self._counts[put.queue].stored += 1

    def put_cut_off(self, put: Put) -> None:
        """Note that the reply to a put will not come, and nothing more be done about it."""
        with self._lock:
            put.end = next(self._moments)
            self._counts[put.queue].puts_cut_off += 1

    def asked(self, queue: bytes) -> Get:
        """Note that a consumer is about to ask for an item."""
        with self._lock:
            return Get(queue, next(self._moments))

    def delivered(self, get: Get, data: bytes, flags: int = 0) -> None:
        """Note that a get brought an item."""
        with self._lock:
            get.end = next(self._moments)
            self._counts[get.queue].delivered += 1
            put = self._puts.get((get.queue, _fingerprint(data, flags)))
            if put is None:
                self._at_once.append(
                    f"delivered but never sent: {len(data)} bytes, flags {flags}, in"
                    f" {get.queue!r}: {data[:40]!r}"
                )
            elif put.get is not None:
                self._at_once.append(f"delivered twice: {put}")
            else:
                put.get = get

    def missed(self, get: Get) -> None:
        """Note that a get brought nothing."""
        with self._lock:
            get.end = next(self._moments)
            self._misses.append(get)

    def get_cut_off(self, get: Get) -> None:
        """Note that the reply to a get did not come whole, and nothing more of it will."""
        with self._lock:
            get.end = next(self._moments)
            self._cut_off.append(get)
            self._counts[get.queue].gets_cut_off += 1

    @property
    def backlog(self) -> int:
        """About how many items are in all queues."""
        with self._lock:
            return sum(each.stored - each.delivered for each in self._counts.values())

    def problems(self) -> list[str]:
        """Return all that cannot be, after the queues were drained; best there is none."""
        found = list(self._at_once)
        puts: dict[bytes, list[Put]] = defaultdict(list)
        for put in self._puts.values():
            puts[put.queue].append(put)
        for queue, of_queue in puts.items():
            order = _Order(of_queue)
            found += [
                f"delivered before an item that was put earlier: {put}"
                for put in of_queue
                if put.get is not None and order.earliest(put) > put.get.end
            ]
            found += [
                f"nothing found in {queue!r} though an item was there"
                for miss in self._misses
                if miss.queue == queue and order.last_taken_of_put_before(miss.begin) > miss.end
            ]
            missing = [put for put in of_queue if put.stored and put.get is None]
            gets = [get for get in self._cut_off if get.queue == queue]
            found += [f"stored but lost: {put}" for put in _unexplained(missing, gets, order)]
        return found

    def stats_problems(self, queue: bytes, items: int, total_items: int) -> list[str]:
        """Return what is wrong with a queue's numbers; nothing may be under way.

        ``total_items`` counts every put that happened, ``items`` those of them that are left.
        """
        with self._lock:
            counts = self._counts[queue]
            least, most = counts.stored, counts.stored + counts.puts_cut_off
            found = []
            if not least <= total_items <= most:
                found.append(f"{queue!r}: total_items {total_items}, not {least} to {most}")
            most = total_items - counts.delivered
            least = most - counts.gets_cut_off
            if not least <= items <= most:
                found.append(f"{queue!r}: items {items}, not {least} to {most}")
            return found


def _fingerprint(data: bytes, flags: int) -> bytes:
    """Stand for an item in the memory of a long run."""
    return hashlib.blake2b(b"%d %b" % (flags, data), digest_size=16).digest()


class _Highest:
    """The highest value among all pairs whose key is below a given one."""

    def __init__(self, pairs: Iterable[tuple[int, int]]) -> None:
        ordered = sorted(pairs)
        self._keys = [key for key, _ in ordered]
        self._highest = list(itertools.accumulate((value for _, value in ordered), max))

    def below(self, key: int) -> int:
        index = bisect.bisect_left(self._keys, key)
        return self._highest[index - 1] if index else -NEVER


class _Order:
    """What the delivered items of a queue tell about when each item can have been taken."""

    def __init__(self, puts: Sequence[Put]) -> None:
        delivered = [(put, put.get) for put in puts if put.get is not None]
        self._before = _Highest((put.end, get.begin) for put, get in delivered)
        self._after = _Highest((-put.begin, -get.end) for put, get in delivered)
        of_producer: dict[int, list[tuple[Put, Get]]] = defaultdict(list)
        for put, get in delivered:
            of_producer[put.producer].append((put, get))
        self._producer_before = {
            producer: _Highest((put.number, get.begin) for put, get in pairs)
            for producer, pairs in of_producer.items()
        }
        self._producer_after = {
            producer: _Highest((-put.number, -get.end) for put, get in pairs)
            for producer, pairs in of_producer.items()
        }

    def last_taken_of_put_before(self, moment: int) -> int:
        """Return when the last get began that took an item whose put was over at a moment."""
        return self._before.below(moment)

    def earliest(self, put: Put) -> int:
        """Return a moment before which an item was not taken: one before it was there yet."""
        earliest = max(put.begin, self._before.below(put.begin))
        if put.producer in self._producer_before:
            earliest = max(earliest, self._producer_before[put.producer].below(put.number))
        return earliest

    def latest(self, put: Put) -> int:
        """Return a moment after which an item was not taken: one behind it was gone already."""
        latest = -self._after.below(-put.end)
        if put.producer in self._producer_after:
            latest = min(latest, -self._producer_after[put.producer].below(-put.number))
        return latest


def _unexplained(missing: Sequence[Put], gets: Sequence[Get], order: _Order) -> list[Put]:
    """Return the missing items that no get which was cut off can have taken, one for each get.

    A largest matching, grown by one alternating path after the other.
    """
    windows = {id(put): (order.earliest(put), order.latest(put)) for put in missing}
    taken_by: dict[int, Put] = {}
    unexplained = []
    for put in missing:
        came_from: dict[int, Put] = {}
        paths = [put]
        free: int | None = None
        while paths and free is None:
            asking = paths.pop()
            earliest, latest = windows[id(asking)]
            for index, get in enumerate(gets):
                if index in came_from or get.end < earliest or get.begin > latest:
                    continue
                came_from[index] = asking
                if index not in taken_by:
                    free = index
                    break
                paths.append(taken_by[index])
        if free is None:
            unexplained.append(put)
            continue
        index = free
        while True:
            asking = came_from[index]
            previous = next((i for i, taker in taken_by.items() if taker is asking), None)
            taken_by[index] = asking
            if previous is None or asking is put:
                break
            index = previous
    return unexplained
