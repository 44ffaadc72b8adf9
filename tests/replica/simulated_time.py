"""An event loop whose time passes at once: where nobody is busy, it is the next moment."""

import asyncio
import random
import selectors
from collections.abc import Callable, Coroutine
from typing import Any


class _Nobody(selectors.SelectSelector):
    """A selector that finds nothing, and lets time pass instead of waiting."""

    def __init__(self, passed: Callable[[float], None]) -> None:
        super().__init__()
        self._passed = passed

    def select(self, timeout: float | None = None) -> list[Any]:
        assert timeout is not None, "everybody waits for somebody else"
        self._passed(max(timeout, 0.0))
        return []


class SimulatedLoop(asyncio.SelectorEventLoop):
    """The loop of all servers and clients of one simulation."""

    def __init__(self) -> None:
        self._time = 1000.0
        super().__init__(_Nobody(self._pass))

    def time(self) -> float:
        return self._time

    def _pass(self, seconds: float) -> None:
        self._time += seconds

    def _write_to_self(self) -> None:
        """Do nothing: nobody waits for what another thread could say."""


def simulate(main: Coroutine[Any, Any, None], seed: int) -> None:
    """Run until it is over; whoever asks for chance gets that of the seed."""
    random.seed(seed)
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        runner.run(main)
