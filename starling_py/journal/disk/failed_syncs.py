"""Segments whose sync failed: what is read of them may not be what the disk has.

The system may have dropped what it could not write, though it still shows it to whoever reads the
file, and reports success when the file is synced again. So such a segment is marked at once, by a
file beside it, and the next start writes all that it reads of it to a fresh file before it believes
it. A mark has to outlast the process alone: a power cut takes with it all that the disk has not.
"""

import contextlib
import logging
from collections.abc import Iterable

from starling_py.journal.disk.files import Files
from starling_py.journal.format import segment
from starling_py.journal.format.segment import (
    COMPACTED_SUFFIX,
    DISTRUSTED_SUFFIX,
    UNFINISHED_SUFFIX,
)

log = logging.getLogger(__name__)

_BLOCK = 1 << 20
"""Bytes that are copied at once."""


def sync(files: Files, descriptor: int, path: str) -> None:
    """Sync the file of a segment. Raises ``OSError``, and then the segment is marked."""
    try:
        files.sync(descriptor)
    except OSError:
        _mark(files, path)
        raise


def marks(names: Iterable[str]) -> list[str]:
    """Return those of the names in a directory that are marks."""
    return [name for name in names if segment.is_mark(name)]


def write_anew(files: Files, directory: str, names: Iterable[str]) -> bool:
    """Put a fresh file in the place of every segment that is marked; return whether any was.

    ``names`` are those in the directory. Raises ``OSError``, and then the marks are still there.
    """
    found = marks(names)
    for mark in found:
        named = mark.removesuffix(DISTRUSTED_SUFFIX)
        for name in (named, named + UNFINISHED_SUFFIX):
            if name in names:
                _copy(files, f"{directory}/{name}", f"{directory}/{named}{COMPACTED_SUFFIX}")
                log.warning("%s/%s: a sync of it had failed; written anew", directory, name)
    if found:
        files.sync_directory(directory)
        for mark in found:
            files.unlink(f"{directory}/{mark}")
    return bool(found)


def forget(files: Files, directory: str) -> None:
    """Remove the marks in a directory, as what they mark is not needed any more."""
    try:
        for name in marks(files.list_directory(directory)):
            files.unlink(f"{directory}/{name}")
    except OSError as error:
        log.warning("%s: the mark of a failed sync cannot be removed: %s", directory, error)


def _mark(files: Files, path: str) -> None:
    mark = path.removesuffix(UNFINISHED_SUFFIX) + DISTRUSTED_SUFFIX
    try:
        files.close(files.create(mark))
    except OSError as error:
        log.error("%s: cannot be marked after a sync that failed: %s", path, error)


def _copy(files: Files, path: str, copy: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        files.unlink(copy)  # never to be used again: a sync of it may have failed
    with files.closing(files.create(copy)) as descriptor:
        offset = 0
        while data := files.read_at(path, offset, _BLOCK):
            files.write_all(descriptor, data)
            offset += len(data)
        files.sync(descriptor)
    files.rename(copy, path)
