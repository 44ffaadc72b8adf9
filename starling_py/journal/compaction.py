"""Copying forward: segments that hold little that is live give way to one that holds only that.

The live items of neighbouring segments are copied, in order and a block at a time, into a new
segment. It takes the name of the last of them in one step, and says in its header which segments
it stands for, so a crash at any moment leaves either the old ones or the new one in force. The
copying goes by removals that are safe already: no item is left behind that a power cut could
bring back.
"""

import contextlib
from collections.abc import Iterator, Sequence

import attrs

from starling_py.journal import blocks, segment
from starling_py.journal.id_ranges import IdRanges
from starling_py.journal.ledger import Ledger
from starling_py.journal.segment import COMPACTED_SUFFIX, Header, Segment
from starling_py.journal.segment_writer import Place, write_all
from starling_py.journal.trouble import JournalDamaged


def choose(ledger: Ledger, segment_size: int) -> list[Segment]:
    """Return neighbouring segments that are worth being replaced by one; none if none are.

    All older segments together may take one and a half times what is live in them and half a
    segment; that leaves room for the copy, within twice what is live and two segments.
    """
    older = ledger.segments[:-1]
    waste = sum(each.waste for each in older)
    live = sum(each.size for each in older) - waste
    if waste <= live // 2 + segment_size // 2:
        return []
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
    """The replacement of neighbouring segments; each ``run`` does a small piece of it."""

    place: Place
    segments: Sequence[Segment]
    """Those to be replaced; copies."""
    head: int
    gone: IdRanges
    """Together with ``head``: what was live when the copying was decided on."""
    syncs: bool
    replacement: Segment | None = None
    """The new segment, once it is in force."""
    error: OSError | JournalDamaged | None = None
    """What stopped the copying, if anything did; with a replacement, it may not be safe."""
    _pieces: Iterator[None] | None = None
    _descriptor: int | None = None

    @property
    def over(self) -> bool:
        """Whether nothing is left to be done."""
        return self.replacement is not None or self.error is not None

    def run(self) -> None:
        """Do the next piece of the work; what goes wrong is noted."""
        if self._pieces is None:
            self._pieces = self._work()
        try:
            next(self._pieces, None)
        except (OSError, JournalDamaged) as error:
            self.error = error
            if self.replacement is None:
                self.abandon()

    def abandon(self) -> None:
        """Remove what there is of the copy."""
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
            files.unlink(self._temporary)  # never to be used again: a sync of it may have failed
        descriptor = self._descriptor = files.create(self._temporary)
        begin = segment.encode(header)
        write_all(files, descriptor, begin)
        size = len(begin)
        for each in self.segments:
            for records in blocks.pushes(files, place.salt, each):
                live = b"".join(data for item_id, data in records if self._is_live(item_id))
                if live:
                    write_all(files, descriptor, live)
                    size += len(live)
                yield
        if self.syncs:
            files.sync(descriptor)
        self._descriptor = None
        files.close(descriptor)
        files.rename(self._temporary, path)
        # From here on it is in force, though a power cut may still undo that.
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
        return item_id >= self.head and item_id not in self.gone
