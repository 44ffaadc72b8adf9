"""Why a queue does not do what it was asked for: a rule forbids it, or it has to read first."""

from collections.abc import Callable

from starling_py.journal.errors import JournalError


class QueueRefused(Exception):
    """The queues' rules forbid it; the text says why, and is fit for a client."""


class QueueFullRefused(QueueRefused):
    """A queue is at its limit."""

    def __init__(self, name: bytes) -> None:
        super().__init__("the queue is full")
        self.name = name
        """The queue that is full."""


class TooLargeRefused(QueueRefused):
    """An item is larger than its queue takes."""


class NotNowRefused(QueueRefused):
    """The server takes nothing for now, or no more of it."""


class NotLoaded(Exception):
    """A signal, and no error: what was asked for has to be read from disk first.

    Nothing was changed. Ask again when the function that was given to ``when_loaded`` is called;
    it gets the reason if nothing could be read, and ``None`` otherwise.
    """

    def __init__(
        self, when_loaded: Callable[[Callable[[JournalError | None], None]], None]
    ) -> None:
        super().__init__("not loaded")
        self.when_loaded = when_loaded
