"""A server that is not the owner: applies what the stream has, and takes over when nobody owns it.

It hears of the owner by each message. When nothing was heard for the time of a take-over, although
the stream answers, it appends that it is the owner now, expecting the last message that it has
applied: that succeeds for one server alone, and only if it has everything. No clock is trusted for
more than when to try. Silence counts only while the stream answers, so that the owner is not
blamed for an election among the servers of the stream.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final

from starling_py.replica import stream as streams
from starling_py.replica.follower import Follower
from starling_py.replica.owner import Claim
from starling_py.replica.standbys import SAID, Report
from starling_py.replica.stream import Entry, NotAnsweredError, NotLastError, Stream

log = logging.getLogger(__name__)

AGAIN: Final = 0.1
"""Seconds from one question to the next while the cluster does not answer."""


class Following:
    """One time of following, from a start to the claim."""

    def __init__(
        self,
        stream: Stream,
        follower: Follower,
        node: str,
        address: str,
        takeover: float,
        now: Callable[[], float],
    ) -> None:
        """``node`` is this server's name for this time; times are in seconds."""
        self._stream = stream
        self._follower = follower
        self._node = node
        self._address = address
        self._takeover = takeover
        self._now = now
        self._heard = now()
        self._said = now()
        self._tries = 0
        self._claimed = ""
        self.owner: Claim | None = None
        """Who owns the stream, as far as was heard."""
        self.last = 0
        """The number of the stream's last message, as far as is known."""
        self.answers = True
        """Whether the stream has answered lately."""

    @property
    def lag(self) -> int:
        """How many messages are not applied yet."""
        return max(self.last - self._follower.position.sequence, 0)

    async def run(self) -> Claim:
        """Follow until this server is the owner; return what it claimed.

        The follower's position is that of the claim then. Raises ``OSError``,
        ``ForeignFilesError`` and ``DivergedError``, which a new start may cure.
        """
        await self._start()
        while True:
            try:
                claim = await self._step()
            except NotAnsweredError:
                self.answers = False
                self._heard = self._now()
                await asyncio.sleep(AGAIN)
                continue
            if claim is not None:
                return claim

    async def leave(self) -> None:
        """Tell the others that this server will not take over."""
        await self._say(whole=False)

    async def _say(self, *, whole: bool) -> None:
        self._said = self._now()
        sequence = self._follower.position.sequence
        report = Report(self._node, self._address, sequence, whole)
        await self._stream.say(report.encode())

    async def _start(self) -> None:
        while True:
            try:
                state = await self._stream.state()
                latest = await self._stream.owner()
                break
            except NotAnsweredError:
                self.answers = False
                await asyncio.sleep(AGAIN)
        self.last = state.last
        self._follower.start(state.first, state.last)
        if latest is not None:
            self.owner = Claim.decode(latest.data)  # it may not be read again
        await self._stream.read_anew()
        self._heard = self._now()

    async def _step(self) -> Claim | None:
        """Apply what there is, and claim the stream if its time has come."""
        follower = self._follower
        entries = await self._stream.read(follower.position.sequence, self._takeover / 10)
        for entry in entries:
            self.answers = True
            self._heard = self._now()
            self.last = max(self.last, entry.sequence)
            claim = self._take(entry)
            if claim is not None:
                return claim
        silent = self._now() - self._heard
        if self._now() >= self._said + SAID * self._takeover:
            await self._say(whole=follower.whole)
        released = self.owner is not None and self.owner.released
        if not released and (entries or (silent < self._takeover / 2 and self.answers)):
            return None
        state = await self._stream.state()
        self.answers = True
        self.last = max(self.last, state.last)
        if state.last > follower.position.sequence:
            await self._stream.read_anew()
            return None
        if follower.whole and (silent >= self._takeover or released or not state.last):
            return await self._claim()
        return None

    def _take(self, entry: Entry) -> Claim | None:
        if entry.kind == streams.LOG:
            self._follower.apply(entry.sequence, entry.data)
            return None
        claim = Claim.decode(entry.data)
        self._follower.passed(entry.sequence, claim.number)
        if self.owner is None or claim.epoch != self.owner.epoch:
            log.info("the owner is %s, since epoch %d", claim.address, claim.epoch)
        self.owner = claim
        if entry.message_id == self._claimed:
            return claim  # the answer to it was lost
        return None

    async def _claim(self) -> Claim | None:
        """Try to become the owner: with everything that the stream has, or not at all."""
        follower = self._follower
        epoch = 1 if self.owner is None else self.owner.epoch + 1
        claim = Claim(self._node, self._address, epoch, follower.position.number)
        self._tries += 1
        self._claimed = f"{self._node}.claim.{self._tries}"
        expected = follower.position.sequence
        try:
            sequence = await self._stream.append(
                streams.OWNER, claim.encode(), self._claimed, expected
            )
        except NotLastError:
            # There is more, of the owner or of one that was quicker; not all at once again.
            await asyncio.sleep(random.random() * self._takeover / 20)
            return None
        follower.passed(sequence, follower.position.number)
        self.last = sequence
        return claim
