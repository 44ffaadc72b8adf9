"""Compaction: segments that hold little that is live are replaced by one that holds only that.

The live items of neighbouring segments are copied, in order and a block at a time, into a new
segment. It takes the name of the last of them by one rename, and its header tells which segments it
stands for, so a crash at any moment leaves either the old ones or the new one in force. Only items
whose removal is safe are left out: were a removal lost in a power cut, its item would have to be
there again.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import attrs

from starling_py.journal import blocks
from starling_py.journal.disk.background import Chores, Removal, Work
from starling_py.journal.errors import JournalDamagedError, unforeseen
from starling_py.journal.format import segment
from starling_py.journal.format.segment import COMPACTED_SUFFIX, Header, Segment
from starling_py.journal.id_ranges import IdRanges
from starling_py.journal.ledger import Ledger
from starling_py.journal.syncing import Place


def choose(ledger: Ledger, segment_size: int) -> list[Segment]:
    """Return neighbouring segments that are worth replacing by one; an empty list if none are.

    All segments together may take one and a half times the size of what is live and of one segment.
    That leaves room for the copy: with it, they stay within twice what is live and two segments.
    A queue that is only taken from its head is hardly ever copied, as its first segment soon goes
    as a whole. The last segment cannot be copied, and the others are left as they are while they
    alone take no more than one and a half times what is live in them and half a segment.
    """
    waste = ledger.waste
    last = ledger.segments[-1]
    live = ledger.live_size - (last.size - last.waste)
    if waste <= live // 2 + segment_size // 2:
        return []
    if 2 * ledger.size <= 3 * (ledger.live_size + segment_size):
        return []
    older = ledger.segments[:-1]
    index = max(range(len(older)), key=lambda index: older[index].waste)
    chosen = [older[index]]
    room = segment_size // 2 - (chosen[0].size - chosen[0].waste)
    for each in older[index + 1 :]:
        room -= each.size - each.waste
        if room < 0 or each.waste < each.size // 4:
            break
        chosen.append(each)
    for each in reversed(older[:index]):
        room -= each.size - each.waste
        if room < 0 or each.waste < each.size // 4:
            break
        chosen.insert(0, each)
    return chosen


@attrs.define
class Compaction:
    """The replacement of neighbouring segments; each ``run`` copies one block."""

    place: Place
    segments: Sequence[Segment]
    """The segments to be replaced, as they were when that was decided; copies."""
    head: int
    removed_ids: IdRanges
    """With ``head``: what was live then, as in the ledger."""
    syncs: bool
    replacement: Segment | None = None
    """The new segment, once it is in force."""
    error: OSError | JournalDamagedError | None = None
    """What stopped the work; ``None`` if nothing did. With a ``replacement``, that is in force but
    may not be safe: its directory could not be synced."""
    _pieces: Iterator[None] | None = None
    _descriptor: int | None = None

    @property
    def over(self) -> bool:
        """Whether the work has ended, well or not."""
        return self.replacement is not None or self.error is not None

    def run(self) -> None:
        """Do the next piece of the work; keep what goes wrong in ``error``."""
        if self._pieces is None:
            self._pieces = self._work()
        try:
            next(self._pieces, None)
        except (OSError, JournalDamagedError) as error:
            self._fail(error)
        except Exception as defect:
            self._fail(unforeseen(defect))

    def _fail(self, error: OSError | JournalDamagedError) -> None:
        self.error = error
        if self.replacement is None:
            self.abandon()

    def abandon(self) -> None:
        """Close and remove the unfinished copy."""
        self._pieces = None  # what is unfinished refers to this work, and would keep it in memory
        files = self.place.files
        with contextlib.suppress(OSError):
            if self._descriptor is not None:
                descriptor, self._descriptor = self._descriptor, None
                files.close(descriptor)
        with contextlib.suppress(OSError):
            files.unlink(self._temporary)

    @property
    def _temporary(self) -> str:
        return self.place.path(self.segments[-1].number) + COMPACTED_SUFFIX

    def _work(self) -> Iterator[None]:
        place = self.place
        files = place.files
        first, last = self.segments[0], self.segments[-1]
        path = place.path(last.number)
        header = Header(
            place.queue, last.number, first.first_id, self._oldest(), place.salt, compacted=True
        )
        with contextlib.suppress(FileNotFoundError):
            # A leftover is never written to again: a sync of it may have failed.
            files.unlink(self._temporary)
        descriptor = self._descriptor = files.create(self._temporary)
        begin = segment.encode(header)
        files.write_all(descriptor, begin)
        size = len(begin)
        for each in self.segments:
            for records in blocks.pushes(files, place.salt, each):
                live = b"".join(data for item_id, data in records if self._is_live(item_id))
                if live:
                    files.write_all(descriptor, live)
                    size += len(live)
                yield
        if self.syncs:
            files.sync(descriptor)
        self._descriptor = None
        files.close(descriptor)
        files.rename(self._temporary, path)
        # From here on it is in force, as a start or a reading would find it; but a power cut may
        # still bring the old segment back. So ``replacement`` is set before the directory is
        # synced, and the others that were replaced are only removed when that has succeeded.
        self.replacement = Segment(last.number, path, first.first_id, size, compacted=True)
        if self.syncs:
            files.sync_directory(place.directory)

    def _oldest(self) -> int:
        """Return the lowest number of a segment that the new one stands for."""
        first = self.segments[0]
        if not first.compacted:
            return first.number
        data = self.place.files.read_at(first.path, 0, segment.MAX_HEADER)
        return segment.decode(memoryview(data))[0].oldest

    def _is_live(self, item_id: int) -> bool:
        return item_id >= self.head and item_id not in self.removed_ids


def _tell_nobody(work: Compaction) -> None:
    """Tell nobody: the journal was removed."""


class Compactor:
    """Decides when segments of one journal are compacted; one compaction at a time."""

    def __init__(
        self, place: Place, chores: Chores, segment_size: int, done: Callable[[Compaction], None]
    ) -> None:
        """``done`` is called in the tick when a compaction has ended, well or not."""
        self._place = place
        self._chores = chores
        self._segment_size = segment_size
        self._done = done
        self._work: Compaction | None = None
        self._running = False
        self.stopped = False
        """Whether a compaction under way is given up at its next piece: the journal is broken."""

    @property
    def segments(self) -> frozenset[int]:
        """The numbers of the segments that are being replaced: they must not be removed."""
        segments = () if self._work is None else self._work.segments
        return frozenset(each.number for each in segments)

    def choose(self, ledger: Ledger, limit: int | None = None) -> None:
        """Choose segments to compact, by the removals written up to now.

        ``begin_copy`` is called when those are safe. ``limit``: the copy must have fewer bytes;
        ``None`` for any size.
        """
        if self._work is not None or len(ledger.segments) < 2:
            return
        chosen = choose(ledger, self._segment_size)
        size = sum(each.size - each.waste for each in chosen)
        if chosen and (limit is None or size < limit):
            copies = [replace(each) for each in chosen]
            removed = ledger.removed_ids.copy()
            self._work = Compaction(self._place, copies, ledger.head, removed, self._place.syncs)

    @property
    def chosen(self) -> bool:
        """Whether segments were chosen and their copy has not begun."""
        return self._work is not None and not self._running

    def begin_copy(self) -> None:
        """Begin the copy of the chosen segments, if there are any and it has not begun."""
        work = self._work
        if work is not None and not self._running:
            self._running = True
            self._chores.submit(lambda: self._piece(work))

    def give_up(self) -> None:
        """Drop the compaction and its copy. No other work on the files may be under way."""
        if self._work is not None:
            self._work.abandon()
        self._work = None
        self._running = False

    def let_go(self) -> None:
        """Refer to nobody any more: the journal was removed."""
        self._done = _tell_nobody

    def _piece(self, work: Compaction) -> tuple[Work, Callable[[], None]]:
        if work is self._work:
            return work, lambda: self._go_on(work)
        return Removal(self._place.files, ()), lambda: None  # it was given up meanwhile

    def _go_on(self, work: Compaction) -> None:
        if work.over:
            self._work = None
            self._running = False
            self._done(work)
        elif self.stopped:
            self.give_up()
        else:
            # Behind what waits already: readings do not wait for more than one block.
            self._chores.submit(lambda: self._piece(work))
