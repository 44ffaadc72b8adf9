"""One read of a queue's directory: what is live in its journal, and what a crash left.

The header of every segment is read, but only the last segment's records: its checkpoint tells what
the others hold. (Version 1 had no checkpoints, so there all records are read.) Only the last
segment may end in the middle of a record. Everything else that is not as it was written is damage,
and damage is never skipped: ``JournalDamagedError`` names the file and the offset. Nothing is
changed on the disk.
"""

from dataclasses import dataclass, field

from starling_py.journal import checkpoint
from starling_py.journal.disk.files import Files
from starling_py.journal.errors import JournalDamagedError
from starling_py.journal.format import end_mark, segment
from starling_py.journal.format.segment import COMPACTED_SUFFIX, UNFINISHED_SUFFIX, Header, Segment
from starling_py.journal.ledger import Ledger
from starling_py.journal.recovery.placement import Placement
from starling_py.journal.recovery.replay import Opened, Replay, open_segment, read_checkpoint


@dataclass(frozen=True)
class TornTail:
    """The end of a segment, from the first byte that belongs to no sound record."""

    path: str
    offset: int
    tail: bytes


@dataclass
class Recovered:
    """A journal as it was read, and what has to be done on disk before it is written to."""

    header: Header
    """The header of the last segment."""
    ledger: Ledger
    unfinished: bool = False
    """Whether the last segment still lacks its final name."""
    lost: list[tuple[Segment, JournalDamagedError]] = field(default_factory=list)
    """Segments that cannot be read and will be given up, each with what is wrong with it."""

    missing: JournalDamagedError | None = None
    """That segments behind the last one are missing, with ``quarantine``; ``None`` if none are."""

    @property
    def queue(self) -> bytes:
        """The queue's true name."""
        return self.header.queue

    @property
    def salt(self) -> int:
        """The 32 bits that the checksums of the journal's records begin with."""
        return self.header.salt


class Examination:
    """One read of a queue's directory; what it finds is of that moment."""

    def __init__(
        self,
        files: Files,
        directory: str,
        *,
        quarantine: bool = False,
        until: tuple[int, int] | None = None,
    ) -> None:
        """List the directory. Raises ``OSError``.

        ``quarantine``: whether older segments that are damaged are left to the caller to give up,
        in ``Recovered.lost``. ``until``: the number of a segment and its size in bytes; what was
        written behind that is left out.
        """
        self._files = files
        self._directory = directory
        self._quarantine = quarantine
        self._until = until
        self._replay = Replay()
        self.names = files.list_directory(directory)
        """Everything in the directory."""
        self.torn: list[TornTail] = []
        """What a crash left at the end of segments: the caller keeps it aside and cuts it off."""
        self.needless: list[str] = []
        """The paths of files that are not needed any more."""
        self._opened: dict[int, Opened] = {}
        self._damaged: dict[int, JournalDamagedError] = {}
        self._missing: JournalDamagedError | None = None
        self._kept: tuple[str, bytes] | None = None
        """The last segment, from when its header is read to when its records are."""

    def run(self) -> Recovered | None:
        """Read the journal; return ``None`` if there is none.

        Raises ``JournalDamagedError`` and ``OSError``; ``torn`` has what was found until then.
        """
        numbers = sorted(
            number for name in self.names if (number := segment.number_of(name)) is not None
        )
        if self._until is not None:
            numbers = [number for number in numbers if number <= self._until[0]]
        self._open_all(numbers)
        last = self._replay_finished()
        if self._until is None:
            last = self._replay_unfinished(last) or last
            self.needless += [
                f"{self._directory}/{name}"
                for name in self.names
                if name.endswith(COMPACTED_SUFFIX)
            ]
        if last is None:
            return None
        state = Recovered(last.header, self._replay.ledger)
        state.unfinished = last.path.endswith(UNFINISHED_SUFFIX)
        placement = Placement(
            self._files, self._directory, self._opened, self._damaged, quarantine=self._quarantine
        )
        placement.place(state.ledger)
        if self._replay.oldest:
            placement.check_numbers(self._replay.oldest, last.header.number)
        state.lost = placement.lost
        state.missing = self._missing
        self.needless += placement.needless
        return state

    def _open_all(self, numbers: list[int]) -> None:
        """Read the headers, the newest first: by it, all others are known to be of this journal."""
        like: Header | None = None
        for number in reversed(numbers):
            path = f"{self._directory}/{segment.file_name(number)}"
            whole = number == numbers[-1]
            content = (
                self._read(path) if whole else self._files.read_at(path, 0, segment.MAX_HEADER)
            )
            data = memoryview(content)
            try:
                opened = open_segment(path, data, number, like)
                if opened is None:
                    self._note_headless(path, number == numbers[-1], number)
                    continue
            except JournalDamagedError as damage:
                if like is None or not self._quarantine:
                    raise
                self._damaged[number] = damage
                continue
            self._opened[number] = opened
            like = opened.header

    def _read(self, path: str) -> bytes:
        """Return a whole segment: that of the last one is asked for twice, and read once."""
        kept, self._kept = self._kept, None
        if kept is not None and kept[0] == path:
            return kept[1]
        content = self._files.read(path)
        if kept is None:
            self._kept = path, content
        return content

    def _note_headless(self, path: str, is_last: bool, number: int) -> None:
        """Count a segment without a whole header as torn; a crash leaves only the last one so."""
        data = self._read(path)
        # The beginning alone was looked at before: raise if sound records follow in the file.
        open_segment(path, memoryview(data), number, None)
        if not is_last:
            raise JournalDamagedError(
                path, 0, "the header is missing, and this is not the last segment"
            )
        self.torn.append(TornTail(path, 0, data))

    def _replay_finished(self) -> Opened | None:
        """Replay the segments that have their final names; return the last, if there is one."""
        if not self._opened:
            if self.torn and not self.torn[0].path.endswith(segment.file_name(1)):
                # The first segment of a journal may be empty; those before this one are gone.
                raise JournalDamagedError(self.torn[0].path, 0, "the header is missing")
            return None
        order = sorted(self._opened)
        if self._opened[order[-1]].header.version > 1:
            order = order[-1:]
        opened = None
        for number in order:
            if opened is not None and self.torn and self.torn[-1].path == opened.path:
                tail = self.torn[-1]
                raise JournalDamagedError(
                    tail.path, tail.offset, "and this is not the last segment"
                )
            opened = self._opened[number]
            data = memoryview(self._read(opened.path))
            if self._until is not None and number == self._until[0]:
                data = data[: self._until[1]]
            start = self._replay.begin_segment(opened, data)
            if start is None:
                raise JournalDamagedError(opened.path, opened.start, "the checkpoint is missing")
            end = self._replay.run(opened, data, start)
            following = end_mark.decode(data[end:], opened.header.salt)
            if following is not None and number == order[-1]:
                # It is written to again, so the mark has to go.
                self._look_for(following)
                self.torn.append(TornTail(opened.path, end, b""))
            elif end < len(data) and following is None:
                self.torn.append(TornTail(opened.path, end, bytes(data[end:])))
        return opened

    def _look_for(self, following: int) -> None:
        """Raise ``JournalDamagedError`` if there is no segment from the number ``following`` on.

        With ``quarantine`` that is kept for the caller.
        """
        numbers = (segment.number_of(each.removesuffix(UNFINISHED_SUFFIX)) for each in self.names)
        if any(number is not None and number >= following for number in numbers):
            return
        path = f"{self._directory}/{segment.file_name(following)}"
        self._missing = JournalDamagedError(
            path, 0, "this segment is missing, and those behind it if there were any"
        )
        if not self._quarantine:
            raise self._missing

    def _replay_unfinished(self, last: Opened | None) -> Opened | None:
        """Replay the segment that was begun last, if it goes on where the one before it ends.

        It was begun without waiting for a sync. A power cut may have taken its own beginning, or
        the end of the segment before it, on which its checkpoint is built; then it does not count.
        """
        found = None
        for name in self.names:
            number = segment.unfinished_number_of(name)
            if number is None:
                continue
            path = f"{self._directory}/{name}"
            like = None if last is None else last.header
            if found is not None or (like is not None and number <= like.number):
                self.needless.append(path)
                continue
            if last is not None and self._files.is_directory(path):
                self.needless.append(path)  # nobody can have written anything to it
                continue
            data = memoryview(self._files.read(path))
            try:
                opened = open_segment(path, data, number, like)
                begins = None if opened is None else read_checkpoint(opened, data)
            except JournalDamagedError:
                if last is None:
                    raise
                opened = begins = None
            if opened is None or begins is None or not self._follows(last, begins[0].previous_end):
                # No sync of it was completed, so nothing in it was called safe. What was written
                # to it is kept aside all the same; a healing's segment (unlinked) is removed.
                unlinked = begins is not None and begins[0].previous_end == checkpoint.UNLINKED
                if any(data) and not unlinked:
                    self.torn.append(TornTail(path, 0, bytes(data)))
                else:
                    self.needless.append(path)
                continue
            self._check_agrees(path, begins[0].ledger, last)
            start = self._replay.begin_segment(opened, data)
            assert start is not None, "the checkpoint was read above"
            end = self._replay.run(opened, data, start)
            if end < len(data):
                self.torn.append(TornTail(path, end, bytes(data[end:])))
            found = opened
        return found

    def _follows(self, last: Opened | None, previous_end: int) -> bool:
        if last is None:
            return previous_end == 0
        # A mark that is cut off is no torn tail.
        torn = any(each.tail or not each.offset for each in self.torn)
        return not torn and self._replay.ledger.segments[-1].size == previous_end

    def _check_agrees(self, path: str, begins: Ledger, last: Opened | None) -> None:
        ends = self._replay.ledger
        told = (begins.items, begins.bytes, begins.next_id)
        if last is not None and told != (ends.items, ends.bytes, ends.next_id):
            raise JournalDamagedError(path, 0, "its checkpoint contradicts the segment before")


def state_at(files: Files, directory: str, number: int, size: int) -> Ledger:
    """Return the ledger as it was when the last segment, ``number``, had ``size`` bytes.

    Older segments that cannot be read stay in it: the caller knows what is in them, or gives them
    up. Raises ``JournalDamagedError``, also if the segments do not reach that far, and ``OSError``.
    """
    state = Examination(files, directory, quarantine=True, until=(number, size)).run()
    if state is None:
        raise JournalDamagedError(directory, 0, "there is no journal any more")
    last = state.ledger.segments[-1]
    if (last.number, last.size) != (number, size):
        reason = f"what was safe ends here, not at byte {size} of segment {number}"
        raise JournalDamagedError(last.path, last.size, reason)
    return state.ledger
