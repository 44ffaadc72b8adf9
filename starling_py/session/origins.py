"""Where items came from, as clients are told of it; every word is one token."""

from typing import Final

from starling_py.journal.format.record import Item, MarkedItem
from starling_py.stats import one_token

_NOWHERE: Final = (b"-", b"-")


def where_and_why(item: Item) -> tuple[bytes, bytes]:
    """Return the queue that an item came from, and the reason; dashes if it was not moved."""
    origin = item.origin if type(item) is MarkedItem else None
    if origin is None:
        return _NOWHERE
    return one_token(origin.source), origin.why.encode()


def in_a_word(item: Item) -> bytes:
    """Return where an item came from, why, when, where it was put first, when, and its deliveries.

    The deliveries are those before it came.

    The parts are separated by slashes, which no name has; the times are in milliseconds since the
    Unix epoch. A dash stands for an item that was not moved.
    """
    origin = item.origin if type(item) is MarkedItem else None
    if origin is None or type(item) is not MarkedItem:
        return b"-"
    names = one_token(origin.source), one_token(origin.first)
    return b"%b/%b/%d/%b/%d/%d" % (
        names[0],
        origin.why.encode(),
        origin.moved_ms,
        names[1],
        origin.put_ms,
        item.deliveries,
    )
