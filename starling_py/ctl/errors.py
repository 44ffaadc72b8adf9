"""What keeps a command from being done; each kind is an exit status of its own.

The texts are for people, in one line, without the name of the program.
"""

from collections.abc import Mapping
from typing import Final

DONE: Final = 0
FAILED: Final = 1
"""The server refused, or something is wrong; what was done before is told."""
WRONG_USAGE: Final = 2
"""Nothing was asked of the server, or it was not confirmed."""
NOT_FOUND: Final = 3
"""No such queue or item, or nothing there to take."""
UNREACHABLE: Final = 4
"""No server, or none of ours; or it went away in the middle."""
INTERRUPTED: Final = 130


class CtlError(Exception):
    """The command was not done, or not to its end."""

    status = FAILED


class UsageError(CtlError):
    """What was asked for makes no sense, or was not confirmed; nothing was done."""

    status = WRONG_USAGE


class NotFoundError(CtlError):
    """There is no such queue or item."""

    status = NOT_FOUND


class UnreachableError(CtlError):
    """The server cannot be reached, is none of ours, or went away."""

    status = UNREACHABLE


class FollowsError(UnreachableError):
    """The server is of a group, and another one is the owner."""

    def __init__(self, text: str, numbers: Mapping[str, str]) -> None:
        """``numbers`` is what it tells of itself; nothing, if it wants to know who asks."""
        super().__init__(text)
        self.numbers = numbers


class CommandRefused(CtlError):
    """The server answered that it does not, or cannot, do it; the text is what it said."""
