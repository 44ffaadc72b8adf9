"""Checkpoints: the first record of each segment, which holds the ledger up to there.

The last segment's checkpoint and the records behind it give the state of the whole journal, so a
start reads no other segment.
"""

import struct
from dataclasses import dataclass

from starling_py.journal.format.segment import VERSION, Segment
from starling_py.journal.id_ranges import IdRanges
from starling_py.journal.ledger import Facts, Ledger
from starling_py.journal.tokens import ENTRY_SIZE, Tokens

UNLINKED = 2**64 - 1
"""The ``previous_end`` of a healing's checkpoint: it does not depend on the segment before."""

# end of the segment before, head, next id, items, bytes, deleted, segments, ranges of ids
_FIXED = struct.Struct("<QQQQQBII")
_SEGMENT = struct.Struct("<QQQQQB")
_RANGE = struct.Struct("<QQ")
# since version 3: how many items have facts; of each, id, due, deliveries, in front
_COUNT = struct.Struct("<I")
_FACTS = struct.Struct("<QqIB")
# since version 4: the id of the first item since the queue was made
_FIRST_ID = struct.Struct("<Q")
# since version 5, if the queue was paused or has seen tokens: until when; then the tokens
_PAUSED = struct.Struct("<q")


@dataclass(frozen=True)
class Checkpoint:
    """The journal as it was when a segment was begun."""

    previous_end: int
    """Bytes that the segment before had then, 0 for the first segment, or ``UNLINKED``.

    Should the segment before end elsewhere after a power cut, the checkpoint tells of records that
    are lost, and does not count.
    """
    ledger: Ledger
    """What was live. Its segments have no paths."""


def encode(ledger: Ledger, previous_end: int) -> bytes:
    """Return the payload of a checkpoint's record: segments without live items are left out."""
    segments = [each for each in ledger.segments if each.items]
    fixed = _FIXED.pack(
        previous_end,
        ledger.head,
        ledger.next_id,
        ledger.items,
        ledger.bytes,
        ledger.deleted,
        len(segments),
        len(ledger.removed_ids),
    )
    table = (
        _SEGMENT.pack(each.number, each.first_id, each.size, each.items, each.bytes, each.compacted)
        for each in segments
    )
    ranges = (_RANGE.pack(*each) for each in ledger.removed_ids)
    facts = (
        _FACTS.pack(item_id, each.due_ms, each.deliveries, each.front)
        for item_id, each in ledger.facts.items()
    )
    count = _COUNT.pack(len(ledger.facts))
    first_id = _FIRST_ID.pack(ledger.first_id)
    tokens = b"" if ledger.tokens is None else ledger.tokens.pack()
    paused = _PAUSED.pack(ledger.paused_ms) if ledger.paused_ms or tokens else b""
    return b"".join((fixed, *table, *ranges, count, *facts, first_id, paused, tokens))


def decode(data: memoryview, version: int = VERSION) -> Checkpoint | None:
    """Read a payload back; ``None`` if it is none, which the checksum all but rules out."""
    if len(data) < _FIXED.size:
        return None
    previous_end, head, next_id, items, size, deleted, segments, ranges = _FIXED.unpack_from(data)
    table_end = _FIXED.size + segments * _SEGMENT.size
    ranges_end = table_end + ranges * _RANGE.size
    found = _decode_facts(data[ranges_end:], version) if len(data) >= ranges_end else None
    if found is None:
        return None
    facts, rest = found
    first_id, paused_ms = 1, 0
    if version >= 4:
        if len(rest) < _FIRST_ID.size:
            return None
        (first_id,) = _FIRST_ID.unpack_from(rest)
        rest = rest[_FIRST_ID.size :]
    tokens = b""
    if version >= 5 and len(rest) % ENTRY_SIZE == _PAUSED.size:
        (paused_ms,) = _PAUSED.unpack_from(rest)
        tokens = bytes(rest[_PAUSED.size :])
    elif len(rest):
        return None
    table = [
        Segment(number, "", first_id, length, live, live_bytes, bool(compacted))
        for number, first_id, length, live, live_bytes, compacted in _SEGMENT.iter_unpack(
            data[_FIXED.size : table_end]
        )
    ]
    removed_ids = IdRanges(_RANGE.iter_unpack(data[table_end:ranges_end]))
    ledger = Ledger(table, head, removed_ids, next_id, items, size, bool(deleted), facts, first_id)
    ledger.paused_ms = paused_ms
    ledger.tokens = Tokens(tokens) if tokens else None
    return Checkpoint(previous_end, ledger)


def _decode_facts(data: memoryview, version: int) -> tuple[dict[int, Facts], memoryview] | None:
    """Return the facts at the beginning of ``data``, and what is behind them."""
    if version < 3:
        return {}, data
    if len(data) < _COUNT.size:
        return None
    (count,) = _COUNT.unpack_from(data)
    end = _COUNT.size + count * _FACTS.size
    if len(data) < end:
        return None
    facts = {
        item_id: Facts(deliveries, due_ms, bool(front))
        for item_id, due_ms, deliveries, front in _FACTS.iter_unpack(data[_COUNT.size : end])
    }
    return facts, data[end:]
