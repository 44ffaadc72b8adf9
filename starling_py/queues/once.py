"""Puts with a token, of which only the first one is stored.

What is written, the journal's ledger knows; here is what was put and is not written yet. Invariant:
a token is known exactly if its item was stored, however long the item has been gone since.
"""

import hashlib

from starling_py.journal.journal import Journal
from starling_py.journal.tokens import DIGEST_SIZE
from starling_py.settings.queue_settings import QueueSettings


def digest_of(token: bytes) -> bytes:
    """Return what is kept of a token."""
    return hashlib.blake2b(token, digest_size=DIGEST_SIZE).digest()


class Once:
    """The tokens of one queue."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._first_id = journal.ledger.first_id
        """Items with lower ids are of a queue that was deleted, which may not be written yet."""
        self._unwritten: dict[bytes, tuple[int, int]] = {}
        """By the digests, the puts since the last write: when they were, and the items' ids."""
        self.duplicates = 0
        """Puts since the server started that were not stored, as their token had been seen."""

    def seen(self, digest: bytes, now_ms: int, settings: QueueSettings) -> int:
        """Return the id of the item that was stored with a token; 0 if it was not seen lately."""
        oldest_ms = now_ms - int(settings.once_window * 1000)
        tokens = self._journal.ledger.tokens
        if tokens is not None:
            tokens.trim(oldest_ms, settings.once_limit)
            found = tokens.find(digest)
            if found is not None and found[0] > oldest_ms and found[1] >= self._first_id:
                return found[1]
        found = self._unwritten.get(digest) if self._has_unwritten() else None
        return found[1] if found is not None and found[0] > oldest_ms else 0

    def note(self, digest: bytes, put_ms: int, item_id: int) -> None:
        """Note that an item was put with a token, at ``put_ms`` of the wall clock."""
        self._has_unwritten()
        self._unwritten[digest] = put_ms, item_id

    def forget(self, first_id: int) -> None:
        """Forget what was not written: it was taken back, or the queue was deleted.

        ``first_id`` is the id of the first item since the queue was made.
        """
        self._unwritten.clear()
        self._first_id = first_id

    def _has_unwritten(self) -> bool:
        """Tell whether anything was put since the last write; forget what is written by now."""
        unwritten = self._unwritten
        if unwritten and next(reversed(unwritten.values()))[1] < self._journal.next_id:
            unwritten.clear()
        return bool(unwritten)
