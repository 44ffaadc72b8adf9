"""Group commit of an owner: while the stream does not answer, nothing new is written.

An answer that is late keeps clients waiting, under whatever policy: what they were told meanwhile
another server may not have. When none comes, what they asked is taken back, and they are told: it
has not happened. Nothing is healed, as no file is at fault.
"""

from typing import Final, Protocol

from starling_py.clock import Clock
from starling_py.journal.commit import GroupCommit, Syncer
from starling_py.journal.journal import Journal

SILENT: Final = "the cluster does not answer"
"""What clients are told."""


class Answers(Protocol):
    """How long the stream owes an answer."""

    @property
    def is_over(self) -> bool:
        """Whether nothing can be written any more."""

    @property
    def is_late(self) -> bool:
        """Whether clients are to be kept waiting for it."""

    @property
    def is_stalled(self) -> bool:
        """Whether it is not waited for any more."""


class ShippedCommit(GroupCommit):
    """The journals of an owner."""

    def __init__(
        self, interval: float | None, syncer: Syncer, clock: Clock, answers: Answers
    ) -> None:
        super().__init__(interval, syncer, clock)
        self._answers = answers

    @property
    def must_wait(self) -> bool:
        """Whether what is recorded now had better not be written yet."""
        if self._answers.is_stalled:
            return False
        return self._answers.is_over or self._answers.is_late or super().must_wait

    def _write(self, journal: Journal) -> bool:
        """Write a journal and tell its owner; return whether its records were written."""
        if not self._answers.is_stalled or journal.in_memory:
            return super()._write(journal)
        journal.drop(SILENT)
        if journal.owner is not None:
            journal.owner.on_rolled_back()
        return False
