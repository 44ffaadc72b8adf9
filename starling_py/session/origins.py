"""Where items came from, as clients are told of it; every word is one token."""

from collections.abc import Callable
from typing import Final

from starling_py.journal.format.record import Item, MarkedItem
from starling_py.stats import one_token

_NOWHERE: Final = (b"-", b"-")
_HIDDEN: Final = b"?"
"""Stands for a queue that the client may not know of."""


MayTell = Callable[[bytes], bool] | None
"""Tells whether the client may know of a queue; ``None`` if it may know of all."""


def where_and_why(item: Item, may_tell: MayTell = None) -> tuple[bytes, bytes]:
    """Return the queue that an item came from, and the reason; dashes if it was not moved."""
    origin = item.origin if type(item) is MarkedItem else None
    if origin is None:
        return _NOWHERE
    return _told(origin.source, may_tell), origin.why.encode()


def in_a_word(item: Item, may_tell: MayTell = None) -> bytes:
    """Return where an item came from, why, when, where it was put first, when, and its deliveries.

    The deliveries are those before it came.

    The parts are separated by slashes, which no name has; the times are in milliseconds since the
    Unix epoch. A dash stands for an item that was not moved.
    """
    origin = item.origin if type(item) is MarkedItem else None
    if origin is None or type(item) is not MarkedItem:
        return b"-"
    names = _told(origin.source, may_tell), _told(origin.first, may_tell)
    return b"%b/%b/%d/%b/%d/%d" % (
        names[0],
        origin.why.encode(),
        origin.moved_ms,
        names[1],
        origin.put_ms,
        item.deliveries,
    )


def _told(name: bytes, may_tell: MayTell) -> bytes:
    return one_token(name) if may_tell is None or may_tell(name) else _HIDDEN
