"""Reads a segment from its first byte to its last, sound or not, a block at a time.

What a server refuses at its start is read here as well: behind bytes that are no record, the next
sound one is looked for, wherever it begins. No record with a wrong checksum is believed, so nothing
that is damaged is ever taken for sound. Memory holds one block, or one record that is larger than a
block; its checksum is verified piece by piece before it is read as a whole.
"""

import re
import zlib
from collections.abc import Iterator

import attrs

from starling_py.journal.disk.files import Files
from starling_py.journal.format import record
from starling_py.journal.format.record import CHECKSUM_SIZE, HEADER_SIZE, Found

BLOCK = 1 << 20
"""Bytes that are read at once."""

# Where a record may begin: its type exists, and its id is below 2**48, as all ids are.
_CANDIDATE = re.compile(rb"(?=.{8}[\x01-\x0a].{6}\x00\x00)", re.DOTALL)


@attrs.frozen
class Stretch:
    """Sound records, one behind the other."""

    data: memoryview
    """A piece of the file, from the first of them on; what follows the last does not count."""
    offset: int
    """Where in the file ``data`` begins."""
    found: list[Found]
    """The records, with their places in ``data``; at least one."""

    @property
    def end(self) -> int:
        """Where in the file the last of them ends."""
        return self.offset + self.found[-1][3]


@attrs.frozen
class Gap:
    """Bytes that belong to no sound record."""

    offset: int
    end: int
    """Where the next sound record begins, or where the file ends."""

    @property
    def size(self) -> int:
        """How many bytes were skipped."""
        return self.end - self.offset


Parts = Iterator[Stretch | Gap]


def read(files: Files, path: str, start: int, end: int, salt: int) -> Parts:
    """Yield what a file holds from ``start``, where a record begins, up to ``end``.

    Raises ``OSError``.
    """
    offset = start
    while offset < end:
        data = memoryview(files.read_at(path, offset, min(BLOCK, end - offset)))
        found = list(record.walk(data, 0, salt))
        if not found and _is_sound(files, path, offset, end, salt, data):
            data = memoryview(files.read_at(path, offset, record.needed(data, 0)))
            found = list(record.walk(data, 0, salt))
        if found:
            stretch = Stretch(data, offset, found)
            yield stretch
            offset = stretch.end
        else:
            gap = Gap(offset, find_sound(files, path, offset + 1, end, salt))
            yield gap
            offset = gap.end


def find_sound(files: Files, path: str, start: int, end: int, salt: int) -> int:
    """Return where the first sound record at or behind ``start`` begins, or ``end``.

    Raises ``OSError``.
    """
    for offset in range(start, end - HEADER_SIZE + 1, BLOCK):
        # The heads of two blocks overlap, so that every place is looked at with a whole head.
        size = min(BLOCK + HEADER_SIZE - 1, end - offset)
        data = memoryview(files.read_at(path, offset, size))
        for match in _CANDIDATE.finditer(data):
            at = match.start()
            if _is_sound(files, path, offset + at, end, salt, data[at:]):
                return offset + at
    return end


def _is_sound(files: Files, path: str, offset: int, end: int, salt: int, data: memoryview) -> bool:
    """Tell whether a sound record begins at ``offset``. Raises ``OSError``.

    ``data`` is what was read of the file from there on.
    """
    if len(data) < HEADER_SIZE:
        return False
    needed = record.needed(data, 0)
    if not needed or offset + needed > end:
        return False
    if needed <= len(data):
        return next(record.walk(data[:needed], 0, salt), None) is not None
    checksum = salt
    for at in range(offset + CHECKSUM_SIZE, offset + needed, BLOCK):
        piece = files.read_at(path, at, min(BLOCK, offset + needed - at))
        checksum = zlib.crc32(piece, checksum)
    return checksum == int.from_bytes(data[:CHECKSUM_SIZE], "little")
