"""Which files of a Kestrel spool make up a queue, and in which order they are read.

``NAME`` is the file written last. ``NAME.MILLISECONDS`` are older ones; they come before it, the
smallest number first. ``NAME.MILLISECONDS.pack`` takes the place of every older file whose number
is not larger than its own. ``NAME~~MILLISECONDS`` is a file that Kestrel had not finished, and
holds nothing that is not elsewhere. The rules are ``Journal.archivedFilesForQueue`` and
``LocalDirectory.listQueues`` of twitter-archive/kestrel at cc280ec. Kestrel renames and removes
files at its start; here they are read as if that had been done, and nothing is changed.
"""

import os
import re
from pathlib import Path

import attrs

from starling_py.offline import old_spool
from starling_py.offline.old_spool import Note, Problem

_FILE_NAME = re.compile(
    rb"([^.~]+)(?:\.(?P<number>[0-9]{1,19})(?P<pack>\.pack)?|(?P<unfinished>~~.*))?", re.DOTALL
)
_LEFT_OUT = "it was left out"


@attrs.frozen
class Archive:
    """A file that was written before the current one."""

    number: int
    """When it was closed, in milliseconds since the Unix epoch."""
    path: Path
    is_pack: bool
    is_empty: bool


@attrs.define
class QueueFiles:
    """The files of one queue."""

    name: bytes
    archives: list[Archive] = attrs.field(factory=list)
    current: Path | None = None
    current_is_empty: bool = True
    unfinished: list[Path] = attrs.field(factory=list)

    @property
    def paths(self) -> list[Path]:
        """All files that hold records of the queue, whether they count or not."""
        current = [] if self.current is None else [self.current]
        return current + [each.path for each in self.archives]

    def in_order(self) -> tuple[list[Path], list[Note], list[Problem]]:
        """Return the files to read, in this order; notes on the others; and what is in doubt."""
        notes: list[Note] = []
        problems: list[Problem] = []
        archives = []
        for each in sorted(self.archives, key=lambda each: (each.number, each.path.name)):
            # Kestrel makes an empty file of that name first, then renames the finished pack to it.
            if each.is_pack and self.unfinished and each.is_empty:
                what = "this pack is empty, and the file that was to become it is still there"
                notes.append(Note(each.path, f"{what}; {_LEFT_OUT}"))
            else:
                archives.append(each)
        pack = max((each for each in archives if each.is_pack), key=_number, default=None)
        if pack is not None:
            for each in archives:
                if each is not pack and each.number <= pack.number:
                    what = f"{pack.path.name} was written to take the place of this file"
                    notes.append(Note(each.path, f"{what}; {_LEFT_OUT}"))
            problems += self._doubt(pack)
            archives = [pack, *(each for each in archives if each.number > pack.number)]
        paths = [each.path for each in archives]
        paths += [self.current] if self.current is not None else []
        return paths, notes, problems

    def _doubt(self, pack: Archive) -> list[Problem]:
        """Return a problem if ``pack`` may hold what the current file holds too.

        A pack of older files alone has the number of the newest of them. One that replaces the
        current file as well has a number of its own. So if no other file has the pack's number or a
        higher one, it may be either: the newest of the older files may have been removed already.
        """
        if any(each.number >= pack.number and each is not pack for each in self.archives):
            return []
        if self.current is None or self.current_is_empty:
            return []
        what = f"whether this pack was to take the place of {self.current.name} too is not known"
        done = "both were read, as Kestrel does; items may come twice or be missing"
        return [Problem(pack.path, 0, what, done)]


def _number(archive: Archive) -> int:
    return archive.number


@attrs.define
class Found:
    """What is in the directory of a Kestrel spool."""

    queues: dict[bytes, QueueFiles] = attrs.field(factory=dict)
    misnamed: list[Path] = attrs.field(factory=list)
    """Files that by their names belong to no queue."""
    left_alone: list[Note] = attrs.field(factory=list)


def find(directory: Path) -> Found:
    """Return the queues of a spool and whatever else is there, by names alone.

    Raises ``OSError`` when the directory cannot be listed.
    """
    paths, left_alone = old_spool.list_files(directory)
    found = Found(left_alone=left_alone)
    queues: dict[bytes, QueueFiles] = {}
    for path in paths:
        match = _FILE_NAME.fullmatch(os.fsencode(path.name))
        if match is None:
            found.misnamed.append(path)
            continue
        queue = queues.setdefault(match[1], QueueFiles(match[1]))
        if match["unfinished"] is not None:
            queue.unfinished.append(path)
            left_alone.append(Note(path, "Kestrel had not finished this file"))
        elif match["number"] is not None:
            is_pack = match["pack"] is not None
            queue.archives.append(Archive(int(match["number"]), path, is_pack, _is_empty(path)))
        else:
            queue.current = path
            queue.current_is_empty = _is_empty(path)
    found.queues = {name: queue for name, queue in queues.items() if queue.paths}
    return found


def _is_empty(path: Path) -> bool:
    try:
        return not path.stat().st_size
    except OSError:  # reported when it is read
        return False
