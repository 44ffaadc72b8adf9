"""The journal of one queue, as it is written.

Records collect in memory until ``write`` puts all of them into the last segment with one call.
Before that no client may be told of an operation, and the ledger does not know of it. Nothing here
waits for the disk but that write and what goes with it: a segment that is begun, half a record that
is cut off again. What has to be synced, read back, copied or removed is handed to another thread as
work, and its outcome is taken here, in the tick. A journal whose file went bad is *broken*: it
takes no record until it is healed. ``Safety`` counts the writes and which of them are safe.
"""

import errno
import functools
import logging
from collections.abc import Callable, Sequence
from typing import Final

from starling_py.journal.blocks import Position, Reading
from starling_py.journal.compaction import Compaction
from starling_py.journal.disk.background import Chores
from starling_py.journal.disk.no_files import NoFiles
from starling_py.journal.errors import (
    LOST,
    FileLostError,
    FileSpoiledError,
    JournalError,
    unforeseen,
)
from starling_py.journal.format.record import Item
from starling_py.journal.healing import Healing
from starling_py.journal.ledger import Ledger
from starling_py.journal.log.batch import Written
from starling_py.journal.pending import Pending
from starling_py.journal.reader import Reader, Where
from starling_py.journal.reclaiming import Reclaiming
from starling_py.journal.recorder import Recorder
from starling_py.journal.restoring import Restoring
from starling_py.journal.segment_writer import Rotation, SegmentWriter
from starling_py.journal.shared import JournalOwner, Shared
from starling_py.journal.snapshots import Image
from starling_py.journal.sync_on_demand import SyncsOnDemand
from starling_py.journal.syncing import Expected, Place, Syncing, is_there

log = logging.getLogger(__name__)

_LARGE: Final = 1 << 18
"""Bytes of one journal that are not worth being written twice: its file is synced itself."""


class Journal:
    """One queue's records on their way to disk and back."""

    def __init__(
        self,
        shared: "Shared[Journal]",
        place: Place,
        ledger: Ledger,
        *,
        must_begin: bool = False,
    ) -> None:
        """``ledger`` is what was read back, or that of a new queue.

        ``must_begin``: whether the next write has to begin a segment, as the last one is of an
        older version of the format.
        """
        durability = shared.durability
        chores = Chores(
            shared.background,
            place.files,
            self._ask_healing,
            self.tell_if_all_safe,
            shared.hold,
        )
        self._shared = shared
        self._reserve = shared.reserve
        self._place = place
        self._chores = chores
        self._reader = Reader(place, chores)
        self.ledger = ledger
        """What is live, as of the last successful ``write``."""
        self.recorder = Recorder(
            shared.reserve, self._reader, place.salt, ledger, functools.partial(shared.touch, self)
        )
        """What the queue asks to be recorded."""
        self.waits = durability.waits
        """Whether replies wait for syncs, under ``always``."""
        self.syncs = durability.syncs
        """Whether the policy ever syncs; not so under ``never``, and in memory."""
        self._writer = SegmentWriter(place, shared.open_files, durability.segment_size)
        self._writer.on_spoiled = self._file_spoiled
        self._rotation = Rotation(
            self._writer, shared.reserve, place.directory, must_begin=must_begin
        )
        last = ledger.segments[-1] if ledger.segments else None
        self._safety = Safety(
            None if last is None else (last.number, last.size),
            keeps=durability.syncs,
        )
        self._waits = durability.waits
        self._first_id = ledger.next_id
        self._writing = False
        self._stopped = False
        self._syncs_on_demand: SyncsOnDemand | None = None
        """Made when the first is asked for; most journals never need it."""
        self._reclaiming = Reclaiming(
            place,
            chores,
            shared.reserve,
            durability.segment_size,
            self,
            shared.hold,
        )
        self._rescued: list[Item] = []
        """What was in memory when it broke, until it is healed."""
        self.owner: JournalOwner | None = None
        """The queue, which is told of the outcome of each ``write``."""
        self.failure = ""
        """Why the last failed write or sync failed; the text is for the client."""
        self.refused = ""
        """Why the queue could not be read back; empty if it was. The text is for the client."""

    @property
    def path(self) -> str:
        """The directory that holds the segments."""
        return self._place.directory

    @property
    def queue(self) -> bytes:
        """The queue's name."""
        return self._place.queue

    @property
    def busy(self) -> bool:
        """Whether work on its files is under way in the background, or a healing."""
        return self._chores.busy

    @property
    def at_work(self) -> bool:
        """Whether something needs its files where they are: records to be written, work, a sync."""
        return self._writing or self.has_pending or self.busy or self._writer.being_synced

    @property
    def rotations(self) -> int:
        """Segments begun since the server started, not counting a journal's first."""
        return self._rotation.count

    @property
    def compactions(self) -> int:
        """Times that segments were replaced by what was live in them."""
        return self._reclaiming.compactions

    @property
    def broken(self) -> str | None:
        """Why the journal takes no more records for now; ``None`` while it does."""
        return self.recorder.broken

    @property
    def next_id(self) -> int:
        """The id that the next item gets, as of the last successful ``write``."""
        return self.ledger.next_id

    @property
    def has_pending(self) -> bool:
        """Whether there are records that are not written yet."""
        return bool(self.recorder.pending.records)

    @property
    def written(self) -> int:
        """Successful writes since the server started."""
        return self._safety.written

    @property
    def safe(self) -> int:
        """How many of the writes are as safe as the policy makes them; under ``never``, all."""
        return self._safety.covered if self.syncs else self._safety.written

    @property
    def needs_sync(self) -> bool:
        """Whether its files hold anything that a sync has to make safe."""
        return self.broken is None and bool(self.ledger.segments) and not self._writer.covered

    @property
    def in_memory(self) -> bool:
        """Whether nothing of it is ever on disk, so that nothing can be read back."""
        return isinstance(self._place.files, NoFiles)

    @property
    def size(self) -> int:
        """Bytes of all segments on disk, those included that are about to be removed."""
        return 0 if self.in_memory else self.ledger.size + self._reclaiming.size

    @property
    def end_path(self) -> str:
        """The path of the segment that is written to; of the directory while there is none."""
        segments = self.ledger.segments
        return segments[-1].path if segments else self.path

    @property
    def end(self) -> Position:
        """Where the next record goes, unless a segment is begun for it."""
        segments = self.ledger.segments
        return (segments[-1].number, segments[-1].size) if segments else (1, 0)

    def write(self) -> None:
        """Write the collected records to the end of the last segment, and apply them to the ledger.

        Raises ``JournalError`` when they could not be written; they are dropped then, and the
        ledger is as before.
        """
        recorder = self.recorder
        pending = recorder.take()
        try:
            if recorder.broken is not None:
                raise JournalError(recorder.broken)
            self._writing = True
            data = b"".join(pending.records)
            self._rotation.write(self.ledger, data, pending)
        except (OSError, JournalError) as error:
            self._not_written(error, pending)
            raise JournalError(self.failure) from error
        except Exception as defect:
            # Out of memory, say: how much of it is in the file, nobody knows.
            spoiled = unforeseen(defect)
            self._not_written(FileSpoiledError(spoiled.errno, spoiled.strerror), pending)
            raise JournalError(self.failure) from defect
        finally:
            self._writing = False
        before = self.ledger.items
        pending.apply(self.ledger)
        self._reserve.changed(self.ledger.items - before)
        safety = self._safety
        safety.written += 1
        if safety.keeps:
            safety.kept.append(data)

    def drop(self, why: str) -> None:
        """Drop the collected records, as if they could not be written: they have not happened."""
        self.recorder.take()
        self.recorder.pending.pushed_id = self.ledger.next_id - 1
        self._reader.take_back()
        self.failure = why

    def distrust(self, defect: Exception) -> None:
        """Have the journal healed: something that nobody foresaw ended its work midway."""
        if self.broken is None and not self.in_memory:
            self._break("cannot be written", unforeseen(defect))

    def _not_written(self, error: OSError | JournalError, pending: Pending) -> None:
        """Undo what the dropped records have changed, and keep the reason in ``failure``."""
        self.recorder.pending.pushed_id = self.ledger.next_id - 1
        self._reader.take_back()
        log.error("%s: journal cannot be written: %s", self.end_path, error)
        lost = isinstance(error, LOST) and bool(self.ledger.segments)
        if lost or isinstance(error, FileSpoiledError):
            # The owner takes back what was dropped, and reads anew what it has in memory: of a file
            # that is gone, nothing else has it.
            self._rescued += [*self._in_memory(), *pending.removed]
            self._break("cannot be written", error)
        self.failure = self.broken or f"journal cannot be written: {_reason(error)}"

    def begin_sync(self, *, itself: bool = True) -> Syncing | Healing | None:
        """Return the work that makes safe all that was written: a sync, or a healing if broken.

        ``None`` if there is nothing to do, or a healing has to wait for other work on the files.
        What can be removed or compacted is chosen here: by removals that this sync covers.
        ``itself``: whether the files have to be safe by themselves, and not by the log.
        """
        if self.broken is not None:
            if self._stopped or not self._chores.begin_healing():
                return None
            return self._healing()
        if not self.ledger.segments:
            return None
        syncing = self._writer.begin_sync(self.ledger.segments[-1], itself=itself)
        if syncing is not None:
            if not itself and syncing.is_plain:
                syncing.written = self._written()
            self._safety.begin_sync()
            self._reclaiming.choose(self.ledger)
        return syncing

    def end_sync(self, work: Syncing | Healing, error: OSError | None) -> None:
        """Take the outcome of the work that ``begin_sync`` returned, in the tick."""
        if isinstance(work, Healing):
            self._end_healing(work)
            self._chores.free()
            return
        if error is not None:
            self._break("cannot be synced", error)
            return
        if self.broken is not None or not self.ledger.segments:
            return
        safety = self._safety
        safety.end_sync(work.end, logged=work.logged)
        unchanged = safety.written == safety.covered
        self._writer.end_sync(self.ledger.segments[-1], work, unchanged=unchanged)
        self.after_safe()

    def after_safe(self) -> None:
        """Do what had to wait until the records that were written were safe.

        Under a policy that syncs, ``end_sync`` calls it. Under ``never`` it follows each commit and
        mostly finds nothing to do. The order matters:

        1. What was chosen when the sync began is removed and compacted. The removals that made it
           dead are safe by now; a power cut cannot bring its items back into the queue. Under
           ``never`` nothing gets any safer, so it is chosen here.
        2. On a full disk, if a new segment would help to give the last one back, the journal is
           touched: the next ``write`` begins it.
        3. The owner is told last. ``on_safe`` answers those that wait for this, and may record
           more. Only then may a deleted queue go: ``on_all_safe`` has its journal removed, so it
           waits until every write is safe and nothing works on the files, step 1 included.
        """
        ledger, reclaiming = self.ledger, self._reclaiming
        if not self.syncs and (ledger.has_dead or len(ledger.segments) > 1):
            reclaiming.choose(ledger)
        if reclaiming.chosen:
            reclaiming.begin_chosen()
        if self._reserve.short and ledger.segments and self._rotation.is_due(ledger):
            self._shared.touch(self)  # so that the next segment is begun, and this one can go
        owner = self.owner
        if owner is not None:
            owner.on_safe()
            if owner.deleted:
                self.tell_if_all_safe()

    def read(self, where: Where, done: Callable[[int, Reading], None]) -> None:
        """Read items back in the background, from where ``where`` says when its turn comes.

        ``done`` is called in the tick, with the epoch that ``where`` gave and with the reading.
        """
        self._reader.read(lambda: self.ledger, where, done)

    def hurry(self) -> None:
        """Ask for a sync right after the next commit, without waiting for the interval."""
        self._shared.hurry()

    def sync_whole(self, done: Callable[[OSError | None], None]) -> None:
        """Under ``never``, sync all that was written up to now in the background.

        ``done`` is told why that failed, or ``None``.
        """
        if self._syncs_on_demand is None:
            self._syncs_on_demand = SyncsOnDemand(self._place, self._chores, self._rotation.leave)
        self._syncs_on_demand.begin_sync(lambda: self.ledger, done)

    def seal(self, size: int) -> None:
        """Begin a new segment with the next ``write`` if the last one has more than ``size`` bytes.

        This is for the end of a server: the next start is quick, as it reads the last segment.
        """
        segments = self.ledger.segments
        if segments and segments[-1].size > size and self.broken is None:
            self._rotation.leave()
            self._shared.touch(self)

    def image(self) -> Image | None:
        """Return which files hold what was written up to now; ``None`` if there are none."""
        # With 10,000 queues nobody is served before all were asked: so it makes do with little.
        segments, place = self.ledger.segments, self._place
        if not segments or self.refused or isinstance(place.files, NoFiles):
            return None
        last = segments[-1]
        paths = [last.path] if len(segments) == 1 else [each.path for each in segments]
        return Image(place.directory, paths, last.size, self._rotation.must_begin)

    def close(self) -> None:
        """Close the open segment; the journal may be used again afterwards."""
        self._writer.close()

    def start_over(self) -> None:
        """Be empty: the directory of the deleted queue has left its place."""
        self.close()
        self._reserve.changed(-self.ledger.items)
        self._go_by(Ledger())
        self._reclaiming.start_over()

    def let_go(self) -> None:
        """Cut what makes circles with its parts and its queue: both are gone for good."""
        self.owner = None
        self.recorder.let_go()
        self._chores.let_go()
        self._reclaiming.let_go()
        self._writer.let_go()

    def refuse(self, why: str) -> None:
        """Refuse everything from now on: there are files, and they cannot be read.

        The queue is read anew by another journal, when the reason is gone.
        """
        self.refused = self.failure = self.recorder.broken = why

    def tell_if_all_safe(self) -> None:
        """Tell the owner if all that was written is safe and nothing is under way."""
        # The owner may remove the journal of a deleted queue now. That must not happen in the
        # middle of a write, nor before one, nor while its files are worked on.
        if self.owner is not None and self.all_safe and not self.at_work:
            self.owner.on_all_safe()

    def tell_if_never_safe(self) -> None:
        """Tell the owner if nothing that was written was ever safe: a deletion can be done at once.

        Not where replies wait for syncs. It is as if the queue had never been; a power cut brings
        back no more than what came in the time that it may cost anyway.
        """
        if (
            self.owner is not None
            and self._writer.never_safe
            and not self._waits
            and not self.at_work
            and self.broken is None
        ):
            self.owner.on_never_safe()

    def _ask_healing(self) -> None:
        self._shared.broke(self)

    def _go_by(self, ledger: Ledger) -> None:
        """Replace the ledger, here and in the recorder."""
        self.ledger = self.recorder.ledger = ledger

    @property
    def all_safe(self) -> bool:
        """Whether everything that was written is safe."""
        safety = self._safety
        covered = not self.syncs or safety.written == safety.covered
        return self.broken is None and covered

    def on_compacted(self, work: Compaction) -> None:
        """Tell the owner of a replacement that is in force."""
        if self.owner is not None and work.replacement is not None:
            self.owner.on_compacted(work.segments, work.replacement)

    def _healing(self) -> Healing:
        """Return the work that saves what was acknowledged into a fresh segment."""
        place, safety, now = self._place, self._safety, self.ledger.copy()
        last = max((each.number for each in now.segments), default=0)
        number = max(self._writer.highest, last) + 1
        items = [*self._rescued, *self._in_memory()]
        restoring = Restoring(place, self.ledger.copy(), self._writer.hold(), items)
        # Under ``always``, nothing was told yet of what is not safe.
        kept = [] if self._waits else list(safety.kept)
        told = safety.end, safety.logged
        logged = None if told[0] == told[1] else self._read_back(*told)
        return Healing(place, number, safety.end, self._first_id, now, kept, restoring, logged)

    def _in_memory(self) -> list[Item]:
        return [] if self.owner is None else self.owner.items_in_memory()

    def _written(self) -> Written | None:
        """Return what was written since the last sync, for the log; ``None`` if that cannot be.

        The deletion of a queue is synced itself: its directory goes when it is safe.
        """
        safety, last = self._safety, self.ledger.segments[-1]
        begin = safety.logged
        if (
            begin is None
            or begin[0] != last.number
            or (self.owner is not None and self.owner.deleted)
        ):
            return None
        size = last.size - begin[1]
        pieces = tuple(safety.kept)
        if not 0 < size <= _LARGE or size != sum(len(each) for each in pieces):
            return None
        return self._told(begin, pieces, size)

    def _told(self, begin: tuple[int, int], pieces: Sequence[bytes], size: int) -> Written:
        place = self._place
        return Written(place.name, place.salt, begin[0], begin[1], pieces, size)

    def _read_back(
        self, begin: tuple[int, int] | None, end: tuple[int, int] | None
    ) -> Callable[[], bytes] | None:
        """Return what reads from the log what the last segment may not have."""
        shared_log = self._shared.log
        if shared_log is None or begin is None or end is None:
            return None
        told, stop = self._told(begin, (), 0), end[1]
        return lambda: shared_log.read_back(told, stop)

    def _end_healing(self, work: Healing) -> None:
        if work.error is not None or work.descriptor is None:
            log.critical("%s: cannot be healed for now: %s", self.path, work.error)
            return
        # Some may be about to be removed: they were dead before, and must not come into use again.
        dead = [each.path for each in work.ledger.take_dead()]
        kept = {each.path for each in work.ledger.segments}
        old = [each.path for each in self.ledger.segments if each.path not in kept]
        needless = [*old, *(path for path in dead if path not in old)]
        self._reserve.changed(work.ledger.items - self.ledger.items)
        self.ledger = work.ledger
        self.recorder.pending.pushed_id = self.ledger.next_id - 1
        last = self.ledger.segments[-1]
        self._writer.adopt(work.descriptor, last.number)
        self._safety.healed((last.number, last.size))
        self._rescued = []
        self._reclaiming.start_over()
        self.recorder.broken = None
        log.warning("%s: goes on with a fresh segment, %s", self.path, last.path)
        self._chores.remove(needless)
        if self.owner is not None:
            if work.restoring.lost_items:
                self.owner.on_items_lost(work.restoring.lost_items)
            self.owner.on_rolled_back()

    def expected(self) -> list[Expected]:
        """Return which files have to be found on the disk; none while it is broken."""
        if self.broken is not None or self.in_memory:
            return []
        return self._writer.expected(self.ledger)

    def stop_writing(self, why: str) -> None:
        """Take no more records and write nothing: the spool is not this server's any more."""
        self._stopped = not self.in_memory
        if self._stopped:
            self._break("cannot be written", OSError(errno.EBUSY, why))

    def look_for_files(self) -> None:
        """Have the journal healed if a file of it is not found under its name any more.

        This asks the system for each segment, so it is for one that is suspected. Raises
        ``OSError``.
        """
        for each in self.expected():
            if not is_there(self._place.files, each):
                self._break("is not all there", FileLostError(each[0]))
                return

    def _file_spoiled(self, error: Exception) -> None:
        self._break("cannot be synced", error)

    def on_unsafe_copy(self, error: OSError) -> None:
        """Have the journal healed: a replacement that is in force may not be safe."""
        self._break("cannot be synced", error)

    def _break(self, what: str, error: Exception) -> None:
        if isinstance(error, LOST):
            self._shared.lost()
        self.recorder.broken = self.failure = f"journal {what}: {_reason(error)}"
        self._reclaiming.stop()
        self._shared.broke(self)
        if self.owner is not None:
            self.owner.on_broken()
        log.critical(
            "%s: %s; the queue is refused until a fresh segment is safe", self.end_path, self.broken
        )


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


class Safety:
    """The writes of a journal, and which of them are safe.

    More may be written while a sync is under way, and that sync does not cover it. What was written
    is kept in memory until it is safe. Under an interval it was acknowledged before that, and if
    the file goes bad, there is no other copy of it that can be believed. It is also what the log
    is told.
    """

    def __init__(self, end: tuple[int, int] | None, *, keeps: bool) -> None:
        self.end = end
        """Where what is safe in the file itself ends; ``None`` if nothing is.

        The number of a segment and its size."""
        self.logged = end
        """Where what is safe ends, with what the log has made safe: in the same segment."""
        self.keeps = keeps
        """Whether records are kept until they are safe: not so where nothing is ever synced."""
        self.kept: list[bytes] = []
        """The records since ``logged``, if they are kept, one piece for each write."""
        self.written = 0
        """Successful writes since the server started."""
        self.covered = 0
        """How many of them the last sync that succeeded covers."""
        self._written_before = self._kept_before = 0

    def begin_sync(self) -> None:
        """Remember what the sync that begins now will cover."""
        self._written_before = self.written
        self._kept_before = len(self.kept)

    def end_sync(self, end: tuple[int, int], *, logged: bool) -> None:
        """Count as safe what the sync covered: everything up to ``end``, in the file or the log."""
        self.logged = end
        if not logged:
            self.end = end
        self.covered = self._written_before
        del self.kept[: self._kept_before]

    def healed(self, end: tuple[int, int]) -> None:
        """Count everything as safe: a healing has saved it, up to ``end`` in the fresh segment."""
        self.end = self.logged = end
        self.covered = self.written
        self.kept.clear()
        self._kept_before = 0
