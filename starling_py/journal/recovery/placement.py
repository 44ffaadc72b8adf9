"""Which file holds each segment that the ledger needs, and which files are not needed any more.

A segment may have been replaced by a copy that stands for it and its neighbours. Only the files'
sizes are read here, and nothing is changed on the disk.
"""

from collections.abc import Mapping
from dataclasses import replace

from starling_py.journal.disk.files import Files
from starling_py.journal.errors import JournalDamagedError
from starling_py.journal.format import segment
from starling_py.journal.format.segment import Segment
from starling_py.journal.ledger import Ledger
from starling_py.journal.recovery.replay import Opened


class Placement:
    """The files of one journal, by their numbers."""

    def __init__(
        self,
        files: Files,
        directory: str,
        opened: Mapping[int, Opened],
        damaged: Mapping[int, JournalDamagedError],
        *,
        quarantine: bool,
    ) -> None:
        """Take the segments by number: ``opened`` have a sound header, ``damaged`` have none.

        ``quarantine``: whether segments that cannot be read are noted in ``lost`` instead of
        raising ``JournalDamagedError``.
        """
        self._files = files
        self._directory = directory
        self._opened = opened
        self._damaged = damaged
        self._quarantine = quarantine
        self.needless: list[str] = []
        """The paths of files that are not needed any more."""
        self.lost: list[tuple[Segment, JournalDamagedError]] = []
        """Segments that cannot be read and will be given up, each with what is wrong with it."""

    def place(self, ledger: Ledger) -> None:
        """Set the path of each segment that has live items; those that share a copy become one.

        Raises ``JournalDamagedError`` for one that is missing, damaged or too short, unless such
        segments are given up.
        """
        # A copy that was itself replaced may be back after a power cut: the later copy counts.
        stands_for = {
            older: opened
            for _, opened in sorted(self._opened.items())
            if opened.header.compacted
            for older in range(opened.header.oldest, opened.header.number + 1)
        }
        *older, last = ledger.segments
        placed: dict[int, Segment] = {}
        for each in older:
            if not each.items:
                continue
            compacted = stands_for.get(each.number)
            number = each.number if compacted is None else compacted.header.number
            each.path = self._path(number)
            if compacted is not None:
                first = placed.setdefault(
                    number,
                    replace(
                        each, number=number, first_id=compacted.header.first_id, items=0, bytes=0
                    ),
                )
                first.compacted = True
                first.size = self._files.size(each.path)
                first.items += each.items
                first.bytes += each.bytes
            else:
                # One that is lost stays in the ledger until a record says that it was given up.
                self._check_file(each)
                placed[number] = each
        ledger.segments = [*placed.values(), last]
        self.needless = [
            self._path(number)
            for number in (*self._opened, *self._damaged)
            if number not in placed and number != last.number
        ]

    def check_numbers(self, oldest: int, last: int) -> None:
        """Version 1: raise ``JournalDamagedError`` if a segment that was needed is missing."""
        for number in range(oldest, last):
            if number not in self._opened:
                raise JournalDamagedError(self._path(number), 0, "this segment is missing")

    def _check_file(self, each: Segment) -> None:
        damage = self._damaged.get(each.number)
        if damage is None and each.number not in self._opened:
            damage = JournalDamagedError(each.path, 0, "this segment is missing")
        elif damage is None and (size := self._files.size(each.path)) < each.size:
            damage = JournalDamagedError(
                each.path, size, f"the file ends here, not at byte {each.size}"
            )
        if damage is None:
            return
        if not self._quarantine:
            raise damage
        self.lost.append((each, damage))

    def _path(self, number: int) -> str:
        return f"{self._directory}/{segment.file_name(number)}"
