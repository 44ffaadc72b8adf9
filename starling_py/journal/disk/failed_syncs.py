"""Segments whose sync failed: each gets a note file beside it, and the next start copies it.

When a sync fails, the system may drop what it could not write. It still shows those bytes to every
reader of the file, and reports success when the file is synced again. So what is read of such a
segment may not be on the disk, and no further sync can tell. The running server believes nothing in
the file behind its last good sync (see ``healing``). The next start does not know where that is: by
the note file it learns to write all that it reads of the segment to a fresh file first.

A note file is empty and is never synced: it has to outlast the process, not a power cut. After a
power cut only what the disk has is read, so there is nothing to distrust.

Where the disk takes not even a note, ``UnnotedSyncError`` tells of that. Whoever reads the segment
again in the same process has to make the note first.
"""

import contextlib
import logging
from collections.abc import Iterable

from starling_py.journal.disk.files import Files
from starling_py.journal.errors import UnnotedSyncError
from starling_py.journal.format import segment
from starling_py.journal.format.segment import (
    COMPACTED_SUFFIX,
    DISTRUSTED_SUFFIX,
    UNFINISHED_SUFFIX,
)

log = logging.getLogger(__name__)

_BLOCK = 1 << 20
"""Bytes that are copied at once."""


def sync_or_note(files: Files, descriptor: int, path: str) -> None:
    """Sync the open file of a segment; if that fails, make its note file and raise ``OSError``.

    That is an ``UnnotedSyncError`` if the note cannot be made.
    """
    try:
        files.sync(descriptor)
    except OSError as failure:
        try:
            make_note(files, path)
        except OSError as error:
            log.error("%s: cannot be marked after a sync that failed: %s", path, error)
            raise UnnotedSyncError(failure, path) from failure
        raise


def make_note(files: Files, path: str) -> None:
    """Make the note file of a segment. Raises ``OSError``."""
    # One note for both names of a segment: a sync under way may be about to rename it.
    files.close(files.create(path.removesuffix(UNFINISHED_SUFFIX) + DISTRUSTED_SUFFIX))


def note_files(names: Iterable[str]) -> list[str]:
    """Return which of the names in a directory are those of note files."""
    return [name for name in names if segment.is_note_file(name)]


def write_anew(files: Files, directory: str, names: Iterable[str]) -> bool:
    """Replace every segment that has a note file by a fresh copy; return whether there was one.

    ``names`` are all that are in the directory. Raises ``OSError``; the note files are still there
    then, so that the next start tries again.
    """
    notes = note_files(names)
    for note in notes:
        named = note.removesuffix(DISTRUSTED_SUFFIX)
        for name in (named, named + UNFINISHED_SUFFIX):
            if name in names:
                _copy(files, f"{directory}/{name}", f"{directory}/{named}{COMPACTED_SUFFIX}")
                log.warning("%s/%s: a sync of it had failed; written anew", directory, name)
    if notes:
        # The copies must be in force for good before the first note goes.
        files.sync_directory(directory)
        _remove(files, directory, notes)
    return bool(notes)


def forget(files: Files, directory: str) -> None:
    """Remove the note files in a directory: what was not safe in the segments is saved elsewhere.

    One that cannot be removed costs the next start a copy, no more.
    """
    try:
        notes = note_files(files.list_directory(directory))
    except OSError as error:
        log.warning("%s: cannot be looked through for notes: %s", directory, error)
    else:
        _remove(files, directory, notes)


def _remove(files: Files, directory: str, notes: Iterable[str]) -> None:
    for note in notes:
        try:
            files.unlink(f"{directory}/{note}")
        except OSError as error:
            log.warning("%s/%s: cannot be removed: %s", directory, note, error)


def _copy(files: Files, path: str, copy: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        files.unlink(copy)  # a leftover is never written to again: a sync of it may have failed
    with files.closing(files.create(copy)) as descriptor:
        offset = 0
        while data := files.read_at(path, offset, _BLOCK):
            files.write_all(descriptor, data)
            offset += len(data)
        files.sync(descriptor)
    files.rename(copy, path)
