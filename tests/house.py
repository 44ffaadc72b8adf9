"""How the code is laid out: rooms, floors and circles, counted from the import statements.

A room is a module or a package at the root of ``starling_py``; a floor is one step of the longest
chain of imports between rooms; a circle is a set of modules that import each other in the end.
What only the type checker imports counts like everything else. ``scripts/house`` prints the counts,
docs/architecture.md shows them, and ``test_house.py`` holds them against their bounds.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import grimp

PACKAGE: Final = "starling_py"
NO_ROOMS: Final = frozenset({"__main__"})

Arrows = Mapping[str, Iterable[str]]
"""What each module or room imports directly."""


def arrows_between_modules() -> dict[str, set[str]]:
    """Return what each module of the package imports of the package."""
    graph = grimp.build_graph(PACKAGE, exclude_type_checking_imports=False, cache_dir=None)
    return {each: graph.find_modules_directly_imported_by(each) for each in graph.modules}


def arrows_between_rooms(modules: Arrows) -> dict[str, set[str]]:
    """Return what each room imports of the others."""
    rooms: dict[str, set[str]] = {}
    for module, imported in modules.items():
        own = room_of(module)
        if own is not None:
            targets = {room for each in imported if (room := room_of(each)) is not None}
            rooms.setdefault(own, set()).update(targets - {own})
    return rooms


def room_of(module: str) -> str | None:
    """Return the room that a module is in; ``None`` if it is in none."""
    name = module.removeprefix(PACKAGE).lstrip(".").partition(".")[0]
    return name if name and name not in NO_ROOMS else None


def longest_chain(arrows: Arrows) -> list[str]:
    """Return the rooms of a longest chain of imports, the one that nobody imports first.

    There must be no circle among them.
    """
    known: dict[str, list[str]] = {}

    def below(room: str) -> list[str]:
        if room not in known:
            known[room] = [room, *max((below(each) for each in arrows[room]), key=len, default=[])]
        return known[room]

    return max((below(room) for room in sorted(arrows)), key=len)


def circles(arrows: Arrows) -> list[list[str]]:
    """Return the sets of modules of which each imports every other one in the end."""
    reached = {each: _reached_from(each, arrows) for each in arrows}
    found = {
        frozenset(other for other in reached[each] if each in reached[other])
        for each in arrows
        if each in reached[each]
    }
    return sorted(sorted(each) for each in found)


def _reached_from(start: str, arrows: Arrows) -> set[str]:
    """Return whatever can be reached from a module, itself only by a circle."""
    reached: set[str] = set()
    left = [*arrows[start]]
    while left:
        each = left.pop()
        if each not in reached:
            reached.add(each)
            left += arrows[each]
    return reached


def counts() -> dict[str, int]:
    """Return the numbers that docs/architecture.md shows."""
    modules = arrows_between_modules()
    rooms = arrows_between_rooms(modules)
    return {
        "rooms": len(rooms),
        "floors": len(longest_chain(rooms)),
        "circles": len(circles(modules)),
    }


def main() -> None:
    """Print the counts, and what they are counted from."""
    modules = arrows_between_modules()
    rooms = arrows_between_rooms(modules)
    for name, count in counts().items():
        print(f"{name}: {count}")
    print("longest chain:", " > ".join(longest_chain(rooms)))
    for circle in circles(modules):
        print("circle:", ", ".join(circle))
    for room in sorted(rooms):
        print(f"{room} imports {', '.join(sorted(rooms[room])) or 'no other'}")


if __name__ == "__main__":
    main()
