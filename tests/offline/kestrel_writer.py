"""Writes Kestrel's journals byte by byte, and reads them in tests."""

from pathlib import Path

from starling_py.offline import kestrel
from starling_py.offline.old_spool import OldQueue, OldSpool
from tests.offline.old_files import NOW_MS, queues_in, write

ADDED_MS = 1_300_000_000_123
REMOVE = b"\x01"
OPEN_NEXT = b"\x03"


def number(value: int, size: int = 4) -> bytes:
    """Return a signed number as Kestrel wrote it."""
    return value.to_bytes(size, "little", signed=True)


def item_block(data: bytes, added_ms: int, expiry_ms: int) -> bytes:
    """Return size, times and data of an item."""
    return number(len(data) + 16) + number(added_ms, 8) + number(expiry_ms, 8) + data


def old_add(data: bytes, seconds: int = 0) -> bytes:
    """Return the record of an item with its expiry in seconds."""
    return b"\x00" + number(len(data) + 4) + number(seconds) + data


def add(data: bytes, added_ms: int = ADDED_MS, expiry_ms: int = 0) -> bytes:
    """Return the record of an item."""
    return b"\x02" + item_block(data, added_ms, expiry_ms)


def save_counter(xid: int) -> bytes:
    """Return the record of the number that was given last."""
    return b"\x04" + number(xid)


def abort(xid: int) -> bytes:
    """Return the record of an open read that was given back."""
    return b"\x05" + number(xid)


def confirm(xid: int) -> bytes:
    """Return the record of an open read that is over."""
    return b"\x06" + number(xid)


def add_open(xid: int, data: bytes) -> bytes:
    """Return the record of an item that is carried over while it is open."""
    return b"\x07" + number(xid) + item_block(data, ADDED_MS, 0)


def go_on(xid: int, data: bytes) -> bytes:
    """Return the record that confirms and puts at once."""
    return b"\x08" + number(xid) + item_block(data, ADDED_MS, 0)


def open_read(xid: int) -> bytes:
    """Return the record of an open read under a number."""
    return b"\x09" + number(xid)


def read(directory: Path, files: dict[str, bytes]) -> OldSpool:
    """Write these files and read the directory."""
    return kestrel.read(write(directory, files), NOW_MS)


def only_queue(directory: Path, content: bytes, **others: bytes) -> OldQueue:
    """Read a spool with one queue, ``jobs``; the others are archives: ``_5`` is ``jobs.5``."""
    archives = {f"jobs{name.replace('_', '.')}": each for name, each in others.items()}
    spool = read(directory, {"jobs": content} | archives)
    (queue,) = queues_in(spool)
    assert queue.name == b"jobs"
    return queue


def data_of(queue: OldQueue) -> list[bytes]:
    """Return the data of a queue's items, having checked how many they are."""
    data = [each.data for each in queue.items]
    assert len(data) == queue.count
    return data
