"""Find the circles in which queues would move items for ever.

An expired item moves to ``expire_to``, one that was delivered in vain to ``dead_letter``, and from
there to all queues that a put reaches. What reaches a parent is taken to reach its children.
Routes, where they are given, are followed too, except where one leads back to the queue that the
item comes from: then no copies are made.

A circle of one kind of move is a fault, as no item in it would ever rest. A circle of both kinds is
none: a dead letter that expires into the queue it came from is how a delivery is tried again later,
and each round needs a client. Only queues that entries name are looked at; the names of others are
not known.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from starling_py.keys import child_of
from starling_py.settings.problems import Fault, shown
from starling_py.settings.queue_layers import TARGETS, Given, Layers, is_pattern

_MOST_SHOWN = 6  # queues of a circle; more would not fit in a line


Routed = Callable[[bytes], Iterable[bytes]]
"""Returns the queues that routes lead to from a queue."""


def circles(layers: Layers, routed: Routed = lambda _: ()) -> Iterator[Fault]:
    """Yield a fault for each circle, at the setting in it whose entry stands last.

    ``routed`` follows the routes; by default there are none.
    """
    order = {key: position for position, key in enumerate(layers.entries)}
    names = dict.fromkeys(_named(layers))
    names.update(dict.fromkeys(each for name in list(names) for each in routed(name)))
    given = {name: layers.of(name) for name in names}
    children: dict[bytes, list[bytes]] = {}
    for name in given:
        if (parent := child_of(name)) is not None:
            children.setdefault(parent, []).append(name)
    for target in TARGETS:
        moves = {name: _move(each, target) for name, each in given.items()}
        reached = {name: _reached(name, to, routed, children) for name, (to, _) in moves.items()}
        edges = {name: [*reached[name], *children.get(name, ())] for name in moves}
        for circle in _circles_of(edges):
            steps = zip(circle, [*circle[1:], circle[0]], strict=True)
            keys = [moves[name][1] for name, to in steps if to in reached[name]]
            key = max(keys, key=order.__getitem__)
            yield Fault((key, target), f"moves items in a circle: {_path(circle)}")


def _named(layers: Layers) -> Iterable[bytes]:
    """Return the queues that entries name, by their keys or as targets, each once."""
    entries = layers.entries
    keys = [key.encode() for key in entries if not is_pattern(key)]
    targets = [values.get(each) for values in entries.values() for each in TARGETS]
    return dict.fromkeys([*keys, *(each for each in targets if isinstance(each, bytes))])


def _move(given: Mapping[str, Given], target: str) -> tuple[bytes | None, str]:
    """Return the queue that items move to, None for none, and the key of the entry that says so."""
    move = given.get(target)
    return (move.value, move.key) if move and isinstance(move.value, bytes) else (None, "")


def _reached(
    name: bytes, to: bytes | None, routed: Routed, children: Mapping[bytes, list[bytes]]
) -> list[bytes]:
    """Return the queues that get what ``name`` moves to ``to``, except the children of ``to``."""
    if to is None:
        return []
    along = [each for route in routed(to) for each in (route, *children.get(route, ()))]
    if name in along or name in children.get(to, ()):
        return [to]
    return [to, *along]


def _circles_of(edges: Mapping[bytes, Iterable[bytes]]) -> Iterator[list[bytes]]:
    """Search depth first, and yield a circle for each edge that closes one."""
    done: set[bytes] = set()
    for start in edges:
        path = {} if start in done else {start: iter(edges[start])}
        while path:
            name = next(reversed(path))
            following = next(path[name], None)
            if following is None:
                path.popitem()
                done.add(name)
            elif following in path:
                names = list(path)
                yield names[names.index(following) :]
            elif following not in done:
                path[following] = iter(edges[following])


def _path(circle: list[bytes]) -> str:
    names = [shown(name.decode("utf-8", "replace"), 40) for name in circle]
    between = names[1:] if len(names) <= _MOST_SHOWN else [*names[1:_MOST_SHOWN], "..."]
    return " -> ".join([names[0], *between, names[0]])
