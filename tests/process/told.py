"""What a client was told about the items of a queue: what it may count on, and what it may not."""

import itertools

import attrs

from tests.process.raw_client import Given, RawClient
from tests.process.server_process import ServerProcess

ONE_BY_ONE = 50
"""Items that are taken each with a reply of its own; behind them there are several on the way."""


@attrs.define
class Told:
    """What was told of the items that were put into a queue and taken from it."""

    server: ServerProcess
    size: int = 200
    """Bytes of an item."""
    queue: bytes = b"jobs"
    stored: list[bytes] = attrs.field(factory=list)
    """What was answered ``STORED``, and not taken since."""
    refused: set[bytes] = attrs.field(factory=set)
    """What was answered ``SERVER_ERROR``."""
    number: int = 0

    def put(self, size: int = 0) -> bool:
        """Put one more item, perhaps of another size; tell whether it was stored."""
        with RawClient(self.server.port) as client:
            return self._put(client, 1, size or self.size)

    def check_put_many(self, count: int) -> None:
        """Put items, and check that each is stored."""
        assert all(self.put() for _ in range(count))

    def fill(self, most: int = 1_000_000) -> None:
        """Put items, many at a time, until one is refused, or so many."""
        with RawClient(self.server.port) as client:
            while most > 0 and self._put(client, min(most, 50), self.size):
                most -= 50

    def fill_to_the_last_byte(self) -> None:
        """Put items until they are refused again and again, as clients do that try again."""
        for _ in range(5):
            self.fill()

    def check_take(self, count: int = 1) -> None:
        """Take so many items, none with an error; check that they are the oldest, in order."""
        expected, self.stored = self.stored[:count], self.stored[count:]
        with RawClient(self.server.port) as client:
            for part, at_once in ((expected[:ONE_BY_ONE], 1), (expected[ONE_BY_ONE:], 20)):
                assert client.get_all([self.queue] * len(part), at_once) == part

    def check_take_all(self) -> None:
        """Take what is there, and check that it is all that was stored, and nothing else."""
        self.check_take(len(self.stored))
        with RawClient(self.server.port) as client:
            assert client.get_one(self.queue) is None

    def check(self, safe: int | None = None) -> None:
        """Drain the queue: all that was stored is there, in order; what was refused may be.

        After a power cut, an end of what was stored may be lost, behind the first ``safe`` items.
        """
        found: list[bytes] = []
        with RawClient(self.server.port) as client:
            while (item := client.get_one(self.queue)) is not None:
                found.append(item)
        promised = [each for each in found if each not in self.refused]
        assert len(promised) >= (len(self.stored) if safe is None else safe)
        assert promised == self.stored[: len(promised)]
        numbers = [int(each.split()[0]) for each in found]
        assert numbers == sorted(set(numbers))

    def check_after_a_kill(self) -> None:
        """Kill the server, start it again, and check what is there."""
        self.server.restart()
        self.check()

    def _put(self, client: RawClient, count: int, size: int) -> bool:
        items = [b"%d " % (self.number + each) for each in range(count)]
        items = [each + b"x" * (size - len(each)) for each in items]
        self.number += count
        stored = client.try_put(*(Given(self.queue, each) for each in items))
        self.stored += itertools.compress(items, stored)
        self.refused.update(set(items).difference(self.stored[-count:]))
        return all(stored)
