"""Reads a segment from its first byte to its last, sound or not, a block at a time.

What a server refuses at its start is read here as well: behind bytes that are no record, the next
sound one is looked for, wherever it begins. No record with a wrong checksum is believed, so nothing
that is damaged is ever taken for sound. Memory holds one block, or one record that is larger than a
block; its checksum is verified piece by piece before it is read as a whole. However often bytes
follow that are no record, the file is looked through once.
"""

import zlib
from collections.abc import Iterator

import attrs

from starling_py.journal.disk.files import Files
from starling_py.journal.format import record
from starling_py.journal.format.record import CHECKSUM_SIZE, HEADER_SIZE, Found
from starling_py.journal.format.search import Search

BLOCK = 1 << 20
"""Bytes that are read at once."""
_HIGHEST_ID = (1 << 48) - 1
"""No id of an item is above this."""
_WINDOW = 1 << 12
"""Bytes that are kept in memory around a place where few bytes were asked for."""
_WINDOWS = 16
"""How many such windows are kept."""


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
    search: Search | None = None
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
            if search is None:
                search = Search(_FileBytes(files, path), end, salt, _HIGHEST_ID, BLOCK)
            sound = search.first(offset + 1)
            gap = Gap(offset, end if sound is None else sound)
            yield gap
            offset = gap.end


class _FileBytes:
    """A file's bytes, read when they are asked for; raises ``OSError``."""

    def __init__(self, files: Files, path: str) -> None:
        self._files = files
        self._path = path
        self._windows: dict[int, bytes] = {}

    def __getitem__(self, part: "slice[int, int, None]") -> bytes | memoryview:
        start, size = part.start, part.stop - part.start
        if size > _WINDOW:
            return self._files.read_at(self._path, start, size)
        begin = start - start % _WINDOW
        window = self._windows.get(begin)
        if window is None:
            if len(self._windows) >= _WINDOWS:
                del self._windows[next(iter(self._windows))]
            # As large again, for what begins in the window and ends behind it.
            window = self._files.read_at(self._path, begin, 2 * _WINDOW)
            self._windows[begin] = window
        return memoryview(window)[start - begin : start - begin + size]


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
