"""Find what entries give a queue, by laying them over one another.

A queue starts from the entry ``*``. Each pattern that matches its name is laid over that, in their
order, and the entry of its exact name over all. A fan-out child, ``parent+child``, starts from what
its parent has instead, except what concerns only the parent itself, and only patterns with a ``+``
match it. A value of None takes away what lies below. Nothing here judges the result.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final

import attrs

from starling_py.keys import child_of

DEFAULTS: Final = "*"
"""The key of the entry that all queues start from, wherever it stands."""

TARGETS: Final = ("expire_to", "dead_letter")
"""The settings that name a queue to which items are moved."""

NOT_INHERITED: Final = frozenset({"fanout_only", "idle_expire", "paused"})
"""The settings that a child does not inherit from its parent.

A parent keeps nothing because its children do. Pausing the readers of one queue does not pause
those of another. And a child that was deleted in a quiet hour would miss what comes later, and
nobody would be told.
"""


def is_pattern(key: str) -> bool:
    """Tell whether a key is a pattern for many queues rather than the name of one."""
    return "*" in key or "?" in key


@attrs.frozen
class Given:
    """A value that a queue has been given, and the key of the entry that gave it."""

    value: object
    key: str


@attrs.frozen
class Layers:
    """Entries by their keys, with values as the fields of ``QueueSettings`` hold them."""

    entries: Mapping[str, Mapping[str, object]]
    _patterns: tuple[str, ...] = attrs.field(init=False)

    @_patterns.default
    def _find_patterns(self) -> tuple[str, ...]:
        return tuple(key for key in self.entries if is_pattern(key) and key != DEFAULTS)

    def of(self, name: bytes) -> dict[str, Given]:
        """Return what all entries together give a queue, by the names of settings."""
        text = name.decode("utf-8", "surrogateescape")
        parent = child_of(name)
        given: dict[str, Given] = {}
        if parent is not None:
            inherited = self.of(parent).items()
            given = {each: value for each, value in inherited if each not in NOT_INHERITED}
        else:
            self._lay(given, DEFAULTS)
        for key in self._patterns:
            if (parent is None or "+" in key) and fnmatchcase(text, key):
                self._lay(given, key)
        # A pattern or a parent that leads a queue back to itself means the other queues.
        for target in TARGETS:
            if target in given and given[target].value in (name, parent):
                del given[target]
        if not is_pattern(text):
            self._lay(given, text)
        return given

    def _lay(self, given: dict[str, Given], key: str) -> None:
        for each, value in self.entries.get(key, {}).items():
            given[each] = Given(value, key)
