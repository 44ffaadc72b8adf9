"""What the journals of a spool share, and what a journal tells the queue that it belongs to.

A journal knows of the others only through what they share: the policy they are written by, the
thread for background work, the room that is reserved on the disk, the files that may be open.
"""

from collections.abc import Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar

import attrs

from starling_py.journal.disk.background import Background, Hold
from starling_py.journal.disk.files import Files
from starling_py.journal.disk.open_files import OpenFiles
from starling_py.journal.disk.reserve import SomeReserve
from starling_py.journal.format.record import Item
from starling_py.journal.format.segment import Segment
from starling_py.journal.log.log import WORTH, SomeLog

TOGETHER: Final = 32
"""Journals of one batch from which on a call for the whole file system is worth it: others may have
much to write there."""
Own = TypeVar("Own")
"""The class of journals, which this module cannot import."""


@attrs.frozen
class Durability:
    """How the journals of a server are written."""

    syncs: bool
    """Whether the policy ever syncs: every one but ``never``."""
    segment_size: int
    """Bytes after which a new segment is begun."""
    waits: bool = False
    """Whether replies wait for the sync, as under ``always``: nothing unsafe is acknowledged."""
    log_size: int = 0
    """Bytes that each of the two files of the log may grow to; with 0 there is no log."""
    log_worth: int = WORTH
    """Syncs that the log must have been able to do before it is made."""
    together: int = TOGETHER
    """Journals of one batch from which on they are synced with one call for the file system."""


@attrs.frozen
class Shared(Generic[Own]):
    """What all journals of a spool share."""

    files: Files
    durability: Durability
    touch: Callable[[Own], None]
    """Called when the first record since the last ``write`` of a journal is added."""
    broke: Callable[[Own], None]
    """Called when a journal has to be healed, or a healing that had to wait can begin."""
    lost: Callable[[], None]
    """Called when a journal's files were found to have lost their names."""
    hurry: Callable[[], None]
    """Called to have the next commit followed by a sync, without waiting for the interval."""
    background: Background
    reserve: SomeReserve
    open_files: OpenFiles
    log: SomeLog | None = None
    """What makes the writes of several journals safe with one sync; ``None`` if nothing does."""
    hold: Hold = attrs.field(factory=Hold)
    """Whether files must stay as they are for now."""


class JournalOwner(Protocol):
    """The queue whose operations a journal records. Its notices are called in the tick."""

    deleted: bool
    """Whether it was deleted, and waits for ``on_all_safe`` to be removed."""

    def on_committed(self) -> None:
        """Make the operations since the last commit final: they are written."""

    def on_rolled_back(self) -> None:
        """Take over what the ledger says: operations were undone, or the journal was healed."""

    def on_broken(self) -> None:
        """Note that records are refused from now on, until the journal is healed."""

    def on_safe(self) -> None:
        """Answer what waited for a sync: more writes are as safe as the policy makes them."""

    def on_all_safe(self) -> None:
        """Remove the queue if it is deleted: all writes are as safe as the policy makes them."""

    def on_never_safe(self) -> None:
        """Remove the queue if it is deleted and nobody waits for its safety: nothing was safe."""

    def items_in_memory(self) -> list[Item]:
        """Return all items that are in memory, live or not, in any order."""

    def on_items_lost(self, items: int) -> None:
        """Count items that are lost, as their files were removed under the server."""

    def on_compacted(self, segments: Sequence[Segment], replacement: Segment) -> None:
        """Read on in ``replacement`` what would have been read in ``segments``."""
