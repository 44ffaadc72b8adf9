"""Reads the spool of the original Starling, the Ruby server (2008 to 2011).

A file is one queue and its name is the queue's. It holds pushes and pops, back to back, without
a header, a checksum or a time (``lib/starling/persistent_queue.rb`` and ``handler.rb`` of
starling/starling at 058512e)::

    PUSH  00 | size, 4 bytes | expiry, 4 bytes | data of size - 4 bytes
    POP   01

The numbers are unsigned and in the byte order of the machine that wrote them; they are read as
little-endian. The expiry is a Unix time in seconds, 0 for never: Starling took it as it came, even
if the client meant seconds from now. A pop takes the oldest item, so counting the pops tells which
items are left.

Starling skipped bytes that it did not know, one by one. This reader stops there instead: some of
the bytes that follow would look like pushes and pops, and each such pop would cost a sound item.

When a queue was empty and its file larger than 16 MiB, Starling renamed the file to
``NAME.SECONDS``, began a new one and removed the old. It also did so when the item that made the
file too large had just been put; then the old file alone holds that item. A crash in between leaves
the old file, and it is read in front of its queue.
"""

import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import attrs

from starling_py.offline import old_spool
from starling_py.offline.errors import NoRecordError, UnreadableError
from starling_py.offline.old_spool import (
    Note,
    OldFile,
    OldItem,
    OldQueue,
    OldSpool,
    Problem,
    Unmatched,
    problem_of,
)

ROTATION_SIZE = 16 << 20
"""A file is renamed only when it has more bytes than this (``SOFT_LOG_MAX_SIZE``)."""

_PUSH, _POP = 0, 1
_HEAD = struct.Struct("<BII")
_EXPIRY_SIZE = 4
_ROTATED = re.compile(rb"(.+)\.([0-9]{9,11})", re.DOTALL)


@attrs.define
class _Record:
    """A push or a pop. Treat it as immutable."""

    offset: int
    end: int
    expiry: int | None = None
    """In seconds since the Unix epoch, 0 for never; ``None`` for a pop."""


@attrs.frozen
class _Log:
    """One file after its first reading."""

    path: Path
    end: int
    """Where its last sound record ends, in bytes."""
    pushed: int
    popped: int
    problems: list[Problem]
    foreign: Note | None = None
    """Why no queue has such a file; ``None`` if one may have."""

    @property
    def count(self) -> int:
        """How many items are left in it."""
        return self.pushed - self.popped


@attrs.frozen
class _Items:
    """The items of a queue, read anew from its files each time they are asked for."""

    logs: list[_Log]
    now_ms: int
    problems: list[Problem]

    def __iter__(self) -> Iterator[OldItem]:
        for log in [log for log in self.logs if log.count]:
            items = self._read(log)
            yield from old_spool.checked_count(log.path, log.count, items, self.problems.append)

    def _read(self, log: _Log) -> Iterator[OldItem]:
        to_skip = log.popped
        with OldFile(log.path, log.end) as file:
            for record in _records(file):
                if record.expiry is None:
                    continue
                if to_skip:
                    to_skip -= 1
                    continue
                start = record.offset + _HEAD.size
                data = file.read_whole(start, record.end - start)
                yield OldItem(data, self.now_ms, record.expiry * 1000)


def read(directory: Path, now_ms: int) -> OldSpool:
    """Read a spool of the Ruby Starling.

    ``now_ms``, in milliseconds since the Unix epoch, counts as the time of every put, as Starling
    did not keep it. Every file may be a queue. Raises ``OSError`` when the directory cannot be
    listed; what is wrong with a file is in the problems of its queue.
    """
    paths, left_alone = old_spool.list_files(directory)
    rotated = _find_rotated(paths)
    names = {os.fsencode(path.name) for path in paths if path not in rotated}
    names.update(name for name, _, _ in rotated.values())
    present = set(paths)

    def read_queue(name: bytes) -> OldQueue:
        return _read_queue(directory, name, present, rotated, now_ms)

    return OldSpool(sorted(names), read_queue, left_alone)


_Rotated = dict[Path, tuple[bytes, int, _Log]]
"""Files left by an interrupted rotation: the queue of each, the second it was made, the log."""


def _find_rotated(paths: list[Path]) -> _Rotated:
    """Return the files that an interrupted rotation left.

    A queue may happen to have such a name. But what Starling renamed was large, and no item was
    left in it except perhaps the last.
    """
    rotated: _Rotated = {}
    for path in paths:
        match = _ROTATED.fullmatch(os.fsencode(path.name))
        if match is None or not _is_large(path):
            continue
        log = _replay(path)
        if log.count <= 1 and not log.problems:
            rotated[path] = (match[1], int(match[2]), log)
    return rotated


def _is_large(path: Path) -> bool:
    try:
        return path.stat().st_size > ROTATION_SIZE
    except OSError:  # reported when it is read as a queue
        return False


def _read_queue(
    directory: Path, name: bytes, present: set[Path], rotated: _Rotated, now_ms: int
) -> OldQueue:
    """Read the files of a queue for the first time."""
    own = [entry for entry in rotated.values() if entry[0] == name]
    logs = [log for _, _, log in sorted(own, key=lambda entry: entry[1])]
    notes = []
    for log in logs:
        what = f"its items ({log.count}) were put in front of the queue's others"
        notes.append(Note(log.path, f"a crash kept this file from being removed; {what}"))
    current = directory / os.fsdecode(name)
    if current in present:
        logs.append(_replay(current))
    problems = [problem for log in logs for problem in log.problems]
    is_foreign = all(log.foreign is not None for log in logs)
    if is_foreign:
        notes += [log.foreign for log in logs if log.foreign is not None]
    return OldQueue(
        name,
        sum(log.count for log in logs),
        _Items(logs, now_ms, problems),
        problems,
        notes,
        logs[0].path,
        is_foreign,
    )


def _replay(path: Path) -> _Log:
    """Read a file for the first time: count what was pushed and popped."""
    pushed = popped = end = 0
    unmatched = Unmatched()
    problems = []
    foreign = None
    try:
        with OldFile(path) as file:
            for record in _records(file):
                if record.expiry is not None:
                    pushed += 1
                elif popped < pushed:
                    popped += 1
                else:
                    unmatched.note(path, record.offset)
                end = record.end
    except UnreadableError as trouble:
        problems.append(problem_of(trouble))
        if not pushed and isinstance(trouble, NoRecordError):
            foreign = old_spool.no_queue(trouble)
    if pushed:
        problems += unmatched.problems("Starling")
    return _Log(path, end, pushed, popped, problems, foreign)


def _records(file: OldFile) -> Iterator[_Record]:
    """Yield the records of a file. Raises ``UnreadableError`` at bytes that are no record."""
    offset = 0
    while offset < file.end:
        head = file.read(offset, _HEAD.size)
        if head[:1] == bytes([_POP]):
            record = _Record(offset, offset + 1)
        elif head and head[0] != _PUSH:
            raise file.no_record(offset, f"byte {head[0]:#04x} begins no record")
        else:
            record = _push(file, offset, head)
        yield record
        offset = record.end


def _push(file: OldFile, offset: int, head: bytes) -> _Record:
    """Read the push that begins at ``offset``; ``head`` is what could be read of its head."""
    size = int.from_bytes(head[1:5], "little")
    if len(head) >= 5 and not _EXPIRY_SIZE <= size <= _EXPIRY_SIZE + old_spool.MAX_DATA:
        raise file.no_record(offset, f"this record has a size that cannot be: {size}")
    end = offset + _HEAD.size - _EXPIRY_SIZE + size
    if len(head) < _HEAD.size or end > file.end:
        raise file.cut_short(offset)
    return _Record(offset, end, _HEAD.unpack(head)[2])
