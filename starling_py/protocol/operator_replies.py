"""The replies to commands of operators that no other command has."""

from starling_py.protocol.writer import Shown


def item_line(
    item: Shown,
    now_ms: int,
    state: str,
    due_ms: int,
    deliveries: int,
    origin: bytes = b"-",
    reason: bytes = b"-",
) -> bytes:
    """Return the line that tells of one item without its data.

    Times are in milliseconds: ``now_ms`` and ``due_ms`` since the Unix epoch, 0 for at once. Every
    word is one token.
    """
    return b"ITEM %d %d %d %d %b %d %d %d %b %b\r\n" % (
        item.id,
        len(item.data),
        item.flags,
        max(0, now_ms - item.added_ms),
        state.encode(),
        due_ms,
        item.expiry_ms,
        deliveries,
        origin,
        reason,
    )
