"""The settings of one queue, in one table.

Every default means no limit, or that nothing special happens. ``queue_table`` finds which queue
gets which values; nothing here knows a file, a client or a queue's items.
"""

from typing import Final

import attrs

from starling_py.settings.kinds import COUNT, FLAG, ITEM_SIZE, QUEUE, SPAN, setting, table, whole

_ITEMS: Final = whole(1, 1_000_000_000, "a whole number from 1 to 1000000000")
_MILLISECONDS: Final = whole(0, 2**31 - 1, "a whole number of milliseconds from 0 to 2147483647")
_BYTES: Final = whole(1, 1 << 40, "bytes from 1 to 1024g, such as 64m", "[kmg]?")


@attrs.frozen(kw_only=True)
class QueueSettings:
    """All settings of a queue, every value judged; names of queues are bytes.

    Sizes are in bytes, times in seconds; those of ``default_wait`` and ``max_wait`` are in
    milliseconds, as in ``/t=``. Arguments take what a file may have (``max_bytes="64m"``) as well
    as what the fields then hold. A wrong one raises ``ValueError``, and so does one of
    ``max_deliveries`` and ``dead_letter`` without the other: an item that was delivered too often
    would have nowhere to go. The declaration of each field has its meaning and its default.
    """

    # fmt: off
    max_items: int | None = setting("Limits", None, _ITEMS,
        "Items that the queue may hold; a put beyond is refused", limits_puts=True)
    max_bytes: int | None = setting("Limits", None, _BYTES,
        "Data of all its items together; a put beyond is refused",
        alias="max_size", limits_puts=True)
    max_item_size: int | None = setting("Limits", None, ITEM_SIZE,
        "Largest data of one item, where it is to be less than item_size_max", limits_puts=True)
    discard_old_when_full: bool = setting("Limits", False, FLAG,
        "At a limit, drop the oldest items instead of refusing the put")
    max_age: float | None = setting("Expiry", None, SPAN,
        "Longest life of an item, also of one put with a later expiry or none", limits_puts=True)
    ignore_client_expiry: bool = setting("Expiry", False, FLAG,
        "Items live as if put without expiry, for clients that send one unasked", limits_puts=True)
    expire_to: bytes | None = setting("Expiry", None, QUEUE,
        "Queue that expired items are moved to; without it they are dropped",
        alias="move_expired_to")
    max_deliveries: int | None = setting("Deliveries", None, COUNT,
        "Deliveries of an item after which it is moved to dead_letter")
    dead_letter: bytes | None = setting("Deliveries", None, QUEUE,
        "Queue for items that were delivered max_deliveries times in vain")
    open_timeout: float | None = setting("Deliveries", None, SPAN,
        "Time after which an item that was opened and not closed comes back")
    max_open_reads: int = setting("Deliveries", 100, COUNT,
        "Items of the queue that one connection may have open")
    close_by_id: bool = setting("Deliveries", False, FLAG,
        "Refuse a close or abort without an item's id where several reads are open")
    default_wait: int = setting("Waiting", 0, _MILLISECONDS,
        "Milliseconds that a get waits for an item if its key has no /t=")
    max_wait: int | None = setting("Waiting", None, _MILLISECONDS,
        "Milliseconds that a get or a put may wait at most, whatever its /t= says")
    once_window: float = setting("Once", 600, SPAN,
        "Time for which a put with a token that was seen is not stored again")
    once_limit: int = setting("Once", 100_000, COUNT,
        "Tokens that are remembered; beyond, the oldest are forgotten")
    fanout_only: bool = setting("Life", False, FLAG,
        "Keep nothing here: a put goes only to the children, queue+child", limits_puts=True)
    journal: bool = setting("Life", True, FLAG,
        "Keep the items on disk; if false, in memory only, and lost with the process")
    idle_expire: float | None = setting("Life", None, SPAN,
        "Time without use after which an empty queue is deleted")
    paused: bool = setting("Life", False, FLAG,
        "Answer reads as if the queue were empty; puts go on")
    refuse_delete: bool = setting("Life", False, FLAG,
        "Answer deletes as if there were no queue, for clients that send one unasked")
    # fmt: on

    def __attrs_post_init__(self) -> None:
        if (self.max_deliveries is None) != (self.dead_letter is None):
            raise ValueError("max_deliveries and dead_letter need each other")

    def bounded_wait(self, wait_ms: int) -> int:
        """Return how many of the milliseconds that a client wants to wait it may."""
        return wait_ms if self.max_wait is None else min(wait_ms, self.max_wait)


QUEUE_TABLE: Final = table(QueueSettings)
"""Every setting of a queue, in the order of documentation."""

_LIMITS: Final = tuple(each for each in QUEUE_TABLE if each.limits_puts)


def limits_puts(settings: QueueSettings) -> bool:
    """Tell whether the settings of a queue can have a put refused or changed."""
    return any(getattr(settings, each.name) != each.default for each in _LIMITS)
