"""The time, read once a turn: all that happens in a turn happens at one moment.

The synchronous core never reads the system's clocks: it looks at a ``Clock``, whose two readings
stand still until the server calls ``refresh``. Expiry and age go by the wall clock, waits, leases
and intervals by the monotonic one, so a jump of the wall clock changes neither order nor waiting.
What was reckoned from a moment of the wall clock, such as the end of a delay, goes by both.
"""

import time

from mypy_extensions import mypyc_attr


@mypyc_attr(allow_interpreted_subclasses=True)
class Clock:
    """The two readings; a test's clock sets them itself instead of calling ``refresh``."""

    def __init__(self) -> None:
        self.wall_ms = 0
        """Milliseconds since the Unix epoch."""
        self.monotonic = 0.0
        """Seconds since some moment, never going back."""
        self.refresh()

    def refresh(self) -> None:
        """Read the system's clocks."""
        self.wall_ms = time.time_ns() // 1_000_000
        self.monotonic = time.monotonic()

    def now(self) -> float:
        """Return what the monotonic clock shows by now, to see how long a turn has taken."""
        return time.monotonic()
