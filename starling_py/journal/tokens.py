"""The tokens of puts that are to be stored once: which were seen, when, and with which item.

A token is kept as its digest. They stand in the order of the puts, in the form that checkpoints
have, so a checkpoint copies them as they are. Nothing here decides how long a token counts.
"""

import struct
from typing import Final

from starling_py.journal.format.record import TOKEN_SIZE

Digest = bytes
DIGEST_SIZE: Final = TOKEN_SIZE
"""Bytes of a token's digest."""
# digest, time of the put in ms since the Unix epoch, id of the item
_ENTRY: Final = struct.Struct("<16sqQ")
ENTRY_SIZE: Final = _ENTRY.size
_AT_ONCE: Final = 1000
"""Tokens that are dropped in one go: each put adds one, so they do not become more."""


class Tokens:
    """The tokens that one queue has seen."""

    def __init__(self, packed: bytes = b"") -> None:
        """``packed`` is what ``pack`` returned."""
        self._packed = bytearray(packed)
        self._dropped = 0
        """How many were dropped from the beginning."""
        self._places: dict[bytes, int] = {
            digest: at for at, (digest, _, _) in enumerate(_ENTRY.iter_unpack(packed))
        }

    def __len__(self) -> int:
        return len(self._packed) // ENTRY_SIZE

    def copy(self) -> "Tokens":
        """Return equal ones that share nothing with these."""
        other = Tokens()
        other._packed, other._places = self._packed[:], self._places.copy()
        other._dropped = self._dropped
        return other

    def pack(self) -> bytes:
        """Return all of them as bytes."""
        return bytes(self._packed)

    def add(self, digest: bytes, put_ms: int, item_id: int) -> None:
        """Add a token that was put with an item."""
        self._places[digest] = self._dropped + len(self)
        self._packed += _ENTRY.pack(digest, put_ms, item_id)

    def find(self, digest: bytes) -> tuple[int, int] | None:
        """Return when a token was put, and with which item; ``None`` if it is not known."""
        place = self._places.get(digest)
        if place is None:
            return None
        _, put_ms, item_id = _ENTRY.unpack_from(self._packed, (place - self._dropped) * ENTRY_SIZE)
        return int(put_ms), int(item_id)

    def trim(self, oldest_ms: int, most: int) -> None:
        """Drop the first ones while there are more than ``most``, or they are older.

        Only so many at once that nobody waits for it; the next call goes on.
        """
        packed, count, gone = self._packed, len(self), 0
        while gone < min(count, _AT_ONCE):
            digest, put_ms, _ = _ENTRY.unpack_from(packed, gone * ENTRY_SIZE)
            if put_ms >= oldest_ms and count - gone <= most:
                break
            if self._places[digest] == self._dropped + gone:
                del self._places[digest]
            gone += 1
        if gone:
            self._dropped += gone
            del packed[: gone * ENTRY_SIZE]
