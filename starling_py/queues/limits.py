"""Whether a put is accepted: the limits of queues, and of the server as a whole.

Nothing is changed here; where a check tells that room has to be made, ``delivery`` makes it.
"""

from dataclasses import dataclass

from starling_py.queues.errors import NotNowRefused, QueueFullRefused, TooLargeRefused
from starling_py.queues.persistent_queue import PersistentQueue


@dataclass
class ServerLimits:
    """Whether the server accepts puts at all, beside the limits of each queue."""

    draining: bool = False
    """Whether no puts are accepted, so that the queues run empty."""
    disk_low: bool = False
    """Whether less of the disk is free than ``disk_free_min``."""
    memory_high: bool = False
    """Whether the items in memory take more than ``memory_max``."""

    @property
    def closed(self) -> bool:
        """Whether no puts are accepted."""
        return self.draining or self.disk_low or self.memory_high

    def check(self) -> None:
        """Raise ``NotNowRefused`` if no puts are accepted."""
        if self.draining:
            raise NotNowRefused("draining: no puts are accepted")
        if self.disk_low:
            raise NotNowRefused("too little of the disk is free")
        if self.memory_high:
            raise NotNowRefused("the items in memory take more than memory_max")


def check(queue: PersistentQueue, size: int) -> bool:
    """Tell whether room has to be made for an item of ``size`` bytes.

    Raises ``TooLargeRefused`` or ``QueueFullRefused`` if the queue does not accept it.
    """
    settings = queue.settings
    if settings.max_item_size is not None and size > settings.max_item_size:
        raise TooLargeRefused("object too large for cache")
    if settings.max_bytes is not None and size > settings.max_bytes:
        raise TooLargeRefused("object too large for cache")  # waiting for room would be in vain
    full = is_full(queue, size)
    if full and not _can_make_room(queue, size):
        raise QueueFullRefused(queue.name)
    return full


def check_moved(queue: PersistentQueue, size: int) -> bool:
    """Tell whether room has to be made for an item of ``size`` bytes that is moved into a queue.

    An empty queue accepts any, even one larger than ``max_bytes``: it could never be moved
    otherwise. Raises ``QueueFullRefused`` if the queue does not accept it now.
    """
    if not is_full(queue, size) or not queue.items:
        return False
    settings = queue.settings
    if settings.discard_old_when_full and _can_make_room(queue, size):
        return True
    raise QueueFullRefused(queue.name)


def is_full(queue: PersistentQueue, size: int) -> bool:
    """Tell whether an item of ``size`` bytes would exceed a limit of its queue.

    Open items do not count as items (Kestrel's rule), but their bytes do.
    """
    settings = queue.settings
    if settings.max_items is not None and len(queue) >= settings.max_items:
        return True
    return settings.max_bytes is not None and queue.bytes + size > settings.max_bytes


def _can_make_room(queue: PersistentQueue, size: int) -> bool:
    """Tell whether dropping items that wait makes enough room; open and delayed ones stay."""
    settings = queue.settings
    if not settings.discard_old_when_full:
        return False
    if settings.max_items is not None and queue.waiting.set_aside.delayed >= settings.max_items:
        return False
    return settings.max_bytes is None or queue.kept_bytes + size <= settings.max_bytes
