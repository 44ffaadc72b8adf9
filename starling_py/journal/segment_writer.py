"""The end of a journal: the segment that is written to, and how the next one is begun.

A segment is begun without waiting for the disk: it keeps the ending ``.new`` until a sync has made
it and the one before it safe, and only then gets its name. So, among segments that have their
names, only the last can have lost its end. After a failed write the file is cut back to where it
was, so half a record is never followed by good ones. What cannot be cut back, and any failed sync,
spoils the file for good: see ``healing``. A sync that is under way in another thread is told: it
would hear of success, as the system tells of a failure only once.
"""

import contextlib
import errno
import logging
from typing import Final

from starling_py.journal.disk import failed_syncs
from starling_py.journal.disk.open_files import OpenFiles
from starling_py.journal.disk.reserve import SomeReserve
from starling_py.journal.errors import FileSpoiledError, JournalError
from starling_py.journal.format import segment
from starling_py.journal.format.segment import UNFINISHED_SUFFIX, Segment
from starling_py.journal.ledger import Ledger
from starling_py.journal.pending import Pending
from starling_py.journal.syncing import Place, Syncing

log = logging.getLogger(__name__)

NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""The errors of a full disk, after which a file is as good as before."""
_NEVER: Final = 1 << 62
"""The size that no segment reaches: none may be begun before the last one has its name."""


class SegmentWriter:
    """The open file of a journal's last segment."""

    def __init__(self, place: Place, open_files: OpenFiles, segment_size: int) -> None:
        self._place = place
        self._open_files = open_files
        self._segment_size = segment_size
        self._descriptor: int | None = None
        self._previous: int | None = None
        self._paths: dict[int, str] = {}
        self._unfinished: str | None = None
        self._new_directory = False
        self._leftover = False
        self._begin_at = segment_size
        self.full_at = segment_size
        """Bytes of the last segment at which the next one is to be begun."""
        self.beginning = 0
        """Bytes of the last segment's own beginning, if it was begun here."""
        self.put_off_until = 0
        """Bytes that the last segment must have before another one is tried to be begun."""
        self._under_way: Syncing | None = None
        self._trouble: OSError | None = None
        self.idle = True
        """Whether the file can be closed, as nothing in it needs a sync."""
        self.highest = 0
        """The highest number that a segment ever had."""

    @property
    def ready(self) -> bool:
        """Whether another segment may be begun: the last one has its name."""
        return self._unfinished is None

    def begin_first_segment(self, ledger: Ledger) -> None:
        """Make the journal's directory and begin its first segment.

        Raises ``OSError``, and ``JournalError`` if there is a journal already.
        """
        files, directory = self._place.files, self._place.directory
        files.make_directory(directory)
        names = files.list_directory(directory)
        if any(segment.number_of(name) is not None for name in names):
            raise JournalError(f"journal {directory} is there already, and was not read")
        self._leftover = segment.file_name(1) + UNFINISHED_SUFFIX in names
        self._new_directory = self._place.syncs
        self.begin_segment(ledger, 0)

    def begin_segment(self, ledger: Ledger, previous_end: int) -> None:
        """Begin the next segment of the ledger. Raises ``OSError``, and then nothing changed."""
        files = self._place.files
        number = max(self.highest, ledger.segments[-1].number if ledger.segments else 0) + 1
        path = self._place.path(number)
        unfinished = path + UNFINISHED_SUFFIX
        if self._leftover:
            # Not to be used again: a sync of it may have failed.
            files.unlink(unfinished)
            self._leftover = False
        beginning = self._place.beginning(number, ledger, previous_end)
        descriptor = files.create(unfinished)
        try:
            files.write_all(descriptor, beginning)
            if not self._place.syncs:
                files.rename(unfinished, path)
        except OSError:
            with contextlib.suppress(OSError):
                files.close(descriptor)
            self._leftover = True
            with contextlib.suppress(OSError):
                files.unlink(unfinished)
                self._leftover = False
            raise
        if self._place.syncs:
            self._previous, self._descriptor = self._descriptor, descriptor
            self._unfinished, path = unfinished, unfinished
        else:
            self.close()
            self._descriptor = descriptor
        self._paths[descriptor] = path
        self.idle = not self._place.syncs
        self.highest = number
        # Where many small segments make for a large checkpoint, segments must be larger.
        self.beginning = len(beginning)
        self._begin_at = max(self._segment_size, 4 * len(beginning))
        self.full_at = _NEVER if self._unfinished is not None else self._begin_at
        self.put_off_until = 0
        self._open_files.opened(self)
        ledger.begin_segment(Segment(number, path, ledger.next_id, len(beginning)))

    def put_off(self, size: int) -> None:
        """Try to begin the next segment only when the present one has grown some more."""
        self._begin_at = self.put_off_until = size + self._segment_size // 4
        self.full_at = self._begin_at

    def append(self, last: Segment, data: bytes) -> None:
        """Write to the end of the last segment.

        Raises ``OSError`` when nothing was written, and the file is as good as before;
        ``FileSpoiledError`` when the file must not be used any more.
        """
        if self._descriptor is None:
            self._descriptor = self._open(last.path)
            self._paths[self._descriptor] = last.path
            self._open_files.opened(self)
        self.idle = not self._place.syncs
        try:
            self._place.files.write_all(self._descriptor, data)
        except OSError as error:
            self._cut_back(self._descriptor, last.size)
            if error.errno not in NO_ROOM:
                raise FileSpoiledError(error.errno, error.strerror) from error
            raise
        last.size += len(data)
        if self._open_files.crowded:
            self._open_files.trim()

    def begin_sync(self, last: Segment) -> Syncing | None:
        """Return what makes all that was written safe; ``None`` if all of it is."""
        if self.idle:
            return None
        descriptors = tuple(each for each in self._both if each is not None)
        self._under_way = Syncing(
            self._place,
            descriptors,
            tuple(self._paths[each] for each in descriptors),
            self._unfinished,
            self._new_directory,
            (last.number, last.size),
            self._trouble,
        )
        return self._under_way

    def end_sync(self, last: Segment, syncing: Syncing, *, unchanged: bool) -> None:
        """Take notice that a sync has done its work; ``unchanged``: nothing was written since."""
        self._under_way = None
        self.idle = unchanged
        if syncing.new_directory:
            self._new_directory = False
        if syncing.unfinished is not None:
            self._unfinished = None
            self.full_at = self._begin_at
            last.path = last.path.removesuffix(UNFINISHED_SUFFIX)
        if len(syncing.descriptors) > 1:
            self._close(self._previous)
            self._previous = None

    def adopt(self, descriptor: int, number: int) -> None:
        """Go on with the segment of a journal that was healed."""
        self.close()
        self._descriptor = descriptor
        self._paths[descriptor] = self._place.path(number)
        self._unfinished = None
        self._trouble = None
        self._new_directory = False
        self.highest = number
        self._begin_at = self.full_at = self._segment_size
        self.beginning = 0
        self.idle = True
        self._open_files.opened(self)

    def evict(self) -> bool:
        """Close the files though something in them may need a sync, unless one is under way.

        It is done here and now: the error of a sync is only told to who has the file open.
        """
        if any(self._is_synced(each) for each in self._both):
            return False
        try:
            # What is idle is safe, and an error would refuse the next operation for nothing.
            for each in () if self.idle else self._both:
                if each is not None:
                    failed_syncs.sync_or_note(self._place.files, each, self._paths[each])
        except OSError as error:
            self._trouble = error
        self.close()
        return True

    def close(self) -> None:
        """Close the files; the next write opens the segment again."""
        self._close(self._previous)
        self._close(self._descriptor)
        self._previous = self._descriptor = None
        self._under_way = None
        self._open_files.closed(self)

    @property
    def _both(self) -> tuple[int | None, int | None]:
        return self._previous, self._descriptor

    def _is_synced(self, descriptor: int | None) -> bool:
        """Tell whether a sync of a file is under way."""
        return self._under_way is not None and descriptor in self._under_way.descriptors

    def _open(self, path: str) -> int:
        try:
            return self._place.files.open(path)
        except FileNotFoundError:
            if not path.endswith(UNFINISHED_SUFFIX):
                raise
            # A sync that is under way has given it its name already.
            return self._place.files.open(path.removesuffix(UNFINISHED_SUFFIX))

    def _close(self, descriptor: int | None) -> None:
        if descriptor is not None:
            del self._paths[descriptor]
            try:
                self._place.files.close(descriptor)
            except OSError as error:
                directory = self._place.directory
                log.warning("%s: error on closing a segment: %s", directory, error)

    def _cut_back(self, descriptor: int, size: int) -> None:
        syncing = self._under_way if self._is_synced(descriptor) else None
        with syncing.cutting if syncing is not None else contextlib.nullcontext():
            try:
                self._place.files.truncate(descriptor, size)
                if self._place.syncs:
                    # What was refused must not be there after a power cut either.
                    path = self._paths[descriptor]
                    failed_syncs.sync_or_note(self._place.files, descriptor, path)
            except OSError as error:
                spoiled = FileSpoiledError(error.errno, f"half a record cannot be cut off: {error}")
                if syncing is not None:
                    syncing.trouble = spoiled
                raise spoiled from error


SMALL: Final = 1 << 16
"""Bytes of a segment that is not worth giving up early."""


class Rotation:
    """Decides which segment is written to, and begins the next one when it is due.

    A segment that cannot be begun when it is due is tried again later, and the last one goes on.
    On a full disk, what was reserved for removals is lent to them, and a segment is only begun if
    that helps to give the present one up.
    """

    def __init__(
        self, writer: SegmentWriter, reserve: SomeReserve, path: str, *, must_begin: bool
    ) -> None:
        """``path`` is the journal's directory.

        ``must_begin``: nothing more is to be written to the last segment.
        """
        self._writer = writer
        self._reserve = reserve
        self._path = path
        self._must_begin = must_begin
        self.count = 0
        """Segments begun since the server started, beside the first."""

    def write(self, ledger: Ledger, data: bytes, pending: Pending) -> None:
        """Write records to the end of the journal, and begin a segment before if one is due.

        ``data`` are the bytes of the pending records.

        Raises ``OSError`` and ``JournalError``, as ``SegmentWriter`` does, and then none of them
        was written.
        """
        writer, segments = self._writer, ledger.segments
        if (
            not segments
            or self._reserve.short
            or self._must_begin
            or segments[-1].size >= writer.full_at
        ):
            self._make_ready(ledger)
        last = ledger.segments[-1]
        try:
            writer.append(last, data)
        except OSError as error:
            if not self._has_lent(error, len(data), removals_only=not pending.costs):
                raise
            writer.append(last, data)

    def leave(self) -> None:
        """Write nothing more to the last segment."""
        self._must_begin = True

    def is_due(self, ledger: Ledger) -> bool:
        """Tell whether the next segment is to be begun before more is written."""
        last = ledger.segments[-1]
        if self._reserve.short:
            writer = self._writer
            worth = last.size > max(SMALL, 2 * writer.beginning, writer.put_off_until)
            return worth and 2 * last.waste > last.size and self._writer.ready
        return last.size >= self._writer.full_at

    def _make_ready(self, ledger: Ledger) -> None:
        writer = self._writer
        if not ledger.segments:
            writer.begin_first_segment(ledger)
        elif self._must_begin or self.is_due(ledger):
            last = ledger.segments[-1]
            try:
                self._begin_next(ledger, last.size)
            except OSError as error:
                if self._must_begin:
                    raise
                log.warning("%s: no new segment can be begun: %s", self._path, error)
                writer.put_off(last.size)
            else:
                self._must_begin = False
                self.count += 1

    def _begin_next(self, ledger: Ledger, previous_end: int) -> None:
        try:
            self._writer.begin_segment(ledger, previous_end)
        except OSError as error:
            if not self._has_lent(error, SMALL, removals_only=False):
                raise
            self._writer.begin_segment(ledger, previous_end)

    def _has_lent(self, error: OSError, size: int, *, removals_only: bool) -> bool:
        """Tell whether the disk is full, and room that was reserved has been given away for it."""
        return error.errno in NO_ROOM and self._reserve.lend(size, removals_only=removals_only)
