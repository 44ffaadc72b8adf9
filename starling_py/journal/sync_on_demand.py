"""A sync of a whole journal on demand, under ``never``.

A file whose sync failed is not believed again, as a later sync would call safe what the system
dropped then. So it gets a note file for the next start, nothing more is written to it, and as long
as it is needed, every further sync of the journal fails.
"""

import errno
from collections.abc import Callable, Sequence

import attrs

from starling_py.journal.disk import failed_syncs
from starling_py.journal.disk.background import Chores, Work
from starling_py.journal.errors import unforeseen
from starling_py.journal.ledger import Ledger
from starling_py.journal.syncing import Place


@attrs.define
class SyncOnDemand:
    """One sync of all segments of a journal, and of their names."""

    place: Place
    paths: Sequence[str]
    """The paths of the segments."""
    error: OSError | None = None
    """Why it failed; ``None`` if it did not."""
    failed: str = ""
    """The path of the file whose sync failed, if that is why: it must not be believed any more."""

    def run(self) -> None:
        """Sync them; keep what goes wrong in ``error``."""
        files, directory = self.place.files, self.place.directory
        try:
            for path in self.paths:
                with files.closing(files.open(path)) as descriptor:
                    self.failed = path
                    failed_syncs.sync_or_note(files, descriptor, path)
                    self.failed = ""
            files.sync_directory(directory)
            files.sync_directory(directory.rpartition("/")[0])
        except OSError as error:
            self.error = error
        except Exception as defect:
            self.error = unforeseen(defect)


class SyncsOnDemand:
    """The syncs on demand of one journal, and the files that failed in one of them."""

    def __init__(self, place: Place, chores: Chores, spoiled: Callable[[], None]) -> None:
        """``spoiled`` is called when nothing may be written to the last segment any more."""
        self._place = place
        self._chores = chores
        self._spoiled = spoiled
        self._distrusted: frozenset[str] = frozenset()

    def begin_sync(
        self, ledger: Callable[[], Ledger], done: Callable[[OSError | None], None]
    ) -> None:
        """Sync all that was written up to now, in the background.

        ``done`` is called in the tick with the error, or with ``None``.
        """

        def make() -> tuple[Work, Callable[[], None]]:
            paths = [each.path for each in ledger().segments]
            self._distrusted = self._distrusted.intersection(paths)
            work = SyncOnDemand(self._place, paths)
            if self._distrusted:
                path = min(self._distrusted)
                work.paths = ()
                work.error = OSError(errno.EIO, "a sync of it has failed before", path)
            return work, lambda: self._end(work, done)

        self._chores.submit(make)

    def _end(self, work: SyncOnDemand, done: Callable[[OSError | None], None]) -> None:
        if work.failed:
            self._distrusted |= {work.failed}
            self._spoiled()
        done(work.error)
