"""The search for sound records among bytes that are none.

It tells a torn tail, which nothing sound follows, from damage in the middle of a file. Every byte
is tried, so a sound record is never passed over, and a wrong checksum is never believed. Whatever a
client wrote there, the search takes a time in proportion to the bytes: it looks at each of them
once, and the checksum of a record costs the same however long that claims to be (``checksums``).
"""

import re
import struct
from typing import Final

from starling_py.journal.format.checksums import Checksums, Sliceable
from starling_py.journal.format.record import (
    CHECKSUM_SIZE,
    HEADER_SIZE,
    LENGTH_OFFSET,
    LENGTHS,
    NO_LENGTHS,
)

BLOCK: Final = 1 << 20
"""Bytes that are looked through at once."""
ANY_ID: Final = 2**64 - 1
"""The highest id that fits into a record."""
_HEADER: Final = struct.Struct("<IIBQ")
_TYPE_OFFSET: Final = LENGTH_OFFSET


class Search:
    """The search in some bytes; what it has worked out in one part serves in the next."""

    def __init__(
        self,
        data: Sliceable,
        size: int,
        salt: int = 0,
        highest_id: int = ANY_ID,
        block: int = BLOCK,
    ) -> None:
        """Prepare to search in ``data``, which has ``size`` bytes, ``block`` of them at once.

        No record can have an id above ``highest_id``: that spares most candidates the checksum.
        """
        self._block = block
        self._data = data
        self._size = size
        self._highest_id = highest_id
        self._checksums = Checksums(data, size, salt)
        self._candidates = _candidates(size, highest_id)

    def first(self, offset: int) -> int | None:
        """Return where the first sound record from ``offset`` on starts; ``None`` if there is none.

        Raises what ``data`` raises.
        """
        size, highest_id, block_size = self._size, self._highest_id, self._block
        checksum_of = self._checksums.of
        for begin in range(offset, size - HEADER_SIZE + 1, block_size):
            # The heads of two blocks overlap, so that every place is looked at with a whole head.
            block = self._data[begin : min(begin + block_size + HEADER_SIZE - 1, size)]
            for match in self._candidates.finditer(block, _TYPE_OFFSET):
                at = match.start() - _TYPE_OFFSET
                checksum, length, record_type, record_id = _HEADER.unpack_from(block, at)
                start = begin + at
                end = start + LENGTH_OFFSET + length
                if end > size or record_id > highest_id:
                    continue
                if length not in LENGTHS.get(record_type, NO_LENGTHS):
                    continue
                if checksum_of(start + CHECKSUM_SIZE, end) == checksum:
                    return start
        return None


def find_sound_record(
    data: memoryview, offset: int, salt: int = 0, highest_id: int = ANY_ID
) -> int | None:
    """Return where the first sound record from ``offset`` on starts; ``None`` if there is none.

    No record can have an id above ``highest_id``.
    """
    if len(data) - offset < HEADER_SIZE:
        return None  # at the end of nearly every segment
    return Search(data, len(data), salt, highest_id).first(offset)


def _candidates(size: int, highest_id: int) -> "re.Pattern[bytes]":
    """Return what matches the type of each record that may begin in ``size`` bytes.

    Of the length and of the id, it looks at the bytes that must be zero.
    """
    types = b"".join(b"\\x%02x" % each for each in LENGTHS)
    zeros_of_length = 4 - (size.bit_length() + 7) // 8
    ids = (highest_id.bit_length() + 7) // 8
    before = b"(?<=" + b"\\0" * zeros_of_length + b")" if zeros_of_length > 0 else b""
    behind = b"(?=[\\0-\\xff]{%d}\\0{%d})" % (ids, 8 - ids)
    return re.compile(before + b"[" + types + b"]" + behind)
