r"""Names of queues as people see and type them.

A name is shown as ``stats`` tells it: what is no text, and blanks and control characters, as
``\x20`` and the like. What was shown can be typed again. Invariant: ``typed(shown(name)) == name``
unless the name itself holds a backslash, an ``x`` and two digits.
"""

import os
import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Final

from starling_py.ctl.errors import NotFoundError, UsageError
from starling_py.keys import MAX_KEY
from starling_py.stats import one_token

_ESCAPE: Final = re.compile(rb"\\x([0-9a-fA-F]{2})")
_WILD: Final = re.compile(r"[*?\[]")
_NOT_IN_A_LINE: Final = (b" ", b"\r", b"\n")


def shown(name: bytes) -> str:
    """Return a name as one word that does no harm on a terminal."""
    return one_token(name).decode(errors="backslashreplace")


def typed(text: str) -> bytes:
    """Return the name that was typed, or shown by a server. Raises ``UsageError``."""
    name = _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), os.fsencode(text))
    if not name:
        raise UsageError("the name of a queue is empty")
    if b"/" in name:
        raise UsageError(
            f"{text!r} is no name of a queue: a slash begins an option of the protocol"
        )
    if len(name) > MAX_KEY:
        raise UsageError(f"the name of a queue has {MAX_KEY} bytes at most; this one {len(name)}")
    return name


def in_a_line(name: bytes) -> bytes:
    """Return a name that a line of the text protocol can say. Raises ``UsageError``."""
    if not is_sayable(name):
        raise UsageError(
            f"{shown(name)}: this command has no form for a name with a blank or a line's end; "
            "put, peek, get and delete have"
        )
    return name


def is_sayable(name: bytes) -> bool:
    """Tell whether a line of the text protocol can have a name in it."""
    return not any(byte in name for byte in _NOT_IN_A_LINE)


def is_pattern(text: str) -> bool:
    """Tell whether a text stands for any number of queues."""
    return _WILD.search(text) is not None


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Tell whether a shown name matches one of some patterns (``*``, ``?``, ``[a-z]``)."""
    return any(fnmatchcase(name, pattern) or name == pattern for pattern in patterns)


def nothing_matches(patterns: Sequence[str]) -> NotFoundError:
    """Return the error for patterns or names that no queue has."""
    what = ", ".join(patterns)
    if len(patterns) == 1 and not is_pattern(patterns[0]):
        return NotFoundError(f"there is no queue {what}")
    return NotFoundError(f"no queue matches {what}")
