"""Route puts to other queues besides their own, by the name of their queue.

A route leads from a pattern, as RabbitMQ's topic exchanges have them, to queues. Names and patterns
are words with dots between them. In a pattern, the word ``*`` stands for exactly one word and ``#``
for any number of words, also for none. A fan-out child, ``parent+child``, is matched only by
patterns with a ``+``: what is put into a child is for that child. What a route brings is not routed
again. Nothing here knows which queues there are.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import attrs

from starling_py.keys import child_of
from starling_py.memo import Memo
from starling_py.security.patterns import is_legal, matches
from starling_py.settings.kinds import QUEUE, legal_name
from starling_py.settings.problems import Fault, refuse

_MOST_FOUND: Final = 4096


def judge(entries: Mapping[str, object]) -> tuple[dict[str, tuple[bytes, ...]], list[Fault]]:
    """Return the good routes, and all faults of the others.

    The place of a fault is a pattern and, if only one target is wrong, its position from 0 on.
    """
    good: dict[str, tuple[bytes, ...]] = {}
    faults: list[Fault] = []
    for pattern, targets in entries.items():
        faults += [Fault((pattern,), reason) for reason in _wrong_with(pattern)]
        if isinstance(targets, str | bytes) or not isinstance(targets, Sequence) or not targets:
            faults.append(Fault((pattern,), "must be a list of queue names, as in [audit]"))
            continue
        names: dict[bytes, int] = {}
        for position, target in enumerate(targets):
            try:
                name: bytes = QUEUE(target)  # type: ignore[assignment]
            except ValueError as error:
                faults.append(Fault((pattern, position), str(error)))
                continue
            if name in names:
                faults.append(Fault((pattern, position), "stands twice; keep one"))
            elif name.decode("utf-8", "surrogateescape") == pattern:
                faults.append(Fault((pattern, position), "leads to where the put goes anyway"))
            names.setdefault(name, position)
        good[pattern] = tuple(names)
    return good, faults


def _wrong_with(pattern: str) -> list[str]:
    try:
        words = legal_name(pattern).split(b".")
    except ValueError:
        return [f"must be {QUEUE.allowed}, or a pattern of such"]
    if not is_legal(words):
        return ["* and # must be whole words, with dots around them"]
    return []


def _checked(entries: Mapping[str, Sequence[str | bytes]]) -> Mapping[str, Sequence[str | bytes]]:
    good, faults = judge(entries)
    refuse(faults)
    return good


@attrs.frozen
class Routes:
    """All routes: the names of queues by pattern.

    Raises ``ValueError`` with all faults of the entries, one a line.
    """

    entries: Mapping[str, Sequence[str | bytes]] = attrs.field(factory=dict, converter=_checked)
    _found: Callable[[bytes], tuple[bytes, ...]] = attrs.field(init=False, eq=False, repr=False)

    @_found.default
    def _cache(self) -> Callable[[bytes], tuple[bytes, ...]]:
        return Memo(self._find, _MOST_FOUND).get

    def __len__(self) -> int:
        return len(self.entries)

    def targets(self, name: bytes) -> tuple[bytes, ...]:
        """Return the other queues that a put to ``name`` goes to, each once, in their order."""
        return self._found(name) if self.entries else ()

    def _find(self, name: bytes) -> tuple[bytes, ...]:
        words = name.split(b".")
        child = child_of(name) is not None
        found: dict[bytes, None] = {}
        for pattern, targets in self.entries.items():
            if (not child or "+" in pattern) and matches(pattern.encode().split(b"."), words):
                found.update(dict.fromkeys(targets))  # type: ignore[arg-type]
        found.pop(name, None)
        return tuple(found)
