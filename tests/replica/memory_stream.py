"""A stream in memory that answers as NATS does, or loses questions and answers, for tests."""

import asyncio
from collections.abc import Callable

import attrs

from starling_py.replica.stream import OWNER, Entry, NotAnsweredError, NotLastError, State
from tests.replica.shipping import STREAM


@attrs.define
class MemoryStream:
    """One stream, which several servers use in the same event loop."""

    id: bytes = STREAM
    entries: dict[int, Entry] = attrs.field(factory=dict)
    last: int = 0
    fault: Callable[[], str] = lambda: ""
    """Returns, for an append, ``question`` or ``answer`` if that is lost."""
    silent: bool = False
    """Whether it has no majority."""
    said: list[bytes] = attrs.field(factory=list)
    """What was told to the owner, and it has not asked for."""
    appended: int = 0
    most_size: int = 0

    async def open(self) -> None:
        await self._answer()

    async def close(self) -> None:
        pass

    async def state(self) -> State:
        await self._answer()
        first = min(self.entries, default=self.last + 1)
        return State(first, self.last, self.size)

    @property
    def size(self) -> int:
        """Return how many bytes its messages have."""
        return sum(len(each.data) for each in self.entries.values())

    async def append(self, kind: str, data: bytes, message_id: str, expected: int) -> int:
        await self._answer()
        fault = self.fault()
        if fault == "question":
            raise NotAnsweredError("the question was lost")
        same = [each for each in self.entries.values() if each.message_id == message_id]
        if not same:
            if expected != self.last:
                raise NotLastError(f"wrong last sequence: {self.last}")
            if kind == OWNER:
                for old in [each for each in self.entries.values() if each.kind == OWNER]:
                    del self.entries[old.sequence]
            self.last += 1
            self.appended += 1
            self.entries[self.last] = Entry(self.last, kind, message_id, data)
            self.most_size = max(self.most_size, self.size)
        sequence = same[0].sequence if same else self.last
        if fault == "answer":
            raise NotAnsweredError("the answer was lost")
        return sequence

    async def at(self, sequence: int) -> Entry | None:
        await self._answer()
        return self.entries.get(sequence)

    async def owner(self) -> Entry | None:
        await self._answer()
        return next((each for each in self.entries.values() if each.kind == OWNER), None)

    async def read(self, after: int, wait: float) -> list[Entry]:
        await self._answer()
        found = [each for at, each in sorted(self.entries.items()) if at > after]
        if not found:
            await asyncio.sleep(min(wait, 0.01))
        return found[:5]

    async def read_anew(self) -> None:
        pass

    async def purge(self, first: int) -> None:
        await self._answer()
        for sequence in [each for each in self.entries if each < first]:
            del self.entries[sequence]

    async def say(self, data: bytes) -> None:
        if not self.silent:
            self.said.append(data)

    def heard(self) -> list[bytes]:
        heard, self.said = self.said, []
        return heard

    async def _answer(self) -> None:
        await asyncio.sleep(0)
        if self.silent:
            raise NotAnsweredError("no majority")
