"""The thread that has to do with the cluster, and what a server is in its group at each moment.

One thread with an event loop of its own follows the stream, claims it, and sends what the owner
does; the tick never waits for it. A server goes through phases: it *connects*, *follows*, is
*elected* (it owns the stream, and its queues are to be read back), *owns*, has *lost* the stream to
another one, and follows again; or it has *failed* for a reason that somebody has to put right.
Whoever serves clients watches the phase, and calls ``serve``, ``leave`` and ``hand_over``.
"""

import asyncio
import contextlib
import logging
import secrets
import threading
import time
from collections.abc import Callable
from typing import Final, Literal, Protocol

import attrs

from starling_py.guard import Guard
from starling_py.journal.disk.files import Files
from starling_py.journal.disk.spool_lock import SpoolLock
from starling_py.journal.spool import make_path
from starling_py.replica.follower import (
    DivergedError,
    Follower,
    ForeignFilesError,
    shared_files,
)
from starling_py.replica.following import AGAIN, Following
from starling_py.replica.outbox import Outbox
from starling_py.replica.owner import Claim, LostError, Owner
from starling_py.replica.position import PositionFile
from starling_py.replica.shipped_files import ShippedFiles
from starling_py.replica.stream import ClusterError, NotAnsweredError, Stream
from starling_py.replica.stream_ledger import BOUND

log = logging.getLogger(__name__)

LATE: Final = 0.5
"""Times the take-over that an answer may take before clients are kept waiting for it."""
STALLED: Final = 2.0
"""Times the take-over without an answer after which the owner ends its connections."""
GIVEN_UP: Final = 5.0
"""Times the take-over without an answer after which clients are told so at once."""

Phase = Literal["connects", "follows", "elected", "owns", "lost", "failed", "ended"]


class OpenedStream(Stream, Protocol):
    """A stream that is connected to."""

    async def open(self) -> None:
        """Connect. Raises ``NotAnsweredError`` and ``ClusterError``."""

    async def close(self) -> None:
        """Leave it."""


@attrs.frozen
class Group:
    """What a server is in its group."""

    address: str
    """Where clients find it while it is the owner."""
    takeover: float
    """In seconds."""
    bound: int = BOUND
    """Bytes that the stream may take beyond twice those of the files."""


class Link:
    """The thread, and the phase that this server is in."""

    def __init__(
        self,
        make_stream: Callable[[], OpenedStream],
        group: Group,
        files: Files,
        spool: str,
        started: bytes,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Tell the system's starts apart by ``started``, 16 bytes; ``now`` returns seconds."""
        self._make_stream = make_stream
        self._group = group
        self._files = files
        self._spool = spool
        self._started = started
        self._now = now
        self._guard = Guard()
        self.phase: Phase = "connects"
        self.on_change: Callable[[], None] = lambda: None
        """Called in the thread when the phase has changed."""
        self.why = ""
        """Why it failed."""
        self.took_over = 0
        """When this server became the owner last, as a Unix time in seconds; 0 if it never was."""
        self._owner: Owner | None = None
        self._outbox = Outbox()
        self._following: Following | None = None
        self._left: asyncio.Event
        self._ends: asyncio.Event
        self._hands_over = False
        self._loop: asyncio.AbstractEventLoop
        self._runs = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cluster", daemon=True)

    def start(self) -> None:
        """Begin to connect; the process must not fork afterwards."""
        self._thread.start()
        self._runs.wait()

    def shipped_files(self) -> ShippedFiles:
        """Return the files of the owner; in the phase *elected*."""
        owner = self._owner
        assert owner is not None
        files = owner.files
        assert files is not None
        return files

    def flush(self) -> None:
        """Return when the stream has all that was done. Raises ``OSError``: it never will."""
        self._outbox.flush()

    def serve(self) -> None:
        """Go from *elected* to *owns*: the queues are read back."""
        if self.phase == "elected":
            self._enter("owns")

    def leave(self) -> None:
        """Go on from *lost*: nothing here uses the files any more."""
        if self.phase != "lost":
            return
        self.phase = "connects"
        self._soon(self._left.set)

    def hand_over(self) -> None:
        """Go from *owns* to following, once the stream has everything; nothing uses the files.

        Another server may be the owner at once then; if none is, this one is it again after a
        take-over.
        """
        owner = self._owner
        if self.phase != "owns" or owner is None:
            return
        self._hands_over = True
        self._following = None  # what it has heard is of the time before
        self.phase = "connects"
        self._soon(owner.end)

    def end_in_order(self, patience: float) -> None:
        """End as the owner hands over; wait no longer than ``patience``, in seconds."""
        self._hands_over = True
        self.end(patience)

    def end(self, patience: float = 5.0) -> None:
        """End the thread."""
        self._soon(self._ends.set)
        self._thread.join(patience)
        self._outbox.close("the server ends")
        self._thread.join(1)

    @property
    def serves(self) -> bool:
        """Whether clients are served, or could be if the cluster answered."""
        return self.phase == "owns"

    @property
    def is_over(self) -> bool:
        """Whether this server is the owner no more, or will never be anything."""
        return self.phase in ("lost", "failed", "ended")

    @property
    def silent_for(self) -> float:
        """For how many seconds the owner has waited for an answer."""
        owner = self._owner
        return 0.0 if owner is None else owner.silent_for()

    @property
    def is_late(self) -> bool:
        """Whether an answer takes so long that clients are to be kept waiting."""
        return self.silent_for > LATE * self._group.takeover

    @property
    def is_stalled(self) -> bool:
        """Whether no answer comes: another server may be the owner by now."""
        return self.silent_for > STALLED * self._group.takeover

    @property
    def is_given_up(self) -> bool:
        """Whether no answer has come for so long that nobody should wait for one."""
        return self.silent_for > GIVEN_UP * self._group.takeover

    @property
    def role(self) -> str:
        """``owner`` or ``follower``."""
        return "owner" if self.phase in ("elected", "owns") else "follower"

    @property
    def owner_address(self) -> str:
        """Where the owner is, as far as is known; empty if it is not."""
        if self.role == "owner":
            return self._group.address
        following = self._following
        claim = None if following is None else following.owner
        return "" if claim is None or claim.released else claim.address

    @property
    def answers(self) -> bool:
        """Whether the cluster answers."""
        if self._owner is not None:
            return not self.is_stalled
        following = self._following
        return following is not None and following.answers

    @property
    def lag(self) -> int:
        """Messages of the stream that this server has not applied, or that were not answered."""
        if self._owner is not None:
            return self._outbox.added - self._outbox.answered
        return 0 if self._following is None else self._following.lag

    @property
    def standbys(self) -> list[str]:
        """The addresses of the servers that could take over at once; of an owner alone."""
        owner = self._owner
        return [] if owner is None else owner.standbys()

    @property
    def epoch(self) -> int:
        """How often the owner has changed."""
        owner, following = self._owner, self._following
        if owner is not None:
            return owner.claim.epoch
        claim = None if following is None else following.owner
        return 0 if claim is None else claim.epoch

    def _soon(self, call: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is over
            self._loop.call_soon_threadsafe(call)

    def _enter(self, phase: Phase) -> None:
        if self.phase not in ("failed", "ended"):
            self.phase = phase
        self.on_change()

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except Exception as error:
            self._guard.caught("the cluster's thread")
            self.why = f"an error in the cluster's thread: {error!r}"
            self._outbox.close("the server ends")
            self._enter("failed")
        self._runs.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._left, self._ends = asyncio.Event(), asyncio.Event()
        self._runs.set()
        life = asyncio.create_task(self._live())
        ends = asyncio.create_task(self._ends.wait())
        await asyncio.wait((life, ends), return_when=asyncio.FIRST_COMPLETED)
        ends.cancel()
        if self._owner is not None:
            self._owner.end()
        else:
            life.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await life

    async def _live(self) -> None:
        stream = self._make_stream()
        try:
            make_path(self._files, self._spool, syncs=True)
            await self._connect(stream)
            while not self._ends.is_set():
                await self._follow_and_own(stream)
        except BlockingIOError:
            self._fail(f"{self._spool}: another server is using this spool")
        except (ClusterError, ForeignFilesError) as error:
            self._fail(str(error))
        except OSError as error:
            self._fail(f"{error.filename or self._spool}: {error.strerror or error}")
        finally:
            await stream.close()

    def _fail(self, why: str) -> None:
        self.why = why
        self._outbox.close(why)
        self._enter("failed")

    async def _connect(self, stream: OpenedStream) -> None:
        told = False
        while True:
            try:
                await stream.open()
                return
            except NotAnsweredError as error:
                if not told:
                    log.warning("the cluster does not answer; trying again: %s", error)
                told = True
                await asyncio.sleep(5 * AGAIN)

    async def _follow_and_own(self, stream: Stream) -> None:
        """Follow, own and lose the stream once."""
        node = secrets.token_hex(6)
        position = PositionFile(self._files, self._spool, self._started)
        follower = Follower(self._files, self._spool, position, stream.id)
        group = self._group
        following = Following(stream, follower, node, group.address, group.takeover, self._now)
        self._following = following
        lock = SpoolLock(self._files, self._spool)
        self._enter("follows")
        try:
            claim = await following.run()
        except DivergedError as error:
            log.error("%s; the files are built anew", error)
            follower.distrust()
            follower.close()
            return
        except asyncio.CancelledError:
            follower.stop(follower.position.sequence, follower.position.number)
            await following.leave()
            raise
        finally:
            lock.close()
        await self._own(stream, follower, claim)

    async def _own(self, stream: Stream, follower: Follower, claim: Claim) -> None:
        takeover, sequence = self._group.takeover, follower.position.sequence
        self._outbox = outbox = Outbox(claim.number)
        owner = Owner(
            stream,
            outbox,
            follower.ledger,
            claim,
            sequence,
            takeover,
            self._now,
            self._group.bound,
        )
        owner.files = ShippedFiles(self._files, self._spool, outbox)
        try:
            if follower.adopts:
                log.info("%s: is put into the stream", self._spool)
                await owner.adopt(shared_files(self._files, self._spool))
            follower.own()
            self._owner = owner
            self.took_over = int(time.time())
            log.warning("this server is the owner now, in epoch %d", claim.epoch)
            self._enter("elected")
            await owner.run()
            if self._hands_over:
                await owner.hand_over()
                log.warning("handed over")
                follower.stop(owner.last, owner.claim.number)
        except LostError:
            log.warning("another server is the owner")
        finally:
            outbox.close("another server is the owner")
            follower.close()
        self._owner = None
        if self._hands_over or self._ends.is_set():
            self._hands_over = self._ends.is_set()  # nothing uses the files any more
            return
        self._enter("lost")
        await self._left.wait()
        self._left.clear()
