"""The lines of the commands of operators: none of them is memcached's.

One word more than a command takes is an error: a blank in a name must not change another queue.
"""

import re
from typing import Final

from starling_py.keys import MAX_ITEM_ID, MAX_KEY, MAX_SECONDS
from starling_py.protocol import operations
from starling_py.protocol.commands import Command, Refusal
from starling_py.protocol.lines import BAD_FORMAT, ERROR, Parser, out_of_range, whole_number

BROWSED: Final = 100
"""Items that a ``browse`` lists if it does not say how many."""
MAX_NAME: Final = 64
"""Bytes of the longest name that a client can have."""
_SNAPSHOT: Final = re.compile(rb"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}\Z")
"""The name of a snapshot: it becomes that of a directory."""
MAX_BROWSED: Final = 1000
"""The most items that it can list."""


def _pause(words: list[bytes]) -> Command:
    """Read ``pause QUEUE [SECONDS] [noreply]``."""
    words, quiet = _loud(words)
    if not 2 <= len(words) <= 3:
        return Refusal(ERROR)
    seconds = whole_number(words[2], 1, MAX_SECONDS) if len(words) == 3 else None
    if seconds is None and len(words) == 3:
        return out_of_range(b"pause takes seconds", 1, MAX_SECONDS, quiet=quiet)
    if len(words[1]) > MAX_KEY:
        return Refusal(b"" if quiet else BAD_FORMAT)
    return operations.Pause(words[1], seconds, quiet)


def _resume(words: list[bytes]) -> Command:
    """Read ``resume QUEUE [noreply]``."""
    words, quiet = _loud(words)
    if len(words) != 2:
        return Refusal(ERROR)
    if len(words[1]) > MAX_KEY:
        return Refusal(b"" if quiet else BAD_FORMAT)
    return operations.Resume(words[1], quiet)


def _browse(words: list[bytes]) -> Command:
    """Read ``browse QUEUE [FROM_ID] [N]``."""
    if not 2 <= len(words) <= 4:
        return Refusal(ERROR)
    if len(words[1]) > MAX_KEY:
        return Refusal(BAD_FORMAT)
    first_id = whole_number(words[2], 0, MAX_ITEM_ID) if len(words) > 2 else 1
    if first_id is None:
        return out_of_range(b"browse takes an item's id", 0, MAX_ITEM_ID)
    count = whole_number(words[3], 1, MAX_BROWSED) if len(words) > 3 else BROWSED
    if count is None:
        return out_of_range(b"browse takes a number of items", 1, MAX_BROWSED)
    return operations.Browse(words[1], first_id, count)


def _drop(words: list[bytes]) -> Command:
    """Read ``drop QUEUE ID [noreply]``."""
    words, quiet = _loud(words)
    if len(words) != 3:
        return Refusal(ERROR)
    if len(words[1]) > MAX_KEY:
        return Refusal(b"" if quiet else BAD_FORMAT)
    item_id = whole_number(words[2], 1, MAX_ITEM_ID)
    if item_id is None:
        return out_of_range(b"drop takes an item's id", 1, MAX_ITEM_ID, quiet=quiet)
    return operations.Drop(words[1], item_id, quiet)


def _move(words: list[bytes]) -> Command:
    """Read ``move FROM TO [N]`` and ``move FROM origin [N]``."""
    if not 3 <= len(words) <= 4:
        return Refusal(ERROR)
    if max(len(words[1]), len(words[2])) > MAX_KEY:
        return Refusal(BAD_FORMAT)
    count = whole_number(words[3], 1, MAX_ITEM_ID) if len(words) == 4 else None
    if count is None and len(words) == 4:
        return out_of_range(b"move takes a number of items", 1, MAX_ITEM_ID)
    return operations.Move(words[1], None if words[2] == b"origin" else words[2], count)


def _hello(words: list[bytes]) -> Command:
    """Read ``hello NAME``."""
    if len(words) != 2:
        return Refusal(ERROR)
    name = words[1]
    if len(name) > MAX_NAME or not all(0x20 < byte < 0x7F for byte in name):
        return Refusal(
            b"CLIENT_ERROR hello takes a name of up to %d printable bytes\r\n" % MAX_NAME
        )
    return operations.Hello(name)


def _snapshot(words: list[bytes]) -> Command:
    """Read ``snapshot NAME``."""
    if len(words) != 2:
        return Refusal(ERROR)
    if not _SNAPSHOT.match(words[1]):
        return Refusal(
            b"CLIENT_ERROR snapshot takes a name of up to 100 letters, digits, _, - and .\r\n"
        )
    return operations.Snapshot(words[1])


def _handover(words: list[bytes]) -> Command:
    """Read ``handover``."""
    return Refusal(ERROR) if len(words) > 1 else operations.Handover()


def _loud(words: list[bytes]) -> tuple[list[bytes], bool]:
    """Return the words without a ``noreply`` behind the queue's name, and whether there was one."""
    quiet = len(words) > 2 and words[-1] == b"noreply"
    return (words[:-1] if quiet else words), quiet


PARSERS: Final[dict[bytes, Parser]] = {
    b"pause": _pause,
    b"resume": _resume,
    b"browse": _browse,
    b"drop": _drop,
    b"move": _move,
    b"hello": _hello,
    b"snapshot": _snapshot,
    b"handover": _handover,
}
