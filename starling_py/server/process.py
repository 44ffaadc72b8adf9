"""The process that a server is: its limits, its umask, what it has used.

All of this is set up before trio starts, and none of it can hold the server up.
"""

import contextlib
import ctypes
import gc
import os
import resource
from collections.abc import Callable, Iterator
from typing import Final

_UMASK = 0o027
_YOUNG: Final = 10_000
"""New objects after which the collector looks at them, for less than a millisecond."""
_NEVER: Final = 1 << 30
"""Looks at young objects, or at older ones, after which it looks at older ones still."""

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
"""The names of two settings of ``mallopt``, as glibc's malloc.h has them."""
_KEPT: Final = 1 << 24
"""Bytes at the end of the memory that are kept when they are freed."""
_LARGE_BLOCK: Final = 1 << 22
"""Bytes of a block that is the system's own affair: it is given back as soon as it is freed."""


def settle() -> None:
    """Make the process one that does not depend on who started it.

    The modes of files and folders do not depend on the umask, and there may be as many open files
    as the system allows.
    """
    os.umask(_UMASK)
    raise_file_limit()


@contextlib.contextmanager
def without_collector() -> Iterator[None]:
    """Let Python's collector rest within the ``with`` block.

    Nothing of what a start reads back is garbage, and looking at all of it again and again takes
    half of the time of a start with 20,000 queues.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def collect_only_the_young() -> None:
    """Have Python's collector look at new objects only, some thousands at a time.

    What clients leave behind is freed without it. A look at all objects would keep everybody
    waiting for as long as there are many: 0.1 s for 10,000 queues, and more for many items.
    """
    gc.freeze()
    gc.set_threshold(_YOUNG, _NEVER, _NEVER)


def look_at_the_young() -> None:
    """Have Python's collector look at what is new: call this now and then.

    It counts how many more objects there are than when it looked last, so while old ones go as new
    ones come, as in a queue whose length stays the same, the new ones become as many as there are,
    and are all looked at in one go when the queue grows again.
    """
    gc.collect(0)


def keep_freed_memory() -> None:
    """Have the C library keep some memory that was freed, for what comes next.

    By default glibc gives it back as soon as an eighth of a megabyte is free at the end, until it
    has once seen a larger block than that come and go. So each turn that sends large items would
    have the system clear the same pages again: gets of 100 KiB took a fifth longer. What is freed
    beyond this is still given back, at once or by ``give_memory_back``.
    """
    if _SET is not None:
        _SET(_MMAP_THRESHOLD, _LARGE_BLOCK)
        _SET(_TRIM_THRESHOLD, _KEPT)


def usage() -> tuple[int, float, float]:
    """Return the process id and its seconds of CPU time, outside of the kernel and inside."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return os.getpid(), used.ru_utime, used.ru_stime


def resident() -> int | None:
    """Return how many bytes of memory the process has, where the system tells."""
    try:
        descriptor = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return int(os.read(descriptor, 256).split()[1]) * os.sysconf("SC_PAGE_SIZE")
        finally:
            os.close(descriptor)
    except (OSError, ValueError, IndexError):
        return None


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


def _of_glibc(name: str) -> Callable[..., int] | None:
    """Return a function that glibc has; ``None`` elsewhere."""
    try:
        found: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError, TypeError):
        return None
    return found


_TRIM = _of_glibc("malloc_trim")
_SET = _of_glibc("mallopt")


def file_limit() -> int:
    """Return how many files this process may have open."""
    return _as_number(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def most_files() -> int:
    """Return how many files this process may have open once it has settled."""
    return _as_number(resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def _as_number(limit: int) -> int:
    return limit if limit != resource.RLIM_INFINITY else 1 << 20
