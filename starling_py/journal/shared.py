"""What is around a journal: what it has in common with all others, and whose operations it records.

A journal knows of the others only through what they share: the policy they are written by, where
work is done in the background, the room that is reserved on the disk, the files that may be open.
"""

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

import attrs

from starling_py.journal.disk.background import Background
from starling_py.journal.disk.files import Files
from starling_py.journal.disk.open_files import OpenFiles
from starling_py.journal.disk.reserve import SomeReserve
from starling_py.journal.format.segment import Segment

Own = TypeVar("Own")
"""The journal itself."""


@attrs.frozen
class Durability:
    """What every journal of a server has in common."""

    syncs: bool
    """Whether anything is ever synced (every policy but ``never``)."""
    segment_size: int
    """Bytes after which a new segment is begun."""
    waits: bool = False
    """Whether replies wait for the sync, so that nothing unsafe was ever acknowledged."""


@attrs.frozen
class Shared(Generic[Own]):
    """What all journals of a spool share."""

    files: Files
    durability: Durability
    touch: Callable[[Own], None]
    """Called when the first record since the last ``write`` of a journal is added."""
    broke: Callable[[Own], None]
    """Called when a journal has to be healed."""
    hurry: Callable[[], None]
    """Called to have the next sync begin at once."""
    background: Background
    reserve: SomeReserve
    open_files: OpenFiles


class JournalOwner(Protocol):
    """Whose operations a journal records; the notices are called in the order of their writes."""

    deleted: bool
    """Whether it waits for its removal to be safe, to be told so by ``on_all_safe``."""

    def on_committed(self) -> None:
        """Make final what happened up to now: it is written."""

    def on_rolled_back(self) -> None:
        """Take the ledger's word for what is live: operations are undone, or files changed."""

    def on_safe(self) -> None:
        """Go on with what waited: more of what is written is as safe as the policy makes it."""

    def on_all_safe(self) -> None:
        """Go, if deleted: all that is written is as safe as the policy makes it."""

    def on_compacted(self, segments: Sequence[Segment], replacement: Segment) -> None:
        """Read on elsewhere, if need be: one segment has taken the place of others."""
