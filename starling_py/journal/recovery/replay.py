"""A journal's records replayed: bytes in, a ledger out.

The last segment gives the state of the whole journal: its checkpoint, then its records. Version 1
had no checkpoints; there, every segment is replayed from the first one on. Damage is never
skipped: ``JournalDamagedError`` names the file and the offset. Nothing here touches a file.
"""

from dataclasses import dataclass

from starling_py.journal import checkpoint
from starling_py.journal.checkpoint import Checkpoint
from starling_py.journal.errors import HeaderCutShortError, JournalDamagedError, SegmentError
from starling_py.journal.format import record, search, segment
from starling_py.journal.format.segment import Header, Segment
from starling_py.journal.ledger import Facts, Ledger


@dataclass(frozen=True)
class Opened:
    """A segment's file with its header read."""

    path: str
    header: Header
    start: int
    """Where the first record starts."""


def open_segment(path: str, data: memoryview, number: int, like: Header | None) -> Opened | None:
    """Read the header of segment ``number`` from the beginning of its file.

    ``data`` is the file or a beginning of it, with at least the longest header. ``like`` is the
    header of another segment of the same journal, if one was read. Returns ``None`` when the file
    ends before its header does, as after a crash. Raises ``JournalDamagedError``.
    """
    if not any(data):
        # A name without content, or zeros: what a power cut leaves of a file that was not synced.
        return None
    try:
        header, start = segment.decode(data)
    except HeaderCutShortError as short:
        _no_sound_record_from(path, data, 0, short.salt, search.ANY_ID, str(short))
        return None
    except SegmentError as problem:
        if _is_torn_header(path, data, str(problem)):
            return None
        raise JournalDamagedError(path, 0, str(problem)) from problem
    if header.number != number:
        raise JournalDamagedError(path, 0, f"the header says that this is segment {header.number}")
    if like is not None and header.queue != like.queue:
        raise JournalDamagedError(path, 0, f"this segment belongs to the queue {header.queue!r}")
    if like is not None and header.salt != like.salt:
        raise JournalDamagedError(path, 0, "this segment belongs to another journal of this queue")
    return Opened(path, header, start)


def read_checkpoint(opened: Opened, data: memoryview) -> tuple[Checkpoint, int] | None:
    """Return a segment's checkpoint and where it ends; ``None`` if there is no sound one."""
    found = next(record.walk(data, opened.start, opened.header.salt), None)
    if found is None or found[0] != record.CHECKPOINT:
        return None
    _, _, start, end = found
    read = checkpoint.decode(data[start + record.HEADER_SIZE : end], opened.header.version)
    return None if read is None else (read, end)


class Replay:
    """The state of a journal after the segments replayed so far, oldest first."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self._oldest = 0
        self._sizes: dict[int, int] | None = None
        """The live items' sizes, for version 1 alone, whose records of removals have no size."""

    def begin_segment(self, opened: Opened, data: memoryview) -> int | None:
        """Start from a segment's checkpoint; return where the records behind it start.

        A segment of version 1 goes on from the state before it instead. Returns ``None`` when the
        segment ends before its checkpoint does. Raises ``JournalDamagedError``.
        """
        header = opened.header
        start = opened.start
        if header.version == 1:
            self._begin_version_1(header)
        elif (found := read_checkpoint(opened, data)) is not None:
            self.ledger, start = found[0].ledger, found[1]
            self._sizes = None
        else:
            reason = "the checkpoint is not sound"
            highest_id = _highest_id(header, header.first_id, data)
            _no_sound_record_from(opened.path, data, start, header.salt, highest_id, reason)
            return None
        ledger = self.ledger
        ledger.begin_segment(Segment(header.number, opened.path, header.first_id, start))
        return start

    def run(self, opened: Opened, data: memoryview, start: int) -> int:
        """Replay records of the segment begun last, from ``start`` on; return where they end.

        What follows them is at most a torn tail: raises ``JournalDamagedError`` when a sound record
        comes behind bytes that are none.
        """
        salt = opened.header.salt
        ledger = self.ledger
        sizes = self._sizes
        for record_type, record_id, offset, end in record.walk(data, start, salt):
            if record_type == record.PUSH:
                size = end - offset - record.PUSH_HEADER_SIZE
                ledger.pushed(1, size, max(ledger.next_id, record_id + 1))
                if sizes is not None:
                    sizes[record_id] = size
            elif record_type == record.REMOVE:
                told = record.removed_size(data, offset, end)
                if sizes is not None:
                    told = sizes.pop(record_id, None)
                if told is not None:
                    ledger.removed(record_id, told)
            else:
                self._apply_rare(record_type, record_id, data, offset, end)
            start = end
        highest_id = _highest_id(opened.header, ledger.next_id, data)
        reason = "this record is not sound"
        _no_sound_record_from(opened.path, data, start, salt, highest_id, reason)
        ledger.segments[-1].size = start
        return start

    def _apply_rare(
        self, record_type: int, record_id: int, data: memoryview, offset: int, end: int
    ) -> None:
        ledger = self.ledger
        if record_type == record.OPEN:
            ledger.opened(record_id)
        elif record_type == record.DELAY:
            ledger.delayed(record_id, record.due(data, offset))
        elif record_type == record.PAUSE:
            ledger.paused_ms = record.due(data, offset)
        elif record_type in record.PUTS:
            item = record.marked_item_at(data, offset, end)
            ledger.pushed(1, len(item.data), max(ledger.next_id, record_id + 1))
            if item.deliveries or item.front:
                ledger.facts[record_id] = Facts(item.deliveries, 0, item.front)
            if item.token:
                ledger.saw(item.token, item.added_ms, record_id)
        elif record_type in (record.FLUSH, record.DELETE):
            if self._sizes is not None:
                self._sizes.clear()
            kept = record.kept_items(data, offset, end) if record_type == record.FLUSH else ()
            ledger.flushed(record_id, kept)
            ledger.deleted = record_type == record.DELETE
            if ledger.deleted:
                ledger.was_deleted(ledger.next_id)
        elif record_type == record.DISCARD:
            ledger.given_up(record_id, *record.discarded(data, offset))
        elif record_type == record.RECLAIM:
            self._give_up(record_id)

    def _begin_version_1(self, header: Header) -> None:
        if self._sizes is None:
            self._sizes = {}
            self.ledger = Ledger(head=header.first_id)
        self.ledger.next_id = max(self.ledger.next_id, header.first_id)
        self._give_up(header.oldest)

    def _give_up(self, oldest: int) -> None:
        """Remove the items of segments numbered below ``oldest``: they were all taken.

        A power cut may have brought such a segment back without the later ones that say so.
        """
        if oldest <= self._oldest or self._sizes is None:
            return
        self._oldest = oldest
        bound = self.ledger.segment(oldest)
        first_id = 0 if bound is None else bound.first_id
        for item_id in [each for each in self._sizes if each < first_id]:
            self.ledger.removed(item_id, self._sizes.pop(item_id))

    @property
    def oldest(self) -> int:
        """Version 1: the lowest number of a segment that is still needed."""
        return self._oldest


def _highest_id(header: Header, next_id: int, data: memoryview) -> int:
    """Return a number that no id in a segment is above, ``next_id`` being that of the next item.

    An id behind it would take more records than there is room for in ``data``.
    """
    return max(next_id + len(data) // record.HEADER_SIZE, header.number)


def _is_torn_header(path: str, data: memoryview, reason: str) -> bool:
    """Tell whether a header's beginning is followed by zeros alone, as a power cut may leave it.

    Raises ``JournalDamagedError`` when a sound record follows.
    """
    content = bytes(data[: segment.MAX_HEADER]).rstrip(b"\0")
    if not segment.MAGIC.startswith(content[: len(segment.MAGIC)]):
        return False
    size, salt = segment.expected_size(content)
    if len(content) >= size or any(data[len(content) :]):
        return False
    _no_sound_record_from(path, data, 0, salt, search.ANY_ID, reason)
    return True


def _no_sound_record_from(
    path: str, data: memoryview, offset: int, salt: int, highest_id: int, reason: str
) -> None:
    """Raise ``JournalDamagedError`` if a sound record follows the bytes at ``offset``.

    Then they are damage in the middle; else they are a torn tail, as a crash leaves it.
    """
    sound = search.find_sound_record(data, offset, salt, highest_id)
    if sound is not None:
        raise JournalDamagedError(
            path, offset, f"{reason}, but a sound one follows at byte {sound}"
        )
