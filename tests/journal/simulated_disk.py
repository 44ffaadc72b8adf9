"""A disk in memory that knows what was synced, and that fails when it is told to.

It stands in for ``Files``. A file's bytes are safe once the file was synced, a name once its
directory was: everything else a power cut may undo, names in any consistent subset, bytes from
any byte on. A process that dies loses nothing but its descriptors. After a sync that failed,
later syncs of the same file report success and make nothing safe, as Linux does.
"""

import errno
import os
from collections.abc import Callable, Mapping
from random import Random
from typing import Union

import attrs

from starling_py.journal.disk.files import Files, Identity

CHANGES = frozenset(
    {
        "make_directory", "create", "write", "truncate", "sync", "sync_directory", "rename",
        "unlink", "remove_directory", "link", "allocate", "write_at", "sync_file_system",
    }
)  # fmt: skip
"""The calls that change the disk, or what is safe on it."""


NO_MEMORY = -1
"""In place of an error of the system: there is no memory for the call, which raises that."""


class ProcessKilled(BaseException):
    """The process that uses the disk is no more."""


@attrs.define
class Fault:
    """The ``nth`` of some calls fails, counted from when the disk was given the fault."""

    nth: int
    error: int
    """The number of the system's error, or ``NO_MEMORY``."""
    calls: frozenset[str] | None = None
    """The calls that count, ``None`` for all."""
    lasting: bool = False
    """Whether all such calls fail from then on."""
    short: bool = False
    """Whether a write takes half of its bytes, once, before the error comes."""
    seen: int = 0
    struck: bool = False
    where: str = ""
    """The path, or the descriptor, of the first call that failed."""


@attrs.define(eq=False)
class _File:
    data: bytes = b""
    safe: bytes = b""
    pending: list[bytes | int | tuple[int, bytes]] = attrs.field(factory=list)
    """What was done since the last sync: bytes that were appended, sizes it was cut to, bytes that
    were written to a place in it."""
    poisoned: bool = False
    reserved: int = 0
    """Bytes of room that it takes up without content."""

    def after_power_cut(self, random: Random | None) -> bytes:
        if random is None or not self.pending:
            return self.safe
        content = self.safe
        kept = random.randint(0, len(self.pending))
        for change in self.pending[:kept]:
            if isinstance(change, tuple):
                content = _placed(content, *change)
            else:
                content = content + change if isinstance(change, bytes) else content[:change]
        if kept < len(self.pending) and isinstance(change := self.pending[kept], bytes):
            content += change[: random.randint(0, len(change))]
            if random.random() < 0.2:
                content = content.ljust(len(self.data), b"\0")
        elif kept < len(self.pending) and isinstance(change, tuple):
            # Blocks come to the disk in any order: the beginning, the end, or zeros.
            (offset, data), cut = change, random.randint(0, len(change[1]))
            piece = random.choice(((offset, data[:cut]), (offset + cut, data[cut:])))
            content = _placed(content, piece[0], bytes(len(piece[1])))
            if random.random() < 0.8:
                content = _placed(content, *piece)
        return content


def _placed(content: bytes, offset: int, data: bytes) -> bytes:
    """Return a file's content after a write to a place in it."""
    return content[:offset].ljust(offset, b"\0") + data + content[offset + len(data) :]


@attrs.define(eq=False)
class _Directory:
    names: "dict[str, _Node]" = attrs.field(factory=dict)
    safe: "dict[str, _Node]" = attrs.field(factory=dict)
    pending: "list[dict[str, _Node | None]]" = attrs.field(factory=list)
    """What was done since the last sync; each entry is done as a whole or not at all."""

    def change(self, change: "dict[str, _Node | None]") -> None:
        self.pending.append(change)
        _apply(self.names, change)

    def after_power_cut(self, random: Random | None) -> "_Directory":
        names = dict(self.safe)
        if random is not None:
            chance = random.choice((0.0, 0.5, 0.5, 1.0))
            undone: set[str] = set()
            for change in self.pending:
                if undone.isdisjoint(change) and random.random() < chance:
                    _apply(names, change)
                else:
                    undone.update(change)
        found: dict[str, _Node] = {}
        for name, node in names.items():
            if isinstance(node, _Directory):
                found[name] = node.after_power_cut(random)
            else:
                content = node.after_power_cut(random)
                found[name] = _File(content, content)
        return _Directory(found, dict(found))


_Node = Union[_File, _Directory]  # noqa: UP007 - the names are not defined yet where it is used


def _apply(names: dict[str, _Node], change: "dict[str, _Node | None]") -> None:
    for name, node in change.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


SALT = 0xC0FFEE
"""The salt of every journal on a simulated disk, unless it has ``next_salt``."""


class SimulatedDisk(Files):
    """A whole file system, empty at first; paths begin with a slash."""

    def __init__(self) -> None:
        self._root = _Directory()
        self._descriptors: dict[int, _File] = {}
        self._dead: set[int] = set()
        self._locks: dict[int, _File] = {}
        self._next_descriptor = 3
        self.fault: Fault | None = None
        self.room: int | None = None
        """Bytes that are left on the disk; ``None`` for a disk without limit."""
        self.after_call: Callable[[], None] | None = None
        """Called after every call that changed something."""
        self.before_call: Callable[[], None] | None = None
        """Called before every call: another thread may use the disk there."""
        self.next_salt: int | None = None
        """The next random number, where each is another one; ``None`` to give always ``SALT``."""
        self.calls: list[str] = []
        """The names of all calls up to now, with the last part of the path or the descriptor."""
        self._lives_for: int | None = None

    @classmethod
    def holding(cls, contents: Mapping[str, bytes]) -> "SimulatedDisk":
        """Return a disk with these files, all of it safe; a path that ends in / is a directory."""
        disk = cls()
        for path, content in contents.items():
            disk.put(path, content)
        return disk

    def put(self, path: str, content: bytes = b"") -> None:
        """Place a file, safely, as if by somebody else; a path that ends in / is a directory."""
        directory = self._root
        *parents, name = path.strip("/").split("/")
        for parent in parents if not path.endswith("/") else (*parents, name):
            node = directory.names.setdefault(parent, _Directory())
            directory.safe[parent] = node
            assert isinstance(node, _Directory)
            directory = node
        if not path.endswith("/"):
            directory.names[name] = directory.safe[name] = _File(content, content)

    def contents(self, under: str = "/") -> dict[str, bytes]:
        """Return every file with its bytes as a reader sees them, and every empty directory."""
        found: dict[str, bytes] = {}

        def visit(path: str, node: _Node) -> None:
            if isinstance(node, _File):
                found[path] = node.data
            elif not node.names:
                found[path + "/"] = b""
            else:
                for name, each in sorted(node.names.items()):
                    visit(f"{path}/{name}", each)

        visit(under.rstrip("/"), self._find(under))
        return found

    @property
    def open_descriptors(self) -> int:
        """How many files are open, locks not counted."""
        return len(self._descriptors)

    def kill_process_after(self, calls: int) -> None:
        """Let the process die in the middle of the call after so many."""
        self._lives_for = calls

    def after_process_death(self) -> "SimulatedDisk":
        """Return this disk, all writes kept, safe or not, as the next process finds it."""
        self._dead.update(self._descriptors)
        self._descriptors.clear()
        self._locks.clear()
        self.fault = None
        self._lives_for = None
        return self

    def forget_failed_syncs(self, random: Random) -> bool:
        """Drop from memory what could not be synced, as the system may at any time.

        Returns whether there was any.
        """
        poisoned = [file for file in _files_in(self._root) if file.poisoned]
        for file in poisoned:
            content = file.after_power_cut(random)
            self._use(len(content) - len(file.data))
            file.data = file.safe = content
            file.pending.clear()
            file.poisoned = False
        return bool(poisoned)

    def for_next_process(self) -> "SimulatedDisk":
        """Return what another process finds after the death of this one.

        What is left of the dead one, such as generators, can still close its files here.
        """
        disk = SimulatedDisk()
        disk._root = self._root
        disk.room = self.room
        disk.next_salt = self.next_salt
        disk._next_descriptor = self._next_descriptor
        self.fault = self._lives_for = self.before_call = self.after_call = None
        return disk

    def after_power_cut(self, random: Random | None = None) -> "SimulatedDisk":
        """Return another disk, as it is after a power cut now.

        What was not safe is gone as ``random`` decides; without it, all of that is gone.
        """
        disk = SimulatedDisk()
        disk._root = self._root.after_power_cut(random)
        disk.next_salt = self.next_salt
        if self.room is not None:
            disk.room = self.room + self._used() - disk._used()
        return disk

    # The calls of ``Files``.

    def make_directory(self, path: str) -> None:
        self._call("make_directory", path)
        node: _Node = self._root
        for part in path.strip("/").split("/"):
            if not isinstance(node, _Directory):
                raise _error(errno.ENOTDIR, path)
            if part not in node.names:
                node.change({part: _Directory()})
            node = node.names[part]
        if not isinstance(node, _Directory):
            raise _error(errno.EEXIST, path)
        self._called()

    def list_directory(self, path: str) -> list[str]:
        self._call("list_directory", path)
        node = self._find(path)
        if not isinstance(node, _Directory):
            raise _error(errno.ENOTDIR, path)
        return sorted(node.names)

    def is_directory(self, path: str) -> bool:
        self._call("is_directory", path)
        return isinstance(self._find(path), _Directory)

    def leads_to_directory(self, path: str) -> bool:
        return self.is_directory(path)

    def kind(self, path: str) -> str:
        return "a directory" if isinstance(self._find(path), _Directory) else "a regular file"

    def create(self, path: str) -> int:
        self._call("create", path)
        directory, name = self._parent(path)
        node = directory.names.get(name)
        if isinstance(node, _Directory):
            raise _error(errno.EISDIR, path)
        if node is None:
            node = _File()
            directory.change({name: node})
        else:
            self._use(-len(node.data) - node.reserved)
            node.reserved = 0
            if node.data:
                node.data = b""
                node.pending.append(0)
        descriptor = self._descriptor(node)
        self._called()
        return descriptor

    def open(self, path: str) -> int:
        self._call("open", path)
        return self._descriptor(self._file(path))

    def open_unshared(self, path: str) -> int:
        return self.open(path)

    def open_placed(self, path: str, *, new: bool) -> int:
        return self.create(path) if new else self.open(path)

    def read(self, path: str) -> bytes:
        self._call("read", path)
        return self._file(path).data

    def read_at(self, path: str, offset: int, size: int) -> bytes:
        self._call("read_at", path)
        return self._file(path).data[offset : offset + size]

    def size(self, path: str) -> int:
        self._call("size", path)
        return len(self._file(path).data)

    def identity(self, path: str) -> Identity:
        self._call("identity", path)
        return 1, id(self._find(path))

    def identity_of(self, descriptor: int) -> Identity:
        if descriptor in self._locks:
            return 1, id(self._locks[descriptor])
        return 1, id(self._open_file(descriptor))

    def duplicate(self, descriptor: int) -> int:
        return self._descriptor(self._open_file(descriptor))

    def read_open(self, descriptor: int, offset: int, size: int) -> bytes:
        file = self._open_file(descriptor)
        self._call("read_open", descriptor)
        return file.data[offset : offset + size]

    def link(self, old: str, new: str) -> None:
        self._call("link", new)
        directory, name = self._parent(new)
        if name in directory.names:
            raise _error(errno.EEXIST, new)
        directory.change({name: self._file(old)})
        self._called()

    def allocate(self, descriptor: int, size: int) -> None:
        file = self._open_file(descriptor)
        self._call("allocate", descriptor)
        if self.room is not None and size - file.reserved > self.room:
            raise _error(errno.ENOSPC, str(descriptor))
        self._use(size - file.reserved)
        file.reserved = size
        self._called()

    def write(self, descriptor: int, data: bytes) -> int:
        file = self._open_file(descriptor)
        fault, lives_for = self.fault, self._lives_for
        try:
            self._call("write", descriptor)
        except OSError:
            assert fault is not None
            if not fault.short or fault.seen > fault.nth or len(data) < 2:
                raise
            data = data[: len(data) // 2]
        except ProcessKilled:
            if lives_for == 0 and len(data) > 1:
                half = data[: len(data) // 2]
                file.data += half
                file.pending.append(half)
            raise
        if self.room is not None and len(data) > self.room:
            data = data[: self.room]
            if not data:
                raise _error(errno.ENOSPC, str(descriptor))
        self._use(len(data))
        file.data += data
        file.pending.append(bytes(data))
        self._called()
        return len(data)

    def write_at(self, descriptor: int, offset: int, data: bytes) -> None:
        file = self._open_file(descriptor)
        fault, lives_for = self.fault, self._lives_for
        try:
            self._call("write_at", descriptor)
        except (OSError, ProcessKilled) as problem:
            short = fault is not None and fault.short and isinstance(problem, OSError)
            if short or lives_for == 0:
                self._place(file, offset, data[: len(data) // 2])
            raise
        if self.room is not None and offset + len(data) - len(file.data) > self.room:
            raise _error(errno.ENOSPC, str(descriptor))
        self._place(file, offset, data)
        self._called()

    def _place(self, file: _File, offset: int, data: bytes) -> None:
        before = len(file.data)
        file.data = _placed(file.data, offset, data)
        file.pending.append((offset, data))
        self._use(len(file.data) - before)

    def free_space(self, path: str) -> int:
        return 1 << 40 if self.room is None else self.room

    def truncate(self, descriptor: int, size: int) -> None:
        self._call("truncate", descriptor)
        file = self._open_file(descriptor)
        if file.reserved:
            self._use(size - file.reserved)
            file.reserved = size
            return
        self._use(size - len(file.data))
        file.data = file.data[:size].ljust(size, b"\0")
        file.pending.append(size)
        self._called()

    def sync(self, descriptor: int) -> None:
        file = self._open_file(descriptor)
        try:
            self._call("sync", descriptor)
        except OSError:
            file.poisoned = True
            raise
        if not file.poisoned:
            file.safe = file.data
            file.pending.clear()
        self._called()

    def sync_directory(self, path: str) -> None:
        self._call("sync_directory", path)
        node = self._find(path)
        if not isinstance(node, _Directory):
            raise _error(errno.ENOTDIR, path)
        node.safe = dict(node.names)
        node.pending.clear()
        self._called()

    def sync_all_beside(self, descriptor: int) -> bool:
        assert descriptor in self._locks
        return self.sync_file_system("/")

    def sync_file_system(self, path: str) -> bool:
        self._call("sync_file_system", path)
        for file in _files_in(self._root):
            if file.poisoned:
                raise _error(errno.EIO, path)
            file.safe = file.data
            file.pending.clear()
        _sync_names(self._root)
        self._called()
        return True

    def close(self, descriptor: int) -> None:
        if descriptor in self._dead:
            return  # what is left in memory of a process that died
        if self._locks.pop(descriptor, None) is not None:
            return
        self._open_file(descriptor)
        if self._lives_for is not None and self._lives_for < 0:
            return  # what is left of a dead process closes nothing
        del self._descriptors[descriptor]  # as on Linux, also when an error is reported
        self._call("close", descriptor)

    def rename(self, old: str, new: str) -> None:
        self._call("rename", new)
        directory, name = self._parent(old)
        other, new_name = self._parent(new)
        assert directory is other, "no file is moved to another directory"
        if name not in directory.names:
            raise _error(errno.ENOENT, old)
        node, there = directory.names[name], directory.names.get(new_name)
        if isinstance(node, _Directory) and isinstance(there, _Directory) and there.names:
            raise _error(errno.ENOTEMPTY, new)
        directory.change({name: None, new_name: node})
        self._let_go(there)
        self._called()

    def unlink(self, path: str) -> None:
        self._call("unlink", path)
        file = self._file(path)
        directory, name = self._parent(path)
        directory.change({name: None})
        self._let_go(file)
        self._called()

    def remove_directory(self, path: str) -> None:
        self._call("remove_directory", path)
        node = self._find(path)
        if not isinstance(node, _Directory):
            raise _error(errno.ENOTDIR, path)
        if node.names:
            raise _error(errno.ENOTEMPTY, path)
        directory, name = self._parent(path)
        directory.change({name: None})
        self._called()

    def random_bits(self) -> int:
        if self.next_salt is None:
            return SALT
        self.next_salt += 1
        return self.next_salt

    def lock(self, path: str) -> int:
        self._call("lock", path)
        directory, name = self._parent(path)
        if name not in directory.names:
            directory.change({name: _File()})
        file = self._file(path)
        if file in self._locks.values():
            raise _error(errno.EWOULDBLOCK, path)
        self._next_descriptor += 1
        self._locks[self._next_descriptor] = file
        return self._next_descriptor

    def lock_directory(self, path: str) -> int | None:
        self._find(path)
        self._next_descriptor += 1
        self._locks[self._next_descriptor] = _File()
        return self._next_descriptor

    def _used(self) -> int:
        """Return how many bytes all files take up."""
        return sum(len(file.data) + file.reserved for file in _files_in(self._root))

    def _let_go(self, node: "_Node | None") -> None:
        """Give back the room of a file that has lost a name, if it was the last one."""
        if self.room is None or not isinstance(node, _File):
            return
        if node not in _files_in(self._root):
            self._use(-len(node.data) - node.reserved)

    def _use(self, size: int) -> None:
        if self.room is not None:
            self.room -= size

    def _call(self, name: str, where: str | int) -> None:
        """Note a call, and let it fail if it is to."""
        if self.before_call is not None:
            self.before_call()
        if self._lives_for is not None:
            self._lives_for -= 1
            if self._lives_for < 0:
                raise ProcessKilled
        self.calls.append(f"{name} {str(where).rpartition('/')[2]}")
        fault = self.fault
        if fault is None or (fault.calls is not None and name not in fault.calls):
            return
        fault.seen += 1
        if fault.seen == fault.nth or (fault.lasting and fault.seen > fault.nth):
            if not fault.struck:
                fault.where = str(where)
            fault.struck = True
            if fault.error == NO_MEMORY:
                raise MemoryError
            raise _error(fault.error, str(where))

    def _called(self) -> None:
        if self.after_call is not None:
            self.after_call()

    def _find(self, path: str) -> _Node:
        node: _Node = self._root
        for part in path.strip("/").split("/") if path.strip("/") else ():
            if not isinstance(node, _Directory):
                raise _error(errno.ENOTDIR, path)
            if part not in node.names:
                raise _error(errno.ENOENT, path)
            node = node.names[part]
        return node

    def _file(self, path: str) -> _File:
        node = self._find(path)
        if isinstance(node, _Directory):
            raise _error(errno.EISDIR, path)
        return node

    def _parent(self, path: str) -> tuple[_Directory, str]:
        parent, _, name = path.rpartition("/")
        node = self._find(parent)
        if not isinstance(node, _Directory):
            raise _error(errno.ENOTDIR, path)
        return node, name

    def _descriptor(self, file: _File) -> int:
        self._next_descriptor += 1
        self._descriptors[self._next_descriptor] = file
        return self._next_descriptor

    def _open_file(self, descriptor: int) -> _File:
        if descriptor not in self._descriptors:
            raise _error(errno.EBADF, str(descriptor))
        return self._descriptors[descriptor]


def _sync_names(directory: _Directory) -> None:
    """Make all names safe in a directory and in those below it."""
    directory.safe = dict(directory.names)
    directory.pending.clear()
    for node in directory.names.values():
        if isinstance(node, _Directory):
            _sync_names(node)


def _files_in(directory: _Directory) -> "list[_File]":
    """Return every file under a directory, once, however many names it has."""
    found: dict[_File, None] = {}
    for node in directory.names.values():
        for file in [node] if isinstance(node, _File) else _files_in(node):
            found[file] = None
    return list(found)


def _error(number: int, where: str) -> OSError:
    return OSError(number, os.strerror(number), where)
