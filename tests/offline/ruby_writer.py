"""Writes the Ruby Starling's journals byte by byte, and reads them in tests."""

from pathlib import Path

from starling_py.offline import ruby_starling
from starling_py.offline.old_spool import OldItem, OldQueue, OldSpool
from tests.offline.old_files import NOW_MS, queues_in, write

POP = b"\x01"


def push(data: bytes, expiry: int = 0) -> bytes:
    """Return the record of a push as Starling wrote it; ``expiry`` is in seconds."""
    payload = expiry.to_bytes(4, "little") + data
    return b"\0" + len(payload).to_bytes(4, "little") + payload


def item(data: bytes, expiry: int = 0) -> OldItem:
    """Return an item as it is to be read."""
    return OldItem(data, added_ms=NOW_MS, expiry_ms=expiry * 1000, flags=0)


def read(directory: Path, **files: bytes) -> OldSpool:
    """Write these files and read the directory."""
    return ruby_starling.read(write(directory, files), NOW_MS)


def only_queue(directory: Path, content: bytes) -> OldQueue:
    """Read a spool with one file, ``jobs``."""
    spool = read(directory, jobs=content)
    (queue,) = queues_in(spool)
    assert (queue.name, spool.left_alone, spool.problems) == (b"jobs", [], [])
    return queue
