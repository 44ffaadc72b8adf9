"""What happened to the items of one queue, as its commits make it final."""


class Counts:
    """What records of its journal did to a queue's items since the server started.

    A commit that fails takes its records back, and with them what they were counted for.
    """

    def __init__(self) -> None:
        self.get_hits = 0
        """Items handed out."""
        self.expired = 0
        """Items found dead."""
        self.discarded = 0
        """Items dropped to make room for newer ones."""
        self.flushes = 0
        self.last_wait = 0
        """How long the item handed out last had waited, in milliseconds; below 0 if the wall clock
        was set back meanwhile."""
        self.last_put_ms = 0
        """When an item was last put, in Unix milliseconds; 0 if not since the start."""
        self.last_get_ms = 0
        """When an item was last taken or opened, likewise."""

    def copy_from(self, other: "Counts") -> None:
        """Copy the numbers of ``other``."""
        self.get_hits = other.get_hits
        self.expired = other.expired
        self.discarded = other.discarded
        self.flushes = other.flushes
        self.last_wait = other.last_wait
        self.last_put_ms = other.last_put_ms
        self.last_get_ms = other.last_get_ms
