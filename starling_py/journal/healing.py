"""Healing: what a journal with a bad file holds is saved into a fresh segment.

After a failed sync the system may have dropped the data that it could not write, while it still
shows it to every reader of the file. So the file is never appended to again, and never read behind
the point up to which it was safe. Under an interval, what was acknowledged since then is still in
memory; it is written to the new segment, which is synced before the queue goes on. Under ``always``
nothing was acknowledged since then, so what was written is taken back. Under ``never`` nothing is
known to be safe; there a file goes bad by a failed write alone, and what the ledger in memory says
is carried on. What the log alone has made safe is read back from there. Before all of that,
segments whose files lost their names are written anew as far as that is possible (see
``restoring``).
"""

import contextlib
from collections.abc import Callable

from starling_py.journal import checkpoint
from starling_py.journal.disk import failed_syncs
from starling_py.journal.errors import JournalDamagedError, unforeseen
from starling_py.journal.format.segment import UNFINISHED_SUFFIX
from starling_py.journal.ledger import Ledger
from starling_py.journal.recovery.examination import state_at
from starling_py.journal.recovery.replay import Replay, open_segment
from starling_py.journal.restoring import Restoring
from starling_py.journal.syncing import Place


class Healing:
    """The writing of a fresh segment; ``run`` is safe in any thread."""

    def __init__(
        self,
        place: Place,
        number: int,
        safe: tuple[int, int] | None,
        first_id: int,
        now: Ledger,
        acknowledged: list[bytes],
        restoring: Restoring,
        logged: Callable[[], bytes] | None = None,
    ) -> None:
        """Prepare to write the segment with this ``number``.

        ``safe`` is the end of what is safe in the old segments, the number of a segment and its
        size; ``None`` if nothing is, and then ``first_id`` is the id of the journal's first item.
        ``now`` is what is live as of the last write, a copy. ``acknowledged`` are the records since
        what is safe that must be kept, in order. ``logged`` reads from the log what comes between
        the two, and was safe there alone; ``None`` if nothing does.
        """
        self._place = place
        self._number = number
        self._safe = safe
        self._first_id = first_id
        self._now = now
        self._acknowledged = acknowledged
        self._logged = logged
        self.restoring = restoring
        """The segments that lost their names."""
        self.descriptor: int | None = None
        """The new segment, open for appending; ``None`` if it was not made."""
        self.ledger = Ledger()
        """What is live afterwards."""
        self.error: OSError | JournalDamagedError | None = None
        """Why it failed; ``None`` if it did not."""

    def run(self) -> None:
        """Write the segment and make it safe; keep what goes wrong in ``error``."""
        try:
            self.restoring.run()
            base = self._base_ledger()
            self.restoring.give_up_lost(base, self._needed(base))
            self._write(base)
            failed_syncs.forget(self._place.files, self._place.directory)
        except (OSError, JournalDamagedError) as error:
            self.error = error
            self._abandon()
        except Exception as defect:
            self.error = unforeseen(defect)
            self._abandon()
        finally:
            self.restoring.close()

    def _abandon(self) -> None:
        """Remove the unfinished segment. One that has its final name is whole, and stays."""
        files = self._place.files
        if self.descriptor is not None:
            with contextlib.suppress(OSError):
                files.close(self.descriptor)
            self.descriptor = None
        with contextlib.suppress(OSError):
            files.unlink(self._place.path(self._number) + UNFINISHED_SUFFIX)

    def _base_ledger(self) -> Ledger:
        if not self._place.syncs:
            return self._now
        if self._safe is None:
            return Ledger.of_new_queue(self._first_id)
        if not self.restoring.last_is_held:
            # It was closed, so all that was written to it had been synced before; where that ends
            # cannot be read any more, but is what is known now.
            self._acknowledged = []
            return self._now
        if self._logged is not None:
            self._acknowledged.insert(0, self._logged())
        return state_at(self._place.files, self._place.directory, *self._safe)

    def _needed(self, base: Ledger) -> set[int]:
        """Return the numbers of the segments of which something is live in the end.

        The file of another one may be gone: what the log alone has made safe counts as safe where
        segments are removed.
        """
        after = self._replayed(self._content(base))
        return {each.number for each in after.segments if each.items}

    def _content(self, base: Ledger) -> bytes:
        """Return the bytes of the new segment."""
        beginning = self._place.beginning(self._number, base, checkpoint.UNLINKED)
        return beginning + b"".join(self._acknowledged)

    def _replayed(self, content: bytes) -> Ledger:
        """Return what a start would find in the new segment, with these bytes."""
        place, replay, data = self._place, Replay(), memoryview(content)
        opened = open_segment(place.path(self._number), data, self._number, None)
        assert opened is not None, "the header was made here"
        start = replay.begin_segment(opened, data)
        assert start is not None, "the checkpoint was made here"
        replay.run(opened, data, start)
        return replay.ledger

    def _write(self, base: Ledger) -> None:
        place = self._place
        files = place.files
        path = place.path(self._number)
        content = self._content(base)
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
        self.ledger = self._replayed(content)
        for each in self.ledger.segments:
            each.path = place.path(each.number)
