"""Files that lost their names while the server runs: looked for now and then.

Somebody may remove, move or replace a segment, a queue's directory, the whole spool, or the
server's own files in it. A sync sees to the file that it syncs; all others, and all under
``never``, are looked at here, some after the other in the background. What is suspected is looked
at once more in the tick, as the journal may have renamed or removed it meanwhile; then the journal
is healed.
"""

import logging
from collections.abc import Iterator, Sequence

import attrs

from starling_py.journal.disk.background import Background
from starling_py.journal.disk.files import Files
from starling_py.journal.journal import Journal
from starling_py.journal.syncing import Expected, is_there

log = logging.getLogger(__name__)

_STEP = 16
"""Journals after which others have their turn."""
AT_ONCE = 500
"""Segments after which the other journals are not looked at this time."""


@attrs.define
class Look:
    """One look at some journals' files."""

    files: Files
    expected: list[tuple[Journal, list[Expected]]]
    suspected: list[Journal] = attrs.field(factory=list)
    """Those of whose files one was not there."""

    def run(self) -> None:
        """Look; what the disk refuses to tell is not suspected."""
        for journal, expected in self.expected:
            try:
                there = all(is_there(self.files, each) for each in expected)
            except OSError as error:
                log.warning("%s: cannot be looked at: %s", journal.path, error)
                continue
            if not there:
                self.suspected.append(journal)


class LostNames:
    """The looking for names that lead nowhere, or elsewhere."""

    def __init__(self, files: Files, background: Background) -> None:
        self._files = files
        self._background = background
        self._looking = False

    def look(self, journals: Sequence[Journal]) -> Iterator[None]:
        """Begin to look at the files of some journals, unless a look is under way.

        It yields now and then, so that others have their turn while it finds out what to look at.
        """
        if self._looking:
            return
        count = 0
        work = Look(self._files, [])
        for number, journal in enumerate(journals):
            expected = journal.expected()
            if expected:
                work.expected.append((journal, expected))
                count += len(expected)
            if count >= AT_ONCE:
                break
            if number % _STEP == 0:
                yield
        if work.expected:
            self._looking = True
            self._background.submit(work, lambda: self._looked(work))

    def _looked(self, work: Look) -> None:
        self._looking = False
        for journal in work.suspected:
            try:
                journal.look_for_files()
            except OSError as error:
                log.warning("%s: cannot be looked at: %s", journal.path, error)
