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
from starling_py.offline.old_spool import Problem

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

    def in_order(self) -> tuple[list[Path], list[Problem]]:
        """Return the files to read, in this order, and a problem for each of the others."""
        problems = []
        archives = []
        for each in sorted(self.archives, key=lambda each: (each.number, each.path.name)):
            # Kestrel makes an empty file of that name first, then renames the finished pack to it.
            if each.is_pack and self.unfinished and each.is_empty:
                what = "this pack is empty, and the file that was to become it is still there"
                problems.append(Problem(each.path, 0, what, _LEFT_OUT))
            else:
                archives.append(each)
        pack = max((each for each in archives if each.is_pack), key=_number, default=None)
        if pack is not None:
            for each in archives:
                if each is not pack and each.number <= pack.number:
                    what = f"{pack.path.name} was written to take the place of this file"
                    problems.append(Problem(each.path, 0, what, _LEFT_OUT))
            problems += self._doubt(pack)
            archives = [pack, *(each for each in archives if each.number > pack.number)]
        paths = [each.path for each in archives]
        return paths + ([self.current] if self.current is not None else []), problems

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


def find(directory: Path) -> tuple[list[QueueFiles], list[Problem]]:
    """Return the queues of a spool, in order of their names, and a problem for each file left out.

    Raises ``OSError`` when the directory cannot be listed.
    """
    paths, left_out = old_spool.list_files(directory)
    queues: dict[bytes, QueueFiles] = {}
    for path in paths:
        match = _FILE_NAME.fullmatch(os.fsencode(path.name))
        if match is None:
            left_out.append(
                Problem(path, 0, "no file of a Kestrel queue has such a name", _LEFT_OUT)
            )
            continue
        queue = queues.setdefault(match[1], QueueFiles(match[1]))
        if match["unfinished"] is not None:
            queue.unfinished.append(path)
            left_out.append(Problem(path, 0, "Kestrel had not finished this file", _LEFT_OUT))
        elif match["number"] is not None:
            is_pack = match["pack"] is not None
            is_empty = not path.stat().st_size
            queue.archives.append(Archive(int(match["number"]), path, is_pack, is_empty))
        else:
            queue.current = path
            queue.current_is_empty = not path.stat().st_size
    legal = []
    for name in sorted(queues):
        queue = queues[name]
        files = [each.path for each in queue.archives]
        files += [queue.current] if queue.current is not None else []
        reason = old_spool.name_problem(name)
        if files and reason is None:
            legal.append(queue)
        elif reason is not None:
            left_out += [Problem(path, 0, reason, "the queue was left out") for path in files]
    return legal, left_out
