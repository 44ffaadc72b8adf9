"""End marks: behind the end of a segment, that the next one is in force.

The last segment gives the state of a journal. Were it removed by hand, the one before it would pass
for the last, and nobody would know of what is missing. So when a segment is safe under its final
name, a mark is added to the one before. What a file has behind its end does not count, so older
servers pass the mark over. It is never synced for its own sake: one that a power cut takes costs
only that nothing would be told. Where there is one, the next segment was there.
"""

from typing import Final

from starling_py.journal.format import record

_TYPE: Final = 127
"""The type of no record, so that reading ends in front of a mark."""
SIZE: Final = record.HEADER_SIZE


def encode(following: int, salt: int) -> bytes:
    """Return the mark that the segment with the number ``following`` is in force."""
    return record.bare(_TYPE, following, salt)


def decode(data: bytes | memoryview, salt: int) -> int | None:
    """Return the number in a mark; ``None`` if ``data`` is no mark of this journal."""
    if len(data) != SIZE:
        return None
    following = int.from_bytes(data[SIZE - 8 :], "little")
    return following if encode(following, salt) == bytes(data) else None
