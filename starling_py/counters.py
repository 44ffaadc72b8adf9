"""What only ever counts up while the server runs.

Every command and every byte is counted here, so counting is an addition and nothing more.
"""

from dataclasses import dataclass, fields


@dataclass
class Counters:
    """Counts since the server started, or since ``stats reset``."""

    total_items: int = 0
    """Items stored."""
    cmd_get: int = 0
    """Keys asked for; hits and misses together."""
    cmd_set: int = 0
    """Storage commands."""
    cmd_flush: int = 0
    cmd_touch: int = 0
    cmd_peek: int = 0
    """Keys looked at without taking."""
    get_hits: int = 0
    get_misses: int = 0
    delete_hits: int = 0
    delete_misses: int = 0
    touch_hits: int = 0
    touch_misses: int = 0
    incr_misses: int = 0
    decr_misses: int = 0
    cas_misses: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    total_connections: int = 0
    rejected_connections: int = 0
    """Connections closed at once because there were as many as the server takes."""
    idle_kicks: int = 0
    """Connections closed because they were idle for longer than ``timeout``."""
    store_too_large: int = 0
    """Items refused because they were larger than ``item_size_max``."""
    protocol_errors: int = 0
    """Commands answered with an error because they were wrong."""
    noreply_errors: int = 0
    """Commands that failed without anybody being told, because the client wanted no reply."""
    session_errors: int = 0
    """Sessions ended by an error in the server; each is in the log with its traceback."""

    def count_miss(self, word: str) -> None:
        """Count a command that found nothing to change: incr or decr."""
        name = f"{word}_misses"
        setattr(self, name, getattr(self, name) + 1)

    def reset(self) -> None:
        """Begin to count anew."""
        for each in fields(Counters):
            setattr(self, each.name, 0)
