"""The bytes of a body that comes in pieces: they are joined once, when all are there.

A buffer that grows with each piece is copied again and again, which takes longer than all else that
is done for the body. Invariant: what is kept takes hardly more memory than its bytes, however small
the pieces are.
"""

from typing import Final

LEAST: Final = 1 << 14
"""Bytes of a piece that is kept as it came; smaller ones are joined at once."""


class Pieces:
    """What has come of a body."""

    def __init__(self) -> None:
        self.size = 0
        """Bytes that have come."""
        self._whole: list[bytes] = []
        self._small = bytearray()
        """Behind the others: what came in pieces that are not kept each by itself."""

    def add(self, piece: bytes) -> None:
        """Take the next piece."""
        self.size += len(piece)
        if len(piece) >= LEAST and not self._small:
            self._whole.append(piece)
            return
        self._small += piece
        if len(self._small) >= LEAST:
            self._whole.append(bytes(self._small))
            self._small = bytearray()

    def take(self) -> bytes:
        """Return all that has come, and keep nothing."""
        pieces, self._whole = self._whole, []
        if self._small:
            pieces.append(bytes(self._small))
            self._small = bytearray()
        self.size = 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
