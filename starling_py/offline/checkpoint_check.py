"""Compares a checkpoint with what replaying the segment before it gives."""

from starling_py.journal import checkpoint
from starling_py.journal.checkpoint import Checkpoint
from starling_py.journal.format.segment import Segment
from starling_py.journal.ledger import Ledger
from starling_py.offline.spool_directory import SegmentFile
from starling_py.offline.streamed_replay import StreamedReplay


def contradictions(
    file: SegmentFile, record_id: int, read: Checkpoint, before: StreamedReplay | None
) -> list[str]:
    """Return what of a checkpoint contradicts the segment's header and the segment before.

    ``record_id`` is that of the checkpoint's record, ``read`` what is in it. ``before`` is the
    state at the end of the segment before; ``None`` if that is not known, and then only the header
    is compared.
    """
    told = read.ledger
    wrong = []
    first_id = told.next_id if file.header is None else file.header.first_id
    if not record_id == told.next_id == first_id:
        wrong.append("the checkpoint and the header do not agree on the next id")
    if read.previous_end == checkpoint.UNLINKED:
        return wrong
    if file.number == 1:
        ends, end, is_version_1 = Ledger.of_new_queue(told.first_id), 0, False
    elif before is not None and before.number == file.number - 1:
        ends, end, is_version_1 = before.ledger, before.ledger.segments[-1].size, before.oldest > 0
        if is_version_1 and before.first > before.oldest:
            return wrong  # older segments are missing, so the state before is not known
    else:
        return wrong
    if read.previous_end != end:
        wrong.append(f"the segment before should end at byte {read.previous_end}, not {end}")
    pairs = [
        ("items", told.items, ends.items),
        ("bytes", told.bytes, ends.bytes),
        ("next id", told.next_id, ends.next_id),
        ("first id of the queue", told.first_id, ends.first_id),
    ]
    if not is_version_1:
        pairs += [("first live id", told.head, ends.head), ("deleted", told.deleted, ends.deleted)]
    wrong += [
        f"the checkpoint says {name} {there}, and the segment before ends with {here}"
        for name, there, here in pairs
        if there != here
    ]
    if not is_version_1 and list(told.removed_ids) != list(ends.removed_ids):
        wrong.append("the checkpoint and the segment before do not agree on which items are gone")
    if not is_version_1 and told.facts != ends.facts:
        wrong.append("the checkpoint and the segment before do not agree on the facts of items")
    if not _agree_on_segments(told.segments, ends.segments):
        wrong.append("the checkpoint and the segment before do not agree on what segments hold")
    return wrong


def _agree_on_segments(told: list[Segment], ends: list[Segment]) -> bool:
    """Compare two tables of segments; in ``told``, neighbours may have been compacted into one."""
    left = [each for each in ends if each.items]
    for each in told:
        items = size = 0
        while left and left[0].number <= each.number:
            items += left[0].items
            size += left[0].bytes
            del left[0]
        if (items, size) != (each.items, each.bytes):
            return False
    return not left
