"""Make the settings of every queue, existing or not, from the entries of a configuration.

``queue_layers`` lays entries over one another. No table moves expired items or dead letters in a
circle of queues that it names, and none has an item dropped because it was delivered too often.
Nothing here knows which queues there are, or reads a file.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import attrs

from starling_py.memo import Memo
from starling_py.settings import move_circles
from starling_py.settings.kinds import QUEUE, from_converted, legal_name
from starling_py.settings.problems import Fault, converted, refuse
from starling_py.settings.queue_layers import DEFAULTS, Layers, is_pattern
from starling_py.settings.queue_settings import QueueSettings

_PAIR: Final = ("max_deliveries", "dead_letter")
_MOST_RESOLVED: Final = 4096

Entries = Mapping[str, Mapping[str, object]]
"""Values by setting by name or pattern, as a file may have them or as the fields hold them."""


def judge(entries: Entries) -> tuple[dict[str, dict[str, object]], list[Fault]]:
    """Return the good values of entries, as ``QueueSettings`` holds them, and all faults.

    The place of a fault is the key of an entry and, unless the key itself is wrong, a setting.
    """
    good: dict[str, dict[str, object]] = {}
    faults: list[Fault] = []
    unsure: set[str] = set()  # entries that would have given both of the pair, rightly written
    for key, values in entries.items():
        own, wrong = converted(QueueSettings, values)
        try:
            legal_name(key)
            good[key] = own
        except ValueError:
            faults.append(Fault((key,), f"must be {QUEUE.allowed}, or a pattern of such"))
        faults += [attrs.evolve(fault, place=(key, *fault.place)) for fault in wrong]
        if any(fault.place[0] in _PAIR for fault in wrong):
            unsure.add(key)
    layers = Layers(good)
    faults += _single(layers, unsure)
    faults += move_circles.circles(layers)
    return good, faults


def _checked(entries: Entries) -> Entries:
    good, faults = judge(entries)
    refuse(faults)
    return good


def _single(layers: Layers, unsure: set[str]) -> Iterator[Fault]:
    """Yield a fault for each entry that leaves one of the pair without the other.

    Entries in ``unsure`` have a fault in the pair already; with them, nobody can tell.
    """
    for key, own in layers.entries.items():
        name = next((each for each in _PAIR if each in own), None)
        if name is None:
            continue
        if is_pattern(key):
            values = {**layers.entries.get(DEFAULTS, {}), **own}
            below = {DEFAULTS, key}
        else:
            given = layers.of(key.encode())
            values = {each: given[each].value for each in given}
            below = {key, *(given[each].key for each in _PAIR if each in given)}
        empty = [values.get(each) is None for each in _PAIR]
        if empty[0] != empty[1] and not below & unsure:
            yield Fault((key, name), _reason(name, own[name] is None))


def _reason(name: str, empty: bool) -> str:
    if empty:
        return "leaves the other of max_deliveries and dead_letter in force; empty both"
    if name == "dead_letter":
        return "needs max_deliveries too, or nothing would be moved there"
    return "needs dead_letter too, or what is delivered that often would be lost"


@attrs.frozen
class QueueTable:
    """The settings of all queues by their names.

    Raises ``ValueError`` with all faults of the entries, one a line.
    """

    entries: Entries = attrs.field(factory=dict, converter=_checked)
    _resolved: Callable[[bytes], QueueSettings] = attrs.field(init=False, eq=False, repr=False)

    @_resolved.default
    def _cache(self) -> Callable[[bytes], QueueSettings]:
        return Memo(_Resolver(self.entries).resolve, _MOST_RESOLVED).get

    def __len__(self) -> int:
        return len(self.entries)

    def resolve(self, name: bytes) -> QueueSettings:
        """Return the settings of a queue, existing or not; asking again costs little."""
        return self._resolved(name)


class _Resolver:
    """Makes the settings of queues; those that are given the same by the same have one object.

    So 20,000 queues take no more memory for them than a few.
    """

    def __init__(self, entries: Entries) -> None:
        self._layers = Layers(entries)
        self._made: dict[tuple[tuple[str, str], ...], QueueSettings] = {}

    def resolve(self, name: bytes) -> QueueSettings:
        """Return the settings of a queue."""
        given = self._layers.of(name)
        origins = tuple((each, value.key) for each, value in given.items())
        made = self._made.get(origins)
        if made is None:
            values = {each: value.value for each, value in given.items()}
            # Patterns that overlap can give one without the other, and so does a default that would
            # make a queue its own dead letter: then no delivery is one too many, nothing is lost.
            if any(values.get(each) is None for each in _PAIR):
                values.update(dict.fromkeys(_PAIR))
            made = from_converted(QueueSettings, **values)
            if len(self._made) < _MOST_RESOLVED:
                self._made[origins] = made
        return made
