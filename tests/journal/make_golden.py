"""Makes the golden files: ``python -m tests.journal.make_golden`` in the checkout.

Run it once for a new version of the format, when that is final, and check the new folder in. A
folder of an older version is never made anew: it is there to show that old journals stay readable.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from starling_py.journal import segment
from starling_py.journal.files import Files
from starling_py.journal.spool import LOCK
from tests.journal.spool_harness import Harness

GOLDEN = Path(__file__).parent / "golden"
JOURNALS = "journals"
EXPECTED = "expected.json"
SEGMENT_SIZE = 512


class SaltedFiles(Files):
    """Files that give every journal the same salt."""

    def random_bits(self) -> int:
        return 0x5EED5EED


def remove(harness: Harness, name: bytes, ids: Sequence[int]) -> None:
    """Remove items of a queue out of their turn, which no client can."""
    queue = harness.queues.find(name)
    assert queue is not None
    for item in [item for item in queue._window.items if item.id in ids]:
        queue.journal.remove(item)
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
    harness.close()
    return harness


def describe(harness: Harness) -> dict[str, dict[str, object]]:
    """Return what the queues hold, by the hexadecimal form of their names."""
    harness.background.do_all()
    assert not any(queue._window.behind for queue in harness.queues)
    return {
        queue.name.hex(): {
            "put so far": queue.total_items,
            "items": [
                [item.id, item.added_ms, item.expiry_ms, item.flags, item.data.hex()]
                for item in queue._window.items
            ],
        }
        for queue in sorted(harness.queues, key=lambda queue: queue.name)
    }


def main() -> None:
    """Make the folder of the present version."""
    folder = GOLDEN / f"v{segment.VERSION}"
    shutil.rmtree(folder, ignore_errors=True)
    harness = write_journals(folder / JOURNALS)
    (folder / JOURNALS / LOCK).unlink()
    (folder / EXPECTED).write_text(json.dumps(describe(harness), indent=1) + "\n")


if __name__ == "__main__":
    main()
