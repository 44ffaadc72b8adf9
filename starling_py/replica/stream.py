"""What is asked of a stream, and nothing else: NATS has it, and tests have it in memory.

An append that a majority has and that only succeeds where nobody else has appended meanwhile, what
stands at a number, what follows a number, and dropping the beginning. Each call may stay without an
answer; whether it had an effect is not known then.
"""

from typing import Final, Protocol

import attrs

LOG: Final = "log"
"""What the messages with operations are told by."""
OWNER: Final = "owner"
"""What those are told by that say who owns the stream; of them it keeps the last alone."""


class NotAnsweredError(Exception):
    """The cluster does not answer, or has no majority."""


class NotLastError(Exception):
    """An append expected another last message than there is."""


class ClusterError(Exception):
    """The cluster or its stream must not be used; the text is one line that says why."""


@attrs.frozen
class Entry:
    """A message in the stream."""

    sequence: int
    kind: str
    """``LOG`` or ``OWNER``."""
    message_id: str
    data: bytes


@attrs.frozen
class State:
    """What the stream has."""

    first: int
    last: int
    size: int
    """Bytes of its messages."""


class Stream(Protocol):
    """One stream. All calls raise ``NotAnsweredError``."""

    @property
    def id(self) -> bytes:
        """What tells it from every other stream, 16 bytes."""

    async def state(self) -> State:
        """Return what it has."""

    async def append(self, kind: str, data: bytes, message_id: str, expected: int) -> int:
        """Append a message, if the last one has the number ``expected``; return its number.

        Appended again with the same id, it is not there twice. Raises ``NotLastError``.
        """

    async def at(self, sequence: int) -> Entry | None:
        """Return the message with a number; ``None`` if there is none."""

    async def owner(self) -> Entry | None:
        """Return the last message by ``OWNER``; ``None`` if there is none."""

    async def read(self, after: int, wait: float) -> list[Entry]:
        """Return some messages behind a number, in order; wait for them for so many seconds."""

    async def read_anew(self) -> None:
        """Let the next ``read`` begin with nothing that an earlier one has set up."""

    async def purge(self, first: int) -> None:
        """Drop all messages before a number."""

    async def say(self, data: bytes) -> None:
        """Tell the other servers something that is not kept, and that they may miss."""

    def heard(self) -> list[bytes]:
        """Return what was said since the last call; the oldest of it may be missing."""
