"""The process that a server is: its signals, its limits, its umask, what it has used.

All of this is set up before trio starts, and none of it can hold the server up.
"""

import contextlib
import ctypes
import os
import resource
import signal
from collections.abc import Callable, Iterator

from starling_py.server.errors import StartStoppedError

_UMASK = 0o027


STOPPING = (signal.SIGTERM, signal.SIGINT)
"""The signals that stop a server."""
HANDLED = (*STOPPING, signal.SIGHUP)
"""The signals that a server handles in its turn; SIGUSR1 needs none."""


def settle() -> None:
    """Make the process one that does not depend on who started it.

    The modes of files and folders do not depend on the umask, and there may be as many open files
    as the system allows. SIGUSR1 and SIGUSR2 do not end it, nor does a SIGHUP before it serves.
    """
    os.umask(_UMASK)
    raise_file_limit()
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)


def on_reopen(reopen: Callable[[], None]) -> None:
    """Call a function on SIGUSR1, from now on until the process ends.

    It is called between any two steps of the main thread, so it must take no lock.
    """
    signal.signal(signal.SIGUSR1, lambda *_: reopen())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])


def outlive_signals() -> None:
    """Let no signal that a server handles end the process before or after it handles them.

    What is held back then still reaches the server: a signal that is ignored would be lost.
    """
    for number in HANDLED:
        signal.signal(number, lambda *_: None)


def ignore_signals() -> None:
    """Let no signal end the process, which does so by itself, with its exit code.

    Python gives up its own handlers before it ends, so they would not do.
    """
    for number in (*HANDLED, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the body, wherever it is, by raising ``StartStoppedError`` there.

    This is for reading the queues back, which may be ended anywhere.
    """

    def stop(*_: object) -> None:
        raise StartStoppedError(
            "SIGTERM: stopped before the queues were read back; nothing was lost"
        )

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def hold_signals() -> None:
    """Let the signals that a server handles wait until ``take_signals``."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)


def take_signals() -> None:
    """Deliver the signals that were held back; call this when there are handlers."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)


def usage() -> tuple[int, float, float]:
    """Return the process id and its seconds of CPU time, outside of the kernel and inside."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return os.getpid(), used.ru_utime, used.ru_stime


def raise_file_limit() -> None:
    """Allow this process as many open files as the system lets it have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def give_memory_back() -> None:
    """Give the system the memory that was freed, where the C library keeps it for itself.

    After many large blocks came and went, glibc keeps what lies between those that are left: it
    could be used again, but for all who look at the process it is taken.
    """
    if _TRIM is not None:
        _TRIM(0)


def _trim() -> Callable[[int], int] | None:
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None
    return trim


_TRIM = _trim()
"""glibc's ``malloc_trim``; ``None`` elsewhere."""


def file_limit() -> int:
    """Return how many files this process may have open."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return limit if limit != resource.RLIM_INFINITY else 1 << 20
