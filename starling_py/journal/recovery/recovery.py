"""A journal read back when the server starts: what is live, and where writing goes on.

The directory is examined first. Nothing in it is changed before that has found no damage, or only
damage that the operator has allowed to be given up (``quarantine``). There is one exception:
segments whose sync had failed are copied to fresh files before, byte by byte as they are read.
"""

import logging
from collections.abc import Callable

from starling_py.journal.disk import failed_syncs
from starling_py.journal.disk.files import Files
from starling_py.journal.errors import JournalDamagedError
from starling_py.journal.format import segment
from starling_py.journal.format.segment import (
    COMPACTED_SUFFIX,
    DAMAGED_SUFFIX,
    TORN_SUFFIX,
    UNFINISHED_SUFFIX,
)
from starling_py.journal.recovery import repair
from starling_py.journal.recovery.examination import Examination, Recovered

log = logging.getLogger(__name__)


def recover(
    files: Files,
    directory: str,
    is_right: Callable[[bytes], bool] = lambda _: True,
    *,
    syncs: bool = True,
    synced: bool = False,
    quarantine: bool = False,
) -> Recovered | None:
    """Read the journal in a directory and make it ready to be written to.

    Returns ``None`` when there is no journal in it, only what a crash left before there was one.
    Removes the files that a crash left behind and cuts a torn tail off.

    With ``syncs``, what was read is synced: the process that wrote it may have died before its
    sync, and no client may get an item that a power cut could still take back. (The name of the
    directory itself is synced by the caller, once for all directories.) With ``synced``, the caller
    has synced all that was there before this process wrote anything. ``is_right`` tells whether
    a queue of this name belongs in this directory. With ``quarantine``, older segments that are
    damaged are given up. Raises ``JournalDamagedError`` and ``OSError``.
    """
    examination = Examination(files, directory, quarantine=quarantine)
    if failed_syncs.write_anew(files, directory, examination.names):
        examination = Examination(files, directory, quarantine=quarantine)
    state = examination.run()
    if state is not None and not is_right(state.queue):
        raise JournalDamagedError(directory, 0, f"this is the journal of {state.queue!r}")
    for torn in examination.torn:
        repair.cut(files, directory, examination.names, torn)
    for name in examination.names:
        if not _is_known(name):
            log.warning("%s/%s: not a file of this server; left alone", directory, name)
    if state is None:
        _remove(files, examination.needless)
        return None
    if state.missing is not None:
        log.critical(
            "%s; what was in it is given up, and what was taken may come again", state.missing
        )
    for each, damage in state.lost:
        log.critical("%s; %d items are given up", damage, each.items)
        repair.give_up(files, examination.names, each)
    repair.prepare(files, directory, state, syncs=syncs and (not synced or state.unfinished))
    _remove(files, examination.needless)
    return state


def _remove(files: Files, paths: list[str]) -> None:
    """Remove what is not needed any more; one that stays is tried again by the next start.

    Raises ``OSError`` for a segment that was begun: its file might be taken for a new one, and
    written to, though a sync of it may have failed.
    """
    for path in paths:
        try:
            files.unlink(path)
        except OSError as error:
            if path.endswith(UNFINISHED_SUFFIX) and not files.is_directory(path):
                raise
            log.warning("%s: cannot be removed: %s", path, error.strerror or error)


def _is_known(name: str) -> bool:
    finished = name.removesuffix(UNFINISHED_SUFFIX).removesuffix(COMPACTED_SUFFIX)
    known = segment.number_of(finished) is not None
    known = known or segment.is_note_file(name)
    return known or TORN_SUFFIX in name or name.endswith(DAMAGED_SUFFIX)
