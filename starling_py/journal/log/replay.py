"""A start, and what the log of the server before it tells: it is written into the segments.

Each operation finds the file that it was of, or none: the segment must have the number and the
journal's salt, and be no copy that took the place of others. What is written there is what was
written there before, so a start that dies midway is followed by one that does the same again. A
file that is gone was not needed any more. A segment that ends before what the log tells of it, or
that cannot be written, costs its queue alone: that is refused, and the log is kept.
"""

import logging
from collections.abc import Container, Iterable

import attrs

from starling_py.journal.disk import failed_syncs
from starling_py.journal.disk.files import Files
from starling_py.journal.errors import JournalDamagedError, SegmentError
from starling_py.journal.format import segment
from starling_py.journal.log import batch
from starling_py.journal.log.batch import Written
from starling_py.journal.log.log import NAMES

log = logging.getLogger(__name__)


@attrs.define
class Patch:
    """Bytes that one segment must have, some at one place, some at another."""

    directory: str
    number: int
    salt: int
    writes: list[tuple[int, list[bytes | memoryview]]] = attrs.field(factory=list)
    """Offsets in the file, and what stands there."""

    def add(self, each: Written) -> None:
        """Add what was written later than what it has."""
        if self.writes:
            offset, pieces = self.writes[-1]
            if offset + sum(len(piece) for piece in pieces) == each.offset:
                pieces.extend(each.pieces)
                return
        self.writes.append((each.offset, list(each.pieces)))

    def fits(self, files: Files, path: str) -> bool:
        """Tell whether the file at a path is the segment that is meant. Raises ``OSError``."""
        try:
            beginning = files.read_at(path, 0, segment.MAX_HEADER)
            header, _ = segment.decode(memoryview(beginning))
        except (FileNotFoundError, NotADirectoryError, SegmentError):
            return False  # what is damaged is told of when the queue is read
        same = header.salt == self.salt and header.number == self.number
        return same and not header.compacted

    def apply(self, files: Files, path: str, *, is_last: bool) -> None:
        """Write the bytes into the segment, and sync it.

        They are written also where they seem to be there: the system may have failed to bring
        them to the disk. Raises ``OSError``, and ``JournalDamagedError`` if bytes before them are
        missing in the last segment. Of an older one, the log may have an end that is not needed:
        the journal was healed.
        """
        size = files.size(path)
        with files.closing(files.open_placed(path, new=False)) as descriptor:
            for offset, pieces in self.writes:
                if offset > size and not is_last:
                    break
                if offset > size:
                    reason = f"the log tells of what follows from byte {offset} on"
                    raise JournalDamagedError(path, size, reason)
                data = b"".join(pieces)
                files.write_at(descriptor, offset, data)
                size = max(size, offset + len(data))
            failed_syncs.sync_or_note(files, descriptor, path)


@attrs.define
class LogFound:
    """What the log tells, read once."""

    patches: dict[tuple[str, int, int], Patch] = attrs.field(factory=dict)
    """By directory, number of the segment and salt."""
    paths: list[str] = attrs.field(factory=list)
    """Those of its files."""

    def apply(self, files: Files, spool: str, directory: str) -> None:
        """Write what is told of one journal into its segments.

        Raises ``OSError`` and ``JournalDamagedError``.
        """
        patches = self.of(directory)
        if not patches:
            return
        names = files.list_directory(f"{spool}/{directory}")
        numbers = (segment.number_of(name) for name in names)
        last = max((each for each in numbers if each is not None), default=0)
        for each in patches:
            path = f"{spool}/{directory}/{segment.file_name(each.number)}"
            if each.fits(files, path):
                each.apply(files, path, is_last=each.number == last)

    def of(self, directory: str) -> list[Patch]:
        """Return what is told of one journal."""
        return [each for each in self.patches.values() if each.directory == directory]

    def forget_but(self, directories: Container[str]) -> None:
        """Forget what was applied: all but what is told of these journals."""
        self.patches = {
            key: each for key, each in self.patches.items() if each.directory in directories
        }

    def remove(self, files: Files) -> None:
        """Remove the files: the segments have all of it, safely. Raises ``OSError``."""
        for path in self.paths:
            files.unlink(path)


def read(files: Files, spool: str, names: Iterable[str], *, quarantine: bool = False) -> LogFound:
    """Read the log's files, of which ``names`` has those in the spool; nothing is changed.

    Raises ``OSError``, and ``JournalDamagedError`` if there is damage in the middle of one; with
    ``quarantine`` that is only logged, and what is sound counts.
    """
    found = LogFound()
    contents = []
    for name in NAMES:
        if name not in names:
            continue
        path = f"{spool}/{name}"
        found.paths.append(path)
        data = files.read(path)
        try:
            salt = batch.read_header(path, data)
        except JournalDamagedError as damage:
            _report(damage, quarantine=quarantine)
            continue
        if salt is not None:
            contents.append((path, data, salt, list(batch.walk(data, salt))))
    latest = max((each[-1][-1][0] for each in contents if each[-1]), default=0)
    sound = []
    for path, data, salt, batches in contents:
        end = batches[-1][2] if batches else batch.HEADER_SIZE
        later = batch.later_than(data, salt, latest)
        if later is not None:
            reason = f"a sound batch follows at byte {later}, but not here"
            _report(JournalDamagedError(path, end, reason), quarantine=quarantine)
        sound += [(number, path, data, begin, stop) for number, begin, stop in batches]
    for _, path, data, begin, stop in sorted(sound, key=lambda each: each[0]):
        for each in batch.decode(path, data, begin, stop):
            key = each.directory, each.number, each.salt
            if key not in found.patches:
                found.patches[key] = Patch(*key)
            found.patches[key].add(each)
    return found


def _report(damage: JournalDamagedError, *, quarantine: bool) -> None:
    if not quarantine:
        raise damage
    log.critical("%s; what was in it is given up", damage)
