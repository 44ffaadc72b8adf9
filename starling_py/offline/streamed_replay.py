"""The journal's own replay, fed with one stretch of records after the other.

The server replays a segment that it holds in memory. Here the segments may be many and large, so
they come in stretches. What the records do to the ledger is still decided by
``journal.recovery.replay`` alone.
"""

from starling_py.journal.checkpoint import Checkpoint
from starling_py.journal.format.segment import Header, Segment
from starling_py.journal.ledger import Ledger
from starling_py.journal.recovery.replay import Opened, Replay, read_checkpoint
from starling_py.offline.segment_reader import Stretch
from starling_py.offline.spool_directory import SegmentFile


class StreamedReplay:
    """The state of a journal after the records that it was fed so far."""

    def __init__(self) -> None:
        self._replay = Replay()
        self._header = Header(b"", 0, 0, 0)
        self.first = 0
        """The number of the first segment that it was given; 0 before."""
        self.number = 0
        """The number of the last segment that it was given; 0 before."""

    @property
    def ledger(self) -> Ledger:
        """What is live."""
        return self._replay.ledger

    @property
    def oldest(self) -> int:
        """Version 1: the lowest number of a segment that is still needed."""
        return self._replay.oldest

    def begin_segment(self, file: SegmentFile, like: Header, first: Stretch | None) -> bool:
        """Start from a segment's checkpoint; return whether ``first`` begins with one.

        ``first``: the segment's first sound records, ``None`` if there are none. ``like`` is used
        in place of a header that cannot be read. A segment without a checkpoint goes on from the
        state before it.
        """
        self.first = self.first or file.number
        self.number = file.number
        self._header = file.header or like
        nothing = memoryview(b"")
        if file.is_version_1:
            self._replay.begin_segment(Opened(file.path, self._header, file.start), nothing)
            return False
        if first is not None and checkpoint_of(file, like, first) is not None:
            self._replay.begin_segment(Opened(file.path, self._header, 0), first.data)
            return True
        first_id = self.ledger.next_id if file.header is None else file.header.first_id
        self.ledger.segments.append(Segment(file.number, file.path, first_id, file.start))
        return False

    def feed(self, stretch: Stretch, skip: int = 0) -> None:
        """Replay sound records, all but the first ``skip``."""
        found = stretch.found
        if skip < len(found):
            opened = Opened("", self._header, 0)
            self._replay.run(opened, stretch.data[: found[-1][3]], found[skip][2])
        self.ledger.segments[-1].size = stretch.end


def checkpoint_of(file: SegmentFile, like: Header, first: Stretch) -> Checkpoint | None:
    """Return the checkpoint that a stretch begins with; ``None`` if it begins with none."""
    read = read_checkpoint(Opened(file.path, file.header or like, 0), first.data)
    return None if read is None else read[0]
