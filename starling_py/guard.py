"""The guard: what it catches ends no more than what it belongs to.

Whoever does something for everybody (commits, runs what is due, keeps house) catches what is
raised by one part of it, says so here, and goes on with the others. Each error is counted, and
logged with its traceback, though not over and over. Nothing here raises, even out of memory.
"""

import contextlib
import logging
import time
from collections.abc import Callable
from typing import Final

log = logging.getLogger(__name__)

APART: Final = 1.0
"""Seconds from one line in the log to the next about errors in the same thing."""


class Guard:
    """The errors that were caught, and when each kind of them was last told of."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """``now`` returns seconds."""
        self._now = now
        self._silent_until: dict[str, float] = {}
        self._untold = 0
        self.errors = 0
        """Errors caught since the server started."""

    def caught(self, what: str) -> None:
        """Count the exception that is being handled, and log that it was met in ``what``.

        ``what`` is one of a few texts: it never has a client's word in it.
        """
        self.errors += 1
        with contextlib.suppress(Exception):
            now = self._now()
            if now < self._silent_until.get(what, now):
                self._untold += 1
                return
            self._silent_until[what] = now + APART
            untold, self._untold = self._untold, 0
            more = f" ({untold} more since the last line)" if untold else ""
            log.exception("error in %s; the server goes on%s", what, more)
