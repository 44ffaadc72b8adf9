"""The end of a journal: the segment that is written to, and the beginning of the next one.

``SegmentWriter`` has the open file; ``Rotation`` decides when the next segment is begun. A segment
is begun without waiting for a sync: its name keeps the ending ``.new`` until a sync has made it and
the one before it safe. So, among segments that have their final names, only the last can have lost
its end. After a failed write the file is cut back to where it was, so half a record is never
followed by whole ones. If it cannot be cut back, or a sync fails, the file is spoiled for good: see
``healing``.
"""

import contextlib
import logging
from collections.abc import Callable
from typing import Final

from starling_py.journal.disk import failed_syncs
from starling_py.journal.disk.files import NO_ROOM, Identity
from starling_py.journal.disk.open_files import OpenFiles
from starling_py.journal.disk.reserve import SomeReserve
from starling_py.journal.errors import FileLostError, FileSpoiledError, JournalError
from starling_py.journal.format import segment
from starling_py.journal.format.segment import UNFINISHED_SUFFIX, Segment
from starling_py.journal.ledger import Ledger
from starling_py.journal.pending import Pending
from starling_py.journal.restoring import Held
from starling_py.journal.syncing import Expected, Place, Syncing

log = logging.getLogger(__name__)

_NEVER: Final = 1 << 62
"""A size that no segment reaches: no segment may be begun before the last one has its name."""


class SegmentWriter:
    """The open file of a journal's last segment, and of the one before it until that is safe."""

    def __init__(self, place: Place, open_files: OpenFiles, segment_size: int) -> None:
        """``segment_size``: bytes of the last segment after which the next one is begun."""
        self._place = place
        self._open_files = open_files
        self._segment_size = segment_size
        self._descriptor: int | None = None
        self._previous: int | None = None
        self._paths: dict[int, str] = {}
        self._identities: dict[int, Identity] = {}
        self._closed: Identity | None = None
        """What the last segment was when it was opened last."""
        self._unfinished: str | None = None
        self._before: str | None = None
        """The path of the segment before the unfinished one."""
        self._new_directory = False
        self._leftover = False
        self._begin_at = segment_size
        self.full_at = segment_size
        """Bytes of the last segment at which the next one is due."""
        self.beginning = 0
        """Bytes of the last segment's header and checkpoint; 0 if it was not begun here."""
        self.put_off_until = 0
        """Bytes of the last segment at which the next one is tried again; 0 if none was put off."""
        self._under_way: Syncing | None = None
        """The sync that another thread may be doing now; of names alone if the files are closed."""
        self._trouble: OSError | None = None
        """Why an eviction's sync failed; every later sync fails with it, until a healing."""
        self.on_spoiled: Callable[[OSError], None] = _tell_nobody
        """Is called when an eviction's sync failed and no other sync is needed that would tell."""
        self.idle = True
        """Whether the files can be closed as they are, since nothing in them needs a sync."""
        self.covered = True
        """Whether all that was written is safe, in the files or in the log."""
        self.highest = 0
        """The highest number that a segment had since the server started."""

    @property
    def never_safe(self) -> bool:
        """Whether nothing of the journal was ever synced, and nothing is being synced now."""
        return self._new_directory and not self.being_synced and self._trouble is None

    @property
    def being_synced(self) -> bool:
        """Whether another thread may be at work on its files, or on their names."""
        return self._under_way is not None

    @property
    def ready(self) -> bool:
        """Whether another segment may be begun: the last one has its final name."""
        return self._unfinished is None

    def begin_first_segment(self, ledger: Ledger) -> None:
        """Make the journal's directory and begin its first segment.

        Raises ``OSError``, and ``JournalError`` if there are segments in the directory: a journal
        that was put back by hand while the server runs is never written over.
        """
        files, directory = self._place.files, self._place.directory
        self._place.check_ours()
        files.make_directory(directory)
        names = files.list_directory(directory)
        if any(segment.number_of(name) is not None for name in names):
            raise JournalError(f"journal {directory} is there already, and was not read")
        self._leftover = segment.file_name(1) + UNFINISHED_SUFFIX in names
        self._new_directory = self._place.syncs
        self.begin_segment(ledger, 0)

    def begin_segment(self, ledger: Ledger, previous_end: int) -> None:
        """Begin the next segment, and add it to the ledger.

        ``previous_end``: bytes of the segment before, 0 for the first one; the checkpoint depends
        on them. Raises ``OSError``; nothing changed then.
        """
        files = self._place.files
        if ledger.segments and self._descriptor is None:
            # While it was closed, nobody would have seen that it lost its name.
            self._check_is_there(ledger.segments[-1].path)
        number = max(self.highest, ledger.segments[-1].number if ledger.segments else 0) + 1
        path = self._place.path(number)
        unfinished = path + UNFINISHED_SUFFIX
        if self._leftover:
            # A leftover is never written to again: a sync of it may have failed.
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
        before = ledger.segments[-1].path if ledger.segments else None
        if self._place.syncs:
            self._previous, self._descriptor = self._descriptor, descriptor
            self._unfinished, path = unfinished, unfinished
            self._before = before
        else:
            self.close()
            if before is not None:
                self._place.mark_end(before, number)
            self._descriptor = descriptor
        self._note(descriptor, path)
        self.idle = self.covered = not self._place.syncs
        self.highest = number
        # With many segments, or gaps in the ids, a checkpoint can be as large as a small segment:
        # then most of what is written would be checkpoints, so segments become larger.
        self.beginning = len(beginning)
        self._begin_at = max(self._segment_size, 4 * len(beginning))
        self.full_at = _NEVER if self._unfinished is not None else self._begin_at
        self.put_off_until = 0
        self._open_files.opened(self)
        ledger.begin_segment(Segment(number, path, ledger.next_id, len(beginning)))

    def put_off(self, size: int) -> None:
        """Begin the next segment later: when the last one, now ``size`` bytes, has grown some more.

        Trying again at each write would cost a failing call, and a line in the log, each time.
        """
        self._begin_at = self.put_off_until = size + self._segment_size // 4
        self.full_at = self._begin_at

    def append(self, last: Segment, data: bytes) -> None:
        """Write ``data`` to the end of the last segment.

        Raises ``OSError`` on a full disk: nothing was written, and the file is as good as before.
        Raises ``FileSpoiledError`` after any other error, or when what was half written cannot be
        cut off: the file must not be written to any more.
        """
        if self._descriptor is None:
            self._descriptor = self._open(last.path)
            self._open_files.opened(self)
        self.idle = self.covered = not self._place.syncs
        try:
            self._place.files.write_all(self._descriptor, data)
        except OSError as error:
            self._cut_back(self._descriptor, last.size)
            if error.errno not in NO_ROOM:  # cut back, the file of a full disk is as good as before
                raise FileSpoiledError(error.errno, error.strerror) from error
            raise
        last.size += len(data)
        if self._open_files.crowded:
            self._open_files.trim()

    def begin_sync(self, last: Segment, *, itself: bool = True) -> Syncing | None:
        """Return the sync that makes all that was written safe; ``None`` if all of it is.

        ``itself``: whether the files have to be safe by themselves, and not by the log.
        """
        if self.idle if itself else self.covered:
            return None
        descriptors = tuple(each for each in self._both if each is not None)
        self._under_way = Syncing(
            self._place,
            descriptors,
            tuple(self._paths[each] for each in descriptors),
            tuple(self._identities[each] for each in descriptors),
            self._unfinished,
            self._before,
            self._new_directory,
            (last.number, last.size),
            self._trouble,
        )
        return self._under_way

    def end_sync(self, last: Segment, syncing: Syncing, *, unchanged: bool) -> None:
        """Take the outcome of a sync that succeeded.

        ``unchanged``: whether nothing was written since it began.
        """
        self._under_way = None
        self.covered = unchanged
        if not syncing.logged:
            # Else the file stays open: its next sync tells of any error since the last one.
            self.idle = unchanged
        if syncing.new_directory:
            self._new_directory = False
        if syncing.unfinished is not None:
            self._unfinished = None
            self.full_at = self._begin_at
            last.path = last.path.removesuffix(UNFINISHED_SUFFIX)
            if self._descriptor is not None:
                self._paths[self._descriptor] = last.path
        if len(syncing.descriptors) > 1:
            self._close(self._previous)
            self._previous = None

    def adopt(self, descriptor: int, number: int) -> None:
        """Go on with the segment that a healing wrote, which is open and safe."""
        self.close()
        self._under_way = None
        self._descriptor = descriptor
        self._note(descriptor, self._place.path(number))
        self._unfinished = None
        self._trouble = None
        self._new_directory = False
        self.highest = number
        self._begin_at = self.full_at = self._segment_size
        self.beginning = 0
        self.idle = self.covered = True
        self._open_files.opened(self)

    def evict(self) -> bool:
        """Sync and close the files; return ``False`` if another thread is syncing them just now.

        They are synced here, in the tick, although that may take long. When the system fails to
        write data to the disk, it reports that to a sync only if the file was open at that time. If
        the file were closed first, and opened again for a sync in the thread, that sync could
        succeed although data is lost. A failure here is kept in ``_trouble``: the next sync raises
        it, and that breaks the journal. Where the log has made everything safe, no sync is planned,
        and the next put would be refused for it; so the journal is healed at once.
        """
        if any(self._is_synced(each) for each in self._both):
            return False
        try:
            # What is in idle files is safe: an error would break the journal for nothing.
            for each in () if self.idle else self._both:
                if each is not None:
                    failed_syncs.sync_or_note(self._place.files, each, self._paths[each])
        except OSError as error:
            self._trouble = error
            if self.covered:
                self.on_spoiled(error)
        self.close()
        return True

    def expected(self, ledger: Ledger) -> list[Expected]:
        """Return what has to be found on the disk: all segments, and what is known of the latest.

        Others may be replaced, which is not seen before they are read.
        """
        known = {
            self._paths[each].removesuffix(UNFINISHED_SUFFIX): self._identities[each]
            for each in self._both
            if each is not None
        }
        paths = [each.path.removesuffix(UNFINISHED_SUFFIX) for each in ledger.segments]
        if paths and self._descriptor is None and self._closed is not None:
            known[paths[-1]] = self._closed
        return [(path, known.get(path)) for path in paths]

    def hold(self) -> dict[str, Held]:
        """Return the open files by their final paths, each with a descriptor of its own.

        Raises ``OSError``.
        """
        return {
            self._paths[each].removesuffix(UNFINISHED_SUFFIX): Held(
                self._place.files.duplicate(each), self._identities[each]
            )
            for each in self._both
            if each is not None
        }

    def close(self) -> None:
        """Close the files; the next write opens the segment again."""
        self._close(self._previous)
        self._close(self._descriptor)
        self._previous = self._descriptor = None
        self._open_files.closed(self)

    def let_go(self) -> None:
        """Refer to the journal no more: it was removed."""
        self.on_spoiled = _tell_nobody

    @property
    def _both(self) -> tuple[int | None, int | None]:
        return self._previous, self._descriptor

    def _is_synced(self, descriptor: int | None) -> bool:
        """Tell whether another thread may be syncing an open file just now."""
        return self._under_way is not None and descriptor in self._under_way.descriptors

    def _note(self, descriptor: int, path: str) -> None:
        self._paths[descriptor] = path
        self._identities[descriptor] = self._closed = self._place.files.identity_of(descriptor)

    def _open(self, path: str) -> int:
        """Open the last segment again. Raises ``OSError``, also if it is not the file it was."""
        files, closed = self._place.files, self._closed
        try:
            descriptor = files.open(path)
        except FileNotFoundError:
            if not path.endswith(UNFINISHED_SUFFIX):
                raise
            # A sync under way has given it its final name already.
            descriptor = files.open(path.removesuffix(UNFINISHED_SUFFIX))
        self._note(descriptor, path)
        if closed is not None and self._identities[descriptor] != closed:
            self._close(descriptor)
            self._closed = closed
            raise FileLostError(path)
        return descriptor

    def _check_is_there(self, path: str) -> None:
        """Raise ``OSError`` if the last segment, which is closed, is not the file that it was."""
        found = self._place.files.identity(path)
        if self._closed is not None and found != self._closed:
            raise FileLostError(path)

    def _close(self, descriptor: int | None) -> None:
        if descriptor is not None:
            del self._paths[descriptor]
            del self._identities[descriptor]
            try:
                self._place.files.close(descriptor)
            except OSError as error:
                directory = self._place.directory
                log.warning("%s: error on closing a segment: %s", directory, error)

    def _cut_back(self, descriptor: int, size: int) -> None:
        """Cut off what a failed write has left behind ``size`` bytes.

        Raises ``FileSpoiledError`` if that fails; a sync under way in another thread then fails
        with it. The lock makes that thread wait until the outcome is known: see ``Syncing``.
        """
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


def _tell_nobody(_: OSError) -> None:
    """Take no notice."""


SMALL: Final = 1 << 16
"""Bytes of a segment up to which it is not worth a new one to get its room back."""


class Rotation:
    """Writes to the last segment, and begins the next one first when that is due.

    If a segment cannot be begun when it is due, the last one goes on, and it is tried again later.
    On a full disk, room that was reserved for removals is lent to them, and a segment is only begun
    if most of the last one is waste: once it is not the last any more, its room can be given back.
    """

    def __init__(
        self, writer: SegmentWriter, reserve: SomeReserve, path: str, *, must_begin: bool
    ) -> None:
        """``path`` is the journal's directory, for the log.

        ``must_begin``: whether nothing may be written to the last segment any more.
        """
        self._writer = writer
        self._reserve = reserve
        self._path = path
        self.must_begin = must_begin
        """Whether nothing more is written to the last segment: it may be of an older version."""
        self.count = 0
        """Segments begun since the server started, not counting a journal's first."""

    def write(self, ledger: Ledger, data: bytes, pending: Pending) -> None:
        """Write records to the end of the journal; begin a segment first if one is due.

        ``data`` are the bytes of the records in ``pending``. Raises ``OSError`` and
        ``JournalError``, as ``SegmentWriter`` does; none of the records was written then.
        """
        writer, segments = self._writer, ledger.segments
        # Nearly every write finds room in the last segment and goes straight to ``append``. So the
        # ordinary part of ``is_due`` stands here too, to spare calls; ``_make_ready`` decides.
        if (
            not segments
            or self._reserve.short
            or self.must_begin
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
        """Write nothing more to the last segment: the next write begins another, or fails."""
        self.must_begin = True

    def is_due(self, ledger: Ledger) -> bool:
        """Tell whether the next segment has to be begun before more is written."""
        last = ledger.segments[-1]
        if self._reserve.short:
            writer = self._writer
            worth = last.size > max(SMALL, 2 * writer.beginning, writer.put_off_until)
            return worth and 2 * last.waste > last.size and self._writer.ready
        return last.size >= self._writer.full_at

    def _make_ready(self, ledger: Ledger) -> None:
        """Begin a segment if there is none or one is due. Raises ``OSError``, ``JournalError``."""
        writer = self._writer
        if not ledger.segments:
            writer.begin_first_segment(ledger)
        elif self.must_begin or self.is_due(ledger):
            last = ledger.segments[-1]
            try:
                self._begin_next(ledger, last.size)
            except OSError as error:
                if self.must_begin:
                    raise
                log.warning("%s: no new segment can be begun: %s", self._path, error)
                writer.put_off(last.size)
            else:
                self.must_begin = False
                self.count += 1

    def _begin_next(self, ledger: Ledger, previous_end: int) -> None:
        try:
            self._writer.begin_segment(ledger, previous_end)
        except OSError as error:
            if not self._has_lent(error, SMALL, removals_only=False):
                raise
            self._writer.begin_segment(ledger, previous_end)

    def _has_lent(self, error: OSError, size: int, *, removals_only: bool) -> bool:
        """Tell whether ``error`` is that of a full disk, and reserved room was given up for it."""
        return error.errno in NO_ROOM and self._reserve.lend(size, removals_only=removals_only)
