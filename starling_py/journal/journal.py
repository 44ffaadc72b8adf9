"""The journal of one queue, as it is written.

Records collect in memory until ``write`` puts all of them into the last segment with one call;
nobody may be told of an operation before that. After a write that failed, the file is cut back
to where it was, so half a record is never followed by good ones; when even that fails, or a sync
does, the journal is *broken*: it takes no record until the server has been started anew, because
a file is never trusted again after a failed sync (the system may have dropped the very pages it
reported). A dead segment is removed only when a record that says so is safe.
"""

import contextlib
import logging
from collections.abc import Callable
from typing import Protocol

import attrs

from starling_py.journal import record, segment
from starling_py.journal.files import Files
from starling_py.journal.record import Item
from starling_py.journal.segment import Segment

log = logging.getLogger(__name__)


class JournalError(Exception):
    """An operation could not be made durable; its text is fit for the client."""


@attrs.frozen
class Durability:
    """What every journal of a server has in common."""

    syncs: bool
    """Whether anything is ever synced (every policy but ``never``)."""
    segment_size: int
    """Bytes after which a new segment is begun."""


class Owner(Protocol):
    """Whose operations a journal records."""

    def committed(self) -> None:
        """Take notice that all operations up to now are written."""

    def rolled_back(self) -> None:
        """Take back the operations since the last commit: they could not be written."""

    def settled(self) -> None:
        """Take notice that all that is written is as safe as the policy makes it."""


class Journal:
    """One queue's records on their way to disk.

    ``touch`` is called when the first record since the last ``write`` is added.
    """

    def __init__(
        self,
        files: Files,
        directory: str,
        queue: bytes,
        durability: Durability,
        touch: Callable[["Journal"], None],
        segments: list[Segment],
        next_id: int = 1,
        oldest: int = 1,
        salt: int = 0,
    ) -> None:
        self._files = files
        self._directory = directory
        self._queue = queue
        self._durability = durability
        self._touch = touch
        self._segments = segments
        self._oldest = oldest
        self._salt = salt
        self._asked = False
        self._written_since_sync = False
        self._writing = False
        self._leftover = False
        self._buffer: list[bytes] = []
        self.next_id = next_id
        """The id that the next item gets; as of the last successful ``write``."""
        self.owner: Owner | None = None
        """Who hears of the outcome of each ``write``."""
        self._pushed_id = next_id - 1
        self._dying: list[Segment] = []
        self._doomed: list[Segment] = []
        self._doomed_when_synced: list[Segment] = []
        self._descriptor: int | None = None
        self.broken: str | None = None
        """Why the journal takes no more records; ``None`` while it does."""
        self.failure = ""
        """Why the last write or sync that failed did so."""
        self.rotations = 0
        """Segments begun since the server started, beside the first."""

    @property
    def path(self) -> str:
        """The directory that holds the segments."""
        return self._directory

    @property
    def size(self) -> int:
        """Bytes of all segments on disk."""
        unlinked_soon = (*self._dying, *self._doomed, *self._doomed_when_synced)
        return sum(each.size for each in (*self._segments, *unlinked_soon))

    @property
    def has_old_segments(self) -> bool:
        """Whether there is more than the segment that is written to."""
        return len(self._segments) > 1

    def push(self, item: Item) -> None:
        """Add the record of a put. Raises ``JournalError`` when the journal is broken."""
        if self.broken is not None:
            raise JournalError(self.broken)
        if not self._buffer:
            self._touch(self)
        self._asked = True
        self._buffer += record.push(item, self._salt)
        self._pushed_id = item.id

    def append(self, record_type: int, record_id: int) -> None:
        """Add a record of any other type. Raises ``JournalError`` when the journal is broken."""
        if self.broken is not None:
            raise JournalError(self.broken)
        if not self._buffer:
            self._touch(self)
        self._asked = True
        self._buffer.append(record.bare(record_type, record_id, self._salt))

    def write(self) -> bool:
        """Put the collected records into the last segment; return whether they are there.

        Raises ``JournalError`` when an operation could not be written; then nothing counts that
        was collected. That dead segments could not be given up is no such failure.
        """
        buffer, self._buffer = self._buffer, []
        asked, self._asked = self._asked, False
        try:
            if self.broken is not None:
                raise JournalError(self.broken)
            self._writing = True
            self._write_all(self._ready(), b"".join(buffer))
        except (OSError, JournalError) as error:
            self._segments[:0], self._dying = self._dying, []
            self._oldest = self._segments[0].number if self._segments else self._oldest
            self._pushed_id = self.next_id - 1
            log.error("%s: journal cannot be written: %s", self._directory, error)
            self.failure = self.broken or f"journal cannot be written: {_reason(error)}"
            if asked:
                raise JournalError(self.failure) from error
            return False
        finally:
            self._writing = False
        self.next_id = self._pushed_id + 1
        self._written_since_sync = True
        self._doomed, self._dying = self._doomed + self._dying, []
        return True

    def reclaim(self, lowest_id: int) -> None:
        """Give up the segments in which every item has an id below ``lowest_id``.

        A record says so first; the files go once it is as safe as the policy makes it.
        """
        dead = 0
        while dead + 1 < len(self._segments) and self._segments[dead + 1].first_id <= lowest_id:
            dead += 1
        if dead and self.broken is None:
            self._oldest = self._segments[dead].number
            if not self._buffer:
                self._touch(self)
            self._buffer.append(record.bare(record.RECLAIM, self._oldest, self._salt))
            self._dying += self._segments[:dead]
            del self._segments[:dead]

    def begin_sync(self) -> int | None:
        """Return a descriptor to sync and to close, for work in another thread.

        ``None`` when there is nothing to sync, or no use in it. Raises ``OSError``.
        """
        if self._descriptor is None or self.broken is not None:
            return None
        descriptor = self._files.duplicate(self._descriptor)
        self._doomed_when_synced, self._doomed = self._doomed_when_synced + self._doomed, []
        self._written_since_sync = False
        return descriptor

    def end_sync(self, error: OSError | None) -> None:
        """Take the outcome of the sync that ``begin_sync`` was for."""
        if error is not None:
            self._break("cannot be synced", error)
        elif self.broken is None:
            self.settle()

    def sync(self) -> None:
        """Sync here and now; a failure breaks the journal instead of being raised."""
        try:
            descriptor = self.begin_sync()
        except OSError as error:
            self.end_sync(error)
        else:
            if descriptor is not None:
                self.end_sync(sync_and_close(self._files, descriptor))

    def close(self) -> None:
        """Close the open segment; the journal may be used again afterwards."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            try:
                self._files.close(descriptor)
            except OSError as error:
                log.warning("%s: error on closing a segment: %s", self._directory, error)

    def remove(self, aside: str) -> None:
        """Take the journal out of its place, giving its directory the path ``aside``.

        The renaming is what makes the removal whole: were files to vanish one by one from their
        place, a power cut could leave the older ones without the record that voids them.
        Raises ``OSError`` when the journal is still in its place.
        """
        if self._segments:
            self._files.rename(self._directory, aside)
        self.close()
        for segments in (self._segments, self._dying, self._doomed, self._doomed_when_synced):
            segments.clear()

    def _write_all(self, descriptor: int, data: bytes) -> None:
        last = self._segments[-1]
        written = 0
        try:
            while written < len(data):
                written += self._files.write(descriptor, data[written:])
        except OSError:
            try:
                self._files.truncate(descriptor, last.size)
                if self._durability.syncs:
                    # What was refused must not be there after a power cut either.
                    self._files.sync(descriptor)
            except OSError as error:
                self._break("has half a record that cannot be cut off", error)
            raise
        last.size += len(data)

    def _ready(self) -> int:
        """Return the descriptor to write to, beginning a segment where one is due."""
        if not self._segments:
            self._make_directory()
            self._begin_segment(1)
        elif self._segments[-1].size >= self._durability.segment_size:
            self._rotate()
        if self._descriptor is None:
            self._descriptor = self._files.open(self._segments[-1].path)
        return self._descriptor

    def _make_directory(self) -> None:
        self._files.make_directory(self._directory)
        names = self._files.list_directory(self._directory)
        if any(segment.number_of(name) is not None for name in names):
            raise JournalError(f"journal {self._directory} is there already, and was not read")
        self._leftover = segment.file_name(1) + segment.UNFINISHED_SUFFIX in names
        if self._durability.syncs:
            self._files.sync_directory(self._directory.rpartition("/")[0])

    def _rotate(self) -> None:
        """Begin the next segment; go on with the present one when that fails."""
        if self._durability.syncs:
            # Only the last segment may have a torn tail, over a power cut too.
            self.sync()
            if self.broken is not None:
                raise OSError(self.broken)
        try:
            self._begin_segment(self._segments[-1].number + 1)
        except OSError as error:
            if self.broken is not None:
                raise
            log.warning("%s: no new segment can be begun: %s", self._directory, error)
        else:
            self.rotations += 1

    def _begin_segment(self, number: int) -> None:
        path = f"{self._directory}/{segment.file_name(number)}"
        unfinished = path + segment.UNFINISHED_SUFFIX
        header = segment.encode(
            segment.Header(self._queue, number, self.next_id, self._oldest, self._salt)
        )
        if self._leftover:
            # Not to be used again: a sync of it may have failed.
            self._files.unlink(unfinished)
            self._leftover = False
        descriptor = self._files.create(unfinished)
        try:
            if self._files.write(descriptor, header) != len(header):
                raise OSError("the header was written short")
            if self._durability.syncs:
                self._files.sync(descriptor)
            self._files.rename(unfinished, path)
        except OSError:
            with contextlib.suppress(OSError):
                self._files.close(descriptor)
            self._leftover = True
            with contextlib.suppress(OSError):
                self._files.unlink(unfinished)
                self._leftover = False
            raise
        self.close()
        self._descriptor = descriptor
        self._segments.append(Segment(number, path, self.next_id, len(header)))
        if self._durability.syncs:
            try:
                self._files.sync_directory(self._directory)
            except OSError as error:
                # The segment may or may not be there after a power cut, and cannot be taken back.
                self._break("cannot be synced", error)
                raise

    def settle(self) -> None:
        """Do what had to wait until the records that were written were safe.

        Under a policy that syncs, ``end_sync`` calls it.
        """
        doomed = self._doomed_when_synced if self._durability.syncs else self._doomed
        for each in doomed:
            try:
                self._files.unlink(each.path)
            except OSError as error:
                # Harmless: the next start sees that it is not needed, and tries again.
                log.warning("%s: a dead segment cannot be removed: %s", each.path, error)
        doomed.clear()
        unsafe = self._durability.syncs and self._written_since_sync
        # A deleted queue's journal must not go in the middle of a write: the next sync will do.
        if self.owner is not None and not unsafe and not self._writing:
            self.owner.settled()

    def _break(self, what: str, error: OSError) -> None:
        self.broken = self.failure = f"journal {what}: {_reason(error)}"
        log.critical(
            "%s: %s; the queue is read-only until the server is started again",
            self._directory,
            self.broken,
        )


def sync_and_close(files: Files, descriptor: int) -> OSError | None:
    """Sync a file and close it; return what went wrong with either. Safe in any thread."""
    try:
        try:
            files.sync(descriptor)
        finally:
            files.close(descriptor)
    except OSError as error:
        return error
    return None


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
