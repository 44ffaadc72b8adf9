"""Writing on, in the last segment or in the next one: when a segment is begun, and on what room.

A segment that cannot be begun when it is due is tried again later, and the last one goes on. On a
full disk, what was reserved for removals is lent to them, and a segment is only begun if that
helps to give the present one up.
"""

import logging
from collections.abc import Callable
from typing import Final

from starling_py.journal.disk.reserve import Reserve
from starling_py.journal.ledger import Ledger
from starling_py.journal.segment_writer import NO_ROOM, SegmentWriter

log = logging.getLogger(__name__)

SMALL: Final = 1 << 16
"""Bytes of a segment that is not worth giving up early."""


class Rotation:
    """Who decides which segment is written to."""

    def __init__(
        self, writer: SegmentWriter, reserve: Reserve, path: str, *, must_begin: bool
    ) -> None:
        """``path`` is the journal's directory.

        ``must_begin``: nothing more is to be written to the last segment.
        """
        self._writer = writer
        self._reserve = reserve
        self._path = path
        self._must_begin = must_begin
        self.count = 0
        """Segments begun since the server started, beside the first."""

    def write(self, ledger: Ledger, data: bytes, *, removals_only: bool) -> None:
        """Write records to the end of the journal, and begin a segment before if one is due.

        Raises ``OSError`` and ``JournalError``, as ``SegmentWriter`` does, and then none of them
        was written.
        """
        self._make_ready(ledger)
        last = ledger.segments[-1]
        self._lent(lambda: self._writer.append(last, data), len(data), removals_only=removals_only)

    def leave(self) -> None:
        """Write nothing more to the last segment."""
        self._must_begin = True

    def is_due(self, ledger: Ledger) -> bool:
        """Tell whether the next segment is to be begun before more is written."""
        last = ledger.segments[-1]
        if self._reserve.short:
            writer = self._writer
            worth = last.size > max(SMALL, 2 * writer.beginning, writer.put_off_until)
            return worth and 2 * last.waste > last.size and self._writer.ready
        return self._writer.is_due(ledger)

    def _make_ready(self, ledger: Ledger) -> None:
        writer = self._writer
        if not ledger.segments:
            writer.begin_first(ledger)
        elif self._must_begin or self.is_due(ledger):
            last = ledger.segments[-1]
            try:
                self._lent(lambda: writer.begin(ledger, last.size), SMALL, removals_only=False)
            except OSError as error:
                if self._must_begin:
                    raise
                log.warning("%s: no new segment can be begun: %s", self._path, error)
                writer.put_off(last.size)
            else:
                self._must_begin = False
                self.count += 1

    def _lent(self, write: Callable[[], None], size: int, *, removals_only: bool) -> None:
        """Write, and on a full disk once more, in the room that was reserved."""
        try:
            write()
        except OSError as error:
            if error.errno not in NO_ROOM or not self._reserve.lend(
                size, removals_only=removals_only
            ):
                raise
            write()
