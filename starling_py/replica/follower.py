"""A follower's files: each message of the stream is applied to them, once and in order.

A follower that is started again goes on where it was. One that knows nothing of its files, that
missed messages, or whose files may be ahead of the stream as it was the owner, throws them away and
builds them from what is in the stream: that is whole, though its beginning may tell of files that
were made before it. Until the end that the stream had when this began, such a node cannot become
the owner. Invariant: apart from that, the files are those of the owner at one moment.
"""

import contextlib
import logging
from typing import Final

import attrs

from starling_py.journal.disk.files import Files
from starling_py.replica import operations
from starling_py.replica.operations import Operation, OperationsError
from starling_py.replica.position import BUILDS, FOLLOWS, OWNS, STOPPED, Position, PositionFile
from starling_py.replica.shared_names import is_shared
from starling_py.replica.stream_ledger import StreamLedger

log = logging.getLogger(__name__)

_NOTHING: Final = bytes(16)
_OPEN: Final = 64
"""Files that stay open to be written to."""


class DivergedError(Exception):
    """The files are not what the stream tells of: they are to be built anew."""


class ForeignFilesError(Exception):
    """The spool has queues that were never in the stream, which has others."""


class Follower:
    """The files of one node, at one point of the stream."""

    def __init__(self, files: Files, spool: str, position: PositionFile, stream: bytes) -> None:
        """``stream`` is the id of the stream that is followed. ``start`` is to come first."""
        self._files = files
        self._spool = spool
        self._file = position
        self._stream = stream
        self.position = Position(stream)
        self.ledger = StreamLedger()
        self.whole_at: int | None = None
        """The sequence number at which files that are being built are whole; ``None``: they are."""
        self._descriptors: dict[str, int] = {}
        self._redo = False
        self._has_started = False
        self.adopts = False
        """Whether the spool has queues that are to be put into the stream, which is empty."""

    @property
    def whole(self) -> bool:
        """Whether the files are those of the owner at some moment."""
        return self.whole_at is None or self.position.sequence >= self.whole_at

    def start(self, first: int, last: int) -> None:
        """Go on from where the files are, or begin to build them anew.

        The stream has messages from ``first`` to ``last``. Raises ``OSError``, and
        ``ForeignFilesError``: what was never told to anybody is not thrown away.
        """
        self._has_started = True
        found = self._file.read()
        if found is None and self._shared_files():
            if last:
                raise ForeignFilesError(
                    f"{self._spool}: has queues that are not of the stream, which has others; move"
                    " them away to follow it"
                )
            self.adopts = True
            return
        if found is not None and found.stream not in (self._stream, b"", _NOTHING):
            raise ForeignFilesError(
                f"{self._spool}: belongs to another stream, or to one of this name that is gone;"
                " remove .replica to begin an empty stream with what is here, or move it away"
            )
        good = found is not None and found.state in (FOLLOWS, STOPPED)
        if found is None or not good or found.stream != self._stream or found.sequence > last:
            self.build(last)
            return
        self.position = attrs.evolve(found, state=FOLLOWS)
        self._redo = True
        self._file.write(self.position)
        self.ledger = StreamLedger()
        for path in self._shared_files():
            self.ledger.note(first, [Operation(operations.CREATED, path)])
            size = self._files.size(f"{self._spool}/{path}")
            self.ledger.files[path].size = size

    def build(self, last: int) -> None:
        """Throw the files away, to build them from what the stream has up to ``last``."""
        log.info("%s: built anew from the stream, up to %d", self._spool, last)
        self._close_files()
        self.position = Position(self._stream, state=BUILDS)
        self._file.write(self.position)
        for path in self._shared_files():
            self._files.unlink(f"{self._spool}/{path}")
        for name in self._files.list_directory(self._spool):
            if is_shared(name) and self._files.is_directory(f"{self._spool}/{name}"):
                for left in self._files.list_directory(f"{self._spool}/{name}"):
                    self._files.unlink(f"{self._spool}/{name}/{left}")
                self._files.remove_directory(f"{self._spool}/{name}")
        self.ledger = StreamLedger()
        self.whole_at = last

    def apply(self, sequence: int, data: bytes) -> None:
        """Apply a message that has this number in the stream.

        Raises ``DivergedError`` if messages before it are missing, ``ForeignFilesError`` if the
        files were to begin the stream, and ``OSError``.
        """
        if self.adopts:
            raise ForeignFilesError(f"{self._spool}: another server has begun the stream")
        try:
            number, changes = operations.decode(data)
        except OperationsError as error:
            raise DivergedError(f"message {sequence}: {error}") from error
        building = not self.whole
        if number != self.position.number + 1 and (self.position.number or not building):
            raise DivergedError(f"message {sequence} has number {number}, not the next one")
        done = self.position.done
        for at, each in enumerate(changes):
            if at < done:
                continue
            if is_shared(each.path):
                try:
                    self._apply(each, building=building)
                except FileNotFoundError:
                    if not building and not self._redo:
                        raise DivergedError(f"message {sequence}: {each.path} is missing") from None
            if each.kind in operations.STRUCTURAL:
                # What comes before it in the message may have been done by a process that died.
                self._redo = False
                if at + 1 < len(changes):
                    self._note(attrs.evolve(self.position, done=at + 1))
        self._redo = False
        self.ledger.note(sequence, changes)
        self._pass(sequence, number)

    def passed(self, sequence: int, number: int) -> None:
        """Learn that the stream has come to this number, and has so many messages.

        Raises ``DivergedError`` if messages before it are missing.
        """
        if number > self.position.number and not self.whole and not self.position.number:
            pass  # the messages before are gone from the stream, as nothing needs them
        elif number != self.position.number:
            raise DivergedError(f"there were {number} messages, not {self.position.number}")
        self._pass(sequence, number)

    def _pass(self, sequence: int, number: int) -> None:
        self._note(attrs.evolve(self.position, sequence=sequence, number=number, done=0))
        if self.whole_at is not None and self.whole:
            self.whole_at = None
            self._note(attrs.evolve(self.position, state=FOLLOWS))

    def distrust(self) -> None:
        """Have the next start build the files anew."""
        self._close_files()
        self._note(attrs.evolve(self.position, state=BUILDS))

    def own(self) -> None:
        """Note that the files may be ahead of the stream from now on."""
        self._close_files()
        self.adopts = False
        self._note(attrs.evolve(self.position, state=OWNS))

    def stop(self, sequence: int, number: int) -> None:
        """Note that the files are as the stream is at this number, and safe; close everything.

        A node that has not started knows nothing of its files, and leaves what is noted.
        """
        self._close_files()
        if not self._has_started:
            self._file.close()
            return
        position = Position(self._stream, sequence, number)
        if self._files.sync_file_system(self._spool) and self.whole:
            position = attrs.evolve(position, state=STOPPED)
        elif not self.whole:
            position = attrs.evolve(position, state=BUILDS)
        self._note(position)
        self._file.sync()
        self._file.close()

    def close(self) -> None:
        """Close everything, as a process that dies would."""
        self._close_files()
        self._file.close()

    def _note(self, position: Position) -> None:
        self.position = position
        if not self.adopts:  # who dies before all is in the stream must not throw it away
            self._file.write(position)

    def _apply(self, each: Operation, *, building: bool) -> None:
        files, path = self._files, f"{self._spool}/{each.path}"
        kind = each.kind
        if kind == operations.WROTE:
            files.write_at(self._descriptor(each.path, make=building), each.offset, each.data)
        elif kind in (operations.RESTATING, operations.RESTATED):
            if building:
                files.write_at(self._descriptor(each.path, make=True), each.offset, each.data)
        elif kind == operations.MADE_DIRECTORY:
            files.make_directory(path)
        elif kind == operations.CREATED:
            self._close_file(each.path)
            self._make_parent(each.path)
            files.close(files.open_placed(path, new=True))
        elif kind == operations.CUT:
            with files.closing(files.open(path)) as descriptor:
                files.truncate(descriptor, each.offset)
        elif kind == operations.RENAMED:
            self._close_files()
            files.rename(path, f"{self._spool}/{each.new_path}")
        elif kind == operations.LINKED:
            with contextlib.suppress(FileExistsError):
                files.link(path, f"{self._spool}/{each.new_path}")
        elif kind == operations.REMOVED:
            self._close_file(each.path)
            files.unlink(path)
        elif kind == operations.REMOVED_DIRECTORY:
            files.remove_directory(path)

    def _descriptor(self, path: str, *, make: bool) -> int:
        """Return an open file to be written to; ``make``: also one that is not there."""
        found = self._descriptors.get(path)
        if found is not None:
            return found
        if len(self._descriptors) >= _OPEN:
            self._close_files()
        full = f"{self._spool}/{path}"
        try:
            found = self._files.open_placed(full, new=False)
        except FileNotFoundError:
            if not make:
                raise
            self._make_parent(path)
            found = self._files.open_placed(full, new=True)
        self._descriptors[path] = found
        return found

    def _make_parent(self, path: str) -> None:
        parent = path.rpartition("/")[0]
        if parent:
            self._files.make_directory(f"{self._spool}/{parent}")

    def _close_file(self, path: str) -> None:
        descriptor = self._descriptors.pop(path, None)
        if descriptor is not None:
            self._files.close(descriptor)

    def _close_files(self) -> None:
        for path in list(self._descriptors):
            self._close_file(path)

    def _shared_files(self) -> list[str]:
        """Return the paths of all files that are not the node's own."""
        return shared_files(self._files, self._spool)


def shared_files(files: Files, spool: str) -> list[str]:
    """Return the paths, below the spool, of all files that are not a node's own."""
    found = []
    for name in filter(is_shared, files.list_directory(spool)):
        if files.is_directory(f"{spool}/{name}"):
            found += [f"{name}/{each}" for each in files.list_directory(f"{spool}/{name}")]
        else:
            found.append(name)
    return [each for each in found if is_shared(each)]
