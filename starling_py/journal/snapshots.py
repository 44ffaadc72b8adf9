"""Snapshots: what all journals of a spool hold at one moment, kept aside while the server goes on.

At that moment it is noted which segments there are and where the last one ends. Then, a piece at a
time in the background, those that are not written to any more get another name, by a hard link, and
the beginning of the last one is copied. Until that is done nothing of it is removed or replaced
(``Hold``). A snapshot is made under a name that no snapshot has, synced, and renamed; so one that
is found is whole. It is a spool: a server starts on a copy of it, and finds that moment. Nothing
here reads what is in a journal.
"""

import contextlib
import errno
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from starling_py.journal.disk import id_floor, spool_lock
from starling_py.journal.disk.background import Background, Hold
from starling_py.journal.disk.files import Files
from starling_py.journal.errors import JournalError, unforeseen
from starling_py.journal.format import segment
from starling_py.journal.format.segment import DISTRUSTED_SUFFIX, UNFINISHED_SUFFIX

log = logging.getLogger(__name__)

DIRECTORY: Final = ".snapshots"
"""The directory in a spool that holds its snapshots."""
UNFINISHED: Final = ".unfinished-"
"""Stands before the name of a snapshot in the making."""
_PIECE: Final = 1 << 20
"""Bytes that are copied before others have the thread."""
_FILE: Final = 1 << 16
"""As many bytes could be copied in the time that it takes to make a file or a link."""
_MANY: Final = 64
"""Files from which on one call for the whole file system is worth it, to sync them."""
_MARGIN: Final = 1 << 14
"""Bytes on the disk that a journal takes beyond its last segment."""


class Image:
    """Which files hold one journal at some moment; of 10,000 journals they are made in one go."""

    __slots__ = ("directory", "old", "paths", "size")

    def __init__(
        self, directory: str, paths: Sequence[str] = (), size: int = 0, old: bool = False
    ) -> None:
        self.directory = directory
        """The path of its directory in the spool."""
        self.paths = paths
        """The paths of its segments at that moment; none if it is refused, so that every file that
        is there belongs to it."""
        self.size = size
        """Where the last of them ended, which is written to."""
        self.old = old
        """Whether that one may be of an older version of the format, which can need segments that
        have nothing live."""


class Taking:
    """One snapshot in the making; each ``run`` does a piece of it, in the background.

    First of all, what was left of others is removed. With an empty name, that is all.
    """

    def __init__(
        self, files: Files, spool: str, name: str, images: Sequence[Image], noted: int, piece: int
    ) -> None:
        """``spool`` is its path; ``noted`` is the floor of the ids, 1 if none was noted.

        ``piece``: bytes that are copied before others have the thread.
        """
        self._piece = piece
        self._files = files
        self._spool = spool
        self.name = name
        self._images = images
        self._noted = noted
        self._root = f"{spool}/{DIRECTORY}"
        self._path = f"{self._root}/{UNFINISHED}{name}"
        self._made: list[str] = []
        """The files in it."""
        self._pieces: Iterator[None] = self._work()
        self.whole = False
        """Whether it has all that it needs, and waits for ``run`` to give it its name."""
        self.over = False
        """Whether the work has ended, well or not."""
        self.error: OSError | None = None
        """Why there is no snapshot; ``None`` if there is one."""

    def run(self) -> None:
        """Do the next piece; keep what goes wrong in ``error``, and remove what was made."""
        try:
            self.over = next(self._pieces, self) is self
        except Exception as error:
            self.fail(unforeseen(error))

    def fail(self, error: OSError) -> None:
        """Give it up; the pieces that follow remove what there is of it."""
        if self.error is not None:  # that could not be removed either: the next start tries again
            log.warning("%s: cannot be removed: %s", self._path, error)
            self.over = True
            return
        self.error = error
        self._pieces = self._remove(self._path)

    def _work(self) -> Iterator[None]:
        files = self._files
        if self.name:
            files.make_directory(self._root)
            files.sync_directory(self._spool)
        names = files.list_directory(self._root)
        for each in names:
            if each.startswith(UNFINISHED):
                yield from self._remove(f"{self._root}/{each}")
        if not self.name:
            return
        if self.name in names:
            raise FileExistsError(errno.EEXIST, "there is a snapshot of this name", self.name)
        files.make_directory(self._path)
        # The lock's file: so a snapshot without a queue is known as a spool, too.
        self._write(spool_lock.NAME, b"")
        if self._noted > 1:
            self._write(id_floor.NAME, id_floor.encode(self._noted))
        cost = 0
        for image in self._images:
            for more in self._take(image):
                cost += more
                if cost >= self._piece:
                    cost = 0
                    yield
        yield from self._sync()
        self.whole = True
        yield
        path = f"{self._root}/{self.name}"
        files.rename(self._path, path)
        try:
            files.sync_directory(self._root)
        except OSError:
            files.rename(path, self._path)
            raise

    def _take(self, image: Image) -> Iterator[int]:
        """Take the files of one journal; yield what each piece of that cost."""
        files = self._files
        source = image.directory
        target = f"{self._path}/{_name(source)}"
        if not image.paths:
            if files.is_directory(source):
                files.make_directory(target)
                for name in files.list_directory(source):
                    path = f"{source}/{name}"
                    if not files.is_directory(path):
                        yield from self._copy(path, f"{target}/{name}", files.size(path))
            return
        files.make_directory(target)
        *older, last = (path.removesuffix(UNFINISHED_SUFFIX) for path in image.paths)
        for path in self._segments_in(source, last) if image.old else older:
            yield from self._link(path, f"{target}/{_name(path)}")
        yield from self._copy(last, f"{target}/{_name(last)}", image.size)

    def _segments_in(self, source: str, last: str) -> list[str]:
        """Return the paths of all segments in a directory but the last."""
        names = self._files.list_directory(source)
        paths = [f"{source}/{name}" for name in names if segment.number_of(name) is not None]
        return [each for each in paths if each < last]

    def _link(self, path: str, target: str) -> Iterator[int]:
        """Give a segment another name; copy it where that cannot be, or a sync of it has failed."""
        files = self._files
        if not self._is_distrusted(path):
            try:
                files.link(path, target)
            except FileNotFoundError:
                # A sync under way is about to give it its final name.
                files.link(path + UNFINISHED_SUFFIX, target)
            except OSError:
                pass  # it is on another file system, or on one that knows no links
            else:
                self._made.append(target)
                yield _FILE
                return
        yield from self._copy(path, target, files.size(path))

    def _is_distrusted(self, path: str) -> bool:
        try:
            self._files.size(path + DISTRUSTED_SUFFIX)
        except FileNotFoundError:
            return False
        return True

    def _copy(self, path: str, target: str, size: int) -> Iterator[int]:
        """Copy the first ``size`` bytes of a file."""
        files = self._files
        self._made.append(target)
        with files.closing(files.create(target)) as descriptor:
            offset = 0
            while offset < size:
                data = self._read(path, offset, min(size - offset, _PIECE))
                if not data:
                    raise OSError(errno.EIO, f"ends at byte {offset}, not at {size}", path)
                files.write_all(descriptor, data)
                offset += len(data)
                yield len(data)
        yield _FILE

    def _read(self, path: str, offset: int, size: int) -> bytes:
        files = self._files
        for name in (path, path + UNFINISHED_SUFFIX):
            with contextlib.suppress(FileNotFoundError):
                return files.read_at(name, offset, size)
        return files.read_at(path, offset, size)  # it may have got its final name in between

    def _write(self, name: str, content: bytes) -> None:
        files, path = self._files, f"{self._path}/{name}"
        self._made.append(path)
        with files.closing(files.create(path)) as descriptor:
            files.write_all(descriptor, content)

    def _sync(self) -> Iterator[None]:
        """Make all of it safe, whatever the policy: it is not whole before."""
        files = self._files
        if len(self._made) >= _MANY and files.sync_file_system(self._root):
            return
        for path in self._made:
            with files.closing(files.open(path)) as descriptor:
                files.sync(descriptor)
            yield
        for image in self._images:
            with contextlib.suppress(FileNotFoundError):  # what was refused was no directory
                files.sync_directory(f"{self._path}/{_name(image.directory)}")
            yield
        files.sync_directory(self._path)

    def _remove(self, path: str) -> Iterator[None]:
        """Remove a directory, with directories of files in it."""
        files = self._files
        with contextlib.suppress(FileNotFoundError):
            for name in files.list_directory(path):
                inner = f"{path}/{name}"
                if files.is_directory(inner):
                    yield from self._remove(inner)
                else:
                    files.unlink(inner)
            files.remove_directory(path)
        yield


class Snapshots:
    """The snapshots of one spool; one is in the making at a time."""

    def __init__(
        self,
        files: Files,
        spool: str,
        background: Background,
        hold: Hold,
        troubles: Callable[[], object],
    ) -> None:
        """``troubles`` returns another value when a journal could not be trusted meanwhile."""
        self._files = files
        self._spool = spool
        self._background = background
        self._hold = hold
        self._troubles = troubles
        self._before: object = None
        self._taking: Taking | None = None
        self._next: Taking | None = None
        """What waits until the rest of earlier ones is removed."""
        self._done: Callable[[JournalError | None], None] = _tell_nobody
        self.piece = _PIECE
        """Bytes that are copied before others have the thread; tests choose fewer."""

    def exists(self, name: str) -> bool:
        """Tell whether there is a snapshot of this name. Raises ``OSError``."""
        try:
            return self._files.is_directory(f"{self._spool}/{DIRECTORY}/{name}")
        except FileNotFoundError:
            return False

    def clean(self) -> None:
        """Remove what a process that died has left of one in the making, in the background."""
        self._begin(Taking(self._files, self._spool, "", (), 0, self.piece))

    def take(
        self,
        name: str,
        images: Sequence[Image],
        noted: int,
        done: Callable[[JournalError | None], None],
    ) -> None:
        """Begin a snapshot; ``done`` is called in the tick, with the reason if there is none.

        ``noted`` is the floor of the ids. Raises ``JournalError``.
        """
        if self._taking is not None and (self._taking.name or self._next is not None):
            raise JournalError("another snapshot is being made; try again")
        needed = sum(image.size + _MARGIN for image in images)
        try:
            free = self._files.free_space(self._spool)
        except OSError as error:
            raise JournalError(f"no snapshot can be made: {error.strerror}") from error
        if needed > free:
            raise JournalError(f"no room for a snapshot: it takes {needed} bytes of {free}")
        self._done = done
        self._before = self._troubles()
        self._hold.begin()
        taking = Taking(self._files, self._spool, name, images, noted, self.piece)
        if self._taking is None:
            self._begin(taking)
        else:
            self._next = taking

    def _begin(self, taking: Taking) -> None:
        self._taking = taking
        self._background.submit(taking, self._go_on)

    def _go_on(self) -> None:
        taking = self._taking
        assert taking is not None, "only its own work calls this"
        if not taking.over:
            if taking.whole and taking.error is None and self._troubles() != self._before:
                taking.fail(OSError(errno.EIO, "the disk failed for some queue meanwhile"))
            self._background.submit(taking, self._go_on)
            return
        self._taking, following, self._next = None, self._next, None
        if not taking.name:
            if taking.error is not None:
                log.warning("%s: what was left cannot be removed: %s", self._spool, taking.error)
            if following is not None:
                self._begin(following)
            return
        done, self._done = self._done, _tell_nobody
        self._hold.end()
        error = taking.error
        if error is None:
            done(None)
            return
        where = f"{error.filename}: " if error.filename else ""
        reason = f"{where}{error.strerror or error}"
        log.error("snapshot %s was not made: %s", taking.name, reason)
        done(JournalError(f"no snapshot was made: {reason}"))


def _name(path: str) -> str:
    """Return the last part of a path."""
    return path.rpartition("/")[2]


def _tell_nobody(_: JournalError | None) -> None:
    """Tell nobody: what was left over is removed."""
