"""What the tests of starling-top start from: snapshots with the counters that a test names."""

from starling_py.top.rows import COLUMNS, Row, make_table
from starling_py.top.snapshot import Snapshot, take_changes, take_snapshot

Counters = dict[str, int]
BY_KEY = {column.key: column for column in COLUMNS}


def snapshot(taken: float, server: Counters, **queues: Counters) -> Snapshot:
    """Return what a server tells in reply to ``stats``."""
    stats = {key.encode(): b"%d" % value for key, value in server.items()}
    for name, counters in queues.items():
        for key, value in counters.items():
            stats[f"queue_{name}_{key}".encode()] = b"%d" % value
    return take_snapshot(stats, taken)


def changed(
    previous: Snapshot | None, taken: float, token: str = "1-1", **queues: Counters | None
) -> Snapshot:
    """Return what is known after a reply to ``stats changed``; None is for a queue that is gone."""
    keys = sorted({key for counters in queues.values() if counters for key in counters})
    stats = {
        b"changes": token.encode(),
        b"changes_anew": b"%d" % (previous is None),
        b"changes_left": b"0",
        b"changes_tell": ",".join(keys).encode(),
    }
    for name, counters in queues.items():
        told = "gone" if counters is None else ",".join(str(counters.get(key, 0)) for key in keys)
        stats[f"queue_{name}".encode()] = told.encode()
    found = take_changes(previous, stats, taken)
    assert found is not None
    return found


def only_row(previous: Snapshot | None, current: Snapshot) -> Row:
    """Return the row of the only queue."""
    (row,) = make_table(previous, current).rows.values()
    return row
