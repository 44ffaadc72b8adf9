"""What the log of a spool tells is written into the segments, and the log removed.

A start does the same. Done without one, the spool can be copied queue by queue, or given to an
older server.
"""

import attrs

from starling_py.journal.disk.files import Files
from starling_py.journal.disk.spool_lock import SpoolLock
from starling_py.journal.errors import JournalDamagedError
from starling_py.journal.log import replay


@attrs.define
class Flattened:
    """What was done."""

    journals: int = 0
    """Journals of which the log told something."""
    problems: list[str] = attrs.field(factory=list)
    """What could not be written back; the log is kept then."""


def flatten(files: Files, spool: str) -> Flattened:
    """Write back what the log tells, sync it, and remove the log.

    Raises ``BlockingIOError`` if a server uses the spool, ``JournalDamagedError`` if the log cannot
    be read, and ``OSError``; nothing was changed then.
    """
    lock = SpoolLock(files, spool)
    try:
        done = Flattened()
        found = replay.read(files, spool, files.list_directory(spool))
        for directory in sorted({each.directory for each in found.patches.values()}):
            done.journals += 1
            try:
                found.apply(files, spool, directory)
            except FileNotFoundError:
                continue  # the queue is gone
            except (OSError, JournalDamagedError) as problem:
                done.problems.append(str(problem))
        if not done.problems and found.paths:
            found.remove(files)
            files.sync_directory(spool)
        return done
    finally:
        lock.close()
