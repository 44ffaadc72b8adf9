"""The look at all queues, once a second, for all who watch the page; none while nobody does."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import trio

from starling_py.guard import Guard
from starling_py.http.survey import Survey

EVERY: Final = 1.0
"""Seconds from one look to the next."""
SLICE: Final = 0.002
"""Seconds of a look in one go."""


class Watching:
    """Those who watch, and the looks for them."""

    def __init__(
        self, survey: Survey, turn: trio.Lock, guard: Guard, now: Callable[[], float]
    ) -> None:
        """``turn`` is held for each piece of work; ``now`` returns seconds, monotonic."""
        self._survey = survey
        self._turn = turn
        self._guard = guard
        self._now = now
        self.watchers = 0
        """How many watch."""
        self._wanted = trio.Event()
        self._looked = trio.Event()

    @contextmanager
    def watcher(self) -> Iterator[None]:
        """Have looks done within the ``with`` block."""
        self.watchers += 1
        self._wanted.set()
        try:
            yield
        finally:
            self.watchers -= 1

    async def next_look(self) -> None:
        """Return when the next look is done."""
        await self._looked.wait()

    async def run(self) -> None:
        """Look once a second while somebody watches."""
        while True:
            if not self.watchers:
                self._survey.forget()
                self._wanted = trio.Event()
                await self._wanted.wait()
            began = trio.current_time()
            try:
                await self._look()
            except Exception:
                self._guard.caught("a look at the queues")
                self._survey.forget()
            looked, self._looked = self._looked, trio.Event()
            looked.set()
            await trio.sleep_until(max(began + EVERY, trio.current_time() + EVERY / 2))

    async def _look(self) -> None:
        steps = self._survey.look()
        done = False
        while not done:
            async with self._turn:
                until = self._now() + SLICE
                done = True
                for _ in steps:
                    if self._now() >= until:
                        done = False
                        break
