"""Why a queue does not do what was asked: a rule forbids it, or it has to read from disk first."""

from collections.abc import Callable

from starling_py.journal.errors import JournalError


class QueueRefused(Exception):
    """The rules forbid it; the text says why, and is fit for a client."""


class QueueFullRefused(QueueRefused):
    """A queue is at its limit."""

    def __init__(self, name: bytes) -> None:
        super().__init__("the queue is full")
        self.name = name
        """The queue that is full."""


class TooLargeRefused(QueueRefused):
    """An item is larger than its queue accepts."""


class NotNowRefused(QueueRefused):
    """The server accepts no puts for now, or there are as many queues as there may be."""


class NotLoaded(Exception):
    """A signal, and no error: what was asked for has to be read from disk first.

    Nothing was changed. Give ``when_loaded`` a function: it is called when to ask again, with
    ``None``, or with the reason if nothing could be read.
    """

    def __init__(
        self, when_loaded: Callable[[Callable[[JournalError | None], None]], None]
    ) -> None:
        super().__init__("not loaded")
        self.when_loaded = when_loaded


class NotSwept(NotLoaded):
    """The same signal, where too many dead items stand before the first live one."""
