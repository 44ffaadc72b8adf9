"""A journal read back: what was in the queue, and where writing goes on.

Only the last segment may end in the middle of a record, as a crash leaves it: that tail is kept
aside as a copy and cut off. Everything else that is not as it was written is damage, and damage
is never skipped: ``JournalDamaged`` names the file and the offset, and nothing is changed.
"""

import itertools
import logging
from collections.abc import Callable

import attrs

from starling_py.journal import record, segment
from starling_py.journal.files import Files
from starling_py.journal.record import Item, Record
from starling_py.journal.segment import HeaderCutShort, Segment, SegmentProblem

log = logging.getLogger(__name__)

TORN_SUFFIX = ".torn"


class JournalDamaged(Exception):
    """A journal that cannot be read whole; its text names the file, the offset and the reason."""

    def __init__(self, path: str, offset: int, reason: str) -> None:
        super().__init__(f"{path}: damaged at byte {offset}: {reason}")
        self.path = path
        self.offset = offset


@attrs.define
class Recovered:
    """The state of a queue after its whole journal was replayed."""

    queue: bytes
    """The queue's true name."""
    items: dict[int, Item]
    """What is in the queue, by id, in the order of the queue."""
    next_id: int
    oldest: int
    """The lowest number of a segment that is still needed."""
    salt: int
    segments: list[Segment] = attrs.field(factory=list)
    deleted: bool = False
    """Whether the queue was deleted and only its files were left."""

    def apply(self, entry: Record, bounds: dict[int, int]) -> None:
        """Replay one record; ``bounds`` gives the first id of each segment seen so far."""
        if entry.item is not None:
            self.items[entry.id] = entry.item
            self.next_id = max(self.next_id, entry.id + 1)
            self.deleted = False
        elif entry.type == record.REMOVE:
            self.items.pop(entry.id, None)
        elif entry.type == record.FLUSH:
            self._drop(entry.id + 1)
        elif entry.type == record.DELETE:
            self.items.clear()
            self.deleted = True
        elif entry.type == record.RECLAIM:
            self.give_up(entry.id, bounds)

    def give_up(self, oldest: int, bounds: dict[int, int]) -> None:
        """Forget what segments below a number hold; they may have come back without the others."""
        if oldest > self.oldest:
            self.oldest = oldest
            self._drop(bounds.get(oldest, 0))

    def _drop(self, below_id: int) -> None:
        for item_id in list(itertools.takewhile(lambda item_id: item_id < below_id, self.items)):
            del self.items[item_id]


@attrs.frozen
class _TornTail:
    """The end of the last segment, from the first byte that belongs to no sound record."""

    path: str
    offset: int
    tail: bytes


def recover(
    files: Files,
    directory: str,
    is_right: Callable[[bytes], bool] = lambda _: True,
    *,
    syncs: bool = True,
) -> Recovered | None:
    """Read the journal in a directory.

    Returns ``None`` when it holds no journal, only what a crash left before there was one.
    Removes the files that a crash left behind and cuts a torn tail off. With ``syncs``, what was
    read is synced: the process that wrote it may have died before it did so, and nobody may be
    handed an item that a power cut could still take back. (The directory's own name is left to
    the caller, who has all directories to care for.) ``is_right`` tells whether a queue of
    this name belongs into this directory. Raises ``JournalDamaged`` and ``OSError``.
    """
    names = files.list_directory(directory)
    numbers = sorted(number for name in names if (number := segment.number_of(name)) is not None)
    state: Recovered | None = None
    bounds: dict[int, int] = {}
    torn: _TornTail | None = None
    for number in numbers:
        if torn is not None:
            raise JournalDamaged(torn.path, torn.offset, "and this is not the last segment")
        path = f"{directory}/{segment.file_name(number)}"
        data = memoryview(files.read(path))
        state, end = _replay(path, data, number, state, bounds)
        if end < len(data) or not data:
            torn = _TornTail(path, end, bytes(data[end:]))
        if state is not None and not is_right(state.queue):
            raise JournalDamaged(directory, 0, f"this is the journal of {state.queue!r}")
    if state is not None:
        _check_numbers(directory, numbers, state)
    elif torn is not None and numbers[-1] > 1:
        # The first segment of a journal may be empty, but those before this one were given up.
        raise JournalDamaged(torn.path, 0, "the header is missing")
    if torn is not None:
        _cut(files, directory, names, torn)
    if syncs and state is not None:
        _sync(files, directory, state)
    _tidy(files, directory, names, state)
    return state


def _replay(
    path: str, data: memoryview, number: int, state: Recovered | None, bounds: dict[int, int]
) -> tuple[Recovered | None, int]:
    """Replay one segment; return the state and the offset behind its last sound record."""
    if not any(data):
        # A name without content: what a power cut leaves of a segment that was never synced.
        return state, 0
    try:
        header, offset = _header(path, data, number, state)
    except HeaderCutShort as problem:
        _no_sound_record_from(path, data, 0, problem.salt, 2**64 - 1, str(problem))
        return state, 0
    if state is None:
        state = Recovered(header.queue, {}, header.first_id, header.oldest, header.salt)
    state.next_id = max(state.next_id, header.first_id)
    bounds[number] = header.first_id
    state.give_up(header.oldest, bounds)
    for entry in record.scan(data, offset, state.salt):
        if isinstance(entry, int):
            offset = entry
        else:
            state.apply(entry, bounds)
    # A segment cannot hold more records than it has room for.
    highest_id = max(state.next_id + len(data) // record.HEADER_SIZE, number)
    _no_sound_record_from(path, data, offset, state.salt, highest_id, "this record is not sound")
    state.segments.append(Segment(number, path, header.first_id, offset))
    return state, offset


def _no_sound_record_from(
    path: str, data: memoryview, offset: int, salt: int, highest_id: int, reason: str
) -> None:
    """Raise ``JournalDamaged`` when damage at ``offset`` is not the end of what was written."""
    sound = record.find_sound_record(data, offset, salt, highest_id)
    if sound is not None:
        raise JournalDamaged(path, offset, f"{reason}, but a sound one follows at byte {sound}")


def _header(
    path: str, data: memoryview, number: int, state: Recovered | None
) -> tuple[segment.Header, int]:
    try:
        header, offset = segment.decode(data)
    except HeaderCutShort:
        raise
    except SegmentProblem as problem:
        raise JournalDamaged(path, 0, str(problem)) from problem
    if header.number != number:
        raise JournalDamaged(path, 0, f"the header says that this is segment {header.number}")
    if state is not None and header.queue != state.queue:
        raise JournalDamaged(path, 0, f"this segment belongs to the queue {header.queue!r}")
    if state is not None and header.salt != state.salt:
        raise JournalDamaged(path, 0, "this segment belongs to another journal of this queue")
    return header, offset


def _check_numbers(directory: str, numbers: list[int], state: Recovered) -> None:
    """Refuse a journal with a segment missing that was still needed."""
    expected = state.oldest
    for number in numbers:
        if number > expected:
            path = f"{directory}/{segment.file_name(expected)}"
            raise JournalDamaged(path, 0, "this segment is missing")
        if number == expected:
            expected += 1


def _tidy(files: Files, directory: str, names: list[str], state: Recovered | None) -> None:
    """Remove what is no longer needed: unfinished segments, and dead ones that a crash kept."""
    for name in names:
        finished = name.removesuffix(segment.UNFINISHED_SUFFIX)
        if finished != name and segment.number_of(finished) is not None:
            files.unlink(f"{directory}/{name}")
        elif segment.number_of(name) is None and TORN_SUFFIX not in name:
            log.warning("%s/%s: not a file of this server; left alone", directory, name)
    if state is not None:
        for each in [each for each in state.segments if each.number < state.oldest]:
            files.unlink(each.path)
            state.segments.remove(each)


def _sync(files: Files, directory: str, state: Recovered) -> None:
    """Make sure that what was read cannot be lost any more."""
    for each in state.segments:
        descriptor = files.open(each.path)
        try:
            files.sync(descriptor)
        finally:
            files.close(descriptor)
    files.sync_directory(directory)


def _cut(files: Files, directory: str, names: list[str], torn: _TornTail) -> None:
    """Keep a torn tail in a file of its own and cut it off the segment."""
    if torn.tail:
        aside = _keep(files, directory, names, torn)
        log.warning(
            "%s: the last %d bytes are no whole record, as after a crash; kept in %s and cut off",
            torn.path,
            len(torn.tail),
            aside,
        )
    if torn.offset == 0:
        files.unlink(torn.path)
        return
    descriptor = files.open(torn.path)
    try:
        files.truncate(descriptor, torn.offset)
        files.sync(descriptor)
    finally:
        files.close(descriptor)


def _keep(files: Files, directory: str, names: list[str], torn: _TornTail) -> str:
    """Write a torn tail to a file under a name that is not taken, and return its path."""
    stem = f"{torn.path}{TORN_SUFFIX}-{torn.offset}"
    candidates = (stem if count == 0 else f"{stem}-{count}" for count in itertools.count())
    aside = next(path for path in candidates if path.rpartition("/")[2] not in names)
    copy = files.create(aside)
    try:
        tail = torn.tail
        while tail:
            tail = tail[files.write(copy, tail) :]
        files.sync(copy)
    finally:
        files.close(copy)
    files.sync_directory(directory)
    return aside
