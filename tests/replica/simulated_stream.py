"""A stream in memory and the lines of servers to it, on which everything may be late or lost.

The stream answers as that of NATS does (``test_nats_stream.py`` asks the real one the same): an
append has a message id and the number of the last message that is expected; the same id is not
stored twice. What has no majority is lost, or comes when there is one again. All chance is of one
seed.
"""

import asyncio
from collections.abc import Callable
from random import Random
from typing import TypeVar

import attrs

from starling_py.replica import operations
from starling_py.replica.owner import Claim
from starling_py.replica.stream import LOG, OWNER, Entry, NotAnsweredError, NotLastError, State
from tests.replica.shipping import STREAM

Answer = TypeVar("Answer")
WINDOW = 120.0
"""Seconds for which the id of a message is known."""


class Violation(Exception):
    """A promise was broken."""


@attrs.define
class SimulatedStream:
    """What a majority of the NATS servers has."""

    now: Callable[[], float]
    entries: dict[int, Entry] = attrs.field(factory=dict)
    last: int = 0
    first: int = 1
    history: list[Entry] = attrs.field(factory=list)
    """All messages that it ever had."""
    claims: list[tuple[float, Claim]] = attrs.field(factory=list)
    """When each owner became it."""
    has_majority: bool = True
    size: int = 0
    most: int = 0
    """The most bytes that it had."""
    duplicates: int = 0
    refused: int = 0
    broken: Violation | None = None
    said: list[bytes] = attrs.field(factory=list)
    """What servers have told each other beside the stream."""
    told: dict[bytes, float] = attrs.field(factory=dict)
    """When each item came in, by its data."""
    on_log: Callable[[Entry], None] = lambda _: None
    _ids: dict[str, tuple[int, float]] = attrs.field(factory=dict)

    def state(self) -> State:
        return State(self.first, self.last, self.size)

    def append(self, kind: str, data: bytes, message_id: str, expected: int) -> int:
        known = self._ids.get(message_id)
        if known is not None and self.now() - known[1] < WINDOW:
            self.duplicates += 1
            return known[0]
        if expected != self.last:
            raise NotLastError(f"wrong last sequence: {self.last}")
        return self.store(kind, data, message_id)

    def store(self, kind: str, data: bytes, message_id: str) -> int:
        """Append whatever comes, as the stream does for one that expects nothing."""
        if kind == OWNER:
            for old in [each for each in self.entries.values() if each.kind == OWNER]:
                self._drop(old.sequence)
        self.last += 1
        entry = Entry(self.last, kind, message_id, data)
        self.entries[self.last] = entry
        self.history.append(entry)
        self._ids[message_id] = self.last, self.now()
        self.size += len(data)
        self.most = max(self.most, self.size)
        if kind == LOG:
            self.on_log(entry)
        else:
            claim = Claim.decode(data)
            latest = self.claims[-1][1] if self.claims else None
            if latest is None or latest.node != claim.node:
                if latest is not None and claim.epoch <= latest.epoch:
                    raise Violation(f"{claim} follows {latest}")
                self.claims.append((self.now(), claim))
        return self.last

    def at(self, sequence: int) -> Entry | None:
        return self.entries.get(sequence)

    def owner(self) -> Entry | None:
        return next((each for each in self.entries.values() if each.kind == OWNER), None)

    def read(self, after: int, most: int) -> list[Entry]:
        found = []
        for sequence in range(max(after + 1, self.first), self.last + 1):
            if sequence in self.entries:
                found.append(self.entries[sequence])
                if len(found) == most:
                    break
        return found

    def purge(self, first: int) -> None:
        for sequence in [each for each in self.entries if each < first]:
            self._drop(sequence)
        self.first = max(self.first, first)

    def log(self) -> list[tuple[int, list[operations.Operation]]]:
        """Return the operations of all messages that it ever had."""
        return [
            (each.sequence, list(operations.decode(each.data)[1]))
            for each in self.history
            if each.kind == LOG
        ]

    def _drop(self, sequence: int) -> None:
        self.size -= len(self.entries.pop(sequence).data)
        if sequence == self.first:
            self.first = min(self.entries, default=self.last + 1)


@attrs.define(eq=False)
class Line:
    """One server's way to the stream: a ``Stream``, as long as its process lives."""

    stream: SimulatedStream
    random: Random
    patience: float
    """Seconds for which an answer is waited."""
    lost: float = 0.0
    """The share of questions and of answers that are lost."""
    slow: float = 0.003
    """Seconds that a question or an answer may take."""
    cut: str | None = None
    """Which way nothing goes: ``both``, ``to NATS`` or ``from NATS``."""
    frozen: bool = False
    dead: bool = False
    id: bytes = STREAM
    _heard: int = 0
    _held: list[Callable[[], None]] = attrs.field(factory=list)
    _arrived: float = 0.0

    async def open(self) -> None:
        await self._ask(lambda: None)

    async def close(self) -> None:
        pass

    async def state(self) -> State:
        return await self._ask(self.stream.state)

    async def append(self, kind: str, data: bytes, message_id: str, expected: int) -> int:
        return await self._ask(lambda: self.stream.append(kind, data, message_id, expected))

    async def at(self, sequence: int) -> Entry | None:
        return await self._ask(lambda: self.stream.at(sequence))

    async def owner(self) -> Entry | None:
        return await self._ask(self.stream.owner)

    async def read(self, after: int, wait: float) -> list[Entry]:
        most = self.random.choice((1, 4, 64))
        until = asyncio.get_running_loop().time() + wait
        while True:
            found = await self._ask(lambda: self.stream.read(after, most))
            left = until - asyncio.get_running_loop().time()
            if found or left <= 0:
                return found
            await asyncio.sleep(min(left, 0.02))

    async def read_anew(self) -> None:
        pass

    async def purge(self, first: int) -> None:
        await self._ask(lambda: self.stream.purge(first))

    async def say(self, data: bytes) -> None:
        """Tell the others, unless that is lost on the way; nobody answers."""
        if self.frozen or self.dead or self.cut in ("both", "to NATS"):
            return
        if self.stream.has_majority and self.random.random() >= self.lost:
            self.stream.said.append(data)

    def heard(self) -> list[bytes]:
        found, self._heard = self.stream.said[self._heard :], len(self.stream.said)
        return [] if self.cut in ("both", "from NATS") else found

    def go_on(self) -> None:
        """Let what was held go, now that nothing is in its way."""
        held, self._held = self._held, []
        for each in held:
            each()

    async def _ask(self, effect: Callable[[], Answer]) -> Answer:
        """Send a question, and wait for the answer to it."""
        loop, random = asyncio.get_running_loop(), self.random
        answer: asyncio.Future[Answer] = loop.create_future()

        def answered(outcome: Answer | BaseException) -> None:
            if answer.done():
                return
            if self.frozen:
                self._held.append(lambda: answered(outcome))
            elif self.cut in ("both", "from NATS") or random.random() < self.lost:
                pass
            elif isinstance(outcome, BaseException):
                answer.set_exception(outcome)
            else:
                answer.set_result(outcome)

        def arrived() -> None:
            if not self.stream.has_majority or self.cut in ("both", "to NATS"):
                # What is written to a connection may come through when there is one again.
                if random.random() < 0.5:
                    self._held.append(arrived)
                return
            outcome: Answer | BaseException
            try:
                outcome = effect()
            except NotLastError as error:
                self.stream.refused += 1
                outcome = error
            except Violation as error:
                self.stream.broken = error
                return
            loop.call_later(random.random() * self.slow, answered, outcome)

        def send() -> None:
            if self.frozen:
                self._held.append(send)
            elif not self.dead and random.random() >= self.lost:
                # One connection: what is sent later does not come before.
                self._arrived = max(self._arrived, loop.time() + random.random() * self.slow)
                loop.call_at(self._arrived, arrived)

        send()
        try:
            async with asyncio.timeout(self.patience):
                return await answer
        except TimeoutError:
            raise NotAnsweredError("no answer in time") from None
