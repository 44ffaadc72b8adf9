"""Makes the golden files: ``python -m tests.journal.make_golden`` in the checkout.

Run it once for a new version of the format, when that is final, and check the new folder in. A
folder of an older version is never made anew: it is there to show that old journals stay readable.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from starling_py.journal.disk.files import Files
from starling_py.journal.format import segment
from starling_py.journal.format.origin import BURIED, DELIVERIES, EXPIRED, MOVED, Origin
from starling_py.journal.format.record import Item, MarkedItem
from starling_py.journal.ledger import FOR_EVER, Facts, Ledger
from starling_py.journal.spool import LOCK
from starling_py.queues.open_reads import OpenRead
from tests.journal.spool_harness import NOW_MS, Harness, live_items

GOLDEN = Path(__file__).parent / "golden"
JOURNALS = "journals"
EXPECTED = "expected.json"
SEGMENT_SIZE = 512
IN_2020 = 1_600_000_000_000
IN_2033 = 2_000_000_000_000


class SaltedFiles(Files):
    """Files that give every journal the same salt."""

    def random_bits(self) -> int:
        return 0x5EED5EED


def remove(harness: Harness, name: bytes, ids: Sequence[int]) -> None:
    """Remove items of a queue out of their turn, which no client can."""
    queue = harness.queues.directory.find(name)
    assert queue is not None
    for item in [item for item in queue._window.items if item.id in ids]:
        queue.journal.recorder.remove(item)
        queue._window.items.remove(item)
        queue.items -= 1
        queue.bytes -= len(item.data)
    harness.commit()


def write_journals(path: Path) -> Harness:
    """Write every kind of record, queue and item that there is."""
    harness = Harness(SaltedFiles(), path=str(path), segment_size=SEGMENT_SIZE)
    put = harness.queues.put

    # Items of all kinds, the first ones gone again.
    harness.put_all([b"gone", b"gone too"], b"jobs")
    harness.pop_all(2, b"jobs")
    put(b"jobs", b"plain", 0, 0)
    put(b"jobs", b"", 1, 0)
    put(b"jobs", bytes(range(256)), 2**32 - 1, 0)
    put(b"jobs", b"dies in 2033", 5, 2_000_000_000)
    put(b"jobs", b"died in 1970", 5, -1)
    harness.commit()

    # Several segments, the oldest ones given up.
    harness.put_all([b"%d" % number * 100 for number in range(8)], b"Rotated")
    harness.pop_all(5, b"Rotated")

    # Segments that gave way to a copy of what was live in them, with a gap among the items.
    harness.put_all([b"%d" % number * 150 for number in range(10)], b"copied")
    remove(harness, b"copied", (1, 2, 3, 5, 6, 7))
    harness.put_all([b"last"], b"copied")

    # Emptied by a flush, then drained: only the id is left.
    harness.put_all([b"a", b"b"], b"flushed")
    harness.queues.flush(b"flushed")
    harness.commit()

    # Deleted and made anew at once, under a name that no file can have.
    harness.put_all([b"old"], b"a_b/../\xff")
    harness.queues.delete(b"a_b/../\xff")
    put(b"a_b/../\xff", b"new", 3, 0)
    harness.commit()

    # The longest name.
    harness.put_all([b"x"], b"N" * 250)

    write_marked(harness)
    write_kept(harness)
    write_paused(harness)
    write_moved(harness)
    write_once(harness)

    # A segment whose items were given up, as it is missing.
    harness.put_all([b"%d" % number * 200 for number in range(6)], b"given up")
    harness.close()
    (path / "given%20up" / segment.file_name(1)).unlink()
    harness = Harness(SaltedFiles(), path=str(path), segment_size=SEGMENT_SIZE, quarantine=True)
    harness.commit()

    # Deleted, and made anew when nothing of it was left: it begins behind its old ids.
    harness.put_all([b"old", b"older"], b"anew")
    harness.queues.delete(b"anew")
    harness.commit()
    harness.put_all([b"new"], b"anew")
    harness.close()
    return harness


def write_marked(harness: Harness) -> None:
    """Write items of which there is more to say, from their put on or since, and a checkpoint."""
    queue = harness.queues.directory.find_or_make(b"marked")

    def put(data: bytes, due_ms: int = 0, deliveries: int = 0, *, front: bool = False) -> None:
        queue.put_marked(MarkedItem(queue.next_id, NOW_MS, 0, 7, data, due_ms, deliveries, front))
        harness.commit()

    def opened() -> OpenRead:
        item = queue.open(NOW_MS, None, None)
        assert item is not None
        harness.commit()
        read = queue.open_reads.get(item.id)
        assert read is not None
        return read

    harness.put_all([b"opened twice", b"comes in 2033", b"came in 2020"], b"marked")
    put(b"due in 2033", IN_2033)
    put(b"due in 2020", IN_2020)
    put(b"moved", deliveries=4)
    queue.give_back(opened())
    first, second, third = opened(), opened(), opened()
    queue.give_back(first)
    queue.give_back_later(second, IN_2033)
    queue.give_back_later(third, IN_2020)
    harness.commit()
    harness.put_all([b"." * SEGMENT_SIZE, b"behind the checkpoint"], b"marked")
    put(b"second", front=True)
    put(b"first", deliveries=2, front=True)
    queue.give_back(opened())
    harness.commit()


def write_kept(harness: Harness) -> None:
    """Write a flush that leaves the open items."""
    harness.put_all([b"open", b"confirmed", b"taken", b"flushed"], b"kept")
    queue = harness.queues.directory.find(b"kept")
    assert queue is not None
    for _ in range(2):
        assert queue.open(NOW_MS, None, None) is not None
    harness.pop_all(1, b"kept")
    harness.queues.flush(b"kept")
    harness.commit()
    confirmed = queue.open_reads.get(2)
    assert confirmed is not None
    queue.confirm(confirmed)
    harness.put_all([b"since then"], b"kept")


def write_paused(harness: Harness) -> None:
    """Write pauses, the last one over by now, and a checkpoint that knows of it."""
    harness.put_all([b"first"], b"paused")
    queue = harness.queues.directory.find(b"paused")
    assert queue is not None
    for until_ms in (FOR_EVER, 0, IN_2020):
        queue.journal.recorder.pause(until_ms)
        harness.commit()
    harness.put_all([b"." * SEGMENT_SIZE, b"behind the checkpoint"], b"paused")


def write_moved(harness: Harness) -> None:
    """Write items that came from other queues, for each reason there is."""
    queue = harness.queues.directory.find_or_make(b"moved")
    for reason in (DELIVERIES, EXPIRED, BURIED, MOVED):
        origin = Origin(b"first", IN_2020, b"N" * 250, NOW_MS, reason)
        deliveries = 3 if reason in (DELIVERIES, BURIED) else 0
        data = b"moved %d" % reason
        moved = MarkedItem(queue.next_id, NOW_MS, 0, 7, data, 0, deliveries, origin=origin)
        queue.put_marked(moved)
        harness.commit()
    harness.put_all([b"." * SEGMENT_SIZE, b"behind the checkpoint"], b"moved")


def write_once(harness: Harness) -> None:
    """Write items with tokens, one of them gone, and a checkpoint that knows of them."""
    queue = harness.queues.directory.find_or_make(b"once")
    for number in (1, 2):
        token = bytes([number]) * 16
        queue.put_marked(MarkedItem(number, NOW_MS, 0, 7, b"once %d" % number, token=token))
        harness.commit()
    harness.pop_all(1, b"once")
    harness.put_all([b"." * SEGMENT_SIZE, b"behind the checkpoint"], b"once")


def describe(harness: Harness) -> dict[str, dict[str, object]]:
    """Return what the queues hold, by the hexadecimal form of their names."""
    harness.background.do_all()
    described: dict[str, dict[str, object]] = {}
    for queue in sorted(harness.queues.directory, key=lambda queue: queue.name):
        journal = queue.journal
        items = live_items(harness.files, journal._place.salt, journal.ledger)
        described[queue.name.hex()] = {
            "put so far": queue.next_id - 1,
            "items": [
                [item.id, item.added_ms, item.expiry_ms, item.flags, item.data.hex()]
                for item in items
            ],
        }
        marks = {str(item.id): marks_of(item, journal.ledger) for item in items}
        origins = {str(item.id): origin_of(item) for item in items if origin_of(item)}
        if origins:
            described[queue.name.hex()]["origins"] = origins
        if journal.ledger.tokens is not None:
            described[queue.name.hex()]["tokens"] = journal.ledger.tokens.pack().hex()
        if journal.ledger.paused_ms:
            described[queue.name.hex()]["paused until"] = journal.ledger.paused_ms
        if any(any(each) for each in marks.values()):
            described[queue.name.hex()]["marks"] = marks
    return described


def origin_of(item: Item) -> list[int | str]:
    """Return where an item came from; an empty list if it was not moved."""
    origin = item.origin if isinstance(item, MarkedItem) else None
    if origin is None:
        return []
    names = origin.first.hex(), origin.source.hex()
    return [*names, origin.put_ms, origin.moved_ms, origin.why]


def marks_of(item: Item, ledger: Ledger) -> list[int | bool]:
    """Return how often an item was handed out, when it is due, and whether it is in front."""
    mark = ledger.facts.get(item.id, Facts())
    due_ms = mark.due_ms or (item.due_ms if isinstance(item, MarkedItem) else 0)
    return [mark.deliveries, due_ms, mark.front]


def main() -> None:
    """Make the folder of the present version."""
    folder = GOLDEN / f"v{segment.VERSION}"
    shutil.rmtree(folder, ignore_errors=True)
    harness = write_journals(folder / JOURNALS)
    (folder / JOURNALS / LOCK).unlink()
    (folder / EXPECTED).write_text(json.dumps(describe(harness), indent=1) + "\n")


if __name__ == "__main__":
    main()
