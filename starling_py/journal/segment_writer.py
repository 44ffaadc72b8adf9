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
import threading
from dataclasses import dataclass, field
from typing import Final

from starling_py.journal import checkpoint
from starling_py.journal.disk import failed_syncs
from starling_py.journal.disk.files import Files
from starling_py.journal.disk.open_files import OpenFiles
from starling_py.journal.errors import JournalError, Spoiled
from starling_py.journal.format import record, segment
from starling_py.journal.format.segment import UNFINISHED_SUFFIX, Header, Segment
from starling_py.journal.ledger import Ledger

log = logging.getLogger(__name__)

NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""The errors of a full disk, after which a file is as good as before."""


@dataclass(frozen=True)
class Place:
    """Where a journal is, and what its segments have in common."""

    files: Files
    directory: str
    queue: bytes
    salt: int
    syncs: bool
    """Whether anything is ever synced."""

    def path(self, number: int) -> str:
        """Return the path of a segment."""
        return f"{self.directory}/{segment.file_name(number)}"

    def beginning(self, number: int, ledger: Ledger, previous_end: int) -> bytes:
        """Return the header and the checkpoint of a segment."""
        header = segment.encode(Header(self.queue, number, ledger.next_id, number, self.salt))
        payload = checkpoint.encode(ledger, previous_end)
        return header + record.bare(record.CHECKPOINT, ledger.next_id, self.salt, payload)


@dataclass(eq=False)
class Syncing:
    """What has to be done to make all that was written safe; ``run`` is fit for any thread."""

    place: Place
    descriptors: tuple[int, ...]
    paths: tuple[str, ...]
    """Those of the open files."""
    unfinished: str | None
    """The path of a segment that gets its name when it is safe."""
    new_directory: bool
    """Whether the journal's directory is not known to be safe itself."""
    end: tuple[int, int]
    """The segment's number and its size up to which everything is safe then."""
    trouble: OSError | None
    """Why what is synced is not safe all the same."""
    cutting: threading.Lock = field(default_factory=threading.Lock)
    """Held while one of the files is cut back, as that may be a trouble."""

    @property
    def is_plain(self) -> bool:
        """Whether there is one file to be synced, and nothing else."""
        return self.unfinished is None and not self.new_directory and len(self.descriptors) == 1

    def run(self) -> None:
        """Do it. Raises ``OSError``."""
        files = self.place.files
        self._check()
        for descriptor, path in zip(self.descriptors, self.paths, strict=True):
            failed_syncs.sync(files, descriptor, path)
        with self.cutting:
            self._check()
        if self.unfinished is not None:
            files.rename(self.unfinished, self.unfinished.removesuffix(UNFINISHED_SUFFIX))
            files.sync_directory(self.place.directory)
        if self.new_directory:
            files.sync_directory(self.place.directory.rpartition("/")[0])

    def _check(self) -> None:
        """Raise what another thread may have noted meanwhile.

        Of its own, as mypyc takes what was looked at once in a function for what it is for good.
        """
        if self.trouble is not None:
            raise self.trouble


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

    def is_due(self, ledger: Ledger) -> bool:
        """Tell whether the next segment is to be begun before more is written."""
        return self._unfinished is None and ledger.segments[-1].size >= self._begin_at

    def begin_first(self, ledger: Ledger) -> None:
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
        self.begin(ledger, 0)

    def begin(self, ledger: Ledger, previous_end: int) -> None:
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
        self.put_off_until = 0
        self._open_files.opened(self)
        ledger.begin(Segment(number, path, ledger.next_id, len(beginning)))

    def put_off(self, size: int) -> None:
        """Try to begin the next segment only when the present one has grown some more."""
        self._begin_at = self.put_off_until = size + self._segment_size // 4

    def append(self, last: Segment, data: bytes) -> None:
        """Write to the end of the last segment.

        Raises ``OSError`` when nothing was written, and the file is as good as before; ``Spoiled``
        when the file must not be used any more.
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
                raise Spoiled(error.errno, error.strerror) from error
            raise
        last.size += len(data)
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
        self._begin_at = self._segment_size
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
                    failed_syncs.sync(self._place.files, each, self._paths[each])
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
                    failed_syncs.sync(self._place.files, descriptor, self._paths[descriptor])
            except OSError as error:
                spoiled = Spoiled(error.errno, f"half a record cannot be cut off: {error}")
                if syncing is not None:
                    syncing.trouble = spoiled
                raise spoiled from error
