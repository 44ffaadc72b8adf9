"""How the tick waits for more to do: it looks again, then sleeps, then leaves it to trio.

To fall asleep and be woken takes longer than most requests, and the client waits meanwhile. So
where the next request comes sooner than that, as from a lone client, the tick does not sleep but
looks again and again, and offers the processor to others between two looks. ``Backoff`` keeps
count of whether that pays: where it does not, it is hardly ever done.
"""

import os
import time
from collections.abc import Callable
from typing import Final

from starling_py.server.backoff import Backoff
from starling_py.server.readiness import Readiness, Ready

LOOK: Final = 0.0001
"""Seconds of looking after which sleeping would have been better. A lone client's next request
comes within about half of that, if it is on the same machine (measured)."""
STAY: Final = 0.001
"""Seconds that the tick sleeps by itself before it leaves the waiting to trio, which costs as much
as several requests."""


class IdleWait:
    """Waits for what is ready."""

    def __init__(
        self,
        readiness: Readiness,
        now: Callable[[], float] = time.perf_counter,
        offer: Callable[[], None] = os.sched_yield,
    ) -> None:
        """``now`` returns seconds; ``offer`` offers the processor to other processes."""
        self._ready = readiness.ready
        self._now = now
        self._offer = offer
        self._looking = Backoff()

    def wait(self) -> Ready:
        """Return what is ready, after waiting a moment for the first of it; perhaps nothing."""
        if self._looking.is_due():
            return self._ready() or self._look() or self._ready(STAY)
        return self._ready(STAY)

    def _look(self) -> Ready:
        """Look until something is ready or ``LOOK`` is over; note whether that paid.

        It pays only if something came, and soon. If nothing came, the time was wasted. If
        something came after a longer time, the processor was away: ``offer`` gave it to a process
        that kept it, perhaps to the very client whose request this is. Looking would take it from
        those who need it, so such a look counts as one that did not pay, though it found something.
        """
        begun = self._now()
        while True:
            self._offer()
            ready = self._ready()
            paid = self._now() - begun < LOOK
            if ready or not paid:
                break
        self._looking.note(paid=paid)
        return ready
