"""A spool's files as a start would find them: with what the log tells written into the segments.

Nothing is written. A server that runs has everything in its segments, so beside one the log is not
looked at.
"""

import posixpath

from starling_py.journal.disk.files import Files
from starling_py.journal.errors import JournalDamagedError
from starling_py.journal.format import segment
from starling_py.journal.log import replay
from starling_py.journal.log.replay import LogFound, Patch
from starling_py.offline import output, spool_directory
from starling_py.offline.errors import WrongPathError
from starling_py.offline.spool_directory import Place


class LoggedFiles(Files):
    """The calls that read; a segment that the log tells more of is read with that."""

    def __init__(self, spool: str, found: LogFound) -> None:
        """``found`` is what the log in the directory ``spool`` tells."""
        self._patches: dict[str, Patch] = {}
        self._path = ""
        self._content = b""
        """The content of the file at ``_path``: one is mostly read to its end."""
        for each in found.patches.values():
            path = f"{spool}/{each.directory}/{segment.file_name(each.number)}"
            if each.fits(Files(), path):
                self._patches[path] = each

    def read(self, path: str) -> bytes:
        """Return a whole file's bytes."""
        patch = self._patches.get(posixpath.normpath(path))
        if patch is None:
            return super().read(path)
        if path != self._path:
            content = bytearray(super().read(path))
            for offset, pieces in patch.writes:
                if offset > len(content):
                    break  # a start refuses the queue, or does not need it
                data = b"".join(pieces)
                content[offset : offset + len(data)] = data
            self._path, self._content = path, bytes(content)
        return self._content

    def read_at(self, path: str, offset: int, size: int) -> bytes:
        """Return ``size`` bytes of a file from ``offset`` on; fewer only where the file ends."""
        if posixpath.normpath(path) not in self._patches:
            return super().read_at(path, offset, size)
        return self.read(path)[offset : offset + size]

    def size(self, path: str) -> int:
        """Return a file's size in bytes."""
        if posixpath.normpath(path) not in self._patches:
            return super().size(path)
        return len(self.read(path))


def of(place: Place) -> Files:
    """Return what a spool, or a queue's directory in one, is read with.

    Raises ``WrongPathError`` if the log cannot be read.
    """
    spool = posixpath.dirname(place.lock)
    if spool_directory.is_in_use(place.lock):
        return Files()
    files = Files()
    try:
        found = replay.read(files, spool, files.list_directory(spool))
    except FileNotFoundError:
        return files
    except PermissionError as error:
        if not place.is_spool:
            return files
        raise WrongPathError(f"{error.filename or spool}: {error.strerror}") from error
    except (OSError, JournalDamagedError) as problem:
        raise WrongPathError(f"{problem}; a start would refuse the spool") from problem
    if not found.patches:
        return files
    logged = LoggedFiles(posixpath.normpath(spool), found)
    if place.is_spool:
        output.warn(f"{spool}: there is a log; what it tells counts, as a start writes it back")
    return logged
