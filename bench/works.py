"""One round for all connections together: who does what, and whether all of it came out right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import VoidRunError
from bench.lanes import (
    ComingLane,
    EchoLane,
    GetLane,
    PutLane,
    Share,
    TurnLane,
    VisitLane,
    out_of_order,
)
from bench.phrases import DIGITS, Endless, labels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.fleet import Lane, Work
    from bench.phrases import Get, Put


class Puts:
    """Puts the items `numbers` in batches of `depth`.

    `phrase` gives the puts of the connection with this number, one for each queue; an item goes
    into the queue of its number's turn.
    """

    def __init__(
        self,
        phrase: Callable[[int], Sequence[Put]],
        numbers: range | Endless,
        depth: int,
        *,
        stamped: bool = False,
    ) -> None:
        """With `stamped`, `stamps` keeps when each number was asked for."""
        self._phrase, self._depth = phrase, depth
        self._following = iter(labels(numbers) if isinstance(numbers, range) else numbers).__next__
        self.operations = len(numbers) if isinstance(numbers, range) else 0
        self.stamps: dict[bytes, float] | None = {} if stamped else None
        self._took: list[float] = []
        self._lanes: list[PutLane] = []

    def lanes(self, connections: range) -> Sequence[PutLane]:
        """See `Work`."""
        batches: dict[bytes, bytearray] = {}
        for number in connections:
            puts = self._phrase(number)
            request = puts[0].head + b"0" * DIGITS + puts[0].tail
            batch = batches.get(puts[0].head)
            if batch is None:
                batch = batches[puts[0].head] = bytearray(request * self._depth)
            lane = PutLane(puts, batch, self._depth, self._following, self._took, self.stamps)
            self._lanes.append(lane)
        return self._lanes

    def latencies(self) -> list[float]:
        """See `Work`."""
        return self._took

    def finish(self) -> None:
        """Each reply was judged by itself."""

    def owners(self) -> dict[bytes, int]:
        """Return which connection put each number."""
        return {label: who for who, lane in enumerate(self._lanes) for label in lane.sent}


class Gets:
    """Takes the items `numbers`, in batches of `depth`, as `phrase` has it for a connection."""

    def __init__(
        self,
        phrase: Callable[[int], Sequence[Get]],
        numbers: range,
        depth: int,
        puts: Puts | None = None,
        *,
        once: bool = True,
    ) -> None:
        """Take what `puts` put, or one connection if there are none; its stamps count, if any.

        Without `once`, items need not come back each once and in order: a cache, not a queue.
        """
        self._phrase, self._numbers, self._depth, self._puts = phrase, numbers, depth, puts
        self._once = once
        self._queues = 1
        self.operations = len(numbers)
        self._took: list[float] = []
        self._lanes: list[GetLane] = []

    def lanes(self, connections: range) -> Sequence[GetLane]:
        """See `Work`."""
        self._queues = len(self._phrase(0))
        share = Share(len(self._numbers), self._queues)
        stamps = self._puts.stamps if self._puts is not None else None
        phrase, depth, took = self._phrase, self._depth, self._took
        self._lanes = [GetLane(phrase(at), depth, share, took, stamps) for at in connections]
        return self._lanes

    def latencies(self) -> list[float]:
        """See `Work`."""
        return self._took

    def finish(self) -> None:
        """Raise `VoidRunError` unless each item came back, once, from its queue, in order."""
        came = [label for lane in self._lanes for label in map(bytes, lane.seen)]
        put = labels(self._numbers) if self._puts is None else self._puts.owners()
        seen, wanted = set(came), set(put)
        faults = {"never put": len(seen - wanted)}
        if self._once:
            faults = {"missing": len(wanted - seen), "repeated": len(came) - len(seen), **faults}
            if seen <= wanted:
                faults |= self._misplaced()
        if any(faults.values()):
            counts = ", ".join(f"{count} {fault}" for fault, count in faults.items() if count)
            raise VoidRunError(f"items came back wrong: {counts}")

    def _misplaced(self) -> dict[str, int]:
        owners = {} if self._puts is None else self._puts.owners()
        queues, lanes = self._queues, self._lanes
        pairs = (zip(lane.seen, lane.turns, strict=False) for lane in lanes)
        turns = (pair for lane in pairs for pair in lane)
        return {
            "out of order": sum(out_of_order(lane.seen, owners, queues) for lane in lanes),
            "from another queue": sum(int(each) % queues != turn for each, turn in turns),
        }


class ByTurns:
    """Each connection puts a batch, takes one, puts the next, and so on; no get finds nothing.

    The number of items has to be a multiple of the depth.
    """

    def __init__(self, puts: Puts, gets: Gets) -> None:
        self._puts, self._gets = puts, gets
        self.operations = puts.operations + gets.operations

    def lanes(self, connections: range) -> Sequence[Lane]:
        """See `Work`."""
        pairs = zip(self._puts.lanes(connections), self._gets.lanes(connections), strict=True)
        return [TurnLane(put, get) for put, get in pairs]

    def latencies(self) -> list[float]:
        """See `Work`."""
        return self._puts.latencies() + self._gets.latencies()

    def finish(self) -> None:
        """See `Work`."""
        self._gets.finish()


class Visits:
    """Visitors connect, put a batch, take one and close; meanwhile the connections do so by turns.

    The visitors connect together, and again when the last of them has closed.
    """

    def __init__(self, puts: Puts, gets: Gets, numbers: Endless, visitors: int, times: int) -> None:
        """`numbers` are those of `puts`; each visitor connects `times` times.

        The latency of one visitor is that of a visit, from connecting to the last byte of its item.
        That of several is one for all: from connecting until the last one has its first reply.
        """
        self._puts, self._gets, self._numbers = puts, gets, numbers
        self._visitors = visitors
        self.operations = visitors * times
        self._took: list[float] = []

    def lanes(self, connections: range) -> Sequence[Lane]:
        """See `Work`."""
        clients = range(connections.start, connections.stop + self._visitors)
        puts, gets = self._puts.lanes(clients), self._gets.lanes(clients)
        pairs = list(zip(puts, gets, strict=True))
        visits, over, together = Share(self.operations, 1), self._numbers.stop, self._visitors > 1
        visitors = [
            VisitLane(put, get, visits, self._took, over, to_first_reply=together)
            for put, get in pairs[len(connections) :]
        ]
        return [*(TurnLane(put, get) for put, get in pairs[: len(connections)]), *visitors]

    def latencies(self) -> list[float]:
        """See `Work`."""
        return [max(took) for took in zip(*[iter(self._took)] * self._visitors, strict=True)]

    def busy(self) -> list[float]:
        """Return the seconds that each batch of the busy connections took."""
        return self._puts.latencies() + self._gets.latencies()

    def finish(self) -> None:
        """See `Work`."""
        self._gets.finish()


class Comings:
    """Each connection makes a queue, takes its one item, deletes it, and makes another one."""

    def __init__(self, numbers: range, size: int) -> None:
        """Make as many queues as there are `numbers`, for items of `size` bytes."""
        self._following = iter(labels(numbers)).__next__
        self._size = size
        self.operations = len(numbers)
        self._took: list[float] = []

    def lanes(self, connections: range) -> Sequence[Lane]:
        """See `Work`."""
        return [ComingLane(self._following, self._size, self._took) for _ in connections]

    def latencies(self) -> list[float]:
        """See `Work`."""
        return self._took

    def finish(self) -> None:
        """Each reply was judged by itself."""


class Together:
    """Several works at the same time, each by as many of the connections."""

    def __init__(self, works: Sequence[Work], operations: int, timed: Sequence[Work]) -> None:
        """Take the latencies from `timed` alone."""
        self._works, self.operations, self._timed = works, operations, timed

    def lanes(self, connections: range) -> Sequence[Lane]:
        """See `Work`."""
        share = len(connections) // len(self._works)
        parts = (connections[at * share :][:share] for at in range(len(self._works)))
        pairs = zip(self._works, parts, strict=True)
        return [lane for work, part in pairs for lane in work.lanes(part)]

    def latencies(self) -> list[float]:
        """See `Work`."""
        return [took for work in self._timed for took in work.latencies()]

    def finish(self) -> None:
        """See `Work`."""
        for work in self._works:
            work.finish()


class Echoes:
    """Asks the same, to be told the same: what a request costs that does nothing."""

    def __init__(self, request: bytes, right: bytes, count: int, depth: int) -> None:
        self._request, self._right, self._depth = request, right, depth
        self.operations = count
        self._took: list[float] = []

    def lanes(self, connections: range) -> Sequence[EchoLane]:
        """See `Work`."""
        share = Share(self.operations, 1)
        request, right, depth, took = self._request, self._right, self._depth, self._took
        return [EchoLane(request, right, depth, share, took) for _ in connections]

    def latencies(self) -> list[float]:
        """See `Work`."""
        return self._took

    def finish(self) -> None:
        """Each reply was judged by itself."""
