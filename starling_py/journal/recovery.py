"""A journal read back: what is live in the queue, and where writing goes on.

A start reads the header of every segment and the records of the last one alone. Only the last
one may end in the middle of a record, as a crash leaves it: that tail is kept aside as a copy and
cut off. Everything else that is not as it was written is damage, and damage is never skipped:
``JournalDamaged`` names the file and the offset, and nothing is changed, unless the operator has
said that a queue is to be served without its damaged older segments.
"""

import itertools
import logging
from collections.abc import Callable

import attrs

from starling_py.journal import checkpoint, segment
from starling_py.journal.files import Files
from starling_py.journal.ledger import Ledger
from starling_py.journal.replay import (
    Opened,
    Replay,
    open_segment,
    read_checkpoint,
)
from starling_py.journal.segment import COMPACTED_SUFFIX, UNFINISHED_SUFFIX, Header, Segment
from starling_py.journal.trouble import JournalDamaged

log = logging.getLogger(__name__)

TORN_SUFFIX = ".torn"
DAMAGED_SUFFIX = ".damaged"
"""A second name for a segment whose items were given up because it cannot be read."""


@attrs.frozen
class TornTail:
    """The end of a segment, from the first byte that belongs to no sound record."""

    path: str
    offset: int
    tail: bytes


@attrs.define
class Recovered:
    """A journal after it was read, and what has to be done on disk before it is written to."""

    header: Header
    """That of the last segment."""
    ledger: Ledger
    unfinished: bool = False
    """Whether the last segment still lacks its final name."""
    lost: list[tuple[Segment, JournalDamaged]] = attrs.field(factory=list)
    """Segments that cannot be read, and that are to be given up."""

    @property
    def queue(self) -> bytes:
        """The queue's true name."""
        return self.header.queue

    @property
    def salt(self) -> int:
        """What the journal's checksums begin with."""
        return self.header.salt


def recover(
    files: Files,
    directory: str,
    is_right: Callable[[bytes], bool] = lambda _: True,
    *,
    syncs: bool = True,
    quarantine: bool = False,
) -> Recovered | None:
    """Read the journal in a directory and make it fit to be written to.

    Returns ``None`` when it holds no journal, only what a crash left before there was one.
    Removes the files that a crash left behind and cuts a torn tail off. With ``syncs``, what was
    read is synced: the process that wrote it may have died before it did so, and nobody may be
    handed an item that a power cut could still take back. (The directory's own name is left to
    the caller, who has all directories to care for.) ``is_right`` tells whether a queue of
    this name belongs into this directory. With ``quarantine``, older segments that are damaged
    are given up. Raises ``JournalDamaged`` and ``OSError``.
    """
    examination = Examination(files, directory, quarantine=quarantine)
    state = examination.run()
    if state is not None and not is_right(state.queue):
        raise JournalDamaged(directory, 0, f"this is the journal of {state.queue!r}")
    for torn in examination.torn:
        _cut(files, directory, examination.names, torn)
    for name in examination.names:
        if not _is_known(name):
            log.warning("%s/%s: not a file of this server; left alone", directory, name)
    if state is None:
        for path in examination.needless:
            files.unlink(path)
        return None
    for each, damage in state.lost:
        log.critical("%s; %d items are given up", damage, each.items)
        if segment.file_name(each.number) in examination.names:
            aside = f"{each.path}{DAMAGED_SUFFIX}"
            if aside.rpartition("/")[2] not in examination.names:
                files.link(each.path, aside)
    _settle(files, directory, state, syncs=syncs)
    for path in examination.needless:
        files.unlink(path)
    return state


def state_at(files: Files, directory: str, number: int, size: int) -> Ledger:
    """Return the ledger as it was when segment ``number`` had ``size`` bytes; changes nothing.

    Raises ``JournalDamaged`` and ``OSError``.
    """
    state = Examination(files, directory, until=(number, size)).run()
    if state is None:
        raise JournalDamaged(directory, 0, "there is no journal any more")
    last = state.ledger.segments[-1]
    if (last.number, last.size) != (number, size):
        reason = f"what was safe ends here, not at byte {size} of segment {number}"
        raise JournalDamaged(last.path, last.size, reason)
    return state.ledger


class Examination:
    """One look at a directory, which changes nothing in it."""

    def __init__(
        self,
        files: Files,
        directory: str,
        *,
        quarantine: bool = False,
        until: tuple[int, int] | None = None,
    ) -> None:
        """With ``until``, what was written behind that segment and size is left out."""
        self._files = files
        self._directory = directory
        self._quarantine = quarantine
        self._until = until
        self._replay = Replay()
        self.names = files.list_directory(directory)
        """Everything in the directory."""
        self.torn: list[TornTail] = []
        """What a crash left; to be kept aside and cut off."""
        self.needless: list[str] = []
        """Files that are not needed any more."""
        self._opened: dict[int, Opened] = {}
        self._damaged: dict[int, JournalDamaged] = {}

    def run(self) -> Recovered | None:
        """Return what is there; ``None`` for no journal. Raises ``JournalDamaged``."""
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
        self._place(state)
        return state

    def _path(self, number: int) -> str:
        return f"{self._directory}/{segment.file_name(number)}"

    def _open_all(self, numbers: list[int]) -> None:
        """Read the headers."""
        like: Header | None = None
        for number in reversed(numbers):
            path = self._path(number)
            data = memoryview(self._files.read_at(path, 0, segment.MAX_HEADER))
            try:
                opened = open_segment(path, data, number, like)
                if opened is None:
                    self._note_headless(path, number == numbers[-1], number)
                    continue
            except JournalDamaged as damage:
                if like is None or not self._quarantine:
                    raise
                self._damaged[number] = damage
                continue
            self._opened[number] = opened
            like = opened.header

    def _note_headless(self, path: str, is_last: bool, number: int) -> None:
        """Take a segment without a whole header: a crash leaves that of the last one alone."""
        data = self._files.read(path)
        open_segment(path, memoryview(data), number, None)  # raises if there is more than a crash
        if not is_last:
            raise JournalDamaged(path, 0, "the header is missing, and this is not the last segment")
        self.torn.append(TornTail(path, 0, data))

    def _replay_finished(self) -> Opened | None:
        """Replay what has its final name, up to the first byte that is not sound."""
        if not self._opened:
            if self.torn and not self.torn[0].path.endswith(segment.file_name(1)):
                # The first segment of a journal may be empty; those before this one are gone.
                raise JournalDamaged(self.torn[0].path, 0, "the header is missing")
            return None
        order = sorted(self._opened)
        if self._opened[order[-1]].header.version > 1:
            order = order[-1:]
        opened = None
        for number in order:
            if opened is not None and self.torn and self.torn[-1].path == opened.path:
                tail = self.torn[-1]
                raise JournalDamaged(tail.path, tail.offset, "and this is not the last segment")
            opened = self._opened[number]
            data = memoryview(self._files.read(opened.path))
            if self._until is not None and number == self._until[0]:
                data = data[: self._until[1]]
            start = self._replay.begin(opened, data)
            if start is None:
                raise JournalDamaged(opened.path, opened.start, "the checkpoint is missing")
            end = self._replay.run(opened, data, start)
            if end < len(data):
                self.torn.append(TornTail(opened.path, end, bytes(data[end:])))
        return opened

    def _replay_unfinished(self, last: Opened | None) -> Opened | None:
        """Replay a segment that was begun last, if it goes on where the one before ends."""
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
            data = memoryview(self._files.read(path))
            try:
                opened = open_segment(path, data, number, like)
                begins = None if opened is None else read_checkpoint(opened, data)
            except JournalDamaged:
                if last is None:
                    raise
                opened = begins = None
            if opened is None or begins is None or not self._follows(last, begins[0].previous_end):
                # It was begun, and what it begins behind did not last, or neither did its own head.
                unlinked = begins is not None and begins[0].previous_end == checkpoint.UNLINKED
                if any(data) and not unlinked:
                    self.torn.append(TornTail(path, 0, bytes(data)))
                else:
                    self.needless.append(path)
                continue
            self._check_agrees(path, begins[0].ledger, last)
            start = self._replay.begin(opened, data)
            assert start is not None, "the checkpoint was read above"
            end = self._replay.run(opened, data, start)
            if end < len(data):
                self.torn.append(TornTail(path, end, bytes(data[end:])))
            found = opened
        return found

    def _follows(self, last: Opened | None, previous_end: int) -> bool:
        if last is None:
            return previous_end == 0
        return not self.torn and self._replay.ledger.segments[-1].size == previous_end

    def _check_agrees(self, path: str, begins: Ledger, last: Opened | None) -> None:
        ends = self._replay.ledger
        told = (begins.items, begins.bytes, begins.next_id)
        if last is not None and told != (ends.items, ends.bytes, ends.next_id):
            raise JournalDamaged(path, 0, "its checkpoint contradicts the segment before")

    def _place(self, state: Recovered) -> None:
        """Find the file of every segment that is needed, and those that are not needed."""
        # Where one that was itself replaced has come back, the later one counts.
        stands_for = {
            older: opened
            for _, opened in sorted(self._opened.items())
            if opened.header.compacted
            for older in range(opened.header.oldest, opened.header.number + 1)
        }
        *older, last = state.ledger.segments
        placed: dict[int, Segment] = {}
        for each in older:
            if not each.items:
                continue
            compacted = stands_for.get(each.number)
            number = each.number if compacted is None else compacted.header.number
            each.path = self._path(number)
            if compacted is not None:
                first = placed.setdefault(
                    number,
                    attrs.evolve(
                        each, number=number, first_id=compacted.header.first_id, items=0, bytes=0
                    ),
                )
                first.compacted = True
                first.size = self._files.size(each.path)
                first.items += each.items
                first.bytes += each.bytes
            else:
                # One that is given up stays in the ledger until the journal says that it is.
                self._check_file(state, each)
                placed[number] = each
        state.ledger.segments = [*placed.values(), last]
        if self._replay.oldest:
            self._check_numbers(self._replay.oldest, last.number)
        self.needless += [
            self._path(number)
            for number in (*self._opened, *self._damaged)
            if number not in placed and number != last.number
        ]

    def _check_file(self, state: Recovered, each: Segment) -> None:
        """Refuse, or give up, a segment that is missing, damaged or too short."""
        damage = self._damaged.get(each.number)
        if damage is None and each.number not in self._opened:
            damage = JournalDamaged(each.path, 0, "this segment is missing")
        elif damage is None and (size := self._files.size(each.path)) < each.size:
            damage = JournalDamaged(each.path, size, f"the file ends here, not at byte {each.size}")
        if damage is None:
            return
        if not self._quarantine:
            raise damage
        state.lost.append((each, damage))

    def _check_numbers(self, oldest: int, last: int) -> None:
        """Version 1: refuse a journal with a segment missing that was still needed."""
        for number in range(oldest, last):
            if number not in self._opened:
                raise JournalDamaged(self._path(number), 0, "this segment is missing")


def _is_known(name: str) -> bool:
    finished = name.removesuffix(UNFINISHED_SUFFIX).removesuffix(COMPACTED_SUFFIX)
    known = segment.number_of(finished) is not None
    return known or TORN_SUFFIX in name or name.endswith(DAMAGED_SUFFIX)


def _settle(files: Files, directory: str, state: Recovered, *, syncs: bool) -> None:
    """Make sure that what is there cannot be lost any more, and give it its final name.

    The older segments were synced already, unless nothing was when they were written; then it
    costs little.
    """
    last = state.ledger.segments[-1]
    if syncs:
        lost = {each.number for each, _ in state.lost}
        for each in [each for each in state.ledger.segments if each.number not in lost]:
            descriptor = files.open(each.path)
            try:
                files.sync(descriptor)
            finally:
                files.close(descriptor)
    if state.unfinished:
        finished = last.path.removesuffix(UNFINISHED_SUFFIX)
        files.rename(last.path, finished)
        last.path = finished
    if syncs:
        files.sync_directory(directory)


def _cut(files: Files, directory: str, names: list[str], torn: TornTail) -> None:
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


def _keep(files: Files, directory: str, names: list[str], torn: TornTail) -> str:
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
