"""When an item dies: memcached's rule for the number that clients call exptime."""

RELATIVE_LIMIT = 2_592_000
"""Thirty days in seconds: up to here the number counts from now (memcached's protocol.txt)."""

_MINUS_ONE_UNSIGNED = (2**32 - 1, 2**64 - 1)
"""How libraries without signed numbers send -1, as Django's ``timeout=0`` through libmemcached."""
_LONG_AGO = 1
_FOR_EVER = 2**63 - 1


def expiry_ms(exptime: int, now_ms: int) -> int:
    """Return when an item dies, in milliseconds since the Unix epoch; 0 for never.

    ``exptime`` is 0 for never, up to ``RELATIVE_LIMIT`` seconds from now, above it a Unix time in
    seconds; a negative one means dead on arrival.
    """
    if exptime == 0:
        return 0
    if exptime < 0 or exptime in _MINUS_ONE_UNSIGNED:
        return _LONG_AGO
    return min(exptime * 1000 + (now_ms if exptime <= RELATIVE_LIMIT else 0), _FOR_EVER)
