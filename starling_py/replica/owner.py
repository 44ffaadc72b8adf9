"""The owner's side of the stream: sends what the outbox has, and is the owner as long as it can.

Every append expects the number of the last message that this server knows of. If another server has
appended, it is refused: then this one is the owner no more (``lost``), and nothing that was not
answered was ever promised. What stays without an answer is looked for in the stream, and asked for
again with the same id. Messages are sent several at a time, with the numbers that they will have.
A server that has nothing to say says that it is there, which also shows it whether it still is.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Sequence
from typing import Final

import attrs

from starling_py.replica import stream as streams
from starling_py.replica.outbox import Message, Outbox
from starling_py.replica.shipped_files import ShippedFiles
from starling_py.replica.standbys import Standbys
from starling_py.replica.stream import NotAnsweredError, NotLastError, Stream
from starling_py.replica.stream_ledger import BOUND, StreamLedger

log = logging.getLogger(__name__)

AT_ONCE: Final = 32
"""Messages that are under way at the same time."""
AGAIN: Final = 0.1
"""Seconds from one question to the next while the cluster does not answer."""
RECLAIMS: Final = 2.0
"""Seconds from one look at what is dead in the stream to the next."""
PURGES: Final = 64
"""Dead messages that are worth a purge."""


class LostError(Exception):
    """Another server is the owner."""


@attrs.frozen
class Claim:
    """Who owns the stream: what a message by ``OWNER`` says."""

    node: str
    """Told apart from every other server, and from itself before a restart."""
    address: str
    """Where clients find it."""
    epoch: int
    """How often the owner has changed."""
    number: int
    """Of the last message with operations before this."""
    released: bool = False
    """Whether it is the owner no more, and anybody may be it at once."""

    def encode(self) -> bytes:
        """Return its bytes."""
        return json.dumps(attrs.asdict(self)).encode()

    @classmethod
    def decode(cls, data: bytes) -> "Claim":
        """Read what another server has said. Raises ``ValueError``."""
        told = json.loads(data)
        try:
            return cls(*(told[each.name] for each in attrs.fields(cls)))
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is no claim: {error}") from error


class Owner:
    """One time of being the owner, from the claim on."""

    def __init__(
        self,
        stream: Stream,
        outbox: Outbox,
        ledger: StreamLedger,
        claim: Claim,
        last: int,
        takeover: float,
        now: Callable[[], float],
        bound: int = BOUND,
    ) -> None:
        """``last`` is the number of the claim in the stream; times are in seconds."""
        self._stream = stream
        self._outbox = outbox
        self._ledger = ledger
        self.claim = claim
        self.last = last
        """The number of the last message that the stream is known to have."""
        self._takeover = takeover
        self._beat = takeover / 10
        self._now = now
        self._bound = bound
        self._asked: float | None = None
        self._said = now()
        self._beats = 0
        self._reclaim_at = now() + RECLAIMS
        self._standbys = Standbys(takeover)
        self._wake = asyncio.Event()
        self._ends = False
        self.lost = False
        """Whether another server is the owner."""
        self.files: ShippedFiles | None = None
        """Where files are read to be told again."""
        self._loop = asyncio.get_running_loop()
        outbox.wake = self._woken

    def silent_for(self) -> float:
        """Return for how many seconds the stream owes an answer; in any thread."""
        asked = self._asked
        return 0.0 if asked is None else self._now() - asked

    def standbys(self) -> list[str]:
        """Return the addresses of the servers that could take over at once; in any thread."""
        return self._standbys.ready(self._now())

    async def run(self) -> None:
        """Send what there is until ``end``; ``LostError`` if another server is the owner."""
        while not self._ends:
            self._wake.clear()
            await self._send()
            if self._now() >= self._said + self._beat:
                await self._send(all_of_it=True)
                if self._now() >= self._said + self._beat:
                    await self._say(self.claim)
            self._standbys.hear(self._stream.heard(), self._now(), self.last)
            if self._now() >= self._reclaim_at:
                await self._reclaim()
            wait = max(self._said + self._beat - self._now(), 0.001)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()

    def end(self) -> None:
        """Have ``run`` return when what is under way was answered."""
        self._ends = True
        self._wake.set()

    async def adopt(self, paths: Sequence[str]) -> None:
        """Tell the files that are there already."""
        for path in paths:
            await self._restate(path)

    async def hand_over(self) -> None:
        """Send what is left, and let anybody be the owner; ``run`` must be over.

        Raises ``LostError``.
        """
        await self._send(all_of_it=True)
        self.claim = attrs.evolve(self.claim, released=True)
        await self._say(self.claim)

    def _woken(self) -> None:
        """Have ``run`` look for messages; in any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is over
            self._loop.call_soon_threadsafe(self._wake.set)

    async def _send(self, *, all_of_it: bool = False) -> None:
        """Send messages until there are none."""
        while True:
            messages: list[Message] = []
            while len(messages) < AT_ONCE:
                message = self._outbox.take(all_of_it=all_of_it)
                if message is None:
                    break
                messages.append(message)
            if not messages:
                return
            datas = [each.encode() for each in messages]
            ids = [f"{self.claim.node}.{each.number}" for each in messages]
            self.claim = attrs.evolve(self.claim, number=messages[-1].number)

            def answered(at: int, messages: list[Message] = messages) -> None:
                self._ledger.note(self.last, messages[at].operations)
                self._outbox.answer(messages[at])

            await self._append(streams.LOG, datas, ids, answered)

    async def _say(self, claim: Claim) -> None:
        self._beats += 1
        message_id = f"{claim.node}.owner.{self._beats}"
        await self._append(streams.OWNER, [claim.encode()], [message_id], lambda _: None)

    async def _append(
        self,
        kind: str,
        datas: Sequence[bytes],
        ids: Sequence[str],
        answered: Callable[[int], None],
    ) -> None:
        """Append messages, in order, however often they have to be sent. Raises ``LostError``.

        ``answered`` is called for each, once it is in the stream and ``last`` is its number.
        """
        done = 0
        self._asked = self._now()
        while done < len(datas):
            calls = [
                self._stream.append(kind, data, message_id, self.last + at)
                for at, (data, message_id) in enumerate(zip(datas[done:], ids[done:], strict=True))
            ]
            for outcome in await asyncio.gather(*calls, return_exceptions=True):
                if outcome != self.last + 1:
                    if not isinstance(outcome, int | NotAnsweredError | NotLastError):
                        log.error("an append failed: %r", outcome)
                    break
                self.last += 1
                answered(done)
                done += 1
                self._asked = self._said = self._now()
            if done < len(datas):
                found = await self._look_for(ids[done:])
                for _ in range(found):
                    self.last += 1
                    answered(done)
                    done += 1
                    self._asked = self._said = self._now()
        self._asked = None

    async def _look_for(self, ids: Sequence[str]) -> int:
        """Return how many messages of these are in the stream behind the last one known of.

        If something else is there, this server is the owner no more: ``LostError``.
        """
        while True:
            try:
                state = await self._stream.state()
                if state.last < self.last:
                    log.critical("the stream ends at %d, and had %d", state.last, self.last)
                    await asyncio.sleep(10 * AGAIN)
                    continue
                found = 0
                for message_id in ids[: state.last - self.last]:
                    entry = await self._stream.at(self.last + found + 1)
                    if entry is None or entry.message_id != message_id:
                        break
                    found += 1
            except NotAnsweredError:
                await asyncio.sleep(AGAIN)
                continue
            if self.last + found < state.last:
                self.lost = True
                raise LostError
            return found

    async def _reclaim(self) -> None:
        """Drop what is dead; where that is too much, tell the files again that keep it."""
        self._reclaim_at = self._now() + RECLAIMS
        try:
            state = await self._stream.state()
            for path in self._ledger.victims(state.first, state.last, state.size, self._bound):
                await self._restate(path)
            needed = self._ledger.first_needed(self.last)
            worth = 1 if self._ledger.is_too_long(state.size, self._bound) else PURGES
            if needed - state.first >= worth:
                # While there is much to do, the last time that this was said may be long ago.
                await self._say(self.claim)
                await self._stream.purge(needed)
        except NotAnsweredError as error:
            log.info("the stream is not made shorter for now: %s", error)

    async def _restate(self, path: str) -> None:
        if self.files is None:
            return
        for _ in self.files.restate(path):
            await self._send(all_of_it=True)
        await self._send(all_of_it=True)
        if path in self._ledger.files and not self.files.is_there(path):
            del self._ledger.files[path]
