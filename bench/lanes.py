"""What one connection asks in one round, and how it judges what it is told.

Lanes of one round share its numbers: whichever connection is free takes the next batch, so a
slow one holds up nothing but itself.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench import VoidRunError
from bench.fleet import CHUNK
from bench.phrases import DIGITS, Get, Put, filler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, MutableMapping, Sequence

    from bench.fleet import Bytes

    Reply = bytes | bytearray
    Stamps = MutableMapping[bytes, float]

LONGEST_HEAD = 256  # bytes; of a reply whose length is not known


def wrong(verb: str, reply: Bytes) -> VoidRunError:
    """Return the error that shows where a reply is wrong."""
    return VoidRunError(f"wrong reply to {verb}: {bytes(reply[:60])!r}")


class PutLane:
    """Puts items in batches of `depth`, numbered in place: sending makes the only copy of them."""

    def __init__(
        self,
        puts: Sequence[Put],
        batch: bytearray,
        depth: int,
        following: Callable[[], bytes],
        took: list[float],
        stamps: Stamps | None = None,
    ) -> None:
        """Put into one queue for each of `puts`, by turns; lanes that say the same share `batch`.

        `stamps` keeps when each number was asked for.
        """
        self._put, self._batch, self._depth = puts[0], batch, depth
        self._size = len(batch) // depth
        head = len(self._put.head)
        self._following = following
        self._stamps = stamps
        self._heads = [put.head for put in puts] if len(puts) > 1 else []
        start = 0 if self._heads else head
        places = (at * self._size for at in range(depth))
        self._places = [slice(at + start, at + head + DIGITS) for at in places]
        self.sent: list[bytes] = []
        """The numbers it has put, in order."""
        self._right = b""
        self.due = self.lines = self.room = 0
        self.took = took
        self._expect(depth)

    def _expect(self, count: int) -> None:
        put = self._put
        if put.shape is None:
            self._right = put.right * count
            self.due = len(self._right)
        self.lines = put.lines * count
        self.room = min(self.due + 1 if self.due else LONGEST_HEAD * count, CHUNK)

    def ask(self) -> Bytes:
        """See `Lane`."""
        batch, following, heads, sent = self._batch, self._following, self._heads, self.sent
        before = len(sent)
        try:
            for place in self._places:
                label = following()
                batch[place] = heads[int(label) % len(heads)] + label if heads else label
                sent.append(label)
        except StopIteration:
            count = len(sent) - before
            self._expect(count)
            batch = batch[: count * self._size]
        if self._stamps is not None:
            now = time.perf_counter()
            for label in sent[before:]:
                self._stamps[label] = now
        return batch

    def probe(self, start: Bytes) -> None:
        """See `Lane`."""
        put = self._put
        if put.shape is None:
            if self._right[: len(start)] != start:
                raise wrong("put", start)
            return
        said = bytes(start)
        ended = said[: said.rfind(b"\n") + 1]
        if not put.right.startswith(said[: len(put.right)]):
            raise wrong("put", start)
        self._judge(ended, ended.count(b"\n") // put.lines)

    def hear(self, reply: Reply) -> bool:
        """See `Lane`."""
        if self._put.shape is not None:
            if self._judge(reply, self.lines // self._put.lines) != len(reply):
                raise wrong("put", reply)
        elif reply != self._right:
            raise wrong("put", reply)
        return True

    def _judge(self, reply: Reply, count: int) -> int:
        """Return where `count` replies end that look as they should."""
        shape, at = self._put.shape, 0
        assert shape is not None
        for _ in range(count):
            found = shape.match(reply, at)
            if found is None:
                raise wrong("put", reply[at:])
            at = found.end()
        return at


class Share:
    """The gets of one round that are still to be asked for, and from which queue comes next."""

    def __init__(self, total: int, queues: int) -> None:
        self.left = total
        self.queues = queues
        self._turn = 0

    def take(self, count: int) -> int:
        """Return how many may be asked for, at most `count`."""
        taken = min(count, self.left)
        self.left -= taken
        return taken

    def turns(self, count: int) -> list[int]:
        """Return which queues are asked next; each number is in the queue of its turn."""
        first, self._turn = self._turn, (self._turn + count) % self.queues
        return [(first + step) % self.queues for step in range(count)]


class GetLane:
    """Takes items in batches of `depth`; all but the numbers is judged at once."""

    def __init__(
        self,
        gets: Sequence[Get],
        depth: int,
        share: Share,
        took: list[float],
        stamps: Stamps | None = None,
    ) -> None:
        """Take from one queue for each of `gets`; with `stamps`, `took` is counted from those."""
        self._gets, self._depth, self._share = gets, depth, share
        self._stamps = stamps
        self.seen: list[Reply] = []
        """The numbers that came, in order."""
        self.turns: list[int] = []
        """The queue of each of them, if there are several."""
        get = gets[0]
        self._get = get
        self._whole = [get] * depth
        self._batch = get.request * depth
        self._asked: Sequence[Get] = ()
        self._names: list[bytes] = []  # of what is there and not yet done with
        self._right = b""  # the reply to what is done with it; empty while items are waited for
        self._last = False
        self.due = self.lines = self.room = 0
        self.took = took if stamps is None else []
        self._delays = took
        self._expect(depth)

    def _expect(self, count: int) -> None:
        get = self._get
        size = DIGITS + len(get.tail) + (LONGEST_HEAD if get.shape else len(get.head))
        self.due = 0 if get.shape else count * size
        self.lines = get.lines * count
        self.room = min(count * size + 1, CHUNK)

    def ask(self) -> Bytes:
        """See `Lane`."""
        if self._last:
            return b""
        if self._names and self._get.done:
            self._await(self._get.done * len(self._names))
            return self._rid()
        count = self._share.take(self._depth)
        if not count:
            return self.leave()
        self._right = b""
        if len(self._gets) > 1:
            turns = self._share.turns(count)
            self.turns += turns
            self._asked = [self._gets[turn] for turn in turns]
            request = b"".join([get.request for get in self._asked])
        elif count == self._depth:
            self._asked, request = self._whole, self._batch
        else:
            self._asked, request = self._whole[:count], self._get.request * count
        self._expect(count)
        return self._rid() + request if self._names else request

    def leave(self) -> Bytes:
        """Return what has to be said before the round is over, if anything."""
        question, answer = self._get.farewell
        if not self._names:
            return b""
        self._last = True
        self._await(answer)
        return self._rid() + question

    def _await(self, right: bytes) -> None:
        self._right = right
        # Where noise may come, lines are counted.
        self.due = 0 if self._last else len(right)
        self.lines, self.room = right.count(b"\n"), len(right) + 1

    def _rid(self) -> bytes:
        """Return what is said to be rid of the items that are there."""
        get, names = self._get, self._names
        self._names = []
        return b"".join([get.then % name for name in names]) if get.names else get.then * len(names)

    def probe(self, start: Bytes) -> None:
        """See `Lane`."""
        if self._right:
            if self._right[: len(start)] != start:
                raise wrong("what follows a get", start)
        elif self.due and len(self._gets) == 1:
            # Where the last reply should begin: any earlier fault has shifted that too.
            last = bytes(start[len(start) // (size := self.due // len(self._asked)) * size :])
            if not self._get.head.startswith(last[: len(self._get.head)]):
                raise wrong("get", last)
        else:
            self._judge(bytes(start), whole=False)

    def hear(self, reply: Reply) -> bool:
        """See `Lane`."""
        if self._right:
            if reply != self._right:
                raise wrong("what follows a get", reply)
            return not self._last
        before = len(self.seen)
        self._names, numbers = self._judge(reply, whole=True)
        self.seen += numbers
        if self._stamps is not None:
            now = time.perf_counter()
            self._delays += [now - self._stamps[bytes(each)] for each in self.seen[before:]]
        return not self._get.done

    def _judge(self, reply: Reply, *, whole: bool) -> tuple[list[bytes], list[Reply]]:
        """Judge replies in a row, of which the last may be cut unless they are `whole`.

        Return what they named and their numbers, which are judged for all items at once.
        """
        at = 0
        names: list[bytes] = []
        numbers: list[Reply] = []
        shape, confirms = self._get.shape, bool(self._get.then or self._get.farewell[0])
        for get in self._asked:
            tail = get.tail
            if shape is None:
                head, name = get.head, b""
                number = at + len(head)
                fits = reply.startswith(head, at)
            else:
                found = shape.match(reply, at)
                fits = found is not None
                number, name = (at, b"") if found is None else (found.end(), found[1])
            rest = number + DIGITS
            if not (fits and reply.startswith(tail, rest)):
                if whole or not self._may_become(get, reply[at:]):
                    raise wrong("get", reply[at:])
                return names, numbers
            if confirms:
                names.append(name)
            numbers.append(reply[number:rest])
            at = rest + len(tail)
        if at != len(reply):
            raise wrong("get", reply[at:])
        return names, numbers

    @staticmethod
    def _may_become(get: Get, start: Reply) -> bool:
        """Return whether this may be the start of one right reply."""
        return get.head.startswith(start[: len(get.head)])


class TurnLane:
    """Puts a batch, then takes one, then puts the next."""

    def __init__(self, put: PutLane, get: GetLane) -> None:
        self._put, self._get = put, get
        self._now: PutLane | GetLane = get
        self._done = True
        self.due = self.lines = self.room = 0
        self.took = put.took

    def ask(self) -> Bytes:
        """See `Lane`."""
        if self._done:
            self._now = self._put if self._now is self._get else self._get
        batch = self._now.ask()
        if not batch and self._now is self._put:
            self._now = self._get
            batch = self._get.leave()
        now = self._now
        self.due, self.lines, self.room, self.took = now.due, now.lines, now.room, now.took
        return batch

    def probe(self, start: Bytes) -> None:
        """See `Lane`."""
        self._now.probe(start)

    def hear(self, reply: Reply) -> bool:
        """See `Lane`."""
        self._done = self._now.hear(reply)
        return self._done


class VisitLane(TurnLane):
    """Puts a batch, takes one, and has nothing to ask at the end of this visit.

    Asked again, it begins the next visit, or has nothing to ask if none is left.
    """

    def __init__(
        self,
        put: PutLane,
        get: GetLane,
        visits: Share,
        took: list[float],
        over: Callable[[], None],
        *,
        to_first_reply: bool = False,
    ) -> None:
        """`visits` are those of all visitors together; `over` is called when none is left.

        `took` gets the time of each whole visit, or with `to_first_reply` of its put.
        """
        super().__init__(put, get)
        self.took = self._visits_took = took
        self._visits, self._over = visits, over
        self._timed_to = put if to_first_reply else get
        self._is_visiting = False

    def ask(self) -> Bytes:
        """See `Lane`."""
        if self._done and self._now is self._get:
            self._is_visiting = not self._is_visiting
            if not self._is_visiting:
                return b""
            if not self._visits.take(1):
                self._over()
                return b""
        batch = super().ask()
        self.took = self._visits_took
        return batch

    def hear(self, reply: Reply) -> bool:
        """See `Lane`."""
        return super().hear(reply) and self._now is self._timed_to


class EchoLane:
    """Asks the same `count` times, all lanes together, and is always told the same."""

    def __init__(
        self, request: bytes, right: bytes, depth: int, share: Share, took: list[float]
    ) -> None:
        self._request, self._reply, self._depth, self._share = request, right, depth, share
        self._right = right * depth
        self.due, self.lines, self.room = len(self._right), 0, len(self._right) + 1
        self.took = took

    def ask(self) -> Bytes:
        """See `Lane`."""
        count = self._share.take(self._depth)
        if count != self._depth:
            self._right = self._reply * count
            self.due = len(self._right)
        return self._request * count

    def probe(self, start: Bytes) -> None:
        """See `Lane`."""
        if self._right[: len(start)] != start:
            raise wrong("the command", start)

    def hear(self, reply: Reply) -> bool:
        """See `Lane`."""
        if reply != self._right:
            raise wrong("the command", reply)
        return True


def out_of_order(seen: Iterable[Reply], owners: dict[bytes, int], queues: int) -> int:
    """Return how often a later item of one putter and one queue came before an earlier one."""
    last: dict[tuple[int, int], bytes] = {}
    faults = 0
    for label in map(bytes, seen):
        source = (owners.get(label, -1), int(label) % queues)
        faults += last.get(source, b"") > label
        last[source] = label
    return faults


class ComingLane:
    """Makes a queue by putting an item, takes the item, deletes the queue, and makes another one.

    In memcached's text protocol; each of the three is a request of its own.
    """

    def __init__(self, following: Callable[[], bytes], size: int, took: list[float]) -> None:
        self._following, self._size = following, size
        self._tail = filler(size)
        self._label, self._step = b"", 0
        self._right = b""
        self.due = self.lines = self.room = 0
        self.took = took

    def ask(self) -> Bytes:
        """See `Lane`."""
        if self._step == 0:
            try:
                self._label = self._following()
            except StopIteration:
                return b""
        label, data = self._label, self._label + self._tail
        request, self._right = (
            (b"set c%b 0 0 %d\r\n%b\r\n" % (label, self._size, data), b"STORED\r\n"),
            (
                b"get c%b\r\n" % label,
                b"VALUE c%b 0 %d\r\n%b\r\nEND\r\n" % (label, self._size, data),
            ),
            (b"delete c%b\r\n" % label, b"DELETED\r\n"),
        )[self._step]
        self.due = len(self._right)
        self.lines, self.room = self._right.count(b"\n"), self.due + 1
        return request

    def probe(self, start: Bytes) -> None:
        """See `Lane`."""
        if self._right[: len(start)] != start:
            raise wrong("a queue that comes and goes", start)

    def hear(self, reply: Reply) -> bool:
        """See `Lane`."""
        if reply != self._right:
            raise wrong("a queue that comes and goes", reply)
        self._step = (self._step + 1) % 3
        return self._step == 0
