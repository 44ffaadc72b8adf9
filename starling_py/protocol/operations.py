"""What operators ask for, and what is said for them: commands that are none of memcached's.

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


@dataclass
class Browse:
    """List items of a queue, in the order of their ids, without their data."""

    key: bytes
    first_id: int
    """The lowest id that is listed; 1 for all."""
    count: int
    """The most items, from 1 to 1000."""


@dataclass
class Drop:
    """Remove one item that waits."""

    key: bytes
    item_id: int
    quiet: bool


@dataclass
class Move:
    """Move the oldest items that wait to another queue."""

    key: bytes
    target: bytes | None
    """The key of that queue; ``None`` to move each to the queue that it came from."""
    count: int | None
    """The most items, 1 or more; ``None`` for all."""


@dataclass
class Hello:
    """Say what the client is called."""

    name: bytes
    """Up to 64 printable characters of ASCII."""


@dataclass
class Snapshot:
    """Make a consistent copy of all queues, by hard links, for a backup."""

    name: bytes
    """Up to 100 letters, digits, ``_``, ``-`` and ``.``; no ``.`` or ``-`` at its beginning."""


@dataclass
class Handover:
    """Hand the queues over to another server of the group, and follow it."""


Operation = Pause | Resume | Browse | Drop | Move | Hello | Snapshot | Handover
