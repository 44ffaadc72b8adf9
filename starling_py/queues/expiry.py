"""When an item dies: memcached's rule for the number that clients call exptime."""

import logging

from starling_py.keys import printable

log = logging.getLogger(__name__)

RELATIVE_LIMIT = 2_592_000
"""Thirty days in seconds: up to here the number counts from now (memcached's protocol.txt)."""

_MINUS_ONE_UNSIGNED = (2**32 - 1, 2**64 - 1)
"""How libraries without signed numbers send -1, as Django's ``timeout=0`` through libmemcached."""
PLAINLY_MS = 10**11
"""What no client means in seconds: that would be the year 5138. In milliseconds it is 1973."""
_LONG_AGO = 1
_FOR_EVER = 2**63 - 1


def expiry_ms(exptime: int, now_ms: int, name: bytes = b"") -> int:
    """Return when an item dies, in milliseconds since the Unix epoch; 0 for never.

    ``exptime`` is 0 for never, up to ``RELATIVE_LIMIT`` seconds from now, above it a Unix time in
    seconds; a negative one means dead on arrival. ``name`` is that of the queue, for the log.
    """
    if exptime == 0:
        return 0
    if exptime < 0 or exptime in _MINUS_ONE_UNSIGNED:
        return _LONG_AGO
    if exptime >= PLAINLY_MS:
        warn_of_milliseconds(exptime, f"queue {printable(name)}")
    return min(exptime * 1000 + (now_ms if exptime <= RELATIVE_LIMIT else 0), _FOR_EVER)


def reckoned(exptime: int, now_ms: int) -> tuple[float, int]:
    """Return in how many seconds the time comes that an exptime above 0 names, by the same rule.

    The second number is the moment of the wall clock that it names, in milliseconds since the Unix
    epoch; 0 if it counts from now.
    """
    if exptime <= RELATIVE_LIMIT:
        return float(exptime), 0
    return max(0.0, exptime - now_ms / 1000), exptime * 1000


def warn_of_milliseconds(exptime: int, whose: str) -> None:
    """Log a number of seconds that is plainly one of milliseconds, or of something smaller yet."""
    text = "%s: an expiry of %d seconds is after the year 5000; are milliseconds meant?"
    log.warning(text, whose, exptime)
