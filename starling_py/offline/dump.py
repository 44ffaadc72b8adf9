"""Shows what is in a queue's journal, record by record, whatever state it is in.

Damage ends nothing: reading goes on from the next sound record. Which items are live is taken from
the journal as a start would take it. If a start would refuse the journal, every sound record is
replayed instead; then some items may be shown as live that were taken already.
"""

from collections.abc import Iterator

from starling_py import keys
from starling_py.journal.disk.files import Files
from starling_py.journal.errors import JournalDamagedError
from starling_py.journal.format import record
from starling_py.journal.ledger import Ledger
from starling_py.journal.recovery.examination import Examination, Recovered
from starling_py.offline import segment_reader
from starling_py.offline.entry import Entry, entry_of
from starling_py.offline.segment_reader import Gap
from starling_py.offline.spool_directory import QueueFiles, SegmentFile
from starling_py.offline.streamed_replay import StreamedReplay


class Dump:
    """The records in a queue's directory."""

    def __init__(self, files: Files, directory: str) -> None:
        """Read the headers of the segments. Raises ``OSError``."""
        self._files = files
        self._directory = directory
        self._own = QueueFiles.read(files, directory)
        self.skipped = 0
        """Bytes of damage that were passed over so far."""
        self.warnings = [f"{each.path}: {each.problem}" for each in self._own if not each.is_read]
        """What else kept the dump from being complete or right, one line each."""

    @property
    def is_partial(self) -> bool:
        """Whether what was shown so far may lack something, or have something too much."""
        return bool(self.skipped or self.warnings)

    def missing(self) -> list[str]:
        """Return what a start would miss, whole segments for example, one line each."""
        try:
            state = self._examine()
        except (JournalDamagedError, OSError) as problem:
            return [_reason(problem)]
        if state is None:
            return []
        found = [] if state.missing is None else [str(state.missing)]
        return found + [f"{damage}. {each.items} items were in it" for each, damage in state.lost]

    def warn(self, warning: str) -> None:
        """Add a warning, unless there is the same already."""
        if warning not in self.warnings:
            self.warnings.append(warning)

    def records(self) -> Iterator[Entry]:
        """Yield every record of every segment, and the damage between them."""
        segments = list(self._own)
        for file in segments:
            yield from self._header(file)
            for part in self._read(file, file.size):
                if isinstance(part, Gap):
                    yield self._gap(file, part, is_last=file is segments[-1])
                else:
                    for found in part.found:
                        yield entry_of(file, part, found)

    def live(self) -> Iterator[Entry]:
        """Yield the live items, the next one to be handed out first. Raises ``OSError``.

        Those that are due later stand where they would be if they were due now.
        """
        ledger, ends = self._ledger()
        front = {item_id for item_id, facts in ledger.facts.items() if facts.front}
        if front:
            in_front = [each for each in self._live(ledger, ends) if each.id in front]
            self.skipped = 0
            yield from (each for each in reversed(in_front) if each.item is not None)
        yield from (each for each in self._live(ledger, ends) if each.id not in front)

    def _live(self, ledger: Ledger, ends: dict[str, int]) -> Iterator[Entry]:
        """Yield the live items in the order of their ids, and the damage between them.

        ``ends``: for each segment's path, how many bytes of it count.
        """
        last_id = 0
        for file in self._own:
            end = ends.get(file.path, 0)
            for part in self._read(file, end):
                if isinstance(part, Gap):
                    yield self._gap(file, part, is_last=False)
                    continue
                for found in part.found:
                    kind, record_id, _, _ = found
                    if kind in record.PUTS and record_id > last_id and ledger.is_live(record_id):
                        last_id = record_id
                        entry = entry_of(file, part, found)
                        if (facts := ledger.facts.get(record_id)) is not None:
                            entry.add_facts(facts)
                        yield entry

    def data(self, item_id: int) -> bytes | None:
        """Return the data of an item, live or not; ``None`` if there is no record of it."""
        data = None
        for file in self._own:
            for part in self._read(file, file.size):
                if isinstance(part, Gap):
                    self._gap(file, part, is_last=False)
                    continue
                for kind, record_id, start, end in part.found:
                    if kind in record.PUTS and record_id == item_id:
                        data = record.any_item_at(kind, part.data, start, end).data
        return data

    def _read(self, file: SegmentFile, end: int) -> "segment_reader.Parts":
        """Read a segment up to ``end``; one without a header with the salt of the others."""
        header = file.header or self._own.like
        if header is None:
            if end:
                yield Gap(0, end)
            return
        try:
            yield from segment_reader.read(self._files, file.path, file.start, end, header.salt)
        except OSError as error:
            reason = error.strerror or str(error)
            self.warn(f"{file.path}: the rest of it cannot be read: {reason}")

    def _header(self, file: SegmentFile) -> Iterator[Entry]:
        header = file.header
        if header is None:
            return
        fields: dict[str, int | str] = {
            "version": header.version,
            "number": header.number,
            "first_id": header.first_id,
            "queue": keys.printable(header.queue),
        }
        if header.compacted:
            fields["stands_for"] = f"{header.oldest}-{header.number}"
        yield Entry(file.name, 0, "segment", None, fields)

    def _gap(self, file: SegmentFile, gap: Gap, *, is_last: bool) -> Entry:
        """Return the line for bytes that are passed over; count them in ``skipped`` if damaged.

        At the end of the last segment they are a torn tail, as a crash leaves it, and no damage.
        """
        is_torn = is_last and gap.end == file.size
        if not is_torn:
            self.skipped += gap.size
        kind = "torn" if is_torn else "damage"
        return Entry(file.name, gap.offset, kind, None, {"skipped": gap.size})

    def _ledger(self) -> tuple[Ledger, dict[str, int]]:
        """Return what is live, and for each segment's path how many bytes of it count."""
        try:
            state = self._examine()
        except (JournalDamagedError, OSError) as problem:
            reason = _reason(problem)
            self.warnings.append(f"{reason}. Items may be told as live that were taken already")
            return self._guess(), {file.path: file.size for file in self._own}
        if state is None or state.ledger.deleted:
            return Ledger(), {}
        if state.missing is not None:
            self.warnings.append(f"{state.missing}. Items may be told as live that were taken")
        self.warnings += [f"{damage}. {each.items} items were in it" for each, damage in state.lost]
        sizes = {file.path: file.size for file in self._own}
        return state.ledger, {
            each.path: min(each.size, sizes.get(each.path, 0)) for each in state.ledger.segments
        }

    def _examine(self) -> Recovered | None:
        """Read the journal as a start would. Raises ``JournalDamagedError`` and ``OSError``."""
        return Examination(self._files, self._directory, quarantine=True).run()

    def _guess(self) -> Ledger:
        """Replay every sound record, and return the ledger that this gives.

        A sound checkpoint starts it anew, so the newest one and what is behind it decide.
        """
        like = self._own.like
        replay = StreamedReplay()
        if like is None:
            return replay.ledger
        for file in self._own:
            if file.is_compacted:
                continue
            begun = False
            for part in self._read(file, file.size):
                if isinstance(part, Gap):
                    continue
                if not begun:
                    replay.begin_segment(file, like, part)
                    begun = True
                replay.feed(part)
        return replay.ledger


def _reason(problem: JournalDamagedError | OSError) -> str:
    """Say in one line why a journal cannot be read as a start would read it."""
    if isinstance(problem, JournalDamagedError):
        return str(problem)
    where = f"{problem.filename}: " if problem.filename else ""
    return f"{where}{problem.strerror or problem}"
