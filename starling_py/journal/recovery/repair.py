"""Repairs to a journal that was read back, before it is written to.

What a crash left behind the last sound record is kept in a file of its own and cut off. What
remains is synced, as the process that wrote it may have died before its sync. No byte that was read
from a queue's files is ever thrown away here.
"""

import itertools
import logging
from collections.abc import Container

from starling_py.journal.disk import failed_syncs
from starling_py.journal.disk.files import Files
from starling_py.journal.format.segment import (
    DAMAGED_SUFFIX,
    TORN_SUFFIX,
    UNFINISHED_SUFFIX,
    Segment,
)
from starling_py.journal.recovery.examination import Recovered, TornTail

log = logging.getLogger(__name__)


def cut(files: Files, directory: str, names: Container[str], torn: TornTail) -> None:
    """Keep a torn tail in a file of its own and cut it off the segment. Raises ``OSError``."""
    if torn.tail:
        aside = _keep(files, directory, names, torn)
        log.warning(
            "%s: the last %d bytes are no whole record, as after a crash; kept in %s and cut off",
            torn.path,
            len(torn.tail),
            aside,
        )
    if torn.offset == 0:
        files.unlink(torn.path)
        return
    with files.closing(files.open(torn.path)) as descriptor:
        files.truncate(descriptor, torn.offset)
        failed_syncs.sync_or_note(files, descriptor, torn.path)


def give_up(files: Files, names: Container[str], lost: Segment) -> None:
    """Give a segment that cannot be read a second name, so that it outlasts its items."""
    aside = f"{lost.path}{DAMAGED_SUFFIX}"
    if _name(lost.path) in names and _name(aside) not in names:
        files.link(lost.path, aside)


def prepare(files: Files, directory: str, state: Recovered, *, syncs: bool) -> None:
    """Sync the segments, and give the last one its final name. Raises ``OSError``.

    With ``syncs`` the older segments are synced too: they may have been written under ``never``.
    If they were synced before, it costs little.
    """
    last = state.ledger.segments[-1]
    if syncs:
        lost = {each.number for each, _ in state.lost}
        for each in [each for each in state.ledger.segments if each.number not in lost]:
            with files.closing(files.open(each.path)) as descriptor:
                failed_syncs.sync_or_note(files, descriptor, each.path)
    if state.unfinished:
        finished = last.path.removesuffix(UNFINISHED_SUFFIX)
        files.rename(last.path, finished)
        last.path = finished
    if syncs:
        files.sync_directory(directory)


def _keep(files: Files, directory: str, names: Container[str], torn: TornTail) -> str:
    """Write a torn tail to a new file beside the segment, and return its path."""
    stem = f"{torn.path}{TORN_SUFFIX}-{torn.offset}"
    candidates = (stem if count == 0 else f"{stem}-{count}" for count in itertools.count())
    aside = next(path for path in candidates if _name(path) not in names)
    with files.closing(files.create(aside)) as descriptor:
        files.write_all(descriptor, torn.tail)
        files.sync(descriptor)
    files.sync_directory(directory)
    return aside


def _name(path: str) -> str:
    return path.rpartition("/")[2]
