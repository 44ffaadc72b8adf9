"""A journal whose file went bad: what it holds is saved into a fresh segment.

After a failed sync the system may have dropped the very data it reported, while it still shows it
to whoever reads the file; so a file is neither appended to nor read again behind the point up to
which it was safe. What was acknowledged since then is still in memory, and is written to a new
segment, which is synced before the queue goes on.
"""

import contextlib

from starling_py.journal import checkpoint
from starling_py.journal.disk import failed_syncs
from starling_py.journal.errors import JournalDamagedError
from starling_py.journal.format.segment import UNFINISHED_SUFFIX
from starling_py.journal.ledger import Ledger
from starling_py.journal.recovery.examination import state_at
from starling_py.journal.recovery.replay import Replay, open_segment
from starling_py.journal.syncing import Place


class Healing:
    """The writing of a fresh segment; ``run`` is fit for any thread."""

    def __init__(
        self,
        place: Place,
        number: int,
        safe: tuple[int, int] | None,
        first_id: int,
        base: Ledger | None,
        acknowledged: list[bytes],
    ) -> None:
        """Prepare to write the segment with this number.

        The old ones hold up to ``safe``, a segment and its size; without it they hold nothing, and
        the journal's first id is ``first_id``.
        ``base`` is what was live then, where that is known; it is read from disk otherwise.
        ``acknowledged`` are the records since then that must be kept.
        """
        self._place = place
        self._number = number
        self._safe = safe
        self._first_id = first_id
        self._base = base
        self._acknowledged = acknowledged
        self.descriptor: int | None = None
        """The new segment, open, if it was made."""
        self.ledger = Ledger()
        """What is live afterwards."""
        self.error: OSError | JournalDamagedError | None = None
        """Why it failed, if it did."""

    def run(self) -> None:
        """Write the segment and make it safe; what goes wrong is noted."""
        try:
            self._write(self._base_ledger())
            failed_syncs.forget(self._place.files, self._place.directory)
        except (OSError, JournalDamagedError) as error:
            self.error = error
            self._abandon()

    def _abandon(self) -> None:
        """Remove what there is of the segment, unless it has its name: then it holds all of it."""
        files = self._place.files
        if self.descriptor is not None:
            with contextlib.suppress(OSError):
                files.close(self.descriptor)
            self.descriptor = None
        with contextlib.suppress(OSError):
            files.unlink(self._place.path(self._number) + UNFINISHED_SUFFIX)

    def _base_ledger(self) -> Ledger:
        if self._base is not None:
            return self._base
        if self._safe is None:
            return Ledger.of_new_queue(self._first_id)
        return state_at(self._place.files, self._place.directory, *self._safe)

    def _write(self, base: Ledger) -> None:
        place = self._place
        files = place.files
        path = place.path(self._number)
        beginning = place.beginning(self._number, base, checkpoint.UNLINKED)
        content = beginning + b"".join(self._acknowledged)
        files.make_directory(place.directory)
        unfinished = path + UNFINISHED_SUFFIX
        with contextlib.suppress(FileNotFoundError):
            files.unlink(unfinished)
        self.descriptor = files.create(unfinished)
        files.write_all(self.descriptor, content)
        if place.syncs:
            files.sync(self.descriptor)
        files.rename(unfinished, path)
        if place.syncs:
            files.sync_directory(place.directory)
            files.sync_directory(place.directory.rpartition("/")[0])
        replay = Replay()
        data = memoryview(content)
        opened = open_segment(path, data, self._number, None)
        assert opened is not None, "the header was made above"
        start = replay.begin_segment(opened, data)
        assert start is not None, "the checkpoint was made above"
        replay.run(opened, data, start)
        self.ledger = replay.ledger
        for each in self.ledger.segments:
            each.path = place.path(each.number)
