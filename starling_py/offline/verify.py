"""Checks a queue's journal as a whole: that every record is sound, and every live item is there.

A start reads the last segment and believes it, which is quick. This reads every byte. It checks
each record against its checksum, each checkpoint against what replaying the segment before it
gives, and the items that are found against those that the journal counts. What a start would refuse
or give up is damage; what a crash leaves is a note. Nothing is changed.
"""

from collections.abc import Callable

import attrs

from starling_py.journal import directory_names
from starling_py.journal.disk.files import Files
from starling_py.journal.errors import JournalDamagedError
from starling_py.journal.format import record
from starling_py.journal.format.segment import Header, Segment
from starling_py.journal.recovery.examination import Examination, Recovered
from starling_py.offline import segment_reader, spool_directory
from starling_py.offline.checkpoint_check import contradictions
from starling_py.offline.segment_reader import Gap, Stretch
from starling_py.offline.spool_directory import QueueFiles, SegmentFile
from starling_py.offline.streamed_replay import StreamedReplay, checkpoint_of

Progress = Callable[[int], None]
"""Called with the number of bytes read since the last call."""


@attrs.define
class Report:
    """The findings about one queue."""

    directory: str
    queue: bytes = b""
    items: int | None = None
    """Live items; ``None`` when the journal is too damaged to tell."""
    bytes: int = 0
    """Bytes of the live items' data."""
    unreadable: int = 0
    """How many of the live items are missing or cannot be read."""
    segments: int = 0
    """Segments that were read."""
    deleted: bool = False
    """Whether the queue was deleted, and only its directory is left."""
    damage: list[JournalDamagedError] = attrs.field(factory=list)
    notes: list[str] = attrs.field(factory=list)


def verify(files: Files, directory: str, progress: Progress, *, in_spool: bool) -> Report:
    """Check the journal in a directory. Whatever is wrong is in the report; nothing is raised.

    ``in_spool``: whether the directory must have the name that the server gives the queue.
    """
    check = _Check(files, directory, progress, in_spool)
    try:
        check.run()
    except OSError as error:
        check.report.damage.append(spool_directory.damage(directory, error))
    return check.report


class _Check:
    """The check of one queue's directory."""

    def __init__(self, files: Files, directory: str, progress: Progress, in_spool: bool) -> None:
        self.files = files
        self.report = Report(directory)
        self._directory = directory
        self._progress = progress
        self._in_spool = in_spool
        self._state: Recovered | None = None
        self._torn: set[tuple[str, int]] = set()
        """Torn tails that a start would cut off: paths, and offsets in bytes."""
        self._before: StreamedReplay | None = None
        """The state at the end of the segment before; ``None`` if not all of that was sound."""

    def run(self) -> None:
        """Fill the report. Raises ``OSError`` when the directory cannot be listed."""
        report = self.report
        own = QueueFiles.read(self.files, self._directory)
        report.queue = own.queue
        report.notes += own.notes
        refusal = self._examine(own)
        like = own.like
        if like is not None:
            used = self._in_use(own)
            report.segments = len(used)
            for file in used:
                self._check(file, like, is_last=file is used[-1])
        if refusal is not None and all(each.path != refusal.path for each in report.damage):
            report.damage.append(refusal)
        if self._state is not None:
            self._check_totals(self._state, {file.path for file in own})

    def _examine(self, own: QueueFiles) -> JournalDamagedError | None:
        """Read the journal as a start does; return why that would refuse it, ``None`` if not."""
        report = self.report
        examination = Examination(self.files, self._directory, quarantine=True)
        try:
            state = examination.run()
        except JournalDamagedError as damage:
            self._torn = {(torn.path, torn.offset) for torn in examination.torn}
            return damage
        if state is not None and state.missing is not None:
            report.damage.append(state.missing)
        for torn in (each for each in examination.torn if each.tail or not each.offset):
            self._torn.add((torn.path, torn.offset))
            what = f"{len(torn.tail)} bytes from byte {torn.offset} on are no whole record"
            report.notes.append(f"{torn.path}: {what}; the next start keeps them aside")
        if state is None:
            report.notes.append(f"{self._directory}: there is no journal in it")
            report.items = 0
            return None
        self._state = state
        report.items, report.bytes = state.ledger.items, state.ledger.bytes
        report.deleted = state.ledger.deleted
        if report.deleted:
            report.notes.append(
                f"{self._directory}: the queue was deleted; the next start removes it"
            )
        report.damage += [damage for _, damage in state.lost]
        expected = directory_names.directory_name(own.queue)
        if self._directory.rpartition("/")[2] != expected:
            what = f"this is the journal of {own.queue!r}, whose directory is to be {expected}"
            if self._in_spool:
                report.damage.append(JournalDamagedError(self._directory, 0, what))
            else:
                report.notes.append(f"{self._directory}: {what}")
        return None

    def _in_use(self, own: QueueFiles) -> list[SegmentFile]:
        """Return the segments to read; of the unfinished ones only the one that counts.

        All of them, if the journal's state is not known.
        """
        if self._state is None:
            return list(own)
        last = self._state.ledger.segments[-1].path
        others = [each.path for each in own.unfinished if each.path != last]
        for path in others:
            if (path, 0) not in self._torn:
                self.report.notes.append(
                    f"{path}: begun, and not needed; the next start removes it"
                )
        return [each for each in own if each.path not in others]

    def _check(self, file: SegmentFile, like: Header, *, is_last: bool) -> None:
        """Read one segment and report what is wrong; its header has to agree with ``like``."""
        placed = self._placed(file)
        scan = _Scan(self, file, like, placed)
        scan.is_needed = placed is not None or self._state is None
        scan.is_last = is_last
        before, self._before = self._before, None
        try:
            scan.run(before)
        except OSError as error:
            scan.tell(0, f"the disk says: {error.strerror or error}")
        if scan.is_sound and not file.is_compacted:
            self._before = scan.replay
        if placed is None:
            if self._state is not None:
                self.report.notes.append(
                    f"{file.path}: not needed any more; the next start removes it"
                )
            return
        self.report.unreadable += max(placed.items - scan.items, 0)
        if scan.is_sound and (scan.items, scan.bytes) != (placed.items, placed.bytes):
            scan.tell(
                file.start,
                f"the segment holds {scan.items} live items of {scan.bytes} bytes, and the journal"
                f" counts {placed.items} of {placed.bytes}",
            )

    def _placed(self, file: SegmentFile) -> Segment | None:
        """Return a segment as the journal's ledger has it; ``None`` if it is not needed."""
        segments = self._state.ledger.segments if self._state is not None else []
        return next((each for each in segments if each.path == file.path), None)

    def _check_totals(self, state: Recovered, present: set[str]) -> None:
        """Check the ledger against itself. ``present``: the paths of the files that are there."""
        ledger, report = state.ledger, self.report
        missing = [each for each in ledger.segments if each.path not in present]
        report.unreadable += sum(each.items for each in missing)
        told = (
            sum(each.items for each in ledger.segments),
            sum(each.bytes for each in ledger.segments),
        )
        if told != (ledger.items, ledger.bytes):
            what = (
                f"the segments hold {told[0]} items of {told[1]} bytes altogether, by the journal"
            )
            what += f" itself, and the queue {ledger.items} of {ledger.bytes}"
            report.damage.append(JournalDamagedError(ledger.segments[-1].path, 0, what))
        removed = [item_id for item_id in ledger.facts if not ledger.is_live(item_id)]
        if removed:
            what = f"the journal has a mark of item {removed[0]}, which is not in the queue"
            report.damage.append(JournalDamagedError(ledger.segments[-1].path, 0, what))

    def is_torn(self, path: str, offset: int) -> bool:
        """Tell whether a start would cut a torn tail off a file at ``offset``."""
        return (path, offset) in self._torn

    def is_live(self, item_id: int) -> bool:
        """Tell whether an item is live; ``False`` if the journal's state is not known."""
        return self._state is not None and self._state.ledger.is_live(item_id)

    def told(self, path: str) -> bool:
        """Tell whether the report has damage to a file already."""
        return any(each.path == path for each in self.report.damage)

    def read(self, file: SegmentFile, end: int, salt: int) -> "segment_reader.Parts":
        """Read a segment up to ``end``, and show the progress."""
        for part in segment_reader.read(self.files, file.path, file.start, end, salt):
            self._progress(part.end - part.offset)
            yield part


class _Scan:
    """The reading of one segment."""

    def __init__(
        self, check: _Check, file: SegmentFile, like: Header, placed: Segment | None
    ) -> None:
        """``placed`` is the segment in the ledger; ``None`` if it is not needed or not known."""
        self._check = check
        self._file = file
        self._like = like
        self._end = file.size
        if placed is not None and not placed.compacted:
            self._end = min(file.size, placed.size)
        self._last_id = 0 if file.header is None else file.header.first_id - 1
        self.replay = StreamedReplay()
        self.is_needed = True
        """Whether a start needs the segment; what is wrong with others is noted, no damage."""
        self.is_last = False
        """Whether it is the last segment, which alone may have a torn tail."""
        self.is_sound = True
        """Whether everything read so far is as it was written."""
        self.items = 0
        """Live items that were found."""
        self.bytes = 0

    def tell(self, offset: int, what: str) -> None:
        """Report at ``offset``, in bytes, ``what`` is wrong with the segment."""
        self.is_sound = False
        damage = JournalDamagedError(self._file.path, offset, what)
        if self.is_needed:
            self._check.report.damage.append(damage)
        else:
            self._check.report.notes.append(str(damage))

    def run(self, before: StreamedReplay | None) -> None:
        """Read the segment and report what is wrong with it. Raises ``OSError``.

        ``before``: the state at the end of the segment before, if all of that was sound.
        """
        file = self._file
        if self._check.is_torn(file.path, 0):
            self.is_sound = False
            return
        self._check_header()
        if before is not None and before.number == file.number - 1 and file.is_version_1:
            self.replay = before
        is_first = True
        for part in self._check.read(file, self._end, self._like.salt):
            if isinstance(part, Gap):
                self._gap(part)
                continue
            skip = self._begin(part, before) if is_first else 0
            is_first = False
            self._records(part, skip)
            if self.is_sound and not file.is_compacted:
                self.replay.feed(part, skip)
        if is_first and self.is_sound:
            self._begin(None, before)
        if self._end < file.size and not self._check.is_torn(file.path, self._end):
            rest = f"{file.size - self._end} bytes from byte {self._end} on do not count"
            self._check.report.notes.append(f"{file.path}: {rest}")

    def _check_header(self) -> None:
        file, like = self._file, self._like
        header = file.header
        what = file.problem
        if header is not None and header.number != file.number:
            what = f"the header says that this is segment {header.number}"
        elif header is not None and header.queue != like.queue:
            what = f"this segment belongs to the queue {header.queue!r}"
        elif header is not None and header.salt != like.salt:
            what = "this segment belongs to another journal of this queue"
        if what and not self._check.told(file.path):
            self.tell(0, what)
        self.is_sound = not what

    def _gap(self, gap: Gap) -> None:
        path = self._file.path
        if self._check.is_torn(path, gap.offset):
            self.is_sound = False
        elif gap.offset == 0 and self._check.told(path):
            pass  # what is wrong with the header is in the report already
        elif gap.end < self._file.size:
            self.tell(
                gap.offset, f"this record is not sound; the next one begins at byte {gap.end}"
            )
        elif self.is_last:
            self.is_sound = False
            what = f"{gap.size} bytes from byte {gap.offset} on are no whole record"
            self._check.report.notes.append(f"{path}: {what}")
        else:
            self.tell(gap.offset, f"the last {gap.size} bytes hold no sound record")

    def _begin(self, first: Stretch | None, before: StreamedReplay | None) -> int:
        """Start the replay of the segment; return how many records that took: the checkpoint's.

        ``first``: the first sound records, ``None`` if there are none.
        """
        file = self._file
        if file.is_compacted:
            return 0
        read = None if first is None else checkpoint_of(file, self._like, first)
        if self.is_sound:
            self.replay.begin_segment(file, self._like, first)
            if not file.is_version_1 and read is None:
                self.tell(file.start, "the checkpoint is missing")
        if read is None or first is None:
            return 0
        if self.is_sound:
            for what in contradictions(file, first.found[0][1], read, before):
                self.tell(file.start, what)
        return 1

    def _records(self, stretch: Stretch, skip: int) -> None:
        """Check and count sound records, all but the first ``skip``."""
        is_live = self._check.is_live
        is_compacted = self._file.is_compacted
        last_id = self._last_id
        for kind, record_id, start, end in stretch.found[skip:]:
            if kind in record.PUTS:
                if record_id <= last_id:
                    what = f"the item {record_id} comes where only ids above {last_id} can"
                    self.tell(stretch.offset + start, what)
                last_id = max(record_id, last_id)
                if is_live(record_id):
                    self.items += 1
                    self.bytes += record.data_size(kind, stretch.data, start, end)
            elif is_compacted or kind == record.CHECKPOINT:
                self.tell(stretch.offset + start, f"a record of type {kind} cannot be here")
        self._last_id = last_id
