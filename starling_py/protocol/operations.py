"""What operators ask for: commands about queues that no ordinary client needs.

They are text commands alone; like other commands, none of them may be changed.
"""

from dataclasses import dataclass


@dataclass
class Pause:
    """Let the gets of a queue be misses."""

    key: bytes
    seconds: int | None
    """How long, from 1 to 2592000; ``None`` until a ``Resume``."""
    quiet: bool


@dataclass
class Resume:
    """End a pause."""

    key: bytes
    quiet: bool


Operation = Pause | Resume
