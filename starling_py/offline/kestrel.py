"""Reads the spool of Kestrel, Twitter's queue server in Scala (2008 to 2016).

``kestrel_files`` tells which files are a queue and in which order, ``kestrel_records`` what is in
them. The items are those that Kestrel itself would have served after a start: items that were open
go back to the front. A fan-out child, ``parent+child``, is a queue like others, with copies of its
own.

When an older file was broken, Kestrel cut the current file instead. Here the sound part of every
file is read, and nothing is cut.
"""

from collections.abc import Iterator
from pathlib import Path

import attrs

from starling_py.offline import kestrel_files, kestrel_records, old_spool
from starling_py.offline.errors import NoRecordError, UnreadableError
from starling_py.offline.kestrel_files import QueueFiles
from starling_py.offline.kestrel_records import Record, Replay
from starling_py.offline.old_spool import (
    Note,
    OldFile,
    OldItem,
    OldQueue,
    OldSpool,
    Problem,
    problem_of,
)


def read(directory: Path, now_ms: int) -> OldSpool:
    """Read a spool of Kestrel.

    ``now_ms``, in milliseconds since the Unix epoch, counts as the time of the put of items whose
    record does not say it; old ones do not. Raises ``OSError`` when the directory cannot be listed;
    what is wrong with a file is in the problems.
    """
    found = kestrel_files.find(directory)

    def read_queue(name: bytes) -> OldQueue:
        return _read_queue(found.queues[name], now_ms)

    spool = OldSpool(sorted(found.queues), read_queue, found.left_alone)
    for path in found.misnamed:
        _judge_misnamed(path, spool)
    return spool


def _judge_misnamed(path: Path, spool: OldSpool) -> None:
    """Tell of a file whose name is that of no queue: it is a problem if there are items in it."""
    what = "no file of a Kestrel queue has such a name"
    try:
        with OldFile(path) as file:
            has_items = kestrel_records.has_put(file)
    except UnreadableError as trouble:
        spool.problems.append(problem_of(trouble))
        return
    if has_items:
        spool.problems.append(
            Problem(path, 0, f"{what}, but it has items in it", "it was left out")
        )
    else:
        spool.left_alone.append(Note(path, what))


@attrs.frozen
class _Part:
    """The sound beginning of one file."""

    path: Path
    end: int
    """Bytes of it."""


@attrs.frozen
class _Items:
    """The items of a queue, read anew from its files each time they are asked for."""

    parts: list[_Part]
    replay: Replay
    now_ms: int
    problems: list[Problem]

    def __iter__(self) -> Iterator[OldItem]:
        if self.parts:
            path = self.parts[-1].path
            count = self.replay.count
            yield from old_spool.checked_count(path, count, self._read(), self.problems.append)

    def _read(self) -> Iterator[OldItem]:
        front = self.replay.in_front()
        wanted = set(front)
        places: dict[int, tuple[Path, Record]] = {}
        index = 0
        for part in self.parts:
            with OldFile(part.path, part.end) as file:
                for record in kestrel_records.read_all(file):
                    if record.data_offset is None:
                        continue
                    if index == self.replay.head:
                        yield from self._read_front(front, places)
                    if index >= self.replay.head:
                        yield self._item(file, record)
                    elif index in wanted:
                        places[index] = (part.path, record)
                    index += 1
        if index <= self.replay.head:
            yield from self._read_front(front, places)

    def _read_front(
        self, front: list[int], places: dict[int, tuple[Path, Record]]
    ) -> Iterator[OldItem]:
        """Yield the items that came back to the front; their order is not that of the files."""
        for path, record in (places[each] for each in front if each in places):
            with OldFile(path) as file:
                yield self._item(file, record)

    def _item(self, file: OldFile, record: Record) -> OldItem:
        start = record.data_offset or 0
        data = file.read_whole(start, record.end - start)
        added_ms = self.now_ms if record.added_ms is None else record.added_ms
        return OldItem(data, added_ms, record.expiry_ms)


def _read_queue(files: QueueFiles, now_ms: int) -> OldQueue:
    """Read the files of a queue for the first time: replay their records without the data."""
    paths, notes, doubts = files.in_order()
    replay = Replay()
    parts = []
    problems: list[Problem] = []
    foreign: list[Note] = []
    for path in paths:
        end = 0
        try:
            with OldFile(path) as file:
                for record in kestrel_records.read_all(file):
                    replay.apply(record, file)
                    end = record.end
        except UnreadableError as trouble:
            problems.append(problem_of(trouble, _consequence(path is paths[-1])))
            if isinstance(trouble, NoRecordError):
                foreign.append(old_spool.no_queue(trouble))
        if end:
            parts.append(_Part(path, end))
    # One that cannot be opened may well be a queue's.
    is_foreign = not replay.put and bool(foreign) and len(foreign) == len(problems)
    if replay.put:
        problems += doubts + replay.unmatched.problems("Kestrel")
    items = _Items(parts, replay, now_ms, problems)
    path = files.paths[0]
    return OldQueue(
        files.name,
        replay.count,
        items,
        problems,
        foreign if is_foreign else notes,
        path,
        is_foreign,
    )


def _consequence(is_last: bool) -> str:
    if is_last:
        return "what is in front of them was"
    return "the files behind this one were, so items may come twice or be missing"
