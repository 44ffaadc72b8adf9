"""The journal of one queue, as it is written.

Records collect in memory until ``write`` puts all of them into the last segment with one call;
nobody may be told of an operation before that, and the ledger does not know of it. Nothing here
waits for the disk but that one write: what has to be synced, read back, copied or removed is
handed over as work for another thread, and its outcome comes back here. A journal whose file went
bad is *broken*: it takes no record until it has been healed.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

import attrs

from starling_py.journal.background import Background, Work
from starling_py.journal.blocks import Position, Reading
from starling_py.journal.chores import Chores
from starling_py.journal.compaction import Compaction, Compactor
from starling_py.journal.files import Files
from starling_py.journal.healing import Healing
from starling_py.journal.ledger import Ledger
from starling_py.journal.open_files import OpenFiles
from starling_py.journal.record import Item
from starling_py.journal.recovery import DAMAGED_SUFFIX
from starling_py.journal.reserve import Reserve
from starling_py.journal.segment import Segment
from starling_py.journal.segment_writer import (
    NO_ROOM,
    Place,
    SegmentWriter,
    Spoiled,
    Syncing,
)
from starling_py.journal.trouble import JournalError
from starling_py.journal.unwritten import Unwritten

log = logging.getLogger(__name__)

_AT_ONCE = 3
"""Segments that one piece of reading may look at: it ends in the first one that has anything."""
_SMALL = 1 << 16
"""Bytes of a segment that is not worth giving up early."""


@attrs.frozen
class Durability:
    """What every journal of a server has in common."""

    syncs: bool
    """Whether anything is ever synced (every policy but ``never``)."""
    segment_size: int
    """Bytes after which a new segment is begun."""
    waits: bool = False
    """Whether replies wait for the sync, so that nothing unsafe was ever acknowledged."""


@attrs.frozen
class Surroundings:
    """What all journals of a spool share."""

    files: Files
    durability: Durability
    touch: Callable[["Journal"], None]
    """Called when the first record since the last ``write`` of a journal is added."""
    broke: Callable[["Journal"], None]
    """Called when a journal has to be healed."""
    background: Background
    reserve: Reserve
    open_files: OpenFiles


class Owner(Protocol):
    """Whose operations a journal records."""

    def committed(self) -> None:
        """Take notice that all operations up to now are written."""

    def rolled_back(self) -> None:
        """Take the ledger's word for what is live: operations are undone, or files changed."""

    def settled(self) -> None:
        """Take notice that all that is written is as safe as the policy makes it."""

    def moved(self, segments: Sequence[Segment], replacement: Segment) -> None:
        """Take notice that one segment has taken the place of others."""


class Journal:
    """One queue's records on their way to disk and back."""

    def __init__(
        self, around: Surroundings, place: Place, ledger: Ledger, *, must_begin: bool = False
    ) -> None:
        """``must_begin``: the last segment is of an older version, and not to be written to."""
        self._around = around
        self._place = place
        self._durability = around.durability
        self._writer = SegmentWriter(place, around.open_files, around.durability.segment_size)
        self._must_begin = must_begin
        self._unwritten = Unwritten(place.salt, ledger.next_id - 1)
        self._unsynced: list[bytes] = []
        self._unsynced_when_syncing = 0
        last = ledger.segments[-1] if ledger.segments else None
        self._safe = None if last is None else (last.number, last.size)
        self._written = self._written_when_syncing = self._written_safe = 0
        self._dying: list[Segment] = []
        self._unreadable: set[int] = set()
        self._writing = False
        self._chores = Chores(
            around.background, place.files, lambda: around.broke(self), self._tell_settled
        )
        self._compactor = Compactor(
            place, self._chores, around.durability.segment_size, self._compacted
        )
        self.ledger = ledger
        """What is live, as of the last successful ``write``."""
        self.owner: Owner | None = None
        """Who hears of the outcome of each ``write``."""
        self.broken: str | None = None
        """Why the journal takes no more records for now; ``None`` while it does."""
        self.failure = ""
        """Why the last write or sync that failed did so."""
        self.rotations = 0
        """Segments begun since the server started, beside the first."""
        self.compactions = 0
        """Times that segments were replaced by what was live in them."""

    @property
    def path(self) -> str:
        """The directory that holds the segments."""
        return self._place.directory

    @property
    def queue(self) -> bytes:
        """The queue's name."""
        return self._place.queue

    @property
    def next_id(self) -> int:
        """The id that the next item gets; as of the last successful ``write``."""
        return self.ledger.next_id

    @property
    def busy(self) -> bool:
        """Whether anything is done on the files in the background."""
        return self._chores.busy

    @property
    def unwritten_removals(self) -> list[Item]:
        """The items whose removals are not written yet, so that the ledger counts them."""
        return self._unwritten.removed

    @property
    def size(self) -> int:
        """Bytes of all segments on disk."""
        return self.ledger.size + sum(each.size for each in self._dying)

    @property
    def end_path(self) -> str:
        """The file that is written to, or the directory while there is none."""
        segments = self.ledger.segments
        return segments[-1].path if segments else self.path

    @property
    def end(self) -> Position:
        """Where the next record goes, unless a segment is begun before."""
        segments = self.ledger.segments
        return (segments[-1].number, segments[-1].size) if segments else (1, 0)

    def push(self, item: Item) -> None:
        """Add the record of a put. Raises ``JournalError`` when it cannot be taken."""
        if self.broken is not None:
            raise JournalError(self.broken)
        if self._around.reserve.short and not self._around.reserve.restore():
            raise JournalError("the disk is full")
        unwritten = self._unwritten
        if not unwritten.records:
            self._around.touch(self)
        unwritten.push(item)

    def remove(self, item: Item) -> None:
        """Add the record of a removal. Raises ``JournalError`` when the journal is broken."""
        if self.broken is not None:
            raise JournalError(self.broken)
        unwritten = self._unwritten
        if not unwritten.records:
            self._around.touch(self)
        unwritten.remove(item)

    def flush(self, *, delete: bool = False) -> None:
        """Add the record of a flush, or of the queue's deletion.

        Raises ``JournalError`` when the journal is broken.
        """
        self._touch()
        self._unwritten.flush(delete=delete)

    def discard(self, damaged: Segment, first_id: int, items: int, size: int) -> None:
        """Give up what a segment, which is not the last, holds from an id on: it cannot be read.

        It is not read any more, and gets a second name, so that it outlasts its items. Raises
        ``JournalError`` when the journal is broken.
        """
        segments = self.ledger.segments
        last_id = next(each.first_id for each in segments if each.number > damaged.number) - 1
        self._touch()
        self._unwritten.discard(first_id, last_id, items, size)
        self._unreadable.add(damaged.number)
        try:
            self._place.files.link(damaged.path, damaged.path + DAMAGED_SUFFIX)
        except FileExistsError:
            return
        except OSError as error:
            log.warning("%s: cannot be kept aside: %s", damaged.path, error)

    def write(self) -> None:
        """Put the collected records into the last segment.

        Raises ``JournalError`` when they could not be written; then nothing counts that was
        collected.
        """
        unwritten = self._unwritten
        self._unwritten = Unwritten(self._place.salt, unwritten.pushed_id)
        data = b"".join(unwritten.records)
        try:
            if self.broken is not None:
                raise JournalError(self.broken)
            self._writing = True
            self._write(data, removals_only=not unwritten.pushes)
        except (OSError, JournalError) as error:
            self._unwritten.pushed_id = self.ledger.next_id - 1
            self._unreadable.clear()
            log.error("%s: journal cannot be written: %s", self.end_path, error)
            if isinstance(error, Spoiled):
                self._break("cannot be written", error)
            self.failure = self.broken or f"journal cannot be written: {_reason(error)}"
            raise JournalError(self.failure) from error
        finally:
            self._writing = False
        before = self.ledger.items
        unwritten.apply(self.ledger)
        self._around.reserve.changed(self.ledger.items - before)
        self._written += 1
        if self._durability.syncs and not self._durability.waits:
            self._unsynced.append(data)

    def begin_sync(self) -> Syncing | Healing | None:
        """Return what makes all that was written safe; ``None`` if there is nothing to do."""
        if self.broken is not None:
            return self._healing() if self._chores.begin_healing() else None
        if not self.ledger.segments:
            return None
        syncing = self._writer.begin_sync(self.ledger.segments[-1])
        if syncing is not None:
            self._dying = self.ledger.take_dead(self._compactor.segments)
            self._unsynced_when_syncing = len(self._unsynced)
            self._written_when_syncing = self._written
            self._choose()
        return syncing

    def end_sync(self, work: Syncing | Healing, error: OSError | None) -> None:
        """Take the outcome of what ``begin_sync`` returned."""
        if isinstance(work, Healing):
            self._end_healing(work)
            self._chores.free()
            return
        if error is not None:
            self._break("cannot be synced", error)
            return
        if self.broken is not None or not self.ledger.segments:
            return
        self._safe = work.end
        self._written_safe = self._written_when_syncing
        del self._unsynced[: self._unsynced_when_syncing]
        last = self.ledger.segments[-1]
        unchanged = self._written == self._written_when_syncing
        self._writer.end_sync(last, work, unchanged=unchanged)
        self.settle()

    def settle(self) -> None:
        """Do what had to wait until the records that were written were safe.

        Under a policy that syncs, ``end_sync`` calls it.
        """
        if not self._durability.syncs:
            self._dying += self.ledger.take_dead(self._compactor.segments)
            self._choose()
        dying, self._dying = self._dying, []
        self._chores.remove([each.path for each in dying])
        if self._around.reserve.short and self.ledger.segments and self._is_due():
            self._around.touch(self)  # so that the next segment is begun, and this one can go
        self._compactor.begin()
        self._tell_settled()

    def read(
        self,
        where: Callable[[], tuple[int, Position | None, int, int]],
        done: Callable[[int, Reading], None],
    ) -> None:
        """Begin to read items back; ``done`` is called when that is over.

        ``where`` is asked when the reading begins: for a mark that is handed back to ``done``; a
        position, or ``None`` if it is to be looked for; the id of the item before the first one
        that is wanted; and how many bytes there is room for.
        """

        def make() -> tuple[Work, Callable[[], None]]:
            ledger = self.ledger
            mark, position, after_id, room = where()
            behind = max(after_id, ledger.head - 1)
            if not ledger.segments:
                position = self.end
            elif position is None or ledger.segment(position[0]) is None:
                position = (ledger.segment_of(behind + 1).number, 0)
            index = ledger.index(position[0])
            segments = [
                attrs.evolve(each)
                for each in ledger.segments[index : index + _AT_ONCE]
                if each.number not in self._unreadable
            ]
            complete = index + _AT_ONCE >= len(ledger.segments)
            place, gone = self._place, ledger.gone.copy()
            reading = Reading(
                place.files, place.salt, segments, position, behind, gone, room, complete
            )
            return reading, lambda: done(mark, reading)

        self._chores.submit(make)

    def seal(self, size: int) -> None:
        """Have the next ``write`` begin a new segment if the last one has more than ``size`` bytes.

        This is for the end of a server: the next start reads the last segment.
        """
        segments = self.ledger.segments
        if segments and segments[-1].size > size and self.broken is None:
            self._must_begin = True
            self._around.touch(self)

    def close(self) -> None:
        """Close the open segment; the journal may be used again afterwards."""
        self._writer.close()

    def remove_from(self, aside: str) -> None:
        """Take the journal out of its place, giving its directory the path ``aside``.

        The renaming is what makes the removal whole: were files to vanish one by one from their
        place, a power cut could leave the older ones without the record that voids them.
        Raises ``OSError`` when the journal is still in its place.
        """
        if self.ledger.segments:
            self._place.files.rename(self.path, aside)
        self.close()
        self._around.reserve.changed(-self.ledger.items)
        self.ledger = Ledger()
        self._dying.clear()

    def _touch(self) -> None:
        if self.broken is not None:
            raise JournalError(self.broken)
        if not self._unwritten.records:
            self._around.touch(self)

    def _choose(self) -> None:
        # On a full disk, copies must not take the room that removals need.
        self._compactor.choose(self.ledger, _SMALL if self._around.reserve.short else None)

    def _write(self, data: bytes, *, removals_only: bool) -> None:
        self._make_ready()
        last = self.ledger.segments[-1]
        self._lent(lambda: self._writer.append(last, data), len(data), removals_only=removals_only)

    def _lent(self, write: Callable[[], None], size: int, *, removals_only: bool) -> None:
        """Write, and on a full disk once more, in the room that was reserved."""
        try:
            write()
        except OSError as error:
            lend = self._around.reserve.lend
            if error.errno not in NO_ROOM or not lend(size, removals_only=removals_only):
                raise
            write()

    def _is_due(self) -> bool:
        """Tell whether the next segment is to be begun.

        On a full disk that only makes sense if it helps to give up the present one.
        """
        last = self.ledger.segments[-1]
        if self._around.reserve.short:
            worth = last.size > max(_SMALL, self._writer.put_off_until)
            return worth and 2 * last.waste > last.size and self._writer.ready
        return self._writer.is_due(self.ledger)

    def _make_ready(self) -> None:
        """Begin a segment where one is due."""
        ledger, writer = self.ledger, self._writer
        if not ledger.segments:
            writer.begin_first(ledger)
        elif self._must_begin or self._is_due():
            last = ledger.segments[-1]
            try:
                self._lent(lambda: writer.begin(ledger, last.size), _SMALL, removals_only=False)
            except OSError as error:
                if self._must_begin:
                    raise
                log.warning("%s: no new segment can be begun: %s", self.path, error)
                writer.put_off(last.size)
            else:
                self._must_begin = False
                self.rotations += 1

    def _tell_settled(self) -> None:
        unsafe = self.broken is not None or (
            self._durability.syncs and self._written != self._written_safe
        )
        # A deleted queue's journal must not go in the middle of a write, or while it is worked on.
        if self.owner is not None and not unsafe and not self._writing and not self.busy:
            self.owner.settled()

    def _compacted(self, work: Compaction) -> None:
        """Take the outcome of copying forward."""
        self.ledger.has_dead = True
        if work.error is not None:
            log.error("%s: cannot copy items forward: %s", self.path, work.error)
        replacement = work.replacement
        if replacement is None:
            return
        if not self.ledger.replace({each.number for each in work.segments}, replacement):
            self._chores.remove([replacement.path])
            return
        self.compactions += 1
        if self.owner is not None:
            self.owner.moved(work.segments, replacement)
        if work.error is None:
            self._chores.remove([each.path for each in work.segments[:-1]])
        elif isinstance(work.error, OSError):
            # No segment may be begun that builds on the replacement before that is safe.
            self._break("cannot be synced", work.error)

    def _healing(self) -> Healing:
        """Return the work that saves what is acknowledged into a fresh segment."""
        base = None if self._durability.syncs else self.ledger.copy()
        last = max((each.number for each in self.ledger.segments), default=0)
        self._writer.highest = max(self._writer.highest, last) + 1
        return Healing(self._place, self._writer.highest, self._safe, base, list(self._unsynced))

    def _end_healing(self, work: Healing) -> None:
        if work.error is not None or work.descriptor is None:
            log.critical("%s: cannot be healed for now: %s", self.path, work.error)
            return
        kept = {each.path for each in work.ledger.segments}
        needless = [each.path for each in self.ledger.segments if each.path not in kept]
        self._around.reserve.changed(work.ledger.items - self.ledger.items)
        self.ledger = work.ledger
        self._unwritten.pushed_id = self.ledger.next_id - 1
        last = self.ledger.segments[-1]
        self._writer.adopt(work.descriptor, last.number)
        self._safe = (last.number, last.size)
        self._unsynced.clear()
        self._unsynced_when_syncing = 0
        self._written_safe = self._written
        self._dying.clear()
        self._compactor.give_up()
        self._compactor.stopped = False
        self.broken = None
        log.warning("%s: goes on with a fresh segment, %s", self.path, last.path)
        self._chores.remove(needless)
        if self.owner is not None:
            self.owner.rolled_back()

    def _break(self, what: str, error: OSError) -> None:
        self.broken = self.failure = f"journal {what}: {_reason(error)}"
        self._compactor.stopped = True
        self._around.broke(self)
        log.critical(
            "%s: %s; the queue is refused until a fresh segment is safe", self.end_path, self.broken
        )


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
