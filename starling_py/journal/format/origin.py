"""Where an item came from: what is kept of one that was moved from another queue.

It stands in the record of its put, between the fields and the data.
"""

import struct
from dataclasses import dataclass
from typing import Final

from mypy_extensions import mypyc_attr

DELIVERIES: Final = 1
"""It came back too often."""
EXPIRED: Final = 2
"""Its time was over."""
BURIED: Final = 3
"""A client that had it open gave it up."""
MOVED: Final = 4
"""Somebody moved it by hand."""
_REASONS: Final = {
    DELIVERIES: "deliveries",
    EXPIRED: "expired",
    BURIED: "buried",
    MOVED: "moved",
}

# time of the first put, time of the move, reason, lengths of the two names
_FIXED: Final = struct.Struct("<qqBBB")
MIN_SIZE: Final = _FIXED.size
MAX_SIZE: Final = _FIXED.size + 2 * 255


@mypyc_attr(acyclic=True)
@dataclass(init=False)
class Origin:
    """Where an item came from. Treat it as immutable."""

    first: bytes
    """The name of the queue that it was put into first."""
    put_ms: int
    """When that was, in milliseconds since the Unix epoch."""
    source: bytes
    """The name of the queue that it came from."""
    moved_ms: int
    """When it left that, in milliseconds since the Unix epoch."""
    reason: int
    """Why: ``DELIVERIES``, ``EXPIRED``, ``BURIED`` or ``MOVED``."""

    def __init__(
        self, first: bytes, put_ms: int, source: bytes, moved_ms: int, reason: int
    ) -> None:
        self.first = first
        self.put_ms = put_ms
        self.source = source
        self.moved_ms = moved_ms
        self.reason = reason

    @property
    def why(self) -> str:
        """The reason in a word."""
        return _REASONS.get(self.reason, str(self.reason))


def encode(origin: Origin) -> bytes:
    """Return an origin as bytes; names have 250 bytes at most."""
    fixed = _FIXED.pack(
        origin.put_ms, origin.moved_ms, origin.reason, len(origin.first), len(origin.source)
    )
    return fixed + origin.first + origin.source


def size_at(data: memoryview, start: int) -> int:
    """Return how many bytes the origin at ``start`` takes."""
    _, _, _, first, source = _FIXED.unpack_from(data, start)
    return _FIXED.size + int(first) + int(source)


def decode(data: memoryview, start: int) -> Origin:
    """Return the origin at ``start``."""
    put_ms, moved_ms, reason, first, source = _FIXED.unpack_from(data, start)
    start += _FIXED.size
    names = bytes(data[start : start + first + source])
    return Origin(names[:first], put_ms, names[first:], moved_ms, reason)
