"""Why a queue does not do what it was asked for, though nothing is broken."""


class Refused(Exception):
    """The queues' rules forbid it; the text says why, and is fit for a client."""


class Full(Refused):
    """A queue is at its limit."""

    def __init__(self, name: bytes) -> None:
        super().__init__("the queue is full")
        self.name = name
        """The queue that is full."""


class TooLarge(Refused):
    """An item is larger than its queue takes."""


class NotNow(Refused):
    """The server takes nothing for now, or no more of it."""
