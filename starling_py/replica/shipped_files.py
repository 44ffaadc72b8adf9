"""The owner's file calls: each is made here, and what it changed is told to the others.

A sync does nothing here: in the stream everything has its order, and the node's own disk is not
asked, as its files can be made again from the stream. That the stream has what replies tell of, the
sync thread sees to, once for each batch (``Outbox.flush``). What is told of a file goes by the path
that it has at that moment, also where it is written to by a descriptor. A call that failed is not
told. Files of the node alone (``shared_names``) are none of the stream's. Nothing is changed once
another server is the owner.
"""

import contextlib
from collections.abc import Iterator
from typing import Final

import attrs

from starling_py.journal.directory_names import POSITION
from starling_py.journal.disk.files import Files, Identity
from starling_py.replica import operations
from starling_py.replica.operations import Operation, with_two_paths
from starling_py.replica.outbox import Outbox
from starling_py.replica.shared_names import is_shared

PIECE: Final = 256 << 10
"""Bytes of a file that are told again at once."""


@attrs.define(eq=False)
class _Open:
    """A file that is open, whatever its name."""

    path: str | None
    """Below the spool; ``None`` once it has no name there, or it is the node's own."""
    size: int


class ShippedFiles(Files):
    """The calls of another ``Files``, told to an outbox."""

    def __init__(self, inner: Files, spool: str, outbox: Outbox) -> None:
        self._inner = inner
        self._spool = spool
        self._outbox = outbox
        self._open: dict[int, _Open] = {}
        self._by_path: dict[str, _Open] = {}
        self._again: str | None = None
        """The file that is being told again; ``None`` once it is no more what it was."""

    # What is told. What changes names or takes bytes away is done and told in one piece, so that
    # nothing is told again in between.

    def make_directory(self, path: str) -> None:
        """Create a directory, and tell."""
        self._check(path)
        with self._outbox.lock:
            self._inner.make_directory(path)
            self._tell(operations.MADE_DIRECTORY, path)

    def create(self, path: str) -> int:
        """Create or empty a file, and tell."""
        self._check(path)
        with self._outbox.lock:
            return self._made(path, self._inner.create(path))

    def open_placed(self, path: str, *, new: bool) -> int:
        """Open a file for ``write_at``; if it is new, tell."""
        self._check(path)
        with self._outbox.lock:
            descriptor = self._inner.open_placed(path, new=new)
            return self._made(path, descriptor) if new else self._opened(path, descriptor)

    def open(self, path: str) -> int:
        """Open a file for appending."""
        return self._opened(path, self._inner.open(path))

    def open_unshared(self, path: str) -> int:
        """Open a file that has one name for appending."""
        return self._opened(path, self._inner.open_unshared(path))

    def write(self, descriptor: int, data: bytes) -> int:
        """Append bytes, and tell which were written."""
        self._check_open(descriptor)
        written = self._inner.write(descriptor, data)
        with self._outbox.lock:
            file = self._open[descriptor]
            self._wrote(file, file.size, data[:written])
        return written

    def write_all(self, descriptor: int, data: bytes) -> None:
        """Append all bytes, and tell."""
        written = self.write(descriptor, data)
        while written < len(data):
            written += self.write(descriptor, data[written:])

    def write_at(self, descriptor: int, offset: int, data: bytes) -> None:
        """Write bytes to a place, and tell."""
        self._check_open(descriptor)
        self._inner.write_at(descriptor, offset, data)
        with self._outbox.lock:
            self._wrote(self._open[descriptor], offset, data)

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut a file, and tell."""
        self._check_open(descriptor)
        with self._outbox.lock:
            self._inner.truncate(descriptor, size)
            file = self._open[descriptor]
            file.size = size
            if file.path is not None:
                self._disturb(file.path)
                self._outbox.add(Operation(operations.CUT, file.path, size))

    def rename(self, old: str, new: str) -> None:
        """Rename a file or a directory, and tell."""
        self._check(new)
        with self._outbox.lock:
            self._inner.rename(old, new)
            before, after = self._shared(old), self._shared(new)
            if before is None or after is None:
                return
            self._outbox.add(with_two_paths(operations.RENAMED, before, after))
            self._lose(after)
            self._disturb(before)
            self._disturb(after)
            below = f"{before}/"
            for path in [each for each in self._by_path if each.startswith(below)]:
                self._move(path, f"{after}/{path.removeprefix(below)}")
            self._move(before, after)

    def link(self, old: str, new: str) -> None:
        """Give a file another name, and tell."""
        self._check(new)
        with self._outbox.lock:
            self._inner.link(old, new)
            before, after = self._shared(old), self._shared(new)
            if before is not None and after is not None:
                self._outbox.add(with_two_paths(operations.LINKED, before, after))

    def unlink(self, path: str) -> None:
        """Remove a file, and tell."""
        self._check(path)
        with self._outbox.lock:
            self._inner.unlink(path)
            self._tell(operations.REMOVED, path)
            self._lose(self._shared(path))

    def remove_directory(self, path: str) -> None:
        """Remove an empty directory, and tell."""
        self._check(path)
        with self._outbox.lock:
            self._inner.remove_directory(path)
            self._tell(operations.REMOVED_DIRECTORY, path)

    def close(self, descriptor: int) -> None:
        """Close a file."""
        with self._outbox.lock:
            file = self._open.pop(descriptor, None)
            if file is not None and file not in self._open.values():
                self._forget(file)
        self._inner.close(descriptor)

    def duplicate(self, descriptor: int) -> int:
        """Return another descriptor of an open file."""
        again = self._inner.duplicate(descriptor)
        with self._outbox.lock:
            if descriptor in self._open:
                self._open[again] = self._open[descriptor]
        return again

    def sync(self, descriptor: int) -> None:
        """Do nothing: what comes later in the stream never comes without this."""

    def sync_directory(self, path: str) -> None:
        """Do nothing: what comes later in the stream never comes without this."""

    def sync_file_system(self, path: str) -> bool:
        """Do nothing: what comes later in the stream never comes without this."""
        return True

    def restate(self, path: str) -> Iterator[None]:
        """Tell all that a file has once more, a piece at each step; in any thread.

        ``path`` is below the spool. A file that is gone, cut or renamed meanwhile is left: what is
        in the stream of it stays needed.
        """
        place, end = 0, 0
        self._again = path
        while place < end or not place:
            with self._outbox.lock:
                try:
                    data = self._inner.read_at(f"{self._spool}/{path}", place, PIECE)
                    if not place:
                        end = self._told_size(path)
                except OSError:
                    return
                data = data[: end - place]
                if self._again != path or (not data and end):
                    return
                kind = operations.RESTATED if place + len(data) >= end else operations.RESTATING
                self._outbox.add(Operation(kind, path, place, data))
                place += len(data)
            yield
            if not end:
                return

    def is_there(self, path: str) -> bool:
        """Tell whether there is a file at a path below the spool."""
        with self._outbox.lock, contextlib.suppress(OSError):
            return self._inner.size(f"{self._spool}/{path}") >= 0
        return False

    # What is not.

    def list_directory(self, path: str) -> list[str]:
        """Return the names in a directory; the node's position is not the journal's."""
        names = self._inner.list_directory(path)
        return [each for each in names if each != POSITION] if path == self._spool else names

    def is_directory(self, path: str) -> bool:
        """Tell whether the path is a directory itself."""
        return self._inner.is_directory(path)

    def leads_to_directory(self, path: str) -> bool:
        """Tell whether the path is a directory, or a link to one."""
        return self._inner.leads_to_directory(path)

    def kind(self, path: str) -> str:
        """Return what is at a path, in words."""
        return self._inner.kind(path)

    def read(self, path: str) -> bytes:
        """Return a whole file's bytes."""
        return self._inner.read(path)

    def read_at(self, path: str, offset: int, size: int) -> bytes:
        """Return some bytes of a file."""
        return self._inner.read_at(path, offset, size)

    def read_open(self, descriptor: int, offset: int, size: int) -> bytes:
        """Return some bytes of an open file."""
        return self._inner.read_open(descriptor, offset, size)

    def size(self, path: str) -> int:
        """Return a file's size in bytes."""
        return self._inner.size(path)

    def identity(self, path: str) -> Identity:
        """Return what tells a file from every other one."""
        return self._inner.identity(path)

    def identity_of(self, descriptor: int) -> Identity:
        """Return the identity of an open file."""
        return self._inner.identity_of(descriptor)

    def free_space(self, path: str) -> int:
        """Return how many bytes are free."""
        return self._inner.free_space(path)

    def disk_size(self, path: str) -> int:
        """Return how many bytes the file system has."""
        return self._inner.disk_size(path)

    def allocate(self, descriptor: int, size: int) -> None:
        """Make a file of the node's own ``size`` bytes large."""
        self._inner.allocate(descriptor, size)

    def random_bits(self) -> int:
        """Return 32 random bits."""
        return self._inner.random_bits()

    def lock(self, path: str) -> int:
        """Lock a file for this process alone."""
        return self._inner.lock(path)

    def lock_directory(self, path: str) -> int | None:
        """Lock a directory for this process alone."""
        return self._inner.lock_directory(path)

    def _check(self, path: str) -> None:
        """Raise ``OSError`` if nothing of what all nodes have may be changed any more."""
        if self._outbox.closed and self._shared(path) is not None:
            self._outbox.check_open()

    def _check_open(self, descriptor: int) -> None:
        if self._outbox.closed and self._open[descriptor].path is not None:
            self._outbox.check_open()

    def _told_size(self, path: str) -> int:
        """Return how many bytes of a file were told. Raises ``OSError``."""
        file = self._by_path.get(path)
        return self._inner.size(f"{self._spool}/{path}") if file is None else file.size

    def _disturb(self, path: str) -> None:
        if self._again is not None and (path == self._again or self._again.startswith(f"{path}/")):
            self._again = None

    def _shared(self, path: str) -> str | None:
        """Return a path below the spool; ``None`` if it is not there, or the node's own."""
        below = path.removeprefix(f"{self._spool}/")
        return below if below != path and is_shared(below) else None

    def _tell(self, kind: int, path: str) -> None:
        shared = self._shared(path)
        if shared is not None:
            self._outbox.add(Operation(kind, shared))

    def _wrote(self, file: _Open, offset: int, data: bytes) -> None:
        file.size = max(file.size, offset + len(data))
        if file.path is not None and data:
            self._outbox.add(Operation(operations.WROTE, file.path, offset, bytes(data)))

    def _made(self, path: str, descriptor: int) -> int:
        with self._outbox.lock:
            self._tell(operations.CREATED, path)
            shared = self._shared(path)
            self._lose(shared)
            self._disturb(shared or "")
            self._note(descriptor, _Open(shared, 0))
        return descriptor

    def _opened(self, path: str, descriptor: int) -> int:
        with self._outbox.lock:
            shared = self._shared(path)
            file = None if shared is None else self._by_path.get(shared)
            self._note(descriptor, file or _Open(shared, self._inner.size(path)))
        return descriptor

    def _note(self, descriptor: int, file: _Open) -> None:
        self._open[descriptor] = file
        if file.path is not None:
            self._by_path[file.path] = file

    def _forget(self, file: _Open) -> None:
        if file.path is not None and self._by_path.get(file.path) is file:
            del self._by_path[file.path]

    def _lose(self, path: str | None) -> None:
        """Learn that the file at a path has no name any more."""
        file = None if path is None else self._by_path.pop(path, None)
        if file is not None:
            file.path = None

    def _move(self, old: str, new: str) -> None:
        file = self._by_path.pop(old, None)
        if file is not None:
            file.path = new
            self._by_path[new] = file
