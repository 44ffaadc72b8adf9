"""What a server tells in its reports, read: the numbers of queues, what has changed, items.

Nothing here asks. Names of queues are bytes; a number that a server does not tell counts as 0.
"""

import re
from collections.abc import Mapping
from typing import Final

import attrs

from starling_py.ctl import names

_BLOCK: Final = re.compile(rb"queue '([^\r\n]*)' \{\r?\n((?:  [^\r\n]*\r?\n)*)\}\r?\n")


@attrs.frozen
class Queue:
    """The numbers of one queue at one moment."""

    name: bytes
    shown: str
    pairs: Mapping[bytes, bytes]

    def number(self, key: str) -> int:
        """Return one of the numbers that docs/protocol.md lists; 0 if it is not told."""
        value = self.pairs.get(key.encode(), b"0")
        return int(value) if value.lstrip(b"-").isdigit() else 0

    def text(self, key: str) -> str:
        """Return a value as text, empty if there is none."""
        value = self.pairs.get(key.encode(), b"").decode(errors="backslashreplace")
        return "" if value == "-" else value

    def values(self) -> dict[str, int | str]:
        """Return all of it for JSON."""
        told: dict[str, int | str] = {"queue": self.shown}
        return told | {key.decode(): plain(value) for key, value in self.pairs.items()}


@attrs.frozen
class Changed:
    """What ``stats changed`` tells: of the server, and of the queues that have changed."""

    server: dict[str, str]
    token: bytes
    """What to ask with the next time."""
    anew: bool
    """Whether this is about all queues, and what was known before is void."""
    left: int
    """Queues that have changed too."""
    queues: dict[bytes, Queue]
    gone: list[bytes]

    @classmethod
    def of(cls, report: bytes) -> "Changed":
        """Read the lines of the report."""
        server: dict[str, str] = {}
        queues: dict[bytes, Queue] = {}
        gone = []
        names_told: list[bytes] = []
        for line in report.splitlines():
            key, _, value = line.removeprefix(b"STAT ").partition(b" ")
            if not key.startswith(b"queue_"):
                server[key.decode()] = value.decode(errors="backslashreplace")
                if key == b"changes_tell":
                    names_told = value.split(b",")
                continue
            shown = key[6:].decode(errors="backslashreplace")
            name = names.typed(shown)
            if value == b"gone":
                gone.append(name)
            else:
                numbers = dict(zip(names_told, value.split(b","), strict=False))
                queues[name] = Queue(name, shown, numbers)
        next_token = server.get("changes", "").encode()
        anew, left = server.get("changes_anew") == "1", int(server.get("changes_left", "0"))
        return cls(server, next_token, anew, left, queues, gone)


@attrs.frozen
class Listed:
    """An item as ``browse`` tells of it, without its data. Times are in milliseconds."""

    id: int
    size: int
    flags: int
    age_ms: int
    state: str
    due_ms: int
    expiry_ms: int
    deliveries: int
    origin: str
    reason: str

    @classmethod
    def of(cls, line: bytes) -> "Listed":
        """Read a line of ``browse``."""
        numbers = line.split(b" ")
        item_id, size, flags, age, state, due, expiry, deliveries, origin, reason = numbers[1:11]
        return cls(
            int(item_id),
            int(size),
            int(flags),
            int(age),
            state.decode(),
            int(due),
            int(expiry),
            int(deliveries),
            origin.decode(errors="backslashreplace").removeprefix("-"),
            reason.decode(errors="backslashreplace").removeprefix("-"),
        )


def blocks(report: bytes) -> dict[bytes, Queue]:
    """Read a report in Kestrel's form: unlike in ``stats``, no name hides another."""
    found: dict[bytes, Queue] = {}
    for block in _BLOCK.finditer(report):
        shown = block[1].decode(errors="backslashreplace")
        pairs = dict(line[2:].split(b"=", 1) for line in block[2].splitlines())
        name = names.typed(shown)
        found[name] = Queue(name, shown, pairs)
    return found


def plain(value: bytes) -> int | str:
    """Return a value as a number if it is one, else as text."""
    text = value.decode(errors="backslashreplace")
    return int(text) if text.removeprefix("-").isdecimal() else text


def numbered(pairs: Mapping[bytes, bytes]) -> list[dict[str, int | str]]:
    """Return the blocks of a report whose names are ``N:name``."""
    found: dict[bytes, dict[str, int | str]] = {}
    for key, value in pairs.items():
        number, colon, name = key.partition(b":")
        if colon:
            found.setdefault(number, {})[name.decode()] = plain(value)
    return list(found.values())
