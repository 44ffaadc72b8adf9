"""The signals of the process, taken by a thread of their own.

While a server runs, every thread holds its signals back, and this thread waits for them: so they
interrupt nothing, however many come, and the same signal sent again before it was taken is one.
Python's own handlers would not do: they run in the midst of whatever the main thread does, also
in the midst of each other, until the stack is full. Invariant: once ``hold`` was called in the main
thread, no signal ends the process, which does so by itself, with its exit code.
"""

import contextlib
import functools
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Final

from starling_py.guard import Guard
from starling_py.server.errors import StartStoppedError

_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)
_OTHERS: Final = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def hold_others() -> None:
    """Hold back what does not stop a server: it may still start, or have begun to stop."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _OTHERS)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)


def hold() -> None:
    """Hold back all signals that mean something to a server, until it takes them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (*_STOPPING, *_OTHERS))


@contextlib.contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the body, wherever it is, by raising ``StartStoppedError`` there.

    This is for reading the queues back, which may be ended anywhere.
    """

    def stop(*_: object) -> None:
        hold()  # once is enough
        raise StartStoppedError(
            "SIGTERM: stopped before the queues were read back; nothing was lost"
        )

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Signals:
    """The thread that takes the signals: SIGUSR1 from the start on, the others with ``obey``."""

    def __init__(self, reopen_log: Callable[[], None]) -> None:
        """Start the thread; the process must not fork afterwards."""
        self._calls: dict[int, Callable[[], None]] = {
            signal.SIGUSR1: reopen_log,
            signal.SIGUSR2: lambda: None,  # also wakes the thread
        }
        self._guard = Guard()
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name="signals", daemon=True)
        self._thread.start()

    def obey(self, stop: Callable[[str], None], reload: Callable[[], None]) -> None:
        """From now on, call ``stop`` with a signal's name to stop, and ``reload`` on SIGHUP.

        What was held back until now is obeyed, too. Both are called in the thread.
        """
        self._calls[signal.SIGHUP] = reload
        for number in _STOPPING:
            self._calls[number] = functools.partial(stop, number.name)
        self._wake()

    def end(self) -> None:
        """End the thread; signals that come later are held back for ever."""
        self._is_over = True
        self._wake()
        self._thread.join()

    def _wake(self) -> None:
        if self._thread.ident is not None:
            signal.pthread_kill(self._thread.ident, signal.SIGUSR2)

    def _run(self) -> None:
        hold()
        while not self._is_over:
            try:
                self._calls[self._next()]()
            except Exception:  # the next signal may be the one to stop
                self._guard.caught("a signal")

    def _next(self) -> int:
        """Wait for a signal, and take it; those that stop come before what else is held back.

        The system itself gives the lowest number first, which whoever sends that one without end
        could keep it at.
        """
        stopping = signal.sigpending() & self._calls.keys() & set(_STOPPING)
        return signal.sigwait(stopping or self._calls.keys())
